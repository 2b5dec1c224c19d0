"""The faults, as values: what happens, and to which messages. They are read from TOML and from the command line.

A fault is a kind with members of its own, and a matcher that all kinds have. The matcher counts for itself: ``nth``,
``times`` and ``share`` are of those messages that fit the rest of it. Random faults have a seed, so that what happened
once happens again.

Specification: none.
"""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, cast

import msgspec
from msgspec import Meta, Struct

__all__ = [
    "KINDS",
    "ChangedMember",
    "Cut",
    "Delay",
    "Disconnect",
    "Drip",
    "Drop",
    "Duplicate",
    "Error",
    "Fault",
    "FaultInvalid",
    "HalfClose",
    "ChangedHeader",
    "InvalidUTF8",
    "Oversize",
    "Reorder",
    "Status",
    "Truncate",
    "WrongId",
    "fault_from_words",
    "fault_of",
    "faults_from_toml",
    "in_words",
]

Seconds = Annotated[float, Meta(ge=0, le=3600)]
Count = Annotated[int, Meta(ge=0)]
Transport = Literal["stdio", "http"]


class FaultInvalid(ValueError):
    """A fault that can't be: of a kind that there is not, with a member that its kind has not, or out of place."""


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which messages a fault strikes.

    ``sender``: whose messages, "client" or "server" (default: the server's, but for `Status` and `Error`). ``method``:
    the method, also of the request that a response answers; ``*`` stands for anything; over HTTP also the verb of a
    request without a message, such as ``GET`` ("": any). ``tool``: the name of the tool that is called ("": any).
    ``nth``: only the so-manieth of them, from 1 (0: all). ``times``: at most so many (0: no bound). ``share``: this
    part of them, by a random number from ``seed``.
    """

    sender: Literal["client", "server"] = "server"
    method: str = ""
    tool: str = ""
    nth: Count = 0
    times: Count = 0
    share: Annotated[float, Meta(ge=0, le=1)] = 1.0
    seed: int = 0

    #: What it strikes: a message, a request or a response of HTTP as a whole.
    unit: ClassVar[Literal["message", "request", "response"]] = "message"

    def obstacle(self, transport: Transport) -> str:
        """Why it can't strike on this transport; "" where it can."""
        return ""


class Delay(Fault, frozen=True, tag="delay", tag_field="kind"):
    """A message is held back for ``seconds``, or for a random time between these and ``up_to``. What comes after it
    waits, unless it may be ``overtaken``.
    """

    seconds: Seconds
    up_to: Seconds = 0.0
    overtaken: bool = False


class Drop(Fault, frozen=True, tag="drop", tag_field="kind"):
    """A message goes nowhere. An HTTP request without an answer stays open until its client leaves."""


class Duplicate(Fault, frozen=True, tag="duplicate", tag_field="kind"):
    """A message goes ``copies`` times."""

    copies: Annotated[int, Meta(ge=2, le=1000)] = 2


class Reorder(Fault, frozen=True, tag="reorder", tag_field="kind"):
    """A message goes after so many later ones of the same sender (``behind``), or after ``seconds``."""

    behind: Annotated[int, Meta(ge=1)] = 1
    seconds: Seconds = 5.0


class Status(Fault, frozen=True, tag="status", tag_field="kind"):
    """An HTTP request is refused with ``status``, and never reaches the server. ``text``: the body of the refusal."""

    sender: Literal["client", "server"] = "client"
    status: Annotated[int, Meta(ge=300, le=599)] = 401
    text: str = "a fault that was asked for"

    unit: ClassVar[Literal["message", "request", "response"]] = "request"

    def obstacle(self, transport: Transport) -> str:
        """Why it can't strike on this transport."""
        if transport != "http":
            return "statuses are of HTTP"
        return (
            "" if self.sender == "client" else "it is a request that is refused, so its sender is the client"
        )


class Error(Fault, frozen=True, tag="error", tag_field="kind"):
    """A request is answered with a JSON-RPC error, and never reaches the server."""

    sender: Literal["client", "server"] = "client"
    code: int = -32603
    message: str = "a fault that was asked for"


class Cut(Fault, frozen=True, tag="cut", tag_field="kind"):
    """The connection breaks off after so many ``events`` of a stream, or ``bytes``; where neither is said, at once.
    Over HTTP it is the response that is cut, on stdio the message (by default in its middle), before both ends close.
    """

    events: Count = 0
    bytes: Count = 0

    unit: ClassVar[Literal["message", "request", "response"]] = "response"

    def obstacle(self, transport: Transport) -> str:
        """Why it can't strike on this transport."""
        if transport == "stdio":
            return "events are of HTTP" if self.events else ""
        return "" if self.sender == "server" else "over HTTP it is a response that is cut"


class Truncate(Fault, frozen=True, tag="truncate", tag_field="kind"):
    """Of a message only the first ``bytes`` go (0: the first half), framed as if it were whole."""

    bytes: Count = 0


class WrongId(Fault, frozen=True, tag="wrong-id", tag_field="kind"):
    """A message has another ``id``."""

    id: int | str = "wrong"


class ChangedHeader(Fault, frozen=True, tag="header", tag_field="kind"):
    """An HTTP header has another ``value``; without one it is missing. Of the response, or of the request if the sender
    is the client.
    """

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
    value: Annotated[str, Meta(pattern=r"^[^\r\n\0]*$")] | None = None

    unit: ClassVar[Literal["message", "request", "response"]] = "response"

    def obstacle(self, transport: Transport) -> str:
        """Why it can't strike on this transport."""
        return "" if transport == "http" else "headers are of HTTP"


class Drip(Fault, frozen=True, tag="drip", tag_field="kind"):
    """A message goes in pieces of ``bytes``, with ``seconds`` between them."""

    bytes: Annotated[int, Meta(ge=1)] = 1
    seconds: Seconds = 0.01

    def obstacle(self, transport: Transport) -> str:
        """Why it can't strike on this transport."""
        slow = transport == "stdio" or self.sender == "server"
        return "" if slow else "over HTTP only responses go slowly"


class HalfClose(Fault, frozen=True, tag="half-close", tag_field="kind"):
    """After the message its sender is heard no more, while the other direction stays as it is. Over HTTP nothing more
    comes of the response, and it does not end.
    """

    def obstacle(self, transport: Transport) -> str:
        """Why it can't strike on this transport."""
        open_ended = transport == "stdio" or self.sender == "server"
        return "" if open_ended else "over HTTP only responses can stay open"


class Disconnect(Fault, frozen=True, tag="disconnect", tag_field="kind"):
    """In place of the message the connection ends: both pipes, or that of the HTTP request."""


class Oversize(Fault, frozen=True, tag="oversize", tag_field="kind"):
    """A message is made at least so long, by a member in its ``_meta``."""

    bytes: Annotated[int, Meta(ge=1, le=1 << 30)] = 65 * 1024 * 1024


class InvalidUTF8(Fault, frozen=True, tag="invalid-utf8", tag_field="kind"):
    """A message has a byte in it that UTF-8 never has."""


class ChangedMember(Fault, frozen=True, tag="change", tag_field="kind"):
    """What stands at a JSON pointer is another ``value``; without one it is missing."""

    pointer: Annotated[str, Meta(pattern=r"^(/[^/]*)+$")]
    value: Any = msgspec.UNSET


KINDS: Final[tuple[type[Fault], ...]] = (
    *(Delay, Drop, Duplicate, Reorder, Status, Error, Cut, Truncate, WrongId, ChangedHeader),
    *(Drip, HalfClose, Disconnect, Oversize, InvalidUTF8, ChangedMember),
)
"""All kinds. The word for each is its tag."""
_WORDS: Final[dict[str, type[Fault]]] = {str(each.__struct_config__.tag): each for each in KINDS}


def fault_of(value: Mapping[str, Any], *, strict: bool = True) -> Fault:
    """A fault from plain values, with its kind as ``kind``. Raises `FaultInvalid`. ``strict``: False takes texts for
    numbers and truth values.
    """
    members = dict(value)
    kind = members.pop("kind", None)
    found = _WORDS.get(kind) if isinstance(kind, str) else None
    if found is None:
        raise FaultInvalid(f"there is no fault {kind!r}; there are {', '.join(_WORDS)}")
    unknown = [each for each in members if each not in found.__struct_fields__]
    if unknown:
        raise FaultInvalid(
            f"the fault {kind} has no {unknown[0]!r}; it has {', '.join(found.__struct_fields__)}"
        )
    try:
        return msgspec.convert(members, found, strict=strict)
    except msgspec.ValidationError as problem:
        raise FaultInvalid(f"the fault {kind}: {problem}") from None


def fault_from_words(text: str) -> Fault:
    """A fault as it is written on a command line: ``delay seconds=0.5 method=tools/call``. Raises `FaultInvalid`."""
    try:
        kind, *words = shlex.split(text) or [""]
    except ValueError as problem:
        raise FaultInvalid(f"{text!r} is no fault: {str(problem).lower()}") from None
    members: dict[str, Any] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign:
            raise FaultInvalid(f"{word!r} is written as NAME=VALUE")
        members[name] = value
    if kind == _tag(ChangedMember) and "value" in members:
        members["value"] = _json(members["value"])
    return fault_of({"kind": kind, **members}, strict=False)


def faults_from_toml(path: Path) -> list[Fault]:
    """The faults of a file: an array of tables ``[[fault]]``, each with its ``kind``. Raises `FaultInvalid`, and
    OSError for a file that can't be read.
    """
    try:
        value = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise FaultInvalid(f"{path} is no TOML: {problem}") from None
    tables: Any = value.pop("fault", [])
    if value or not isinstance(tables, list):
        raise FaultInvalid(f"{path} has something else than tables [[fault]]")
    found: list[Fault] = []
    for number, each in enumerate(cast("list[Any]", tables), 1):
        try:
            found.append(fault_of(cast("dict[str, Any]", each) if isinstance(each, dict) else {}))
        except FaultInvalid as problem:
            raise FaultInvalid(f"{path}, fault {number}: {problem}") from None
    return found


def in_words(fault: Fault) -> str:
    """As it would be written on a command line, which gives the same fault again."""
    members: dict[str, Any] = msgspec.to_builtins(fault)
    kind = members.pop("kind")
    free = "value" if isinstance(fault, ChangedMember) else ""  # the one member that may be any JSON
    return " ".join(
        [
            kind,
            *(
                shlex.quote(f"{name}={_written(each) if name == free else _plain(each)}")
                for name, each in members.items()
            ),
        ]
    )


def _tag(kind: type[Fault]) -> str:
    return str(kind.__struct_config__.tag)


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _written(value: Any) -> str:
    plain = isinstance(value, str) and _json(value) == value
    return value if plain else msgspec.json.encode(value).decode()
