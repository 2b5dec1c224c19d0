"""Who hears of which change, in both eras.

A `Change` is something that happened: a list changed, a resource was updated. In the stateless era a client
opens a ``subscriptions/listen`` request with a filter and hears only what the filter names, every message
marked with the id of that request. In the stateful era a session hears of list changes always and of
resources it subscribed to.

Decision: when a server ends a listen stream, basic/patterns/cancellation says that it MUST send
``notifications/cancelled`` while basic/patterns/subscriptions says that it SHOULD send the response;
schema.ts has the notification for stdio only. Ours sends the response, and on channels shared by several
subscriptions (stdio) the notification before it. A client takes either, or both in either order, as one
end. Specification: basic/patterns/subscriptions.
"""

from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from itertools import chain
from typing import Any, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from . import codec, messages, names
from .errors import InvalidParams
from .revisions import Profile
from .text_set import TextSet
from .types.capabilities import ServerCapabilities
from .types.notifications import (
    AcknowledgedNotice,
    CancelledNotice,
    ListChangedNotice,
    ListenResult,
    ResourceUpdatedNotice,
    SubscriptionFilter,
)
from .types.requests import RequestId

MAX_RESOURCES: Final = 10_000
#: Characters of a URI that somebody subscribes to, and of all those of one subscription or session together.
MAX_URI: Final = 8 * 1024
MAX_URIS: Final = 768 * 1024
Kind = Literal["tools", "prompts", "resources", "resource"]
#: Beyond so many names a set finds one sooner than a tuple does, which takes less space.
_FEW: Final = 8
#: Beyond so many, one takes far more space than is needed.
_MANY: Final = 100
#: What stands between a resource and what is below it: a segment of a path, a query, a fragment.
_BELOW: Final = "/?#"
_MARK: Final = f'"{names.META_SUBSCRIPTION_ID}":'.encode()


class Change(Struct, frozen=True, repr_omit_defaults=True):
    """Something changed: one of the lists, or (``kind`` "resource") the contents of the resource ``uri``.

    A kind that an extension brings (`ChangeType`) has a ``notification`` of its own, whose parameters are ``params``
    (JSON, an object); ``uri`` then is whatever it calls what changed.
    """

    kind: str
    uri: str = ""
    notification: str = ""
    params: bytes = b""

    @property
    def method(self) -> str:
        """The notification that tells of it."""
        return (
            self.notification
            or {
                "tools": names.NOTIFY_TOOLS_CHANGED,
                "prompts": names.NOTIFY_PROMPTS_CHANGED,
                "resources": names.NOTIFY_RESOURCES_CHANGED,
                "resource": names.NOTIFY_RESOURCE_UPDATED,
            }[self.kind]
        )

    @property
    def data(self) -> dict[str, Any]:
        """What the notification of an extension's kind of change says, as plain values; else empty."""
        return codec.decode(self.params) if self.params else {}

    def message(self, profile: Profile) -> bytes:
        """The notification of the stateful era."""
        if self.kind == "resource":
            return messages.notification(self.method, profile.encode(ResourceUpdatedNotice(uri=self.uri)))
        return messages.notification(self.method)


class ChangeType(Struct, frozen=True, kw_only=True):
    """A kind of change that an extension lets clients listen for, one thing at a time.

    ``kind``: of its `Change` values. ``filter``: the member of a subscription's filter that lists what to hear of.
    ``notification``: tells of it, and ``subject`` is the member of its parameters that says of what. ``bare``: the
    notification may say nothing besides; who may have missed changes is told of each subject so.
    Specification: basic/patterns/subscriptions.
    """

    kind: str
    filter: str
    notification: str
    subject: str
    bare: bool = True

    def change(self, subject: str, params: Mapping[str, Any] | None = None) -> Change:
        """That ``subject`` changed; ``params``: what the notification says besides. To be published by a server."""
        said = {key: item for key, item in (params or {}).items() if key != names.META}
        return Change(self.kind, subject, self.notification, codec.encode({**said, self.subject: subject}))

    def read(self, params: object) -> Change | None:
        """What a notification tells of; None for one that does not say of what."""
        members: dict[str, Any] = codec.tree(params) if isinstance(params, dict) else {}
        subject = members.get(self.subject)
        return self.change(subject, members) if isinstance(subject, str) else None


def is_below(uri: str, parent: str) -> bool:
    """Whether a resource is a sub-resource of another, by their names: ``a://b/c`` is one of ``a://b``.

    A subscription to a resource may be told of those, too (schema, `ResourceUpdatedNotificationParams`).
    """
    if len(uri) <= len(parent) or not uri.startswith(parent):
        return False
    if parent.endswith("/") or uri[len(parent)] in _BELOW:
        return True
    return uri[len(parent)] == ":" and "://" not in parent  # a part of a URN, not a port


@lru_cache(maxsize=64)
def parents_of(uri: str) -> tuple[str, ...]:
    """All that a resource is below of, by their names (`is_below`), the nearest first."""
    ends = (
        end
        for end in range(len(uri) - 1, 0, -1)
        if uri[end] in _BELOW or uri[end - 1] == "/" or uri[end] == ":"
    )
    return tuple(uri[:end] for end in ends if is_below(uri, uri[:end]))


def is_heard(uri: str, subscribed: Collection[str]) -> bool:
    """Whether who subscribed to these is told of a resource: of one of them, or of what is below one."""
    return uri in subscribed or (bool(subscribed) and any(each in subscribed for each in parents_of(uri)))


def everything(_: Change) -> bool:
    """Whether somebody hears of a change who may hear of any."""
    return True


class Listening:
    """One ``subscriptions/listen`` of the stateless era: what it wants and what it is told. ``further``: what it wants
    to hear of that extensions bring. Raises `InvalidParams` for one that names too many resources.
    """

    def __init__(
        self,
        id: RequestId,
        wanted: SubscriptionFilter,
        offered: ServerCapabilities,
        profile: Profile,
        further: Mapping[ChangeType, list[str]] | None = None,
    ) -> None:
        for named in (wanted.resource_subscriptions or (), *(further or {}).values()):
            _check_uris(named)
        self.id = id
        self.honoured = _honour(wanted, offered)
        self._further = {type.kind: (type, _found_in(subjects)) for type, subjects in (further or {}).items()}
        if further:
            told = {type.filter: subjects for type, subjects in further.items()}
            self.honoured = replace(self.honoured, extra=told)
        self._uris = _found_in(self.honoured.resource_subscriptions or ())
        self._profile = profile

    def wants(self, change: Change) -> bool:
        """Whether this subscription is to hear of a change."""
        kind, honoured = change.kind, self.honoured
        if kind == "resource":
            return change.uri in self._uris or is_heard(change.uri, self._uris)
        if change.notification:
            return kind in self._further and change.uri in self._further[kind][1]
        if kind == "tools":
            return honoured.tools_list_changed is True
        return (
            honoured.prompts_list_changed if kind == "prompts" else honoured.resources_list_changed
        ) is True

    def missed(self) -> Iterator[Change]:
        """All that this subscription may have missed, each once: every list and every thing that it is to hear of."""
        honoured = self.honoured
        lists = {
            "tools": honoured.tools_list_changed,
            "prompts": honoured.prompts_list_changed,
            "resources": honoured.resources_list_changed,
        }
        yield from (Change(kind) for kind, wanted in lists.items() if wanted)
        yield from (Change("resource", uri) for uri in self._uris)
        for type, subjects in self._further.values():
            if type.bare:
                yield from map(type.change, subjects)

    def acknowledgement(self) -> bytes:
        """The first message of the stream: the part of the filter that is honoured. To be asked for once: the lists of
        what it names are let go of.
        """
        notice = AcknowledgedNotice(meta=self._meta, notifications=self.honoured)
        self.honoured = replace(self.honoured, resource_subscriptions=None, extra=None)
        return messages.notification(names.NOTIFY_ACKNOWLEDGED, self._profile.encode(notice))

    def message(self, change: Change) -> bytes:
        """The notification of a change, marked with the subscription."""
        head, tail = _around_id(change, self._profile)
        return b"%b%b%b" % (head, messages.render_id(self.id), tail)

    def ending(self) -> bytes:
        """The notification that a server sends on a shared channel before it ends the subscription."""
        return messages.notification(
            names.NOTIFY_CANCELLED, self._profile.encode(CancelledNotice(request_id=self.id))
        )

    def result(self) -> ListenResult:
        """The result that ends the stream gracefully."""
        return ListenResult(meta=self._meta)

    @property
    def _meta(self) -> dict[str, Any]:
        return {names.META_SUBSCRIPTION_ID: self.id}


def missed_in_session(subscriptions: Collection[str], offered: ServerCapabilities) -> Iterator[Change]:
    """All that a session of the stateful era may have missed, each once: the lists that the server offers, and what
    the session subscribed to.
    """
    lists = {"tools": offered.tools, "prompts": offered.prompts, "resources": offered.resources}
    changes = [Change(kind) for kind, offer in lists.items() if offer is not None and offer.list_changed]
    uris = tuple(subscriptions)  # the session may change what it subscribes to
    return chain(changes, (Change("resource", uri) for uri in uris))


@lru_cache(maxsize=64)
def _around_id(change: Change, profile: Profile) -> tuple[bytes, bytes]:
    """What stands before and after the subscription's id: the same for all who hear of a change."""
    meta: dict[str, Any] = {names.META_SUBSCRIPTION_ID: 0}
    if change.notification:
        whole = messages.join(codec.encode({names.META: meta}), change.params)
        head, mark, tail = messages.notification(change.method, whole).partition(_MARK + b"0")
        return head + mark[:-1], tail
    notice: ResourceUpdatedNotice | ListChangedNotice = (
        ResourceUpdatedNotice(meta=meta, uri=change.uri)
        if change.kind == "resource"
        else ListChangedNotice(meta=meta)
    )
    # A quote that is part of a text is escaped, so no other place in the message looks like this one.
    head, mark, tail = messages.notice(profile, change.method, notice).partition(_MARK + b"0")
    return head + mark[:-1], tail


def _found_in(uris: Collection[str]) -> Collection[str]:
    """Where a URI is looked for."""
    return (tuple if len(uris) <= _FEW else frozenset if len(uris) <= _MANY else TextSet)(uris)


def _check_uris(uris: Collection[str]) -> None:
    """Raise `InvalidParams` for more than one subscription may name."""
    if len(uris) > MAX_RESOURCES:
        raise InvalidParams(f"a subscription may name at most {MAX_RESOURCES} resources")
    if uris and max(map(len, uris)) > MAX_URI:
        raise InvalidParams(f"a URI to subscribe to may have at most {MAX_URI} characters")
    if sum(map(len, uris)) > MAX_URIS:
        raise InvalidParams(f"the URIs of a subscription may have at most {MAX_URIS} characters together")


def _honour(wanted: SubscriptionFilter, offered: ServerCapabilities) -> SubscriptionFilter:
    """The part of a filter that the server can keep: types it does not offer are left out."""
    tools, prompts, resources = offered.tools, offered.prompts, offered.resources
    subscribable = resources is not None and resources.subscribe
    return SubscriptionFilter(
        tools_list_changed=True if wanted.tools_list_changed and tools and tools.list_changed else None,
        prompts_list_changed=True
        if wanted.prompts_list_changed and prompts and prompts.list_changed
        else None,
        resources_list_changed=(
            True if wanted.resources_list_changed and resources and resources.list_changed else None
        ),
        resource_subscriptions=wanted.resource_subscriptions if subscribable else None,
    )


def subscription_of(meta: object) -> RequestId | None:
    """The subscription that a received notification belongs to, by its ``_meta``."""
    if isinstance(meta, dict):
        id = codec.tree(meta).get(names.META_SUBSCRIPTION_ID)
        if isinstance(id, (int, str)) and not isinstance(id, bool):
            return id
    return None


class _ChangeParams(Struct, frozen=True):
    uri: str = ""


class _ChangeNotice(Struct, frozen=True):
    method: str = ""
    params: _ChangeParams = _ChangeParams()


_KINDS: Final[dict[str, Kind]] = {
    names.NOTIFY_TOOLS_CHANGED: "tools",
    names.NOTIFY_PROMPTS_CHANGED: "prompts",
    names.NOTIFY_RESOURCES_CHANGED: "resources",
    names.NOTIFY_RESOURCE_UPDATED: "resource",
}


def change_in(message: bytes) -> Change | None:
    """The change that a notification of ours tells of; None for any other message."""
    try:
        notice = codec.reader(_ChangeNotice).read(message)
    except codec.DECODE_ERRORS:
        return None
    kind = _KINDS.get(notice.method)
    return None if kind is None else Change(kind, notice.params.uri if kind == "resource" else "")
