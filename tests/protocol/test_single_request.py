"""One request of the stateless era by itself, and its reply in both forms of an HTTP body."""

from __future__ import annotations

import pytest
from msgspec import Raw

from dovetail.errors import InvalidParams, MethodNotFound, RemoteProtocolError
from dovetail.protocol.revisions import STATELESS
from dovetail.types import (
    CallToolParams,
    ClientCapabilities,
    Implementation,
    InitializeParams,
    ListToolsParams,
    SingleRequest,
    decode,
    single_reply,
    single_request,
)

ME = Implementation(name="me", version="1")
RESULT = b'{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","tools":[]}}'
NOTICE = b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}'


def test_a_call_with_an_argument_that_a_header_repeats() -> None:
    schema = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
    params = CallToolParams(name="buy ü", arguments=Raw(b'{"region": "eu"}'))
    made = single_request(params, client=ME, input_schema=schema)
    headers = dict(made.headers)
    assert headers["mcp-protocol-version"] == STATELESS[-1]
    assert headers["mcp-method"] == "tools/call"
    assert headers["mcp-param-region"] == "eu"
    assert headers["mcp-name"].isascii()
    body = decode(made.body)
    assert (body["method"], body["params"]["name"]) == ("tools/call", "buy ü")
    assert body["params"]["arguments"] == {"region": "eu"}
    assert body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] == {}


def test_an_argument_that_no_header_can_repeat() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "x-mcp-header": "N"}}}
    with pytest.raises(InvalidParams, match="header"):
        single_request(
            CallToolParams(name="x", arguments=Raw(b'{"n": 1e300}')), client=ME, input_schema=schema
        )


def test_parameters_of_a_request_that_can_not_be_made_so() -> None:
    params = InitializeParams(protocol_version="", capabilities=ClientCapabilities(), client_info=ME)
    with pytest.raises(TypeError, match="InitializeParams"):
        single_request(params, client=ME)


def test_what_others_say_of_the_protocol_is_taken_away() -> None:
    assert all(SingleRequest.takes(name) for name, _ in single_request(ListToolsParams(), client=ME).headers)
    assert all(map(SingleRequest.takes, ("mcp-session-id", "mcp-param-x", "last-event-id", "content-length")))
    assert not any(map(SingleRequest.takes, ("authorization", "cookie", "host", "origin", "dpop")))


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream; charset=utf-8"])
def test_the_result_is_found_in_both_forms(kind) -> None:
    body = (
        RESULT if kind.endswith("json") else b"data: " + NOTICE + b"\n\n: alive\n\ndata: " + RESULT + b"\n\n"
    )
    assert decode(single_reply(body, kind))["tools"] == []


def test_an_error_is_raised() -> None:
    with pytest.raises(MethodNotFound, match="no such"):
        single_reply(
            b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no such"}}', "application/json"
        )


@pytest.mark.hostile
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", NOTICE, b'{"jsonrpc":"2.0","id":1,"error":{"code":"x"}}']
)
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
def test_what_is_no_answer(body, kind) -> None:
    with pytest.raises(RemoteProtocolError):
        single_reply(body, kind)
    with pytest.raises(RemoteProtocolError):
        single_reply(b"data: " + body + b"\n\n", kind)
