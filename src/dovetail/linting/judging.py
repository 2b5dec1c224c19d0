"""What a server said in a whole recording that breaks its revision, each fault once.

Theory of operation. The `Linter` goes over all lines; of what it finds, the errors of the server count here. What a
client said is not judged, for a suite says wrong things on purpose. The method that a fault is about is that of the
message, or of the request that it answers, which stands at ``about``.

Specification: the pages of each rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

from msgspec import UNSET, Struct

from ..capture.lines import CaptureLine
from ..capture.reading import Capture
from ..protocol import codec
from .envelopes import is_message
from .heard import member
from .linter import Linter

__all__ = ["MessageFault", "judge"]


class MessageFault(Struct, frozen=True):
    """Something wrong with one message. ``line``: its number in the recording; ``method``: of it, or that it answers;
    ``rule``: the name of the rule; ``count``: how many messages have this fault, of which this is the first.
    """

    line: int
    method: str
    revision: str
    rule: str
    what: str
    count: int = 1


def judge(capture: Capture) -> tuple[list[MessageFault], int]:
    """What is wrong with what the server said, each fault once; and how many messages of its there are."""
    linter = Linter()
    first: dict[tuple[str, str, str, str], int] = {}
    count: Counter[tuple[str, str, str, str]] = Counter()
    methods: dict[tuple[int, object], str] = {}
    messages = 0
    for line in capture:
        said = list(_said(line))
        told = ""
        for each in said:
            id = member(each, "id")
            known = isinstance(id, (str, int))
            method = member(each, "method")
            if isinstance(method, str):
                told = method
                if known and line.sender == "client":
                    methods[line.link, id] = method
            elif known and line.sender == "server":
                told = methods.get((line.link, id), "")
        messages += len(said) if line.sender == "server" else 0
        for found in linter.line(line):
            if found.sender == "server" and found.severity == "error":
                key = (told, line.revision, found.rule, found.what)
                first.setdefault(key, line.n)
                count[key] += 1
    return [MessageFault(line, *key, count[key]) for key, line in first.items()], messages


def _said(line: CaptureLine) -> Iterator[Any]:
    """The messages of a line."""
    if line.body is UNSET or line.sender is UNSET:
        return
    try:
        value: Any = codec.decode(bytes(line.body))
    except (*codec.DECODE_ERRORS, OverflowError, RecursionError):
        return
    status = 200 if line.http is None else line.http.status
    for each in cast("list[Any]", value) if isinstance(value, list) else [value]:
        if status < 300 or is_message(each):
            yield each
