"""The members that a caller puts into the ``_meta`` of what it sends.

A key has to follow the grammar, and must not be the protocol's: what stands under such a key is believed by the server,
and filled in by the client itself. Three kinds are let through all the same: a progress token of the caller's own,
the trace context where it has its formats, and keys under a reserved prefix for a client that declared an extension
under the same prefix, for official extensions define keys there.
Specification: basic/index, "_meta"; basic/versioning, "Extension Negotiation".
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from ..protocol import names
from ..protocol.errors import LocalProtocolError
from ..protocol.meta_keys import check_meta_key, is_baggage, is_reserved, is_traceparent, is_tracestate
from .arguments import as_plain

_FILLED: Final = frozenset(
    {
        names.META_PROTOCOL_VERSION,
        names.META_CLIENT_INFO,
        names.META_CLIENT_CAPABILITIES,
        names.META_LOG_LEVEL,
        names.META_SUBSCRIPTION_ID,
        names.META_SERVER_INFO,
    }
)
_TRACE: Final[dict[str, Callable[[object], bool]]] = {
    names.META_TRACEPARENT: is_traceparent,
    names.META_TRACESTATE: is_tracestate,
    names.META_BAGGAGE: is_baggage,
}


def own_meta(meta: Mapping[str, Any] | None, extensions: Collection[str] | None) -> dict[str, Any] | None:
    """The members as plain values; ``extensions``: the identifiers that the client declared.

    Raises `LocalProtocolError` for a key that is malformed or the protocol's, and for a value that its key does not
    allow. Nothing was sent then.
    """
    if meta is None:
        return None
    members = as_plain("the members of meta", meta)
    for key, value in members.items():
        problem = _problem(key, value, extensions or ())
        if problem is not None:
            raise LocalProtocolError(problem)
    return members


def _problem(key: str, value: Any, extensions: Collection[str]) -> str | None:
    if key in _FILLED:
        return f"the _meta key {key!r} is the protocol's: the client fills it in by itself"
    if key == names.META_PROGRESS_TOKEN:
        fits = isinstance(value, (str, int)) and not isinstance(value, bool)
        return None if fits else f"{key} in _meta is text or a whole number, not {value!r:.100}"
    if key in _TRACE:
        return None if _TRACE[key](value) else f"{key} in _meta has not the format of W3C Trace Context"
    if is_reserved(key, reserved_rule="second-label"):
        prefix = key.rpartition("/")[0]
        if any(each.rpartition("/")[0] == prefix for each in extensions):
            return check_meta_key(key, reserved_rule="none")
    return check_meta_key(key, reserved_rule="second-label")


def of_version(meta: Mapping[str, Any] | None, version: str | None) -> Mapping[str, Any] | None:
    """The members with the version of a tool that is asked for, if one is."""
    return meta if version is None else {**(meta or {}), names.META_VERSION: version}


def passed_meta(meta: Mapping[str, Any] | None, extensions: Collection[str] | None) -> dict[str, Any] | None:
    """Those of somebody else's members that may be said in a request of one's own; without a progress token, which is
    that of another request. None where there are none.
    """
    if not meta:
        return None
    found = {
        key: value
        for key, value in meta.items()
        if key not in _FILLED
        and key != names.META_PROGRESS_TOKEN
        and _problem(key, value, extensions or ()) is None
    }
    return found or None
