"""Spans made of the lines of a capture, one by one, also while it is written.

Theory of operation. `Spans.line` gives what a line began, changed and ended. A response belongs to the request of its
exchange, or else of its link, with its id; what a server asks or tells belongs to the call on whose stream it came,
whose token it names, or, where nothing says so, to the newest that is open. A call that asks back goes on with the
request that brings its state: the requests are its rounds, what was asked its questions, from the answer that asks to
the request that answers. A task is followed by its id.

What is open is kept, and no more of it than `MOST`; beyond that the oldest is let go of, and its outcome is "unknown".

Specification: basic/lifecycle; basic/patterns (mrtr); basic/transports; server/utilities; 2025-11-25
basic/utilities/tasks; the tasks extension.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeVar, cast

from msgspec import UNSET, Struct

from dovetail.recording import CaptureLine

from ..messages import (
    LONGEST,
    SaidMessage,
    SaidParams,
    key_of,
    messages_of,
    params_of,
    result_of,
    short,
)
from .lanes import SpanLanes
from .span import Note, Span, SpanKind, SpanOutcome

__all__ = ["MOST", "Spans"]

MOST: Final = 10_000
"""Spans, requests and tasks that may be open at once."""
_NOTES: Final = 64
_LISTEN: Final = "subscriptions/listen"
_SUBSCRIBE: Final = "resources/subscribe"
_UNSUBSCRIBE: Final = "resources/unsubscribe"
_CANCELLED: Final = "notifications/cancelled"
_PROGRESS: Final = "notifications/progress"
_TASK_RESULT: Final = "tasks/result"
_TOKEN: Final = "progressToken"  # noqa: S105 - a key, not a secret
_SUBSCRIPTION: Final = "io.modelcontextprotocol/subscriptionId"
_TRACE: Final = "traceparent"
_SESSION: Final = "mcp-session-id"
_ANSWERED: Final[dict[str, SpanOutcome]] = {"accept": "ok", "decline": "declined", "cancel": "cancelled"}
_TASK_ENDS: Final[dict[str, SpanOutcome]] = {"completed": "ok", "failed": "failed", "cancelled": "cancelled"}

T = TypeVar("T")


class _AskedSpan(Struct, eq=False):
    """A request without its answer. ``call``: the whole, which has ``rounds`` where it asks back; ``turn``: the round
    of this request; ``waiting``: it was answered with ``questions``, by key, and is gone on with or given up.
    """

    call: Span
    turn: Span | None = None
    rounds: int = 1
    token: tuple[int, str] | None = None
    waiting: bool = False
    questions: dict[str, Span] = {}


class _ExchangeSpan(Struct, eq=False):
    """An HTTP request: its span, that of its events, the requests that it carried."""

    span: Span
    stream: Span | None = None
    carried: list[_AskedSpan] = []


class _LinkSpans(Struct, eq=False):
    """A connection: its span and what of it is open."""

    span: Span
    lanes: SpanLanes
    open: dict[int, Span] = {}
    newest: dict[int, _AskedSpan] = {}  # calls without an answer


class Spans:
    """Makes the spans of one capture: give it each line. ``seconds``: when the last line was."""

    def __init__(self, most: int = MOST) -> None:
        self.seconds = 0.0
        self._most = most
        self._count = 0
        self._open: dict[int, Span] = {}
        self._links: dict[int, _LinkSpans] = {}
        self._asked: dict[tuple[int, str, Any], _AskedSpan] = {}
        self._exchanges: dict[int, _ExchangeSpan] = {}
        self._states: dict[Any, _AskedSpan] = {}
        self._tokens: dict[tuple[int, str], _AskedSpan] = {}
        self._tasks: dict[str, Span] = {}
        self._watched: dict[tuple[int, str], Span] = {}
        self._changed: dict[int, Span] = {}

    @property
    def open(self) -> Iterator[Span]:
        """What has not ended."""
        return iter(self._open.values())

    def line(self, line: CaptureLine) -> list[Span]:
        """The spans that a line began, changed or ended, in this order of their numbers. Never raises."""
        self._changed = {}
        self.seconds = max(self.seconds, line.seconds)
        if line.mark is not UNSET:
            self._mark(line)
        else:
            self._said(line)
        found = self._changed
        self._changed = {}
        return [found[each] for each in sorted(found)]

    # Lines

    def _mark(self, line: CaptureLine) -> None:
        if line.mark == "open":
            self._closed(line, line.link)
            self._link(line)
        elif line.mark == "close":
            self._closed(line, line.link)

    def _closed(self, line: CaptureLine, number: int) -> None:
        link = self._links.pop(number, None)
        if link is None:
            return
        for each in tuple(link.open.values()):
            if each.kind == "task":
                continue  # it goes on without its connection
            lasting = each.kind in ("connection", "subscription", "stream")
            self._end(each, line, "closed" if lasting else "unanswered")

    def _said(self, line: CaptureLine) -> None:
        http = line.http
        exchange = None if http is None else self._exchanges.get(http.exchange)
        requests: list[_AskedSpan] = []
        if http is not None and http.status and exchange is not None:
            exchange.span.code = http.status
            self._changed[exchange.span.id] = exchange.span
        for message in messages_of(line):
            if message.is_request:
                requests.append(self._request(line, message, exchange))
            elif message.is_notification:
                self._notification(line, message, exchange)
            elif message.is_response:
                self._response(line, message, exchange)
        if http is None:
            return
        if line.sender == "client" and http.method:
            self._http(line, requests)
        elif exchange is not None and http.end:
            self._http_end(line, exchange)
        elif exchange is not None and http.status:
            stream = self._begin(line, "stream", "events", exchange.span, method=exchange.span.method)
            exchange.stream = stream

    # HTTP

    def _http(self, line: CaptureLine, carried: list[_AskedSpan]) -> None:
        assert line.http is not None  # noqa: S101 - said by its one caller
        method, path = short(line.http.method), short(line.http.target.partition("?")[0])
        parent = (carried[0].turn or carried[0].call) if carried else None
        name = f"{method} {path}"
        span = self._begin(line, "http", name, parent, method=method, target=path)
        span.session = short(line.http.headers.get(_SESSION, ""))
        for each in carried:
            each.call.session = each.call.session or span.session
        self._put(self._exchanges, line.http.exchange, _ExchangeSpan(span=span, carried=carried))

    def _http_end(self, line: CaptureLine, exchange: _ExchangeSpan) -> None:
        assert line.http is not None  # noqa: S101 - said by its one caller
        broken, code = line.http.end == "broken", exchange.span.code or 0
        outcome: SpanOutcome = "broken" if broken else "error" if code >= 400 else "ok"
        if exchange.stream is not None:
            self._end(exchange.stream, line, "broken" if broken else "ok")
        self._end(exchange.span, line, outcome)
        self._exchanges.pop(line.http.exchange, None)
        for each in exchange.carried:
            if code >= 400:  # a refusal that is no message of the protocol
                self._finish(each, line, "error", code)
            elif line.era == "stateless":  # nobody comes back for the answer
                self._finish(each, line, "cancelled" if broken else "unanswered")

    # Requests

    def _request(self, line: CaptureLine, message: SaidMessage, exchange: _ExchangeSpan | None) -> _AskedSpan:
        params, method = params_of(message), message.name
        asked = self._continued(line, method, params) if line.sender == "client" else None
        if asked is None:
            kind: SpanKind = "question" if line.sender == "server" else "call"
            if method == _LISTEN:
                kind = "subscription"
            parent = self._whose(line, params, exchange) if kind == "question" else self._tasks.get(
                short(params.task_id)
            )  # fmt: skip
            name = f"{method} {params.target}".rstrip()
            call = self._begin(line, kind, name, parent, method=method, target=params.target)
            call.request = _shown(message.id)
            call.trace = short(params.marks.get(_TRACE))
            asked = _AskedSpan(call)
        if params.marks.get(_TOKEN) is not None:
            asked.token = (line.link, str(params.marks[_TOKEN])[:LONGEST])
            self._put(self._tokens, asked.token, asked)
        self._put(self._asked, (line.link, str(line.sender), key_of(message.id)), asked)
        if line.sender == "client" and asked.call.kind == "call":
            newest = self._link(line).newest
            newest.pop(asked.call.id, None)
            self._put(newest, asked.call.id, asked)
        return asked

    def _continued(self, line: CaptureLine, method: str, params: SaidParams) -> _AskedSpan | None:
        """The call that a request goes on with; what it had asked is answered by it."""
        if not params.continues:
            return None
        asked: _AskedSpan | None = None
        for key in (_state_key(params.request_state), (line.link, method, params.target)):
            asked = asked or (self._states.pop(key, None) if key is not None else None)
        if asked is None or asked.call.id not in self._open:
            return None
        for key, question in asked.questions.items():
            answer = params.answers.get(key)
            action: Any = cast("dict[str, Any]", answer).get("action") if isinstance(answer, dict) else None
            said = _ANSWERED.get(action, "ok") if isinstance(action, str) else "ok"
            self._end(question, line, said if answer is not None else "unanswered")
        number = asked.rounds + 1
        turn = self._turn(line, asked.call, number, line.seconds, line.n)
        return _AskedSpan(asked.call, turn, number)

    def _turn(self, line: CaptureLine, call: Span, number: int, start: float, record: int) -> Span:
        turn = self._begin(line, "round", f"{call.name}, round {number}", call, lane=call.lane)
        turn.start, turn.record = start, record
        turn.method, turn.target = call.method, call.target
        call.rounds = number
        return turn

    def _whose(self, line: CaptureLine, params: SaidParams, exchange: _ExchangeSpan | None) -> Span | None:
        """What a server's message belongs to; None for nothing in particular."""
        marked = params.marks.get(_SUBSCRIPTION)
        if marked is not None:
            found = self._asked.get((line.link, "client", key_of(marked)))
            return None if found is None else found.call
        if params.progress_token is not None:
            found = self._tokens.get((line.link, str(params.progress_token)[:LONGEST]))
            return None if found is None else found.call
        if exchange is not None and exchange.carried:
            return exchange.carried[-1].call
        newest = self._link(line).newest
        return next((newest[each].call for each in reversed(newest)), None)

    # Answers

    def _response(self, line: CaptureLine, message: SaidMessage, exchange: _ExchangeSpan | None) -> None:
        asker = "client" if line.sender == "server" else "server"
        key = (line.link, asker, key_of(message.id))
        asked = self._asked.get(key)
        if exchange is not None and asker == "client" and asked not in exchange.carried:
            same = [each for each in exchange.carried if each.call.request == _shown(message.id)]
            asked = same[0] if same else asked
            if asked is None and len(exchange.carried) == 1 and message.id in (None, UNSET):
                asked = exchange.carried[0]  # a refusal of a request whose id could not be read
        if asked is None:
            return
        if self._asked.get(key) is asked:
            del self._asked[key]
        if message.result is UNSET:
            error = cast("dict[str, Any]", message.error) if isinstance(message.error, dict) else {}
            code = error.get("code")
            self._finish(
                asked, line, "error", code if type(code) is int else None, short(error.get("message"))
            )
            return
        self._result(line, message, asked)

    def _result(self, line: CaptureLine, message: SaidMessage, asked: _AskedSpan) -> None:
        found, call = result_of(message), asked.call
        if found.result_type == "input_required":
            self._asks(line, asked, found.questions, found.request_state)
            return
        task, status = found.started
        if task and call.kind == "call" and (found.task is not None or found.result_type == "task"):
            span = self._begin(line, "task", f"task {task}", call, method=call.method, target=call.target)
            span.request = task
            self._put(self._tasks, task, span)
            self._finish(asked, line, "task")
            self._status(line, task, status)
            return
        outcome: SpanOutcome = "failed" if found.is_error is True else "ok"
        if call.kind == "question" and isinstance(found.action, str):
            outcome = _ANSWERED.get(found.action, "ok")
        self._finish(asked, line, outcome)
        if task and status:
            self._status(line, task, status)
        elif call.method == _TASK_RESULT and (span := self._owner(call)) is not None:
            self._end(span, line, outcome)
        self._watching(line, call)

    def _asks(self, line: CaptureLine, asked: _AskedSpan, questions: dict[str, Any], state: Any) -> None:
        """A call asks back: its round is over, and its questions are open."""
        call = asked.call
        turn = asked.turn or self._turn(line, call, 1, call.start, call.record)
        self._end(turn, line, "input-required")
        asked.turn, asked.waiting = None, True
        for key, question in list(questions.items())[:LONGEST]:
            given: Any = cast("dict[str, Any]", question).get("method") if isinstance(question, dict) else ""
            method = short(given)
            span = self._begin(line, "question", method or short(key), call, method=method)
            span.sender, span.request = "server", short(key)
            asked.questions[key] = span
        self._put(self._states, _state_key(state) or (line.link, call.method, call.target), asked)

    def _finish(
        self,
        asked: _AskedSpan,
        line: CaptureLine,
        outcome: SpanOutcome,
        code: int | None = None,
        message: str = "",
    ) -> None:
        """A request has its answer, or will have none."""
        if asked.token is not None and self._tokens.get(asked.token) is asked:
            del self._tokens[asked.token]
        if asked.waiting:
            return  # it is the client's turn
        for each in (asked.turn, asked.call):
            if each is not None and each.id in self._open:
                each.code, each.message = code, message
                self._end(each, line, outcome)
        if (link := self._links.get(asked.call.link)) is not None:
            link.newest.pop(asked.call.id, None)

    def _watching(self, line: CaptureLine, call: Span) -> None:
        """A subscription of the stateful era begins or ends with a call's answer."""
        key = (line.link, call.target)
        if call.outcome != "ok" or call.method not in (_SUBSCRIBE, _UNSUBSCRIBE):
            return
        before = self._watched.pop(key, None)
        if call.method == _UNSUBSCRIBE:
            if before is not None:
                self._end(before, line, "closed")
        elif before is not None and before.id in self._open:
            self._watched[key] = before
        else:
            name = f"subscription {call.target}"
            span = self._begin(line, "subscription", name, None, method=call.method, target=call.target)
            self._put(self._watched, key, span)

    # Notifications and tasks

    def _notification(self, line: CaptureLine, message: SaidMessage, exchange: _ExchangeSpan | None) -> None:
        params = params_of(message)
        if message.name == _CANCELLED:
            asked = self._asked.get((line.link, str(line.sender), key_of(params.request_id)))
            if asked is not None:
                self._finish(asked, line, "cancelled")
            return
        task, status = short(params.task_id), short(params.status)
        if task and status and task in self._tasks:
            self._status(line, task, status)
            return
        owner = self._whose(line, params, exchange) if line.sender == "server" else None
        if owner is not None and owner.id in self._open and len(owner.notes) < _NOTES:
            owner.notes.append(Note(line.n, line.seconds, message.name))
            self._changed[owner.id] = owner

    def _status(self, line: CaptureLine, task: str, status: str) -> None:
        span, outcome = self._tasks.get(task), _TASK_ENDS.get(status)
        if span is not None and outcome is not None:
            self._end(span, line, outcome)
            del self._tasks[task]

    def _owner(self, call: Span) -> Span | None:
        found = self._open.get(call.parent)
        return found if found is not None and found.kind == "task" else None

    # Spans

    def _begin(
        self,
        line: CaptureLine,
        kind: SpanKind,
        name: str,
        parent: Span | None,
        *,
        lane: int | None = None,
        method: str = "",
        target: str = "",
    ) -> Span:
        link = self._link(line)
        self._count += 1
        span = Span(
            id=self._count,
            kind=kind,
            name=name,
            link=line.link,
            start=line.seconds,
            record=line.n,
            lane=link.lanes.take() if lane is None else lane,
            parent=(parent or link.span).id,
            root=self._count if parent is None else parent.root,
            sender="" if line.sender is UNSET else line.sender,
            method=method,
            target=target,
            revision=line.revision,
            transport=line.transport,
        )
        self._keep(span, link)
        return span

    def _keep(self, span: Span, link: _LinkSpans) -> None:
        if len(self._open) >= self._most:
            oldest = next(iter(self._open.values()))
            oldest.outcome = "unknown"
            self._drop(oldest)
        self._open[span.id] = link.open[span.id] = self._changed[span.id] = span

    def _end(self, span: Span, line: CaptureLine, outcome: SpanOutcome) -> None:
        if span.id in self._open:
            span.end, span.ended, span.outcome = line.seconds, line.n, outcome
            self._drop(span)

    def _drop(self, span: Span) -> None:
        self._changed[span.id] = span
        del self._open[span.id]
        link = self._links.get(span.link)
        if link is not None and link.open.pop(span.id, None) is not None and span.kind != "round":
            link.lanes.give(span.lane)

    def _link(self, line: CaptureLine) -> _LinkSpans:
        """The link of a line, begun here where the capture has no beginning of it."""
        link = self._links.get(line.link)
        if link is None:
            self._count += 1
            name = short(line.target) or f"{line.transport} {line.link}".strip()
            span = Span(
                id=self._count,
                kind="connection",
                name=name,
                link=line.link,
                start=line.seconds,
                record=line.n,
                root=0,
                transport=line.transport,
            )
            lanes = SpanLanes()
            span.lane = lanes.take()
            link = _LinkSpans(span=span, lanes=lanes)
            self._put(self._links, line.link, link)
            self._keep(span, link)
        return link

    def _put(self, table: dict[Any, T], key: Any, value: T) -> None:
        if key not in table and len(table) >= self._most:
            table.pop(next(iter(table)))
        table[key] = value


def _state_key(state: Any) -> str | None:
    return state if isinstance(state, str) and state else None


def _shown(id: Any) -> Any:
    return id if isinstance(id, int) else key_of(id)
