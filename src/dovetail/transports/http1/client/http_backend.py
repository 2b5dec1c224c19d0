"""The contract between our HTTP transports and whatever library moves the bytes.

Theory of operation. A backend sends one request and gives back the response as soon as its headers are there;
the body comes in pieces as it arrives. It keeps connections alive, follows no redirect, keeps no cookie,
reads no ``.netrc``, and sends nothing twice that it was not told may be sent twice. Everything else, from
content types to sessions, is decided above it.

Errors cross the contract as members of `protocol.errors`: `ConnectFailed` when nothing was sent (`ConnectRefused`
when nobody listens there), `ConnectionLost` when the request may have arrived, `Closed` after
`HTTPBackend.close`.
Specification: RFC 9110 and RFC 9112; 2025-11-25 basic/transports and 2026-07-28
basic/transports/streamable-http build on them.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from ....protocol.errors import ConnectFailed

__all__ = ["BackendResponse", "ConnectRefused", "HTTPBackend", "Headers", "WholeResponse"]

Headers = Sequence[tuple[str, str]]
"""Names and values of request headers, in order."""


class ConnectRefused(ConnectFailed):
    """The host said at once that nobody listens there: the server is not running."""


class BackendResponse(Protocol):
    """A response whose headers are there and whose body is on its way."""

    @property
    def status(self) -> int:
        """The status code."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers by lower-case name; values of one that came several times are joined by ``, ``."""
        ...

    async def read(self) -> bytes:
        """Bytes of the body as they come, decoded if they were compressed; empty at the end.

        Raises `ConnectionLost` if the body is cut off.
        """
        ...

    @property
    def ended(self) -> bool:
        """Whether the whole body is there and read; the connection is then free for the next request."""
        ...

    def close(self) -> None:
        """Let go. If the body has not ended, the connection is closed, which tells the server. Idempotent."""
        ...


class WholeResponse(BackendResponse, Protocol):
    """A response that can also be asked for its body without any wait. None has to be able to."""

    def whole(self, most: int) -> bytes | None:
        """What is left of the body, if all of it is there, as it was sent, in ``most`` bytes at most.

        None where it is not so, or where nothing is left: `read` says what is the matter.
        """
        ...


class HTTPBackend(Protocol):
    """An HTTP client. One per event loop."""

    async def request(
        self, method: str, url: str, headers: Headers, body: bytes | None = None, *, repeatable: bool = False
    ) -> BackendResponse:
        """Send a request and await the headers of its response.

        ``repeatable``: the request may be sent once more if the connection ended before any answer. Without
        it a request is sent at most once. Raises `ConnectFailed`, `ConnectionLost` or `Closed`.
        """
        ...

    async def close(self) -> None:
        """Close all connections; requests that are open fail. Idempotent."""
        ...
