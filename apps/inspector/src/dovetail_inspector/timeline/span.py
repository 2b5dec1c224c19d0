"""A span: something that began with one line of a capture and ended with another."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

__all__ = ["Note", "Span", "SpanKind", "SpanOutcome"]

SpanKind = Literal["connection", "http", "stream", "call", "question", "round", "task", "subscription"]
SpanOutcome = Literal[
    "",
    "ok",
    "failed",
    "error",
    "declined",
    "cancelled",
    "input-required",
    "task",
    "unanswered",
    "broken",
    "closed",
    "unknown",
]


class Note(Struct, frozen=True):
    """Something that was told while a span was open: the number of its line, when, and its method."""

    record: int
    at: float
    method: str


class Span(Struct, kw_only=True, eq=False):
    """Something that took time. It is changed in place until it has ended.

    ``id``: from 1. ``parent``: the span that it belongs to, 0 for none; ``root``: the outermost of these that is no
    connection. ``lane``: the lowest row of its ``link`` that was free when it began; a round lies on its call's.
    ``start`` and ``end``: seconds since the capture began; None while it is open. ``record`` and ``ended``: the numbers
    of the lines that began and ended it, 0 for none.

    ``outcome``: "" while it is open; "ok"; "failed" (the tool said so, or the task); "error" (of the protocol, or of
    HTTP; ``code`` has which, ``message`` its words); "declined" or "cancelled"; "input-required" (a round ended with
    questions); "task" (it became one); "unanswered" (its connection closed first); "broken" (off); "closed";
    "unknown" (so much was open that it was let go of).

    ``sender``: who asked. ``name``: for people; ``method`` and ``target`` (the tool, prompt or URI; of HTTP the path)
    by themselves; ``request``: the id of the request; ``trace``: the ``traceparent`` that came with it. ``session``:
    the one of HTTP. ``rounds``: how many requests a call took that asked back, 0 where it did not. ``notes``: the first
    messages of progress and logs that came meanwhile.
    """

    id: int
    kind: SpanKind
    name: str
    link: int
    start: float
    record: int
    lane: int = 0
    parent: int = 0
    root: int = 0
    end: float | None = None
    ended: int = 0
    outcome: SpanOutcome = ""
    sender: str = ""
    method: str = ""
    target: str = ""
    request: Any = None
    revision: str = ""
    transport: str = ""
    code: int | None = None
    message: str = ""
    trace: str = ""
    session: str = ""
    rounds: int = 0
    notes: list[Note] = field(default_factory=list[Note])

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it is open."""
        return None if self.end is None else max(self.end - self.start, 0.0)
