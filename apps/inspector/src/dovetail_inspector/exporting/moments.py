"""When a line was, in the words of other formats: the beginning of its capture and the seconds since then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["Moments"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = 2**63 - 1
_MOST: Final = 3600.0 * 24 * 366 * 100


class Moments:
    """The times of one capture. ``began``: RFC 3339; what is no time is the epoch."""

    def __init__(self, began: str) -> None:
        try:
            found = datetime.fromisoformat(began)
        except ValueError:
            found = _EPOCH
        self._began = found if found.tzinfo is not None else found.replace(tzinfo=UTC)

    def iso(self, seconds: float) -> str:
        """RFC 3339, in UTC, with microseconds."""
        try:
            at = (self._began + timedelta(seconds=_bounded(seconds))).astimezone(UTC)
        except OverflowError:
            at = _EPOCH
        return at.isoformat(timespec="microseconds").replace("+00:00", "Z")

    def nanoseconds(self, seconds: float) -> int:
        """Since the epoch, not below it, and in 64 bits."""
        since = self._began - _EPOCH
        whole = (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000
        return min(max(whole + round(_bounded(seconds) * 1_000_000_000), 0), _LAST)


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), _MOST) if seconds == seconds else 0.0  # noqa: PLR0124 - what is no number differs from itself
