"""A store by its URL, as an operator writes it: on a command line, or in the environment.

Theory of operation
-------------------
The scheme says which store it is, and the rest is what that store takes, but for two things. ``schema`` (PostgreSQL)
and ``namespace`` (Redis), which apps that share an engine differ in, may stand in the query, for there is no other
place where an operator could say them. And a password need not stand in the URL: asyncpg looks into PGPASSWORD and
~/.pgpass, and for Redis it is taken from REDISCLI_AUTH, which redis-cli reads as well.

``sqlite:`` is followed by the path as it is. There are no slashes before it: some programs read three of them as a
path from the root, others as one from the working directory, and a store in the wrong place is an empty one.

No error quotes the URL, which may have a password in it. Nothing is opened before the first operation.

Specification: none.
"""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import quote, unquote

from dovetail.stores.contracts import Store

__all__ = ["open_store"]

POSTGRES: Final = ("postgresql", "postgres")
REDIS: Final = ("redis", "rediss", "unix")
_REDIS_VARIABLE: Final = "REDISCLI_AUTH"
_FORMS: Final = (
    "postgresql://user@host/database, redis://host, rediss://host, unix://path, or the path of a SQLite file"
)


def open_store(url: str | os.PathLike[str]) -> Store:
    """The store that a URL names, with its bounds as they are by default. Nothing is opened yet.

    ``url``: ``postgresql://[user@]host[:port]/database`` (or ``postgres://``; ``?schema=`` names the schema of its
    tables), ``redis://[user@]host[:port][/database]``, ``rediss://`` for TLS or ``unix://path`` of its socket
    (``?namespace=`` begins its keys); ``sqlite:PATH``, or the path alone. A password may stand in it; else it is that
    of PGPASSWORD, PGPASSFILE or ~/.pgpass, for Redis that of REDISCLI_AUTH.

    Raises `ValueError` for what names no store, and `ImportError` that says which extra has to be installed.
    """
    text = os.fspath(url)
    scheme = scheme_of(text)
    if scheme in POSTGRES:
        from dovetail.stores.postgres.store import PostgresStore

        rest, schema = take_option(_with_slashes(text, scheme), "schema")
        return PostgresStore(rest) if schema is None else PostgresStore(rest, schema=schema)
    if scheme in REDIS:
        from dovetail.stores.redis.store import RedisStore

        rest, namespace = take_option(_with_slashes(text, scheme), "namespace")
        rest = _with_password(rest)
        return RedisStore(rest) if namespace is None else RedisStore(rest, namespace=namespace)
    from dovetail.stores.sqlite import SQLiteStore

    return SQLiteStore(sqlite_path(text))


def scheme_of(text: str) -> str:
    """What stands before the first colon, in small letters; nothing where there is none."""
    scheme, colon, _ = text.partition(":")
    return scheme.lower() if colon else ""


def sqlite_path(text: str) -> str:
    """The path in ``sqlite:PATH``, or the path that it is already. Raises `ValueError`."""
    scheme, colon, path = text.partition(":")
    if colon and scheme.lower() == "sqlite":
        if path.startswith("//"):
            raise ValueError("the path of a SQLite file follows its colon as it is: write sqlite:PATH")
        return path
    if "://" in text:
        known = scheme if scheme.isascii() and scheme.isalnum() and len(scheme) < 20 else "that"
        raise ValueError(f"no store has URLs that begin with {known}://; write {_FORMS}")
    if not text:
        raise ValueError(f"an empty text names no store; write {_FORMS}")
    return text


def take_option(url: str, name: str) -> tuple[str, str | None]:
    """A URL without one option of its query, and that option, None where it is not there."""
    place, _, query = url.partition("?")
    options = query.split("&") if query else []
    rest = [option for option in options if option.partition("=")[0] != name]
    if len(rest) == len(options):
        return url, None
    found = [unquote(option.partition("=")[2]) for option in options if option not in rest]
    return (f"{place}?{'&'.join(rest)}" if rest else place), found[-1]


def _with_slashes(text: str, scheme: str) -> str:
    if not text[len(scheme) :].startswith("://"):
        raise ValueError(f"the URL of a store has two slashes after its scheme: write {scheme}://...")
    return text


def _with_password(url: str) -> str:
    """The URL of a Redis store, with the password of the environment where it has none of its own."""
    secret = os.environ.get(_REDIS_VARIABLE)
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    if not secret or ":" in user:
        return url
    return f"{scheme}://{user if at else ''}:{quote(secret, safe='')}@{host}{slash}{path}"
