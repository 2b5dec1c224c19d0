"""The bus over LISTEN and NOTIFY.

Theory of operation
-------------------
Each event loop that listens has a connection for nothing else, on which the engine pushes. A channel is listened to
under a digest of its name, while anybody in the loop does. The connection is looked at now and then, for a peer
that vanished says nothing; when it is lost, another one is made, however long that takes, and once that one
listens, all are told that something may be missing.

What one loop publishes leaves in its order, many messages in one transaction of their own: the engine lets only one
transaction with notifications commit at a time, so none of our writes is among them. What is too large for a
notification waits in a table for a minute, and those behind it wait until it is fetched.

Behind a connection pooler that gives each transaction another process nobody can listen, and so the bus refuses;
publishing works.

Specification: none.
"""

from __future__ import annotations

import asyncio
import binascii
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import Context
from hashlib import sha256
from typing import Any

from dovetail.logs import get_logger
from dovetail.stores.bounds import BusBounds, check_key, check_value
from dovetail.stores.errors import StoreClosed, StoreError
from dovetail.stores.listeners import BusListeners
from dovetail.stores.per_loop import PerLoop
from dovetail.stores.postgres.engine import PostgresEngine, failures, translated
from dovetail.stores.postgres.executor import OperationKind, PostgresExecutor

__all__ = ["PostgresBus"]

KEPT = 60.0
"""Seconds for which a large message can be fetched."""
LOOK_EVERY = 15.0
"""Seconds between two looks at a connection on which nothing came."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
"""Seconds between two tries to connect anew: they double."""
BEHIND = 4_096
"""Messages that wait behind a large one; those beyond are lost, and told as missing."""

_log = get_logger("dovetail.stores")
Heard = Callable[[bytes | None], None]


class _NotificationConnection:
    """The listeners of one event loop, and the connection on which they hear. Runs in that loop but for `_vacated`."""

    def __init__(
        self,
        engine: PostgresEngine,
        bounds: BusBounds,
        fetch: Callable[[int], Any],
        named: Callable[[str], str],
    ) -> None:
        self.engine = engine
        self.loop = asyncio.get_running_loop()
        self.listeners = BusListeners(bounds, self._vacated)
        self._fetch = fetch
        self._named = named
        self._lock = asyncio.Lock()
        self._lost = asyncio.Event()
        self._connection: Any = None
        self._listening: dict[str, str] = {}  # channels by the name under which the engine knows them
        self._behind: deque[tuple[str, str]] = deque()
        self._dropped = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False

    def start(self, work: Any) -> asyncio.Task[Any]:
        """Run something on the side, in a context of its own."""
        task = self.loop.create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def listen(self, channel: str, heard: Heard) -> Callable[[], None]:
        """See `Bus.listen`."""
        end = self.listeners.add(channel, heard)
        try:
            await asyncio.shield(self.start(self._tune(channel)))
        except BaseException:
            end()
            raise
        return end

    async def _tune(self, channel: str) -> None:
        """Have the connection listen to a channel. Raises `StoreUnavailable`."""
        async with self._lock:
            if self._closed:
                raise StoreClosed
            if self._connection is None or self._connection.is_closed():
                await self._connect()
            if self._named(channel) not in self._listening:
                await self._listen(channel)
            if self._keeper is None:
                self._keeper = self.start(self._keep())

    async def _connect(self) -> None:
        """A connection that listens to all that is listened to; the listeners that were there are told of a gap."""
        again = self._connection is not None
        await self._let_go()
        connection = await self.engine.connect()
        if self.engine.pooled:
            connection.terminate()
            raise self.engine.unavailable(
                "a connection pooler is in between, and to listen takes a connection that stays. Give the store a"
                " `listen_url` that leads to PostgreSQL itself; all but listening works without."
            )
        self._connection = connection
        connection.add_termination_listener(self._ended)
        self._lost.clear()
        for channel in self.listeners.channels():
            await self._listen(channel)
        if connection.is_closed():
            self._lost.set()
        elif again:
            self.listeners.tell_all_of_a_gap()

    def _ended(self, connection: Any) -> None:
        self._lost.set()

    async def _listen(self, channel: str) -> None:
        name = self._named(channel)
        try:
            async with asyncio.timeout(self.engine.timeout):
                await self._connection.add_listener(name, self._arrived)
        except failures() as error:
            self._connection.terminate()
            self._lost.set()
            raise translated(self.engine, error) from None
        self._listening[name] = channel

    async def _let_go(self) -> None:
        self._listening.clear()
        if self._connection is not None:
            self._connection.terminate()

    async def _keep(self) -> None:
        """See that the connection is there, and make another one when it is lost."""
        pause = FIRST_PAUSE
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY):
                        await self._lost.wait()
                async with self._lock:
                    try:
                        if self._lost.is_set() or self._connection.is_closed():
                            await self._connect()
                        else:
                            async with asyncio.timeout(self.engine.timeout):
                                await self._connection.execute("SELECT 1")
                        pause = FIRST_PAUSE
                        continue
                    except (StoreError, *failures()) as error:
                        self._lost.set()
                        _log.warning("the bus hears nothing for now: %s", translated(self.engine, error))
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        finally:
            if self._connection is not None:
                self._connection.terminate()  # the loop ends, or the bus

    def _arrived(self, connection: Any, process: int, name: str, payload: object) -> None:
        """A notification came."""
        channel = self._listening.get(name)
        if channel is None or self._closed:
            return
        said = str(payload)
        if self._behind or said.startswith("#"):
            if len(self._behind) >= BEHIND:
                self._dropped = True
                return
            self._behind.append((channel, said))
            if len(self._behind) == 1:
                self.start(self._catch_up())
        else:
            self._tell(channel, said)

    def _tell(self, channel: str, said: str) -> None:
        try:
            data = binascii.a2b_base64(said.partition(":")[2])
        except ValueError:  # somebody else's: the database is not ours alone
            data = None
        with suppress(StoreClosed):
            self.listeners.tell(channel, data)

    async def _catch_up(self) -> None:
        """Fetch what is large, and tell it and what came behind it in their order."""
        while self._behind:
            channel, said = self._behind[0]
            if said.startswith("#"):
                data = None
                with suppress(StoreError, ValueError):
                    data = await self._fetch(int(said[1:]))
                with suppress(StoreClosed):
                    self.listeners.tell(channel, data)
            else:
                self._tell(channel, said)
            self._behind.popleft()
        if self._dropped:
            self._dropped = False
            with suppress(StoreClosed):
                self.listeners.tell_all_of_a_gap()

    def _vacated(self, channel: str) -> None:
        """Nobody listens to the channel any more. Called in any thread."""
        with suppress(RuntimeError):  # the loop was closed, and its connection with it
            self.loop.call_soon_threadsafe(lambda: None if self._closed else self.start(self._leave(channel)))

    async def _leave(self, channel: str) -> None:
        name = self._named(channel)
        async with self._lock:
            if (
                self._closed
                or self._lost.is_set()
                or name not in self._listening
                or self.listeners.on(channel)
            ):
                return
            del self._listening[name]
            try:
                async with asyncio.timeout(self.engine.timeout):
                    await self._connection.remove_listener(name, self._arrived)
            except failures():
                self._connection.terminate()  # the next one listens only to what is wanted
                self._lost.set()

    async def stop(self) -> None:
        """Nobody hears anything any more."""
        self._closed = True
        self.listeners.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._connection is not None:
            self._connection.terminate()


class PostgresBus:
    """A `Bus` in the schema of `executor`. `engine` is where it listens. `clock` gives seconds since the epoch."""

    def __init__(
        self,
        executor: PostgresExecutor,
        engine: PostgresEngine,
        bounds: BusBounds,
        clock: Callable[[], float],
    ) -> None:
        self._executor = executor
        self._engine = engine
        self._bounds = bounds
        self._clock = clock
        self._connections = PerLoop(
            lambda: _NotificationConnection(engine, bounds, self._fetched, self._named), engine.timeout
        )
        statement = executor.engine.statement
        self._publish_text = statement("SELECT $schema.publish($1::text[], $2::bytea[], $3::float8)")
        self._fetch_text = statement(
            "SELECT number, data FROM $schema.message WHERE number = ANY ($1::bigint[])"
        )
        self._says = OperationKind("publish", self._publish, 64, alone=True)
        self._fetches = OperationKind("fetch", self._fetch, 16, writes=False)

    async def publish(self, channel: str, data: bytes) -> None:
        """See `Bus.publish`."""
        check_key(channel, "channel")
        check_value(data, self._bounds.max_message, "message")
        await self._executor.do(self._says, (self._named(channel), data), len(data))

    async def listen(self, channel: str, heard: Heard) -> Callable[[], None]:
        """See `Bus.listen`. Raises `StoreUnavailable` where it can't listen now; once it does, it heals by itself."""
        check_key(channel, "channel")
        return await self._connections.here().listen(channel, heard)

    async def aclose(self) -> None:
        """Close the connections of all loops; every later call raises `StoreClosed`."""
        await self._connections.aclose()

    def _named(self, channel: str) -> str:
        """The name under which the engine knows a channel: a digest, which tells nobody anything and always fits."""
        return f"dovetail_{sha256(f'{self._engine.schema}/{channel}'.encode()).hexdigest()[:40]}"

    async def _fetched(self, number: int) -> bytes | None:
        """The data of a message that waits in the table; None where it is gone."""
        return await self._executor.do(self._fetches, number)

    async def _publish(self, connection: Any, given: list[tuple[str, bytes]]) -> Sequence[None]:
        names, data = zip(*given, strict=True)
        await connection.fetchval(self._publish_text, names, data, self._clock() + KEPT)
        return [None] * len(given)

    async def _fetch(self, connection: Any, numbers: list[int]) -> Sequence[bytes | None]:
        found = dict(await connection.fetch(self._fetch_text, numbers))
        return [found.get(number) for number in numbers]
