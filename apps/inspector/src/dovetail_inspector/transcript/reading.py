"""What each line of a capture is, and what belongs together: a request and its response, a call and what it led to.

Theory of operation. Lines are read once, in order. A response belongs to the open request of the other side with its id
on the same link. What a call led to is of its group, whose number is that of the call's request: what stands in the
stream of its HTTP exchange, what names its progress token or its subscription, the next round that gives its request
state back, what is asked about the task that it became, and, on a pipe, what comes while it is the only call that is
open. What is remembered for that is bounded; a hostile stream loses connections between lines, never lines.

Specification: basic/index "Messages"; basic/utilities/progress; 2026-07-28 basic/patterns on input-required results.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Any, Final, Generic, TypeVar, cast

import msgspec
from msgspec import UNSET

from dovetail.recording import CaptureLine

from ..views import RecordKind, RecordView

__all__ = ["LineReader"]

_REMEMBERED: Final = 20_000
_SUMMARY: Final = 160
_NAME: Final = 256
_META: Final = "_meta"
_TASK_META: Final = "io.modelcontextprotocol/related-task"
_SUBSCRIPTION_META: Final = "io.modelcontextprotocol/subscriptionId"

V = TypeVar("V")


class _Recent(Generic[V]):
    """The last so many values by key."""

    def __init__(self) -> None:
        self._values: OrderedDict[Hashable, V] = OrderedDict()

    def put(self, key: Hashable, value: V) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > _REMEMBERED:
            self._values.popitem(last=False)

    def get(self, key: Hashable) -> V | None:
        return self._values.get(key)

    def pop(self, key: Hashable) -> V | None:
        return self._values.pop(key, None)


class LineReader:
    """Reads the lines of one capture, in order."""

    def __init__(self) -> None:
        self._open: _Recent[RecordView] = _Recent()
        self._calls: dict[int, OrderedDict[int, None]] = {}
        self._groups: _Recent[int] = _Recent()
        self._waiting: _Recent[int] = _Recent()

    def read(self, line: CaptureLine, n: int) -> tuple[RecordView, RecordView | None]:
        """The record of a line with this number; and the earlier one that it is
        the answer to, as it is now.
        """
        http = line.http
        value: Any = line.value
        message = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        kind = _kind(line, value)
        record = RecordView(
            n=n,
            seconds=line.seconds,
            time=line.time,
            link=line.link,
            transport=line.transport,
            sender="" if line.sender is UNSET else line.sender,
            kind=kind,
            revision=line.revision,
            size=_size(line),
            summary=_summary(line, kind, value),
        )
        if http is not None:
            record = msgspec.structs.replace(
                record,
                exchange=http.exchange,
                http_method=http.method,
                target=http.target,
                status=http.status,
                event=http.event,
                end=http.end,
            )
        if kind == "request":
            return self._request(record, message), None
        if kind == "notification":
            params = _mapping(message.get("params"))
            record = _said(record, message, params)
            return msgspec.structs.replace(record, group=self._group(record, params)), None
        if kind in ("response", "error"):
            return self._response(record, message)
        return msgspec.structs.replace(record, group=self._of_exchange(record)), None

    def _request(self, record: RecordView, message: dict[str, Any]) -> RecordView:
        params = _mapping(message.get("params"))
        record = _said(record, message, params)
        meta = _mapping(params.get(_META))
        group = self._group(record, params) or record.n
        record = msgspec.structs.replace(record, group=group)
        self._open.put((record.link, record.sender, _key(record.id)), record)
        if record.exchange:
            self._groups.put(("exchange", record.exchange), group)
        token = meta.get("progressToken")
        if isinstance(token, (str, int)):
            self._groups.put(("token", record.link, record.sender, _key(token)), group)
        if record.sender == "client":
            if record.method == "subscriptions/listen":
                self._groups.put(("subscription", record.link, _key(record.id)), group)
            calls = self._calls.setdefault(record.link, OrderedDict())
            calls[record.n] = None
            if len(calls) > _REMEMBERED:
                calls.popitem(last=False)
        return record

    def _response(self, record: RecordView, message: dict[str, Any]) -> tuple[RecordView, RecordView | None]:
        id = message.get("id")
        other = "server" if record.sender == "client" else "client"
        asked = self._open.pop((record.link, other, _key(id)))
        record = msgspec.structs.replace(record, id=_shown_id(id))
        if asked is None:
            return msgspec.structs.replace(record, group=self._of_exchange(record)), None
        if other == "client":
            self._calls.get(record.link, OrderedDict[int, None]()).pop(asked.n, None)
        self._remember(asked, _mapping(message.get("result")))
        record = msgspec.structs.replace(
            record,
            method=asked.method,
            name=asked.name,
            pair=asked.n,
            group=asked.group,
            latency=max(record.seconds - asked.seconds, 0.0),
        )
        return record, msgspec.structs.replace(asked, pair=record.n, latency=record.latency)

    def _remember(self, asked: RecordView, result: dict[str, Any]) -> None:
        """What a result has by which a later request belongs to the same call."""
        if result.get("resultType") == "input_required":
            state = result.get("requestState")
            if isinstance(state, str):
                self._waiting.put(("state", asked.link, hash(state)), asked.group)
            self._waiting.put(("next", asked.link, asked.method, asked.name), asked.group)
        task = _mapping(result.get("task")) or result
        if isinstance(task.get("taskId"), str):
            self._groups.put(("task", task["taskId"]), asked.group)

    def _group(self, record: RecordView, params: dict[str, Any]) -> int:
        """The number of the call that a message belongs to; 0 for none."""
        meta = _mapping(params.get(_META))
        state = params.get("requestState")
        if isinstance(state, str):
            found = self._waiting.get(("state", record.link, hash(state)))
            if found:
                return found
        if "inputResponses" in params:
            found = self._waiting.get(("next", record.link, record.method, record.name))
            if found:
                return found
        task = _mapping(meta.get(_TASK_META)).get("taskId") or params.get("taskId")
        if isinstance(task, str) and (found := self._groups.get(("task", task))):
            return found
        other = "server" if record.sender == "client" else "client"
        token = params.get("progressToken")
        if isinstance(token, (str, int)) and (
            found := self._groups.get(("token", record.link, other, _key(token)))
        ):
            return found
        subscription = meta.get(_SUBSCRIPTION_META)
        if subscription is not None and (
            found := self._groups.get(("subscription", record.link, _key(subscription)))
        ):
            return found
        if record.method == "notifications/cancelled":
            asked = self._open.get((record.link, record.sender, _key(params.get("requestId"))))
            if asked is not None:
                return asked.group
        if record.sender != "server":
            return 0
        if record.exchange:
            return self._of_exchange(record)
        calls = self._calls.get(record.link)
        return next(iter(calls)) if calls is not None and len(calls) == 1 else 0

    def _of_exchange(self, record: RecordView) -> int:
        return (self._groups.get(("exchange", record.exchange)) or 0) if record.exchange else 0


def _kind(line: CaptureLine, value: Any) -> RecordKind:
    if line.mark is not UNSET:
        return "stderr" if line.mark == "stderr" else "mark"
    if line.omitted:
        return "omitted"
    if line.body is UNSET:
        return "text" if line.text or line.base64 else "http"
    if isinstance(value, list):
        return "batch"
    message = _mapping(value)
    if isinstance(message.get("method"), str):
        return "request" if "id" in message else "notification"
    if "result" in message:
        return "response"
    return "error" if "error" in message else "text"


def _said(record: RecordView, message: dict[str, Any], params: dict[str, Any]) -> RecordView:
    """The record with the method, its subject and its id."""
    named = params.get("name")
    if not isinstance(named, str):
        named = next((params[each] for each in ("uri", "taskId") if isinstance(params.get(each), str)), "")
    return msgspec.structs.replace(
        record, method=message["method"][:_NAME], name=named[:_NAME], id=_shown_id(message.get("id"))
    )


def _summary(line: CaptureLine, kind: RecordKind, value: Any) -> str:
    match kind:
        case "mark":
            return f"{line.mark} {line.target}".strip()[:_SUMMARY]
        case "stderr":
            return line.text[:_SUMMARY]
        case "text":
            text = line.text or ("" if line.base64 else _beginning(line) if value is None else str(value))
            return (text or f"{len(line.base64) * 3 // 4} bytes that are no text")[:_SUMMARY]
        case "omitted":
            return f"{line.omitted} bytes, too long to be kept"
        case "batch":
            return f"{len(value)} messages"
        case "request" | "notification":
            params = _mapping(value.get("params"))
            arguments = params.get("arguments")
            return _short(
                {each: params[each] for each in params if each != _META} if arguments is None else arguments
            )
        case "response":
            return _outcome(value.get("result"))
        case "error":
            error = _mapping(value.get("error"))
            return f"{error.get('code')}: {error.get('message')}"[:_SUMMARY]
        case "http":
            return ""


def _beginning(line: CaptureLine) -> str:
    """That of a message which can't be read."""
    return "" if line.body is UNSET else bytes(line.body)[:_SUMMARY].decode("utf-8", "replace")


def _outcome(result: Any) -> str:
    """A few words of a result: its first text, else the whole."""
    members = _mapping(result)
    content: Any = members.get("content")
    if isinstance(content, list):
        for block in cast("list[Any]", content):
            text = _mapping(block).get("text")
            if isinstance(text, str):
                return text[:_SUMMARY]
    return _short({each: members[each] for each in members if each != _META} if members else result)


def _short(value: Any) -> str:
    """JSON, cut; of a value that is long, only its beginning is written."""
    if value in ({}, None):
        return ""
    pieces: list[str] = []
    length = 0
    for piece in _written(value):
        pieces.append(piece)
        length += len(piece)
        if length > _SUMMARY:
            break
    return "".join(pieces)[:_SUMMARY]


_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(", ", ": "))


def _written(value: Any) -> Iterator[str]:
    try:
        yield from _ENCODER.iterencode(_cut(value, 6))
    except (RecursionError, ValueError):
        yield "..."


def _cut(value: Any, depth: int) -> Any:
    """A value that shows the same at its beginning, and is small."""
    if isinstance(value, str):
        return value[:_SUMMARY]
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        few = list(members)[:12]
        return {each[:_NAME]: _cut(members[each], depth - 1) for each in few} if depth else {}
    if isinstance(value, list):
        return [_cut(each, depth - 1) for each in cast("list[Any]", value)[:12]] if depth else []
    return value


def _mapping(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _key(id: Any) -> Hashable:
    """An id as a key: 1 and "1" are two, and whatever is no id is none of these."""
    return (type(id).__name__, id) if isinstance(id, (str, int, float)) else (type(id).__name__, "")


def _shown_id(id: Any) -> Any:
    return id if isinstance(id, (int, float, bool)) or id is None else str(id)[:_NAME]


def _size(line: CaptureLine) -> int:
    """Bytes of the message, without the rest of the line as far as that is known."""
    if line.omitted:
        return line.omitted
    if line.body is not UNSET:
        return len(bytes(line.body))
    if line.text:
        return len(line.text.encode("utf-8", "replace"))
    return len(line.base64) * 3 // 4
