"""How much may go on at once, for a whole endpoint and for one caller: requests, event streams, bytes held, and calls
that outlive their requests.

Theory of operation. Each of them is shared (`Quotas`): one caller has a part of it, and where some callers have
names, those without one have a part together. Who is calling is not known before the credentials are judged, so a
request counts for the network that it comes from at first. Streams and bytes are counted once that is known.

Specification: none; whatever a client can open has a bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ...logs import get_logger
from ...security.authenticator import Authenticator
from ...security.callers import caller_of, outside, unidentified
from ...security.limits import LogThrottle
from ...security.principal import Principal
from ...security.quotas import Quotas
from .answering import HeaderList, HTTPRefusal
from .head import CLOSE, Head
from .holding import MODEST, SMALL, HeldBytes, heaviest, weight
from .queueing import Queue
from .settings import Settings

log = get_logger("dovetail.http")

RETRY_SOON: Final = ((b"retry-after", b"1"),)
_REQUESTS: Final = "requests in progress"
_STREAMS: Final = "streams open"
_BYTES: Final = "bytes of messages held"
_LINGERING: Final = "calls in progress whose clients have left"
_OPTION: Final = {
    _REQUESTS: "max_requests",
    _STREAMS: "max_streams",
    _BYTES: "max_held",
    _LINGERING: "max_requests",
}


class EndpointLimits:
    """What is counted for an endpoint. ``named``: some callers have names. ``lasting`` is told of each stream, which
    may stay. ``large``: where messages that are large wait for each other.
    """

    def __init__(self, settings: Settings, authenticate: Authenticator | None = None) -> None:
        def shares(total: int, least: int = 1) -> Quotas:
            each = max(least, total * settings.caller_share // 100)
            nameless = max(least, total * settings.anonymous_share // 100)
            # Where nobody has a name, there is nobody to keep something for.
            return Quotas(total, each=each, nameless=total if authenticate is None else nameless)

        whole = heaviest(settings.body_limit)  # any message that may be sent at all can be held alone
        self._requests = shares(settings.max_requests)
        self._streams = shares(settings.max_streams)
        # Of their own: who leaves calls behind keeps nobody from making requests.
        self._lingering = shares(settings.max_requests)
        self.bytes = shares(max(settings.max_held, whole), whole)
        self._door = outside if authenticate is None else unidentified
        self._seldom = LogThrottle()
        self.large = Queue()
        self.lasting: Callable[[], None] | None = None

    @property
    def requests(self) -> int:
        """Requests in progress."""
        return self._requests.all

    @property
    def streams(self) -> int:
        """Streams that are open."""
        return self._streams.all

    def take_request(self, head: Head) -> None:
        """Count one more request. Raises `HTTPRefusal` (503) beyond the limit."""
        caller = head.caller = self._door(head.remote)
        if not self._requests.take(caller):
            raise self._refusal(_REQUESTS, self._requests, head)

    def identify(self, head: Head, principal: Principal) -> None:
        """Count a request for the one who makes it. Raises `HTTPRefusal` (503) beyond what that caller may have."""
        caller = caller_of(principal, head.remote)
        if not self._requests.move(head.caller, caller):
            raise self._refusal(_REQUESTS, self._requests, head)
        head.caller = caller

    def leave_request(self, head: Head) -> None:
        """A request is over."""
        self._requests.give_back(head.caller)
        if head.held is not None:
            head.held.release()

    def check_stream(self, head: Head) -> None:
        """Raise `HTTPRefusal` (503) when there is no place for one more stream."""
        if not self._streams.fits(head.caller):
            raise self._refusal(_STREAMS, self._streams, head)

    def take_stream(self, head: Head) -> bool:
        """Count one more stream. False beyond the limit."""
        if not self._streams.take(head.caller):
            self._note(_STREAMS, self._streams, head)
            return False
        if self.lasting is not None:
            self.lasting()
        return True

    def leave_stream(self, head: Head) -> None:
        """A stream is over."""
        self._streams.give_back(head.caller)

    @property
    def lingering(self) -> int:
        """Calls that go on though their requests are over."""
        return self._lingering.all

    def let_linger(self, head: Head) -> HeldBytes | None:
        """Count one more call that goes on though its request is over, until it is released. None beyond the limit."""
        place = HeldBytes(self._lingering, head.caller)
        if place.resize(1):
            return place
        self._note(_LINGERING, self._lingering, head)
        return None

    def check_bytes(self, head: Head, size: int) -> None:
        """Raise `HTTPRefusal` (503) where a message of so many bytes could not be held now."""
        if size > SMALL and not self.bytes.fits(head.caller, size):
            raise self.too_much(head)

    def check_besides(self, head: Head, held: int, own: int) -> None:
        """Raise `HTTPRefusal` (503) where too much is held with what is counted elsewhere, ``own`` of it the
        caller's.
        """
        if not self.bytes.fits(head.caller, held, own):
            raise self.too_much(head)

    def hold(self, head: Head, size: int) -> None:
        """Hold so many bytes for a request, in all. Raises `HTTPRefusal` (503), and the request holds what it did."""
        held = head.held
        if held is None:
            held = head.held = HeldBytes(self.bytes, head.caller)
        if not held.resize(size):
            raise self.too_much(head)

    def hold_message(self, head: Head, body: bytes) -> None:
        """Hold a whole message for its request, by its `weight`. Raises as `hold`. While there is plenty, one that is
        not large counts as the most that it could weigh, unseen: to look takes longer than to read it.
        """
        size = len(body)
        most = heaviest(size)
        unseen = size <= MODEST and self.bytes.plenty(head.caller, most)
        self.hold(head, most if unseen else weight(body))

    def too_much(self, head: Head) -> HTTPRefusal:
        """The refusal (503) of a request whose bytes can't be held."""
        return self._refusal(_BYTES, self.bytes, head, CLOSE)

    def _refusal(self, what: str, shares: Quotas, head: Head, headers: HeaderList = ()) -> HTTPRefusal:
        self._note(what, shares, head)
        text = f"the server has as many {what} as it takes, from all or from this caller; retry"
        return HTTPRefusal(503, text, headers=(*RETRY_SOON, *headers))

    def _note(self, what: str, shares: Quotas, head: Head) -> None:
        """Tell the log that there was not enough of something. Not each time."""
        if self._seldom.due((what, head.caller)):
            log.warning(
                "there are %d %s of at most %d, %d of them of a caller from %s, who is refused more (see %s, "
                "caller_share and anonymous_share); this is said once a minute",
                shares.all,
                what,
                shares.total,
                shares.of(head.caller),
                head.remote or "here",
                _OPTION[what],
            )
