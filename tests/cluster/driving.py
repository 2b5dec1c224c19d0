"""Clients of a cluster that write down what they do and see.

Theory of operation
-------------------
A `Driver` is one client with a session of its own, in plain bytes (`Prober`): so what is written down is what came over
the wire, event ids and all. It does what the specification lets a client do when things go wrong, and no more: a stream
that ends early is resumed from the last event that was read; an answer to a question that got no 2xx is sent again; a
request whose fate is unknown is *not* sent again, for it may have been done.

Specification: 2025-11-25 basic/transports "Resumability and Redelivery", "Session Management".
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

HERE: Final = Path(__file__).resolve().parent
for folder in (HERE, HERE.parent / "transports", HERE.parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from history import How, Invoke, Opened, Outcome, Read, Record, Reply, Resume, What  # noqa: E402 - as below
from http_serving import Answer, Prober, Stream  # noqa: E402 - found by the lines above

from dovetail.protocol.bindings.sse import ServerSentEvent  # noqa: E402 - as above

#: Seconds until an operation that was not answered counts as lost.
PATIENCE: Final = 45.0
#: Seconds between two tries.
PAUSE: Final = 0.1
REVISION: Final = "2025-11-25"
CAPABILITIES: Final = {"elicitation": {"form": {}}, "sampling": {}}
BROKEN: Final = (OSError, EOFError, ValueError, IndexError)
ASKING: Final = ("elicitation/create", "sampling/createMessage")
Step = Callable[[Read], Any]


class Ended(Exception):
    """An operation is over, in another way than with an answer."""

    def __init__(self, how: How, value: str = "") -> None:
        super().__init__(how, value)
        self.how: How = how
        self.value = value


class OwnIds:
    """Parses event streams as servers of ours write them. Unlike what the specification of such streams says, an event
    without an id has none here, and not that of the one before.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """The events that a piece of the stream completes."""
        *blocks, self._rest = (self._rest + chunk).split(b"\n\n")
        events: list[ServerSentEvent] = []
        for block in blocks:
            fields = [line.partition(b": ") for line in block.split(b"\n")]
            data = b"\n".join(value for name, _, value in fields if name.rstrip(b":") == b"data")
            ids = [value.decode() for name, _, value in fields if name == b"id"]
            if ids or data:
                events.append(ServerSentEvent(data, id=ids[-1] if ids else ""))
        return events


class Recorder:
    """The history so far."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._began = time.monotonic()
        self._operations = itertools.count(1)

    def now(self) -> float:
        """Seconds since the beginning."""
        return round(time.monotonic() - self._began, 4)

    def begin(self, client: int, what: What, key: str, steps: int = 0) -> int:
        """Note that an operation begins; gives its number."""
        number = next(self._operations)
        self.records.append(Invoke(self.now(), number, client, what, key, steps))
        return number


class Driver:
    """One client. ``on_read`` is called with each event that was read, before anything else is done."""

    def __init__(self, recorder: Recorder, port: int, number: int, seed: int = 0) -> None:
        self.recorder = recorder
        self.number = number
        self.prober = Prober(port)
        self.random = random.Random(f"{seed}/{number}")
        self.on_read: Step | None = None
        self._keys = itertools.count(1)

    def key(self) -> str:
        """A key that nobody else has."""
        return f"c{self.number}-{next(self._keys)}"

    async def open(self) -> None:
        """Open a session, however long that takes."""
        while True:
            self.prober.session = self.prober.revision = None
            try:
                async with asyncio.timeout(PATIENCE):
                    await self.prober.ready(REVISION, CAPABILITIES)
                return
            except (*BROKEN, AssertionError):
                await asyncio.sleep(PAUSE)
            finally:
                self.forget()

    def forget(self) -> None:
        """Let go of connections that are of no use any more."""
        for each in self.prober.opened:
            each.abort()
        self.prober.opened.clear()

    # Operations

    async def work(self, steps: int, pause: float = 0.002) -> How:
        """A call that reports on its way."""
        key = self.key()
        number = self.recorder.begin(self.number, "work", key, steps)
        return await self._called(number, "work", {"key": key, "steps": steps, "pause": pause})

    async def ask(self) -> How:
        """A call that asks."""
        key = self.key()
        number = self.recorder.begin(self.number, "ask", key)
        return await self._called(number, "ask", {"key": key})

    async def change(self, name: str) -> How:
        """A call that changes something."""
        number = self.recorder.begin(self.number, "change", f"{name}:{self.key()}")
        return await self._called(number, "change", {"name": name})

    async def cancel(self) -> How:
        """A call that goes on until it is cancelled, once it has begun."""
        key = self.key()
        number = self.recorder.begin(self.number, "endless", key)
        told = self.on_read

        async def cancel(read: Read) -> None:
            if read.what == "progress":
                params = {"requestId": f"o{number}"}
                body = self.prober.message("notifications/cancelled", params, notice=True)
                answer = await self._insist(body)
                raise Ended("cancelled", str(answer.status))

        self.on_read = cancel
        try:
            return await self._called(number, "endless", {"key": key})
        finally:
            self.on_read = told

    async def _called(self, number: int, tool: str, arguments: dict[str, Any]) -> How:
        """Call a tool to its end, and note how that was."""
        try:
            async with asyncio.timeout(PATIENCE):
                value = await self._answer(number, tool, arguments)
            ended = Ended("answer", value)
        except TimeoutError:
            ended = Ended("hung")
        except Ended as other:
            ended = other
        finally:
            self.forget()
        self._note(Outcome(self.recorder.now(), number, ended.how, ended.value))
        if ended.how == "session":
            await self.open()
        return ended.how

    async def _answer(self, number: int, tool: str, arguments: dict[str, Any]) -> str:
        params = {"name": tool, "arguments": arguments, "_meta": {"progressToken": f"o{number}"}}
        try:
            stream = await self.prober.stream(
                "POST", self.prober.message("tools/call", params, id=f"o{number}")
            )
        except BROKEN as problem:
            raise Ended("broken", type(problem).__name__) from None
        self._note(Opened(self.recorder.now(), number, stream.answer.status, worker_of(stream.answer)))
        if stream.answer.status != 200:
            _refuse(stream.answer.status)
        last = ""
        if not stream.answer.headers.get("content-type", "").startswith("text/event-stream"):
            return await self._body(number, stream)
        while True:
            found, last = await self._events(number, stream, last)
            if found is not None:
                return found
            stream = await self._resumed(number, last)

    async def _body(self, number: int, stream: Stream) -> str:
        try:
            data = await stream.connection.chunk()
            message = json.loads(data)
        except BROKEN as problem:
            raise Ended("broken", type(problem).__name__) from None
        return await self._take(number, "", message) or ""

    async def _events(self, number: int, stream: Stream, last: str) -> tuple[str | None, str]:
        """Read a stream; gives the answer if it came, and the last event id."""
        stream.parser = cast("Any", OwnIds())
        while (event := await _next(stream)) is not None:
            last = event.id or last
            if not event.data:
                await self._read(Read(self.recorder.now(), number, event.id or "", "primer"))
                continue
            found = await self._take(number, event.id or "", json.loads(event.data))
            if found is not None:
                return found, last
        return None, last

    async def _take(self, number: int, event: str, message: dict[str, Any]) -> str | None:
        """What one message says; gives the value of an answer."""
        now = self.recorder.now()
        if "error" in message:
            text = str(message["error"]["message"])
            await self._read(Read(now, number, event, "error", text))
            raise Ended("error", text)
        if "result" in message:
            text = message["result"]["content"][0]["text"]
            if message["result"].get("isError"):
                await self._read(Read(now, number, event, "error", text))
                raise Ended("error", text)
            await self._read(Read(now, number, event, "answer", text))
            return str(text)
        if message["method"] in ASKING:
            await self._read(Read(now, number, event, "question", str(message["id"])))
            await self._reply(number, message)
        elif message["method"] == "notifications/progress":
            await self._read(Read(now, number, event, "progress", str(int(message["params"]["progress"]))))
        return None

    async def _reply(self, number: int, question: dict[str, Any]) -> None:
        word = f"word{number}"
        result = {"action": "accept", "content": {"value": word}}
        body = json.dumps({"jsonrpc": "2.0", "id": question["id"], "result": result}).encode()
        answer = await self._insist(body)
        worker = worker_of(answer)
        self._note(Reply(self.recorder.now(), number, str(question["id"]), word, answer.status, worker))

    async def _insist(self, body: bytes) -> Answer:
        """Send what may be sent again until it was taken. Raises `Ended` where the session is gone."""
        while True:
            connection = None
            with suppress(*BROKEN):
                connection = await self.prober.start("POST", body)
                answer = await connection.answer()
                if answer.status == 404:
                    raise Ended("session", "404")
                if answer.status not in (429, 500, 502, 503):
                    return answer
            if connection is not None:
                connection.abort()
            await asyncio.sleep(PAUSE)

    async def _resumed(self, number: int, last: str) -> Stream:
        """Come back for the rest. Raises `Ended`."""
        if not last:
            raise Ended("broken", "nothing to come back for")
        while True:
            stream = None
            with suppress(*BROKEN):
                stream = await self.prober.stream("GET", None, {"Last-Event-ID": last})
                status = stream.answer.status
                self._note(Resume(self.recorder.now(), number, last, status, worker_of(stream.answer)))
                if status == 200:
                    return stream
                if status in (400, 404):
                    raise Ended("trimmed" if status == 400 else "session", str(status))
            if stream is not None:
                stream.connection.abort()
            await asyncio.sleep(PAUSE)

    # Subscriptions

    async def listen(self, names: list[str], over: asyncio.Event) -> None:
        """Hear of changes until it is over: each stream that ends is one subscription, and there is another then."""
        while not over.is_set():
            key = f"{self.key()}:{','.join(names)}"
            number = self.recorder.begin(self.number, "listen", key)
            ended = await self._listened(number, names, over)
            self._note(Outcome(self.recorder.now(), number, ended.how, ended.value))
            self.forget()
            if ended.how == "session":
                await self.open()
            if not over.is_set():
                await asyncio.sleep(PAUSE)

    async def _listened(self, number: int, names: list[str], over: asyncio.Event) -> Ended:
        ending = asyncio.create_task(over.wait())
        reading = asyncio.create_task(self._hear(number, names))
        try:
            await asyncio.wait((ending, reading), return_when=asyncio.FIRST_COMPLETED)
            return reading.result() if reading.done() else Ended("closed", "by the client")
        except BROKEN as problem:
            return Ended("closed", type(problem).__name__)
        finally:
            for task in (ending, reading):
                task.cancel()
            await asyncio.gather(ending, reading, return_exceptions=True)

    async def _hear(self, number: int, names: list[str]) -> Ended:
        for name in names:
            params = {"uri": f"note://{name}"}
            answer = await self.prober.call("resources/subscribe", params)
            if answer.status != 200 or "result" not in answer.json:
                return Ended("session" if answer.status == 404 else "closed", str(answer.status))
        stream = await self.prober.stream("GET")
        status = stream.answer.status
        if status != 200:
            self._note(Opened(self.recorder.now(), number, status, worker_of(stream.answer)))
            return Ended("session" if status == 404 else "closed", str(status))
        stream.parser = cast("Any", OwnIds())
        primer = await _next(stream)
        if primer is None:
            return Ended("closed", "before it began")
        self._note(Opened(self.recorder.now(), number, 200, worker_of(stream.answer)))
        while (event := await _next(stream)) is not None:
            message = json.loads(event.data or b"{}")
            name = message.get("method", "")
            if name == "notifications/resources/updated":
                name = message["params"]["uri"].removeprefix("note://")
            # Whatever may have changed is told where words were lost, lists among it.
            await self._read(Read(self.recorder.now(), number, event.id or "", "changed", name))
        return Ended("closed", "by the server")

    async def _read(self, read: Read) -> None:
        self._note(read)
        if self.on_read is not None:
            said = self.on_read(read)
            if said is not None:
                await said

    def _note(self, record: Record) -> None:
        self.recorder.records.append(record)


def worker_of(answer: Answer) -> int:
    """The number of the worker that gave it, -1 for the proxy's own."""
    return int(answer.headers.get("x-worker", "-1"))


async def _next(stream: Stream) -> ServerSentEvent | None:
    with suppress(*BROKEN):
        return await stream.next()
    return None


def _refuse(status: int) -> None:
    """Raise `Ended` for a call that was refused."""
    if status == 404:
        raise Ended("session", "404")
    raise Ended("broken" if status in (500, 502) else "refused", str(status))
