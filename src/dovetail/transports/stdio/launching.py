"""What a server process is started with: its command, made safe, and its environment, made small.

Theory of operation
-------------------
A server that somebody else wrote gets the variables a program needs to run and none of the secrets that
happen to be set: an allow-list, plus what the caller gives. Commands are lists and no shell ever sees them.
The one exception that cannot be avoided is Windows, where ``.cmd`` and ``.bat`` files (npx, for one) are run
by cmd.exe, which parses the arguments again by rules that no quoting satisfies: arguments with its
metacharacters are refused there.

Errors name the program, the script or module that an interpreter runs, and never other arguments or the environment,
which carry keys often enough.

Specification: basic/transports, "stdio": the client launches the server.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Final

from ...protocol.errors import ConnectFailed

__all__ = [
    "INHERITED",
    "check_directory",
    "child_environment",
    "program_name",
    "python_file",
    "resolve_command",
]

WINDOWS: Final = sys.platform == "win32"

INHERITED: Final[tuple[str, ...]] = (
    (
        "APPDATA",
        "COMSPEC",
        "HOMEDRIVE",
        "HOMEPATH",
        "LOCALAPPDATA",
        "NUMBER_OF_PROCESSORS",
        "PATH",
        "PATHEXT",
        "PROCESSOR_ARCHITECTURE",
        "PROGRAMDATA",
        "PROGRAMFILES",
        "PROGRAMFILES(X86)",
        "SYSTEMDRIVE",
        "SYSTEMROOT",
        "TEMP",
        "TMP",
        "USERNAME",
        "USERPROFILE",
        "WINDIR",
    )
    if WINDOWS
    else ("HOME", "LANG", "LC_*", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "USER")
)
"""The variables a server gets from us by default; a name that ends in ``*`` stands for all that begin so."""

_BATCH: Final = (".cmd", ".bat")
_CMD_METACHARACTERS: Final = re.compile(r'[\x00-\x1f"%!^&|<>()]')


def child_environment(
    given: Mapping[str, str] | None = None,
    *,
    inherit: Iterable[str] = INHERITED,
    source: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The environment of a server: what ``inherit`` allows out of ``source`` (default: ours), then ``given``.

    Exported shell functions are never passed on. Raises `ConnectFailed` for a name or value that no
    environment can hold; the value is not quoted.
    """
    names = {_fold(name) for name in inherit}
    prefixes = tuple(name[:-1] for name in names if name.endswith("*"))
    environment = {
        name: value
        for name, value in (os.environ if source is None else source).items()
        if (_fold(name) in names or (prefixes and _fold(name).startswith(prefixes)))
        and not value.startswith("()")
    }
    for name, value in (given or {}).items():
        if not name or "=" in name or "\0" in name or "\0" in value:
            raise ConnectFailed(
                f"the environment variable {name!r} has a name or value with '=' or NUL in it"
            )
        environment[name] = value
    return environment


def resolve_command(
    command: Sequence[str], environment: Mapping[str, str], *, windows: bool = WINDOWS
) -> list[str]:
    """The command with its program found on the server's own PATH.

    Raises `ConnectFailed`: nothing to run, NUL in an argument, no such program, or (Windows batch files) an
    argument that cmd.exe would take apart.
    """
    if isinstance(command, str | bytes) or not command or not command[0]:
        raise ConnectFailed(
            "a command is a list of strings that starts with a program, such as ['python', 'server.py']"
        )
    if any("\0" in part for part in command):
        raise ConnectFailed(
            f"an argument of {program_name(command)} has a NUL character, which no program can be given"
        )
    program = command[0]
    if PurePath(program).name == program or windows:
        path = next((value for name, value in environment.items() if _fold(name) == "PATH"), os.defpath)
        found = shutil.which(program, path=path)
        if found is None:
            file, colon, app = program.rpartition(":")
            if colon and file.lower().endswith(".py"):
                raise ConnectFailed(
                    f"there is no program {program!r}; to be given {app!r} of {file}, start it with:"
                    f" dovetail run {program}"
                )
            raise ConnectFailed(
                f"there is no program {program!r} on the PATH the server is started with;"
                " install it or name its full path"
            )
        program = found
    if windows and program.lower().endswith(_BATCH):
        _refuse_metacharacters(command)
    return [program, *command[1:]]


def check_directory(directory: str | os.PathLike[str] | None) -> None:
    """Raise `ConnectFailed` unless ``directory`` is None or a directory that exists."""
    if directory is None:
        return
    name = os.fspath(directory)
    if "\0" in name or not os.path.isdir(name):
        raise ConnectFailed(f"the server's working directory {name!r} is not a directory")


_SCRIPTS: Final = (".py", ".pyz", ".js", ".mjs", ".cjs", ".ts", ".rb", ".sh")
_MODULE: Final = re.compile(r"[A-Za-z_][\w.]{0,127}")


def program_name(command: Sequence[str]) -> str:
    """The program as errors name it: quoted, without its arguments, which may hold secrets. Where one of them is the
    script or module that it runs, that is named as well.
    """
    name = command[0] if command else ""
    script, rest = _script(command), len(command) - 1
    if script is None:
        return f"{name!r}" if rest < 1 else f"{name!r} (with {rest} argument{'s' if rest > 1 else ''})"
    return f"{script!r}, run by {name!r}"


_PYTHONS: Final = re.compile(
    r"(python|pypy|uv|uvx|poetry|pipenv|pdm|hatch|rye|run)[0-9.t]*(\.exe)?", re.IGNORECASE
)


def python_file(command: Sequence[str]) -> str:
    """The Python file that a command runs as its program, if it says so plainly: its name, or ""."""
    for part in command:
        if part.endswith(".py"):
            return os.path.basename(part) if "\0" not in part and os.path.isfile(part) else ""
        if not (part.startswith("-") and part != "-m") and not _PYTHONS.fullmatch(PurePath(part).name):
            return ""
    return ""


def _script(command: Sequence[str]) -> str | None:
    """The name of the script or module that an interpreter is to run, if the command says it plainly: what follows
    ``-m``, or the first argument that is no option, if it is a file with a script's ending.
    """
    for position, part in enumerate(command[1:], 1):
        if part == "-m" and position + 1 < len(command):
            module = command[position + 1]
            return module if _MODULE.fullmatch(module) else None
        if not part.startswith("-"):
            is_script = part.endswith(_SCRIPTS) and "\0" not in part and os.path.isfile(part)
            return os.path.basename(part) if is_script else None
    return None


def _refuse_metacharacters(command: Sequence[str]) -> None:
    for position, part in enumerate(command[1:], 1):
        if _CMD_METACHARACTERS.search(part):
            raise ConnectFailed(
                f"argument {position} of {command[0]!r} has a character that is special to cmd.exe, which runs"
                " batch files; start the program behind the batch file instead, such as node with the script's path"
            )


def _fold(name: str) -> str:
    return name.upper() if WINDOWS else name
