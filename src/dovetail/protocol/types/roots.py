"""Roots: the folders that a client lets a server know of. Deprecated since 2026-07-28 (SEP-2577): pass
paths as arguments.

Specification: client/roots.
"""

from msgspec import field

from .requests import Params, Result
from .wire import Meta, Open


class Root(Open, frozen=True, kw_only=True):
    """A folder or file, as a ``file://`` URI."""

    uri: str
    name: str | None = None
    meta: Meta | None = field(default=None, name="_meta")


class ListRootsParams(Params, frozen=True, kw_only=True):
    """Parameters of ``roots/list``."""


class ListRootsResult(Result, frozen=True, kw_only=True):
    """The client's roots."""

    roots: list[Root]
