"""What is wrong with what was said.

Specification: none; docs/inspector-terminal.md.
"""

from __future__ import annotations

from ..views import RecordView
from .records import record_row
from .text import Row, inline
from .transcript import RecordsView

__all__ = ["FindingsView"]


class FindingsView(RecordsView):
    """Records that something was found in; each in full says all of it."""

    title = "Findings"
    always = "is:finding"
    empty = "Nothing was found that is wrong."

    def row_of(self, record: RecordView) -> Row:
        """What was found first, and in what."""
        transcript = self.transcript
        found = transcript.findings.get(record.n, []) if transcript is not None else []
        number, _, sign, *rest = record_row(record)
        if not found:
            return [number, sign, *rest]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        what = inline(f"{found[0].rule}: {found[0].what}", 300)
        return [number, sign, (f" {what}{more}  ", "plain"), (inline(record.method, 60), "faint")]
