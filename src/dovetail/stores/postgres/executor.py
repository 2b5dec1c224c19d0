"""The connections of a PostgreSQL store, and how operations travel on them.

Theory of operation
-------------------
Each event loop has workers of its own, at most `connections` of them, each a task with one connection. An operation
waits in the line of its kind. A worker that is free takes the kind that waits longest, and of it all that waits, up
to a bound: so one call alone leaves at once, and of many at a time the engine sees one statement and one commit.
Since an operation is put into line and its result handed over, a caller that is cancelled disturbs nobody, and no
half-used connection is left.

A batch is one transaction. When the engine refuses it for the sake of one (a full disk does that), each is tried
alone. Circles of locks are avoided by order, not by luck; where there is one all the same, the batch is tried again
a few times. What only reads is tried again once on a new connection; what writes never is: it may have been done.

A worker that had nothing to do for a minute closes its connection. Workers end with their loop. After a fork the child
connects anew and never touches what it inherited.

Specification: none.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import Context
from typing import Any, NamedTuple, TypeVar

from dovetail.logs import get_logger
from dovetail.stores.answer_timeout import AnswerTimeout
from dovetail.stores.errors import StoreClosed, StoreError, StoreUnavailable
from dovetail.stores.per_loop import PerLoop
from dovetail.stores.postgres.engine import PostgresEngine, driver, no_connection_left, sqlstate, translated

__all__ = ["OperationKind", "PostgresExecutor"]

MAX_WAITING = 65_536
"""Operations of one loop on the way at most; past that the store is overloaded and says so."""
BATCH_BYTES = 4 * 1024 * 1024
"""Bytes of values in one batch, unless the first alone has more."""
IDLE = 60.0
"""Seconds for which a connection that nobody needs stays open."""
TRIES = 5
"""How often a batch is tried that was in a circle of locks."""
CROWDED = 1.0
"""Seconds for which no further connection is asked for after the engine refused one."""
SWEEP_EVERY = 1.0
SWEEP_ROWS = 500
"""What has expired is swept after writes, at most so often (seconds) and so many of a kind at once."""

T = TypeVar("T")
_log = get_logger("dovetail.stores")
_AGAIN = ("40P01", "40001")
_OF_ALL = ("08", "25", "28", "55", "57")
"""Classes of errors that are no fault of one operation in a batch."""


class OperationKind(NamedTuple):
    """Operations that travel together. `run` is given a connection and what each was given; it answers each, by a value
    or an exception. `alone`: one batch at a time, so that they arrive in their order.
    """

    name: str
    run: Callable[[Any, list[Any]], Awaitable[Sequence[Any]]]
    most: int
    writes: bool = True
    alone: bool = False


class _PendingOperation(NamedTuple):
    given: Any
    weight: int
    future: asyncio.Future[Any]
    give_up: float


class _Superfluous(Exception):
    """There is no connection for this worker, but others have one: they are to do the batch."""

    def __init__(self, batch: list[_PendingOperation]) -> None:
        self.batch = batch


class _Lanes:
    """The lines and workers of one event loop. Everything here runs in that loop."""

    def __init__(
        self, engine: PostgresEngine, connections: int, sweep: Callable[[Any, int], Awaitable[int]]
    ) -> None:
        self.engine = engine
        self.connections = connections
        self.sweep = sweep
        self.loop = asyncio.get_running_loop()
        self.closed = False
        self.lines: dict[OperationKind, deque[_PendingOperation]] = {}
        self.busy: set[OperationKind] = set()  # those of which there is only one batch at a time
        self.waiting = 0
        self.workers: set[asyncio.Task[None]] = set()
        self.idle: list[asyncio.Future[None]] = []
        self.reaching = 0  # workers that have a connection, or are about to
        self.crowded_until = 0.0
        self.swept = self.loop.time()

    def submit(self, kind: OperationKind, given: Any, weight: int) -> asyncio.Future[Any]:
        """Put an operation into line. Raises `StoreClosed` or `StoreUnavailable`."""
        if self.closed:
            raise StoreClosed
        if self.waiting >= MAX_WAITING:
            raise self.engine.unavailable(f"{self.waiting} operations wait for it. Try again later.")
        operation = _PendingOperation(
            given, weight, self.loop.create_future(), self.loop.time() + self.engine.timeout
        )
        self.waiting += 1
        line = self.lines.get(kind)
        if line is not None:
            line.append(operation)
            return (
                operation.future
            )  # whoever was called for the first of it takes this one too, or is called again
        self.lines[kind] = deque((operation,))
        self._call()
        return operation.future

    def _call(self) -> None:
        """Have somebody look at the lines."""
        while self.idle:
            waiter = self.idle.pop()
            if not waiter.done():
                waiter.set_result(None)
                return
        if len(self.workers) < self.connections and self.loop.time() >= self.crowded_until:
            # A context of its own: else it would hold that of the call which happened to be the first.
            task = self.loop.create_task(self._work(), name="dovetail-postgres", context=Context())
            self.workers.add(task)
            task.add_done_callback(self.workers.discard)

    def hand_back(self, kind: OperationKind, batch: list[_PendingOperation]) -> None:
        """Let others do it: the engine gives no more connections, so for a while none is asked for."""
        self.crowded_until = self.loop.time() + CROWDED
        self.lines.setdefault(kind, deque()).extendleft(reversed(batch))
        self.waiting += len(batch)
        self._call()

    def _next(self) -> tuple[OperationKind, list[_PendingOperation]] | None:
        for kind in self.lines:
            if kind not in self.busy:
                break
        else:
            return None
        line = self.lines.pop(kind)
        batch, weight = [line.popleft()], 0
        weight = batch[0].weight
        while line and len(batch) < kind.most and weight + line[0].weight <= BATCH_BYTES:
            weight += line[0].weight
            batch.append(line.popleft())
        if line:
            self.lines[kind] = line  # behind the other kinds
        if kind.alone:
            self.busy.add(kind)
        self.waiting -= len(batch)
        if any(each not in self.busy for each in self.lines):
            self._call()
        return kind, batch

    async def _work(self) -> None:
        """The life of a worker: take what waits, do it, say what came of it."""
        worker = _Worker(self)
        try:
            while True:
                found = self._next()
                if found is not None:
                    kind, batch = found
                    try:
                        await worker.serve(kind, batch)
                    except _Superfluous as left:
                        self.busy.discard(kind)
                        self.hand_back(kind, left.batch)
                        break
                    finally:
                        self.busy.discard(kind)
                elif self.closed or not await self._called():
                    break
        finally:
            await worker.end(gently=self.closed)

    async def _called(self) -> bool:
        """Wait until there is something to do; False after a minute without."""
        waiter: asyncio.Future[None] = self.loop.create_future()
        self.idle.append(waiter)
        try:
            async with asyncio.timeout(IDLE):
                await waiter
        except TimeoutError:
            return any(kind not in self.busy for kind in self.lines)
        finally:
            if waiter in self.idle:
                self.idle.remove(waiter)
        return True

    async def stop(self) -> None:
        """Refuse what waits, and let the workers end after what they are doing."""
        if not self.closed:
            self.closed = True
            lines, self.lines = self.lines, {}
            for operation in (each for line in lines.values() for each in line):
                _fail(operation, StoreClosed())
            self.waiting = 0
            idle, self.idle = self.idle, []
            for waiter in idle:
                if not waiter.done():
                    waiter.set_result(None)
        if self.workers:
            await asyncio.wait(self.workers)


class _Worker:
    """One connection, and what it is used for."""

    def __init__(self, lanes: _Lanes) -> None:
        self.lanes = lanes
        self.connection: Any = None

    async def end(self, *, gently: bool) -> None:
        """Let go of the connection."""
        connection, self.connection = self.connection, None
        if connection is None:
            return
        self.lanes.reaching -= 1
        if gently and not connection.is_closed():
            with suppress(Exception):
                await connection.close(timeout=1.0)
        connection.terminate()

    async def serve(self, kind: OperationKind, batch: list[_PendingOperation]) -> None:
        """Do a batch, and answer each of it whatever happens."""
        lanes = self.lanes
        try:
            now = lanes.loop.time()
            late = [each for each in batch if each.give_up < now]
            batch = [each for each in batch if each.give_up >= now and not each.future.cancelled()]
            if late:
                error = translated(lanes.engine, TimeoutError())
                for each in late:
                    _fail(each, error)
            if batch:
                await self._run(kind, batch, again=not kind.writes)
                if kind.writes:
                    await self._sweep()
        except _Superfluous:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to the callers, not to this task
            await self.end(gently=False)
            for each in batch:
                _fail(each, error)
        except BaseException:
            for each in batch:
                each.future.cancel()
            raise

    async def _run(self, kind: OperationKind, batch: list[_PendingOperation], *, again: bool) -> None:
        asyncpg, engine = driver(), self.lanes.engine
        for attempt in range(TRIES):
            try:
                await self._connect()
                async with AnswerTimeout(engine.timeout):
                    results = await kind.run(self.connection, [each.given for each in batch])
                break
            except StoreError as error:
                await self.end(gently=False)
                if self.lanes.reaching and no_connection_left(error):
                    raise _Superfluous(batch) from None
                for each in batch:
                    _fail(each, error)
                return
            except asyncpg.PostgresError as error:
                state = sqlstate(error)
                if state in _AGAIN and attempt < TRIES - 1:
                    await asyncio.sleep(0.002 * 4**attempt)
                    continue
                if self.connection is not None and self.connection.is_closed():
                    if again:
                        await self._run(kind, batch, again=False)
                        return
                    raise _broken(engine, error, writes=kind.writes) from None
                if len(batch) > 1 and state[:2] not in _OF_ALL:
                    for each in batch:
                        await self._run(kind, [each], again=again)
                    return
                told = translated(engine, error)
                for each in batch:
                    _fail(each, told)
                return
            except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
                await self.end(gently=False)
                if "cannot switch to state" in str(error) and attempt < TRIES - 1:
                    continue  # the engine had ended the connection when this was to be sent: it was not
                if again and not isinstance(error, TimeoutError):
                    await self._run(kind, batch, again=False)
                    return
                raise _broken(engine, error, writes=kind.writes) from None
        else:
            return
        for each, result in zip(batch, results, strict=True):
            if isinstance(result, Exception):
                _fail(each, result)
            elif not each.future.done():
                each.future.set_result(result)

    async def _connect(self) -> None:
        """Have a connection that is open. Raises `StoreUnavailable`."""
        if self.connection is not None:
            if not self.connection.is_closed():
                return
            await self.end(gently=False)
        lanes = self.lanes
        lanes.reaching += 1
        try:
            self.connection = await lanes.engine.connect()
        except BaseException:
            lanes.reaching -= 1
            raise

    async def _sweep(self) -> None:
        """Sweep after writes, where it is time. That it fails costs nobody anything."""
        lanes, now = self.lanes, self.lanes.loop.time()
        if self.connection is None or self.connection.is_closed() or now < lanes.swept + SWEEP_EVERY:
            return
        lanes.swept = now
        try:
            async with asyncio.timeout(lanes.engine.timeout):
                if await lanes.sweep(self.connection, SWEEP_ROWS) >= SWEEP_ROWS:
                    lanes.swept = 0.0  # there is more
        except Exception as error:  # noqa: BLE001 - the next write that meets it says what it is
            _log.debug("what has expired is not swept: %s", translated(lanes.engine, error))
            if not isinstance(error, driver().PostgresError):
                await self.end(gently=False)


def _fail(operation: _PendingOperation, error: Exception) -> None:
    if not operation.future.done():
        operation.future.set_exception(error)


def _broken(engine: PostgresEngine, error: Exception, *, writes: bool) -> StoreUnavailable:
    """What to tell of a connection that broke while an operation was under way."""
    told = translated(engine, error)
    if not writes:
        return StoreUnavailable(str(told))
    uncertain = StoreUnavailable(f"{told} The operation was under way: it may have been done or not.")
    uncertain.uncertain = True
    return uncertain


class PostgresExecutor:
    """Runs operations on `engine`, on at most `connections` connections for each event loop.

    `sweep(connection, amount)` removes up to `amount` expired rows of each kind and gives how many.
    """

    def __init__(
        self, engine: PostgresEngine, *, connections: int, sweep: Callable[[Any, int], Awaitable[int]]
    ) -> None:
        if connections < 1:
            raise ValueError(f"A PostgreSQL store needs at least one connection, not {connections}.")
        self.engine = engine
        self._lanes = PerLoop(lambda: _Lanes(engine, connections, sweep), engine.timeout)

    async def do(self, kind: OperationKind, given: Any, weight: int = 0) -> Any:
        """Run one operation of that kind and give its result. `weight`: the bytes it brings along."""
        return await self._lanes.here().submit(kind, given, weight)

    async def aclose(self) -> None:
        """End the workers of all loops and wait for them. What had begun is done; what waited gets `StoreClosed`."""
        await self._lanes.aclose()
