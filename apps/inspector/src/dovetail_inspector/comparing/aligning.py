"""Which entry of one list belongs to which of another, when some are new, gone or changed.

Theory of operation. First those that are the same in all, in the order of both; then, between two of these, those that
are of the same kind. In each step the first of a kind is paired with the first, the second with the second, and of
these pairs the longest run is kept that does not cross (by patience sorting). The cost is that of sorting, whatever the
lists hold.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterator, Sequence

__all__ = ["aligned"]


def aligned(
    a: Sequence[tuple[Hashable, Hashable]], b: Sequence[tuple[Hashable, Hashable]]
) -> Iterator[tuple[int | None, int | None]]:
    """Pairs of places, in order; None for nothing. Each entry is its kind and what it holds."""
    before = (-1, -1)
    for anchor in [*_paired(a, b, (0, len(a)), (0, len(b)), whole=True), (len(a), len(b))]:
        gap_a, gap_b = (before[0] + 1, anchor[0]), (before[1] + 1, anchor[1])
        at_a, at_b = gap_a[0], gap_b[0]
        for i, j in [*_paired(a, b, gap_a, gap_b, whole=False), (gap_a[1], gap_b[1])]:
            yield from ((each, None) for each in range(at_a, i))
            yield from ((None, each) for each in range(at_b, j))
            if i < gap_a[1]:
                yield i, j
            at_a, at_b = i + 1, j + 1
        if anchor[0] < len(a):
            yield anchor
        before = anchor


def _paired(
    a: Sequence[tuple[Hashable, Hashable]],
    b: Sequence[tuple[Hashable, Hashable]],
    in_a: tuple[int, int],
    in_b: tuple[int, int],
    *,
    whole: bool,
) -> list[tuple[int, int]]:
    """Places in both that go together and do not cross. ``whole``: what they hold is the same as well."""
    if in_a[0] >= in_a[1] or in_b[0] >= in_b[1]:
        return []
    places: dict[Hashable, list[int]] = {}
    for at in range(in_b[1] - 1, in_b[0] - 1, -1):
        places.setdefault(b[at] if whole else b[at][0], []).append(at)
    pairs: list[tuple[int, int]] = []
    for at in range(*in_a):
        left = places.get(a[at] if whole else a[at][0])
        if left:
            pairs.append((at, left.pop()))
    return _rising(pairs)


def _rising(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest part of them whose second places rise as the first do."""
    ends: list[int] = []
    last: list[int] = []
    before: list[int] = []
    for at, (_, place) in enumerate(pairs):
        length = bisect_left(ends, place)
        before.append(last[length - 1] if length else -1)
        if length == len(ends):
            ends.append(place)
            last.append(at)
        else:
            ends[length], last[length] = place, at
    found: list[tuple[int, int]] = []
    at = last[-1] if last else -1
    while at >= 0:
        found.append(pairs[at])
        at = before[at]
    return found[::-1]
