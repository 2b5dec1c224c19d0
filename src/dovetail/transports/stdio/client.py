"""The client's transport over a child process: one JSON message per line on its standard input and output.

Theory of operation. `ServerProcess` owns the process and its pipes, `SharedChannel` the requests; this module
ties the one to the other. A line goes from the pipe to its waiter in one callback. When more has come in than
the receiver takes, the process is paused and blocks on its full pipe. When it ends, every open request fails
with `ServerExited`, which carries the exit status and the last lines of standard error.

Lines that are no messages, and everything on standard error, are not faults. After a loss, `open` may be
called again and starts a new process.
Specification: basic/transports, "stdio"; 2026-07-28 basic/transports/stdio.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from ...logs import get_logger
from ...protocol.bindings.lines import DEFAULT_MAX_LINE, LineTooLong
from ...protocol.errors import Closed, DovetailError, LocalProtocolError, MessageTooLarge, not_sent
from ..client_transport import Outgoing, ReceivedResponse, Receiver
from ..deadlines import nothing_sent
from ..shared_channel import ChannelMaker, SharedChannel
from .descriptor_io import PeerGone
from .launching import program_name
from .process import OutputHandlers, ServerProcess

__all__ = ["StdioTransport"]

_log: Final = get_logger("dovetail.transports")

#: Seconds in which a server that closed its input is expected to have ended.
_LAST_WORDS: Final = 1.0


class StdioTransport:
    """A server that we start, spoken to over its standard streams. It follows `client_transport.Transport`.

    ``command``: the program and its arguments; no shell. ``env``: variables besides the few that are
    inherited. ``cwd``: where to start it. ``on_stderr`` gets each line of standard error (None: only the end
    is kept, for errors) and ``on_noise`` each line of standard output that is no message, as plain text.
    ``max_message``: bytes of one message (default 64 MiB). ``grace``: seconds between the steps of ending it
    (default 2). ``send_timeout``: seconds it may leave its input unread (default 30). ``channel``: what makes the
    channel (default: `SharedChannel`).
    """

    name: str = "stdio"
    http: bool = False
    shared: bool = True

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        on_stderr: Callable[[str], None] | None = None,
        on_noise: Callable[[str], None] | None = None,
        max_message: int = DEFAULT_MAX_LINE,
        grace: float = 2.0,
        send_timeout: float = 30.0,
        channel: ChannelMaker = SharedChannel,
    ) -> None:
        self.command: Final = tuple(command)
        self.noise = 0
        self._env = env
        self._cwd = cwd
        self._on_stderr = on_stderr
        self._on_noise = on_noise
        self._max_message = max_message
        self._grace = grace
        self._send_timeout = send_timeout
        self._make_channel = channel
        self._channel: SharedChannel | None = None
        self._process: ServerProcess | None = None
        self._started = asyncio.Event()
        self._closed = False

    async def open(self, receiver: Receiver) -> None:
        """Start the server. Raises `ConnectFailed`, which names the program and the reason."""
        if self._closed:
            raise Closed("this transport is closed; make a new one")
        if self._channel is not None and self._channel.ended is None:
            raise LocalProtocolError("this transport is open already")
        if self._process is not None:
            await self._process.close(self._grace)
        self._started = asyncio.Event()
        channel = self._channel = self._make_channel(self.name, self._write, pressure=self._press)
        channel.attach(receiver)
        try:
            process = await ServerProcess.start(
                self.command,
                OutputHandlers(
                    on_line=channel.accept,
                    on_exit=lambda: self._exited(channel),
                    on_noise=self._heard_noise,
                    on_oversize=lambda problem: channel.spoil(_too_large(problem)),
                    on_stderr=self._on_stderr,
                ),
                env=self._env,
                cwd=self._cwd,
                max_line=self._max_message,
                send_timeout=self._send_timeout,
            )
        except BaseException:
            channel.close()
            raise
        self._process = process
        self._started.set()
        if process.exited.is_set():
            self._exited(channel)
        elif not channel.may_read:
            process.pause()
        if self._closed:
            await process.close(0)
            raise Closed("this transport was closed while it opened")

    async def request(self, out: Outgoing) -> ReceivedResponse:
        """Send a request and await its response. Raises `ServerExited` when the server ends meanwhile."""
        return await self._opened().request(out)

    async def send(self, out: Outgoing) -> None:
        """Send a notification or a response."""
        await self._opened().send(out)

    async def listen(self) -> None:
        """Nothing to do: everything comes in on the one channel."""

    async def end_session(self) -> None:
        """Nothing to do: the session ends with the process."""

    async def close(self) -> None:
        """End the server (end of input, SIGTERM, SIGKILL) and fail what is open. Idempotent, bounded."""
        self._closed = True
        if self._channel is not None:
            self._channel.close()
        if self._process is not None:
            await self._process.close(self._grace)

    def describe(self) -> str:
        """The program's name. Its arguments are left out, because they may hold secrets."""
        return program_name(self.command)

    @property
    def exit_status(self) -> int | None:
        """The status that the server ended with (negative: the number of a signal); None if it runs, or never did."""
        return None if self._process is None else self._process.exit_status

    def stderr_tail(self, lines: int | None = None) -> str:
        """The last lines of standard error, as plain text."""
        return "" if self._process is None else self._process.stderr_tail(lines)

    def silence(self) -> str:
        """Why a server that runs may have answered nothing, and what to do; "" for one that has sent a message."""
        return "" if self._process is None else self._process.silence()

    def _opened(self) -> SharedChannel:
        if self._channel is None:
            raise LocalProtocolError("this transport is not open yet")
        return self._channel

    async def _write(self, data: bytes) -> None:
        if self._process is None or not self._started.is_set():
            with nothing_sent():
                await self._started.wait()
        process = self._process
        if process is None:
            return
        try:
            await process.send(data)
        except DovetailError as problem:
            problem.retry_safe = True  # whatever it is: nothing was sent
            if not isinstance(problem, PeerGone):
                raise
            # Its end of the pipe is closed: a moment later it is known how it ended, and that says more.
            with suppress(TimeoutError):
                await asyncio.wait_for(process.exited.wait(), _LAST_WORDS)
                raise not_sent(process.exit_error()) from None
            raise

    def _press(self, stop: bool) -> None:
        if self._process is None or not self._started.is_set():
            return
        if stop:
            self._process.pause()
        else:
            self._process.resume()

    def _heard_noise(self, line: str) -> None:
        self.noise += 1
        if self._on_noise is not None:
            self._on_noise(line)
            return
        level = (
            logging.WARNING if self.noise == 1 else logging.INFO
        )  # once: a server that does it, does it often
        _log.log(level, "the server %s printed something that is no message: %.200s", self.describe(), line)

    def _exited(self, channel: SharedChannel) -> None:
        if self._process is not None and self._started.is_set():
            channel.lose(self._process.exit_error())


def _too_large(problem: LineTooLong) -> MessageTooLarge:
    return MessageTooLarge(
        f"the server sent a message of more than {problem.limit} bytes, which was dropped;"
        " raise max_message, or ask for less"
    )
