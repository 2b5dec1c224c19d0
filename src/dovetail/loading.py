"""Finding the app in a file: ``server.py``, or ``server.py:name``.

The file is imported as a module, with its folder first on ``sys.path``, as if it had been started as a
script; a file inside a package is imported as a part of it, so that its relative imports work. Only the
standard library is used here.
"""

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, Final

__all__ = ["CannotLoad", "load_app", "split_place"]

NAMES: Final = ("app", "server", "mcp")


class CannotLoad(Exception):
    """There is no app to be had from a file; the text says why and what to do."""


def load_app(place: str) -> Any:
    """The app in ``FILE`` or ``FILE:NAME``. Raises `CannotLoad`, with the file's own exception as its cause."""
    path, name = split_place(place)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise CannotLoad(f"{str(path)!r} {what}; name a Python file with an App in it")
    module = _load(path)
    if name:
        return _named(module, path, name)
    return _found(module, path)


def split_place(place: str) -> tuple[Path, str]:
    """The file, and the name of the app in it or ""."""
    path, colon, name = place.rpartition(":")
    if colon and len(path) > 1 and name and all(part.isidentifier() for part in name.split(".")):
        return Path(path), name
    return Path(place), ""


def _load(path: Path) -> ModuleType:
    path = path.resolve()
    folder, name = path.parent, path.stem
    while (folder / "__init__.py").is_file():
        name = f"{folder.name}.{name}"
        folder = folder.parent
    if str(folder) not in sys.path[:1]:
        sys.path.insert(0, str(folder))
    try:
        if "." in name:
            return importlib.import_module(name)
        return _execute(path, name)
    except (KeyboardInterrupt, CannotLoad):
        raise
    except SystemExit as ended:
        raise CannotLoad(
            f"{path.name} ended the process (exit {ended.code!r}) while it was imported"
        ) from ended
    except BaseException as problem:
        raise CannotLoad(f"{_where(problem, path)}: {type(problem).__name__}: {problem}") from problem


def _execute(path: Path, name: str) -> ModuleType:
    """Import a file by its path, under its own name unless another module has that."""
    if not name.isidentifier() or name in sys.modules or name in sys.stdlib_module_names:
        name = f"dovetail_file_{''.join(c if c.isalnum() else '_' for c in name)}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise CannotLoad(f"{path.name!r} is no Python file; its name has to end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _named(module: ModuleType, path: Path, name: str) -> Any:
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise CannotLoad(f"{path.name} has nothing named {name!r}{_offer(_apps(module))}")
    if not _is_app(found):
        raise CannotLoad(
            f"{name!r} in {path.name} is a {type(found).__name__}, not an App{_offer(_apps(module))}"
        )
    return found


def _found(module: ModuleType, path: Path) -> Any:
    for name in NAMES:
        found = getattr(module, name, None)
        if _is_app(found):
            return found
    apps = _apps(module)
    if len({id(app) for app in apps.values()}) == 1:
        return next(iter(apps.values()))
    if apps:
        raise CannotLoad(f"{path.name} has several apps{_offer(apps)}")
    raise CannotLoad(f"{path.name} has no App in it; write `app = App(...)` at its top level")


def _is_app(value: Any) -> bool:
    home = sys.modules.get("dovetail.server.app")
    return home is not None and isinstance(value, home.App)


def _apps(module: ModuleType) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if _is_app(value)}


def _offer(apps: dict[str, Any]) -> str:
    return f"; say which: {', '.join(f'FILE:{name}' for name in apps)}" if apps else ""


def _where(problem: BaseException, path: Path) -> str:
    """The line of the author's own file that a problem comes from."""
    if isinstance(problem, SyntaxError) and problem.filename:
        return f"{Path(problem.filename).name}:{problem.lineno}"
    lines = [
        frame.lineno for frame in traceback.extract_tb(problem.__traceback__) if frame.filename == str(path)
    ]
    return f"{path.name}:{lines[-1]}" if lines else path.name
