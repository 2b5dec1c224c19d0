"""``dovetail store``: what an operator does to a store beside the servers that use it.

Theory of operation. A store in PostgreSQL never changes its own tables: the user that serves needs no right to, and
processes of two versions would take turns. So whoever deploys runs ``store migrate`` first, once; of several that
run at once one does the work. A file of SQLite is brought up to date by whoever opens it; here that can be done
ahead. The password need not stand on the command line, which other users can see: PGPASSWORD, PGPASSFILE and
~/.pgpass are read.

Specification: none.
"""

from contextlib import closing
from pathlib import Path
from typing import Annotated, Final

try:
    from cyclopts import App as Commands
    from cyclopts import Parameter
except ImportError as missing:
    raise ImportError(
        "this command needs the command line's own packages: pip install 'dovetail[cli]'"
    ) from missing

from ..last_resort import say
from ..protocol.safe_text import one_line
from ..stores import StoreError
from ..stores.urls import POSTGRES, REDIS, scheme_of, sqlite_path, take_option
from .exits import NO_SERVER, OK, UsageError
from .screen import Screen

__all__ = ["store"]

_SCHEMA: Final = "dovetail"

store = Commands("store", help="Prepare stores for the servers that use them.")


@store.command
async def migrate(
    url: str,
    /,
    *,
    schema: Annotated[
        str | None,
        Parameter(help="The schema of the tables, in PostgreSQL (default: that in the URL, else dovetail)."),
    ] = None,
    timeout: Annotated[float, Parameter(help="Seconds to wait for the engine.")] = 60.0,
) -> int:
    """Bring the tables of a store up to date: postgresql://user@host/database, or the path of a SQLite file.

    The password is taken from PGPASSWORD or ~/.pgpass where the URL has none.
    """
    screen = Screen()
    scheme = scheme_of(url)
    try:
        if scheme in POSTGRES:
            rest, named = take_option(url, "schema")
            screen.line(await _postgres(rest, schema or named or _SCHEMA, timeout))
        elif scheme in REDIS:
            screen.line("a store in Redis has no tables: there is nothing to migrate")
        else:
            screen.line(_sqlite(sqlite_path(url), timeout))
    except StoreError as problem:
        say(f"dovetail: {one_line(str(problem))}")
        return NO_SERVER
    except ValueError as problem:
        raise UsageError(str(problem)) from None
    return OK


async def _postgres(url: str, schema: str, timeout: float) -> str:
    """Migrate, and say what was done."""
    from ..stores.postgres.migrating import migrate as run

    before, after = await run(url, schema=schema, timeout=timeout)
    if before == after:
        return f"schema {schema!r} has version {after} already: nothing to do"
    if not before:
        return f"schema {schema!r} was made, with version {after}"
    return f"schema {schema!r} was brought from version {before} to {after}"


def _sqlite(path: str, timeout: float) -> str:
    """Open the file, which migrates it, and say what was done."""
    from ..stores.sqlite_file import FileSettings, connect, schema_version

    if not Path(path).is_file():
        raise UsageError(f"there is no file {path!r}; a SQLite store makes its own when it is first used")
    settings = FileSettings(path, max_bytes=2**43, busy_timeout=timeout)
    before = schema_version(settings)
    with closing(connect(settings)):
        after = schema_version(settings)
    if before == after:
        return f"{path} has version {after} already: nothing to do"
    return f"{path} was brought from version {before} to {after}"
