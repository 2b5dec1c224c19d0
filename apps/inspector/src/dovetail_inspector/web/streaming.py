"""The stream of events: server-sent events with the number of each as its id, so that a browser goes on where it was.

Specification: HTML, "Server-sent events".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ..events import Events, InspectorEvent

__all__ = ["event_stream"]

_QUIET: Final = 15.0
"""Seconds after which a comment is sent, so that whoever is between keeps the connection."""


def event_stream(events: Events, request: Request) -> Response:
    """The answer to a request for events: ``after`` in its query, or the header ``Last-Event-ID``, says after which."""
    given = request.headers.get("last-event-id") or request.query_params.get("after", "0")
    after = int(given) if given.isdecimal() and len(given) < 16 else 0
    return StreamingResponse(
        _lines(events, after), media_type="text/event-stream", headers={"cache-control": "no-store"}
    )


async def _lines(events: Events, after: int) -> AsyncIterator[bytes]:
    yield b"retry: 500\n\n"
    watching = events.watch(after)
    waiting = asyncio.ensure_future(anext(watching, None))
    try:
        while True:
            done, _ = await asyncio.wait((waiting,), timeout=_QUIET)
            if not done:
                yield b": still here\n\n"
                continue
            found = waiting.result()
            if found is None:
                return
            yield b"".join(_text(each) for each in found)
            waiting = asyncio.ensure_future(anext(watching, None))
    finally:
        waiting.cancel()


def _text(event: InspectorEvent) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.seq, event.type.encode(), event.data)
