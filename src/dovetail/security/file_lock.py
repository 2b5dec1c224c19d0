"""A lock beside a file, held against other processes and against other threads and tasks of this one.

Theory of operation. The operating system holds the lock for as long as the lock file is open, so a process that dies
lets go of it. Nothing tells when another one lets go, so it is tried again after growing pauses, for a bounded time: in
a thread (`locked`), or in a task (`take_lock`). The lock file stays where it is: whoever took it away could let in two.

Specification: none.
"""

import asyncio
import os
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

__all__ = ["LOCK_SECONDS", "locked", "open_lock", "take_lock"]

LOCK_SECONDS: Final = 10.0
"""Seconds that a thread waits for a lock."""
_POLL_FROM: Final = 0.001
_POLL_TO: Final = 0.05
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Hold the lock of a file that processes share, in the thread that this is: ``with locked(path):``. It is a file
    beside that one (``.lock`` after its name), which the operating system lets go of if the process dies. Raises
    TimeoutError where another process or thread did not let go of it in 10 seconds; OSError. Specification: none.
    """
    lock = path.with_name(f"{path.name}.lock")
    descriptor = open_lock(lock)
    try:
        for pause in _pauses(descriptor, lock, LOCK_SECONDS):
            time.sleep(pause)
        yield
    finally:
        os.close(descriptor)


def open_lock(place: Path | str, folder: int | None = None) -> int:
    """The descriptor of a lock file, which is made if need be, for its owner alone, and is no link. ``folder``: the
    descriptor of the folder that it is in. Closing it lets go of the lock. Raises OSError.
    """
    return os.open(place, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o600, dir_fd=folder)


async def take_lock(descriptor: int, path: Path, seconds: float) -> None:
    """Hold the lock of an open lock file, the one at ``path``. Raises TimeoutError after so many seconds; OSError where
    the file system has no locks.
    """
    for pause in _pauses(descriptor, path, seconds):
        await asyncio.sleep(pause)


def _pauses(descriptor: int, path: Path, seconds: float) -> Iterator[float]:
    """Pauses to make, until the lock is held."""
    until, pause = time.monotonic() + seconds, _POLL_FROM
    while not _try_lock(descriptor):
        if time.monotonic() >= until:
            raise TimeoutError(
                f"another process holds {str(path)!r}, and did not let go of it in {seconds:g} seconds"
            )
        yield pause
        pause = min(2 * pause, _POLL_TO)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            os.lseek(descriptor, 0, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
