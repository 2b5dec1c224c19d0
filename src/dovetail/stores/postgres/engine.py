"""Where a PostgreSQL store is, how it is reached, and what its errors mean.

Theory of operation
-------------------
Every connection is looked at before it is used: the encoding, the isolation, and which numbered migrations the
schema has had. Whatever does not fit is refused with what to do about it.

A connection pooler between us and the engine gives each transaction another process. It is found out without being
asked: the process that greeted us is not the one that answers. Then no statement is prepared under a name and no
setting is sent along, so that the operations work all the same; the bus, which needs one process that stays,
refuses.

Texts of the engine can quote keys (in their details), so only those are passed on that speak of the engine itself.

Specification: none; stores are ours.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import urlsplit

from dovetail.stores.errors import StoreError, StoreUnavailable, StoreVersionMismatch
from dovetail.stores.postgres.steps import known_version

__all__ = [
    "PLACES",
    "VERSION",
    "PostgresEngine",
    "driver",
    "failures",
    "sqlstate",
    "translated",
]

PLACES: Final = ("postgresql", "postgres")
"""Schemes of the URLs."""
VERSION: Final = "SELECT coalesce(max(version), 0) FROM $schema.schema_version"
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,40}")
_ADVICE: Final = {
    "08": "The connection broke; see that the engine runs, and try again.",
    "25": "It takes no writes now, as a standby does: give the URL of the primary.",
    "28": "Look at the user, the password and pg_hba.conf.",
    "3D": "Create the database, or name another one.",
    "40": "Others were at the same rows; try again.",
    "42": "Its schema is not what it should be, or the user lacks a right on it: run `dovetail store migrate URL`"
    " as its owner, and grant the user USAGE on the schema, and all on its tables, sequences and functions.",
    "53": "The engine has no room: make room on its disk, or give it more memory, locks or connections.",
    "55": "Others held its rows for too long; try again.",
    "57": "The engine ended the work: it is stopping or starting, or took longer than it may. Try again.",
    "58": "The engine can not use its disk; see its log.",
    "XX": "The engine met damage or a fault of its own; see its log.",
}
"""What to do, by the first two letters of the SQLSTATE."""
_SPEAKS_OF_ITSELF: Final = ("08", "28", "3D", "53", "57", "58")
"""Classes whose message is about the engine and quotes nothing of ours."""
_POOLER: Final = ("26000", "42P05")
"""A prepared statement is unknown, or is there already: somebody else uses the same process."""


class _NoConnectionLeft(StoreUnavailable):
    """The engine takes no more connections now."""


def no_connection_left(error: Exception) -> bool:
    """Whether the engine refused a connection because it has too many."""
    return isinstance(error, _NoConnectionLeft)


def driver() -> Any:
    """The module `asyncpg`. Raises `ImportError` that names the extra."""
    try:
        import asyncpg  # pyright: ignore[reportMissingTypeStubs] - it has none: used as `Any`
    except ImportError as missing:
        raise ImportError(
            "PostgresStore needs the package asyncpg: pip install 'dovetail[postgres]'"
        ) from missing
    return asyncpg


def failures() -> tuple[type[Exception], ...]:
    """The errors of the engine, the driver and the network, for an `except`."""
    asyncpg = driver()
    return (
        OSError,
        TimeoutError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
    )


def sqlstate(error: BaseException) -> str:
    """The five letters of the engine, or nothing where the error is none of the engine's."""
    found = getattr(error, "sqlstate", None)
    return found if isinstance(found, str) else ""


class PostgresEngine:
    """The engine at `url`, and the `schema` of the store in it. `timeout` is in seconds: for reaching it, and for
    what it does. Raises `ValueError` for a URL or a name that can't be one.
    """

    def __init__(self, url: str, *, schema: str, timeout: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in PLACES:
            raise ValueError("A PostgreSQL store needs a URL like postgresql://user@host:5432/database.")
        if not _NAME.fullmatch(schema):
            raise ValueError(
                "The schema of a PostgreSQL store has 1 to 41 characters out of a-z, 0-9 and _, no digit first."
            )
        if not timeout > 0:
            raise ValueError(f"The timeout of a store is above zero seconds, not {timeout}.")
        self.url = url
        self.schema = schema
        self.timeout = timeout
        self.pooled: bool | None = None
        self.place = f"{parts.netloc.rpartition('@')[2] or 'local'}{parts.path}"
        self._secret = parts.password

    def statement(self, text: str) -> str:
        """The text with the name of the schema in the place of ``$schema``."""
        return text.replace("$schema", f'"{self.schema}"')

    def __repr__(self) -> str:
        return f"<PostgreSQL at {self.place}>"

    def unavailable(self, reason: str) -> StoreUnavailable:
        """The error that says so."""
        return StoreUnavailable(f"The PostgreSQL store at {self.place} cannot serve: {reason}")

    def mismatch(self, reason: str) -> StoreVersionMismatch:
        """The error for a schema that this version does not read."""
        return StoreVersionMismatch(f"The PostgreSQL store at {self.place} cannot serve: {reason}")

    async def reach(self, *, cache: int, settings: dict[str, str]) -> Any:
        """A connection as it comes. Raises `StoreUnavailable`."""
        asyncpg = driver()
        try:
            return await asyncpg.connect(
                self.url, timeout=self.timeout, statement_cache_size=cache, server_settings=settings
            )
        except (OSError, TimeoutError, asyncpg.PostgresError) as error:
            raise translated(self, error) from None
        except (asyncpg.InterfaceError, ValueError, TypeError) as error:
            said = str(error).split("\n")[0]
            if self._secret and self._secret in said:
                said = type(error).__name__
            raise self.unavailable(f"its URL can not be used: {said}") from None

    async def connect(self) -> Any:
        """A connection for operations: looked at, and set up. Raises `StoreUnavailable`."""
        if self.pooled is None:
            first = await self.reach(cache=0, settings={})
            try:
                pooled = await self.look(first)
            except BaseException:
                first.terminate()
                raise
            self.pooled = pooled
            if pooled:
                return first
            first.terminate()
        if self.pooled:
            connection = await self.reach(cache=0, settings={})
        else:
            connection = await self.reach(cache=200, settings=self._settings())
        try:
            pooled = await self.look(connection)
            if pooled and not self.pooled:  # one has come between us since
                self.pooled = None
                raise self.unavailable("a connection pooler has come between. Try again.")
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _settings(self) -> dict[str, str]:
        limit = str(max(1, int(self.timeout * 900)))  # the engine gives up before we do
        return {
            "application_name": "dovetail",
            "statement_timeout": limit,
            "lock_timeout": limit,
            "default_transaction_isolation": "read committed",
        }

    def judge(self, version: int) -> None:
        """Raise `StoreVersionMismatch` unless this is the version we know."""
        known = known_version()
        if version == known:
            return
        if version > known:
            raise self.mismatch(
                f"its schema {self.schema!r} has version {version}; this Dovetail knows {known}. A newer one made it:"
                " upgrade this one, or use another schema."
            )
        found = f"has version {version} of {known}" if version else "is not there"
        option = "" if self.schema == "dovetail" else f" --schema {self.schema}"
        raise self.mismatch(
            f"its schema {self.schema!r} {found}. Run `dovetail store migrate URL{option}` first."
        )

    async def look(self, connection: Any) -> bool:
        """Judge a connection and the schema behind it; whether a pooler stands between. Raises `StoreUnavailable`."""
        table = self.statement("$schema.schema_version")
        try:
            found = await connection.fetchrow(
                "SELECT pg_backend_pid() AS process, current_setting('server_encoding') AS encoding,"
                " current_setting('transaction_isolation') AS isolation, to_regclass($1) IS NOT NULL AS there",
                table,
                timeout=self.timeout,
            )
            version = 0
            if found["there"]:
                version = await connection.fetchval(self.statement(VERSION), timeout=self.timeout)
        except failures() as error:
            raise translated(self, error) from None
        if found["encoding"] != "UTF8":
            raise self.unavailable("the encoding of its database is not UTF8. Use a database that has it.")
        if found["isolation"] != "read committed":
            raise self.unavailable(
                "its transactions are isolated otherwise than `read committed`. Set"
                " default_transaction_isolation for the user."
            )
        self.judge(version)
        return found["process"] != connection.get_server_pid()


def translated(engine: PostgresEngine, error: BaseException) -> StoreError:
    """What to tell the caller about an error of the engine, of the driver, or of the network."""
    if isinstance(error, StoreError):
        return error
    state = sqlstate(error)
    if state in _POOLER:
        engine.pooled = None
        return engine.unavailable("a connection pooler has come between. Try again.")
    if state:
        said = (
            f" ({str(error.args[0]).splitlines()[0]})"
            if state[:2] in _SPEAKS_OF_ITSELF and error.args
            else ""
        )
        advice = _ADVICE.get(state[:2], "See its log.")
        told = engine.unavailable(f"the engine says {state}{said}. {advice}")
        return _NoConnectionLeft(str(told)) if state == "53300" else told
    if isinstance(error, TimeoutError):
        return engine.unavailable(
            f"nothing came from it in {engine.timeout:g} s. See that it runs and is not overloaded."
        )
    if isinstance(error, OSError):
        said = error.strerror or type(error).__name__
        return engine.unavailable(f"it can not be reached: {said}. See that it runs, and try again.")
    return engine.unavailable(
        f"the connection broke ({type(error).__name__}). See that it runs, and try again."
    )
