"""What an author writes inside ``Annotated[...]`` to say more about a parameter than its type.

Theory of operation. Constraints and texts (`Doc`, `Range`, `Length`, `Pattern`, `Header`, `Secret`) are made
as `msgspec.Meta`: so they count wherever msgspec reads a type, in a parameter, in a list's items, in a field
of a dataclass two levels down, and the decoder enforces what the schema says. Making one never fails late: a
constraint that does not suit its type is refused when the function is registered.

`Depends` and `Ask` are different: their parameters are filled by the server and are no part of the schema.

Specification: server/tools, "Tool"; basic/transports/streamable-http, "Schema Extension" (for `Header`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from ..protocol import names

__all__ = ["Ask", "Depends", "Doc", "Format", "Header", "Length", "Pattern", "Range", "Secret", "Titles"]


class Doc:
    """A description: ``Annotated[str, Doc("name of the city")]``.

    A plain string does the same on a parameter.
    """

    def __new__(cls, documentation: str) -> msgspec.Meta:
        """The marker; ``documentation`` becomes the ``description`` in the schema."""
        return msgspec.Meta(description=documentation)


class Range:
    """Inclusive bounds of a number: ``Annotated[int, Range(1, 14)]``; None leaves a side open."""

    def __new__(cls, min: float | None = None, max: float | None = None) -> msgspec.Meta:  # noqa: A002 - reads best
        """The marker. Raises ValueError when ``min`` is more than ``max``."""
        if min is not None and max is not None and min > max:
            raise ValueError(f"Range({min}, {max}): the lower bound is more than the upper bound")
        return msgspec.Meta(ge=min, le=max)


class Length:
    """Inclusive bounds of a length: characters of a text, items of a list, members of an object."""

    def __new__(cls, min: int | None = None, max: int | None = None) -> msgspec.Meta:  # noqa: A002 - reads best
        """The marker. Raises ValueError when ``min`` is more than ``max`` or one is negative."""
        if min is not None and max is not None and min > max:
            raise ValueError(f"Length({min}, {max}): the lower bound is more than the upper bound")
        return msgspec.Meta(min_length=min, max_length=max)


class Pattern:
    """A regular expression that must be found in a text; anchor it with ``^`` and ``$`` to bind all of it."""

    def __new__(cls, pattern: str) -> msgspec.Meta:
        """The marker. Raises ValueError when ``pattern`` is no regular expression."""
        try:
            return msgspec.Meta(pattern=pattern)
        except Exception as problem:
            raise ValueError(f"Pattern({pattern!r}) is no regular expression: {problem}") from problem


class Header:
    """Clients repeat the argument in the HTTP header ``Mcp-Param-<name>``, for routers that do not read
    bodies.

    For ``str``, ``int`` and ``bool`` parameters (also enumerations of them) that are not optional in type.
    """

    def __new__(cls, name: str) -> msgspec.Meta:
        """The marker; ``name`` is the last part of the header's name."""
        return msgspec.Meta(extra_json_schema={names.X_MCP_HEADER: name})


Secret: Final = msgspec.Meta(extra_json_schema={"writeOnly": True})
"""Marks a value that must never be echoed in errors or logs: ``Annotated[str, Secret]``."""


@dataclass(frozen=True, slots=True)
class Depends:
    """Fills a parameter by calling ``provider`` (sync, async, or a generator that cleans up after its
    ``yield``).

    ``provider`` may itself have injected parameters. ``cached``: one value per call, however many ask
    (default). ``scope``: "call", or "app" for one value that all calls share and that is cleaned up when the app
    ends; it can have nothing that belongs to one call.
    """

    provider: Callable[..., Any]
    cached: bool = True
    scope: Literal["call", "app"] = "call"


@dataclass(frozen=True, slots=True)
class Ask:
    """Fills a parameter by asking the person before the body starts.

    ``message``: the question; ``{name}`` stands for the argument of that name. ``key``: identity of the
    question among others (default: the parameter's name). ``otherwise``: the value where the client can't be asked at
    all; without it, such a call fails. It never stands for an answer: if the person says no, or closes the form, the
    call ends with `Declined` or `Dismissed` all the same.
    """

    message: str
    key: str | None = None
    otherwise: Any = msgspec.UNSET


class Titles:
    """Titles for the values of a choice: ``Annotated[Literal["r"], Titles({"r": "Red"})]``."""

    def __new__(cls, titles: Mapping[str, str]) -> msgspec.Meta:
        """The marker; a value that is not named keeps no title of its own."""
        choices = [{"const": value, "title": title} for value, title in titles.items()]
        return msgspec.Meta(extra_json_schema={"oneOf": choices})


class Format:
    """The format of a text in a form: ``Format("email")``; or "uri", "date", "date-time"."""

    def __new__(cls, name: str) -> msgspec.Meta:
        """The marker; ``name`` becomes the ``format`` in the schema."""
        return msgspec.Meta(extra_json_schema={"format": name})
