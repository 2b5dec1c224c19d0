"""A process between a host and its server on stdio, which records what the two say to each other.

Theory of operation. The host starts this process in the place of the server's command, and this one starts that. What
comes on standard input goes to the server, what the server writes goes to standard output, byte for byte, each way in a
thread of its own that reads only when it could write; standard error is the server's own, inherited. Lines are recorded
before they are passed on, so that no answer stands before its question. What fails in recording is logged and holds up
nothing.

Signals are passed on, once each: the server is in a process group of its own, for a terminal and a host that signals
the group would reach it twice. If this process is killed, the server sees the end of its input. It ends as the server
ended, with the same exit code or by the same signal.

Specification: basic/transports, "stdio".
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, BinaryIO, Final, cast

from ..capture.lines import Sender
from ..capture.writing import CaptureLink, CaptureWriter
from ..errors import ConnectFailed
from ..logs import get_logger
from ..protocol.bindings.lines import LineSplitter, LineTooLong

__all__ = ["record_pipe"]

_log: Final = get_logger("dovetail.recording")
_CHUNK: Final = 1 << 16
#: Seconds without a byte after which nothing more is waited for once the server has ended: who inherited its output
#: may keep that open for ever.
_SILENCE: Final = 1.0
_PASSED_ON: Final = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGCONT")


def record_pipe(command: Sequence[str], writer: CaptureWriter) -> int:
    """Run a server on the standard streams of this process until it ends, and record what passes. Gives its exit code,
    negative for the signal that ended it. To be called in the main thread. Raises `ConnectFailed` for a command that
    can't be started.
    """
    link = writer.link("stdio", os.path.basename(command[0]))
    try:
        process = subprocess.Popen(  # noqa: S603 - the command that somebody wants to have recorded
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            process_group=0 if os.name == "posix" else None,
        )
    except OSError as problem:
        raise ConnectFailed(f"cannot start {command[0]!r}: {problem.strerror or problem}") from None
    stdin, stdout = cast("BinaryIO", process.stdin), cast("BinaryIO", process.stdout)
    before = _passing_on(process)
    inwards = _Way("client", 0, stdin.fileno(), link, stdin.close)
    outwards = _Way("server", stdout.fileno(), 1, link, stdout.close)
    try:
        inwards.start()
        outwards.start()
        code = process.wait()
        outwards.finish()
        return code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        link.mark("close")


class _Way:
    """One direction. ``done`` lets go of the server's end of it."""

    def __init__(
        self, sender: Sender, source: int, drain: int, link: CaptureLink, done: Callable[[], None]
    ) -> None:
        self._sender: Final[Sender] = sender
        self._source, self._drain = source, drain
        self._link = link
        self._done = done
        self._splitter = LineSplitter(link.writer.max_message)
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"dovetail: {sender}'s messages")
        self._passed = 0
        self._writing = False

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def finish(self) -> None:
        """Wait until all is passed on. Nobody writes any more, or nobody who matters."""
        passed = -1
        while self._thread.is_alive() and (self._writing or passed != self._passed):
            passed = self._passed
            self._thread.join(_SILENCE)

    def _run(self) -> None:
        try:
            with suppress(OSError):  # the other side is gone
                while chunk := os.read(self._source, _CHUNK):
                    self._writing = True
                    self._note(chunk)
                    _write(self._drain, chunk)
                    self._passed += len(chunk)
                    self._writing = False
            self._last()
        finally:
            self._writing = False
            with suppress(OSError):
                self._done()
            if self._source == 0:
                _let_go(0)  # so that a host that goes on writing learns of it

    def _note(self, chunk: bytes) -> None:
        try:
            try:
                lines = self._splitter.feed(chunk)
            except LineTooLong as problem:
                lines = problem.lines
                self._link.writer.put(self._link, self._sender, None, omitted=problem.limit)
            for line in lines:
                self._link.message(self._sender, line)
        except Exception:  # noqa: BLE001 - whatever it is: what is recorded goes on
            _log.exception("a message was passed on and not recorded")

    def _last(self) -> None:
        last = self._splitter.close()
        if last is not None:
            self._link.message(self._sender, last)


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _let_go(descriptor: int) -> None:
    """Close a standard stream, and leave something harmless in its place."""
    with suppress(OSError):
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, descriptor)
        os.close(nothing)


def _passing_on(process: subprocess.Popen[bytes]) -> dict[int, Any]:
    """Pass signals on to a process; gives what was done with them before."""

    def pass_on(number: int, _: Any) -> None:
        with suppress(ProcessLookupError, OSError):
            process.send_signal(number)

    before: dict[int, Any] = {}
    for name in _PASSED_ON:
        number = getattr(signal, name, None)
        if number is not None:
            with suppress(OSError, ValueError):
                before[number] = signal.signal(number, pass_on)
    return before
