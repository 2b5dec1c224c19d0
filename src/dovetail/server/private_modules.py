"""Importing the Python files of a directory under names of their own, anew as often as one likes.

Theory of operation. Each time the files are loaded they are modules of a package that is made up for that time, which
one finder in `sys.meta_path` knows; `sys.path` stays as it is, and nothing else can import them by accident. Within
the package they import each other relatively (``from .prices import price``), from sub-directories as well. Sources
are read each time, without what Python keeps compiled: that goes by seconds and sizes, and a file may be saved twice
in one.

A file is opened as `security.safe_paths` opens one, so neither what is loaded nor what it imports relatively is a link,
hidden, or outside the directory.

Specification: none.
"""

import importlib
import itertools
import sys
from collections.abc import Sequence
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import decode_source
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

from ..security.safe_paths import PathRefused, open_within

__all__ = ["PrivatePackage"]

_numbers: Final = itertools.count(1)


class PrivatePackage:
    """The Python files below a directory as modules, once. ``name``: of the package in `sys.modules`."""

    def __init__(self, root: Path) -> None:
        self.name = f"dovetail_python_files_{next(_numbers)}"
        self.root = root
        _finder.packages[self.name] = self
        if _finder not in sys.meta_path:
            sys.meta_path.insert(0, _finder)

    def load(self, path: str) -> ModuleType:
        """The module of a file, given by its path below the directory. Raises ImportError for a file that can't be
        one, and what its code raises.
        """
        names = path.removesuffix(".py").split("/")
        if any("." in name for name in names):
            raise ImportError(f"{path!r:.200} has a dot in it, and no module has", path=path)
        return importlib.import_module(".".join((self.name, *names)))

    def close(self) -> None:
        """Forget the modules. Functions that somebody still has go on working."""
        _finder.packages.pop(self.name, None)
        for name in tuple(sys.modules):
            if name == self.name or name.startswith(f"{self.name}."):
                del sys.modules[name]

    def spec(self, fullname: str) -> ModuleSpec | None:
        """What a module of the package is made from; None where there is no file for it."""
        path = "/".join(fullname.split(".")[1:])
        init = f"{path}/__init__.py" if path else "__init__.py"
        for each, is_package in ((init, True), (f"{path}.py", False)):
            source = self._source(each)
            if source is not None:
                filename = str(self.root / each)
                loader = _SourceLoader(source, filename, is_package=is_package)
                spec = ModuleSpec(fullname, loader, origin=filename, is_package=is_package)
                spec.has_location = True
                return spec
        folder = self.root / path
        if folder.is_dir() and not folder.is_symlink():
            loader = _SourceLoader(b"", str(folder), is_package=True)
            return ModuleSpec(fullname, loader, is_package=True)
        return None

    def _source(self, path: str) -> bytes | None:
        try:
            with open_within(self.root, path) as file:
                return file.read()
        except (OSError, PathRefused):
            return None


class _SourceLoader(InspectLoader):
    """Runs a source that was read, of a module or (empty) of a folder."""

    def __init__(self, source: bytes, filename: str, *, is_package: bool) -> None:
        self._source = source
        self._filename = filename
        self._is_package = is_package

    def get_source(self, fullname: str) -> str:
        return decode_source(self._source)

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self._source, self._filename)

    def is_package(self, fullname: str) -> bool:
        return self._is_package


class _Finder(MetaPathFinder):
    """Finds the modules of all private packages that there are."""

    def __init__(self) -> None:
        self.packages: dict[str, PrivatePackage] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package = self.packages.get(fullname.partition(".")[0])
        return None if package is None else package.spec(fullname)


_finder: Final = _Finder()
