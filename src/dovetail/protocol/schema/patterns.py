"""What a regular expression of a schema may cost: to compile, and for each character that it is run over.

Theory of operation. The linear engine runs a pattern as an automaton that it makes while it reads. Where the automaton
stays small, a character costs a nanosecond or two, whatever the pattern. Counted and overlapping repetitions can ask
for exponentially many states; then each character costs a step for each part of the pattern, choices and
repetitions being parts too (measured: 5 to 10 ns a part).
A pattern is small if at most `_SMALL` of its parts, repetitions multiplied out, can be in doubt: what stands before
the first choice of a pattern that begins with ``^`` cannot.

Patterns with look-around or back references run on an engine that goes back and tries again, at most `BACKTRACKS`
times a text, and each try may read what is left of the text (measured: 1.4 ns a character and try, 17 ns a try).

Compiling costs by the kinds of parts: 0.2 us for a letter or ``\\w``, 3 to 6 us for a set that is nearly all of
Unicode (``.``, ``\\S``, ``[^a]``), 200 us for a Unicode class (``\\p{L}``), 70 us for the automaton around them.

Specification: 2026-07-28 basic/index, "JSON Schema Usage": bounds on the time of validation.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from msgspec import Struct

__all__ = ["BACKTRACKS", "PatternCost", "cost_of_pattern"]

BACKTRACKS: Final = 10_000
"""Tries that a pattern with look-around or back references has for one text; after them it does not match."""

_LONG: Final = 4096
"""Characters of a pattern whose cost is worked out each time."""
_SMALL: Final = 12
_ENOUGH: Final = 1_000_000
_TOKEN: Final = re.compile(
    r"(?P<unicode>\\[pP](?:\{[^}]*\}|.))|(?P<wide>\\[SDWB]|\.)|(?P<plain>\\.)"
    r"|(?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])|\{(?P<least>\d+)(?P<range>,(?P<most>\d*))?\}"
    r"|(?P<open>\((?:\?(?:[a-zA-Z-]*:|P?<[A-Za-z_]\w*>))?)|(?P<close>\))|(?P<either>\|)|(?P<loop>[*+?])",
    re.DOTALL,
)
_BACKTRACKING: Final = re.compile(r"\(\?(?:[=!>(]|<[=!])|\\[1-9kgGKZhRX]|[*+?}]\+")
_UNICODE: Final = re.compile(r"\\[pP]")


class PatternCost(Struct, frozen=True):
    """Nanoseconds, about: to ``compile``, for each ``text`` and for each ``character`` of it.

    ``backtracking``: whether it needs the engine that goes back.
    """

    compile: int
    text: int
    character: int
    backtracking: bool


def cost_of_pattern(pattern: str, *, backtracking: bool = False) -> PatternCost:
    """What a pattern may cost. ``backtracking``: take it for one that needs the engine that goes back."""
    if len(pattern) > _LONG:  # what is remembered is bounded in number, and has to be in bytes
        return _cost(pattern, backtracking)
    return _remembered_cost(pattern, backtracking)


def _cost(pattern: str, backtracking: bool) -> PatternCost:
    parts, doubtful, compiling = _parts(pattern)
    if backtracking or _BACKTRACKING.search(pattern):
        return PatternCost(70_000 + compiling, 17 * BACKTRACKS, BACKTRACKS * 3 // 2, True)
    character = 2 if doubtful <= _SMALL else 10 * parts
    return PatternCost(70_000 + compiling, 40, character, False)


_remembered_cost: Final = lru_cache(maxsize=1024)(_cost)


class _Counting:
    """The parts of a pattern: of the whole so far, of the group that is open, of what came last."""

    def __init__(self) -> None:
        self.groups: list[tuple[int, int]] = []
        self.parts = self.cost = self.last_parts = self.last_cost = 0

    def add(self, cost: int) -> None:
        self.last_parts, self.last_cost = 1, cost
        self.parts += 1
        self.cost += cost

    def begin(self) -> None:
        self.groups.append((self.parts, self.cost))
        self.parts = self.cost = self.last_parts = self.last_cost = 0

    def close(self) -> None:
        if self.groups:
            before, cost = self.groups.pop()
            self.last_parts, self.last_cost = self.parts, self.cost
            self.parts += before
            self.cost += cost

    def repeat(self, times: int) -> None:
        more = max(times, 1) - 1
        self.parts = min(self.parts + self.last_parts * more, _ENOUGH)
        self.cost = min(self.cost + self.last_cost * more, _ENOUGH * 1000)
        self.last_parts = min(self.last_parts * (more + 1), _ENOUGH)
        self.last_cost = min(self.last_cost * (more + 1), _ENOUGH * 1000)


def _parts(pattern: str) -> tuple[int, int, int]:
    """Parts with repetitions multiplied out, those of them in doubt, and nanoseconds to compile them."""
    count = _Counting()
    certain = 0
    fixed = pattern.startswith("^") and "|" not in pattern
    position = 0
    while position < len(pattern):
        token = _TOKEN.match(pattern, position)
        if token is None:
            count.add(1_000)
            position += 1
        else:
            position = token.end()
            fixed = fixed and not (token["open"] or token["loop"] or token["range"])
            _take(count, token)
        if fixed:
            certain = count.parts - count.last_parts  # the last one may be repeated yet
    while count.groups:
        count.close()
    if fixed:
        certain = count.parts
    return count.parts, count.parts - certain, count.cost


def _take(count: _Counting, token: re.Match[str]) -> None:
    if token["least"]:
        most = token["most"] or token["least"]
        count.repeat(int(most) if len(most) < 7 else _ENOUGH)
    elif token["open"]:
        count.begin()
        count.add(1_000)
    elif token["close"]:
        count.close()
    elif token["unicode"]:
        count.add(250_000)
    elif token["set"]:
        count.add(250_000 * len(_UNICODE.findall(token["set"])) + 7_000)
    elif token["either"]:
        count.add(1_000)
    elif token["loop"]:
        count.repeat(2)
    else:
        count.add(7_000 if token["wide"] else 1_000)
