"""A card beside the server that runs: a row for each fact, and whether both say the same.

Theory of operation. A card is read before anybody is connected, so what it says is a promise; what the server says when
it is connected counts. Where only one of them says something, that is no contradiction, and is told apart from one.
What a card says beyond its schema (tools, capabilities: cards of older drafts have them) is compared as well.

Specification: SEP-2127, discovery, "Consistency with Runtime Behavior".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, cast

import msgspec

from dovetail.revisions import PROFILES

from ..views import CardFactView

__all__ = ["LISTS", "RunningServer", "compare_card"]

LISTS: Final = {"tools": "name", "prompts": "name", "resources": "uri"}
"""What cards of older drafts list, and by what each thing is known."""
_DESCRIBING: Final = ("title", "description", "websiteUrl", "icons")
_TRANSPORTS: Final = {"http": "streamable-http", "sse": "sse"}
_VARIABLE: Final = re.compile(r"\\\{[a-zA-Z_][a-zA-Z0-9_]*\\\}")
_MOST: Final = 64
"""Places of one card that are compared."""
_TOLD: Final = 10
"""Names that are told of those that only one of them has."""
_LONGEST: Final = 2000
"""Characters of an address with variables in it."""


class RunningServer(msgspec.Struct, frozen=True, kw_only=True):
    """What a server says while it runs. ``url``: where it was reached, over ``transport`` ("http" or "sse").
    ``revisions``: those that it says it supports, None where it was only agreed on ``revision``. ``listed``: names or
    addresses by kind, of those kinds that the card lists.
    """

    url: str
    transport: str
    revision: str
    info: dict[str, Any]
    capabilities: dict[str, Any]
    revisions: list[str] | None = None
    listed: dict[str, list[str]] = {}


def compare_card(card: Any, server: RunningServer) -> list[CardFactView]:
    """The facts of a card, each beside what the server says; nothing for a card that is no object."""
    if not isinstance(card, dict):
        return []
    said = cast("dict[str, Any]", card)
    facts: list[CardFactView | None] = [
        _name(said.get("name"), server.info.get("name")),
        _fact("version", said.get("version"), server.info.get("version")),
        *(_fact(each, said.get(each), server.info.get(each)) for each in _DESCRIBING),
    ]
    return [
        *(each for each in facts if each is not None),
        *_remotes(said.get("remotes"), server),
        *_primitives(said, server),
    ]


def _fact(fact: str, card: Any, server: Any) -> CardFactView | None:
    """A fact, None where neither says anything of it."""
    if card is None and server is None:
        return None
    if card is None or server is None:
        silent = "the card" if card is None else "the server"
        return CardFactView(
            fact=fact, state="missing", card=card, server=server, note=f"{silent} says nothing of it"
        )
    return CardFactView(
        fact=fact,
        state="same" if _equal(card, server) else "differs",
        card=card,
        server=server,
    )


def _equal(a: Any, b: Any) -> bool:
    """Whether two values of JSON are the same: 1 is 1.0, and is not true."""
    return msgspec.json.encode(_plain(a), order="sorted") == msgspec.json.encode(_plain(b), order="sorted")


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _name(card: Any, server: Any) -> CardFactView | None:
    """The name, which a card has to write with a namespace before it, and a server need not."""
    found = _fact("name", card, server)
    if found is None or found.state != "differs" or not isinstance(card, str):
        return found
    if card.partition("/")[2] != server:
        return found
    return msgspec.structs.replace(
        found, note="the server leaves the namespace out; it should call itself by the whole name"
    )


def _remotes(said: Any, server: RunningServer) -> Iterator[CardFactView]:
    """Where the card says that the server is, and which revisions it speaks there."""
    remotes = [
        cast("dict[str, Any]", each)
        for each in (cast("list[Any]", said) if isinstance(said, list) else [])[:_MOST]
        if isinstance(each, dict)
    ]
    here = {"type": _TRANSPORTS.get(server.transport, server.transport), "url": server.url}
    if not remotes:
        yield CardFactView(
            fact="remotes", state="missing", server=here, note="the card names no place where the server is"
        )
        return
    matching = [each for each in remotes if leads_to(each.get("url"), server.url)]
    places = [{"type": each.get("type"), "url": each.get("url")} for each in remotes]
    if not matching:
        yield CardFactView(
            fact="remotes",
            state="differs",
            card=places,
            server=here,
            note="none of the places of the card is the one that the server was reached at",
        )
        return
    alike = [each for each in matching if each.get("type") == here["type"]]
    chosen = (alike or matching)[0]
    yield CardFactView(
        fact="remotes",
        state="same" if alike else "differs",
        card={"type": chosen.get("type"), "url": chosen.get("url")},
        server=here,
        note="" if alike else "the place is the same, and another transport is spoken there",
    )
    yield from _revisions(chosen.get("supportedProtocolVersions"), server)


def leads_to(template: Any, url: str) -> bool:
    """Whether an address, with any values in the place of its variables, is that of a server."""
    if not isinstance(template, str) or len(template) > _LONGEST:
        return False
    pattern = _VARIABLE.sub(
        "[^/?#]*" if "://" in template.partition("{")[0] else ".*", re.escape(template.rstrip("/"))
    )
    return re.fullmatch(pattern, url.rstrip("/")) is not None


def _revisions(said: Any, server: RunningServer) -> Iterator[CardFactView]:
    fact = "supportedProtocolVersions"
    spoken = server.revisions if server.revisions is not None else [server.revision]
    if not isinstance(said, list):
        yield CardFactView(fact=fact, state="missing", server=spoken, note="the card says nothing of it")
        return
    named = [each for each in cast("list[Any]", said) if isinstance(each, str)]
    found = CardFactView(fact=fact, state="same", card=named, server=spoken)
    if server.revision not in named:
        note = f"{server.revision} is spoken, and the card does not name it"
        yield msgspec.structs.replace(found, state="differs", note=note)
    elif server.revisions is None:
        note = "a server of this era says only which one was agreed on"
        yield msgspec.structs.replace(found, note=note)
    else:
        # A server may name there those alone that a client can ask for without a session.
        all_named = any(_stateful(each) for each in spoken)
        promised = [each for each in named if each not in spoken and (all_named or not _stateful(each))]
        unnamed = [each for each in spoken if each not in named]
        yield msgspec.structs.replace(
            found,
            state="differs" if promised else "missing" if unnamed else "same",
            note=_sides(promised, unnamed),
        )


def _stateful(revision: str) -> bool:
    known = PROFILES.get(revision)
    return known is not None and not known.stateless


def _sides(card: list[str], server: list[str]) -> str:
    """What only one of them names, in words; "" for nothing."""
    told = ((card, "only the card names it"), (server, "only the server names it"))
    return "; ".join(f"{', '.join(each[:_TOLD])}: {what}" for each, what in told if each)


def _primitives(card: dict[str, Any], server: RunningServer) -> Iterator[CardFactView]:
    """What a card of an older draft says of what the server offers."""
    claimed = card.get("capabilities")
    if isinstance(claimed, dict):
        names, own = sorted(cast("dict[str, Any]", claimed)), sorted(server.capabilities)
        yield CardFactView(
            fact="capabilities", state="same" if names == own else "differs", card=names, server=own
        )
    for kind, key in LISTS.items():
        listed = card.get(kind)
        if not isinstance(listed, list) or kind not in server.listed:
            continue
        names = sorted(_named(each, key) for each in cast("list[Any]", listed))
        own = sorted(server.listed[kind])
        note = _sides(sorted({*names} - {*own}), sorted({*own} - {*names}))
        yield CardFactView(fact=kind, state="differs" if note else "same", card=names, server=own, note=note)


def _named(item: Any, key: str) -> str:
    if isinstance(item, dict):
        item = cast("dict[str, Any]", item).get(key)
    return item if isinstance(item, str) else msgspec.json.encode(item).decode()
