"""The messages in the lines of a capture, opened as far as whoever puts them together has to look.

Theory of operation. A capture may hold anything: what is no message is none here, and nothing raises. Parameters and
results stay bytes; `SaidParams` and `SaidResult` read those of their members that say what belongs to what.

Specification: basic/index, "Messages"; basic/patterns; docs/recording.md, "The format".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeVar, cast

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from dovetail.recording import CaptureLine
from dovetail.types import DECODE_ERRORS

__all__ = [
    "LONGEST",
    "UNREADABLE",
    "SaidMessage",
    "SaidResult",
    "SaidParams",
    "RequestKey",
    "key_of",
    "messages_of",
    "result_of",
    "params_of",
    "plain",
    "said_capabilities",
    "short",
    "without_envelope",
]

UNREADABLE: Final = (*DECODE_ERRORS, RecursionError, OverflowError, TypeError)
"""What reading a part of a message may raise."""

LONGEST: Final = 200
"""Characters of a name, an address or a text that are kept of it."""

RequestKey = int | str

_META: Final = "_meta"
_PREFIX: Final = "io.modelcontextprotocol/"
_CAPABILITIES: Final = f"{_PREFIX}clientCapabilities"


class SaidMessage(Struct, frozen=True):
    """One message. ``id``: UNSET where it has none. ``params``, ``result``: as bytes."""

    id: Any | UnsetType = UNSET
    method: Any = None
    params: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Any = None

    @property
    def is_request(self) -> bool:
        """Whether it asks for an answer."""
        return isinstance(self.method, str) and self.id is not UNSET

    @property
    def is_notification(self) -> bool:
        """Whether it only tells something."""
        return isinstance(self.method, str) and self.id is UNSET

    @property
    def is_response(self) -> bool:
        """Whether it answers something."""
        return self.method is None and (self.result is not UNSET or self.error is not None)

    @property
    def name(self) -> str:
        """Its method, cut to a bounded length; "" for none."""
        return short(self.method)


class SaidParams(Struct, frozen=True):
    """Members of parameters that say what a request is about and belongs to."""

    name: Any = None
    uri: Any = None
    meta: Any = msgspec.field(default=None, name="_meta")
    request_state: Any = msgspec.field(default=None, name="requestState")
    input_responses: Any = msgspec.field(default=None, name="inputResponses")
    request_id: Any = msgspec.field(default=None, name="requestId")
    progress_token: Any = msgspec.field(default=None, name="progressToken")
    task_id: Any = msgspec.field(default=None, name="taskId")
    status: Any = None

    @property
    def target(self) -> str:
        """The name of the tool or prompt, or the URI of the resource; "" for neither."""
        return short(self.name) or short(self.uri)

    @property
    def marks(self) -> dict[str, Any]:
        """Its ``_meta``."""
        return cast("dict[str, Any]", self.meta) if isinstance(self.meta, dict) else {}

    @property
    def answers(self) -> dict[str, Any]:
        """The answers of a round, by key."""
        given = self.input_responses
        return cast("dict[str, Any]", given) if isinstance(given, dict) else {}

    @property
    def continues(self) -> bool:
        """Whether it goes on with a call that asked something."""
        return isinstance(self.request_state, str) or isinstance(self.input_responses, dict)


class SaidResult(Struct, frozen=True):
    """Members of a result that say what became of the request."""

    is_error: Any = msgspec.field(default=None, name="isError")
    result_type: Any = msgspec.field(default=None, name="resultType")
    request_state: Any = msgspec.field(default=None, name="requestState")
    input_requests: Any = msgspec.field(default=None, name="inputRequests")
    task: Any = None
    task_id: Any = msgspec.field(default=None, name="taskId")
    status: Any = None
    action: Any = None

    @property
    def questions(self) -> dict[str, Any]:
        """The questions of a round, by key."""
        asked = self.input_requests
        return cast("dict[str, Any]", asked) if isinstance(asked, dict) else {}

    @property
    def started(self) -> tuple[str, str]:
        """Id and status of the task that a result or a notification tells of; "" for none."""
        given = cast("dict[str, Any]", self.task) if isinstance(self.task, dict) else None
        if given is not None:
            return short(given.get("taskId")), short(given.get("status"))
        return short(self.task_id), short(self.status)


_message: Final = msgspec.json.Decoder(SaidMessage)
_batch: Final = msgspec.json.Decoder(list[Raw])
_params: Final = msgspec.json.Decoder(SaidParams)
_result: Final = msgspec.json.Decoder(SaidResult)
_plain: Final = msgspec.json.Decoder()
T = TypeVar("T")


def messages_of(line: CaptureLine) -> Iterator[SaidMessage]:
    """The messages of a line: none, one, or those of a batch."""
    if line.body is UNSET or line.sender is UNSET:
        return
    body = bytes(line.body)
    for each in _read(_batch, body, []) if body[:1] == b"[" else (body,):
        found = _read(_message, each, None)
        if found is not None:
            yield found


def params_of(message: SaidMessage) -> SaidParams:
    """What the parameters of a message say; nothing for what is none."""
    return SaidParams() if message.params is UNSET else _read(_params, message.params, SaidParams())


def result_of(message: SaidMessage) -> SaidResult:
    """What the result of a response says; nothing for what is none."""
    return SaidResult() if message.result is UNSET else _read(_result, message.result, SaidResult())


def plain(part: Raw | UnsetType) -> Any:
    """A part of a message as plain values; None for what is none."""
    return None if part is UNSET else _read(_plain, part, None)


def key_of(id: Any) -> RequestKey:
    """An id as a key: a capture may have anything in its place."""
    return id if isinstance(id, (int, str)) and not isinstance(id, bool) else repr(id)[:LONGEST]


def short(value: Any) -> str:
    """A text of bounded length; "" for what is none."""
    return value[:LONGEST] if isinstance(value, str) else ""


def said_capabilities(message: Any) -> dict[str, Any] | None:
    """What a request of a client, as plain values, says that this can do: in the handshake, or in its ``_meta``; None
    where it says nothing of it.
    """
    params = _members(_members(message).get("params"))
    said: Any = params.get("capabilities") if _members(message).get("method") == "initialize" else None
    if said is None:
        said = _members(params.get(_META)).get(_CAPABILITIES)
    return cast("dict[str, Any]", said) if isinstance(said, dict) else None


def without_envelope(message: dict[str, Any]) -> dict[str, Any]:
    """A message that was recorded, without what the client writes into each message by itself."""
    if not isinstance(message.get("params"), dict):
        return message
    params = dict(_members(message["params"]))
    meta = _members(params.pop(_META, None))
    own = {name: meta[name] for name in meta if name != "progressToken" and not name.startswith(_PREFIX)}
    return {**message, "params": {**params, _META: own} if own else params}


def _members(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _read(decoder: Any, data: Any, otherwise: T) -> Any | T:
    try:
        return decoder.decode(data)
    except UNREADABLE:
        return otherwise
