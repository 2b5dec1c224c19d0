"""Two captures beside each other: which calls are the same, which are others, which only one has, and what changed.

Theory of operation. A capture is gone over once for what was said in it: each request with its outcome, each
notification. Of each the kind is kept (who said it, the method, the name) and a digest of what it holds, without what
varies anyway: ids, ``_meta``, cursors, states, times of tasks (`dovetail.recording.VARYING`), and the ``resultType`` of
a result that is one. The two lists are aligned; then both captures are gone over again for those pairs alone that are
not the same. So of a capture a few hundred bytes are held for each message, and a bounded part of them whole.

Specification: basic/index, "Messages"; docs/recording.md, "In the place of the client".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final, Literal, NamedTuple, cast

import msgspec
from msgspec import UNSET, Raw, Struct

from dovetail.recording import VARYING, CaptureLine

from ..messages import UNREADABLE, SaidMessage, key_of, messages_of, params_of, plain
from .aligning import aligned
from .values import ValueChange, changes_of, without

__all__ = ["MOST_OPEN", "MOST_TOLD", "ComparedRow", "Comparison", "compare_captures"]

_Kind = tuple[str, str, str]
Source = Callable[[], Iterable[CaptureLine]]
"""Gives the lines of a capture, from its beginning, as often as it is called."""

MOST_OPEN: Final = 100_000
"""Requests without an answer that are remembered."""
MOST_TOLD: Final = 10_000
"""Pairs whose differences are looked at; of others it is only told that they differ."""
_MOST_HELD: Final = 64 * 1024 * 1024
_IGNORED: Final = (
    "/params/_meta",
    "/params/progressToken",
    "/params/requestId",
    "/params/requestState",
    "/params/cursor",
    "/params/taskId",
    *(f"/result{each}" for each in VARYING),
    *(f"/params{each}" for each in VARYING),
)
_encoder: Final = msgspec.json.Encoder(order="sorted")


class ComparedRow(Struct, frozen=True, kw_only=True):
    """Something that was said, in one capture or both. ``a``, ``b``: the numbers of its lines, None where a capture has
    it not. ``sender``, ``method``, ``name``: of what. ``changes``: the places that differ, in an object with ``params``
    and ``result`` or ``error``; empty for a pair that is the same, or beyond `MOST_TOLD`.
    """

    kind: Literal["same", "changed", "only-a", "only-b"]
    a: int | None
    b: int | None
    sender: str
    method: str
    name: str = ""
    changes: tuple[ValueChange, ...] = ()

    def __str__(self) -> str:
        what = f"{self.method} {self.name}".rstrip()
        if self.kind == "same":
            return f"{what}: the same"
        if self.kind == "only-a":
            return f"{what}: only in the first, line {self.a}"
        if self.kind == "only-b":
            return f"{what}: only in the second, line {self.b}"
        return f"{what} (lines {self.a} and {self.b}): " + ("; ".join(map(str, self.changes)) or "differs")


class Comparison(Struct, frozen=True):
    """What two captures have. ``same``: whether nothing differs."""

    rows: tuple[ComparedRow, ...]

    @property
    def same(self) -> bool:
        """See the class."""
        return all(each.kind == "same" for each in self.rows)

    @property
    def counts(self) -> dict[str, int]:
        """How many rows there are of each kind."""
        found = {"same": 0, "changed": 0, "only-a": 0, "only-b": 0}
        for each in self.rows:
            found[each.kind] += 1
        return found

    def __str__(self) -> str:
        counts = self.counts
        head = (
            f"{counts['same']} the same, {counts['changed']} changed, {counts['only-a']} only in the first,"
            f" {counts['only-b']} only in the second"
        )
        return "\n".join([head, *(str(each) for each in self.rows if each.kind != "same")])


class _ComparedExchange(NamedTuple):
    """A request with its outcome, or a notification. ``number``: its place among all that was said; ``held``: what
    counts of it, as one object.
    """

    number: int
    kind: _Kind
    line: int
    held: dict[str, bytes]


class _Indexed(NamedTuple):
    """One of these, in short."""

    number: int
    kind: _Kind
    digest: bytes
    line: int


def compare_captures(a: Source, b: Source, ignore: Iterable[str] = ()) -> Comparison:
    """What two captures have that is the same, changed, or only in one. ``ignore``: more JSON pointers to what may
    differ, from ``/params``, ``/result`` or ``/error`` on; ``*`` stands for any one member or item.
    """
    ignored = (*_IGNORED, *ignore)
    first, second = _index(a, ignored), _index(b, ignored)
    places = aligned(
        [(each.kind, each.digest) for each in first], [(each.kind, each.digest) for each in second]
    )
    pairs = [(None if i is None else first[i], None if j is None else second[j]) for i, j in places]
    differ = {
        i.number: j.number for i, j in pairs if i is not None and j is not None and i.digest != j.digest
    }
    changes = _changes(a, b, dict(islice(differ.items(), MOST_TOLD)), ignored) if differ else {}
    return Comparison(tuple(_row(i, j, changes) for i, j in pairs))


def _row(a: _Indexed | None, b: _Indexed | None, changes: dict[int, list[ValueChange]]) -> ComparedRow:
    either = a or b
    assert either is not None  # noqa: S101 - a pair has one of them
    sender, method, name = either.kind
    kind: Literal["same", "changed", "only-a", "only-b"] = "only-b" if a is None else "only-a"
    found: list[ValueChange] = []
    if a is not None and b is not None:
        found = changes.get(a.number, [])
        looked_at = a.number in changes
        kind = "same" if a.digest == b.digest or (looked_at and not found) else "changed"
    return ComparedRow(
        kind=kind,
        a=None if a is None else a.line,
        b=None if b is None else b.line,
        sender=sender,
        method=method,
        name=name,
        changes=tuple(found),
    )


def _index(source: Source, ignored: tuple[str, ...]) -> list[_Indexed]:
    """What a capture has, in the order in which it was asked and told."""
    kinds: dict[_Kind, _Kind] = {}
    found = [
        _Indexed(each.number, kinds.setdefault(each.kind, each.kind), _digest(each.held, ignored), each.line)
        for each in _exchanged(source())
    ]
    found.sort()
    return found


def _changes(
    a: Source, b: Source, differ: dict[int, int], ignored: tuple[str, ...]
) -> dict[int, list[ValueChange]]:
    """What changed, by the number in the first capture; of no more than fits into `_MOST_HELD`."""
    held: dict[int, Any] = {}
    size = 0
    for each in _exchanged(a()):
        if each.number in differ and size < _MOST_HELD:
            held[differ[each.number]] = each
            size += sum(len(part) for part in each.held.values())
    found: dict[int, list[ValueChange]] = {}
    for each in _exchanged(b()):
        before = held.pop(each.number, None)
        if before is not None:
            old, new = (without(_values(part.held), ignored) for part in (before, each))
            found[before.number] = changes_of(old, new)
    return found


def _exchanged(lines: Iterable[CaptureLine]) -> Iterator[_ComparedExchange]:
    """What was said, each when it is whole; in the end what has no answer."""
    waiting = _WaitingRequests()
    number = 0
    for line in lines:
        for message in messages_of(line):
            if message.is_response:
                asked = waiting.answered(line, message)
                if asked is not None:
                    outcome = (
                        {"error": _encoder.encode(message.error)}
                        if message.result is UNSET
                        else {"result": bytes(message.result)}
                    )
                    yield asked._replace(held={**asked.held, **outcome})
                continue
            if not message.is_request and not message.is_notification:
                continue
            number += 1
            kind = (str(line.sender), message.name, params_of(message).target)
            held = {} if message.params is UNSET else {"params": bytes(message.params)}
            said = _ComparedExchange(number, kind, line.n, held)
            if message.is_notification:
                yield said
            elif (oldest := waiting.asked(line, message, said)) is not None:
                yield oldest
    yield from waiting.rest()


class _WaitingRequests:
    """Requests without an answer: by exchange and id, and by link and id."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[_ComparedExchange, tuple[Any, ...], tuple[Any, ...]]] = {}
        self._exchanges: dict[tuple[Any, ...], int] = {}
        self._links: dict[tuple[Any, ...], int] = {}

    def asked(
        self, line: CaptureLine, message: SaidMessage, said: _ComparedExchange
    ) -> _ComparedExchange | None:
        """Remember a request; gives the oldest where there are too many."""
        oldest = self._taken(next(iter(self._open))) if len(self._open) >= MOST_OPEN else None
        link, exchange = _keys(line, str(line.sender), message.id)
        self._open[said.number] = (said, link, exchange)
        self._links[link] = self._exchanges[exchange] = said.number
        return oldest

    def answered(self, line: CaptureLine, message: SaidMessage) -> _ComparedExchange | None:
        """The request that a response belongs to: of its exchange, or else of its link."""
        link, exchange = _keys(line, "client" if line.sender == "server" else "server", message.id)
        number = self._exchanges.get(exchange)
        if number is None:
            number = self._links.get(link)
        return None if number is None else self._taken(number)

    def rest(self) -> Iterator[_ComparedExchange]:
        """Those that have none."""
        return (each[0] for each in self._open.values())

    def _taken(self, number: int) -> _ComparedExchange:
        said, link, exchange = self._open.pop(number)
        if self._links.get(link) == number:
            del self._links[link]
        if self._exchanges.get(exchange) == number:
            del self._exchanges[exchange]
        return said


def _keys(line: CaptureLine, asker: str, id: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    key = key_of(id)
    exchange = 0 if line.http is None else line.http.exchange
    return (line.link, asker, key), (line.link, exchange, asker, key)


def _values(held: dict[str, bytes]) -> dict[str, Any]:
    """The parts of something as plain values; what can't be read (it is too deep) as text."""
    found: dict[str, Any] = {name: plain(Raw(part)) for name, part in held.items()}
    for name, part in held.items():
        if found[name] is None and part != b"null":
            found[name] = part.decode("utf-8", "replace")
    result = found.get("result")
    if isinstance(result, dict) and cast("dict[str, Any]", result).get("resultType") == "complete":
        del result["resultType"]  # earlier revisions say so by saying nothing
    return found


def _digest(held: dict[str, bytes], ignored: tuple[str, ...]) -> bytes:
    value = without(_values(held), ignored)
    try:
        data = _encoder.encode(value)
    except UNREADABLE:
        data = b"".join(held.values())
    return hashlib.blake2b(data, digest_size=12).digest()
