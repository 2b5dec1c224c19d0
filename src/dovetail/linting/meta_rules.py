"""What each request and each result says of itself since sessions are gone: revision, capabilities, types, caching.

Specification: 2026-07-28 basic/index, "General fields"; server/utilities/caching.
"""

from __future__ import annotations

from typing import Any, Final, cast

from ..protocol import names
from ..protocol.meta_keys import check_meta_key, is_baggage, is_traceparent, is_tracestate
from ..protocol.revisions import PROFILES, Feature
from .heard import Heard, objects, pointer, shown

__all__ = ["answer", "call"]

_TRACES: Final = {
    names.META_TRACEPARENT: is_traceparent,
    names.META_TRACESTATE: is_tracestate,
    names.META_BAGGAGE: is_baggage,
}
_KNOWN: Final = frozenset(
    {
        names.META_PROGRESS_TOKEN,
        names.META_PROTOCOL_VERSION,
        names.META_CLIENT_INFO,
        names.META_CLIENT_CAPABILITIES,
        names.META_LOG_LEVEL,
        names.META_SUBSCRIPTION_ID,
        names.META_SERVER_INFO,
    }
)
_SCOPES: Final = ("public", "private")
_PLAIN_TYPES: Final = (names.RESULT_COMPLETE, names.RESULT_INPUT_REQUIRED)
_TASK: Final = "task"


def call(heard: Heard) -> None:
    """The ``_meta`` of a request or a notification."""
    meta = heard.meta
    if meta:
        _keys(heard, meta, "/params/_meta")
    if not heard.stateless or not heard.is_request or heard.sender != "client":
        return
    for key in (names.META_PROTOCOL_VERSION, names.META_CLIENT_CAPABILITIES):
        if key not in meta:
            said = f"the request does not say its {key.rpartition('/')[2]}"
            heard.say("request-meta-missing", said, pointer("params", names.META, key))
    stated = meta.get(names.META_PROTOCOL_VERSION)
    if isinstance(stated, str) and stated not in PROFILES:
        said = f"the request is in revision {shown(stated)}, which is not known"
        heard.say("revision-unknown", said, pointer("params", names.META, names.META_PROTOCOL_VERSION))
    if names.META_CLIENT_INFO not in meta and heard.talk.once("client-info-missing"):
        heard.say("client-info-missing", "requests do not say which client sends them")


def answer(heard: Heard) -> None:
    """The marks of a result."""
    result, profile, asked = heard.result, heard.profile, heard.asked
    if result is None or profile is None or asked is None:
        return
    meta = objects(result.get(names.META))
    if meta:
        _keys(heard, meta, "/result/_meta")
    if not profile.stateless or heard.sender != "server":
        return
    kind: Any = result.get("resultType")
    if "resultType" not in result:
        heard.say(
            "result-type-missing",
            f"the result of {shown(asked.method)} has no resultType",
            "/result/resultType",
        )
    elif kind not in _PLAIN_TYPES and kind != _TASK and not _extended(heard):
        said = f"resultType is {shown(kind)}, and no extension was agreed on that has such"
        heard.say("result-type-unknown", said, "/result/resultType", asked.line)
    if names.META_SERVER_INFO not in meta and heard.talk.once("server-info-missing"):
        heard.say("server-info-missing", "results do not say which server gave them")
    method = profile.client_requests.get(asked.method)
    if (
        method is not None
        and method.cacheable
        and profile.has(Feature.CACHE_HINTS)
        and (kind is None or kind == names.RESULT_COMPLETE)
    ):
        _caching(heard, result)


def _extended(heard: Heard) -> bool:
    """Whether the client declared an extension, which may bring types of results."""
    asked = heard.asked
    return asked is not None and bool(objects((asked.capabilities or {}).get("extensions")))


def _caching(heard: Heard, result: dict[str, Any]) -> None:
    missing = [each for each in ("ttlMs", "cacheScope") if each not in result]
    for each in missing:
        heard.say("cache-hints-missing", f"the result has no {each}", f"/result/{each}")
    ttl = result.get("ttlMs", 0)
    if isinstance(ttl, bool) or not isinstance(ttl, (int, float)) or ttl < 0 or ttl != int(ttl):
        heard.say(
            "cache-ttl", f"ttlMs is {shown(ttl)}, and has to be milliseconds from 0 on", "/result/ttlMs"
        )
    scope = result.get("cacheScope", _SCOPES[0])
    if scope not in _SCOPES:
        heard.say(
            "cache-scope", f"cacheScope is {shown(scope)}, and is public or private", "/result/cacheScope"
        )


def _keys(heard: Heard, meta: dict[str, Any], where: str) -> None:
    for key, value in list(meta.items())[:100]:
        judge = _TRACES.get(key)
        if judge is not None:
            if heard.stateless and not judge(cast("object", value)):
                heard.say("trace-context", f"{key} is {shown(value)}", where + pointer(key))
        elif key not in _KNOWN and (wrong := check_meta_key(key, reserved_rule="none")) is not None:
            heard.say("meta-key", wrong, where + pointer(key))
