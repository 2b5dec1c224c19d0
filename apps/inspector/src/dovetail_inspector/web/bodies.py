"""How much of a request's body is read, and for how long.

Theory of operation. What the page sends is small, but for captures; who has no cookie yet sends a token, and nothing
else. A length that is told is refused before a byte is read, one that is not once it is too long; so is a body that
comes by drops, since each request that is waited for holds a connection.

Specification: RFC 9110, "408 Request Timeout" and "413 Content Too Large".
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from starlette.exceptions import HTTPException

__all__ = ["bounded"]

_TOKEN: Final = 4 * 1024
_SMALL: Final = 16 * 1024 * 1024
_CAPTURE: Final = 256 * 1024 * 1024
_MOST: Final = {"/api/session": _TOKEN, "/api/captures": _CAPTURE}
_PATIENCE: Final = 20.0
"""Seconds between two pieces of a body; the whole of a small one has so many."""


def bounded(scope: Any, receive: Any) -> Any:
    """``receive`` of an ASGI application, for a request of which so much is read.

    What it gives raises `HTTPException` (413, 408) where a body is too long or too slow.
    """
    most = _MOST.get(scope["path"], _SMALL)
    length, whole, until = 0, False, 0.0

    async def received() -> Any:
        nonlocal length, whole, until
        if whole:
            return await receive()  # that the client went away, whenever that is
        if not length and _declared(scope) > most:
            raise HTTPException(413, f"a request here has at most {most:,} bytes")
        now = asyncio.get_running_loop().time()
        if not until or most == _CAPTURE:
            until = now + _PATIENCE
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, "the body of the request did not come") from None
        length += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if length > most:
            raise HTTPException(413, f"a request here has at most {most:,} bytes")
        return message

    return received


def _declared(scope: Any) -> int:
    """The length that a request says it has; 0 for none that can be read, which the server refuses by itself."""
    given = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return int(given) if given.isdigit() and len(given) < 20 else 0
