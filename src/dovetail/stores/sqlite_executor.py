"""The threads behind a SQLite store: one that writes, a few that read.

Theory of operation
-------------------
An operation is a function of a connection, put on a queue together with the loop and the future that wait for
it. The writer takes all that is waiting (up to a bound) and runs it in one transaction: a commit is what
costs, and sixty-four writers share one. Each operation has a savepoint of its own, so a failing one leaves no
trace and harms no neighbour. Only when the transaction as a whole is lost (a full disk does that) are its
operations run again, each in a transaction of its own, to find out which can be done. Readers do the same
with a snapshot instead, and since a result is handed over only after the commit, whoever has seen a write
return reads it.

Results go home in one `call_soon_threadsafe` for each loop and batch. No thread starts before the first
operation. After a fork the child starts threads of its own and never touches what it inherited. Threads are
daemons: a process that forgets `aclose` still ends, and loses nothing that was answered.

Specification: none.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import weakref
from collections.abc import Callable
from concurrent.futures import Future as ThreadFuture
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeVar, TypeVarTuple

from dovetail.stores.errors import StoreClosed, StoreError, StoreUnavailable
from dovetail.stores.sqlite_file import FileSettings, connect, is_full, translated

__all__ = ["SQLiteExecutor"]

BATCH = 256
"""Operations in one transaction at most, so that none waits long for its neighbours."""
MAX_WAITING = 65_536
"""Operations on the way at most; past that the store is overloaded and says so."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Sweep = Callable[[sqlite3.Connection, int], None]


class _Lost(Exception):
    """SQLite rolled the whole transaction back; the operations in it have to be done again."""


class _Operation:
    """A function to run on a connection, and who waits for it. Ends with a `result` or an `error`."""

    __slots__ = ("error", "full", "future", "loop", "result", "run")

    def __init__(self, run: Callable[[sqlite3.Connection], Any], loop: asyncio.AbstractEventLoop) -> None:
        self.run = run
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.result: Any = None
        self.error: Exception | None = None
        self.full = False

    def attempt(self, connection: sqlite3.Connection, settings: FileSettings) -> None:
        """Run it and keep what comes of it."""
        self.error, self.full = None, False
        try:
            self.result = self.run(connection)
        except sqlite3.Error as error:
            self.error, self.full = translated(settings, error), is_full(error)
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to the caller, not to this thread
            self.error = error

    def deliver(self) -> None:
        """Wake who waits. Runs in their loop."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class _SQLiteThreads:
    """The threads of one executor in one process. They never hold the executor itself, so that it can be
    freed.
    """

    def __init__(self, settings: FileSettings, readers: int, sweep: Sweep) -> None:
        self.settings = settings
        self.readers = readers
        self.sweep = sweep
        self.lock = Lock()
        self.closing = Lock()
        self.closed = False
        self.waiting = 0
        self.writes: SimpleQueue[_Operation | None] = SimpleQueue()  # None: the end
        self.reads: SimpleQueue[_Operation | None] = SimpleQueue()
        self.running: list[tuple[Thread, ThreadFuture[None]]] = []
        self.writing = self.reading = False

    def submit(self, operation: _Operation, *, write: bool) -> None:
        """Queue the operation; the first of its kind starts the threads."""
        with self.lock:
            if self.closed:
                raise StoreClosed
            if self.waiting >= MAX_WAITING:
                raise StoreUnavailable(
                    f"The SQLite store has {self.waiting} operations waiting. Try again later."
                )
            self.waiting += 1
            if write:
                self.writes.put(operation)
                if not self.writing:
                    self.writing = True
                    self._start(self.writes, self._write)
            else:
                self.reads.put(operation)
                if not self.reading:
                    self.reading = True
                    for _ in range(self.readers):
                        self._start(self.reads, self._read)

    def stop(self) -> None:
        """Let the threads end after what they are doing; everything that waits gets `StoreClosed`."""
        with self.lock:
            if not self.closed:
                self.closed = True
                self.writes.put(None)
                for _ in range(self.readers):
                    self.reads.put(None)

    def _start(
        self,
        queue: SimpleQueue[_Operation | None],
        work: Callable[[sqlite3.Connection, list[_Operation]], None],
    ) -> None:
        ended: ThreadFuture[None] = ThreadFuture()
        thread = Thread(target=self._serve, args=(queue, work, ended), name="dovetail-sqlite", daemon=True)
        self.running.append((thread, ended))
        thread.start()

    def _serve(
        self,
        queue: SimpleQueue[_Operation | None],
        work: Callable[[sqlite3.Connection, list[_Operation]], None],
        ended: ThreadFuture[None],
    ) -> None:
        """The life of a thread: take what waits, do it, say what came of it."""
        connection: sqlite3.Connection | None = None
        going = True
        while going:
            taken, going = _drain(queue)
            batch = [operation for operation in taken if not operation.future.cancelled()]
            try:
                if self.closed:
                    raise StoreClosed
                if batch:
                    connection = connection or connect(self.settings)
                    work(connection, batch)
            except Exception as error:  # noqa: BLE001 - the batch must end, and the thread must not
                for operation in batch:
                    operation.error = error
            if connection and any(isinstance(operation.error, StoreUnavailable) for operation in batch):
                # Whatever ails it may be the connection's own: the next batch begins with a new one.
                self._close(connection)
                connection = None
            with self.lock:
                self.waiting -= len(taken)
            _deliver(batch)
            # Nothing of a finished batch may live on while the thread waits for the next.
            del taken, batch
        if connection:
            self._close(connection)
        ended.set_result(None)

    def _close(self, connection: sqlite3.Connection) -> None:
        """Close it. One after the other: the last one brings the log into the file and removes it, and of two that
        close at the same time neither would be the last.
        """
        with self.closing, suppress(sqlite3.Error):
            connection.close()

    def _read(self, connection: sqlite3.Connection, batch: list[_Operation]) -> None:
        try:
            connection.execute("BEGIN")
            for operation in batch:
                operation.attempt(connection, self.settings)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise translated(self.settings, error) from error

    def _write(self, connection: sqlite3.Connection, batch: list[_Operation]) -> None:
        try:
            self._transact(connection, batch, 2 * len(batch) + 16)
            again = [operation for operation in batch if operation.full]
        except _Lost:
            again = batch
        for index, operation in enumerate(again):
            # Alone it harms nobody. A full file may hold a lot that has expired: all of that goes first.
            try:
                if operation.full:
                    self._transact(connection, [], 10_000)
                self._transact(connection, [operation], 0)
            except _Lost:
                continue  # its error says so
            except StoreError as error:
                # Not even begun, nor will the rest be; what the first transaction did for others stands.
                for left in again[index:]:
                    left.error = left.error or error
                return

    def _transact(self, connection: sqlite3.Connection, batch: list[_Operation], sweep: int) -> None:
        """Run the batch in one transaction, each operation in its savepoint; raise `_Lost` when nothing came
        of it.
        """
        try:
            connection.execute("BEGIN IMMEDIATE")
            if sweep:
                self.sweep(connection, sweep)
        except sqlite3.Error as error:
            _roll_back(connection)
            raise translated(self.settings, error) from error
        try:
            for operation in batch:
                connection.execute("SAVEPOINT operation")
                operation.attempt(connection, self.settings)
                if operation.error is not None:
                    if not connection.in_transaction:
                        raise _Lost
                    connection.execute("ROLLBACK TO operation")
                connection.execute("RELEASE operation")
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            _roll_back(connection)
            for operation in batch:
                operation.error = translated(self.settings, error)
            raise _Lost from error


class SQLiteExecutor:
    """Runs operations on the file of `settings`: all writes in one thread, reads in `readers` others.

    `sweep(connection, amount)` removes up to `amount` expired rows of each kind; it begins each writing
    transaction.
    """

    def __init__(self, settings: FileSettings, *, readers: int, sweep: Sweep) -> None:
        if readers < 1:
            raise ValueError(f"A SQLite store needs at least one reader, not {readers}.")
        self._make = lambda: _SQLiteThreads(settings, readers, sweep)
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._threads = self._make()
        self._finalizer = weakref.finalize(self, self._threads.stop)

    def _own(self) -> _SQLiteThreads:
        """The threads of this process: after a fork the parent's are not here, and its connections not ours
        to use.
        """
        if self._process != os.getpid():
            self._finalizer.detach()
            self._begin()
        return self._threads

    async def write(self, run: Callable[[sqlite3.Connection, *Ts], T], *args: *Ts) -> T:
        """Run `run(connection, ...)` in a transaction and return its result once that is committed."""
        operation = _Operation(lambda connection: run(connection, *args), asyncio.get_running_loop())
        self._own().submit(operation, write=True)
        return await operation.future

    async def read(self, run: Callable[[sqlite3.Connection, *Ts], T], *args: *Ts) -> T:
        """Run `run(connection, ...)` on a snapshot that is not older than this call."""
        operation = _Operation(lambda connection: run(connection, *args), asyncio.get_running_loop())
        self._own().submit(operation, write=False)
        return await operation.future

    async def aclose(self) -> None:
        """End the threads and wait for them. What had begun is done; what waited gets `StoreClosed`."""
        threads = self._own()
        threads.stop()
        for thread, ended in threads.running:
            await asyncio.shield(asyncio.wrap_future(ended))
            thread.join()  # it has nothing left to do


def _drain(queue: SimpleQueue[_Operation | None]) -> tuple[list[_Operation], bool]:
    """Wait for an operation and take those behind it too; False when the end was among them."""
    batch: list[_Operation] = []
    operation = queue.get()
    with suppress(Empty):
        while operation is not None:
            batch.append(operation)
            if len(batch) >= BATCH:
                return batch, True
            operation = queue.get_nowait()
        return batch, False
    return batch, True


def _deliver(batch: list[_Operation]) -> None:
    homes: dict[asyncio.AbstractEventLoop, list[_Operation]] = {}
    for operation in batch:
        homes.setdefault(operation.loop, []).append(operation)
    for loop, operations in homes.items():
        with suppress(RuntimeError):  # the loop was closed: nobody waits there any more
            loop.call_soon_threadsafe(_deliver_here, operations)


def _deliver_here(operations: list[_Operation]) -> None:
    for operation in operations:
        operation.deliver()


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
