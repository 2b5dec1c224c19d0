"""What a server said in a recording that is not as its revision has it.

Theory of operation. Each message of the server's is opened as every message is, then read as the type that its revision
gives it: a result as that of the method it answers, a question or notification as that of its own. What the types let
pass, since clients put up with it, is looked at besides: members that a result has to have, methods that the revision
does not have, and whether what a tool gave fits the output schema that was listed. What a client said is not judged,
for a suite says wrong things on purpose; and neither are bodies of HTTP refusals that are no messages of the protocol.

Specification: basic/index, "Messages", "Responses"; server/tools, "Output Schema"; 2026-07-28 basic/index "Result
Types", server/utilities/caching.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final, cast

from msgspec import UNSET, Raw, Struct

from ..capture.lines import CaptureLine
from ..capture.reading import Capture
from ..protocol import codec, envelope, names
from ..protocol.revisions import PROFILES, Method, Profile
from ..protocol.types import CallToolResult, InputRequired
from ..schemas import SchemaError, compile_schema
from ..types import Validator, explain

__all__ = ["MessageFault", "judge"]

_INPUT_REQUIRED: Final = "input_required"
_COMPLETE: Final = "complete"


class MessageFault(Struct, frozen=True):
    """Something wrong with one message. ``line``: its number in the recording; ``method``: of it, or that it answers;
    ``count``: how many messages have this fault, of which this is the first.
    """

    line: int
    method: str
    revision: str
    what: str
    count: int = 1


class _JudgedRequest(Struct):
    """A request that was not answered yet."""

    method: str
    params: dict[str, Any]


def judge(capture: Capture) -> tuple[list[MessageFault], int]:
    """What is wrong with what the server said, each fault once; and how many messages of its there are."""
    judging = _Judging()
    first: dict[tuple[str, str, str], MessageFault] = {}
    count: Counter[tuple[str, str, str]] = Counter()
    for line in capture:
        for fault in judging.line(line):
            key = (fault.method, fault.revision, fault.what)
            first.setdefault(key, fault)
            count[key] += 1
    found = [MessageFault(each.line, *key, count[key]) for key, each in first.items()]
    return found, judging.messages


class _Judging:
    """What was asked so far on each link, and what was listed."""

    def __init__(self) -> None:
        self.messages = 0
        self._asked: dict[tuple[int, int, Any], _JudgedRequest] = {}
        self._status: dict[int, int] = {}
        self._outputs: dict[tuple[str, str], Validator | None] = {}

    def line(self, line: CaptureLine) -> Iterator[MessageFault]:
        """What is wrong with the messages of a line."""
        http = line.http
        if http is not None and http.status:
            self._status[http.exchange] = http.status
        if line.body is UNSET or line.sender is UNSET:
            return
        data = bytes(line.body)
        if line.sender == "client":
            self._remember(line, data)
            return
        status = 200 if http is None else self._status.get(http.exchange, 200)
        for each in envelope.split_batch(data) if envelope.is_batch(data) else [Raw(data)]:
            if status < 300 or b'"jsonrpc"' in bytes(each):
                self.messages += 1
                yield from self._message(line, bytes(each))

    def _remember(self, line: CaptureLine, data: bytes) -> None:
        value: Any = codec.decode(data)
        for each in cast("list[Any]", value) if isinstance(value, list) else [value]:
            if not isinstance(each, dict):
                continue
            message = cast("dict[str, Any]", each)
            method, id, params = message.get("method"), message.get("id"), message.get("params")
            if isinstance(method, str) and isinstance(id, (int, str)):
                given = cast("dict[str, Any]", params) if isinstance(params, dict) else {}
                for exchange in {0, line.http.exchange if line.http is not None else 0}:
                    self._asked[line.link, exchange, id] = _JudgedRequest(method, given)

    def _message(self, line: CaptureLine, data: bytes) -> Iterator[MessageFault]:
        def fault(what: str, method: str = "") -> MessageFault:
            return MessageFault(line.n, method, line.revision, what)

        try:
            message = envelope.read(data)
        except envelope.Malformed as problem:
            yield fault(f"it is no message: {problem}")
            return
        profile = PROFILES.get(line.revision)
        if message.kind in (envelope.Kind.REQUEST, envelope.Kind.NOTIFICATION):
            if profile is not None:
                yield from (fault(what, message.method) for what in _told(profile, message))
            return
        if message.odd:
            yield fault(f"it has {message.odd}")
        asked = self._answered(line, message.id)
        if asked is None:
            if message.id is not None:
                yield fault(f"it answers {message.id!r}, which nobody asked")
            return
        if message.kind is envelope.Kind.ERROR:
            try:
                envelope.read_error(message.body)
            except envelope.Malformed as problem:
                yield fault(str(problem), asked.method)
        elif profile is not None:
            yield from (fault(what, asked.method) for what in self._result(profile, asked, message.body))

    def _answered(self, line: CaptureLine, id: Any) -> _JudgedRequest | None:
        """The request that a response belongs to: of the same exchange, or else of the link."""
        exchange = line.http.exchange if line.http is not None else 0
        for place in dict.fromkeys((exchange, 0)):
            found = self._asked.get((line.link, place, id))
            if found is not None:
                return found
        return None

    def _result(self, profile: Profile, asked: _JudgedRequest, body: Raw) -> Iterator[str]:
        """What is wrong with a result."""
        method = profile.client_requests.get(asked.method)
        if method is None or "task" in asked.params:
            return  # of an extension, one that the server should have refused, or kept as a task
        members: Any = codec.decode(body)
        if not isinstance(members, dict):
            yield "the result is no object"
            return
        plain = cast("dict[str, Any]", members)
        kind = plain.get("resultType")
        if profile.stateless and kind is None:
            yield "the result has no resultType"
        if kind is not None and kind not in (_COMPLETE, _INPUT_REQUIRED):
            return  # what an extension brings
        asks = kind == _INPUT_REQUIRED
        if asks and not method.rounds:
            yield "the result asks back, which this method can't"
        try:
            value = codec.reader(InputRequired if asks else method.result).keep(body)
        except codec.DECODE_ERRORS as problem:
            yield f"the result does not fit: {problem}"
            return
        if isinstance(value, InputRequired):
            yield from _asked_back(profile, value)
        else:
            yield from _marks(profile, method, plain)
            yield from self._of_tools(profile, asked, plain, value)

    def _of_tools(
        self, profile: Profile, asked: _JudgedRequest, plain: dict[str, Any], value: Any
    ) -> Iterator[str]:
        """What is wrong with a list of tools, or with what one gave."""
        if asked.method == names.TOOLS_LIST:
            for tool in value.tools:
                key = (profile.revision, tool.name)
                self._outputs[key] = None
                for member, schema in (("input", tool.input_schema), ("output", tool.output_schema)):
                    if schema is None:
                        continue
                    try:
                        compiled = compile_schema(schema)
                    except SchemaError as problem:
                        yield f"the {member} schema of {tool.name!r} can't be used: {problem}"
                        continue
                    if member == "output":
                        self._outputs[key] = compiled
        elif isinstance(value, CallToolResult) and not value.is_error:
            promised = self._outputs.get((profile.revision, str(asked.params.get("name"))))
            if promised is None:
                return
            if "structuredContent" not in plain:
                yield f"{asked.params.get('name')!r} has an output schema, and gave no structuredContent"
            elif wrong := promised.check(plain["structuredContent"]):
                yield f"what {asked.params.get('name')!r} gave does not fit its output schema: {explain(wrong)}"


def _told(profile: Profile, message: envelope.Message) -> Iterable[str]:
    """What is wrong with a question or a notification of the server's."""
    asks = message.kind is envelope.Kind.REQUEST
    if asks and profile.stateless:
        yield f"servers of {profile.revision} send no requests: they ask in results"
        return
    known: Any = profile.server_requests if asks else profile.server_notices
    spec = known.get(message.method)
    if spec is None:
        every = [(each.server_requests if asks else each.server_notices) for each in PROFILES.values()]
        if any(message.method in each for each in every):
            yield f"{profile.revision} has no such {'request' if asks else 'notification'} of servers"
        return  # else it is one of an extension
    try:
        codec.reader(spec.params).keep(bytes(message.params) or b"{}")
    except codec.DECODE_ERRORS as problem:
        yield f"the parameters do not fit: {problem}"


def _asked_back(profile: Profile, value: InputRequired) -> Iterator[str]:
    """What is wrong with the questions in a result."""
    for key, question in (value.input_requests or {}).items():
        spec = profile.server_requests.get(question.method)
        if spec is None:
            continue  # of an extension
        try:
            codec.reader(spec.params).keep(bytes(question.params) or b"{}")
        except codec.DECODE_ERRORS as problem:
            yield f"the parameters of the question {key!r} do not fit: {problem}"


def _marks(profile: Profile, method: Method, plain: dict[str, Any]) -> Iterator[str]:
    """What a result has to say of its being kept, and does not."""
    if profile.stateless and method.cacheable:
        for member in ("ttlMs", "cacheScope"):
            if member not in plain:
                yield f"the result has no {member}"
