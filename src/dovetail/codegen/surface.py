"""What a server offers, as a module is written from it, and short marks by which a later change is noticed.

Specification: server/tools, server/resources, server/prompts.
"""

from collections.abc import AsyncIterator, Iterable
from hashlib import sha256
from typing import Any, Final, TypeVar, cast

from msgspec import Struct

from dovetail.client import Client
from dovetail.errors import LocalProtocolError, MethodNotFound
from dovetail.types import Implementation, Prompt, Resource, ResourceTemplate, Tool

__all__ = ["MAX_ITEMS", "ServerSurface", "mark_of", "marks_of", "surface_of"]

T = TypeVar("T")

MAX_ITEMS: Final = 5_000
"""Tools, resources, templates or prompts, each, that a module is written for."""
_NAMED: Final = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_VALUES: Final = frozenset({"const", "enum", "required", "type", "default"})
_WORDS: Final = frozenset({"title", "description", "examples", "$comment", "$schema", "$id"})
_DEEPEST: Final = 100


class ServerSurface(Struct, frozen=True, kw_only=True):
    """What a server offers: its lists, as it gave them in ``revision``. ``info``: how it describes itself, if it does;
    ``instructions``: what it says about its use.
    """

    revision: str
    info: Implementation | None = None
    instructions: str | None = None
    tools: tuple[Tool, ...] = ()
    resources: tuple[Resource, ...] = ()
    resource_templates: tuple[ResourceTemplate, ...] = ()
    prompts: tuple[Prompt, ...] = ()


async def surface_of(client: Client) -> ServerSurface:
    """Ask a connected client's server for all that it offers.

    Raises what calls raise, and `LocalProtocolError` where one of the lists has more than 5,000 items.
    """
    return ServerSurface(
        revision=client.revision,
        info=client.server_info,
        instructions=client.instructions,
        tools=await _gathered(client.tools(), "tools"),
        resources=await _gathered(client.resources(), "resources"),
        resource_templates=await _gathered(client.resource_templates(), "resource templates"),
        prompts=await _gathered(client.prompts(), "prompts"),
    )


async def _gathered(items: AsyncIterator[T], what: str) -> tuple[T, ...]:
    found: list[T] = []
    try:
        async for item in items:
            if len(found) == MAX_ITEMS:
                raise LocalProtocolError(
                    f"the server lists more than {MAX_ITEMS:,} {what}; no module is written for so many"
                )
            found.append(item)
    except MethodNotFound:  # some servers have none of a kind, and say it like this
        return ()
    return tuple(found)


def marks_of(tools: Iterable[Tool]) -> dict[str, tuple[str, str]]:
    """For each tool two marks: of what it takes, and of what it gives ("" where it does not say)."""
    return {
        each.name: (
            mark_of(each.input_schema),
            "" if each.output_schema is None else mark_of(each.output_schema),
        )
        for each in tools
    }


def mark_of(schema: Any) -> str:
    """Sixteen characters that are others when the schema asks for something else. What it says in words only, and the
    order of its members, do not count.
    """
    told = sha256()
    for piece in _pieces(schema, 0):
        told.update(piece.encode("utf-8", "surrogatepass"))
    return told.hexdigest()[:16]


def _pieces(schema: Any, depth: int) -> Iterable[str]:
    if isinstance(schema, dict) and depth < _DEEPEST:
        members = cast("dict[str, Any]", schema)
        yield "{"
        for key in sorted(members):
            value = members[key]
            if key in _WORDS and not isinstance(value, dict):
                continue
            yield f"{key!r}:"
            if key in _NAMED and isinstance(value, dict):
                named = cast("dict[str, Any]", value)
                for name in sorted(named):
                    yield f"{name!r}="
                    yield from _pieces(named[name], depth + 1)
            elif key == "required" and isinstance(value, list):
                yield repr(sorted(map(str, cast("list[Any]", value))))
            elif key in _VALUES:
                yield _shown(value)
            else:
                yield from _pieces(value, depth + 1)
        yield "}"
    elif isinstance(schema, list) and depth < _DEEPEST:
        yield "["
        for each in cast("list[Any]", schema):
            yield from _pieces(each, depth + 1)
            yield ","
        yield "]"
    else:
        yield _shown(schema) if depth < _DEEPEST else "..."


def _shown(value: Any) -> str:
    """A value as text; three dots for one that is too deep, or a number of too many digits."""
    try:
        return repr(value)
    except (RecursionError, ValueError):
        return "..."
