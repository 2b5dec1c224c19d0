"""``dovetail new NAME``: a folder with a server that runs, is tested, and can be installed.

The folder is made, never filled: where anything of that name is there, nothing is written. NAME becomes the name of a
distribution, of a package and of a command, so it is held to what all three may be called.
"""

import keyword
import re
import sys
from pathlib import Path
from typing import Annotated, Final

try:
    from cyclopts import Parameter
except ImportError as missing:
    raise ImportError(
        "this command needs the command line's own packages: pip install 'dovetail[cli]'"
    ) from missing

import dovetail

from .exits import OK, UsageError
from .project_files import files_of
from .screen import Screen

__all__ = ["new", "package_of"]

_NAME: Final = re.compile(r"[A-Za-z](?:[A-Za-z0-9]|[._-](?=[A-Za-z0-9]))*")
_LONGEST: Final = 64
_TAKEN: Final = frozenset({"dovetail", "mcp", "pytest", "test", "tests", "server", "src"})


def new(
    name: str,
    /,
    *,
    http: Annotated[bool, Parameter(negative="", help="A server over HTTP, for many people.")] = False,
    stdio: Annotated[
        bool, Parameter(negative="", help="A server that hosts start as a process (the default).")
    ] = False,
    quiet: Annotated[
        bool, Parameter(("--quiet", "-q"), negative="", help="Show errors, and nothing else.")
    ] = False,
) -> int:
    """Make a folder with a server: a tool, a resource, a prompt, and tests that pass."""
    if http and stdio:
        raise UsageError("--http and --stdio exclude each other; `dovetail run` serves any app either way")
    package = package_of(name)
    folder = Path(name)
    try:
        folder.mkdir()
    except FileExistsError:
        raise UsageError(f"{name!r} is there already, and nothing was changed; choose another name") from None
    except OSError as problem:
        raise UsageError(f"the folder {name!r} can't be made: {problem.strerror}") from None
    made = files_of(name, package, version=dovetail.__version__, http=http)
    for place, text in made.items():
        path = folder / place
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8", newline="\n")
        except OSError as problem:
            raise UsageError(f"{name}/{place} can't be written: {problem.strerror}") from None
    screen = Screen(quiet=quiet)
    for place in made:
        screen.note(f"wrote {name}/{place}")
    screen.note(f"next: cd {name} && pip install -e '.[test]' && pytest")
    return OK


def package_of(name: str) -> str:
    """The package of a project. Raises `UsageError` for what a distribution, a package or a command can't be called."""
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise UsageError(
            f"{name!r} can't name a project: letters, digits, and single - _ or . between them, a letter first,"
            f" {_LONGEST} at most; the folder is made here, so it is a name and no path"
        )
    package = re.sub(r"[.-]", "_", name).lower()
    if keyword.iskeyword(package) or keyword.issoftkeyword(package):
        raise UsageError(
            f"{name!r} is a word of Python's own, so no package can have this name; choose another"
        )
    if package in sys.stdlib_module_names or package in _TAKEN:
        raise UsageError(
            f"there is a module {package!r} already, which the project would hide; choose another name"
        )
    return package
