"""The names of streams and the ids of their events.

An event id names stream and number. Stream names are random, so that knowing one event id is knowing that stream and
no other. There is a name for each call that is answered with a stream, so many are drawn from the system's randomness
at once. The name of a stream that answers a caller with scopes says which these were, by short digests: whoever comes
back for it with another token needs all of them, at whichever worker that is. Specification: 2025-11-25
basic/transports "Resumability and Redelivery".
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from functools import lru_cache
from typing import Final

from .answering import HTTPRefusal

REQUEST: Final = "r"
STANDALONE: Final = "s"
_EVENT_ID: Final = re.compile(rb"([rs][0-9a-f]{24}(?:\.(?:[0-9a-f]{6}){1,16}|_[0-9a-f]{24})?)-([0-9]{1,15})")
_MANY: Final = 16
_LENGTH: Final = 24
_AT_ONCE: Final = 256
_drawn: list[str] = []
if hasattr(os, "register_at_fork"):  # what was drawn before a process became two must not be used by both
    os.register_at_fork(after_in_child=_drawn.clear)


def new_stream_id(kind: str, scopes: frozenset[str] = frozenset()) -> str:
    """A fresh name for a stream of a request (`REQUEST`), which its caller made with ``scopes``, or of a session
    (`STANDALONE`).
    """
    if scopes:
        return new_stream_id(kind) + _mark(scopes)
    try:
        return kind + _drawn.pop()
    except IndexError:
        drawn = secrets.token_hex(_AT_ONCE * _LENGTH // 2)
        _drawn.extend([drawn[at : at + _LENGTH] for at in range(_LENGTH, len(drawn), _LENGTH)])
        return kind + drawn[:_LENGTH]


def covers(id: str, scopes: frozenset[str]) -> bool:
    """Whether a token with these scopes has all that the caller had whom a stream answers."""
    if id[1 + _LENGTH :][:1] == "_":
        return id.endswith(_mark(scopes)) if scopes else False
    needed = id[2 + _LENGTH :]
    held = {_digest(scope)[:6] for scope in scopes} if needed else ()
    return all(needed[at : at + 6] in held for at in range(0, len(needed), 6))


@lru_cache(maxsize=256)
def _mark(scopes: frozenset[str]) -> str:
    """What stands for scopes in a name: a digest of each, or one of them all where they are many."""
    if len(scopes) > _MANY:
        return "_" + _digest(" ".join(sorted(scopes)))[:24]
    return "." + "".join(sorted({_digest(scope)[:6] for scope in scopes}))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def parse_event_id(value: bytes) -> tuple[str, int]:
    """The stream and the number in an event id. Raises `HTTPRefusal` (400) for anything that is none of ours."""
    match = _EVENT_ID.fullmatch(value.strip())
    if match is None:
        raise HTTPRefusal(400, "the last event id is none of this server's; start without one")
    return match[1].decode(), int(match[2])
