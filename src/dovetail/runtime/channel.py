"""The way back from a running call to whoever made it.

A transport gives each call a `Channel`: where its notifications go, how its questions travel (in the
stateful era), who is calling. A plain call never touches it.
"""

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Raw

from ..protocol.errors import FeatureUnavailable
from ..protocol.session import ServerSession
from ..security.principal import ANONYMOUS, Principal

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Channel:
    """What a transport provides to a call; this one goes nowhere.

    ``headers`` are the HTTP request's, names in lower case; empty elsewhere. ``remote`` is the peer's
    address, None on transports that have none. ``session`` is the session of the stateful era.
    """

    principal: Principal = ANONYMOUS
    transport: str = ""
    remote: str | None = None
    headers: Mapping[str, str] = _NO_HEADERS
    session: ServerSession | None = None

    @property
    def shared(self) -> bool:
        """Whether messages of other calls travel on the same channel (stdio), so that endings must be told in
        words.
        """
        return False

    async def emit(self, message: bytes) -> None:
        """Send a notification that belongs to the call. Waits while the peer is slow; drops it once the call
        has ended.
        """

    async def ask(self, method: str, params: bytes) -> Raw:
        """Send a request to the client and wait for its result. Raises the client's `RPCError`, or
        `FeatureUnavailable`.
        """
        raise FeatureUnavailable(f"{method} can't be sent to this client: there is no way back to it")

    async def close_stream(self, retry: float | None = None) -> None:
        """Where streams can be resumed, close the connection now and let the client come back for the rest.

        ``retry``: after how many seconds. Elsewhere this does nothing. Specification: 2025-11-25,
        basic/transports.
        """
