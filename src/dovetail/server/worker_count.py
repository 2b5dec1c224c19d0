"""How many processes the server around this one was told to start.

Theory of operation. No interface tells an application that, and each server starts its workers in a way of its own. But
an application is loaded by its server, and in a worker the server's frames are still on the stack of the main thread:
under uvicorn and hypercorn the process was given the configuration, under gunicorn the worker holds it, under granian
the parent was forked with all its frames, or left its command line behind. So the frames are asked first, then the
command line, then the environment, which says what servers take unless they are told otherwise. What is not recognized
counts as one.

Specification: none; this is operation, not protocol.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any, Final

#: What servers take from the environment when nothing else is said.
ENVIRONMENT: Final = "WEB_CONCURRENCY"
_GRANIAN: Final = "GRANIAN_WORKERS"
_FLAGS: Final = ("--workers", "-w")


def _of_config(local: Mapping[str, Any]) -> Any:
    return getattr(local.get("config"), "workers", None)


def _of_settings(local: Mapping[str, Any]) -> Any:
    return getattr(getattr(local.get("self"), "cfg", None), "workers", None)


def _of_itself(local: Mapping[str, Any]) -> Any:
    return getattr(local.get("self"), "workers", None)


def _one(_: Mapping[str, Any]) -> int:
    return 1


#: Where to look in the frames of a module, and how; the most that is found counts.
_FRAMES: Final[Mapping[str, Callable[[Mapping[str, Any]], Any]]] = {
    "uvicorn._subprocess": _of_config,
    "uvicorn.server": _one,
    "gunicorn.arbiter": _of_settings,
    "gunicorn.workers.base": _of_settings,
    "hypercorn.asyncio.run": _of_config,
    "hypercorn.trio.run": _of_config,
    "granian.server.common": _of_itself,
    "granian.server.mp": _of_itself,
}
_COMMANDS: Final = frozenset({"uvicorn", "gunicorn", "hypercorn", "granian", "fastapi"})


def count_workers() -> int:
    """The number of processes that serve together, as far as that can be known; at least 1."""
    seen = [number for frame in _stack() if (number := _told(frame)) is not None]
    if seen and (max(seen) > 1 or not _is_granian()):
        return max(seen)
    return max(1, _on_the_command_line() or _number(os.environ.get(ENVIRONMENT)) or 1)


def _stack() -> Iterator[FrameType]:
    """The frames below this call, and those of the main thread."""
    main = threading.main_thread().ident or 0
    here = sys._getframe(1)  # pyright: ignore[reportPrivateUsage] - documented
    others = sys._current_frames().get(main)  # pyright: ignore[reportPrivateUsage] - documented, for debuggers
    for top in (here, others):
        frame = top
        while frame is not None:
            yield frame
            frame = frame.f_back


def _told(frame: FrameType) -> int | None:
    look = _FRAMES.get(frame.f_globals.get("__name__", ""))
    number = None if look is None else look(frame.f_locals)
    return max(1, number) if isinstance(number, int) and not isinstance(number, bool) else None


def _is_granian() -> bool:
    """Whether a granian was started with a fresh interpreter, which has the command line and no frames."""
    return "granian.server" in sys.modules


def _on_the_command_line() -> int | None:
    if not sys.argv:
        return None
    from pathlib import PurePath  # a server on stdio starts without it

    names = PurePath(sys.argv[0]).with_suffix("").parts[-2:]
    command = next((name for name in names if name in _COMMANDS), None)
    if command is None:
        return None
    words = sys.argv[1:]
    for at, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag in _FLAGS:
            return _number(value if equals else next(iter(words[at + 1 :]), ""))
    return _number(os.environ.get(_GRANIAN)) if command == "granian" else None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
