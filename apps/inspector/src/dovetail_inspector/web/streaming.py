"""The stream of events: server-sent events with the number of each as its id, so that a browser goes on where it was.

Specification: HTML, "Server-sent events".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ..events import Events, InspectorEvent

__all__ = ["event_stream"]

_QUIET: Final = 15.0
"""Seconds after which a comment is sent, so that whoever is between keeps the connection."""
_PIECE: Final = 64 * 1024
"""Bytes that are written at once, more or less: who reads slowly holds no more of them than that."""


def event_stream(
    events: Events,
    request: Request,
    followed: Callable[[], AbstractContextManager[None]],
    ended: asyncio.Event,
) -> Response:
    """The answer to a request for events: ``after`` in its query, or the header ``Last-Event-ID``, says after which.
    ``followed``: entered while somebody reads; ``ended``: set when there will be no more.
    """
    given = request.headers.get("last-event-id") or request.query_params.get("after", "0")
    after = int(given) if given.isdecimal() and len(given) < 16 else 0
    return _EventStream(followed, _lines(events, after, ended))


class _EventStream(StreamingResponse):
    def __init__(
        self, followed: Callable[[], AbstractContextManager[None]], lines: AsyncIterator[bytes]
    ) -> None:
        super().__init__(lines, media_type="text/event-stream", headers={"cache-control": "no-store"})
        self._followed: Final = followed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._followed():  # at once, so that those that are counted are those that are answered
            await super().__call__(scope, receive, send)


async def _lines(events: Events, after: int, ended: asyncio.Event) -> AsyncIterator[bytes]:
    watching = events.watch(after)
    waiting = asyncio.ensure_future(anext(watching, None))
    over = asyncio.ensure_future(ended.wait())
    try:
        yield b"retry: 500\n\n"
        while not over.done():
            await asyncio.wait((waiting, over), timeout=_QUIET, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                if not over.done():
                    yield b": still here\n\n"
                continue
            found = waiting.result()
            if found is None:
                return
            for piece in _pieces(found):
                yield piece
            waiting = asyncio.ensure_future(anext(watching, None))
    finally:
        waiting.cancel()
        over.cancel()


def _pieces(found: list[InspectorEvent]) -> Iterator[bytes]:
    gathered: list[bytes] = []
    length = 0
    for each in found:
        gathered.append(_text(each))
        length += len(gathered[-1])
        if length > _PIECE:
            yield b"".join(gathered)
            gathered, length = [], 0
    if gathered:
        yield b"".join(gathered)


def _text(event: InspectorEvent) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.seq, event.type.encode(), event.data)
