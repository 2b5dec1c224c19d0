"""Versions of one tool side by side: their order, which of them a call is about, and how a list tells of them.

Theory of operation. A version is a text. Its parts, runs of digits and runs of letters, are compared one after the
other: numbers as numbers, words as texts. A word comes before the end, and the end before a number, so that
``2.0-beta`` < ``2.0`` < ``2.0.1`` < ``2.0.10``, and dates are in their order. A ``v`` before a digit and capitals do
not count; where all parts are equal, the texts decide.

A call says in its ``_meta`` which version it is about, by its very text. A tool without versions has none that could be
asked for.

Specification: basic/index, "_meta".
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final, Protocol, TypeVar, cast

from msgspec.structs import replace

from ...protocol import names
from ...protocol.call import Call
from ...protocol.types import CallToolParams, Tool


class Versioned(Protocol):
    """What has a version, or none: a `Provided`."""

    @property
    def version(self) -> str | None: ...

    @property
    def described(self) -> Any: ...


V = TypeVar("V", bound=Versioned)

_PARTS: Final = re.compile(r"[0-9]+|[^\W\d_]+")
_PREFIX: Final = re.compile(r"[vV](?=[0-9])")
_END: Final = (1, 0, "")
_MAX_DIGITS: Final = 1000


@lru_cache(maxsize=1000)
def version_key(version: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """What versions are ordered by."""
    start = 1 if _PREFIX.match(version) else 0
    parts = tuple(
        (2, int(each[:_MAX_DIGITS]), "") if each[0] in "0123456789" else (0, 0, each.casefold())
        for each in _PARTS.findall(version, start)
    )
    return (*parts, _END), version


def highest_first(versions: Iterable[str]) -> list[str]:
    """The same versions, each once, in their order."""
    return sorted(set(versions), key=version_key, reverse=True)


def asked_version(call: Call) -> str | None:
    """The version of a tool that a call is about, None where it does not say."""
    params = call.params
    return params.meta.version if isinstance(params, CallToolParams) and params.meta is not None else None


def chosen(found: Sequence[V], version: str | None) -> V | None:
    """Of all versions of a tool the one of that name, or without one the highest; None where it is not there.

    A tool without a version of its own that is listed with some is one of another server, which has them: it is given
    the call as it is.
    """
    if version is None:
        return max(found, key=_rank, default=None)
    return next((each for each in found if each.version == version), None) or next(
        (each for each in found if each.version is None and version in listed_versions(each.described)), None
    )


def _rank(found: Versioned) -> tuple[tuple[tuple[int, int, str], ...], str]:
    return ((), "") if found.version is None else version_key(found.version)


def joined(found: Iterable[V], more: Iterable[V]) -> list[V]:
    """All versions of a tool, of what comes first and of what comes after it: a tool without versions that is first is
    the only one, and of equal versions the first counts.
    """
    all_of_it = list(found)
    for each in more:
        if not any(is_shadowed(each, other) for other in all_of_it):
            all_of_it.append(each)
    return all_of_it


def is_shadowed(tool: Versioned, first: Versioned) -> bool:
    """Whether a tool can't be used since there is another one of its name before it."""
    return tool.version is None or first.version is None or tool.version == first.version


def listed_versions(tool: Tool) -> Sequence[str]:
    """The versions that a tool is listed with."""
    listed = (tool.meta or {}).get(names.META_VERSIONS)
    return cast("list[str]", listed) if isinstance(listed, list) else ()


def marked(tool: Tool, version: str, versions: Sequence[str] = ()) -> Tool:
    """A tool that says in its ``_meta`` which version it is, and which ones there are."""
    meta: dict[str, Any] = {**(tool.meta or {}), names.META_VERSION: version}
    if versions:
        meta[names.META_VERSIONS] = list(versions)
    return replace(tool, meta=meta)


__all__ = [
    "Versioned",
    "asked_version",
    "chosen",
    "highest_first",
    "is_shadowed",
    "joined",
    "listed_versions",
    "marked",
    "version_key",
]
