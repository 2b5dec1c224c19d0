"""A process between a host and its server on stdio, which records what the two say to each other.

Theory of operation. The host starts this process in the place of the server's command, and this one starts that. What
comes on standard input goes to the server, what the server writes goes to standard output, byte for byte, each way in a
thread of its own that reads only when it could write; so does standard error. Lines are recorded before they are passed
on, so that no answer stands before its question. What fails in recording is logged and holds up nothing.

Where there is an interceptor, it is handed whole lines, and what it sends goes on in their place. It may come and go
between two lines; the rest of a line that has begun to pass goes after it.

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
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, BinaryIO, Final, cast

from ..capture.lines import Sender
from ..capture.writing import CaptureLink, CaptureWriter
from ..errors import ConnectFailed
from ..logs import get_logger
from ..protocol.bindings.lines import LineSplitter, LineTooLong
from .intercepting import PipeInterceptor

__all__ = ["PipeRelay"]

_log: Final = get_logger("dovetail.recording")
_CHUNK: Final = 1 << 16
#: Seconds without a byte after which nothing more is waited for once the server has ended: who inherited its output
#: may keep that open for ever.
_SILENCE: Final = 1.0
_PASSED_ON: Final = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGCONT")
_BROKEN: Final = "the {} has closed its end, or it was closed"


class PipeRelay:
    """A server, started on the standard streams of this process, and recorded.

    ``command``: the program with its arguments. ``writer``: what passes is recorded there, and each line of the
    server's standard error. ``interceptor``: what decides about each line (default: nothing, bytes pass as they come);
    it can be set anew while the relay runs, and counts from the next line on. ``env``: the server's environment
    (default: that of this process); ``cwd``: its folder (default: the current one).
    """

    def __init__(
        self,
        command: Sequence[str],
        writer: CaptureWriter,
        *,
        interceptor: PipeInterceptor | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
    ) -> None:
        self.command: Final = tuple(command)
        self.interceptor = interceptor
        self._writer = writer
        self._env, self._cwd = env, cwd

    def run(self) -> int:
        """Run the server until it ends; gives its exit code, negative for the signal that ended it. To be called in the
        main thread, once. Raises `ConnectFailed` for a command that can't be started.
        """
        link = self._writer.link("stdio", os.path.basename(self.command[0]))
        try:
            process = self._started()
        except OSError as problem:
            raise ConnectFailed(f"cannot start {self.command[0]!r}: {problem.strerror or problem}") from None
        stdin, stdout = cast("BinaryIO", process.stdin), cast("BinaryIO", process.stdout)
        stderr = cast("BinaryIO", process.stderr)
        before = _passing_on(process)
        pipe = _Pipe(link, _End(1, lambda: _let_go(1)), _End(stdin.fileno(), stdin.close))
        inwards = _Messages(self, pipe, "client", 0)
        outwards = _Messages(self, pipe, "server", stdout.fileno(), stdout.close)
        beside = _Beside(link, stderr.fileno(), stderr.close)
        try:
            for each in (inwards, outwards, beside):
                each.start()
            code = process.wait()
            outwards.finish()
            beside.finish()
            return code
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            link.mark("close")

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - the command that somebody wants to have recorded
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=self._env,
            cwd=self._cwd,
            process_group=0 if os.name == "posix" else None,
        )


class _End:
    """A descriptor that is written to. Who closes it while another thread writes waits for that."""

    def __init__(self, descriptor: int, close: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._close = close
        self._lock = threading.Lock()
        self._open = True

    def write(self, data: bytes) -> bool:
        """Write all of it; False where this end is closed. Raises OSError where the other one is."""
        with self._lock:
            if self._open:
                _write(self._descriptor, data)
            return self._open

    def close(self) -> None:
        """Let go. Idempotent."""
        with self._lock, suppress(OSError):
            if self._open:
                self._open = False
                self._close()


class _Pipe:
    """Both ends: a `RelayedPipe`."""

    def __init__(self, link: CaptureLink, client: _End, server: _End) -> None:
        self.link: Final = link
        self._ends: Final[dict[Sender, _End]] = {"client": client, "server": server}

    def send(self, to: Sender, data: bytes) -> None:
        if not self._ends[to].write(data):
            raise BrokenPipeError(_BROKEN.format(to))

    def close(self, to: Sender) -> None:
        self._ends[to].close()


class _Way:
    """Bytes from one descriptor, until it ends. ``done`` lets go of it."""

    def __init__(self, name: str, source: int, done: Callable[[], None]) -> None:
        self._source = source
        self._done = done
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"dovetail: {name}")
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
                    self._take(chunk)
                    self._passed += len(chunk)
                    self._writing = False
            self._writing = True
            with suppress(OSError):
                self._last()
        finally:
            self._writing = False
            with suppress(OSError):
                self._done()

    def _take(self, chunk: bytes) -> None:
        raise NotImplementedError  # the two ways below say it

    def _last(self) -> None:
        raise NotImplementedError  # the two ways below say it


class _Messages(_Way):
    """One direction of the protocol. ``_held``: the line that an interceptor will get when it is whole; ``_begun``: a
    part of the line was passed on already, and so will be the rest.
    """

    def __init__(
        self,
        relay: PipeRelay,
        pipe: _Pipe,
        sender: Sender,
        source: int,
        done: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(f"{sender}'s messages", source, done or self._left)
        self._relay = relay
        self._pipe = pipe
        self._sender: Final[Sender] = sender
        self._to: Final[Sender] = "server" if sender == "client" else "client"
        self._splitter = LineSplitter(pipe.link.writer.max_message)
        self._held: list[bytes] = []
        self._size = 0
        self._begun = False

    def _take(self, chunk: bytes) -> None:
        interceptor = self._relay.interceptor
        if interceptor is None:
            self._note(chunk)
            self._release()
            self._pipe.send(self._to, chunk)
            self._begun = not chunk.endswith(b"\n")
            return
        at = 0
        while at < len(chunk):
            end = chunk.find(b"\n", at) + 1 or len(chunk)
            self._piece(interceptor, chunk[at:end])
            at = end

    def _piece(self, interceptor: PipeInterceptor, piece: bytes) -> None:
        """A line, or a part of one."""
        self._note(piece)
        whole = piece.endswith(b"\n")
        if self._begun:
            self._pipe.send(self._to, piece)
            self._begun = not whole
            return
        self._held.append(piece)
        self._size += len(piece)
        if whole:
            line = b"".join(self._held)
            self._held.clear()
            self._size = 0
            self._intercepted(interceptor, line)
        elif self._size > self._pipe.link.writer.max_message:  # nobody looks into one that long
            self._release()
            self._begun = True

    def _intercepted(self, interceptor: PipeInterceptor, line: bytes) -> None:
        try:
            interceptor.message(self._sender, line, self._pipe)
        except OSError:
            raise
        except Exception:  # noqa: BLE001 - whatever it is: what it does not want to decide goes on as it is
            _log.exception("an interceptor failed, and a line was passed on unchanged")
            self._pipe.send(self._to, line)

    def _release(self) -> None:
        if self._held:
            held = b"".join(self._held)
            self._held.clear()
            self._size = 0
            self._pipe.send(self._to, held)

    def _note(self, chunk: bytes) -> None:
        link = self._pipe.link
        try:
            try:
                lines = self._splitter.feed(chunk)
            except LineTooLong as problem:
                lines = problem.lines
                link.writer.put(link, self._sender, None, omitted=problem.limit)
            for line in lines:
                link.message(self._sender, line)
        except Exception:  # noqa: BLE001 - whatever it is: what is recorded goes on
            _log.exception("a message was passed on and not recorded")

    def _last(self) -> None:
        last = self._splitter.close()
        if last is not None:
            self._pipe.link.message(self._sender, last)
        interceptor = self._relay.interceptor
        if interceptor is not None:
            held = b"".join(self._held)
            self._held.clear()
            if held:
                self._intercepted(interceptor, held)
            interceptor.ended(self._sender, self._pipe)
        self._release()

    def _left(self) -> None:
        """The client has left, or the server has: neither waits for the other."""
        self._pipe.close("server")
        _let_go(0)  # so that a host that goes on writing learns of it


class _Beside(_Way):
    """Standard error. It is read on when nobody takes it any more, or the server would stand still."""

    def __init__(self, link: CaptureLink, source: int, done: Callable[[], None]) -> None:
        super().__init__("standard error", source, done)
        self._link = link
        self._splitter = LineSplitter(link.writer.max_message)
        self._taken = True

    def _take(self, chunk: bytes) -> None:
        try:
            lines = self._splitter.feed(chunk)
        except LineTooLong as problem:
            lines = problem.lines
        for line in lines:
            self._line(line)
        if self._taken:
            try:
                _write(2, chunk)
            except OSError:
                self._taken = False

    def _last(self) -> None:
        line = self._splitter.close()
        if line is not None:
            self._line(line)

    def _line(self, line: bytes) -> None:
        self._link.stderr(line.decode("utf-8", "replace"))


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
