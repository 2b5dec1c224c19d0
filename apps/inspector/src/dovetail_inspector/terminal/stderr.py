"""What a started server wrote besides messages.

Specification: basic/transports, "stdio".
"""

from __future__ import annotations

from .transcript import RecordsView

__all__ = ["StderrView"]


class StderrView(RecordsView):
    """Standard error."""

    title = "Stderr"
    always = "is:stderr"
    empty = "Nothing was written to standard error."
