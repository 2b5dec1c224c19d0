"""The body of a request, read within its bounds: its size, its time, and what may be held of all bodies together.

A small body that came whole is only handed on. Any other is held from the first part on, so that those which never end
are bounded together; it stays held until the request is over, and whatever that began. A large one waits for its turn
before it is handed on: see `queueing`.
Specification: RFC 9110, sections 15.5.9 (408), 15.5.14 (413) and 15.6.4 (503).
"""

from __future__ import annotations

import asyncio

from .answering import Event, HTTPRefusal, Receive
from .head import CLOSE, Head, too_large
from .holding import SMALL
from .limits import EndpointLimits
from .queueing import LARGE
from .watching import RequestWatch


class ClientDisconnected(Exception):
    """The client went away before its request was whole."""


async def read_body(
    receive: Receive, limit: int, watch: RequestWatch, head: Head, limits: EndpointLimits
) -> bytes:
    """The body. Raises `HTTPRefusal` (413 too large, 408 too slow, 503 too much is held) and `ClientDisconnected`."""
    try:
        event = await receive()
        if event["type"] != "http.request":
            raise ClientDisconnected
        body: bytes = event.get("body", b"")
        if event.get("more_body", False):
            body = await read_rest(receive, event, limit, head, limits)
    except asyncio.CancelledError:
        if watch.take_late():
            raise HTTPRefusal(408, "the body took too long to arrive", headers=CLOSE) from None
        raise
    if len(body) > SMALL or len(body) > limit:
        if len(body) > limit:
            raise too_large(limit)
        limits.hold_message(head, body)
        if len(body) > LARGE:
            watch.body_read()
            await limits.large.turn()
    return body


async def read_rest(receive: Receive, event: Event, limit: int, head: Head, limits: EndpointLimits) -> bytes:
    """The body of which ``event`` is the first part. Raises `HTTPRefusal` (413 and 503) and `ClientDisconnected`."""
    arrived = bytearray(event.get("body", b""))  # a list of parts would take far more, if they are tiny
    while event.get("more_body", False):
        if len(arrived) > limit:
            raise too_large(limit)
        if len(arrived) > SMALL:
            limits.hold(head, len(arrived))
        event = await receive()
        if event["type"] != "http.request":
            raise ClientDisconnected
        arrived += event.get("body", b"")
    if len(arrived) > limit:
        raise too_large(limit)
    return bytes(arrived)
