"""The requests of one client of Streamable HTTP: what is on each, and what a refusal means.

Theory of operation. `RequestSender` keeps what every request repeats: the session that the server named, which is
never shown, and the revision in use. Messages are opened here as they come in, so that the tap sees all of
them.
Specification: 2025-11-25 basic/transports, "Session Management", "Protocol Version Header"; 2026-07-28
basic/transports/streamable-http.
"""

from collections.abc import Awaitable
from typing import Final

from ...protocol import envelope, names
from ...protocol.bindings.headers import is_session_id
from ...protocol.envelope import Malformed, Message
from ...protocol.errors import RemoteProtocolError, SessionEnded, TransportError
from ...runtime import tap
from ..client_transport import Outgoing
from ..http1.client.http_backend import Headers
from ..shared_channel import link
from . import answers
from .answers import EndpointResponse
from .endpoint import HTTPEndpoint

__all__ = ["RequestSender"]

_MEDIA: Final = (
    ("accept", f"{names.MEDIA_JSON}, {names.MEDIA_SSE}"),
    ("content-type", names.MEDIA_JSON),
)
_NAME: Final = "http"
#: Sets of headers that are kept, and characters of their values beyond those that all have.
_MAX_KEPT: Final = 64
_MAX_MIRRORS: Final = 2048
_HeaderKey = tuple[str | None, str, tuple[tuple[str, str], ...]]


class RequestSender:
    """POST, GET and DELETE to one endpoint. ``session``: as the server named it, or None."""

    def __init__(self, endpoint: HTTPEndpoint) -> None:
        self.endpoint: Final = endpoint
        self.session: str | None = None
        self.revision = ""
        self._link = link(_NAME)
        self._headers: dict[_HeaderKey, Headers] = {}

    def post(self, out: Outgoing, session: str | None) -> Awaitable[EndpointResponse]:
        """Send a message."""
        if tap.listeners:
            tap.note(self._link, "client", True, _NAME, out.data, out.revision or None)
        if out.revision and not out.stateless:
            self.revision = out.revision
        key = (None if out.stateless else session, out.revision, out.headers)
        headers = self._headers.get(key) or self._headers_of(key)
        return self.endpoint.request("POST", headers, out.data, repeatable=out.repeatable)

    def _headers_of(self, key: _HeaderKey) -> Headers:
        """The headers of a message; kept for those like it, of which there are few."""
        session, revision, mirrors = key
        headers = (*self._marks(session, revision), *_MEDIA, *mirrors)
        if len(self._headers) >= _MAX_KEPT:
            self._headers.clear()
        if sum(len(value) for _, value in mirrors) <= _MAX_MIRRORS:
            self._headers[key] = headers
        return headers

    async def get(self, session: str | None, last_event_id: str, revision: str) -> EndpointResponse:
        """Ask for an event stream: the standalone one, or another from its last event on."""
        headers = [*self._marks(session, revision), ("accept", names.MEDIA_SSE)]
        if last_event_id:
            headers.append((names.HEADER_LAST_EVENT_ID, last_event_id))
        return await self.endpoint.request("GET", headers)

    async def delete(self, session: str) -> EndpointResponse:
        """End a session."""
        return await self.endpoint.request("DELETE", self._marks(session, self.revision), repeatable=True)

    def _marks(self, session: str | None, revision: str) -> list[tuple[str, str]]:
        """The headers that name the revision and the session, where there are any."""
        marks: list[tuple[str, str]] = []
        if revision:
            marks.append((names.HEADER_PROTOCOL_VERSION, revision))
        if session is not None:
            marks.append((names.HEADER_SESSION, session))
        return marks

    def take_session(self, answer: EndpointResponse) -> str | None:
        """The session that an answer to ``initialize`` names; it is kept."""
        session = answer.headers.get(names.HEADER_SESSION)
        if session is not None and not is_session_id(session):
            raise RemoteProtocolError(
                f"{self.endpoint.shown} named a session by something that is no legal session id"
            )
        self.session = session
        return session

    def noted(self, data: bytes, revision: str) -> None:
        """Show the tap a message that came in."""
        if tap.listeners:
            tap.note(self._link, "client", False, _NAME, data, revision or None)

    def opened(self, data: bytes, revision: str) -> Message:
        """A message that came in: most often a response. Raises `RemoteProtocolError` if it is none."""
        if tap.listeners:
            self.noted(data, revision)
        try:
            return envelope.read(data, answer=True)
        except Malformed as problem:
            raise answers.malformed(self.endpoint.shown, problem) from None

    async def refused(
        self, answer: EndpointResponse, session: str | None, body: bytes | None = None
    ) -> TransportError:
        """The error that an answer amounts to; to a request that named a session, 404 says that it is gone. So does 400
        where its body speaks of the session: that is how servers with sessions in a table answer after a restart.
        """
        if session is not None and answer.status == 400 and body is None:
            body = await answers.read_refusal(answer)
        if session is not None and (
            answer.status == 404 or (answer.status == 400 and answers.denies_session(body or b""))
        ):
            answer.close()
            return SessionEnded(
                f"{self.endpoint.shown} no longer knows our session (HTTP {answer.status});"
                " a new one has to be opened"
            )
        return await self.endpoint.refused(answer, body, secret=self.session or "")
