"""One conversation: an index over a capture, which stays in its file.

Theory of operation. Of each line only its `RecordView`, its place in the file and what the lint found are in memory;
the rest is read from the file when somebody looks. So a conversation of a million messages is as quick as one of ten,
and what was said is on disk the moment it was said. `follow` reads what is new; it is cheap when there is nothing.

Specification: none; docs/recording.md has the format.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any, Final, cast

import msgspec

from dovetail.linting import Finding
from dovetail.recording import CaptureHeader, CaptureInvalid, CaptureLine, CaptureTail

from ..messages import said_capabilities, without_envelope
from ..timeline.kept import Timeline
from ..views import FindingView, RecordDetail, RecordsPage, RecordView, RuleView, TranscriptView
from .reading import LineReader
from .searching import RecordSearch

__all__ = ["Transcript", "Update"]

MAX_SHOWN: Final = 256 * 1024
"""Characters of one message that are shown at once (256 Ki)."""
_SEVERITIES: Final = ("", "hint", "warning", "error")
_AT_ONCE: Final = 500
"""Records that are read before others have their turn: some 20 milliseconds."""


def _linter() -> Any:
    """A judge of a conversation. Its rules are read when there is one: the page is served before."""
    from dovetail.linting import Linter

    return Linter()


class Update(msgspec.Struct, frozen=True):
    """What is new: ``records``, and earlier ones that ``changed``. ``full``: there may be more at once."""

    records: list[RecordView]
    changed: list[RecordView]
    full: bool = False

    def __bool__(self) -> bool:
        return bool(self.records or self.changed)


class Transcript:
    """The conversation in a capture file. ``name``: for people. ``server``: the id of the server whose it is. ``live``:
    whether more may come. ``lint``: whether its messages are judged. Raises OSError for a file that can't be opened.
    """

    def __init__(
        self,
        id: str,
        path: Path,
        name: str,
        *,
        server: str | None = None,
        live: bool = False,
        lint: bool = True,
    ) -> None:
        self.id: Final = id
        self.path: Final = path
        self.name = name
        self.server: Final = server
        self.live = live
        self.problems: list[str] = []
        self._tail = CaptureTail(path)
        self._reader = LineReader()
        self._linter = _linter() if lint else None
        self._records: list[RecordView] = []
        self._offsets = array("Q")
        self._sizes = array("Q")
        self._findings: dict[int, list[FindingView]] = {}
        self._counts: Counter[str] = Counter()
        self._timeline = Timeline()
        self._timed = 0
        self._reading = Lock()

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[RecordView]:
        return iter(self._records)

    @property
    def findings(self) -> dict[int, list[FindingView]]:
        """What is wrong, by the number of the record."""
        return self._findings

    def follow(self, most: int = _AT_ONCE) -> Update:
        """What is new in the file: at most so many records, so that whoever calls can do other things in between."""
        records: list[RecordView] = []
        changed: dict[int, RecordView] = {}
        news = self._tail.new()
        while len(records) < most:
            try:
                each = next(news, None)
            except CaptureInvalid as problem:
                self.problems.append(str(problem))
                news = self._tail.new()
                continue
            if each is None:
                break
            n = len(self._records) + 1
            line = each.line if each.line.n == n else msgspec.structs.replace(each.line, n=n)
            record, answered = self._reader.read(line, n)
            self._records.append(record)
            self._offsets.append(each.offset)
            self._sizes.append(each.size)
            records.append(record)
            if answered is not None:
                changed[answered.n] = answered
                self._records[answered.n - 1] = self._kept(answered)
            if self._linter is not None:
                for finding in self._linter.line(line):
                    changed[finding.line] = self._found(finding)
        first = records[0].n if records else len(self._records) + 1
        return Update(
            [self._records[each.n - 1] for each in records],
            [self._records[at - 1] for at in changed if at < first],
            full=len(records) >= most,
        )

    def view(self) -> TranscriptView:
        """It, in short."""
        header = self._tail.header
        return TranscriptView(
            id=self.id,
            name=self.name,
            began=header.began if header is not None else "",
            count=len(self._records),
            live=self.live,
            server=self.server,
            place=header.place if header is not None else "",
            redacted=header.redacted if header is not None else False,
            findings=dict(self._counts),
        )

    def rules(self, most: int = 100) -> list[RuleView]:
        """The rules that were broken, each severity of one by itself, in the order in which they were found first; with
        the numbers of so many messages each.
        """
        found: dict[tuple[str, str], tuple[FindingView, list[int]]] = {}
        for n, findings in sorted(self._findings.items()):
            for each in findings:
                found.setdefault((each.rule, each.severity), (each, []))[1].append(n)
        return [
            RuleView(
                rule=first.rule,
                severity=first.severity,
                what=first.what,
                requirement=first.requirement,
                page=first.page,
                count=len(numbers),
                records=list(dict.fromkeys(numbers))[:most],
            )
            for first, numbers in found.values()
        ]

    def page(self, start: int = 1, limit: int = 200, query: str = "") -> RecordsPage:
        """Records from number ``start`` on; with a query, of those that match, from the ``start``-th on. Reads the file
        where a text is looked for: call it in a thread.
        """
        start, limit = max(start, 1), max(limit, 0)
        if not query.strip():
            return RecordsPage(records=self._records[start - 1 : start - 1 + limit], total=len(self._records))
        found = self._matching(RecordSearch(query))
        return RecordsPage(records=found[start - 1 : start - 1 + limit], total=len(found))

    def detail(self, n: int) -> RecordDetail:
        """One record, whole. Raises `LookupError` for a number that there is not, OSError and `CaptureInvalid`."""
        record = self._record(n)
        line = self.line(n)
        text = line.data.decode("utf-8", "replace") if not line.base64 else line.base64
        shown = text[:MAX_SHOWN]
        return RecordDetail(
            record=record,
            headers=line.http.headers if line.http is not None else {},
            text=shown,
            value=line.value if len(shown) == len(text) else None,
            truncated=len(text) - len(shown),
            findings=self._findings.get(n, []),
            draft=_draft(record, line) if len(shown) == len(text) else None,
        )

    def line(self, n: int) -> CaptureLine:
        """The line of a record, from the file. Raises as `detail`."""
        self._record(n)
        return self._tail.at(self._offsets[n - 1], self._sizes[n - 1])

    def lines(self) -> Iterator[CaptureLine]:
        """All lines, from the file, one after the other."""
        for n in range(1, len(self._records) + 1):
            yield self.line(n)

    def notes(self, method: str, member: str, after: int) -> dict[int, list[FindingView]]:
        """What was found in the entries that a list has in ``member``, by their place in it: of the pages that answered
        ``method`` after the record with that number.
        """
        notes: dict[int, list[FindingView]] = {}
        first = 0
        for record in self._records[after:]:
            if record.kind != "response" or record.method != method:
                continue
            for finding in self._findings.get(record.n, ()):
                place = finding.where.split("/")[1:4]
                if len(place) == 3 and place[:2] == ["result", member] and place[2].isdecimal():
                    notes.setdefault(first + int(place[2]), []).append(finding)
            entries: Any = self.line(record.n).value["result"].get(member)
            first += len(cast("list[Any]", entries)) if isinstance(entries, list) else 0
        return notes

    def declared(self, *, handshake: bool) -> dict[str, Any]:
        """What the client said last that it can do: in its handshake, else in any request. Empty where it said nothing.
        Raises as `detail`.
        """
        for record in reversed(self._records):
            if record.kind != "request" or record.sender != "client":
                continue
            if handshake and record.method != "initialize":
                continue
            said = said_capabilities(self.line(record.n).value)
            if said is not None:
                return said
        return {}

    def timeline(self) -> Timeline:
        """What happened when, until now. Reads what came since it was last asked: call it in a thread."""
        with self._reading:
            for n in range(self._timed + 1, len(self._records) + 1):
                self._timeline.line(self.line(n))
                self._timed = n
        return self._timeline

    @property
    def header(self) -> CaptureHeader:
        """The first line of the capture. Raises `CaptureInvalid` where it is not written yet."""
        if self._tail.header is None:
            raise CaptureInvalid(f"{self.name} has no line yet")
        return self._tail.header

    def close(self) -> None:
        """Let go of the file."""
        self.live = False
        self._tail.close()

    def _record(self, n: int) -> RecordView:
        if not 1 <= n <= len(self._records):
            raise LookupError(f"the conversation has no record {n}; it has {len(self._records)}")
        return self._records[n - 1]

    def _matching(self, search: RecordSearch) -> list[RecordView]:
        matching = (
            each
            for each in list(self._records)
            if search.matches(each, frozenset(finding.rule for finding in self._findings.get(each.n, ())))
        )
        if search.plain:
            return list(matching)
        return [each for each in matching if search.found_in(self._bytes(each.n).lower())]

    def _bytes(self, n: int) -> bytes:
        return self._tail.bytes_at(self._offsets[n - 1], self._sizes[n - 1])

    def _found(self, finding: Finding) -> RecordView:
        n = min(max(finding.line, 1), len(self._records))
        self._findings.setdefault(n, []).append(
            FindingView(
                rule=finding.rule,
                severity=finding.severity,
                what=finding.what,
                where=finding.where,
                requirement=finding.requirement,
                page=finding.page,
                sender=finding.sender,
                about=finding.about,
            )
        )
        self._counts[finding.severity] += 1
        record = self._records[n - 1] = self._kept(self._records[n - 1])
        return record

    def _kept(self, record: RecordView) -> RecordView:
        """The record with the worst of what was found in it."""
        worst = max(
            (each.severity for each in self._findings.get(record.n, ())), key=_SEVERITIES.index, default=""
        )
        return record if worst == record.findings else msgspec.structs.replace(record, findings=worst)


def _draft(record: RecordView, line: CaptureLine) -> dict[str, Any] | None:
    """What is sent where a message of the client is to be sent once more; None for any other."""
    value: Any = line.value
    if (
        record.sender != "client"
        or record.kind not in ("request", "notification")
        or not isinstance(value, dict)
    ):
        return None
    return without_envelope(cast("dict[str, Any]", value))
