"""Keys of ``_meta``, extension identifiers, and the trace context that ``_meta`` may carry.

Theory of operation. A key is an optional prefix, dot-separated labels and a slash, and a name.
Which prefixes are the protocol's own changed between revisions, so the caller passes the rule of
the revision in use. Trace context is checked against its own formats before anyone trusts it:
bounded, one scan each, and a bad value is simply not used.

Specification: basic/index, "_meta", of 2025-06-18, 2025-11-25 and 2026-07-28; W3C Trace Context
and W3C Baggage.
"""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

from . import names

__all__ = [
    "MAX_KEY",
    "MAX_TRACE_TEXT",
    "ReservedRule",
    "check_meta_key",
    "is_baggage",
    "is_extension_identifier",
    "is_reserved",
    "is_traceparent",
    "is_tracestate",
]

ReservedRule: TypeAlias = Literal["none", "any-label", "second-label"]
"""Which prefixes are reserved: none (revisions that define no rule), those with ``mcp`` or
``modelcontextprotocol`` as any label but the last, or those with it as the second label."""

MAX_KEY: Final = 512
"""Characters a key may have."""

_LABEL: Final = re.compile(r"[A-Za-z](?:[A-Za-z0-9-]*[A-Za-z0-9])?")
_NAME: Final = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)?")
_RESERVED_LABELS: Final = ("modelcontextprotocol", "mcp")
_TRACE_KEYS: Final = (names.META_TRACEPARENT, names.META_TRACESTATE, names.META_BAGGAGE)

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_STATE_KEY: Final = re.compile(
    r"[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13}|[a-z][a-z0-9_*/-]{0,255}"
)
_STATE_VALUE: Final = re.compile(r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_BAGGAGE_VALUE: Final = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")
_MAX_TRACEPARENT: Final = 512
MAX_TRACE_TEXT: Final = 8192
"""Characters of ``tracestate``, and of ``baggage``, that are read."""
_MAX_STATE_MEMBERS: Final = 32
_MAX_BAGGAGE_MEMBERS: Final = 64
_OWS: Final = " \t"


def _split(key: str) -> tuple[list[str], str] | None:
    """Labels of the prefix (none without one) and name, or None if the key breaks the grammar."""
    if len(key) > MAX_KEY:
        return None
    prefix, slash, name = key.rpartition("/")
    if not _NAME.fullmatch(name) or not (slash or name):
        return None
    labels = prefix.split(".") if slash else []
    return (labels, name) if all(_LABEL.fullmatch(label) for label in labels) else None


def check_meta_key(key: str, *, reserved_rule: ReservedRule) -> str | None:
    """What is wrong with using ``key`` for one's own purposes; None if nothing is.

    A key must follow the grammar and not be reserved. Keys that a peer sends are kept as they are,
    whatever they look like; this check is for keys that an author chooses.
    """
    shown = ascii(key[:80])
    if _split(key) is None:
        return (
            f"the _meta key {shown} is malformed: use dot-separated labels and a slash, like com.example/,"
            " then a name of letters, digits, - _ and ."
        )
    if is_reserved(key, reserved_rule=reserved_rule):
        return (
            f"the _meta key {shown} is reserved by the protocol: use a prefix of your own, like com.example/"
        )
    return None


def is_reserved(key: str, *, reserved_rule: ReservedRule) -> bool:
    """Whether ``key`` belongs to the protocol: by its prefix, or as a bare trace context key."""
    if reserved_rule == "none":
        return False
    if key in _TRACE_KEYS:
        return True
    prefix, slash, _ = key[: MAX_KEY + 1].rpartition("/")
    labels = prefix.split(".") if slash else []
    if reserved_rule == "second-label":
        return len(labels) > 1 and labels[1] in _RESERVED_LABELS
    return any(label in _RESERVED_LABELS for label in labels[:-1])


def is_extension_identifier(identifier: str) -> bool:
    """Whether ``identifier`` can name an extension: a key with a prefix and a name, neither empty.

    Under the protocol's own prefix a name may have one level more, against the grammar: proposed extensions of it have
    such names (``io.modelcontextprotocol/auth/dpop``), and both sides know them by no other.
    """
    own, _, name = identifier.partition("/")
    first, level, rest = name.partition("/")
    if level and f"{own}/" == names.META_PREFIX and first and _NAME.fullmatch(first):
        identifier = names.META_PREFIX + rest
    parts = _split(identifier)
    return parts is not None and bool(parts[0]) and bool(parts[1])


def is_traceparent(value: object) -> bool:
    """Whether ``value`` is a W3C traceparent: version 00, or a later one that begins the same way."""
    if not isinstance(value, str) or len(value) > _MAX_TRACEPARENT:
        return False
    match = _TRACEPARENT.fullmatch(value)
    if match is None or match[1] == "ff" or (match[1] == "00" and match[4]):
        return False
    return match[2].strip("0") != "" and match[3].strip("0") != ""


def is_tracestate(value: object) -> bool:
    """Whether ``value`` is a W3C tracestate: at most 32 members, no key twice, empty members ignored."""
    if not isinstance(value, str) or len(value) > MAX_TRACE_TEXT:
        return False
    seen: set[str] = set()
    for member in value.split(","):
        stripped = member.strip(_OWS)
        if not stripped:
            continue
        key, equals, text = stripped.partition("=")
        if not equals or key in seen or not _STATE_KEY.fullmatch(key) or not _STATE_VALUE.fullmatch(text):
            return False
        seen.add(key)
    return len(seen) <= _MAX_STATE_MEMBERS


def is_baggage(value: object) -> bool:
    """Whether ``value`` is W3C baggage: at most 64 members and 8192 characters."""
    if not isinstance(value, str) or len(value) > MAX_TRACE_TEXT:
        return False
    members = value.split(",")
    if len(members) > _MAX_BAGGAGE_MEMBERS:
        return False
    return all(_is_baggage_member(member) for member in members)


def _is_baggage_member(member: str) -> bool:
    pair, *properties = member.split(";")
    key, equals, text = (part.strip(_OWS) for part in pair.partition("="))
    if not equals or not _TOKEN.fullmatch(key) or not _BAGGAGE_VALUE.fullmatch(text):
        return False
    for item in properties:
        name, _, detail = (part.strip(_OWS) for part in item.partition("="))
        if not _TOKEN.fullmatch(name) or not _BAGGAGE_VALUE.fullmatch(detail):
            return False
    return True
