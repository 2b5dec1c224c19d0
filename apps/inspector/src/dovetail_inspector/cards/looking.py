"""The card of one server: where it is, what came, and what is to be said of it.

Specification: SEP-2127, discovery.
"""

from __future__ import annotations

from typing import Any, Final, cast

from dovetail import DovetailError

from ..session.importing import resolved
from ..session.server import InspectedServer, NotConnected
from ..views import CardView
from .comparing import LISTS, RunningServer, compare_card
from .fetching import card_address, fetch_card
from .judging import judge_card

__all__ = ["look_at_card"]

_LOCAL: Final = (
    "A server that is started here has no card: cards tell how to reach a server over the network."
)


async def look_at_card(server: InspectedServer, transport: str, url: str = "") -> CardView:
    """Get the card of a server, judge it, and hold it against what the server says. ``url``: where it is, where it is
    not at the usual place. ``transport``: of the connection, as records name it. Raises `DovetailError` where the
    target's variables have no value, and what calls raise.
    """
    endpoint, _ = resolved(server.name, server.target)
    if not isinstance(endpoint, str):
        return CardView(state="local", message=_LOCAL)
    address = url.strip() or card_address(endpoint)
    try:
        fetched = await fetch_card(address)
    except DovetailError as problem:
        return CardView(state="failed", message=str(problem), url=address)
    if fetched.status in (404, 405, 410):
        return CardView(
            state="absent",
            message=f"There is no card here: the server answers {fetched.status}. It may have one elsewhere, or none.",
            url=fetched.url,
            status=fetched.status,
            headers=fetched.headers,
        )
    if fetched.status != 200:
        public = (
            "; a card is public, and is asked for without credentials" if fetched.status in (401, 403) else ""
        )
        return CardView(
            state="failed",
            message=f"The server answers {fetched.status}{public}.",
            url=fetched.url,
            status=fetched.status,
            headers=fetched.headers,
        )
    running = await _running(server, endpoint, transport, fetched.content)
    return CardView(
        state="found",
        message="" if running is not None else "Connect, and the card is held against what the server says.",
        url=fetched.url,
        status=fetched.status,
        headers=fetched.headers,
        content=fetched.content,
        notes=judge_card(fetched),
        facts=[] if running is None else compare_card(fetched.content, running),
    )


async def _running(server: InspectedServer, endpoint: str, transport: str, card: Any) -> RunningServer | None:
    """What the server says; None while it is not connected. Lists are asked for only where the card has them."""
    try:
        info, client = server.info(), server.client
    except NotConnected:
        return None
    discovered = client.discovered
    said = cast("dict[str, Any]", card) if isinstance(card, dict) else {}
    listed = {
        kind: [str(each.get(key)) for each in await server.listed(kind)]
        for kind, key in LISTS.items()
        if isinstance(said.get(kind), list)
    }
    return RunningServer(
        url=endpoint,
        transport=transport,
        revision=info.revision,
        info=info.server_info or {},
        capabilities=info.capabilities or {},
        revisions=None if discovered is None else list(discovered.supported_versions),
        listed=listed,
    )
