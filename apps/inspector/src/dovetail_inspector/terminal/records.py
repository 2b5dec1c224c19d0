"""Records of a conversation as rows: one in a list, and one in full.

Specification: none; docs/recording.md.
"""

from __future__ import annotations

from typing import Final

from ..views import RecordDetail, RecordView
from .text import Row, block, inline, json_rows, size_text, time_text

__all__ = ["detail_rows", "record_row"]

_KINDS: Final = {
    "request": "accent",
    "notification": "number",
    "response": "good",
    "error": "error",
    "stderr": "warning",
    "batch": "accent",
}
_SEVERITIES: Final = {"error": ("✗", "error"), "warning": ("!", "warning"), "hint": ("·", "faint")}


def record_row(record: RecordView) -> Row:
    """A record in a list."""
    arrow = "→" if record.sender == "client" else "←" if record.sender == "server" else " "
    sign, worst = _SEVERITIES.get(record.findings, (" ", "plain"))
    kind = _KINDS.get(record.kind, "faint")
    what = record.method or record.http_method or ("" if record.kind == "stderr" else record.kind)
    status = f" {record.status}" if record.status else ""
    return [
        (f"{record.n:>6} ", "faint"),
        (f"{record.seconds:>9.3f} ", "faint"),
        (f"{sign}", worst),
        (f"{arrow} ", kind),
        (f"{inline(what, 60)}{status} ", kind),
        (f"{inline(record.name, 60)} " if record.name else "", "title"),
        (f"#{inline(str(record.id), 20)} " if record.id is not None else "", "faint"),
        (
            f"{time_text(record.latency)} "
            if record.latency is not None and record.kind != "request"
            else "",
            "number",
        ),
        (inline(record.summary, 200), "warning" if record.kind == "stderr" else "plain"),
    ]


def detail_rows(detail: RecordDetail) -> list[Row]:
    """A record in full."""
    record = detail.record
    facts = [
        record.kind,
        f"by the {record.sender}" if record.sender else "",
        record.transport,
        record.revision,
        size_text(record.size) if record.size else "",
        f"belongs to {record.group}" if record.group and record.group != record.n else "",
        f"{'answer' if record.kind == 'request' else 'answers'} {record.pair}" if record.pair else "",
        time_text(record.latency),
    ]
    rows: list[Row] = [
        [(f"{record.n}  ", "title"), (inline(record.time), "faint")],
        [(inline("  ".join(each for each in facts if each)), "plain")],
    ]
    for finding in detail.findings:
        rows += [
            [],
            [(f"{finding.severity}: ", _SEVERITIES[finding.severity][1]), (inline(finding.what), "plain")],
            [
                (
                    inline("  ".join(x for x in (finding.rule, finding.requirement, finding.where) if x)),
                    "faint",
                )
            ],
        ]
        if finding.page:
            rows.append([(inline(finding.page), "faint")])
    if record.http_method or record.status or record.event:
        line = " ".join(
            str(x) for x in (record.http_method, record.target, record.status or "", record.event) if x
        )
        rows += [[], [(inline(line), "accent")]]
    rows += [
        [(f"{inline(name, 100)}: ", "key"), (inline(value), "plain")]
        for name, value in detail.headers.items()
    ]
    rows.append([])
    if detail.value is not None:
        rows += json_rows(detail.value)
    elif detail.text:
        rows += block(detail.text)
    if detail.truncated:
        rows.append([(f"... {size_text(detail.truncated)} more; an export has all", "faint")])
    return rows
