"""Responses as bytes: encoded at once with their envelope, marked, and shared where they are sent again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dovetail.protocol import codec, messages, names
from dovetail.protocol.revisions import PROFILES, STATEFUL, STATELESS
from dovetail.protocol.types import CallToolResult, Implementation, InputRequired, Result, TextContent

NEW = PROFILES[STATELESS[-1]]
INFO = Implementation(name="s", version="1")
OWN = {names.META_SERVER_INFO: {"name": "s", "version": "1"}}


def marked(value: Result, info: Implementation | None = INFO) -> dict[str, Any]:
    stamp = messages.Stamp(NEW, info)
    return json.loads(messages.response(1, NEW.projection.apply(stamp.mark(value))))["result"]


@pytest.mark.parametrize("id", [7, -1, 2**63 - 1, "x", 'q"\\é'])
def test_a_response_is_its_id_and_its_result(id: int | str) -> None:
    value = CallToolResult(content=[TextContent(text='"é\n')])
    for profile in (PROFILES[STATEFUL[0]], NEW):
        told = json.loads(messages.response(id, profile.projection.apply(value)))
        assert told == {"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": '"é\n'}]}}
    body = codec.encode(value)
    assert json.loads(messages.head(id) + b"{" + messages.tail(body)) == told
    assert json.loads(messages.result(id, body)) == told


@pytest.mark.requirement("R2607-LIFECYCLE-037")
def test_marks_of_a_result() -> None:
    """What the author said of the result stands."""
    assert marked(Result()) == {"resultType": "complete", "_meta": OWN}
    assert marked(Result(), None) == {"resultType": "complete"}
    assert marked(Result(meta={"a": 1}))["_meta"] == {"a": 1, **OWN}
    assert marked(Result(meta={"a": 1}), None)["_meta"] == {"a": 1}
    mine = {names.META_SERVER_INFO: {"name": "mine", "version": "2"}}
    assert marked(Result(meta=mine))["_meta"] == mine
    asking = InputRequired(result_type="input_required", request_state="s")
    assert marked(asking) == {"resultType": "input_required", "_meta": OWN, "requestState": "s"}


def test_marking_changes_nothing_of_the_authors() -> None:
    meta: dict[str, Any] = {"a": 1}
    value = CallToolResult(content=[], meta=meta)
    messages.Stamp(NEW, INFO).mark(value)
    assert value.meta is meta
    assert meta == {"a": 1}
    assert value.result_type is None


def test_what_nobody_knows_goes_out_in_a_response() -> None:
    """Members and content of unknown kinds are kept, wherever they are; text from that corner of Unicode is text."""
    came = b'{"content":[{"type":"hologram","x":1},{"type":"text","text":"a","more":[1]}],"other":{"y":2}}'
    value = codec.reader(CallToolResult).keep(came)
    assert marked(value) == {**json.loads(came), "resultType": "complete", "_meta": OWN}
    for letter in ("\ue000", "\uefff", "\ue001unknown"):
        told = marked(CallToolResult(content=[TextContent(text=letter)]))
        assert told["content"] == [{"type": "text", "text": letter}]


def test_a_kept_result_has_one_tail() -> None:
    kept = messages.CachedResult(b'{"tools":[]}')
    assert kept == b'{"tools":[]}'
    assert kept.tail == b'"tools":[]}}'
    assert kept.tail is kept.tail
