"""The stateful era (2024-11-05 to 2025-11-25): one handshake, then requests both ways. State machines of
both roles.

`ServerSession` reads what a client says and makes what the server says; `ClientSession` the other way
round. Neither does I/O. What a server must remember of a session is a `SessionState`: plain data that any
process can load and save, so a session is a record and not a running task.

    server:  NEW --initialize--> OPEN --notifications/initialized (or any request)--> READY

A request before ``initialize`` (but for ``ping``) is refused; a request after it but before ``initialized``
is served, since over HTTP the two may overtake each other. Where the pages disagree on what a client does
with a version it does not speak ("SHOULD disconnect" in the text, "MUST" in schema.ts), ours disconnects.
Specification: basic/lifecycle, basic/utilities/{cancellation,ping,progress}.
"""

from collections.abc import Container
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from . import codec, messages, names
from .call import (
    Call,
    Cancellation,
    MessageRefused,
    Notification,
    Peer,
    PeerResponse,
    check_method,
    check_question,
    read_notice,
    read_params,
)
from .envelope import Kind, Message
from .errors import FeatureUnavailable, InvalidParams, InvalidRequest, LocalProtocolError, MethodNotFound
from .listening import MAX_URI, MAX_URIS
from .revisions import PROFILES, STATEFUL, Profile
from .revisions.profiles import Profiles
from .types.capabilities import ClientCapabilities, ServerCapabilities
from .types.lifecycle import InitializeParams, InitializeResult, SetLevelParams
from .types.metadata import Implementation
from .types.notifications import CancelledNotice
from .types.requests import LogLevel, Params, ProgressToken, RequestId
from .types.wire import Meta

NEW: Final = "new"
OPEN: Final = "open"
READY: Final = "ready"
MAX_SUBSCRIPTIONS: Final = 10_000
#: Bytes that a session keeps of its opening.
MAX_OPENING: Final = 64 * 1024

_NEWEST: Final = STATEFUL[-1]
_KNOWN: Final = frozenset({"", *STATEFUL})
_PHASES: Final = frozenset({NEW, OPEN, READY})
_TOKEN: Final = b'{"%b":{"%b":%%d}%%b' % (names.META.encode(), names.META_PROGRESS_TOKEN.encode())


class SessionState(Struct):
    """What has to be remembered of a session between two messages. ``kept``: what the app keeps in it, by name."""

    revision: str = ""
    phase: str = NEW
    info: Implementation | None = None
    capabilities: ClientCapabilities = ClientCapabilities()
    log_level: LogLevel | None = None
    subscriptions: set[str] = msgspec.field(default_factory=set[str])
    kept: dict[str, Raw] | UnsetType = UNSET

    def dump(self) -> bytes:
        """As bytes, for a store."""
        return codec.encode(self)

    @classmethod
    def load(cls, data: bytes) -> "SessionState":
        """From the bytes of `dump`. Raises `codec.DECODE_ERRORS`, also where another version of this software, which
        knew more revisions, wrote them.
        """
        state = _states.read(data)
        if state.revision not in _KNOWN or state.phase not in _PHASES:
            raise ValueError(
                f"a session of revision {state.revision!r} in the phase {state.phase!r} is not known here"
            )
        return state


_states: Final = codec.reader(SessionState)


class ServerSession:
    """The server's side of a session. ``changed`` is set when the state has to be saved."""

    __slots__ = ("_profiles", "changed", "state")

    def __init__(self, state: SessionState | None = None, *, profiles: Profiles = PROFILES) -> None:
        self.state = state or SessionState()
        self.changed = False
        self._profiles = profiles

    @property
    def profile(self) -> Profile:
        """The rules of the agreed revision; before that, of the newest of the era."""
        return self._profiles[self.state.revision or _NEWEST]

    @property
    def peer(self) -> Peer:
        """What the client said of itself."""
        return Peer(self.state.info, self.state.capabilities)

    def receive(self, message: Message) -> Call | Cancellation | PeerResponse | Notification:
        """Take one message from the client. Raises `MessageRefused` for an illegal one; the session stays as it was."""
        if message.kind is Kind.REQUEST:
            return self._request(message)
        if message.kind is Kind.NOTIFICATION:
            return self._notification(message)
        return PeerResponse(message.id, message.body, failed=message.kind is Kind.ERROR)

    def open(
        self,
        params: InitializeParams,
        *,
        info: Implementation,
        capabilities: ServerCapabilities,
        instructions: str | None,
        supported: Container[str] = STATEFUL,
    ) -> InitializeResult:
        """Agree on a revision and answer ``initialize``: the client's if we speak it, else our newest of the
        era.
        """
        wanted = params.protocol_version
        agreed = wanted if wanted in supported and wanted in STATEFUL else _newest(supported)
        self.state.revision = agreed
        self.state.phase = OPEN
        self.state.info = params.client_info
        self.state.capabilities = params.capabilities
        self.changed = True
        return InitializeResult(
            protocol_version=agreed, capabilities=capabilities, server_info=info, instructions=instructions
        )

    def set_level(self, params: SetLevelParams) -> None:
        """Remember the level below which the client wants no log messages."""
        self.state.log_level = params.level
        self.changed = True

    def subscribe(self, uri: str) -> None:
        """Remember that the client wants to hear of updates of a resource. Raises `InvalidParams` beyond the
        limit.
        """
        subscriptions = self.state.subscriptions
        if uri in subscriptions:
            return
        if len(uri) > MAX_URI:
            raise InvalidParams(f"a URI to subscribe to may have at most {MAX_URI} characters")
        if len(subscriptions) >= MAX_SUBSCRIPTIONS:
            raise InvalidParams(f"a session may subscribe to at most {MAX_SUBSCRIPTIONS} resources")
        # As they are kept: what has to be escaped may take six times its length.
        if len(codec.encode(subscriptions)) + len(codec.encode(uri)) > MAX_URIS:
            raise InvalidParams(
                f"the URIs that a session subscribes to may have at most {MAX_URIS} bytes together"
            )
        subscriptions.add(uri)
        self.changed = True

    def unsubscribe(self, uri: str) -> None:
        """Forget a subscription."""
        self.state.subscriptions.discard(uri)
        self.changed = True

    def ask(self, id: RequestId, method: str, params: bytes) -> bytes:
        """A request to the client. Raises `FeatureUnavailable` when the revision or the client does not have
        it.
        """
        if self.state.phase == NEW:
            raise LocalProtocolError(f"{method} can't be sent before the session is open")
        check_question(method, self.profile, self.state.capabilities)
        return messages.request(id, method, params)

    def _request(self, message: Message) -> Call:
        state, id = self.state, message.id
        if id is None:
            raise _without_id()
        if message.method == names.INITIALIZE:
            if state.phase != NEW:
                raise MessageRefused(InvalidRequest("the session is already initialized"), id)
            if len(memoryview(message.params)) > MAX_OPENING:
                raise MessageRefused(InvalidParams(f"initialize may have at most {MAX_OPENING} bytes"), id)
        elif state.phase == NEW and message.method not in self._profiles.early:
            raise MessageRefused(
                InvalidRequest(
                    f"{message.method[:128]} came before initialize; open the session first, or send the request "
                    f"with the revision in _meta"
                ),
                id,
            )
        elif state.phase == OPEN and message.method not in self._profiles.early:
            self._ready()
        profile = self._profiles[state.revision or _NEWEST]
        method = profile.client_requests.get(message.method)
        if method is None:
            raise MessageRefused(MethodNotFound(f"there is no method {message.method[:128]!r}"), id)
        params = read_params(message, method.params)
        peer = Peer(state.info, state.capabilities)
        return Call(id, message.method, params, message, profile, peer, state.log_level)

    def _notification(self, message: Message) -> Cancellation | Notification:
        notice = self.profile.client_notices.get(message.method)
        params = read_notice(message, notice)
        if message.method == names.NOTIFY_INITIALIZED:
            if self.state.phase == NEW:
                raise MessageRefused(
                    InvalidRequest("notifications/initialized before initialize"), silent=True
                )
            self._ready()
        if isinstance(params, CancelledNotice):
            if params.request_id is None:
                raise MessageRefused(InvalidParams("a cancellation names a request"), silent=True)
            return Cancellation(params.request_id, params.reason)
        return Notification(message.method, params)

    def _ready(self) -> None:
        if self.state.phase != READY:
            self.state.phase = READY
            self.changed = True


class ClientSession:
    """The client's side of a session: makes requests that the agreed revision and the server's capabilities
    allow.
    """

    def __init__(
        self, info: Implementation, capabilities: ClientCapabilities, profiles: Profiles = PROFILES
    ) -> None:
        self.info = info
        self.capabilities = capabilities
        self._profiles = profiles
        self.profile: Profile = profiles[STATEFUL[-1]]
        self.server: InitializeResult | None = None

    def initialize(self, revision: str | None = None) -> InitializeParams:
        """The parameters of the opening request; the newest revision of the era unless told otherwise."""
        self.profile = self._profiles[revision or STATEFUL[-1]]
        return InitializeParams(
            protocol_version=self.profile.revision, capabilities=self.capabilities, client_info=self.info
        )

    def opened(self, result: InitializeResult, supported: Container[str] = STATEFUL) -> None:
        """Take the server's answer. Raises `FeatureUnavailable` when it chose a revision we do not speak:
        disconnect then.
        """
        chosen = result.protocol_version
        if chosen not in supported or chosen not in STATEFUL:
            raise FeatureUnavailable(f"the server speaks revision {chosen!r}, which this client does not")
        self.profile = self._profiles[chosen]
        self.server = result

    def request(
        self,
        id: RequestId,
        method: str,
        params: Params,
        meta: Meta | None = None,
        *,
        progress_token: ProgressToken | None = None,
    ) -> bytes:
        """A request as bytes. Raises `FeatureUnavailable` when revision or server do not have the method."""
        if method != names.INITIALIZE:
            check_method(method, self.profile, self.server and self.server.capabilities, self._profiles)
        data = self.profile.encode(params)
        if progress_token is None:
            return messages.request(id, method, _with_meta(data, meta))
        if meta or type(progress_token) is not int:
            return messages.request(
                id, method, _with_meta(data, {**(meta or {}), names.META_PROGRESS_TOKEN: progress_token})
            )
        rest = b"}" if len(data) == 2 else b"," + data[1:]
        return messages.request(id, method, _TOKEN % (progress_token, rest))

    def notification(self, method: str, params: Any = None) -> bytes:
        """A notification as bytes."""
        return messages.notification(method, b"" if params is None else self.profile.encode(params))

    def receive(self, message: Message) -> Call | PeerResponse | Notification | Cancellation:
        """Take one message from the server: its questions come as `Call`s. Raises `MessageRefused`."""
        if message.kind is Kind.REQUEST:
            id = message.id
            if id is None:
                raise _without_id()
            method = self.profile.server_requests.get(message.method)
            if method is None:
                raise MessageRefused(MethodNotFound(f"there is no method {message.method[:128]!r}"), id)
            params = read_params(message, method.params)
            return Call(id, message.method, params, message, self.profile, Peer())
        if message.kind is Kind.NOTIFICATION:
            params = read_notice(message, self.profile.server_notices.get(message.method))
            if isinstance(params, CancelledNotice) and params.request_id is not None:
                return Cancellation(params.request_id, params.reason)
            return Notification(message.method, params)
        return PeerResponse(message.id, message.body, failed=message.kind is Kind.ERROR)


def _without_id() -> MessageRefused:
    return MessageRefused(InvalidRequest("a request needs an id"))


def _with_meta(params: bytes, meta: Meta | None) -> bytes:
    """Encoded parameters with a ``_meta`` in front."""
    return params if not meta else messages.join(codec.encode({names.META: meta}), params)


def _newest(supported: Container[str]) -> str:
    for revision in reversed(STATEFUL):
        if revision in supported:
            return revision
    raise LocalProtocolError("no revision of the stateful era is supported here")
