"""How many processes the server around this one was told to start.

Theory of operation. No interface tells an application that. But whoever starts workers was told so itself, in places
that its manual names and that a worker has as well: its command line (`sys.argv`, which spawned processes are given
too), its variables of the environment, its configuration file. These are read in the order that the server reads them.

A server that another program starts (``uvicorn.run(..., workers=4)``) was told by that program alone. There nobody can
know: it counts as one worker, and the log says so where the process is another one's child.

Specification: none; this is operation, not protocol.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from ..logs import get_logger

log = get_logger("dovetail.server")

_GUNICORN: Final = "gunicorn"
_HYPERCORN: Final = "hypercorn"


class _Command(NamedTuple):
    """How a server is told: options of its command line, then variables of the environment; the first that is there."""

    options: tuple[str, ...]
    variables: tuple[str, ...] = ()


_COMMANDS: Final[Mapping[str, _Command]] = {
    "fastapi": _Command(("--workers",), ("WEB_CONCURRENCY",)),
    "granian": _Command(("--workers",), ("GRANIAN_WORKERS",)),
    _GUNICORN: _Command(("--workers", "-w"), ("WEB_CONCURRENCY",)),
    _HYPERCORN: _Command(("--workers", "-w")),
    "uvicorn": _Command(("--workers",), ("UVICORN_WORKERS", "WEB_CONCURRENCY")),
}
#: Servers that a program of somebody's may start, with workers that are processes of `multiprocessing`.
_STARTED_BY_PROGRAMS: Final = frozenset({"granian", _HYPERCORN, "uvicorn"})


def count_workers() -> int:
    """The number of processes that serve together, as far as that can be known; at least 1."""
    name = _command()
    if name is None:
        if _may_be_one_of_several():
            log.warning(
                "another process started this one to serve, maybe beside others, and nobody can tell it how many: it "
                "counts as the only one. If there are several, say so with App.asgi(workers=...), and give them what "
                "they share: DOVETAIL_STORE=redis://host (or another store's URL) and DOVETAIL_KEYS in the environment"
            )
        return 1
    return max(1, next((number for number in _told(name) if number is not None), 1))


def _command() -> str | None:
    """The server whose command line this process has: ``uvicorn``, or ``python -m uvicorn``."""
    from pathlib import PurePath  # a server on stdio starts without it

    names = PurePath(sys.argv[0] if sys.argv else "").with_suffix("").parts[-2:]
    return next((name for name in names if name in _COMMANDS), None)


def _told(name: str) -> Iterator[int | None]:
    """What the server was told, where it looks for it, what counts most first; None where it says nothing."""
    words, command = sys.argv[1:], _COMMANDS[name]
    yield _number(_option(words, command.options))
    if name == _GUNICORN:
        yield _number(_option(os.environ.get("GUNICORN_CMD_ARGS", "").split(), command.options))
        # Its configuration file is a module in each worker.
        named = _option(words, ("--config", "-c")) or ""
        module = named.removeprefix("python:") if named.startswith("python:") else "__config__"
        yield _number(getattr(sys.modules.get(module), "workers", None))
    if name == _HYPERCORN:
        yield _in_toml(_option(words, ("--config", "-c")))
    for variable in command.variables:
        yield _number(os.environ.get(variable))


def _option(words: Sequence[str], names: Sequence[str]) -> str | None:
    """The value of an option, the last one if it is there several times."""
    found: str | None = None
    for at, word in enumerate(words):
        for name in names:
            if word == name:
                found = next(iter(words[at + 1 :]), None)
            elif word.startswith(f"{name}=" if name.startswith("--") else name):
                found = word[len(name) :].removeprefix("=")
    return found


def _in_toml(path: str | None) -> int | None:
    """What hypercorn's configuration file says, if it is no Python."""
    if path is None or path.startswith(("file:", "python:")):
        return None
    import tomllib

    try:
        with open(path, "rb") as file:
            return _number(tomllib.load(file).get("workers"))
    except (OSError, tomllib.TOMLDecodeError):
        return None


def _number(told: Any) -> int | None:
    if isinstance(told, str):
        return int(told) if told.isdecimal() else None
    return told if isinstance(told, int) and not isinstance(told, bool) else None


def _may_be_one_of_several() -> bool:
    """Whether a server that a program started could have made this process."""
    if os.environ.get("SERVER_SOFTWARE", "").startswith(f"{_GUNICORN}/"):
        return True
    if _STARTED_BY_PROGRAMS.isdisjoint(sys.modules) or "multiprocessing" not in sys.modules:
        return False
    from multiprocessing import parent_process

    return parent_process() is not None
