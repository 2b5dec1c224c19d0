"""The words by which one looks for something in a conversation.

``method:tools/call`` a method, or its beginning with ``*`` at the end; ``name:``, ``id:``, ``link:``, ``from:client``,
``revision:``, ``status:404``, ``group:12``, ``rule:`` a rule of the lint; ``kind:`` a kind of record; ``is:error``,
``is:call`` (a request with which something
began), ``is:finding``, ``is:http``, ``is:stderr``, ``is:open`` (a request without a response), ``is:slow`` (over a
second).
Another word is looked for in what was said, whole. A minus before a word turns it round; quotes keep words together.
All of them have to be true.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from ..views import RecordView

__all__ = ["RecordSearch"]

_WORD: Final = re.compile(r'(-?)(?:([a-z]+):)?(?:"([^"]*)"|(\S+))')
_LONGEST: Final = 1000
_SLOW: Final = 1.0

Test = Callable[[RecordView], bool]


class RecordSearch:
    """A search that was read from text. ``problem``: a word that says nothing, as a sentence; "" for none. ``plain``:
    whether no text has to be looked for.
    """

    def __init__(self, text: str) -> None:
        self.problem = ""
        self._tests: list[Test] = []
        self._rules: list[tuple[bool, str]] = []
        self._texts: list[tuple[bool, bytes]] = []
        for minus, field, quoted, word in _WORD.findall(text[:_LONGEST]):
            self._add(not minus, field, quoted or word)

    @property
    def plain(self) -> bool:
        """Whether it needs nothing but the records themselves."""
        return not self._texts

    def matches(self, record: RecordView, rules: frozenset[str]) -> bool:
        """Whether a record is one of those that are looked for, as far as that is known without its text. ``rules``: of
        its findings.
        """
        return all(test(record) for test in self._tests) and all(
            (rule in rules) is wanted for wanted, rule in self._rules
        )

    def found_in(self, line: bytes) -> bool:
        """Whether its text is: ``line`` is the whole line of the capture, in lower case."""
        return all((text in line) is wanted for wanted, text in self._texts)

    def _add(self, wanted: bool, field: str, word: str) -> None:
        if field == "rule":
            self._rules.append((wanted, word))
            return
        if not field:
            self._texts.append((wanted, word.lower().encode()))
            return
        test = _test(field, word)
        if test is None:
            self.problem = f"{field}:{word} says nothing that can be looked for"
            self._texts.append((wanted, f"{field}:{word}".lower().encode()))
            return
        self._tests.append(test if wanted else lambda record: not test(record))


def _test(field: str, word: str) -> Test | None:
    match field:
        case "method":
            if word.endswith("*"):
                return lambda record: record.method.startswith(word[:-1])
            return lambda record: record.method == word
        case "name":
            return lambda record: word in record.name
        case "id":
            return lambda record: str(record.id) == word
        case "link" | "group" | "exchange" | "revision":
            return lambda record: str(getattr(record, field)) == word
        case "from":
            return lambda record: record.sender == word
        case "status":
            return lambda record: str(record.status) == word
        case "kind":
            return lambda record: record.kind == word
        case "is":
            return _STATES.get(word)
        case _:
            return None


_STATES: Final[dict[str, Test]] = {
    "error": lambda record: record.kind == "error" or record.status >= 400,
    "call": lambda record: record.kind == "request" and record.group == record.n,
    "finding": lambda record: bool(record.findings),
    "http": lambda record: bool(record.exchange),
    "stderr": lambda record: record.kind == "stderr",
    "open": lambda record: record.kind == "request" and not record.pair,
    "slow": lambda record: (record.latency or 0.0) > _SLOW,
}
