"""Subscriptions of the stateless era: acknowledged first, named in each message, and nothing that was not asked for.

Specification: 2026-07-28 basic/patterns/subscriptions.
"""

from __future__ import annotations

from typing import Any, Final

from ..protocol import names
from ..protocol.revisions import Feature
from .heard import Heard, items, objects, pointer, shown
from .memory import Key, ListenState, key_of, size_of

__all__ = ["answer", "call"]

_KINDS: Final = {
    names.NOTIFY_TOOLS_CHANGED: "toolsListChanged",
    names.NOTIFY_PROMPTS_CHANGED: "promptsListChanged",
    names.NOTIFY_RESOURCES_CHANGED: "resourcesListChanged",
}
_URIS: Final = "resourceSubscriptions"
_TASKS: Final = "taskIds"
_NOTIFY_TASKS: Final = f"{names.NOTIFICATIONS}tasks"
_CHANGES: Final = frozenset({*_KINDS, names.NOTIFY_RESOURCE_UPDATED, _NOTIFY_TASKS})
_NEVER: Final = frozenset({names.NOTIFY_PROGRESS, names.NOTIFY_MESSAGE})
_LARGE: Final = 64 * 1024
_WHERE: Final = "/params" + pointer(names.META, names.META_SUBSCRIPTION_ID)


def call(heard: Heard) -> None:
    """A request to listen, or what comes of one."""
    if heard.profile is None or not heard.profile.has(Feature.LISTEN):
        return
    if heard.is_request:
        if heard.method == names.SUBSCRIPTIONS_LISTEN and heard.sender == "client":
            wanted = objects(heard.params.get("notifications")) if heard.size < _LARGE else {}
            state = ListenState(heard.line.n, heard.id, wanted)
            heard.memory.listening.put(_key(heard, heard.id), state, size_of() + heard.size)
    elif heard.sender == "server":
        if heard.method == names.NOTIFY_ACKNOWLEDGED:
            _acknowledged(heard)
        elif heard.method in _CHANGES:
            _changed(heard)
        elif heard.method in _NEVER and heard.exchange is not None and heard.exchange.listen is not None:
            said = f"{heard.method} comes on the stream of a subscription"
            heard.say("not-on-subscription", said, "/method", heard.exchange.line)


def answer(heard: Heard) -> None:
    """The end of a subscription."""
    asked, result = heard.asked, heard.result
    if asked is None or result is None or asked.method != names.SUBSCRIPTIONS_LISTEN:
        return
    _named(
        heard, objects(result.get(names.META)), "/result" + pointer(names.META, names.META_SUBSCRIPTION_ID)
    )


def _key(heard: Heard, id: object) -> Key:
    return (*heard.place, type(id) is str, key_of(id))


def _named(heard: Heard, meta: dict[str, Any], where: str) -> ListenState | None:
    """The subscription that a message names; says so where it names none."""
    id = meta.get(names.META_SUBSCRIPTION_ID)
    if id is None:
        heard.say("subscription-id-missing", "it does not say of which subscription it is", where)
        return None
    state = heard.memory.listening.get(_key(heard, id))
    if state is None and heard.talk.begun and not heard.memory.forgot:
        heard.say("subscription-id-unknown", f"there is no subscription {shown(id)}", where)
    return state


def _acknowledged(heard: Heard) -> None:
    state = _named(heard, heard.meta, _WHERE)
    if state is None:
        return
    state.acknowledged = granted = objects(heard.params.get("notifications"))
    wanted = state.wanted
    extra = [each for each in _KINDS.values() if granted.get(each) is True and wanted.get(each) is not True]
    for each in (_URIS, _TASKS):
        asked = items(wanted.get(each))
        if any(name not in asked for name in items(granted.get(each))):
            extra.append(each)
    if extra:
        said = f"{extra[0]} is acknowledged, and more than was asked for"
        heard.say("acknowledged-more", said, "/params/notifications" + pointer(extra[0]), state.line)


def _changed(heard: Heard) -> None:
    if heard.exchange is not None and heard.exchange.listen is None:
        said = f"{heard.method} comes in answer to another request than {names.SUBSCRIPTIONS_LISTEN}"
        heard.say("change-outside-subscription", said, "/method", heard.exchange.line)
        return
    state = _named(heard, heard.meta, _WHERE)
    if state is None:
        return
    if state.acknowledged is None:
        heard.say(
            "before-acknowledged",
            f"{heard.method} comes before the subscription is acknowledged",
            "",
            state.line,
        )
    elif not _wanted(heard, state.wanted):
        heard.say(
            "unrequested-change",
            f"the subscription does not ask for this {heard.method}",
            "/method",
            state.line,
        )


def _wanted(heard: Heard, wanted: dict[str, Any]) -> bool:
    if heard.method in _KINDS:
        return wanted.get(_KINDS[heard.method]) is True
    member, name = (_TASKS, "taskId") if heard.method == _NOTIFY_TASKS else (_URIS, "uri")
    told = heard.params.get(name)
    listed = [each for each in items(wanted.get(member)) if isinstance(each, str)]
    return isinstance(told, str) and told.startswith(tuple(listed))
