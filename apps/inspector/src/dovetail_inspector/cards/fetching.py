"""Getting a server's card, as a program does that has never spoken to the server.

Theory of operation. A card is public: it is asked for without credentials, by a client that follows no redirect to
another origin and reads a bounded answer. It is asked for up to three times: as it is; as a page of another origin
would, whose answer says whether such a page could read it; and, where it has an entity tag, for whether it changed.

Specification: SEP-2127, discovery, "Hosted Server Card Location", "CORS Requirements", "Caching".
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import msgspec

from dovetail import DovetailError
from dovetail.security import Fetched, Fetcher

__all__ = ["CARD_TYPE", "LARGEST", "FetchedCard", "card_address", "fetch_card", "nested_deeper"]

CARD_TYPE: Final = "application/mcp-server-card+json"
LARGEST: Final = 256 * 1024
"""Bytes of a card."""
_PATIENCE: Final = 10.0
"""Seconds of one exchange."""
_DEEPEST: Final = 64
"""Levels of a card: the schema has eight."""
_SUFFIX: Final = "/server-card"
_OTHER_ORIGIN: Final = "https://page.example"


class FetchedCard(msgspec.Struct, frozen=True):
    """What came. ``content``: the JSON, None where the body is none (``problem`` says why). ``shared``: the headers
    that a page of another origin was answered with, and ``shared_status`` the status. ``again``: the status of asking
    whether it changed; 0 where it has no entity tag, or that came to nothing.
    """

    url: str
    status: int
    headers: dict[str, str]
    content: Any = None
    problem: str = ""
    shared: dict[str, str] = {}
    shared_status: int = 0
    again: int = 0


def card_address(endpoint: str) -> str:
    """Where the card of a server is by convention: below its endpoint, without query and fragment."""
    parts = urlsplit(endpoint)
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") + _SUFFIX, "", ""))


async def fetch_card(url: str) -> FetchedCard:
    """Get the card at an address. Raises `DovetailError` where nothing was answered, or not within bounds."""
    # The person has named the server, and the client speaks to it wherever it is: so its card may be there, too.
    async with Fetcher(
        allow_loopback=True, allow_private=True, allow_http=True, timeout=_PATIENCE, limit=LARGEST
    ) as fetcher:
        found = await fetcher.get(url, CARD_TYPE)
        if found.status != 200:
            return FetchedCard(url=found.url, status=found.status, headers=dict(found.headers))
        shared = await _asked_once_more(fetcher, url, {"origin": _OTHER_ORIGIN})
        tag = found.headers.get("etag", "")
        again = await _asked_once_more(fetcher, url, {"if-none-match": tag}) if tag else None
    content, problem = _content(found.body)
    return FetchedCard(
        url=found.url,
        status=found.status,
        headers=dict(found.headers),
        content=content,
        problem=problem,
        shared={} if shared is None else dict(shared.headers),
        shared_status=0 if shared is None else shared.status,
        again=0 if again is None else again.status,
    )


async def _asked_once_more(fetcher: Fetcher, url: str, headers: dict[str, str]) -> Fetched | None:
    """The answer to the same question with further headers; None where there is none."""
    try:
        return await fetcher.get(url, CARD_TYPE, headers)
    except DovetailError:
        return None


def _content(body: bytes) -> tuple[Any, str]:
    """The JSON of a body, and why there is none."""
    try:
        content = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        return None, f"what came is no JSON: {problem}"
    if nested_deeper(content, _DEEPEST):
        return None, f"what came is nested deeper than {_DEEPEST} levels"
    return content, ""


def nested_deeper(value: Any, most: int) -> bool:
    """Whether a value of JSON is nested deeper than so many levels."""
    level = [value]
    for _ in range(most + 1):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return True
