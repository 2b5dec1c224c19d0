"""Proves the oracle: what it accepts, what it refuses, and that its tables agree with the schemas.

The corpus is checked through two engines (jsonschema-rs and jsonschema), broken one member at a time, and
played as conversations. The tables and the plugin have
tests beside them, in `oracle/`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from oracle import closing, plugin
from oracle.checker import UNPLACED, Count, Fault, Oracle
from oracle.corpus import STATELESS_META, Message, corpus
from oracle.definitions import (
    ERROR_ENVELOPES,
    ERRORS_BY_CODE,
    REVISIONS,
    STATEFUL,
    Role,
    definitions_of,
)
from oracle.engines import explain, reference_validator

OPEN_KEYS = {
    "_meta", "arguments", "structuredContent", "inputSchema", "outputSchema", "experimental", "extensions",
    "metadata", "input", "capabilities", "hints", "inputRequests", "inputResponses",
}  # fmt: skip


@dataclass(frozen=True)
class SentOrReceived:
    """A frame as the tap makes them."""

    link: str
    role: Role
    sent: bool
    transport: str
    revision: str | None
    data: bytes


def frame(
    message: object,
    *,
    role: Role = "server",
    sent: bool = True,
    revision: str | None = None,
    link: str = "l",
) -> SentOrReceived:
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    return SentOrReceived(link, role, sent, "memory", revision, data)


SAMPLES = [
    pytest.param(revision, definition, message, id=f"{revision}-{definition}-{number}")
    for revision in REVISIONS
    for definition, messages in corpus(revision).items()
    if definition in definitions_of(revision)
    for number, message in enumerate(messages)
]


def objects(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths of every object in a message that no part of the specification leaves open."""
    if isinstance(value, dict):
        yield path
        for name, inner in value.items():
            free = name in OPEN_KEYS or (name == "data" and isinstance(inner, dict))
            free = free or (path[-1:] == ("requestedSchema",) and name == "properties")
            free = free or (name == "content" and "action" in value)
            if not free:
                yield from objects(inner, (*path, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from objects(inner, (*path, index))


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def right(revision: str, definition: str, message: Any, *, closed: bool) -> bool:
    """Whether a message is right, asked of both engines, which must agree."""
    fault = explain(revision, definition, message, closed=closed)
    assert reference_validator(revision, definition, closed=closed).is_valid(message) == (fault is None), (
        fault
    )
    return fault is None


# the corpus, whole and broken


@pytest.mark.parametrize("revision", REVISIONS)
def test_the_corpus_has_a_message_of_every_definition(revision: str) -> None:
    assert definitions_of(revision) <= corpus(revision).keys()


@pytest.mark.parametrize("revision,definition,message", SAMPLES)
def test_a_valid_message_passes(revision: str, definition: str, message: Message) -> None:
    assert explain(revision, definition, message, closed=True) is None
    assert right(revision, definition, message, closed=True)
    assert right(revision, definition, message, closed=False)


@pytest.mark.parametrize("revision,definition,message", SAMPLES)
def test_a_foreign_member_anywhere_fails_closed_and_passes_open(
    revision: str, definition: str, message: Message
) -> None:
    for path in objects(message):
        broken = copy.deepcopy(message)
        at(broken, path)["fromALaterRevision"] = "x"
        assert not right(revision, definition, broken, closed=True), path
        assert right(revision, definition, broken, closed=False), path


@pytest.mark.parametrize("revision,definition,message", SAMPLES)
def test_a_missing_required_member_fails(revision: str, definition: str, message: Message) -> None:
    inner = {"result": "result", "error": "error"}.keys() & message.keys()
    name = definition
    if definition in {ERROR_ENVELOPES[revision], *ERRORS_BY_CODE.get(revision, {}).values()}:
        name, inner = ERROR_ENVELOPES[revision], set()
    required = closing.published(revision)[name].get("required", [])
    part = next(iter(inner), None)
    for member in required:
        broken = copy.deepcopy(message)
        del (broken[part] if part else broken)[member]
        assert not right(revision, definition, broken, closed=True), member
        assert not right(revision, definition, broken, closed=False), member
    for member in {"jsonrpc"} | ({"id"} if part == "result" else set()):
        broken = {name: value for name, value in message.items() if name != member}
        assert not right(revision, definition, broken, closed=True), member


LATER: list[tuple[str, str, str, tuple[str | int, ...], object]] = [
    # since, until the revision before; definition; where; a member that the next revision brought
    ("2024-11-05", "ListToolsResult", "annotations", ("result", "tools", 0), {"readOnlyHint": True}),
    ("2024-11-05", "ProgressNotification", "message", ("params",), "half"),
    ("2024-11-05", "InitializeResult", "completions", ("result", "capabilities"), {}),
    ("2025-03-26", "ListToolsResult", "title", ("result", "tools", 0), "Add"),
    ("2025-03-26", "ListToolsResult", "_meta", ("result", "tools", 0), {}),
    ("2025-03-26", "CallToolResult", "structuredContent", ("result",), {}),
    ("2025-03-26", "CompleteRequest", "context", ("params",), {"arguments": {}}),
    ("2025-03-26", "InitializeRequest", "elicitation", ("params", "capabilities"), {}),
    ("2025-06-18", "ListToolsResult", "icons", ("result", "tools", 0), []),
    ("2025-06-18", "ListToolsResult", "execution", ("result", "tools", 0), {"taskSupport": "optional"}),
    ("2025-06-18", "CallToolRequest", "task", ("params",), {}),
    ("2025-06-18", "InitializeRequest", "tools", ("params", "capabilities", "sampling"), {}),
    ("2025-06-18", "InitializeRequest", "form", ("params", "capabilities", "elicitation"), {}),
    ("2025-06-18", "InitializeResult", "description", ("result", "serverInfo"), "d"),
    ("2025-11-25", "CallToolResult", "resultType", ("result",), "complete"),
    ("2025-11-25", "ListToolsResult", "ttlMs", ("result",), 0),
    ("2025-11-25", "CallToolRequest", "requestState", ("params",), "s"),
    ("2025-11-25", "InitializeResult", "extensions", ("result", "capabilities"), {}),
    # and what 2026-07-28 took away
    ("2026-07-28", "CallToolRequest", "task", ("params",), {}),
    ("2026-07-28", "ListToolsResult", "execution", ("result", "tools", 0), {"taskSupport": "optional"}),
    ("2026-07-28", "DiscoverResult", "tasks", ("result", "capabilities"), {}),
    ("2026-07-28", "InputRequiredResult", "elicitationId", ("result", "inputRequests", "d", "params"), "e"),
]


@pytest.mark.parametrize(
    "revision,definition,member,path,value", [(r, d, m, p, v) for r, d, m, p, v in LATER]
)
def test_a_member_of_another_revision_fails_closed(
    revision: str, definition: str, member: str, path: tuple[str | int, ...], value: object
) -> None:
    message = copy.deepcopy(corpus(revision)[definition][0])
    assert member not in at(message, path)
    at(message, path)[member] = value
    assert not right(revision, definition, message, closed=True)
    assert right(revision, definition, message, closed=False)


def test_content_of_a_later_revision_fails_even_open() -> None:
    link = {"type": "resource_link", "uri": "notes://a", "name": "a"}
    message = {"jsonrpc": "2.0", "id": 1, "result": {"content": [link]}}
    assert not right("2025-03-26", "CallToolResult", message, closed=True)
    assert not right("2025-03-26", "CallToolResult", message, closed=False)
    assert right("2025-06-18", "CallToolResult", message, closed=True)


OPEN_MEMBERS: list[tuple[str, tuple[str | int, ...]]] = [
    ("InitializeRequest", ("params", "capabilities")),
    ("InitializeRequest", ("params", "capabilities", "experimental")),
    ("InitializeResult", ("result", "capabilities", "logging")),
    ("CallToolRequest", ("params", "arguments")),
    ("ListToolsResult", ("result", "tools", 0, "inputSchema")),
    ("CreateMessageRequest", ("params", "metadata")),
    ("CreateMessageRequest", ("params", "modelPreferences", "hints", 0)),
]


@pytest.mark.parametrize("revision", STATEFUL)
@pytest.mark.parametrize("definition,path", OPEN_MEMBERS)
def test_what_the_specification_leaves_open_stays_open(
    revision: str, definition: str, path: tuple[str | int, ...]
) -> None:
    message = copy.deepcopy(corpus(revision)[definition][0])
    at(message, path)["acme.example/x"] = {"a": 1}
    assert right(revision, definition, message, closed=True)


@pytest.mark.parametrize("revision", REVISIONS)
def test_meta_is_open_on_every_message(revision: str) -> None:
    for definition, messages in corpus(revision).items():
        if definition not in definitions_of(revision) or "error" in messages[0]:
            continue
        message = copy.deepcopy(messages[0])
        body = message["result"] if "result" in message else message.setdefault("params", {})
        if revision == "2026-07-28" and definition in {"ListRootsResult", "ElicitResult"}:
            continue
        body.setdefault("_meta", {})["acme.example/x"] = {"a": 1}
        assert right(revision, definition, message, closed=True), definition


@pytest.mark.parametrize(
    "change,accepted",
    [
        ({"data": "aGk="}, True),
        ({"data": "aGk"}, False),
        ({"data": "a b="}, False),
    ],
)
def test_base64_is_checked_in_what_we_send(change: dict[str, str], accepted: bool) -> None:
    block = {"type": "image", "mimeType": "image/png", **change}
    message = {"jsonrpc": "2.0", "id": 1, "result": {"content": [block]}}
    assert right("2025-06-18", "CallToolResult", message, closed=True) is accepted
    assert right("2025-06-18", "CallToolResult", message, closed=False)


# conversations


def call(method: str, identity: object = 1, revision: str | None = None, **params: Any) -> Message:
    if revision == "2026-07-28":
        params["_meta"] = STATELESS_META
    return {"jsonrpc": "2.0", "id": identity, "method": method, "params": params}


def reply(result: object, identity: object = 1) -> Message:
    return {"jsonrpc": "2.0", "id": identity, "result": result}


def refusal(code: int, identity: object = 1, **more: Any) -> Message:
    return {"jsonrpc": "2.0", "id": identity, "error": {"code": code, "message": "m", **more}}


def faults(oracle: Oracle, *frames: SentOrReceived) -> list[Fault]:
    for one in frames:
        oracle.observe(one)
    return oracle.take()


def test_a_response_is_held_to_the_result_of_its_method() -> None:
    for revision in REVISIONS:
        asked = frame(call("tools/call", name="x", revision=revision), sent=False, revision=revision)
        wrong = corpus(revision)["ListToolsResult"][0]["result"]
        fine = corpus(revision)["CallToolResult"][0]["result"]
        [fault] = faults(Oracle(), asked, frame(reply(wrong), revision=revision))
        assert (fault.definition, fault.revision) == ("CallToolResult", revision)
        assert faults(Oracle(), asked, frame(reply(fine), revision=revision)) == []
        # the same towards a peer: a tool list lacks what a tool result must have
        asked = frame(call("tools/call", name="x", revision=revision), role="client", revision=revision)
        [fault] = faults(Oracle(), asked, frame(reply(wrong), role="client", sent=False, revision=revision))
        assert not fault.sent


def test_ids_of_both_directions_are_kept_apart_and_by_type() -> None:
    oracle = Oracle()
    ours = frame(call("roots/list"), revision="2025-06-18")
    theirs = frame(call("tools/list"), sent=False, revision="2025-06-18")
    other = frame(call("ping", "1"), sent=False, revision="2025-06-18")
    answers = [frame(reply({"tools": []})), frame(reply({"roots": []}), sent=False), frame(reply({}, "1"))]
    assert faults(oracle, ours, theirs, other, *answers) == []
    assert {count.definition for count in oracle.counts} > {
        "ListRootsResult",
        "ListToolsResult",
        "EmptyResult",
    }


def test_answering_what_was_never_asked_or_twice_is_a_fault() -> None:
    oracle = Oracle()
    [fault] = faults(oracle, frame(reply({}), revision="2025-06-18"))
    assert "never seen" in fault.reason
    asked = frame(call("ping"), sent=False, revision="2025-06-18")
    assert len(faults(oracle, asked, frame(reply({})), frame(reply({})))) == 1
    assert faults(oracle, frame(reply({}), sent=False)) == []


def test_an_unknown_method_fails_closed_and_passes_open() -> None:
    for revision in REVISIONS:
        message = call("acme/ping", revision=revision)
        [fault] = faults(Oracle(), frame(message, role="client", revision=revision))
        assert "acme/ping" in fault.reason
        assert faults(Oracle(), frame(message, sent=False, revision=revision)) == []
    oracle = Oracle()
    with oracle.vendor("acme/ping"):
        asked = frame(call("acme/ping"), sent=False, revision="2025-06-18")
        assert faults(oracle, asked, frame(reply({"any": 1}))) == []
    assert len(faults(oracle, asked, frame(reply({"any": 1})))) == 1


@pytest.mark.parametrize("role,method", [("server", "tools/list"), ("client", "roots/list")])
def test_a_method_belongs_to_one_side(role: Role, method: str) -> None:
    [fault] = faults(Oracle(), frame(call(method), role=role, revision="2025-06-18"))
    assert f"sent by a {role}" in fault.reason


def test_initialize_settles_the_revision_of_a_link() -> None:
    oracle = Oracle()
    hello = corpus("2025-11-25")["InitializeRequest"][0]
    welcome = {**corpus("2025-03-26")["InitializeResult"][0], "id": 1}
    listed = reply({"tools": [{"name": "a", "title": "A", "inputSchema": {"type": "object"}}]}, 2)
    found = faults(
        oracle,
        frame(hello, sent=False),
        frame(welcome),
        frame({"jsonrpc": "2.0", "method": "notifications/initialized"}, sent=False),
        frame(call("tools/list", 2), sent=False),
        frame(listed),
    )
    assert [(fault.revision, fault.definition) for fault in found] == [("2025-03-26", "ListToolsResult")]
    assert oracle.counts[Count("2025-11-25", "InitializeRequest", "received", "memory")] == 1
    assert oracle.counts[Count("2025-03-26", "InitializeResult", "sent", "memory")] == 1
    assert oracle.counts[Count("2025-03-26", "InitializedNotification", "received", "memory")] == 1


def test_the_meta_of_a_request_outranks_the_link() -> None:
    oracle = Oracle()
    listed = corpus("2026-07-28")["ListToolsResult"][0]["result"]
    asked = frame(call("tools/list", revision="2026-07-28"), sent=False, revision="2025-06-18")
    assert faults(oracle, asked, frame(reply(listed), revision="2025-06-18")) == []
    note = {
        "jsonrpc": "2.0",
        "method": "notifications/progress",
        "params": {"progressToken": 1, "progress": 1},
    }
    assert faults(oracle, frame(note)) == []
    assert oracle.counts[Count("2026-07-28", "ProgressNotification", "sent", "memory")] == 1
    [fault] = faults(oracle, frame(note, role="client", revision="2026-07-28"))
    assert "sent by a client" in fault.reason  # progress flows one way in the stateless era


def test_a_message_no_one_can_place_is_counted_apart() -> None:
    oracle = Oracle()
    assert faults(oracle, frame(call("ping"))) == []
    assert oracle.counts == {Count(UNPLACED, "PingRequest", "sent", "memory"): 1}


def test_rounds_and_tasks_admit_their_second_result() -> None:
    asks = corpus("2026-07-28")["InputRequiredResult"][0]["result"]
    for method, params in [("tools/call", {"name": "x"}), ("prompts/get", {"name": "x"})]:
        asked = frame(call(method, revision="2026-07-28", **params), sent=False)
        assert faults(Oracle(), asked, frame(reply(asks))) == []
    asked = frame(call("tools/list", revision="2026-07-28"), sent=False)
    [fault] = faults(Oracle(), asked, frame(reply(asks)))
    assert fault.definition == "ListToolsResult"

    made = corpus("2025-11-25")["CreateTaskResult"][0]["result"]
    plain = frame(call("tools/call", name="x"), sent=False, revision="2025-11-25")
    tasked = frame(call("tools/call", name="x", task={}), sent=False, revision="2025-11-25")
    assert faults(Oracle(), tasked, frame(reply(made))) == []
    assert faults(Oracle(), tasked, frame(reply({"content": []}))) == []
    [fault] = faults(Oracle(), plain, frame(reply(made)))
    assert fault.definition == "CallToolResult"
    payload = frame(call("tasks/result", taskId="t"), sent=False, revision="2025-11-25")
    assert faults(Oracle(), payload, frame(reply({"content": []}))) == []
    assert len(faults(Oracle(), payload, frame(reply({"action": "cancel"})))) == 1


@pytest.mark.parametrize("kind", ["task", "Complete", ""])
def test_our_results_say_one_of_the_two_core_kinds(kind: str) -> None:
    asked = call("tools/call", name="x", revision="2026-07-28")
    answer = reply({"content": [], "resultType": kind})
    [fault] = faults(Oracle(), frame(asked, sent=False), frame(answer))
    assert fault.path == "$.result.resultType"
    theirs = [frame(asked, role="client"), frame(answer, role="client", sent=False)]
    assert faults(Oracle(), *theirs) == []  # the schema leaves the kinds open to extensions


def test_errors_are_held_to_the_definition_of_their_code() -> None:
    asked = frame(call("tools/call", name="x", revision="2026-07-28"), sent=False)
    cases: list[tuple[Message, str | None]] = [
        (refusal(-32601), None),
        (refusal(-32601, extra=1), "$.error"),
        (refusal(-32022), "$.error"),
        (refusal(-32022, data={"supported": ["2026-07-28"], "requested": "x"}), None),
        (refusal(-32021, data={"requiredCapabilities": {"tasks": {}}}), "$.error.data.requiredCapabilities"),
        (refusal(-32002), "$.error.code"),
        (refusal(-32042, data={"elicitations": []}), "$.error.code"),
        (refusal(-32050), "$.error.code"),
        (refusal(-32000), None),
    ]
    for message, path in cases:
        found = faults(Oracle(), asked, frame(message))
        assert [fault.path for fault in found] == ([path] if path else []), message
    asked = frame(call("tools/call", name="x"), sent=False, revision="2025-11-25")
    assert len(faults(Oracle(), asked, frame(refusal(-32042)))) == 1
    assert faults(Oracle(), asked, frame(refusal(-32002))) == []


def test_an_error_about_an_unreadable_request_needs_no_request() -> None:
    for revision in REVISIONS:
        without = {name: value for name, value in refusal(-32700).items() if name != "id"}
        null = refusal(-32700, None)
        early = revision < "2025-11-25"
        assert bool(faults(Oracle(), frame(without, revision=revision))) is early
        assert bool(faults(Oracle(), frame(null, revision=revision))) is not early
        assert faults(Oracle(), frame(null, sent=False, revision=revision)) == []


def test_both_result_and_error_is_a_fault_both_ways() -> None:
    both = {**reply({}), **refusal(1)}
    for sent in (True, False):
        asked = frame(call("ping"), sent=not sent, revision="2025-06-18")
        [fault] = faults(Oracle(), asked, frame(both, sent=sent))
        assert fault.reason == "both result and error"


def test_batches_are_of_one_revision_and_judged_item_by_item() -> None:
    batch = [
        call("ping", 1),
        call("tools/list", 2),
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
    ]
    answers = [reply({}, 1), reply({"tools": [{"name": "x"}]}, 2)]
    oracle = Oracle()
    [fault] = faults(
        oracle, frame(batch, sent=False, revision="2025-03-26"), frame(answers, revision="2025-03-26")
    )
    assert fault.definition == "ListToolsResult"
    assert oracle.counts[Count("2025-03-26", "EmptyResult", "sent", "memory")] == 1
    for revision in REVISIONS:
        found = faults(Oracle(), frame([call("ping")], role="client", revision=revision))
        assert any("a batch" in fault.reason for fault in found) is (revision != "2025-03-26")
    hello = corpus("2025-03-26")["InitializeRequest"][0]
    for wrong in ([], [call("ping"), reply({}, 9)], [hello]):
        found = faults(Oracle(), frame(wrong, role="client", revision="2025-03-26"))
        assert any("batch" in fault.reason for fault in found), wrong


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"3", b'{"jsonrpc":"2.0"}', b"\xff", b"[" * 100_000, b'{"a":"\\ud800","method":1}', b'"x"'],
)
def test_rubbish_is_a_fault_and_never_an_exception(data: bytes) -> None:
    for sent in (True, False):
        assert faults(Oracle(), frame(data, sent=sent, revision="2025-06-18"))


@pytest.mark.parametrize("data", [b'{"jsonrpc":"2.0","method":"x","method":"ping","id":1}', b'{"a":NaN}'])
def test_our_own_json_is_read_strictly(data: bytes) -> None:
    [fault] = faults(Oracle(), frame(data, revision="2025-06-18"))
    assert "not JSON" in fault.reason


def test_hostile_forgives_what_comes_in_and_nothing_that_goes_out() -> None:
    oracle = Oracle()
    bad = frame({**call("tools/call"), "params": 3}, sent=False, revision="2025-06-18")
    unreadable = frame(b'{"jsonrpc":"2.0","id":"x","method":', sent=False, revision="2025-06-18")
    assert len(faults(oracle, bad, unreadable)) == 2
    with oracle.hostile():
        assert faults(oracle, bad, frame(refusal(-32602))) == []
        assert faults(oracle, unreadable, frame(refusal(-32700, "x"))) == []
        [fault] = faults(oracle, bad, frame(refusal(-32602, extra=1)))
        assert fault.sent
    assert len(faults(oracle, bad)) == 1


def test_faults_are_bounded_and_readable() -> None:
    oracle = Oracle()
    found = faults(oracle, *[frame(call("acme/x", "y" * 5000), revision="2025-06-18")] * 200)
    assert len(found) == 51
    assert "150 faults more" in found[-1].reason
    text = plugin.report("tests/test_a.py::test_b", found[:1])
    assert "test_b" in text
    assert "sent by our server over memory, revision 2025-06-18" in text
    assert len(text) < 1500
