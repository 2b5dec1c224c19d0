"""The names of streams and the ids of their events.

An event id names stream and number. Stream names are random, so that knowing one event id is knowing that stream and
no other. There is a name for each call that is answered with a stream, so many are drawn from the system's randomness
at once. Specification: 2025-11-25 basic/transports "Resumability and Redelivery".
"""

from __future__ import annotations

import os
import re
import secrets
from typing import Final

from .answering import Refusal

REQUEST: Final = "r"
STANDALONE: Final = "s"
_EVENT_ID: Final = re.compile(rb"([rs][0-9a-f]{24})-([0-9]{1,15})")
_LENGTH: Final = 24
_AT_ONCE: Final = 256
_drawn: list[str] = []
if hasattr(os, "register_at_fork"):  # what was drawn before a process became two must not be used by both
    os.register_at_fork(after_in_child=_drawn.clear)


def new_stream_id(kind: str) -> str:
    """A fresh name for a stream of a request (`REQUEST`) or of a session (`STANDALONE`)."""
    try:
        return kind + _drawn.pop()
    except IndexError:
        drawn = secrets.token_hex(_AT_ONCE * _LENGTH // 2)
        _drawn.extend([drawn[at : at + _LENGTH] for at in range(_LENGTH, len(drawn), _LENGTH)])
        return kind + drawn[:_LENGTH]


def parse_event_id(value: bytes) -> tuple[str, int]:
    """The stream and the number in an event id. Raises `Refusal` (400) for anything that is none of ours."""
    match = _EVENT_ID.fullmatch(value.strip())
    if match is None:
        raise Refusal(400, "the last event id is none of this server's; start without one")
    return match[1].decode(), int(match[2])
