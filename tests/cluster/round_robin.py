"""A plain proxy over HTTP/1.1: each request goes to the next worker, whoever sent it and whatever it is about.

Theory of operation
-------------------
There is no stickiness whatever, not even that of a connection: two requests of one client's connection go to two
workers. Bodies pass through as they come, so an event stream does, too. Connections to workers are kept and used again,
as those of proxies are. A worker that can't be connected to is passed over. Once a request has been sent it is not sent
again: if the worker is gone before it answered, the client gets 502, and if it is gone after that, the connection ends
in the middle. A client that leaves is noticed at once, and so is its worker told.

With ``check``, a path such as ``/readyz``, workers that do not answer it with 200 get nothing until they do. With
``elsewhere``, a small request that is answered with 503 is sent to the next worker: that nothing was done is what this
status promises. Without ``keep``, each request has a connection to its worker of its own.

``python round_robin.py --port PORT [--check PATH] HOST:PORT ...`` runs one, and says on standard output where.

Specification: none; RFC 9112 for the messages.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Final

HEAD_LIMIT: Final = 1 << 20
PIECE: Final = 1 << 16
#: Seconds for which a connection to a worker is kept for the next request; servers end theirs later.
KEPT: Final = 1.0
#: Seconds for a connection to a worker, and for what `check` asks; a worker that stands still takes no more.
PATIENCE: Final = 2.0
CHECKED_EVERY: Final = 0.1
#: Bytes of a request that can be sent to another worker.
SMALL: Final = 1 << 14
Address = tuple[str, int]


class Gone(Exception):
    """The other side is no more."""


class _Side(asyncio.StreamReaderProtocol):
    """A connection that tells of its end even while nobody reads it."""

    def __init__(self, served: Callable[[_Side], None] | None = None) -> None:
        self.reader = asyncio.StreamReader(HEAD_LIMIT)
        self.gone = asyncio.Event()
        self.writer: asyncio.StreamWriter
        self.used = time.monotonic()
        self._served = served
        super().__init__(self.reader)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert isinstance(transport, asyncio.WriteTransport)
        self.writer = asyncio.StreamWriter(transport, self, self.reader, asyncio.get_running_loop())
        if self._served is not None:
            self._served(self)

    def eof_received(self) -> bool:
        self.gone.set()
        super().eof_received()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        super().connection_lost(exc)

    async def send(self, data: bytes) -> None:
        try:
            self.writer.write(data)
            await self.writer.drain()
        except OSError as problem:
            raise Gone from problem

    async def read(self) -> bytes:
        try:
            return await self.reader.read(PIECE)
        except OSError as problem:
            raise Gone from problem

    async def until(self, mark: bytes) -> bytes:
        """What comes up to a mark. Raises `Gone`."""
        try:
            return await self.reader.readuntil(mark)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as problem:
            raise Gone from problem

    async def exactly(self, count: int) -> AsyncIterator[bytes]:
        """So many bytes, as they come. Raises `Gone`."""
        while count:
            try:
                piece = await self.reader.read(min(count, PIECE))
            except OSError as problem:
                raise Gone from problem
            if not piece:
                raise Gone
            count -= len(piece)
            yield piece

    def end(self) -> None:
        self.writer.transport.abort() if self.gone.is_set() else self.writer.close()


@dataclass
class _Head:
    """The beginning of a message."""

    first: str
    fields: list[tuple[str, str]]

    @classmethod
    def read(cls, raw: bytes) -> _Head:
        first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
        return cls(
            first, [(name, value.strip()) for name, _, value in (each.partition(":") for each in lines)]
        )

    def get(self, wanted: str) -> str:
        """The value of a field, in small letters; empty where it is missing."""
        return next((value.lower() for name, value in self.fields if name.lower() == wanted), "")

    def encode(self, *more: tuple[str, str]) -> bytes:
        kept = [each for each in self.fields if each[0].lower() not in ("connection", "keep-alive")]
        lines = [self.first, *(f"{name}: {value}" for name, value in (*kept, *more))]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    @property
    def status(self) -> str:
        """Of an answer."""
        return self.first.split(" ")[1]

    @property
    def lasting(self) -> bool:
        """Whether the connection stays open after this message."""
        return self.get("connection") != "close"


@dataclass
class _Request:
    """One request. ``body``: all of it, if it may be sent to several workers; ``last``: to none after this one."""

    head: _Head
    peer: str
    body: bytes | None = None
    last: bool = True

    @property
    def method(self) -> str:
        return self.head.first.split(" ")[0]

    @property
    def path(self) -> str:
        return self.head.first.split(" ")[1]

    @property
    def raw(self) -> bytes:
        """Its head, as workers get it."""
        return self.head.encode(("X-Forwarded-For", self.peer))


@dataclass
class Worker:
    """Where requests go. ``requests`` counts them."""

    address: Address
    ready: bool = True
    requests: int = 0
    idle: deque[_Side] = field(default_factory=deque)

    async def connection(self) -> _Side:
        """One that was kept, or a new one. Raises `Gone`."""
        while self.idle:
            side = self.idle.pop()
            if not side.gone.is_set() and time.monotonic() - side.used < KEPT:
                return side
            side.end()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(PATIENCE):
                _, side = await loop.create_connection(_Side, *self.address)
        except (OSError, TimeoutError) as problem:
            raise Gone from problem
        return side

    def keep(self, side: _Side) -> None:
        side.used = time.monotonic()
        self.idle.append(side)

    def forget(self) -> None:
        while self.idle:
            self.idle.pop().end()


class RoundRobin:
    """The proxy. ``note`` is told of each request: its method, its path, and the number of its worker."""

    def __init__(
        self,
        addresses: Sequence[Address],
        *,
        check: str | None = None,
        elsewhere: bool = False,
        keep: bool = True,
        note: Callable[[str, str, int], None] | None = None,
    ) -> None:
        self.workers = [Worker(each, ready=check is None) for each in addresses]
        self.port = 0
        self._check = check
        self._elsewhere = elsewhere
        self._keep = keep
        self._note = note
        self._turn = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._sides: set[_Side] = set()

    @contextlib.asynccontextmanager
    async def serving(self, port: int = 0, host: str = "127.0.0.1") -> AsyncIterator[str]:
        """Serve for as long as this lasts; gives the URL of the endpoint behind it, at ``/mcp``."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Side(self._begin), host, port, backlog=2048)
        self.port = server.sockets[0].getsockname()[1]
        if self._check is not None:
            self._start(self._checking(self._check))
        try:
            yield f"http://{host}:{self.port}/mcp"
        finally:
            server.close()
            for side in tuple(self._sides):
                side.writer.transport.abort()
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for worker in self.workers:
                worker.forget()

    def _begin(self, side: _Side) -> None:
        self._sides.add(side)
        self._start(self._serve(side))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: _Side) -> None:
        """One request after the other of a client's connection."""
        try:
            while await self._one(client):
                pass
        except Gone:
            client.gone.set()
        finally:
            self._sides.discard(client)
            client.end()

    async def _one(self, client: _Side) -> bool:
        """One request and its answer; whether there may be another."""
        head = _Head.read(await client.until(b"\r\n\r\n"))
        request = _Request(head, client.writer.get_extra_info("peername")[0])
        if (
            self._elsewhere
            and int(head.get("content-length") or 0) <= SMALL
            and not head.get("transfer-encoding")
        ):
            request.body = b"".join([piece async for piece in _body(client, head)])
        for tried in range(len(self.workers)):
            worker = self._next()
            try:
                side = await worker.connection()
            except Gone:
                continue
            request.last = request.body is None or tried == len(self.workers) - 1
            worker.requests += 1
            if self._note is not None:
                self._note(request.method, request.path, self.workers.index(worker))
            again = await self._passed(client, worker, side, request)
            if again is not None:
                return again and head.lasting
        await _refuse(client, "503 Service Unavailable", "no worker takes connections")
        return False

    async def _passed(self, client: _Side, worker: Worker, side: _Side, request: _Request) -> bool | None:
        """One try; whether the client may send more, or None where the next worker is to be tried."""
        passing = asyncio.create_task(self._exchange(client, side, request, str(self.workers.index(worker))))
        left = asyncio.create_task(client.gone.wait())
        try:
            await asyncio.wait((passing, left), return_when=asyncio.FIRST_COMPLETED)
            if not passing.done():
                raise Gone
            return passing.result()
        finally:
            for task in (passing, left):
                task.cancel()
            try:
                await asyncio.gather(passing, left, return_exceptions=True)
            finally:
                used_up = (
                    not passing.done() or passing.cancelled() or passing.exception() or not passing.result()
                )
                if self._keep and not used_up:
                    worker.keep(side)
                else:
                    side.writer.transport.abort()

    def _next(self) -> Worker:
        """The next worker that is ready, or just the next one where none is."""
        turns = [self.workers[(self._turn + each) % len(self.workers)] for each in range(len(self.workers))]
        found = next((each for each in turns if each.ready), turns[0])
        self._turn += turns.index(found) + 1
        return found

    async def _exchange(self, client: _Side, side: _Side, request: _Request, number: str) -> bool | None:
        """Pass a request on and its answer back; whether both connections can be used again, None for a refusal that is
        kept back. The answer says at which worker it was given: ``X-Worker``.
        """
        answered = False
        try:
            await side.send(request.raw)
            if request.body is None:
                async for piece in _body(client, request.head):
                    await side.send(piece)
            else:
                await side.send(request.body)
            while (answer := _Head.read(await side.until(b"\r\n\r\n"))).status[0] == "1":
                await client.send(answer.encode())
            if answer.status == "503" and not request.last:
                return None
            answered = True
            bare = request.method == "HEAD" or answer.status in ("204", "304")
            if not (bare or answer.get("content-length") or answer.get("transfer-encoding")):
                raise Gone
            await client.send(answer.encode(("X-Worker", number)))
            if not bare:
                async for piece in _body(side, answer):
                    await client.send(piece)
            return answer.lasting
        except Gone:
            if not answered and not client.gone.is_set():
                await _refuse(client, "502 Bad Gateway", "the worker ended before it answered")
            return False

    async def _checking(self, path: str) -> None:
        """Ask each worker again and again whether it is ready."""
        while True:
            await asyncio.gather(*(self._ask(worker, path) for worker in self.workers))
            await asyncio.sleep(CHECKED_EVERY)

    @staticmethod
    async def _ask(worker: Worker, path: str) -> None:
        host, port = worker.address
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_connection(host, port)
                try:
                    writer.write(
                        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode()
                    )
                    worker.ready = (await reader.readline()).split()[1:2] == [b"200"]
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            worker.ready = False


async def _body(side: _Side, head: _Head) -> AsyncIterator[bytes]:
    """The body of a message, as it comes and with its framing. Raises `Gone`."""
    if head.get("transfer-encoding") == "chunked":
        size = -1
        while size:
            line = await side.until(b"\r\n")
            size = int(line.split(b";")[0], 16)
            yield line
            async for piece in side.exactly(size + 2):
                yield piece
    else:
        async for piece in side.exactly(int(head.get("content-length") or 0)):
            yield piece


async def _refuse(client: _Side, status: str, reason: str) -> None:
    body = reason.encode()
    await client.send(
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n".encode()
        + b"Connection: close\r\n\r\n"
        + body
    )


async def main(arguments: argparse.Namespace) -> None:
    """Serve until the process is ended."""
    addresses = [(host, int(port)) for host, _, port in (each.rpartition(":") for each in arguments.worker)]
    async with RoundRobin(addresses, check=arguments.check).serving(arguments.port) as url:
        print(f"proxy: serving on {url}", flush=True)  # noqa: T201 - whoever starts it waits for this line
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A proxy that gives each request to the next worker.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument(
        "--check", metavar="PATH", help="workers that answer this with 200 alone get requests"
    )
    parser.add_argument("worker", nargs="+", metavar="HOST:PORT")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(parser.parse_args()))
    sys.exit(0)
