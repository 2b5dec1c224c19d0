"""A new reading of the program beside the one that serves: how it is started, and what it is given.

Theory of operation
-------------------
A process has the code that it read when it began, and so have those forked from it. So new code needs a new process:
the program is started again as it was started the first time (`sys.orig_argv`), and given the socket that is listened
on, so that no client is ever refused. It loads what it serves, forks workers of its own, and says when all of them
serve; only then are the old ones asked to finish. Had it been the old process that reads the new code, one that is
broken would leave nobody to start a worker anew.

What it is given comes in two ways. A variable of the environment has the numbers of the descriptors, and of the process
that gives them: a program that the new one starts in turn sees the variable as well, and is not meant. Through one of
these descriptors comes what nobody else shall see, the secret that seals what clients carry, so that a state which an
old worker gave out opens at a new one; with it comes the address, for the socket serves no other one.

A parent speaks to its children through pipes that only it can write to, and that the system closes when it dies
(`ParentEnds`, `ChildEnds`); they tell it that they serve through a third.

Specification: none; this is operation, not protocol.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import sys
from typing import Any, Final, NamedTuple

__all__ = ["ChildEnds", "ParentEnds", "Predecessor", "obstacle", "predecessor", "secret", "start_again"]

VARIABLE: Final = "DOVETAIL_GENERATION"
_NEWS: Final = struct.Struct("<qd")
_SECRET_BYTES: Final = 32
_MOST: Final = 65_536  # bytes that a pipe holds, so that nobody has to read while they are written


class ChildEnds(NamedTuple):
    """A child's ends of the pipes: ``end`` and ``retire`` are closed by the parent to say so, ``news`` is written."""

    end: int
    retire: int
    news: int

    def tell_serving(self, limit: float) -> None:
        """This process serves; its end may take ``limit`` seconds."""
        with contextlib.suppress(BrokenPipeError):  # who would hear it is gone, and the other pipes say so
            os.write(self.news, _NEWS.pack(os.getpid(), limit))


class ParentEnds:
    """The pipes to the children of one generation. ``children``: the ends that those get."""

    def __init__(self) -> None:
        end, self._end = os.pipe()
        retire, self._retire = os.pipe()
        self.news, news = os.pipe()
        self.children = ChildEnds(end, retire, news)
        self._open = {*self.children, self._end, self._retire, self.news}

    def end(self) -> None:
        """Have them end now, in good order."""
        self._close(self._end)

    def retire(self) -> None:
        """Have them take no new connections, finish what they have, and end."""
        self._close(self._retire)

    def read_news(self) -> list[tuple[int, float]]:
        """Who serves now: ids of processes, and the seconds that their end may take. For when there is some."""
        data = os.read(self.news, _NEWS.size * 256)
        return list(_NEWS.iter_unpack(data[: len(data) - len(data) % _NEWS.size]))

    def close_children(self) -> None:
        """Close the children's ends, once they have them: for a parent that starts no more of them."""
        for end in self.children:
            self._close(end)

    def keep_children(self) -> None:
        """Keep nothing but a child's ends: in a child that was forked."""
        for end in self._open.difference(self.children):
            self._close(end)

    def close(self) -> None:
        """Close everything."""
        for end in tuple(self._open):
            self._close(end)

    def _close(self, end: int) -> None:
        if end in self._open:
            self._open.discard(end)
            with contextlib.suppress(OSError):
                os.close(end)


class Predecessor(NamedTuple):
    """What the process before this one has handed over: its ``socket`` for ``address``, and the ``pipes`` to it."""

    socket: socket.socket
    address: Any
    pipes: ChildEnds
    secret: bytes


def obstacle() -> str | None:
    """Why this program can't be started again as it was started; None if it can."""
    words = sys.orig_argv
    if not sys.executable or len(words) < 2 or words[-1] == "-" or hasattr(sys, "ps1"):
        return "it was not started from a file or a module"
    if "multiprocessing" in sys.modules:
        from multiprocessing import parent_process

        if parent_process() is not None:
            return "another program started it as a process of its own (multiprocessing)"
    return None


def start_again(sock: socket.socket, address: object, pipes: ChildEnds) -> int:
    """Start this program once more, and give it a socket, what that is bound to, and pipes. Gives its process id.

    Raises `OSError`.
    """
    reading, writing = os.pipe()
    given = (sock.fileno(), *pipes, reading)
    hangup = signal.getsignal(signal.SIGHUP)
    try:
        os.write(writing, json.dumps({"address": address, "secret": secret().hex()}).encode())
        os.close(writing)
        for descriptor in given:
            os.set_inheritable(descriptor, True)
        # Its parent says what a hang-up means; the new one shall not die of it before it can know that.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        environment = {**os.environ, VARIABLE: ":".join(map(str, (os.getpid(), *given)))}
        return os.posix_spawn(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
    finally:
        signal.signal(signal.SIGHUP, hangup)
        for descriptor in given:
            os.set_inheritable(descriptor, False)
        os.close(reading)


class _Inherited:
    """What this process was given, and the secret that it shares with those before and after it."""

    predecessor: Predecessor | None = None
    secret: bytes = b""


def predecessor() -> Predecessor | None:
    """What the process before this one handed over, if there was one."""
    told = os.environ.pop(VARIABLE, None)
    if told is not None:
        numbers = [int(each) if each.isdecimal() else -1 for each in told.split(":")]
        if len(numbers) == 6 and numbers[0] == os.getppid():  # else it was meant for the one that started us
            _Inherited.predecessor = _taken(*numbers[1:])
            _Inherited.secret = _Inherited.predecessor.secret
    return _Inherited.predecessor


def secret() -> bytes:
    """32 random bytes that this process shares with those before and after it, and with nobody else."""
    predecessor()
    if not _Inherited.secret:
        _Inherited.secret = os.urandom(_SECRET_BYTES)
    return _Inherited.secret


def _taken(sock: int, end: int, retire: int, news: int, reading: int) -> Predecessor:
    for descriptor in (sock, end, retire, news, reading):
        os.set_inheritable(descriptor, False)
    told = json.loads(os.read(reading, _MOST))
    os.close(reading)
    return Predecessor(
        socket.socket(fileno=sock),
        told["address"],
        ChildEnds(end, retire, news),
        bytes.fromhex(told["secret"]),
    )
