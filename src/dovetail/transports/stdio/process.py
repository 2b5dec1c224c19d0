"""The client's side of stdio: a server as a child process.

Theory of operation
-------------------
A `ServerProcess` owns three pipes and a family of processes (`process_group`). It adds no queue and no task
to the path of a message: the loop hands over bytes, `LineSplitter` cuts them, and each line that can be a
message goes to ``on_line`` in the same callback. A consumer that has enough calls `pause`; the child then
blocks on a full pipe, which is the only queue there is. Lines that cannot be messages go to ``on_noise`` and
end nothing. Standard error is always drained, into a bounded tail (`output_tail`).

A server is over when its process has ended *and* its output has been read, or a moment later if some
descendant still holds the pipes: then ``exited`` is set and ``on_exit`` called, once. `close` goes down the
ladder of the specification: end of input, wait, SIGTERM, wait, SIGKILL, always to the whole family. It ends
in bounded time, may be called from any task and more than once, and when the task that awaits it is cancelled
it does not stop but hurries: the family is killed at once and the cancellation goes on after that, so nothing
is left behind.

Telling messages from banners, log lines and progress bars must cost a message nothing, so an object is known by its
first two characters; whether it is whole, the decoder finds out anyway. Arrays (batches, in the one revision that has
them) are rare and log lines such as "[INFO] ready" begin alike, so those are parsed.

Specification: basic/transports, "stdio": "Shutdown", "Unexpected Termination".
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from ...logs import get_logger
from ...protocol.bindings.lines import DEFAULT_MAX_LINE, LineSplitter, LineTooLong, frame
from ...protocol.errors import Closed, ConnectFailed, ServerExited, TransportError
from ..deadlines import nothing_sent
from .descriptor_io import PeerGone
from .launching import (
    INHERITED,
    check_directory,
    child_environment,
    program_name,
    python_file,
    resolve_command,
)
from .output_tail import OutputTail, last_words, plain_text
from .process_group import ProcessGroup, process_group_of

__all__ = ["OutputHandlers", "ServerProcess"]

_log = get_logger(__name__)

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
"""What some systems write before the first line; not part of it."""

_OBJECT: Final = re.compile(rb'\s*\{\s*["}]')

_TOGETHER: Final = 64 * 1024
"""Bytes that may wait for the end of a turn of the loop."""

_DRAIN: Final = 0.25
"""Seconds that output may still come after the process ended, if a descendant keeps the pipes open."""

_PIPE_HOLDS: Final = 1 << 20
"""Bytes that a process may have left in a pipe when it ended; pipes hold less."""

_KILL_WAIT: Final = 5.0
"""Seconds to wait for a killed process; one that is stuck in the kernel may never end."""

_QUIET_EXIT: Final = 2.0
"""Seconds a server has to end after it closed its output."""

_NOISE_SHOWN: Final = 2_000

_LINES_AT_ONCE: Final = 200
"""Lines of standard error that are given out before others get their turn."""


class OutputHandlers(msgspec.Struct, frozen=True, kw_only=True):
    """Where a server's output goes. They run in the event loop and must not block; the first may run before
    `ServerProcess.start` returns. One that fails is reported to the loop's exception handler.

    ``on_line`` gets each line that may be a message, ``on_noise`` other lines (as plain text, at most 2,000
    characters), ``on_oversize`` the report of a line that is too long, ``on_stderr`` each line of standard error as
    plain text (at most 8 KiB, longer ones in pieces), and ``on_exit`` is called once at the end, after all of these.
    """

    on_line: Callable[[bytes], None]
    on_exit: Callable[[], None] | None = None
    on_noise: Callable[[str], None] | None = None
    on_oversize: Callable[[LineTooLong], None] | None = None
    on_stderr: Callable[[str], None] | None = None


class ServerProcess:
    """A running server. Made by `start`; ended by `close`.

    ``exited`` is set once the server has ended and its output was delivered; ``exit_status`` is then its
    status (negative: the number of the signal that ended it).
    """

    def __init__(
        self,
        command: Sequence[str],
        calls: OutputHandlers,
        *,
        max_line: int,
        send_timeout: float,
        stderr_bytes: int,
    ):
        self.command: Final = tuple(command)
        self.exited: Final = asyncio.Event()
        self.exit_status: int | None = None
        self._calls = calls
        self._splitter = LineSplitter(max_line)
        self._send_timeout = send_timeout
        self._tail = OutputTail(stderr_bytes, self._tell if calls.on_stderr is not None else None)
        self._telling = self._told_of_failure = False
        self._spoke = False
        self._last_words = self._words_seen = 0
        self._loop = asyncio.get_running_loop()
        self._left: asyncio.Future[None] = self._loop.create_future()
        self._disconnected: asyncio.Future[None] = self._loop.create_future()
        self._hurry: asyncio.Future[None] = self._loop.create_future()
        self._room = asyncio.Event()
        self._room.set()
        self._lines: list[
            bytes
        ] = []  # what is said in one turn of the loop leaves in one write, and wakes once
        self._gathered = 0
        self._held: deque[bytes] = deque()
        self._paused = False
        self._delivering = False
        self._open = {1, 2}
        self._input_gone = False
        self._transport: asyncio.SubprocessTransport | None = None
        self._group: ProcessGroup | None = None
        self._sweep: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        handlers: OutputHandlers,
        *,
        env: Mapping[str, str] | None = None,
        inherit: Iterable[str] = INHERITED,
        cwd: str | os.PathLike[str] | None = None,
        max_line: int = DEFAULT_MAX_LINE,
        stderr_bytes: int = 64 * 1024,
        send_timeout: float = 30.0,
    ) -> ServerProcess:
        """Start ``command`` (a program and its arguments; no shell) and begin to read what it says.

        The environment is what ``inherit`` allows of ours, then ``env``. A line has at most ``max_line`` bytes
        (default 64 MiB). ``stderr_bytes`` of standard error are kept (default 64 KiB). ``send_timeout`` is in seconds
        (default 30).

        Raises `ConnectFailed`, which names the program and the reason and never its arguments or environment.
        """
        environment = child_environment(env, inherit=inherit)
        argv = resolve_command(command, environment)
        check_directory(cwd)
        process = cls(
            command,
            handlers,
            max_line=max_line,
            send_timeout=send_timeout,
            stderr_bytes=stderr_bytes,
        )
        spawning = asyncio.ensure_future(process._spawn(argv, environment, cwd))
        try:
            await asyncio.shield(spawning)
        except asyncio.CancelledError:
            await process._abandon(spawning)
            raise
        return process

    @property
    def pid(self) -> int:
        """The number of the child process."""
        return self._running()[0].get_pid()

    async def send(self, message: bytes) -> None:
        """Send one message as one line.

        Waits while the server does not read: at most ``send_timeout`` seconds, then `TransportError`. Raises
        `ServerExited`, `PeerGone` (it closed its input) or `Closed`. Whatever is raised, nothing was sent.
        """
        if not self._room.is_set():
            try:
                with nothing_sent():
                    async with asyncio.timeout(self._send_timeout):
                        while not self._room.is_set():
                            await self._room.wait()
            except TimeoutError:
                raise TransportError(
                    f"the server {program_name(self.command)} has not read its input for {self._send_timeout:g} s;"
                    " nothing was sent"
                ) from None
        self._input()
        self._lines.append(frame(message))
        self._gathered += len(message)
        if self._gathered > _TOGETHER:
            self._write()
        elif len(self._lines) == 1:
            self._loop.call_soon(self._write)

    def pause(self) -> None:
        """Deliver no more lines until `resume`; the server blocks once the pipe is full."""
        if not self._paused:
            self._paused = True
            self._set_reading(False)

    def resume(self) -> None:
        """Deliver lines again, at first those that had been read already."""
        self._paused = False
        self._deliver()
        if not self._paused:
            self._set_reading(True)
        self._finish_if_read()

    def stderr_tail(self, lines: int | None = None) -> str:
        """The end of standard error as plain text; only the last ``lines`` if given."""
        return self._tail.text(lines)

    def exit_error(self) -> ServerExited:
        """The error for calls that the end of the server left open: how it ended, and its last words."""
        whole = self.stderr_tail(10)
        last = whole.strip()[-_NOISE_SHOWN:]
        said = (
            f"; it last wrote: {last_words(whole).strip()[-_NOISE_SHOWN:]}"
            if last
            else "; it wrote nothing to standard error"
        )
        if self.exit_status == 0 and not self._spoke:
            said = f" without a message{said}; {self._instead()}"
        return ServerExited(
            f"the server {program_name(self.command)} {_how(self.exit_status)}{said}",
            status=self.exit_status,
            stderr=last,
        )

    def silence(self) -> str:
        """What to look for in a program that runs and has sent no message; "" for one that has."""
        if self._spoke:
            return ""
        last = last_words(self.stderr_tail(10)).strip()[-_NOISE_SHOWN:]
        return (
            "it runs, and has sent no message: a server that is started reads its messages from standard input"
            " and answers on standard output, and one that serves HTTP is named by its URL"
            + (f"; it last wrote: {last}" if last else "")
        )

    def _instead(self) -> str:
        """What to do about a program that ends at once, as if all were well."""
        file = python_file(self.command)
        if file:
            return (
                f"if {file} only makes its app, end it with app.run(), or start it with: dovetail run {file}"
            )
        return "a server goes on until its input ends: look for what starts it"

    async def close(self, grace: float = 2.0) -> None:
        """End the server: its input ends; after ``grace`` seconds SIGTERM, after ``grace`` more SIGKILL.

        Returns when nothing is left of it. If the task is cancelled meanwhile, the server is killed at once,
        and the cancellation goes on when that is done.
        """
        if self._closing is None:
            self._closing = self._loop.create_task(self._shut_down(grace), name="dovetail: close server")
        cancelled: asyncio.CancelledError | None = None
        while not self._closing.done():
            try:
                await asyncio.wait({self._closing})
            except asyncio.CancelledError as error:
                cancelled = error
                self._make_haste()
        if cancelled is not None:
            raise cancelled

    # Starting

    async def _spawn(self, argv: list[str], environment: dict[str, str], cwd: Any) -> None:
        options: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
        name = program_name(self.command)
        try:
            transport, _ = await self._loop.subprocess_exec(
                lambda: _PipeProtocol(self),
                *argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                cwd=cwd,
                **options,
            )
        except FileNotFoundError:
            raise ConnectFailed(
                f"the server {name} could not be started: it does not exist, or its interpreter is missing"
            ) from None
        except PermissionError:
            raise ConnectFailed(
                f"the server {name} could not be started: the file may not be executed"
            ) from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            raise ConnectFailed(
                f"the server {name} could not be started: {reason or type(error).__name__}"
            ) from None
        self._transport = transport

    async def _abandon(self, spawning: asyncio.Future[None]) -> None:
        """`start` was cancelled: let the system call end, then end what it started."""
        while not spawning.done():
            try:
                await asyncio.wait({spawning})
            except asyncio.CancelledError:
                continue
        if not spawning.cancelled() and spawning.exception() is None:
            self._make_haste()
            await self.close(0)

    # What the pipes bring

    def connected(self, transport: asyncio.SubprocessTransport) -> None:
        """The process runs."""
        self._transport = transport
        self._group = process_group_of(transport.get_pid())

    def received(self, pipe: int, data: bytes) -> None:
        """Bytes from standard output (1) or standard error (2)."""
        if pipe == 2:
            self._tail.feed(data)
            if self._left.done():
                self._last_words += len(data)
            if not self._telling:
                self._give_out()
            return
        try:
            self._held.extend(self._splitter.feed(data))
        except LineTooLong as error:
            self._held.extend(error.lines)
            self._deliver()
            if self._calls.on_oversize is not None:
                self._guard(self._calls.on_oversize, error)
        self._deliver()

    def pipe_closed(self, pipe: int) -> None:
        """A pipe has ended, from whichever side."""
        if pipe == 0:
            self._input_gone = True
            self._room.set()
            return
        self._open.discard(pipe)
        if pipe == 1:
            last = self._splitter.close()
            if last is not None:
                self._held.append(last)
                self._deliver()
            if not self._left.done():
                self._loop.call_later(_QUIET_EXIT, self._end_the_silent)
        else:
            self._tail.close()
        self._finish_if_read()

    def left(self) -> None:
        """The process has ended."""
        if self._transport is None or self._group is None:
            return  # uvloop tells of the end of a program that it could not start
        self.exit_status = self._transport.get_returncode()
        if not self._left.done():
            self._left.set_result(None)
        self._room.set()
        if self._group.alive():
            self._sweep = self._loop.create_task(self._end_family(), name="dovetail: end server's children")
        else:
            self._group.close()
        self._loop.call_later(_DRAIN, self._finish_unread)
        self._finish_if_read()

    def disconnected(self) -> None:
        """The transport is done with the process and all pipes."""
        if not self._disconnected.done():
            self._disconnected.set_result(None)

    def room(self, there_is: bool) -> None:
        """Whether more may be written to the server's input."""
        if there_is:
            self._room.set()
        elif not self._input_gone:
            self._room.clear()

    def _tell(self, line: str) -> None:
        if self._calls.on_stderr is not None:
            self._guard(self._calls.on_stderr, line, once=True)

    def _give_out(self) -> None:
        """Give out lines of standard error, some now and others a turn of the loop later; meanwhile no more is read."""
        more = self._tail.give(_LINES_AT_ONCE)
        if more != self._telling:
            self._telling = more
            self._set_reading(not more, 2)
        if more:
            self._loop.call_soon(self._give_out)

    def _deliver(self) -> None:
        if self._delivering:
            return
        self._delivering = True
        try:
            while self._held and not self._paused:
                self._dispatch(self._held.popleft())
        finally:
            self._delivering = False

    def _dispatch(self, line: bytes) -> None:
        line = line.removeprefix(_BYTE_ORDER_MARK)
        if _may_be_message(line):
            self._spoke = True
            self._guard(self._calls.on_line, line)
        elif self._calls.on_noise is not None:
            self._guard(self._calls.on_noise, plain_text(line[: 4 * _NOISE_SHOWN])[:_NOISE_SHOWN])

    def _guard(self, call: Callable[..., None], *arguments: Any, once: bool = False) -> None:
        """A callback that fails is its owner's mistake; it must not end the reading of this or any other
        server. ``once``: it may be called very often, and fails alike.
        """
        try:
            call(*arguments)
        except Exception as error:  # noqa: BLE001 - whatever it is, it goes to the loop's handler
            if once and self._told_of_failure:
                return
            self._told_of_failure = once or self._told_of_failure
            self._loop.call_exception_handler(
                {"message": "a callback for a server's output failed", "exception": error}
            )

    def _set_reading(self, reading: bool, number: int = 1) -> None:
        pipe: Any = self._transport.get_pipe_transport(number) if self._transport is not None else None
        if pipe is None or pipe.is_closing():
            return
        if reading:
            pipe.resume_reading()
        else:
            pipe.pause_reading()

    # The end

    def _input(self) -> Any:
        """The pipe to write to, or the reason why there is none."""
        if self._closing is not None:
            raise Closed(f"the server {program_name(self.command)} is closed on this side; nothing was sent")
        if self._left.done():
            raise self.exit_error()
        pipe = None if self._transport is None else self._transport.get_pipe_transport(0)
        if self._input_gone or pipe is None:
            raise PeerGone(f"the server {program_name(self.command)} has closed its input; nothing was sent")
        return pipe

    def _write(self) -> None:
        """Let go of what was said in this turn. Where the server is gone meanwhile, its end is told to who waits."""
        lines, self._lines, self._gathered = self._lines, [], 0
        pipe: Any = None if self._transport is None else self._transport.get_pipe_transport(0)
        if lines and pipe is not None and not self._input_gone and not self._left.done():
            pipe.write(b"".join(lines))

    def _finish_if_read(self) -> None:
        if self._left.done() and not self._open and not self._held:
            self._finish()

    def _finish_unread(self) -> None:
        """The process is gone but something holds its pipes, or we are behind. Whoever paused gets the lines that are
        there first; and of standard error, which is given out bit by bit, comes all that the process can have left.
        """
        if self.exited.is_set():
            return
        seen, words = self._words_seen, self._last_words
        self._words_seen = words
        hearing = (self._telling or words > seen) and words <= _PIPE_HOLDS
        if (self._paused or hearing) and self._closing is None:
            self._loop.call_later(_DRAIN, self._finish_unread)
        else:
            self._finish()

    def _finish(self) -> None:
        if not self.exited.is_set():
            self._tail.close()  # what somebody else writes to the pipe after this is nobody's last word
            self.exited.set()
            if self._calls.on_exit is not None:
                self._guard(self._calls.on_exit)

    def _end_the_silent(self) -> None:
        if not self._left.done() and self._closing is None:
            self._closing = self._loop.create_task(
                self._shut_down(_QUIET_EXIT), name="dovetail: end silent server"
            )

    def _running(self) -> tuple[asyncio.SubprocessTransport, ProcessGroup]:
        if self._transport is None or self._group is None:
            raise RuntimeError("the server was not started; use ServerProcess.start")
        return self._transport, self._group

    def _make_haste(self) -> None:
        if not self._hurry.done():
            self._hurry.set_result(None)

    async def _shut_down(self, grace: float) -> None:
        transport, group = self._running()
        try:
            await self._walk_down(transport, group, grace)
        finally:
            # Also when this very task is cancelled (the loop is ending): kill, then collect.
            if not self._left.done():
                group.kill()
                await asyncio.wait({self._left}, timeout=1.0)
            transport.close()
            await asyncio.wait({self._disconnected}, timeout=1.0)
            group.close()
            self._paused = True  # what was not delivered by now never will be
            self._finish()

    async def _walk_down(
        self, transport: asyncio.SubprocessTransport, group: ProcessGroup, grace: float
    ) -> None:
        pipe: Any = transport.get_pipe_transport(0)
        self._write()
        if pipe is not None:
            pipe.close()
        if not await self._ended_within(grace) and not (group.ask() and await self._ended_within(grace)):
            group.kill()
            await asyncio.wait({self._left}, timeout=_KILL_WAIT)
            if not self._left.done():
                _log.warning("process %d of a server does not end even when killed", transport.get_pid())
        if self._sweep is not None:
            await asyncio.wait({self._sweep})

    async def _ended_within(self, seconds: float) -> bool:
        await asyncio.wait({self._left, self._hurry}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return self._left.done()

    async def _end_family(self) -> None:
        """The server has ended and left children behind: they get the same two signals."""
        group = self._running()[1]
        group.ask()
        pause, left = 0.01, 1.0
        while group.alive() and left > 0 and not self._hurry.done():
            await asyncio.wait({self._hurry}, timeout=pause)
            left -= pause
            pause = min(pause * 2, 0.2)
        group.kill()
        group.close()


class _PipeProtocol(asyncio.SubprocessProtocol):
    """The loop's view of a `ServerProcess`."""

    def __init__(self, process: ServerProcess) -> None:
        self._process = process

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's has all the methods but not the base class
        self._process.connected(cast("asyncio.SubprocessTransport", transport))

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._process.received(fd, data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._process.pipe_closed(fd)

    def process_exited(self) -> None:
        self._process.left()

    def connection_lost(self, exc: Exception | None) -> None:
        self._process.disconnected()

    def pause_writing(self) -> None:
        self._process.room(False)

    def resume_writing(self) -> None:
        self._process.room(True)


def _how(status: int | None) -> str:
    if status is None:
        return "is ending"
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def _may_be_message(line: bytes) -> bool:
    """Whether ``line`` begins like a JSON object or is a JSON array."""
    return _OBJECT.match(line) is not None or _is_array(line)


def _is_array(line: bytes) -> bool:
    if not line.lstrip().startswith(b"["):
        return False
    try:
        msgspec.json.decode(line, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True
