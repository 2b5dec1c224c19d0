"""What an author writes inside ``Annotated[...]`` to say more about a parameter than its type.

Theory of operation. Constraints and texts (`Doc`, `Range`, `Length`, `Pattern`, `Header`, `Secret`) are `Marker`s:
they count wherever a type is described or read, in a parameter, in a list's items, in a field of a class two levels
down, whoever made that class. On a parameter they become `msgspec.Meta`, which the decoder enforces; to pydantic they
say what they mean in its own words. A constraint that does not suit its type is refused when the function is
registered.

`Depends` and `Ask` are different: their parameters are filled by the server and are no part of the schema.

Specification: server/tools, "Tool"; basic/transports/streamable-http, "Schema Extension" (for `Header`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from ..protocol import names
from .pydantic_models import described_by

__all__ = [
    "Ask",
    "Depends",
    "Doc",
    "Format",
    "Header",
    "Length",
    "Marker",
    "Pattern",
    "Range",
    "Secret",
    "Titles",
]


class Marker:
    """Says more about a type than its name; ``meta`` is what, in msgspec's words."""

    __slots__ = ("meta",)

    def __init__(self, meta: msgspec.Meta) -> None:
        self.meta = meta

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Marker) and self.meta == other.meta

    def __hash__(self) -> int:
        return hash(self.meta)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.meta!r})"

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        """What pydantic asks of marks that it does not know."""
        return handler(described_by(source, self.meta))


class Doc(Marker):
    """A description: ``Annotated[str, Doc("name of the city")]``.

    A plain string does the same on a parameter.
    """

    __slots__ = ()

    def __init__(self, documentation: str) -> None:
        """``documentation`` becomes the ``description`` in the schema."""
        super().__init__(msgspec.Meta(description=documentation))


class Range(Marker):
    """Inclusive bounds of a number: ``Annotated[int, Range(1, 14)]``; None leaves a side open."""

    __slots__ = ()

    def __init__(self, min: float | None = None, max: float | None = None) -> None:  # noqa: A002 - reads best
        """Raises ValueError when ``min`` is more than ``max``."""
        if min is not None and max is not None and min > max:
            raise ValueError(f"Range({min}, {max}): the lower bound is more than the upper bound")
        super().__init__(msgspec.Meta(ge=min, le=max))


class Length(Marker):
    """Inclusive bounds of a length: characters of a text, items of a list, members of an object."""

    __slots__ = ()

    def __init__(self, min: int | None = None, max: int | None = None) -> None:  # noqa: A002 - reads best
        """Raises ValueError when ``min`` is more than ``max`` or one is negative."""
        if min is not None and max is not None and min > max:
            raise ValueError(f"Length({min}, {max}): the lower bound is more than the upper bound")
        super().__init__(msgspec.Meta(min_length=min, max_length=max))


class Pattern(Marker):
    """A regular expression that must be found in a text; anchor it with ``^`` and ``$`` to bind all of it."""

    __slots__ = ()

    def __init__(self, pattern: str) -> None:
        """Raises ValueError when ``pattern`` is no regular expression."""
        try:
            super().__init__(msgspec.Meta(pattern=pattern))
        except Exception as problem:
            raise ValueError(f"Pattern({pattern!r}) is no regular expression: {problem}") from problem


class Header(Marker):
    """Clients repeat the argument in the HTTP header ``Mcp-Param-<name>``, for routers that do not read
    bodies.

    For ``str``, ``int`` and ``bool`` parameters (also enumerations of them) that are not optional in type, and no
    `Secret`: what stands on the way would see it.
    """

    __slots__ = ()

    def __init__(self, name: str) -> None:
        """``name`` is the last part of the header's name."""
        super().__init__(msgspec.Meta(extra_json_schema={names.X_MCP_HEADER: name}))


Secret: Final = Marker(msgspec.Meta(extra_json_schema={"writeOnly": True}))
"""Marks a value that must never be echoed in errors or logs: ``Annotated[str, Secret]``."""


class Depends(Struct, frozen=True):
    """Fills a parameter by calling ``provider`` (sync, async, or a generator that cleans up after its
    ``yield``).

    ``provider`` may itself have injected parameters. ``cached``: one value per call, however many ask
    (default). ``scope``: "call", or "app" for one value that all calls share and that is cleaned up when the app
    ends; it can have nothing that belongs to one call.
    """

    provider: Callable[..., Any]
    cached: bool = True
    scope: Literal["call", "app"] = "call"


class Ask(Struct, frozen=True):
    """Fills a parameter by asking the person before the body starts.

    ``message``: the question; ``{name}`` stands for the argument of that name. ``key``: identity of the
    question among others (default: the parameter's name). ``otherwise``: the value where the client can't be asked at
    all; without it, such a call fails. It never stands for an answer: if the person says no, or closes the form, the
    call ends with `Declined` or `Dismissed` all the same.
    """

    message: str
    key: str | None = None
    otherwise: Any = msgspec.UNSET


class Titles(Marker):
    """Titles for the values of a choice: ``Annotated[Literal["r"], Titles({"r": "Red"})]``."""

    __slots__ = ()

    def __init__(self, titles: Mapping[str, str]) -> None:
        """A value that is not named keeps no title of its own."""
        choices = [{"const": value, "title": title} for value, title in titles.items()]
        super().__init__(msgspec.Meta(extra_json_schema={"oneOf": choices}))


class Format(Marker):
    """The format of a text in a form: ``Format("email")``; or "uri", "date", "date-time"."""

    __slots__ = ()

    def __init__(self, name: str) -> None:
        """``name`` becomes the ``format`` in the schema."""
        super().__init__(msgspec.Meta(extra_json_schema={"format": name}))
