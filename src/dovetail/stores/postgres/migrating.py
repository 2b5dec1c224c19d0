"""The numbered migrations of the schema of a PostgreSQL store.

Theory of operation
-------------------
`migrations/` holds one file for each step, named by its number, never changed once it is out. The table
`schema_version` says which ones a schema has had. `migrate` applies the others, all in one transaction and behind
an advisory lock, so that of two that run at once the second finds nothing left to do. A store never migrates by
itself: the user that serves needs no right to change tables, and nobody's older process meets a schema it does not
know unasked.

Specification: none.
"""

from __future__ import annotations

from typing import NamedTuple

from dovetail.stores.postgres.engine import VERSION, PostgresEngine, failures, translated
from dovetail.stores.postgres.steps import known_version, steps

__all__ = ["Migrated", "migrate"]


class Migrated(NamedTuple):
    """From which version to which a schema was brought."""

    before: int
    after: int


async def migrate(url: str, *, schema: str = "dovetail", timeout: float = 60.0) -> Migrated:
    """Bring the schema of the store at `url` up to date. `timeout` is in seconds, for reaching it and for each step.

    Raises `StoreUnavailable`, for a schema that a newer version made as well; then nothing was changed.
    """
    engine = PostgresEngine(url, schema=schema, timeout=timeout)
    connection = await engine.reach(cache=0, settings={})
    try:
        async with connection.transaction(isolation="read_committed"):
            await connection.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
            await connection.fetchval(
                "SELECT pg_advisory_xact_lock(hashtextextended('dovetail.migrate/' || $1, 0))", schema
            )
            if not await connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", f'"{schema}"'):
                await connection.execute(f'CREATE SCHEMA "{schema}"')
            table = engine.statement("$schema.schema_version")
            if not await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", table):
                await connection.execute(
                    f"CREATE TABLE {table} (version integer PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now())"
                )
            before = await connection.fetchval(engine.statement(VERSION))
            if before > known_version():
                engine.judge(before)
            for number, statements in enumerate(steps()[before:], before + 1):
                await connection.execute(engine.statement(statements))
                await connection.fetchval(
                    engine.statement("INSERT INTO $schema.schema_version (version) VALUES ($1)"), number
                )
    except failures() as error:
        raise translated(engine, error) from None
    finally:
        connection.terminate()
    return Migrated(before, known_version())
