"""What was said in a capture, put together: each request of a client with all that belongs to it.

Theory of operation. A line is a message; what a program wants to know is a call: the request, what the server told and
asked before it answered, and the answer. A response belongs to the request with its id. What the server said besides
belongs to the request on whose stream it came, whose progress token or subscription it names, or, on a channel that
carries everything, to the one that was asked last and not yet answered. Changes belong to nothing; when they came is
kept.

Specification: basic/index "Messages"; basic/patterns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, cast

from msgspec import UNSET, Struct, field

from ..capture.lines import CaptureLine
from ..capture.reading import Capture
from ..extensions import Change
from ..protocol import names

__all__ = ["ClientNotice", "RecordedQuestion", "RecordedCall", "Talk", "ServerNotice", "plain_params"]

_CHANGES: Final = {
    names.NOTIFY_TOOLS_CHANGED: "tools",
    names.NOTIFY_PROMPTS_CHANGED: "prompts",
    names.NOTIFY_RESOURCES_CHANGED: "resources",
    names.NOTIFY_RESOURCE_UPDATED: "resource",
}


class ServerNotice(Struct, kw_only=True):
    """A notification of the server's. ``after``: the line of the request that had been asked last, 0 for none, and
    ``answered``: whether that had its answer by then.
    """

    line: int
    method: str
    params: dict[str, Any]
    after: int = 0
    answered: bool = False

    @property
    def change(self) -> Change | None:
        """The change that it tells of, if it is of one of the protocol's lists or resources."""
        kind = _CHANGES.get(self.method)
        return None if kind is None else Change(kind, str(self.params.get("uri", "")))


class RecordedQuestion(Struct, kw_only=True):
    """A request of the server's, and what came of it: ``result`` or ``error`` is None, both without an answer."""

    line: int
    id: Any
    method: str
    params: dict[str, Any]
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class RecordedCall(Struct, kw_only=True, eq=False):
    """A request of a client's, and what belongs to it. ``line``: its number. ``params`` are as they were; of ``result``
    and ``error`` one is None, both where there was no answer. ``answered``: the line of the answer, 0 for none.
    ``cancelled``: the client gave it up. ``alone``: it was an HTTP request of the stateless era, and belongs to its
    connection in no way. ``later``: changes that were told after its answer, and before the next request.
    """

    line: int
    link: int
    id: Any
    method: str
    params: dict[str, Any]
    revision: str = ""
    http: bool = False
    alone: bool = False
    headers: dict[str, str] = field(default_factory=dict[str, str])
    steps: list[ServerNotice | RecordedQuestion] = field(
        default_factory=list["ServerNotice | RecordedQuestion"]
    )
    later: list[ServerNotice] = field(default_factory=list[ServerNotice])
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    answered: int = 0
    cancelled: bool = False

    @property
    def plain(self) -> dict[str, Any]:
        """Its parameters without ``_meta``."""
        return plain_params(self.params)

    @property
    def token(self) -> Any:
        """The token under which progress is told; None for none."""
        meta = self.params.get(names.META)
        return cast("dict[str, Any]", meta).get(names.META_PROGRESS_TOKEN) if isinstance(meta, dict) else None


class ClientNotice(Struct, kw_only=True):
    """A notification of a client's."""

    line: int
    link: int
    method: str
    params: dict[str, Any]


class Talk:
    """The calls of a capture in the order of their requests. ``notices``: what clients told besides. ``links``: the
    numbers of its connections that have any of either.
    """

    def __init__(self, capture: Capture) -> None:
        self.name: Final = capture.name
        self.calls: Final[list[RecordedCall]] = []
        self.notices: Final[list[ClientNotice]] = []
        self._exchanges: dict[int, list[RecordedCall]] = {}
        self._questions: dict[tuple[int, Any], RecordedQuestion] = {}
        self._open: dict[int, list[RecordedCall]] = {}
        self._waiting: dict[tuple[int, Any], RecordedCall] = {}
        self._marked: dict[tuple[int, str, str], RecordedCall] = {}
        self._last: dict[int, RecordedCall] = {}
        self._latest: RecordedCall | None = None
        for line in capture:
            for message in _messages(line):
                self._take(line, message)
            if line.http is not None and line.http.end:
                self._ended(line)
            if line.mark == "close":
                self._closed(line)

    @property
    def links(self) -> list[int]:
        """See the class."""
        return sorted({each.link for each in (*self.calls, *self.notices)})

    @property
    def conversations(self) -> list[list[int]]:
        """The links in which something was said, those together whose requests stand each for itself."""
        bound = {each.link for each in self.calls if not each.alone}
        together = [each for each in self.links if each not in bound]
        return sorted([*([each] for each in self.links if each in bound), *([together] if together else [])])

    @property
    def revisions(self) -> list[str]:
        """The revisions in which a request was answered, in the order of their first."""
        return list(
            dict.fromkeys(each.revision for each in self.calls if each.result is not None and each.revision)
        )

    def opening(self, method: str) -> RecordedCall | None:
        """The first such request that had a result."""
        return next((each for each in self.calls if each.method == method and each.result is not None), None)

    @property
    def server_info(self) -> dict[str, Any]:
        """What the server called itself; empty where it did not."""
        for each in self.calls:
            if each.result is None:
                continue
            meta = each.result.get(names.META)
            described: Any = (
                each.result.get("serverInfo")
                if each.method == names.INITIALIZE
                else cast("dict[str, Any]", meta).get(names.META_SERVER_INFO)
                if isinstance(meta, dict)
                else None
            )
            if isinstance(described, dict):
                return cast("dict[str, Any]", described)
        return {}

    # Putting it together

    def _take(self, line: CaptureLine, message: dict[str, Any]) -> None:
        id, method = message.get("id"), message.get("method")
        if isinstance(method, str):
            given = message.get("params")
            params = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
            if line.sender == "client":
                self._from_client(line, id, method, params)
            else:
                self._from_server(line, id, method, params)
        elif line.sender == "client":
            question = self._questions.pop((line.link, _key(id)), None)
            if question is not None:
                question.result, question.error = _outcome(message)
        else:
            self._answer(line, id, message)

    def _from_client(self, line: CaptureLine, id: Any, method: str, params: dict[str, Any]) -> None:
        if id is None:
            if method == names.NOTIFY_CANCELLED:
                given_up = self._waiting.get((line.link, _key(params.get("requestId"))))
                if given_up is not None:
                    given_up.cancelled = True
            self.notices.append(ClientNotice(line=line.n, link=line.link, method=method, params=params))
            return
        call = RecordedCall(
            line=line.n,
            link=line.link,
            id=id,
            method=method,
            params=params,
            revision=line.revision,
            http=line.http is not None,
            alone=line.transport == "http" and line.era == "stateless",
            headers={} if line.http is None else line.http.headers,
        )
        self.calls.append(call)
        self._waiting[line.link, _key(id)] = call
        self._marked[line.link, "id", str(id)] = call
        if call.token is not None:
            self._marked[line.link, "token", str(call.token)] = call
        if method not in _LASTING:
            self._open.setdefault(line.link, []).append(call)
            self._last[line.link] = self._latest = call
        if line.http is not None:
            self._exchanges.setdefault(line.http.exchange, []).append(call)

    def _from_server(self, line: CaptureLine, id: Any, method: str, params: dict[str, Any]) -> None:
        step: ServerNotice | RecordedQuestion
        if id is None:
            last = self._latest
            step = ServerNotice(line=line.n, method=method, params=params)
            if last is not None:
                step.after, step.answered = last.line, bool(last.answered)
        else:
            step = self._questions[line.link, _key(id)] = RecordedQuestion(
                line=line.n, id=id, method=method, params=params
            )
        whose = self._whose(line, step)
        if whose is None:
            return
        if isinstance(step, ServerNotice) and step.change is not None and whose.answered:
            whose.later.append(step)
        else:
            whose.steps.append(step)

    def _whose(self, line: CaptureLine, step: ServerNotice | RecordedQuestion) -> RecordedCall | None:
        """The call that something belongs to which the server said; the last one for what belongs to none."""
        meta = step.params.get(names.META)
        marks: dict[str, Any] = cast("dict[str, Any]", meta) if isinstance(meta, dict) else {}
        subscription = marks.get(names.META_SUBSCRIPTION_ID)
        if subscription is not None:
            return self._marked.get((line.link, "id", str(subscription)))
        if step.method == names.NOTIFY_PROGRESS:
            return self._marked.get((line.link, "token", str(step.params.get(names.META_PROGRESS_TOKEN))))
        change = isinstance(step, ServerNotice) and step.change is not None
        exchange = self._exchanges.get(0 if line.http is None else line.http.exchange)
        if exchange and not change:
            return exchange[-1]
        waiting = [each for each in self._open.get(line.link, ()) if not each.answered and not each.cancelled]
        self._open[line.link] = waiting
        return waiting[-1] if waiting else self._last.get(line.link)

    def _answer(self, line: CaptureLine, id: Any, message: dict[str, Any]) -> None:
        exchange = [] if line.http is None else self._exchanges.get(line.http.exchange, [])
        found = next((each for each in exchange if each.id == id and not each.answered), None)
        if found is None:
            found = self._waiting.get((line.link, _key(id)))
        if found is None and id is None and len(exchange) == 1:
            found = exchange[0]  # an error about a request whose id could not be read
        if found is None or found.answered:
            return
        found.result, found.error = _outcome(message)
        found.answered, found.cancelled = line.n, False
        opened = found.method == names.INITIALIZE and found.result is not None  # in what the server chose
        found.revision = (line.revision if opened else "") or found.revision or line.revision
        if self._waiting.get((line.link, _key(id))) is found:
            del self._waiting[line.link, _key(id)]

    def _ended(self, line: CaptureLine) -> None:
        """The response to an HTTP request ended: where it was broken off in the stateless era, the request was given
        up by that.
        """
        if line.http is None or line.http.end != "broken":
            return
        for each in self._exchanges.get(line.http.exchange, ()):
            if not each.answered and line.era == "stateless":
                each.cancelled = True

    def _closed(self, line: CaptureLine) -> None:
        """A link ended: a request of the stateless era that had it for itself was given up by that."""
        for each in self._open.get(line.link, ()):
            if each.alone and not each.answered:
                each.cancelled = True


_LASTING: Final = frozenset({names.SUBSCRIPTIONS_LISTEN})


def plain_params(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters without ``_meta``, and without what says nothing: arguments that are empty."""
    return {
        name: item
        for name, item in params.items()
        if name != names.META and not (name == "arguments" and not item)
    }


def _messages(line: CaptureLine) -> Iterator[dict[str, Any]]:
    """The messages of a line: none, one, or those of a batch."""
    if line.body is UNSET or line.sender is UNSET:
        return
    value = line.value
    for each in cast("list[Any]", value) if isinstance(value, list) else [value]:
        if isinstance(each, dict):
            yield cast("dict[str, Any]", each)


def _key(id: Any) -> Any:
    """An id as a key: a recording may have anything in its place."""
    return id if isinstance(id, (int, str)) else repr(id)


def _outcome(message: dict[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The result, or the error; what is neither is an error that says so."""
    result, error = message.get("result"), message.get("error")
    if isinstance(result, dict):
        return cast("dict[str, Any]", result), None
    if isinstance(error, dict):
        return None, cast("dict[str, Any]", error)
    return None, {"code": -32603, "message": "the recorded response is neither a result nor an error"}
