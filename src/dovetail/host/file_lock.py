"""A lock beside a file, held against other processes and against other threads of this one.

Theory of operation. The operating system holds the lock for as long as the lock file is open, so a process that dies
lets go of it. Nothing tells when another one lets go, so it is tried again after growing pauses, for a bounded time.
The lock file stays where it is: whoever took it away could let in two.

Specification: none.
"""

import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

__all__ = ["LOCK_SECONDS", "locked"]

LOCK_SECONDS: Final = 10.0
"""Seconds that a lock is waited for."""
_POLL_FROM: Final = 0.001
_POLL_TO: Final = 0.05
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Hold the lock of a file, in the thread that this is. Raises TimeoutError after 10 seconds; OSError."""
    lock = path.with_name(f"{path.name}.lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o600)
    try:
        until, pause = time.monotonic() + LOCK_SECONDS, _POLL_FROM
        while not _try_lock(descriptor):
            if time.monotonic() >= until:
                raise TimeoutError(
                    f"another process holds {str(lock)!r}, and did not let go of it in {LOCK_SECONDS:g} seconds"
                )
            time.sleep(pause)
            pause = min(2 * pause, _POLL_TO)
        yield
    finally:
        os.close(descriptor)


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
