"""Judging a recorded conversation line by line, while it goes on or afterwards.

Theory of operation. Each line of a capture goes through the rules of its kind: what of HTTP it has (`http_rules`), its
envelope (`envelopes`), and then, by what it says, the rules of requests, answers and notifications, which look things
up
in a `Memory` of bounded size. At last the message is held against the schema of its method (`schema_rules`), which says
nothing of places where a rule has said what is wrong. There is no I/O and no clock; what was said when is in the line.

A server that does not speak a revision cannot break it: what answers a probe in a stateless revision is judged by its
rules only when the server has shown that it knows them.

Specification: basic/index and the pages of each rule.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from msgspec import UNSET

from ..capture.lines import CaptureLine
from ..protocol import codec, names
from ..protocol.revisions import PROFILES, Feature
from . import (
    answer_rules,
    capability_rules,
    content_rules,
    envelopes,
    http_rules,
    listing_rules,
    meta_rules,
    round_rules,
    schema_rules,
    session_rules,
    subscription_rules,
    task_rules,
)
from .findings import Finding
from .heard import Heard, LineReport, pointer
from .memory import MAX_TALKS, HeardConversation, HTTPExchange, Memory, size_of

__all__ = ["Linter", "lint_capture"]

_CALLS = (
    session_rules.call,
    meta_rules.call,
    capability_rules.call,
    answer_rules.call,
    round_rules.call,
    subscription_rules.call,
    task_rules.call,
    listing_rules.call,
    content_rules.call,
    http_rules.call,
)
_ANSWERS = (
    meta_rules.answer,
    capability_rules.answer,
    round_rules.answer,
    subscription_rules.answer,
    task_rules.answer,
    listing_rules.answer,
    content_rules.answer,
    http_rules.answer,
)


class Linter:
    """Judges the lines of one capture, in their order: `line` says what is wrong with each, `end` what is missing when
    there are no more.

    It never raises, whatever a line says, and what it remembers is bounded: the least recent conversations, requests
    and names are forgotten first, and then nobody is blamed for what belongs to them.
    """

    def __init__(self) -> None:
        self._memory = Memory()
        self._count = 0
        self._opened: set[int] = set()

    def line(self, line: CaptureLine) -> list[Finding]:
        """What is wrong with a line: nothing, for most of them."""
        if line.mark is not UNSET or line.sender is UNSET:
            if line.mark == "open" and len(self._opened) < MAX_TALKS:
                self._opened.add(line.link)
            return []
        say = LineReport(line)
        exchange = self._exchange(line)
        if exchange is not None and not exchange.ours:
            return []
        talk = self._talk(line) if exchange is None else exchange.talk
        if exchange is not None:
            http_rules.line(line, exchange, self._memory, say)
        data = b"" if line.body is UNSET else bytes(line.body)
        if data:
            self._body(line, data, talk, exchange, say)
        elif (line.text or line.base64) and envelopes.should_be_json(line, exchange):
            say(
                "not-json",
                "it is text, and a message is JSON" if line.text else "it is neither JSON nor text",
            )
        if exchange is not None:
            http_rules.after(line, exchange, self._memory, say)
        return say.found

    def end(self) -> list[Finding]:
        """What is missing, now that nothing more comes."""
        return answer_rules.unanswered(self._memory)

    def _body(
        self,
        line: CaptureLine,
        data: bytes,
        talk: HeardConversation,
        exchange: HTTPExchange | None,
        say: LineReport,
    ) -> None:
        try:
            value: Any = codec.decode(data)
        except (*codec.DECODE_ERRORS, OverflowError, RecursionError):
            if envelopes.should_be_json(line, exchange):
                say("not-json", "it is no JSON that can be read")
            return
        profile = PROFILES.get(line.revision)
        if isinstance(value, list):
            batch = cast("list[Any]", value)
            allowed = profile is None or profile.has(Feature.BATCHES)
            envelopes.batch(batch, say, allowed=allowed, revision=line.revision)
            for at, each in enumerate(batch[: envelopes.MAX_BATCH]):
                say.begin(pointer(at))
                self._message(each, line, say, talk, exchange, len(data))
            say.begin("")
        elif exchange is not None and exchange.status >= 300 and not envelopes.is_message(value):
            return  # a refusal by HTTP alone
        else:
            self._message(value, line, say, talk, exchange, len(data))

    def _message(
        self,
        value: Any,
        line: CaptureLine,
        say: LineReport,
        talk: HeardConversation,
        exchange: HTTPExchange | None,
        size: int,
    ) -> None:
        if not isinstance(value, dict):
            say("not-a-message", "it is no object")
            return
        message = cast("dict[str, Any]", value)
        heard = Heard(message, line, say, self._memory, talk, exchange, PROFILES.get(line.revision), size)
        if not envelopes.message(heard):
            answer_rules.unreadable(heard)
            return
        if heard.is_call:
            known = envelopes.method(heard)
            for rules in _CALLS:
                rules(heard)
            if known:
                schema_rules.call(heard)
            return
        if answer_rules.answer(heard):
            session_rules.answer(heard)
            if envelopes.judged(heard):
                for rules in _ANSWERS:
                    rules(heard)
                schema_rules.answer(heard)
            answer_rules.ended(heard)

    def _talk(self, line: CaptureLine, session: str = "", *, anew: bool = False) -> HeardConversation:
        key = (line.link, session)
        found = None if anew else self._memory.talks.get(key)
        if found is None:
            self._count += 1
            found = HeardConversation(self._count, line.link, begun=not session and line.link in self._opened)
            found.session = session
            self._memory.talks.put(key, found, 500 + len(session))
        return found

    def _exchange(self, line: CaptureLine) -> HTTPExchange | None:
        """The exchange of HTTP that a line is of; None where it is of none."""
        http = line.http
        if http is None:
            return None
        found = self._memory.exchanges.get((http.exchange,))
        if found is None or http.method:
            session = http.headers.get(names.HEADER_SESSION, "")
            begins = http_rules.initializes(line)
            talk = self._talk(line, session)
            if begins and not session and talk.initialize_asked:
                talk = self._talk(line, anew=True)
                talk.begun = True
            found = HTTPExchange(http.exchange, talk, method=http.method, line=line.n, initializes=begins)
            http_rules.begin(line, found)
            self._memory.exchanges.put((http.exchange,), found, size_of(*http.headers.values()))
        if http.status and found.initializes:
            issued = http.headers.get(names.HEADER_SESSION, "")
            if issued and not found.talk.session:
                found.talk.session = issued
                self._memory.talks.put((line.link, issued), found.talk, 500 + len(issued))
        return found


def lint_capture(lines: Iterable[CaptureLine]) -> list[Finding]:
    """All that is wrong in a whole capture, which a `Capture` is, too."""
    linter = Linter()
    found = [finding for line in lines for finding in linter.line(line)]
    return found + linter.end()
