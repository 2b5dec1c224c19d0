"""One version of the author's file as `dovetail dev` sees it: a process, and the calls that it runs.

Theory of operation. Frames of a call go through a queue to whoever waits for its answer, so notifications, questions
and the answer keep their order; each question is asked in a task of its own, since one call may have several open. A
version that is replaced takes no new calls and ends once its calls have: soon, unless a call waits for a person. When
the process dies, every call that it had ends with an error that says so.

Specification: none.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec

from ..protocol import codec
from ..protocol.call import Call
from ..protocol.errors import DovetailError, FeatureUnavailable, InternalError, RPCError, TransportError
from ..protocol.session import SessionState
from ..runtime.channel import Channel
from ..runtime.connection import GONE
from ..runtime.dispatch import EncodedResponse, error_response
from . import frames

GRACE: Final = 10.0
"""Seconds that the calls of a version that was replaced have to come to their end."""

PATIENCE: Final = 600.0
"""Seconds that they have while they wait for a person."""

_ENDING: Final = 3.0

Told = frames.Ready | frames.Failed | frames.Changed | frames.Done | frames.RouteEnd
Tell = Callable[["Version", Told | None], None]


class RouteRefused(Exception):
    """A request to a route that is not served. ``status``: that of the answer, which has the text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Version:
    """A process. ``tell`` hears of what concerns no call, of each call's end, and (None) of the end of the process."""

    def __init__(self, number: int, tell: Tell) -> None:
        self.number = number
        self.face: frames.AppDescription | None = None
        self.over = asyncio.Event()
        self._tell = tell
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._calls: dict[int, asyncio.Queue[frames.ToParent | None]] = {}
        self._asking: dict[tuple[int, int], asyncio.Task[None]] = {}
        self._numbers = itertools.count(1)
        self._reading: asyncio.Task[None] | None = None

    async def start(self, place: str, words: Sequence[str], hello: frames.Hello, *, output: int) -> None:
        """Start the process. ``output``: the descriptor that what it prints goes to."""
        ours, theirs = socket.socketpair()
        quiet = {
            "PYTHONDONTWRITEBYTECODE": "1"
        }  # a second save in the same second would meet the code of the first
        with theirs:
            self._process = subprocess.Popen(  # noqa: ASYNC220, S603 - our own module, and nothing is waited for
                [sys.executable, "-m", "dovetail.devserver.child", str(theirs.fileno()), place, *words],
                pass_fds=[theirs.fileno()],
                stdin=None if output == 1 else subprocess.DEVNULL,
                stdout=output,
                env={**os.environ, **quiet},
            )
        reader, self._writer = await asyncio.open_connection(sock=ours)
        self._reading = asyncio.create_task(self._read(reader))
        await self._send(hello)

    @property
    def busy(self) -> bool:
        """Whether calls are in progress."""
        return bool(self._calls)

    async def answer(self, call: Call, channel: Channel) -> EncodedResponse:
        """The reply to a call. Raises nothing but `asyncio.CancelledError`."""
        number = next(self._numbers)
        queue = self._calls[number] = asyncio.Queue()
        try:
            if not self.over.is_set():
                await self._send(_begin(number, call, channel))
                while (frame := await queue.get()) is not None:
                    if isinstance(frame, frames.Done):
                        return self._ended(frame, channel)
                    await self._pass(frame, channel)
            text = (
                f"the process of version {self.number} ended while it handled the request; see the terminal"
            )
            return error_response(call, InternalError(text))
        except asyncio.CancelledError:
            self._start(self._send(frames.CancelCall(number)))
            raise
        finally:
            del self._calls[number]
            for key in [key for key in self._asking if key[0] == number]:
                self._asking.pop(key).cancel()

    async def visit(self, scope: dict[str, Any], body: bytes, send: Callable[[Any], Awaitable[None]]) -> None:
        """Have a route answer a request. Raises `RouteRefused` for one that it refuses, or that nobody answers."""
        number = next(self._numbers)
        queue = self._calls[number] = asyncio.Queue()
        try:
            if not self.over.is_set():
                await self._send(frames.RouteRequest(number, scope, body))
                while (frame := await queue.get()) is not None:
                    if isinstance(frame, frames.Part):
                        await send(frame.event)
                    elif isinstance(frame, frames.RouteEnd):
                        if frame.refused:
                            raise RouteRefused(frame.refused, frame.text)
                        return
            raise RouteRefused(
                502, f"the process of version {self.number} ended while it handled the request"
            )
        except asyncio.CancelledError:
            self._start(self._send(frames.CancelCall(number)))
            raise
        finally:
            del self._calls[number]

    def _ended(self, done: frames.Done, channel: Channel) -> EncodedResponse:
        session = channel.session
        if done.session is not None and session is not None:
            kept = (
                session.state.kept
            )  # which is changed by `_keep` alone: what the child has of it may be old
            session.state = SessionState.load(done.session)
            session.state.kept = kept
            session.changed = True
        return EncodedResponse(done.data, done.code)

    async def _pass(self, frame: frames.ToParent, channel: Channel) -> None:
        """Do what a running call wants."""
        with suppress(*GONE):
            if isinstance(frame, frames.Emit):
                await channel.emit(frame.data)
            elif isinstance(frame, frames.CloseStream):
                await channel.close_stream(frame.retry)
            elif isinstance(frame, frames.AskClient):
                key = (frame.number, frame.question)
                self._asking[key] = self._start(self._ask(frame, channel))
                self._asking[key].add_done_callback(lambda _: self._asking.pop(key, None))
            elif isinstance(frame, frames.Keep):
                self._start(self._keep(frame, channel))
            elif isinstance(frame, frames.CancelAsk) and (frame.number, frame.question) in self._asking:
                self._asking[frame.number, frame.question].cancel()

    async def _ask(self, frame: frames.AskClient, channel: Channel) -> None:
        number, question = frame.number, frame.question
        try:
            result = await channel.ask(frame.method, frame.params)
            reply = frames.ClientAnswer(number, question, result=bytes(result))
        except RPCError as problem:
            data = b"" if problem.data is None else codec.encode(problem.data)
            reply = frames.ClientAnswer(
                number, question, code=problem.code, message=problem.message, data=data
            )
        except FeatureUnavailable as problem:
            reply = frames.ClientAnswer(number, question, gone=str(problem), unavailable=True)
        except (DovetailError, TransportError, OSError) as problem:
            reply = frames.ClientAnswer(number, question, gone=str(problem))
        await self._send(reply)

    async def _keep(self, frame: frames.Keep, channel: Channel) -> None:
        """Read or change the session, whose record is here."""
        number, question = frame.number, frame.question
        try:
            if frame.before is None or frame.after is None:
                reply = frames.ClientAnswer(number, question, (await channel.read_session()).dump())
            else:
                swap = frames.Swap(frame.before, frame.after)
                await channel.change_session(swap)
                reply = frames.ClientAnswer(number, question, codec.encode(swap.made))
        except FeatureUnavailable as problem:
            reply = frames.ClientAnswer(number, question, gone=str(problem), unavailable=True)
        except (DovetailError, OSError) as problem:
            reply = frames.ClientAnswer(number, question, gone=str(problem))
        await self._send(reply)

    def _start(self, doing: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(doing)
        _kept.add(task)
        task.add_done_callback(_kept.discard)
        return task

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                frame = await frames.read_in_parent(reader)
                if isinstance(
                    frame, (frames.Ready, frames.Failed, frames.Changed, frames.Done, frames.RouteEnd)
                ):
                    self._tell(self, frame)
                if not isinstance(frame, (frames.Ready, frames.Failed, frames.Changed)):
                    queue = self._calls.get(frame.number)
                    if queue is not None:
                        queue.put_nowait(frame)
        except (EOFError, OSError, msgspec.MsgspecError):
            pass  # the process has ended, or makes no sense any more
        finally:
            self.over.set()
            for queue in self._calls.values():
                queue.put_nowait(None)
            if self._writer is not None:
                self._writer.close()
            self._tell(self, None)

    async def _send(self, frame: frames.ToChild) -> None:
        if self._writer is not None and not self.over.is_set():
            with suppress(OSError):
                self._writer.write(frames.write(frame))
                await self._writer.drain()

    # Ending

    async def retire(self) -> None:
        """End once the calls in progress have: a little later at most, unless they wait for a person."""
        clock = asyncio.get_running_loop().time
        soon, late = clock() + GRACE, clock() + PATIENCE
        while self.busy and not self.over.is_set() and clock() < (late if self._asking else soon):
            with suppress(TimeoutError):
                await asyncio.wait_for(self.over.wait(), 0.1)
        await self.end()

    async def end(self) -> None:
        """End now, in good order if it can; else it is killed. Idempotent."""
        process = self._process
        if process is None:
            return
        await self._send(frames.Finish())
        with suppress(TimeoutError):
            await asyncio.wait_for(self.over.wait(), _ENDING)
        await self.kill()

    async def kill(self) -> None:
        """End without asking."""
        process, self._process = self._process, None
        if process is None:
            return
        if self.over.is_set():  # it closed its end: what is left of it takes no time
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(process.wait, _ENDING)
        process.kill()
        await asyncio.to_thread(process.wait)
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])


_kept: Final[set[asyncio.Task[None]]] = set()


def _begin(number: int, call: Call, channel: Channel) -> frames.Begin:
    session = channel.session
    return frames.Begin(
        number=number,
        id=call.id,
        method=call.method,
        raw=bytes(call.raw),
        revision=call.profile.revision,
        peer=codec.encode(call.peer),
        log_level=call.log_level,
        session=None if session is None else session.state.dump(),
        session_id=channel.session_id,
        principal=channel.principal,
        transport=channel.transport,
        remote=channel.remote,
        headers=dict(channel.headers),
    )
