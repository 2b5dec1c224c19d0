"""The short ways through the envelope: what they write and read is what the long ways do."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from dovetail.client.rounds import asks, plainly_complete, says_nothing_else
from dovetail.protocol import codec, envelope, messages, names
from dovetail.protocol.envelope import Malformed, Message, classify
from dovetail.protocol.errors import FeatureUnavailable, RemoteProtocolError
from dovetail.protocol.exchange import ClientExchange, Exchange
from dovetail.protocol.revisions import PROFILES, STATELESS
from dovetail.protocol.types import (
    CallToolParams,
    CallToolResult,
    ClientCapabilities,
    DiscoverResult,
    Implementation,
    ListToolsParams,
    PingParams,
    ReadResourceParams,
    Result,
    ServerCapabilities,
    TextContent,
)
from dovetail.protocol.types.capabilities import ListChanged

PARAMETERS: list[tuple[str, Any]] = [
    (names.TOOLS_CALL, CallToolParams(name="add", arguments=msgspec.Raw(b'{"a":1}'))),
    (names.TOOLS_CALL, CallToolParams(name="100%d %s \u00e4\u2028", arguments=msgspec.Raw(b"{}"))),
    (names.TOOLS_LIST, ListToolsParams()),
    (names.TOOLS_LIST, ListToolsParams(cursor="%b")),
    (names.RESOURCES_READ, ReadResourceParams(uri="memo://%d%%")),
    ("x-%d/of", {"one": 1}),
    ("x-own/none", {}),
]


def discovered(capabilities: ServerCapabilities) -> DiscoverResult:
    return DiscoverResult(supported_versions=["2026-07-28"], capabilities=capabilities)


@pytest.mark.parametrize("method,params", PARAMETERS)
@pytest.mark.parametrize("id", [1, 2**62, "c-1"])
@pytest.mark.parametrize("said", [None, ClientCapabilities(), ClientCapabilities(experimental={"%d": {}})])
def test_a_plain_request_is_the_one_with_everything_said(
    method: str, params: Any, id: Any, said: ClientCapabilities | None
) -> None:
    """With a token that is a number a pattern is filled in; with text in its place, everything is put together."""
    info = Implementation(name="100% %d", version="%b")
    exchange = ClientExchange(info, ClientCapabilities(experimental={"%s": {}}))
    for _ in range(2):
        plain = exchange.request(id, method, params, progress_token=17, capabilities=said)
        whole = exchange.request(id, method, params, progress_token="17", capabilities=said)
        assert plain == whole.replace(b'"17"', b"17")
        assert codec.decode(plain)["params"][names.META][names.META_PROGRESS_TOKEN] == 17


def test_what_a_server_does_not_offer_is_not_asked_for_from_a_pattern() -> None:
    """Of what may be sent, nothing is remembered beyond the server that said so."""
    exchange = ClientExchange(Implementation(name="c", version="1"), ClientCapabilities())
    params = ListToolsParams()
    for _ in range(2):
        exchange.server = discovered(ServerCapabilities(tools=ListChanged()))
        exchange.request(1, names.TOOLS_LIST, params, progress_token=1)
        exchange.server = discovered(ServerCapabilities())
        with pytest.raises(FeatureUnavailable):
            exchange.request(1, names.TOOLS_LIST, params, progress_token=1)
    with pytest.raises(FeatureUnavailable):
        exchange.request(1, names.PING, PingParams(), progress_token=1)


JSONRPC = ['"jsonrpc":"2.0"', '"jsonrpc":"1.0"', '"jsonrpc":2', '"jsonrpc": "2.0"', ""]
IDS = [
    '"id":1',
    '"id":-1',
    '"id":"1"',
    '"id":null',
    '"id":1.0',
    '"id":true',
    '"id":1,"id":2',
    '"id":99999999999999999999',
    "",
]
RESULTS = [
    '"result":{}',
    '"result": {"a":[1]}',
    '"result":null',
    '"result":[]',
    '"result":1',
    '"error":{}',
    "",
]
MORE = [
    "",
    "",
    '"error":null',
    '"error":{"code":1,"message":"m"}',
    '"method":"x"',
    '"params":{}',
    '"other":1',
]


def test_responses_are_opened_as_if_each_were_classified() -> None:
    chance, plain = random.Random(7), 0
    decode = msgspec.json.Decoder(envelope.Envelope).decode

    def slowly(data: bytes) -> Message:
        try:
            return classify(decode(data))
        except msgspec.DecodeError:
            return envelope.read(data)  # neither way opens it

    for _ in range(5000):
        members = [chance.choice(each) for each in (JSONRPC, IDS, RESULTS, MORE)]
        chance.shuffle(members)
        data = ("{" + ",".join(filter(None, members)) + "}").encode()
        assert opened(envelope.read, data) == opened(slowly, data), data
        plain += isinstance(opened(envelope.read, data), Message)
    assert plain > 300


def opened(read: Any, data: bytes) -> object:
    try:
        return read(data)
    except Malformed as problem:
        return str(problem), problem.id, problem.response


TYPES = [
    "",
    '"resultType":"complete"',
    '"resultType":null',
    '"resultType":"input_required"',
    '"resultType":"x"',
    '"resultType":7',
]
CONTENTS = [
    "",
    '"content":[]',
    '"content":[{"type":"text","text":"t"}]',
    '"content":7',
    '"content":[{"type":"own"}]',
]
OTHERS = [
    "",
    "",
    '"isError":true',
    '"requestState":"s"',
    '"inputRequests":{}',
    '"own":{"a":1}',
    '"resultType":"complete"',
]


@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize("kind", [CallToolResult, Result])
def test_a_result_that_is_plainly_complete_asks_nothing_and_is_what_reading_gives(
    kind: Any, typed: bool
) -> None:
    chance, plain = random.Random(8), 0
    for _ in range(3000):
        members = [chance.choice(each) for each in (TYPES, CONTENTS, OTHERS)]
        chance.shuffle(members)
        body = msgspec.Raw(("{" + ",".join(filter(None, members)) + "}").encode())
        found = plainly_complete(body, kind, typed=typed)
        if found is None:
            continue
        plain += 1
        assert found == codec.reader(kind).keep(body)
        if typed:
            assert asks(body, may_ask=True, method="m") is None
    assert plain > 300


def test_a_result_that_asks_is_never_plainly_complete() -> None:
    body = msgspec.Raw(b'{"resultType":"input_required","requestState":"s","content":[]}')
    assert plainly_complete(body, CallToolResult, typed=True) is None
    assert asks(body, may_ask=True, method="m") is not None
    with pytest.raises(RemoteProtocolError):
        asks(body, may_ask=False, method="m")


def test_a_pattern_is_a_request() -> None:
    pattern = messages.request_pattern("a%b", b'{"_meta":{"t":%d}')
    assert pattern % (1, 2, b'"x":3}') == messages.request(1, "a%b", b'{"_meta":{"t":2},"x":3}')


def test_a_result_whose_bytes_say_nothing_else_is_complete() -> None:
    """As reading its type says, wherever a member of that name stands, and however it is written."""
    chance, found = random.Random(11), 0
    members = [
        *TYPES,
        '"result\\u0054ype":"input_required"',
        '"resultType" : "complete"',
        '"structuredContent":{"resultType":"complete"}',
        '"structuredContent":{"resultType":"input_required"}',
        '"content":[{"type":"text","text":"\\"resultType\\":\\"input_required\\""}]',
        '"content":[]',
    ]
    for _ in range(3000):
        some = [each for each in chance.sample(members, chance.randint(1, 3)) if each]
        body = msgspec.Raw(("{" + ",".join(some) + "}").encode())
        if says_nothing_else(body):
            found += 1
            assert asks(body, may_ask=False, method=names.TOOLS_CALL) is None, body
    assert found > 200


@pytest.mark.parametrize("info", [None, Implementation(name="s", version="1", title="t")])
def test_an_encoded_result_is_marked_as_a_value_is(info: Implementation | None) -> None:
    """In the same order: who reads one and writes it again, to see what it did not know, finds the same bytes."""
    result = CallToolResult(content=[TextContent(text="t")])
    stamp = messages.Stamp(PROFILES[STATELESS[-1]], info)
    assert stamp.head + codec.encode(result)[1:] == codec.encode(stamp.mark(result))


@pytest.mark.parametrize(
    "meta,more",
    [
        ("", False),
        ('"progressToken":1', False),
        ('"progressToken":"t","io.modelcontextprotocol/logLevel":"info"', False),
        ('"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"', True),
        ('"own/key":1', True),
        ('"io.dovetail/version":"2"', True),
        ('"io.modelcontextprotocol/subscriptionId":"1"', True),
    ],
)
@pytest.mark.parametrize("method", [names.TOOLS_CALL, names.TOOLS_LIST])
def test_a_call_knows_whether_its_caller_says_more(meta: str, more: bool, method: str) -> None:
    """Whether it was read at once (a call of a tool), or not."""
    said = f'"{names.META_PROTOCOL_VERSION}":"{STATELESS[-1]}","{names.META_CLIENT_CAPABILITIES}":{{}}'
    meta = f"{said},{meta}" if meta else said
    params = f'{{"name":"t","_meta":{{{meta}}}}}'
    message = envelope.read(f'{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}'.encode())
    assert (message.whole is not None) == (method == names.TOOLS_CALL)
    call = Exchange().judge(message, STATELESS[-1])
    assert call.says_more is more
    on_a_pipe = Exchange().judge(message)
    assert (on_a_pipe.params, on_a_pipe.peer) == (call.params, call.peer)
