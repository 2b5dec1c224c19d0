"""A server process and all its descendants, as one thing that can be told to end.

Theory of operation
-------------------
Commands such as ``npx`` or ``uv run`` start the real server as a grandchild, so signals go to the group that
the child leads (``start_new_session``), never to the child alone. The group's number stays taken as long as
anyone is in it; once it was seen empty it is not used again, for it could by then be somebody else's. Members
that have ended and that nobody has collected yet (containers without an init) count as gone.

On Windows a job object does the same, see `windows_jobs`. A descendant that made a session of its own is out
of reach.

Specification: basic/transports, "stdio", "Shutdown".
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Protocol

__all__ = ["ProcessGroup", "process_group_of"]


class ProcessGroup(Protocol):
    """The processes that came from one start."""

    def ask(self) -> bool:
        """Tell all to end (SIGTERM). False if the system has no such way, or nobody is left."""
        ...

    def kill(self) -> None:
        """End all, now."""
        ...

    def alive(self) -> bool:
        """Whether anybody is left."""
        ...

    def close(self) -> None:
        """Free what watching the family took."""
        ...


def process_group_of(pid: int) -> ProcessGroup:
    """The family whose first member has just been started as ``pid``, in a session of its own."""
    if sys.platform == "win32":
        from .windows_jobs import Job

        return Job(pid)
    return _PosixGroup(pid)


class _PosixGroup:
    """A POSIX process group."""

    def __init__(self, leader: int) -> None:
        self._number = leader
        self._empty = False

    def ask(self) -> bool:
        """SIGTERM, and SIGCONT so that stopped members can act on it."""
        return self._signal(signal.SIGTERM) and self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL; it ends stopped members too."""
        self._signal(signal.SIGKILL)

    def alive(self) -> bool:
        """Whether the group has a member that has not ended."""
        if not self._signal(0):
            return False
        if sys.platform == "linux" and not _has_running_member(self._number):
            self._empty = True
        return not self._empty

    def close(self) -> None:
        """Forget the group: its number is not used again."""
        self._empty = True

    def _signal(self, number: int) -> bool:
        if self._empty:
            return False
        try:
            os.killpg(self._number, number)
        except (
            ProcessLookupError,
            PermissionError,
        ):  # macOS says the latter of a group that has only ended members
            self._empty = True
        return not self._empty


def _has_running_member(group: int) -> bool:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                # "pid (name) state ppid pgrp ...": a name may hold anything, so count from its closing
                # parenthesis.
                state, _, number = (entry / "stat").read_bytes().rpartition(b")")[2].split()[:3]
                if int(number) == group and state not in (b"Z", b"X"):
                    return True
    return False
