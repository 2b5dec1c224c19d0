"""A request on its way to a handler, whichever era and transport it came by.

Both engines make `Call`s; everything above works with them and need not know the era. What both do is here as well:
read parameters, and tell whether a request may be sent, by what the revision has and the peer offers.
"""

from typing import Any, cast

import msgspec
from msgspec import Raw, Struct, field
from msgspec.structs import force_setattr

from . import codec, names
from .envelope import Kind, Message
from .errors import FeatureUnavailable, InvalidParams
from .revisions import PROFILES, Method, NoticeType, Profile
from .revisions.profiles import Profiles
from .types.capabilities import ClientCapabilities, ServerCapabilities
from .types.metadata import Implementation
from .types.notifications import ListenParams
from .types.requests import LogLevel, Params, ProgressToken, RequestId
from .types.tools import CallToolParams

_UNSAID = Raw(b"")


class _ReadParams(Struct, frozen=True):
    """What is kept of parameters that were read."""

    meta: Raw = field(default=Raw(b""), name=names.META)


_marked = codec.reader(_ReadParams)


class _FilledMeta(Struct, frozen=True, forbid_unknown_fields=True):
    """The members of ``_meta`` that a client fills in by itself, for each request anew; unread."""

    token: Raw = field(default=_UNSAID, name=names.META_PROGRESS_TOKEN)
    revision: Raw = field(default=_UNSAID, name=names.META_PROTOCOL_VERSION)
    info: Raw = field(default=_UNSAID, name=names.META_CLIENT_INFO)
    capabilities: Raw = field(default=_UNSAID, name=names.META_CLIENT_CAPABILITIES)
    log_level: Raw = field(default=_UNSAID, name=names.META_LOG_LEVEL)


class _FilledParams(Struct, frozen=True):
    meta: _FilledMeta | None = field(default=None, name=names.META)


class _FilledMessage(Struct, frozen=True):
    params: _FilledParams | None = None


_filled_params = msgspec.json.Decoder(_FilledParams)
_filled_message = msgspec.json.Decoder(_FilledMessage)


class Peer(Struct, frozen=True):
    """What the other side says of itself: its description and what it can do."""

    info: Implementation | None = None
    capabilities: ClientCapabilities = ClientCapabilities()


class Call(Struct, frozen=True, eq=False, gc=False):
    """One request. ``params`` is decoded for the methods of the revision, from ``message``."""

    id: RequestId
    method: str
    params: Params
    message: Message
    profile: Profile
    peer: Peer
    log_level: LogLevel | None = None

    @property
    def raw(self) -> Raw:
        """The parameters as they came."""
        return self.message.params

    @property
    def members(self) -> dict[str, Any]:
        """The parameters as plain values."""
        return codec.decode(self.raw) if self.raw else {}

    @property
    def subject(self) -> str | None:
        """What the request is about, as the name header repeats it: the tool, the prompt, the resource; else None."""
        method = self.profile.client_requests[self.method]
        if not method.subject:
            return None
        if method.extension and method.extension not in (self.peer.capabilities.extensions or {}):
            return None  # the caller does not know the method, and is told so
        found: str | None = getattr(self.params, method.subject, None)  # as the protocol's own types have it
        return method.subject_in(self.members) if found is None else found

    @property
    def progress_token(self) -> ProgressToken | None:
        """The token under which the caller wants to hear of progress, or None."""
        meta = self.params.meta
        return None if meta is None else meta.progress_token

    @property
    def meta(self) -> dict[str, Any]:
        """The whole ``_meta`` of the request, as it came."""
        found = self.members.get(names.META)
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {}

    @property
    def says_more(self) -> bool:
        """Whether there is anything in ``_meta`` that a client does not fill in by itself: nothing of it is read for
        that, nor is the rest.
        """
        message = self.message
        try:
            if message.whole is None:
                _filled_params.decode(message.given or b"{}")
            else:
                _filled_message.decode(message.data)
        except codec.DECODE_ERRORS:
            return True
        return False

    @property
    def custom_meta(self) -> dict[str, Any]:
        """What the caller put into ``_meta`` beyond what the protocol has there; nothing that passes with each call, as
        a progress token and a trace do.
        """
        return {
            key: item
            for key, item in self.meta.items()
            if key not in names.META_PASSING and not key.startswith(names.META_PREFIX)
        }

    def forget(self) -> None:
        """Let go of the message, and of what may be large in its parameters: what is still to be done needs only what
        was read of them. Of the parameters as they came, ``_meta`` stays.
        """
        # Without a mark, which is plain from what was read, nothing of a large message has to be gone through again.
        raw = b"" if self.params.meta is None else self.raw
        meta = _marked.read(raw).meta if raw else b""
        kept = Raw(b'{"%b":%b}' % (names.META.encode(), bytes(meta)) if meta else b"")
        force_setattr(self, "message", Message(Kind.REQUEST, self.id, self.method, kept))
        if isinstance(self.params, CallToolParams):
            force_setattr(self.params, "arguments", Raw(b""))
        elif isinstance(self.params, ListenParams):
            force_setattr(self, "params", Params(meta=self.params.meta))


class Cancellation(Struct, frozen=True):
    """The peer takes a request back."""

    id: RequestId
    reason: str | None = None


class PeerResponse(Struct, frozen=True):
    """The response to a request of ours: ``body`` is the result, or the error when ``failed``."""

    id: RequestId | None
    body: Raw
    failed: bool = False


class Notification(Struct, frozen=True):
    """A notification; ``params`` is decoded for those of the revision, else plain values."""

    method: str
    params: Any


class MessageRefused(Exception):
    """A message that an engine does not take. ``error`` is the answer, unless ``silent`` (a bad
    notification).
    """

    def __init__(self, error: Any, id: RequestId | None = None, *, silent: bool = False) -> None:
        super().__init__(str(error))
        self.error = error
        self.id = id
        self.silent = silent


def read_params(message: Message, kind: type[Params]) -> Params:
    """The parameters of a request. Raises `MessageRefused` with an answer under the request's id."""
    if isinstance(message.whole, kind):
        return message.whole
    try:
        return codec.reader(kind).read(message.params if message.params else b"{}")
    except codec.DECODE_ERRORS as problem:
        raise MessageRefused(
            InvalidParams(f"the parameters of {message.method} are invalid: {clipped(problem)}"), message.id
        ) from None


def read_notice(message: Message, notice: NoticeType | None) -> Any:
    """The parameters of a notification, typed if the revision has it. Raises a silent `MessageRefused`: it is never
    answered.
    """
    try:
        if notice is None:
            return codec.decode(message.params) if message.params else None
        return codec.reader(notice.params).keep(message.params if message.params else b"{}")
    except codec.DECODE_ERRORS as problem:
        raise MessageRefused(
            InvalidParams(f"{message.method[:128]} is malformed: {clipped(problem)}"), silent=True
        ) from None


def clipped(problem: Exception) -> str:
    """What a decoder says, short: it may quote what it read."""
    text = str(problem)
    return text if len(text) <= 300 else f"{text[:200]}...{text[-80:]}"


def check_method(
    method: str, profile: Profile, capabilities: ServerCapabilities | None, profiles: Profiles = PROFILES
) -> Method | None:
    """Whether a client may send the request. Raises `FeatureUnavailable` when revision or server do not have
    it.
    """
    spec = profile.client_requests.get(method)
    if spec is None and method in profiles.methods:
        raise FeatureUnavailable(f"{method} does not exist in revision {profile.revision}")
    if spec is None or capabilities is None:
        return spec
    if spec.capability and (lacking := _lacking(spec.capability, capabilities)):
        raise FeatureUnavailable(f"the server does not offer {lacking}, so {method} can't be sent")
    if spec.extension and not _declares(capabilities, spec.extension, profile):
        raise FeatureUnavailable(f"the server did not declare {spec.extension}, so {method} can't be sent")
    return spec


def check_question(method: str, profile: Profile, capabilities: ClientCapabilities) -> None:
    """Whether a server may ask the client this. Raises `FeatureUnavailable` when revision or client do not
    have it.
    """
    spec = profile.server_requests.get(method)
    if spec is None:
        raise FeatureUnavailable(f"{method} does not exist in revision {profile.revision}")
    if lacking := _lacking(spec.capability, capabilities):
        raise FeatureUnavailable(
            f"the client did not declare the capability {lacking!r}, so {method} can't be sent"
        )


def _declares(capabilities: ServerCapabilities, extension: str, profile: Profile) -> bool:
    """Whether a server has what brings a method, as far as it could say so."""
    return not profile.declares_extensions or extension in (capabilities.extensions or {})


def _lacking(capability: str, offered: object) -> str:
    """What is missing of a capability, by its name; empty if nothing is."""
    name, _, member = capability.partition(".")
    if not name:
        return ""
    found = getattr(offered, name)
    if found is None:
        return name
    return capability if member and not getattr(found, member) else ""
