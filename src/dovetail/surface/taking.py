"""Taking the surface of a server: everything that it says of itself and lists, by a client that is connected.

Theory of operation. A kind that the server does not declare is not asked for. Which revisions a server of the stateless
era speaks it says itself; of the stateful era, only the one of this connection is known.

Specification: server/discover; basic/lifecycle; server/utilities/pagination.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final, TypeVar

from msgspec import Struct

from ..client import Client
from ..errors import MethodNotFound, RemoteProtocolError, RPCError
from ..revisions import PROFILES
from ..types import DECODE_ERRORS, DiscoverParams, Prompt, Resource, ResourceTemplate, Tool, encode, reader
from .snapshot import Surface

__all__ = ["MAX_ENTRIES", "take_surface"]

MAX_ENTRIES: Final = 10_000
"""Entries of one kind that a surface may have."""

T = TypeVar("T", bound=Struct)


async def take_surface(client: Client) -> Surface:
    """The surface of the server that a client is connected to.

    It lists everything, calls no tool and reads no resource. Raises `RemoteProtocolError` for a list of more than
    `MAX_ENTRIES` entries, and what calls raise.
    Specification: server/tools, server/resources, server/prompts.
    """
    offered = client.server_capabilities
    info = client.server_info

    def has(kind: str) -> bool:
        return offered is None or getattr(offered, kind) is not None

    tools = await _all(client.tools(), "tools") if has("tools") else []
    resources = await _all(client.resources(), "resources") if has("resources") else []
    templates = await _all(client.resource_templates(), "resource templates") if has("resources") else []
    prompts = await _all(client.prompts(), "prompts") if has("prompts") else []
    found = Surface(
        server={} if info is None else info.to_wire(),
        revisions=await _revisions(client),
        capabilities={} if offered is None else offered.to_wire(),
        instructions=client.instructions,
        tools=tuple(_kept(each, Tool) for each in tools),
        resources=tuple(_kept(each, Resource) for each in resources),
        resource_templates=tuple(_kept(each, ResourceTemplate) for each in templates),
        prompts=tuple(_kept(each, Prompt) for each in prompts),
    )
    return Surface.from_text(found.to_text())  # sorted, as it will be read again


async def _all(entries: AsyncIterator[T], what: str) -> list[T]:
    found: list[T] = []
    try:
        async for each in entries:
            found.append(each)
            if len(found) > MAX_ENTRIES:
                raise RemoteProtocolError(f"the server lists more than {MAX_ENTRIES} {what}")
    except MethodNotFound:
        return []  # it declares a kind that it can't list: there is nothing of it
    return found


def _kept(entry: T, kind: type[T]) -> T:
    """An entry by itself: two that are the same are equal, however they came."""
    return reader(kind).keep(encode(entry))


async def _revisions(client: Client) -> tuple[str, ...]:
    """The revisions that the server says it speaks, oldest first; else the one of this connection."""
    profile = PROFILES[client.revision]
    known = tuple(PROFILES)
    method = next(
        (each.name for each in profile.client_requests.values() if each.params is DiscoverParams), None
    )
    said: Any = None
    if method is not None:
        try:
            said = (await client.request(method)).get("supportedVersions")
        except (RPCError, *DECODE_ERRORS):
            said = None
    if not isinstance(said, list) or not said:
        return (client.revision,)
    names = dict.fromkeys(str(each)[:64] for each in said[:100])  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - whatever JSON has
    return tuple(sorted(names, key=lambda each: (known.index(each) if each in known else len(known), each)))
