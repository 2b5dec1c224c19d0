"""What clients of a cluster did and saw, and what was done to the cluster meanwhile: records in the order of time.

A history can be written to a file, a line of JSON for each record, and read again. ``at`` is in seconds since the
beginning. An *operation* is one call, subscription or cancellation of one client; ``key`` is the word by which the
app's own record of effects knows it. Specification: none.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

What = Literal["work", "ask", "endless", "change", "listen"]
#: How an operation ended, as its client was told: with its answer; with an error; refused by a status; its connection
#: broke and nothing can be resumed; what was said can't be had any more; its session is gone; cancelled by its client;
#: or nothing came in time. A subscription was closed, by whichever side.
How = Literal["answer", "error", "refused", "broken", "trimmed", "session", "cancelled", "hung", "closed"]


class Invoke(msgspec.Struct, frozen=True, tag=True):
    """A client begins an operation."""

    at: float
    operation: int
    client: int
    what: What
    key: str
    steps: int = 0


class Opened(msgspec.Struct, frozen=True, tag=True):
    """The head of an answer to the operation's own request: its status, and the worker that gave it (-1: the proxy)."""

    at: float
    operation: int
    status: int
    worker: int = -1


class Read(msgspec.Struct, frozen=True, tag=True):
    """An event, or the body of an answer, was read to its end. ``event`` is its id, empty where it has none."""

    at: float
    operation: int
    event: str
    what: Literal["primer", "progress", "question", "answer", "error", "changed"]
    value: str = ""


class Resume(msgspec.Struct, frozen=True, tag=True):
    """A client came back for the rest of what was said; ``after`` is the last event that it has."""

    at: float
    operation: int
    after: str
    status: int
    worker: int = -1


class Reply(msgspec.Struct, frozen=True, tag=True):
    """A client's answer to a question was sent, and what status that had; 0 if nobody knows."""

    at: float
    operation: int
    question: str
    value: str
    status: int
    worker: int = -1


class Outcome(msgspec.Struct, frozen=True, tag=True):
    """How an operation ended, as its client was told, with its value or the status."""

    at: float
    operation: int
    how: How
    value: str = ""


class Fault(msgspec.Struct, frozen=True, tag=True):
    """Something was done to a part of the cluster, and was over at ``until``."""

    at: float
    until: float
    what: Literal["kill", "pause", "empty", "stop"]
    part: str


class Effect(msgspec.Struct, frozen=True, tag=True):
    """The app's own record: this was done for this key."""

    what: str
    key: str


Record = Invoke | Opened | Read | Resume | Reply | Outcome | Fault | Effect
_decoder = msgspec.json.Decoder(Record)


def save(history: Iterable[Record], path: Path) -> None:
    """Write a history."""
    path.write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in history))


def load(path: Path) -> list[Record]:
    """Read what was written."""
    return [_decoder.decode(line) for line in path.read_bytes().splitlines()]
