"""The bus of a SQLite store: for the processes of one machine.

Theory of operation
-------------------
SQLite can't push. So a message is a row, numbered in the order of commits, and whoever publishes wakes those who
listen by an empty datagram to their unix sockets. The sockets lie beside the file, for their owner alone, and the
file has a table of their names; where no one listens, no row is written. A listener is a thread with a connection
of its own: woken, it reads on from the number that it has reached. A wake-up carries nothing, so a forged one does
no harm, and one that is lost is made good within seconds by a look that the thread takes anyway.

A number that is missing tells of messages that are gone: rows live for a minute, and a process may stand still for
longer. The socket of a killed process refuses the next datagram, and its name is taken from the table; a living one
whose name is missing puts it back. Where a path is too long for a socket it lies in a folder of its own in the
system's folder for such; where there are no unix sockets, the thread asks SQLite twenty times a second whether the
file has changed.

Specification: none.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import select
import shutil
import socket
import sqlite3
import stat
import tempfile
import weakref
from collections.abc import Callable
from concurrent.futures import Future as ThreadFuture
from contextlib import closing, suppress
from threading import Lock, Thread
from typing import Final

from dovetail.logs import get_logger
from dovetail.stores.bounds import BusBounds, check_key, check_value
from dovetail.stores.errors import StoreClosed, StoreError
from dovetail.stores.listeners import BusListeners
from dovetail.stores.sqlite_executor import SQLiteExecutor
from dovetail.stores.sqlite_file import FileSettings, connect, translated

__all__ = ["SQLiteBus", "sweep_messages"]

KEPT = 60.0
"""Seconds for which a message can be read."""
LOOK_EVERY = 5.0
"""Seconds between two looks of a listener that nobody woke."""
ASK_EVERY = 0.05
"""The same where nobody can wake it."""
PAGE = 256
"""Messages read at once."""
LONGEST_PATH: Final = 100
"""Bytes in the path of a unix socket; systems take 103 to 107."""
UNIX: Final = getattr(socket, "AF_UNIX", None)
"""The family of unix sockets, where there are any."""
_MARK: Final = "-bus-"
"""What the names of sockets beside the file have in them."""
_GONE: Final = (errno.ENOENT, errno.ECONNREFUSED)

_log = get_logger("dovetail.stores")


class _DatagramListener:
    """The thread that listens for one bundle in one process. It never holds the bundle, so that it can be freed."""

    def __init__(self, settings: FileSettings, listeners: BusListeners) -> None:
        self.listeners = listeners
        self._settings = settings
        self._lock = Lock()
        self._closed = False
        self._waiting: list[ThreadFuture[None]] = []
        self._thread: Thread | None = None
        self._inside, self._outside = socket.socketpair()
        self._outside.setblocking(False)
        self._wakes: socket.socket | None = None
        self._folder: str | None = None
        self._name = ""
        self._begun = False
        self._reached = 0
        self._file_version: object = None

    def caught_up(self) -> ThreadFuture[None]:
        """Becomes done when everything that was published by now has been told."""
        waiter: ThreadFuture[None] = ThreadFuture()
        with self._lock:
            if self._closed:
                raise StoreClosed
            self._waiting.append(waiter)
            if self._thread is None:
                self._thread = Thread(target=self._live, name="dovetail-sqlite-bus", daemon=True)
                self._thread.start()
        self._rouse()
        return waiter

    def stop(self) -> Thread | None:
        """Let the thread end. Gives it, to be waited for."""
        with self._lock:
            self._closed = True
            thread = self._thread
        self.listeners.close()
        if thread is None:
            self._inside.close()
            self._outside.close()
        else:
            self._rouse()
        return thread

    def _rouse(self) -> None:
        with suppress(OSError):  # it is full: the thread is woken already
            self._outside.send(b"\0")

    def _live(self) -> None:
        connection: sqlite3.Connection | None = None
        told = False
        try:
            while not self._closed:
                with self._lock:
                    waiting, self._waiting = self._waiting, []
                try:
                    if connection is None:
                        connection = connect(self._settings)
                        self._open_socket()
                        self._register(connection)
                    self._read_on(connection)
                    self._look_after(connection)
                    _settle(waiting, None)
                    told = False
                except Exception as error:  # noqa: BLE001 - whoever waits must be told, and the thread must go on
                    if connection is not None:
                        connection.close()
                        connection = None
                    failure = (
                        translated(self._settings, error) if not isinstance(error, StoreError) else error
                    )
                    _settle(waiting, failure)
                    if not told:
                        _log.warning("the bus hears nothing for now: %s", failure)
                    told = True
                self._sleep()
        finally:
            self._leave(connection)

    def _sleep(self) -> None:
        """Wait until somebody wakes us, or it is time to look."""
        sockets = [self._inside] if self._wakes is None else [self._inside, self._wakes]
        ready, _, _ = select.select(sockets, [], [], ASK_EVERY if self._wakes is None else LOOK_EVERY)
        for each in ready:
            each.setblocking(False)
            with suppress(BlockingIOError):
                while True:  # however many woke us, one look serves them all
                    each.recv(64)

    def _open_socket(self) -> None:
        """Have a socket that others can find, where there is such a thing."""
        if UNIX is None or self._wakes is not None:
            return
        beside = f"{os.path.realpath(self._settings.path)}{_MARK}{secrets.token_hex(4)}"
        place, self._name = beside, os.path.basename(beside)
        if len(os.fsencode(beside)) > LONGEST_PATH:
            self._folder = tempfile.mkdtemp(prefix="dovetail-")  # for its owner alone
            place = self._name = os.path.join(self._folder, "bus")
        wakes = socket.socket(UNIX, socket.SOCK_DGRAM)
        try:
            wakes.bind(place)
            os.chmod(place, 0o600)
        except OSError as error:
            wakes.close()
            self._name = ""
            _log.warning(
                "the bus asks for messages instead of being woken: no socket at %r (%s)",
                place,
                error.strerror,
            )
            return
        self._wakes = wakes

    def _place(self) -> str:
        return _place_of(self._settings, self._name)

    def _register(self, connection: sqlite3.Connection) -> None:
        """Have publishers write and wake us; the first time, from the number on that there is now."""
        self._name = self._name or f"asking-{secrets.token_hex(8)}"
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute("INSERT OR REPLACE INTO listener VALUES (?)", (self._name,))
            if not self._begun:
                self._reached = _newest(connection)
            connection.execute("COMMIT")
            self._begun = True
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _look_after(self, connection: sqlite3.Connection) -> None:
        """See that we can still be found."""
        known = connection.execute("SELECT count(*) FROM listener WHERE name = ?", (self._name,)).fetchone()[
            0
        ]
        if self._wakes is not None and not os.path.exists(self._place()):
            self._wakes.close()
            self._wakes = None
            connection.execute("DELETE FROM listener WHERE name = ?", (self._name,))
            self._name, known = "", False
            self._open_socket()
        if not known:
            self._register(connection)

    def _read_on(self, connection: sqlite3.Connection) -> None:
        if self._wakes is None:
            version = connection.execute("PRAGMA data_version").fetchone()
            if version == self._file_version:
                return
            self._file_version = version
        while True:
            rows = connection.execute(
                "SELECT number, CAST(channel AS BLOB), data FROM message WHERE number > ? ORDER BY number LIMIT ?",
                (self._reached, PAGE),
            ).fetchall()
            for number, channel, data in rows:
                if number != self._reached + 1:
                    self._tell_of_gap()
                self._reached = number
                with suppress(StoreClosed):
                    self.listeners.tell(
                        bytes(channel).decode(errors="replace"), data if isinstance(data, bytes) else None
                    )
            if len(rows) < PAGE:
                break
        newest = _newest(connection)
        # They came and went; or another file is in the place of this one.
        if newest < self._reached or (newest > self._reached and not _any_after(connection, self._reached)):
            self._tell_of_gap()
            self._reached = newest

    def _tell_of_gap(self) -> None:
        with suppress(StoreClosed):
            self.listeners.tell_all_of_a_gap()

    def _leave(self, connection: sqlite3.Connection | None) -> None:
        """Nobody shall look for us any more."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        _settle(waiting, StoreClosed())
        if connection is not None:
            with suppress(sqlite3.Error), closing(connection):
                connection.execute("DELETE FROM listener WHERE name = ?", (self._name,))
        if self._wakes is not None:
            self._wakes.close()
            with suppress(OSError):
                os.unlink(self._place())
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._inside.close()
        self._outside.close()


class SQLiteBus:
    """A `Bus` in the file of `settings`. `executor` writes to it; `clock` gives seconds since the epoch."""

    def __init__(
        self, executor: SQLiteExecutor, settings: FileSettings, bounds: BusBounds, clock: Callable[[], float]
    ) -> None:
        self._executor = executor
        self._settings = settings
        self._bounds = bounds
        self._clock = clock
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._listening: _DatagramListener | None = None
        self._lock = Lock()

    def _ear(self) -> _DatagramListener:
        """The listening thread of this process: after a fork the parent's is not here."""
        if self._process != os.getpid():
            self._begin()
        with self._lock:
            if self._closed:
                raise StoreClosed
            if self._listening is None:
                self._listening = _DatagramListener(self._settings, BusListeners(self._bounds))
                weakref.finalize(self, self._listening.stop)
            return self._listening

    async def publish(self, channel: str, data: bytes) -> None:
        """See `Bus.publish`."""
        check_key(channel, "channel")
        check_value(data, self._bounds.max_message, "message")
        # Who is cancelled once it is written must still wake the others.
        await asyncio.shield(self._publish(channel, data))

    def _publish(self, channel: str, data: bytes) -> asyncio.Future[None]:
        return asyncio.ensure_future(self._write_and_wake(channel, data))

    async def _write_and_wake(self, channel: str, data: bytes) -> None:
        names = await self._executor.write(self._put, channel, data)
        gone = [name for name in names if not _wake(_place_of(self._settings, name))]
        if gone:
            await self._executor.write(_forget, gone)

    def _put(self, connection: sqlite3.Connection, channel: str, data: bytes) -> list[str]:
        """Write it, and give the names of those who listen."""
        names = [row[0] for row in connection.execute("SELECT name FROM listener")]
        if names:
            connection.execute(
                "INSERT INTO message (channel, data, expires) VALUES (?, ?, ?)",
                (channel, data, self._clock() + KEPT),
            )
        return names

    async def listen(self, channel: str, heard: Callable[[bytes | None], None]) -> Callable[[], None]:
        """See `Bus.listen`. Raises `StoreUnavailable` where the file can't be read now."""
        check_key(channel, "channel")
        ear = self._ear()
        # What was said before must not be heard by who begins to listen now.
        await asyncio.wrap_future(ear.caught_up())
        return ear.listeners.add(channel, heard)

    async def aclose(self) -> None:
        """End the thread and wait for it; every later call raises `StoreClosed`."""
        self._closed = True
        ear = self._listening if self._process == os.getpid() else None
        thread = None if ear is None else ear.stop()
        if thread is not None:
            await asyncio.to_thread(thread.join)


def sweep_messages(connection: sqlite3.Connection, now: float, amount: int) -> None:
    """Remove up to so many messages whose time is over."""
    connection.execute(
        "DELETE FROM message WHERE number IN (SELECT number FROM message WHERE expires <= ? LIMIT ?)",
        (now, amount),
    )


def _place_of(settings: FileSettings, name: str) -> str:
    """Where the socket of that name is. Beside the file, wherever that is mounted, unless the name is a whole path."""
    return os.path.join(os.path.dirname(os.path.realpath(settings.path)), name)


def _wake(place: str) -> bool:
    """Send a datagram. False when nobody is there any more."""
    if UNIX is None or os.path.basename(place).startswith("asking-"):
        return True
    with socket.socket(UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        try:
            sender.sendto(b"\0", place)
        except OSError as error:
            if error.errno == errno.ECONNREFUSED and _MARK in os.path.basename(place):
                with suppress(OSError):  # its process was killed, and could not
                    if stat.S_ISSOCK(os.lstat(place).st_mode):
                        os.unlink(place)
            return error.errno not in _GONE  # else it is full of wake-ups, or it will look by itself
    return True


def _forget(connection: sqlite3.Connection, names: list[str]) -> None:
    connection.executemany("DELETE FROM listener WHERE name = ?", [(name,) for name in names])


def _newest(connection: sqlite3.Connection) -> int:
    """The number of the last message that was ever written."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'message'").fetchone()
    return row[0] if row and isinstance(row[0], int) else 0


def _any_after(connection: sqlite3.Connection, number: int) -> bool:
    return connection.execute("SELECT 1 FROM message WHERE number > ?", (number,)).fetchone() is not None


def _settle(waiting: list[ThreadFuture[None]], failure: Exception | None) -> None:
    for waiter in waiting:
        if waiter.set_running_or_notify_cancel():
            if failure is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(failure)
