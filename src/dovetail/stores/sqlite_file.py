"""Opening the file of a SQLite store: its permissions, its settings, its schema.

Theory of operation
-------------------
Every connection comes from `connect`, which sees that nobody else can get at the file (`sqlite_access`), makes it
(readable by its owner only), sets it up, and brings the schema up to date, so it does not matter which thread of which
process comes first. The schema is a list of numbered steps that is only ever appended to; the file says how many it
has had. A file that has had more than we know is refused: a newer Dovetail wrote it.

Two traps are avoided here. Closing *any* descriptor of a file drops every POSIX lock this process holds on
it, SQLite's among them, so an existing file is never opened to look at it. And switching to WAL may fail at
once with "locked" when several processes do it together, without waiting for the busy timeout, so it is tried
again until the timeout is over.

Specification: none.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from threading import Lock

from dovetail.stores.errors import StoreError, StoreFull, StoreUnavailable, StoreVersionMismatch
from dovetail.stores.sqlite_access import check_access

__all__ = ["FileSettings", "connect", "is_full", "schema_version", "translated"]

PAGE_BYTES = 4096
ROOM = 64 * 1024 * 1024
"""Bytes free on a disk that is not full: more than one operation ever writes."""

STEPS = (
    # 1: the three parts of a store. Expiry is in seconds since the epoch. Of a stream, `first` is the oldest
    # sequence kept, and `due` is when the sweep has to look at it. The `place` of an event is the number of
    # its stream times 2**32, plus its sequence: one tree, in the order it is read.
    """
    CREATE TABLE kv (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL, expires REAL);
    CREATE INDEX kv_expires ON kv (expires) WHERE expires IS NOT NULL;
    CREATE TABLE session (
        id TEXT PRIMARY KEY NOT NULL, version INTEGER NOT NULL, created REAL NOT NULL, seen REAL NOT NULL,
        principal TEXT NOT NULL, data BLOB NOT NULL, expires REAL NOT NULL
    );
    CREATE INDEX session_expires ON session (expires);
    CREATE INDEX session_principal ON session (principal, expires);
    CREATE TABLE stream (
        number INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
        bytes INTEGER NOT NULL, closed INTEGER NOT NULL, events_end REAL NOT NULL, position_end REAL NOT NULL,
        due REAL NOT NULL
    );
    CREATE INDEX stream_due ON stream (due);
    CREATE TABLE event (place INTEGER PRIMARY KEY, data BLOB NOT NULL);
    """,
    # 2: what an entry counts toward: `space` and `share` are how many characters of its key are the prefix of a share
    # (0: none), and `kv_used` has the bytes by prefix, 256 for each entry included. Triggers keep it right however an
    # entry comes and goes.
    """
    ALTER TABLE kv ADD COLUMN space INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE kv ADD COLUMN share INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE kv_used (prefix TEXT PRIMARY KEY NOT NULL, bytes INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TRIGGER kv_added AFTER INSERT ON kv WHEN NEW.space > 0 BEGIN
        UPDATE kv_used SET bytes = bytes + (length(NEW.key) + length(NEW.value) + 256)
            WHERE prefix IN (substr(NEW.key, 1, NEW.space), substr(NEW.key, 1, NEW.share));
    END;
    CREATE TRIGGER kv_removed AFTER DELETE ON kv WHEN OLD.space > 0 BEGIN
        UPDATE kv_used SET bytes = bytes - (length(OLD.key) + length(OLD.value) + 256)
            WHERE prefix IN (substr(OLD.key, 1, OLD.space), substr(OLD.key, 1, OLD.share));
        DELETE FROM kv_used WHERE bytes <= 0
            AND prefix IN (substr(OLD.key, 1, OLD.space), substr(OLD.key, 1, OLD.share));
    END;
    CREATE TRIGGER kv_replaced AFTER UPDATE OF value, space, share ON kv WHEN OLD.space > 0 OR NEW.space > 0 BEGIN
        UPDATE kv_used SET bytes = bytes + (length(NEW.key) + length(NEW.value) + 256)
            WHERE prefix IN (substr(NEW.key, 1, NEW.space), substr(NEW.key, 1, NEW.share));
        UPDATE kv_used SET bytes = bytes - (length(OLD.key) + length(OLD.value) + 256)
            WHERE prefix IN (substr(OLD.key, 1, OLD.space), substr(OLD.key, 1, OLD.share));
        DELETE FROM kv_used WHERE bytes <= 0
            AND prefix IN (substr(OLD.key, 1, OLD.space), substr(OLD.key, 1, OLD.share));
    END;
    """,
    # 3: messages of the bus, numbered in the order of commits (a number is never given twice), and the names of
    # the sockets on which those who listen are woken.
    """
    CREATE TABLE message (
        number INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL, data BLOB NOT NULL, expires REAL NOT NULL
    );
    CREATE INDEX message_expires ON message (expires);
    CREATE TABLE listener (name TEXT PRIMARY KEY NOT NULL) WITHOUT ROWID;
    """,
    # 4: tasks. One that is held has an `until`; one that waits has none and is `due` at some time. `results` is what
    # its steps count, 256 for each and their names included. Data and results have tables of their own, for they may be
    # large and the rest changes often. `task_total` has how many there are.
    """
    CREATE TABLE task (
        number INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, owner TEXT NOT NULL, queue TEXT NOT NULL,
        version INTEGER NOT NULL DEFAULT 0, status TEXT NOT NULL, ended INTEGER NOT NULL, created REAL NOT NULL,
        updated REAL NOT NULL, expires REAL, due REAL, holder TEXT NOT NULL DEFAULT '', until REAL,
        attempts INTEGER NOT NULL DEFAULT 0, results INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE task_data (number INTEGER PRIMARY KEY, data BLOB NOT NULL);
    CREATE TABLE task_result (number INTEGER NOT NULL, name TEXT NOT NULL, result BLOB NOT NULL, UNIQUE (number, name));
    CREATE INDEX task_expires ON task (expires) WHERE expires IS NOT NULL;
    CREATE INDEX task_owner ON task (owner, created, id);
    CREATE INDEX task_unended ON task (owner, expires) WHERE ended = 0;
    CREATE INDEX task_line ON task (queue, owner, due, id, expires) WHERE until IS NULL AND due IS NOT NULL;
    CREATE INDEX task_due ON task (queue, due, id, owner, expires) WHERE until IS NULL AND due IS NOT NULL;
    CREATE INDEX task_lease ON task (queue, until, expires) WHERE until IS NOT NULL;
    CREATE INDEX task_held ON task (owner, until, expires) WHERE until IS NOT NULL;
    CREATE TABLE task_total (tasks INTEGER NOT NULL);
    INSERT INTO task_total VALUES (0);
    CREATE TRIGGER task_added AFTER INSERT ON task BEGIN
        UPDATE task_total SET tasks = tasks + 1;
    END;
    CREATE TRIGGER task_removed AFTER DELETE ON task BEGIN
        UPDATE task_total SET tasks = tasks - 1;
        DELETE FROM task_data WHERE number = OLD.number;
        DELETE FROM task_result WHERE number = OLD.number;
    END;
    """,
)

_creating = Lock()


class FileSettings:
    """Where the file is and how it is opened. Bytes and seconds."""

    __slots__ = ("busy_timeout", "max_bytes", "path")

    def __init__(self, path: str | os.PathLike[str], *, max_bytes: int, busy_timeout: float) -> None:
        self.path = os.fspath(path)
        if self.path in ("", ":memory:"):
            raise ValueError(
                "A SQLite store needs the path of a file. For one that is gone with the process: MemoryStore."
            )
        self.max_bytes = max_bytes
        self.busy_timeout = busy_timeout

    def max_pages(self) -> int:
        """The bound on the file in SQLite's own measure."""
        return max(1, self.max_bytes // PAGE_BYTES)


def is_full(error: Exception) -> bool:
    """Whether the file could not grow."""
    return getattr(error, "sqlite_errorname", "") == "SQLITE_FULL"


def translated(settings: FileSettings, error: Exception) -> StoreError:
    """What to tell the caller about an error of SQLite or of the file system."""
    name = getattr(error, "sqlite_errorname", "")
    advice = "Look into the cause and try again."
    if is_full(error):
        # SQLite says the same for its bound and for the disk's; only the disk's leaves no room on the disk.
        with suppress(OSError):
            if shutil.disk_usage(os.path.dirname(os.path.abspath(settings.path))).free > ROOM:
                return StoreFull("bytes in its file", settings.max_bytes)
        advice = "Make room on the disk and try again."
    elif name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        advice = f"Another writer held it for more than {settings.busy_timeout} s. Try again."
    elif name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        advice = "The file is damaged or no database: put a backup in its place."
    elif name.startswith("SQLITE_CANTOPEN") or isinstance(error, OSError):
        advice = "The directory must exist and be writable for this process."
    return StoreUnavailable(f"The SQLite store {settings.path!r} cannot serve: {error}. {advice}")


def connect(settings: FileSettings) -> sqlite3.Connection:
    """A connection to the store's file, set up and with the newest schema. Raises `StoreUnavailable`."""
    connection = None
    try:
        check_access(settings.path)
        _create(settings.path)
        connection = sqlite3.connect(settings.path, timeout=settings.busy_timeout, isolation_level=None)
        _set_up(connection, settings)
        check_access(settings.path)  # what it found beside the file and opened was there before, or is ours
        _migrate(connection, settings)
    except (sqlite3.Error, OSError) as error:
        if connection is not None:
            connection.close()
        raise translated(settings, error) from error
    except BaseException:
        if connection is not None:
            connection.close()
        raise
    return connection


def schema_version(settings: FileSettings) -> int:
    """How many steps the schema of a file that is there has had. Raises `StoreUnavailable`."""
    try:
        check_access(settings.path)
        with closing(sqlite3.connect(settings.path, timeout=settings.busy_timeout)) as connection:
            return _version(connection)
    except (sqlite3.Error, OSError) as error:
        raise translated(settings, error) from error


def _create(path: str) -> None:
    # SQLite would create it with the permissions of the umask. Through a dangling link too, hence the real
    # path.
    with _creating, suppress(FileExistsError):
        os.close(os.open(os.path.realpath(path), os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))


def _set_up(connection: sqlite3.Connection, settings: FileSettings) -> None:
    give_up = time.monotonic() + settings.busy_timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            break
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() >= give_up:
                raise
            time.sleep(0.01)
    # In WAL mode NORMAL keeps the file sound through a power cut, and every commit through the death of the
    # process.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA max_page_count = {settings.max_pages():d}").fetchall()
    connection.execute("PRAGMA journal_size_limit = 67108864").fetchall()
    connection.execute("PRAGMA trusted_schema = OFF")


def _version(connection: sqlite3.Connection) -> int:
    table = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'dovetail_schema'"
    if not connection.execute(table).fetchone()[0]:
        return 0
    return connection.execute("SELECT max(version) FROM dovetail_schema").fetchone()[0] or 0


def _migrate(connection: sqlite3.Connection, settings: FileSettings) -> None:
    if _version(connection) == len(STEPS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute("CREATE TABLE IF NOT EXISTS dovetail_schema (version INTEGER PRIMARY KEY)")
        version = _version(connection)  # another process may have been first
        if version > len(STEPS):
            raise StoreVersionMismatch(
                f"The SQLite store {settings.path!r} has schema {version}; this Dovetail knows {len(STEPS)}. "
                "A newer one wrote it: upgrade, or use another file."
            )
        for number, statements in enumerate(STEPS[version:], version + 1):
            for statement in _statements(statements):
                connection.execute(statement)
            connection.execute("INSERT INTO dovetail_schema VALUES (?)", (number,))
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one: `executescript` would commit. A trigger has semicolons inside."""
    statement = ""
    for part in script.split(";")[:-1]:
        statement += part + ";"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
