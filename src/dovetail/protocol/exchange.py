"""The stateless era (since 2026-07-28): every request stands alone. A judge of single requests, and their
maker.

`Exchange.judge` takes one opened message and either makes a `Call` of it or raises the one right error, on
a ladder whose rungs come in the order of the specification: shape, ``_meta``, revision, headers against
body, method. Nothing is remembered from one request to the next. `ClientExchange` makes requests that carry
what the judge wants to see.

Decisions where the pages leave room: a body with a modern ``_meta`` is judged here whatever the headers
say, so a missing version header is a mismatch and never "2025-03-26" (basic/transports/streamable-http
allows that reading only to servers that assume an old client). ``initialize`` with a modern ``_meta`` is an
unknown method of this era, not a handshake. Specification: basic/index "_meta", basic/versioning,
basic/transports/streamable-http "Server Validation".
"""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import UNSET, Struct, field

from . import codec, messages, names
from .call import (
    Call,
    Cancellation,
    MessageRefused,
    Notification,
    Peer,
    PeerResponse,
    check_method,
    clipped,
    read_notice,
    read_params,
)
from .envelope import Kind, Message
from .errors import InvalidParams, InvalidRequest, MethodNotFound, UnsupportedVersion
from .revisions import PROFILES, STATELESS, Profile
from .revisions.profiles import Profiles
from .types.capabilities import ClientCapabilities, ServerCapabilities
from .types.lifecycle import DiscoverResult
from .types.metadata import Implementation
from .types.notifications import CancelledNotice
from .types.requests import LOG_LEVELS, LogLevel, Params, ProgressToken, RequestId
from .types.wire import Meta

_CLAIM: Final = names.META_PROTOCOL_VERSION.encode()
_PREFIX: Final = names.META_PREFIX.encode()
_BACKSLASH: Final = ord("\\")


class _PeekMeta(Struct, frozen=True):
    revision: Any = field(default=UNSET, name=names.META_PROTOCOL_VERSION)
    capabilities: Any = field(default=UNSET, name=names.META_CLIENT_CAPABILITIES)
    log_level: Any = field(default=None, name=names.META_LOG_LEVEL)


class _RequestPeek(Struct, frozen=True):
    meta: _PeekMeta | None = field(default=None, name=names.META)


def claimed_revision(message: Message) -> str | None:
    """The revision that a message's ``_meta`` names: its presence puts a request into the stateless era.

    Never raises; what is unreadable claims nothing.
    """
    if message.whole is not None:
        return None if message.whole.meta is None else message.whole.meta.protocol_version
    meta = _peek(message)
    return meta.revision if meta is not None and isinstance(meta.revision, str) else None


def _peek(message: Message) -> _PeekMeta | None:
    raw = message.params
    try:
        return codec.reader(_RequestPeek).read(raw).meta if raw else None
    except codec.DECODE_ERRORS:
        return None


def belongs(message: Message, data: bytes | None = None) -> bool:
    """Whether a message opens a request of the stateless era, on a channel that carries both: its ``_meta`` has what
    every request of that era has, and no other. Right or wrong: one that lacks half of it is an invalid request of
    that era.

    ``data``, all of the message: one without such a name claims nothing, unless it may be written with escapes, and
    need not be read for this.
    """
    if message.method == names.DISCOVER:
        return True
    if message.whole is not None:
        read = message.whole.meta
        if read is None:
            return False
        if read.protocol_version is not None or read.client_capabilities is not None:
            return True
        if message.data.find(_CLAIM) < 0:
            return False
    elif data is not None and data.find(_PREFIX) < 0 and _BACKSLASH not in data:
        return False
    meta = _peek(message)
    return meta is not None and not (meta.revision is UNSET and meta.capabilities is UNSET)


class Exchange:
    """The server's judge. ``supported`` are the revisions of the era that the server speaks, newest last."""

    def __init__(
        self,
        supported: Sequence[str] = STATELESS,
        *,
        announced: Sequence[str] | None = None,
        profiles: Profiles = PROFILES,
    ) -> None:
        self._profiles = {revision: profiles[revision] for revision in supported}
        self._readers = {
            revision: {name: codec.reader(each.params).read for name, each in profile.client_requests.items()}
            for revision, profile in self._profiles.items()
        }
        self._announced = list(announced if announced is not None else supported)

    def judge(self, message: Message, header_revision: str | None = None) -> Call:
        """A `Call` of a request, or `MessageRefused` with the answer. ``header_revision``: what the HTTP header
        says, if HTTP.
        """
        id = message.id
        if message.kind is not Kind.REQUEST or id is None:
            raise MessageRefused(InvalidRequest("a request is expected here"), id)
        revision, whole = header_revision, message.whole
        if revision is None and whole is not None and whole.meta is not None:  # on a pipe, it alone says it
            revision = whole.meta.protocol_version
        profile = None if revision is None else self._profiles.get(revision)
        if profile is None:
            return self._judge_slowly(message, id)
        params = whole or self._plainly_read(message, profile.revision)
        if params is None:
            return self._judge_slowly(message, id)
        meta = params.meta
        if meta is None or meta.protocol_version != profile.revision or meta.client_capabilities is None:
            return self._judge_slowly(message, id)
        peer = Peer(meta.client_info, meta.client_capabilities)
        return Call(id, message.method, params, message, profile, peer, meta.log_level)

    def _plainly_read(self, message: Message, revision: str) -> Params | None:
        read = self._readers[revision].get(message.method)
        try:
            return None if read is None else read(message.given)
        except codec.DECODE_ERRORS:
            return None

    def _judge_slowly(self, message: Message, id: RequestId) -> Call:
        """The ladder, one rung at a time: taken by every request that is not plainly right."""
        profile = self._profile(message, id)
        method = profile.client_requests.get(message.method)
        if method is None:
            raise MessageRefused(
                MethodNotFound(f"there is no method {message.method[:128]!r} in {profile.revision}"), id
            )
        params = self._read(message, method.params)
        meta = params.meta
        if meta is None or meta.client_capabilities is None:
            raise MessageRefused(self._missing(names.META_CLIENT_CAPABILITIES), id)
        peer = Peer(meta.client_info, meta.client_capabilities)
        return Call(id, message.method, params, message, profile, peer, meta.log_level)

    def _profile(self, message: Message, id: RequestId) -> Profile:
        try:
            raw = message.params
            meta = codec.reader(_RequestPeek).read(raw if raw else b"{}").meta
        except codec.DECODE_ERRORS as problem:
            raise MessageRefused(InvalidParams(f"_meta is malformed: {clipped(problem)}"), id) from None
        if meta is None or meta.revision is UNSET:
            raise MessageRefused(self._missing(names.META_PROTOCOL_VERSION), id)
        if not isinstance(meta.revision, str):
            raise MessageRefused(self._missing(names.META_PROTOCOL_VERSION, "has no text as"), id)
        profile = self._profiles.get(meta.revision)
        if profile is None:
            raise MessageRefused(self.unsupported(meta.revision), id)
        if meta.capabilities is UNSET:
            raise MessageRefused(self._missing(names.META_CLIENT_CAPABILITIES), id)
        if not isinstance(meta.capabilities, dict):
            raise MessageRefused(self._missing(names.META_CLIENT_CAPABILITIES, "has no object as"), id)
        if meta.log_level is not None and meta.log_level not in LOG_LEVELS:
            raise MessageRefused(
                InvalidParams(f"{names.META_LOG_LEVEL} must be one of {', '.join(LOG_LEVELS)}"), id
            )
        return profile

    def _read(self, message: Message, kind: type[Params]) -> Params:
        try:
            return read_params(message, kind)
        except MessageRefused:
            self._profile(
                message, message.id or 0
            )  # a fault in _meta is named before one in the other parameters
            raise

    def unsupported(self, requested: str) -> UnsupportedVersion:
        """The error for a revision that the server does not speak; names those it speaks, of both eras."""
        return UnsupportedVersion(
            f"revision {requested[:64]!r} is not supported here; supported: {', '.join(self._announced)}",
            data={"supported": self._announced, "requested": requested[:64]},
        )

    def _missing(self, key: str, how: str = "lacks") -> InvalidParams:
        older = any(revision not in self._profiles for revision in self._announced)
        opening = "; in the earlier ones initialize comes first" if older else ""
        return InvalidParams(
            f"params._meta {how} {key!r}, which every request carries; "
            f"supported revisions: {', '.join(self._announced)}{opening}",
            data={"supported": self._announced, "missing": key},
        )


_MAX_SAID: Final = 64
_EMPTY: Final = len(b"{}")
#: What most callers of a proxy can do, and how it is written.
_NOTHING: Final = ClientCapabilities()
_NONE: Final = codec.encode(_NOTHING)
_META_MEMBER: Final = b'{"%b":%%b}' % names.META.encode()
#: Members of `_meta` that a request has from its maker alone.
_FILLED: Final = frozenset(
    {
        names.META_PROTOCOL_VERSION,
        names.META_CLIENT_INFO,
        names.META_CLIENT_CAPABILITIES,
        names.META_LOG_LEVEL,
    }
)


class ClientExchange:
    """The client's maker of requests. ``revision`` is the one to speak; ``server`` is known after discovery."""

    def __init__(
        self,
        info: Implementation,
        capabilities: ClientCapabilities,
        revision: str = STATELESS[-1],
        profiles: Profiles = PROFILES,
    ) -> None:
        self.info = info
        self.capabilities = capabilities
        self.server: DiscoverResult | None = None
        self._profiles = profiles
        self.profile: Profile = profiles[revision]
        self._constant = self._head = b""
        self._patterns: dict[tuple[str, bytes], bytes] = {}
        self._patterns_for: DiscoverResult | None = None
        self._said: dict[bytes, bytes] = {}
        self.speak(revision)

    def speak(self, revision: str) -> None:
        """Use this revision from now on."""
        self._said.clear()
        self._patterns.clear()
        self.profile = self._profiles[revision]
        members = {
            names.META_PROTOCOL_VERSION: revision,
            names.META_CLIENT_INFO: self.profile.projection.apply(self.info),
            names.META_CLIENT_CAPABILITIES: self.profile.projection.apply(self.capabilities),
        }
        self._constant = codec.encode(members)
        self._head = _META_MEMBER % self._constant

    def _saying(self, capabilities: ClientCapabilities) -> bytes:
        """What is constant in the ``_meta`` of requests that announce these capabilities."""
        key = codec.encode(capabilities)
        found = self._said.get(key)
        if found is not None:
            return found
        members = {
            names.META_PROTOCOL_VERSION: self.profile.revision,
            names.META_CLIENT_INFO: self.profile.projection.apply(self.info),
            names.META_CLIENT_CAPABILITIES: self.profile.projection.apply(capabilities),
        }
        if len(self._said) >= _MAX_SAID:
            self._said.clear()
        found = self._said[key] = codec.encode(members)
        return found

    def choose(self, supported: Sequence[str], ours: Sequence[str] = STATELESS) -> str | None:
        """The newest revision of the era that both sides speak, or None."""
        return next((revision for revision in reversed(ours) if revision in supported), None)

    def request(
        self,
        id: RequestId,
        method: str,
        params: Params,
        meta: Meta | None = None,
        *,
        progress_token: ProgressToken | None = None,
        log_level: LogLevel | None = None,
        capabilities: ClientCapabilities | None = None,
    ) -> bytes:
        """A request as bytes, its ``_meta`` complete. ``capabilities``: what is announced in it, in place of our own.

        Raises `FeatureUnavailable` as `check_method` does.
        """
        if type(progress_token) is int and type(id) is int and not meta and log_level is None:
            said = (
                b""
                if capabilities is None
                else _NONE
                if capabilities == _NOTHING
                else codec.encode(capabilities)
            )
            pattern = self._patterns.get((method, said)) if self._patterns_for is self.server else None
            pattern = pattern or self._pattern(method, capabilities, said)
            body = self.profile.encode(params)
            if len(body) > _EMPTY:
                return pattern % (id, progress_token, memoryview(body)[1:])
        self._check(method)
        own: Meta = {}
        if meta:
            own = {key: item for key, item in meta.items() if key not in _FILLED}
        if progress_token is not None:
            own[names.META_PROGRESS_TOKEN] = progress_token
        if log_level is not None:
            own[names.META_LOG_LEVEL] = log_level
        if capabilities is not None:
            head = _META_MEMBER % messages.join(self._saying(capabilities), codec.encode(own))
        else:
            head = _META_MEMBER % messages.join(self._constant, codec.encode(own)) if own else self._head
        return messages.request(id, method, messages.join(head, self.profile.encode(params)))

    def _check(self, method: str) -> None:
        offered: ServerCapabilities | None = None if self.server is None else self.server.capabilities
        check_method(method, self.profile, offered, self._profiles)

    def _pattern(self, method: str, capabilities: ClientCapabilities | None, said: bytes) -> bytes:
        """What most requests of a method are made of, that announce these capabilities, encoded ``said``; kept for one
        that may be sent, as long as the server is the same. Raises `FeatureUnavailable`.
        """
        self._check(method)
        if self._patterns_for is not self.server or len(self._patterns) >= _MAX_SAID:
            self._patterns.clear()
            self._patterns_for = self.server
        constant = self._constant if capabilities is None else self._saying(capabilities)
        meta = b'%b,"%b":%%d}' % (constant[:-1].replace(b"%", b"%%"), names.META_PROGRESS_TOKEN.encode())
        found = self._patterns[method, said] = messages.request_pattern(method, _META_MEMBER[:-1] % meta)
        return found

    def cancellation(self, id: RequestId, reason: str | None = None) -> bytes:
        """Take a request back, on transports where closing a stream can't say it (stdio)."""
        notice = CancelledNotice(request_id=id, reason=reason)
        return messages.notification(names.NOTIFY_CANCELLED, self.profile.encode(notice))

    def receive(self, message: Message) -> PeerResponse | Notification | Cancellation:
        """Take one message from the server. Raises a silent `MessageRefused` for a request: this era has none from
        servers.
        """
        if message.kind is Kind.REQUEST:
            raise MessageRefused(
                InvalidRequest(f"a server must not send requests in {self.profile.revision}"), silent=True
            )
        if message.kind is Kind.NOTIFICATION:
            params = read_notice(message, self.profile.server_notices.get(message.method))
            if isinstance(params, CancelledNotice):
                if params.request_id is None:
                    raise MessageRefused(InvalidParams("a cancellation names a request"), silent=True)
                return Cancellation(params.request_id, params.reason)
            return Notification(message.method, params)
        return PeerResponse(message.id, message.body, failed=message.kind is Kind.ERROR)
