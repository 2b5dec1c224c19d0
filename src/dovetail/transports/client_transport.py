"""What the client core asks of a transport, and what a transport asks of the core.

A transport moves whole messages and matches responses to requests; it knows nothing of eras beyond what
`Outgoing` tells it. The core makes ids, deadlines, cancellations and meaning. Errors leave it as
members of `protocol.errors` only. Specification: basic/transports.
"""

from typing import Protocol

from msgspec import Struct

from ..protocol.envelope import Message
from ..protocol.errors import DovetailError
from ..protocol.types.requests import RequestId


class Outgoing(Struct, frozen=True):
    """One message on its way out.

    ``id`` is None for notifications and responses, ``method`` is empty for responses. ``revision`` is what
    the version header says, empty before it is known. ``headers`` are those that mirror parts of the body
    (stateless era over HTTP). ``repeatable``: it changes nothing, or the same thing however often it arrives.
    """

    data: bytes
    id: RequestId | None
    method: str
    stateless: bool
    revision: str
    headers: tuple[tuple[str, str], ...] = ()
    repeatable: bool = False


class ReceivedResponse(Struct, frozen=True):
    """The response to a request: a message of kind RESULT or ERROR, and the HTTP status it came with."""

    message: Message
    status: int | None = None


class Receiver(Protocol):
    """The client core, as a transport sees it."""

    async def message(self, message: Message, related: RequestId | None) -> None:
        """Take anything but an awaited response. ``related``: the request on whose stream it came. Returns
        soon.
        """
        ...

    def missed(self) -> None:
        """Messages that belong to no request may have been lost: nobody knows what changed. Returns soon."""
        ...

    def lost(self, error: DovetailError) -> None:
        """The connection as a whole is gone. Called at most once."""
        ...


class Transport(Protocol):
    """Bytes to and from one server.

    ``shared`` says that all messages use one channel (stdio, memory, unix lines, HTTP+SSE), so that giving
    up a request takes a notification in both eras. ``http`` says that messages map onto HTTP.
    """

    @property
    def name(self) -> str:
        """A word for errors and the tap."""
        ...

    @property
    def http(self) -> bool:
        """Whether messages map onto HTTP requests."""
        ...

    @property
    def shared(self) -> bool:
        """Whether all messages use one channel."""
        ...

    async def open(self, receiver: Receiver) -> None:
        """Connect. Raises `ConnectFailed`."""
        ...

    async def request(self, out: Outgoing) -> ReceivedResponse:
        """Send a request and await its response. Raises `TransportError`; a cancelled await abandons the
        request.
        """
        ...

    async def send(self, out: Outgoing) -> None:
        """Send a notification or a response. Raises `TransportError`."""
        ...

    async def listen(self) -> None:
        """Open the standalone stream of the stateful era over HTTP, in the background. A no-op elsewhere."""
        ...

    async def end_session(self) -> None:
        """Tell the server that the session is over (HTTP DELETE). A no-op elsewhere."""
        ...

    async def close(self) -> None:
        """Let go of everything. Idempotent, always ends, from any task."""
        ...

    def describe(self) -> str:
        """The URL or the command, for error messages. No secrets."""
        ...
