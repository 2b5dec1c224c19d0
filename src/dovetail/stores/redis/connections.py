"""The connections of one store to its server: a few in each event loop, each carrying many calls at a time.

Theory of operation
-------------------
A call waits in the line of its node. A worker, which is a task with a connection of its own, takes all that waits (up
to a bound) and sends it in one piece; the replies come in the same order. So a hundred calls of one moment are one
round trip, a caller that is cancelled disturbs no connection, and there are never more connections than workers. A
worker is started when something waits and no other is on its way to take it.

Nothing that may have reached the server is ever sent again: the answer to a call whose connection broke is not known,
and `StoreUnavailable.uncertain` says so. What is known not to have run is repeated: a script that the server has not
seen yet, or a call that a cluster wants elsewhere. In a cluster the keys of one part of the store are in one slot, so a
single answer (MOVED) teaches where the part is; when that node is gone, we begin at the URL again.

A server that throws keys away to make room (``maxmemory-policy allkeys-...``) would lose sessions and forget which
requests ran: it is refused on each connection.

Specification: none.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from dovetail.logs import get_logger
from dovetail.stores.answer_timeout import AnswerTimeout
from dovetail.stores.errors import StoreClosed, StoreError, StoreFull, StoreUnavailable
from dovetail.stores.per_loop import PerLoop

from .driver import Address, Driver, is_refusal
from .scripts import PartKeys, Script

__all__ = ["Connections", "Local"]

BATCH = 256
"""Calls that are sent in one piece at most."""
BATCH_BYTES = 4 * 1024 * 1024
"""Bytes of arguments from which on nothing is added to a piece."""
MAX_WAITING = 65_536
"""Calls that may wait for one node in one event loop; past that the store is overloaded and says so."""
MOVES = 5
"""How often one call is repeated elsewhere, or with its script, before we give up."""

_log = get_logger("dovetail.stores")


class _OutOfMemory(Exception):
    """The server has no memory for this. It had no effect."""


class _Moved(Exception):
    """The keys of this call are on another node. It had no effect."""

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self.address = address


class _Unknown(Exception):
    """The server does not have the script. It had no effect."""


class _Unreached(StoreUnavailable):
    """There is no connection. Nothing was sent."""


class _PendingCommand:
    """What is to be sent, and who waits for the reply."""

    __slots__ = ("command", "future", "size")

    def __init__(self, command: tuple[Any, ...], loop: asyncio.AbstractEventLoop) -> None:
        self.command = command
        self.size = sum(map(len, command))
        self.future: asyncio.Future[Any] = loop.create_future()

    def answer(self, reply: Any) -> None:
        """Wake who waits."""
        if not self.future.done():
            self.future.set_result(reply)

    def fail(self, error: Exception) -> None:
        """Wake who waits with an error."""
        if not self.future.done():
            self.future.set_exception(error)


class _Node:
    """One server, as one event loop sees it."""

    def __init__(self, driver: Driver, address: Address | None, most: int) -> None:
        self._driver = driver
        self._address = address
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_PendingCommand] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._idle: list[asyncio.Future[None]] = []
        self._coming = False  # a worker is on its way to take what waits
        self._closed = False

    async def call(self, command: tuple[Any, ...]) -> Any:
        """The reply of the server. Raises what `Connections.run` does, and `_Moved` and `_Unknown`."""
        if self._closed:
            raise StoreClosed
        if len(self._waiting) >= MAX_WAITING:
            raise StoreUnavailable(
                f"The Redis store has {len(self._waiting)} operations waiting. Try again later."
            )
        call = _PendingCommand(command, self._loop)
        self._waiting.append(call)
        self._summon()
        return await call.future

    async def close(self) -> None:
        """Let what was sent be answered, and end the rest with `StoreClosed`."""
        self._closed = True
        self._fail_waiting(StoreClosed())
        for idle in self._idle:
            if not idle.done():
                idle.set_result(None)
        self._idle.clear()
        await asyncio.gather(*self._workers, return_exceptions=True)

    def _summon(self) -> None:
        """See to it that somebody takes what waits."""
        if self._coming or not self._waiting:
            return
        while self._idle:
            idle = self._idle.pop()
            if not idle.done():
                idle.set_result(None)
                self._coming = True
                return
        if len(self._workers) < self._most:
            self._coming = True
            worker = self._loop.create_task(self._work(), name="dovetail-redis")
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    def _take(self) -> list[_PendingCommand]:
        """What is sent in the next piece."""
        self._coming = False
        batch: list[_PendingCommand] = []
        size = 0
        while self._waiting and len(batch) < BATCH and size < BATCH_BYTES:
            call = self._waiting.popleft()
            if not call.future.done():  # else its caller was cancelled
                batch.append(call)
                size += call.size
        self._summon()
        return batch

    def _fail_waiting(self, error: Exception) -> None:
        while self._waiting:
            self._waiting.popleft().fail(error)

    async def _work(self) -> None:
        """The life of a worker: take what waits, send it, hand over the replies."""
        connection: Any = None
        try:
            while not self._closed:
                if not self._waiting:
                    self._coming = False
                    idle = self._loop.create_future()
                    self._idle.append(idle)
                    await idle
                    continue
                connection = await self._connected(connection)
                if connection is not None and (batch := self._take()):
                    connection = await self._exchange(connection, batch)
        except BaseException:
            # The event loop ends, or something is wrong with us. Nobody may wait for a worker that is gone.
            self._coming = False
            self._fail_waiting(StoreUnavailable("The Redis store lost the task that served it. Try again."))
            raise
        finally:
            if connection is not None:
                await self._driver.close(connection)

    async def _connected(self, connection: Any) -> Any:
        """This connection if it still stands, else a new one. None, and nobody waits any more, if there is none."""
        if connection is not None:
            if await self._driver.stands(connection):
                return connection
            await self._driver.close(connection)
        try:
            return await self._driver.connect(self._address)
        except StoreError as error:
            self._coming = False
            self._fail_waiting(_Unreached(str(error)))
            return None

    async def _exchange(self, connection: Any, batch: list[_PendingCommand]) -> Any:
        """Send the batch and hand over the replies. Gives the connection, or None where it broke."""
        done = 0
        try:
            async with AnswerTimeout(self._driver.timeout) as patience:
                await self._driver.send(connection, [call.command for call in batch])
                for call in batch:
                    try:
                        call.answer(await self._driver.receive(connection))
                    except Exception as error:
                        if not is_refusal(error):
                            raise
                        call.fail(self._judged(error))
                    done += 1
                    patience.begin_again()
        except Exception as error:  # noqa: BLE001 - whatever broke, those who wait have to be told
            for call in batch[done:]:
                call.fail(self._driver.broken(self._address, error))
            await self._driver.close(connection)
            return None
        except BaseException:
            for call in batch[done:]:
                call.fail(self._driver.broken(self._address, None))
            await self._driver.close(connection)
            raise
        return connection

    def _judged(self, error: Exception) -> Exception:
        """What to tell the caller about a refusal of the server."""
        match type(error).__name__:
            case "NoScriptError":
                return _Unknown()
            case "OutOfMemoryError":
                return _OutOfMemory()
            case "MovedError":
                host: str = getattr(error, "host", "")
                port: int = getattr(error, "port", 0)
                # Without a name it is the host that was asked.
                return _Moved((host or self._driver.address(self._address)[0], port))
            case _ if str(error).startswith("OOM "):
                return _OutOfMemory()
            case _:
                return self._driver.refused(self._address, error)


class Local:
    """What a store has in one event loop."""

    def __init__(self, driver: Driver, most: int) -> None:
        self.driver = driver
        self.closing: list[Any] = []  # coroutine functions to be called at the end, of what else is here
        self.extras: dict[str, Any] = {}
        self._most = most
        self._nodes: dict[Address | None, _Node] = {}
        self._homes: dict[str, Address] = {}

    async def call(self, part: str, command: tuple[Any, ...]) -> Any:
        """Send a command to the node of a part."""
        for _ in range(MOVES):
            home = self._homes.get(part)
            node = self._nodes.get(home)
            if node is None:
                node = self._nodes[home] = _Node(self.driver, home, self._most)
            try:
                return await node.call(command)
            except _Moved as moved:
                self._homes[part] = moved.address
            except _Unreached:
                if self._homes.pop(part, None) is None:
                    raise
        raise StoreUnavailable("The Redis cluster sends us from node to node. Try again later.")

    async def stop(self) -> None:
        """Let go of all connections."""
        for close in self.closing:
            await close()
        await asyncio.gather(*(node.close() for node in self._nodes.values()))


class Connections:
    """Carries calls to the server of `driver`, from any event loop, over at most ``most`` connections in each."""

    def __init__(self, driver: Driver, most: int) -> None:
        if most < 1:
            raise ValueError(f"A Redis store needs at least one connection, not {most}.")
        self._driver = driver
        self._locals = PerLoop(lambda: Local(driver, most), driver.timeout)
        self.sweeps: list[tuple[Script, PartKeys]] = []
        """What makes room in each part: called with the time, gives how much went."""

    @property
    def driver(self) -> Driver:
        """What knows the server."""
        return self._driver

    def here(self) -> Local:
        """What we have in the event loop that runs now. Raises `StoreClosed`."""
        return self._locals.here()

    async def run(self, script: Script, keys: PartKeys, now: float, *args: bytes) -> Any:
        """What the script gives. Raises `StoreFull` where the server has no memory left, even after a sweep;
        `StoreUnavailable`; `StoreClosed`.
        """
        try:
            return await self._run(script, keys, now, args)
        except _OutOfMemory:
            swept = [await self._run(sweep, kept, now, ()) for sweep, kept in self.sweeps]
            if any(swept):
                with suppress(_OutOfMemory):
                    return await self._run(script, keys, now, args)
            raise StoreFull("bytes in Redis", self._driver.max_memory) from None

    async def command(self, *args: bytes) -> Any:
        """What a command without keys gives. Raises as `run`."""
        try:
            return await self.here().call("", args)
        except _OutOfMemory:
            raise StoreFull("bytes in Redis", self._driver.max_memory) from None

    async def _run(self, script: Script, keys: PartKeys, now: float, args: Sequence[bytes]) -> Any:
        local = self.here()
        rest = (b"%d" % len(keys.names), *keys.names, repr(now).encode(), *args)
        try:
            return await local.call(keys.part, (b"EVALSHA", script.digest, *rest))
        except _Unknown:
            return await local.call(keys.part, (b"EVAL", script.source, *rest))

    async def aclose(self) -> None:
        """Let what was sent be answered, then close all connections. May be called again."""
        await self._locals.aclose()
