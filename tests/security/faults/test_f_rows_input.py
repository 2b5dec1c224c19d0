"""F1 to F18: the same bytes through every transport are judged alike, and cost what they should.

The lines transports, HTTP with JSON and with event streams, HTTP+SSE and memory each get the same corpus on
one connection, between two calls that must work. What comes back is reduced to a classification: the code of
the error, the result, or nothing. V1, V12, V13, V28 and V29 are about the same bytes.
"""

import asyncio
import json
import random
import time
from typing import Any

import pytest
from fault_wires import EVERY, STATELESS, HTTPTalk, Talk, call, meta, request, serve
from leak_oracle import traced

from dovetail import App
from dovetail.protocol import envelope
from dovetail.protocol.envelope import Malformed

pytestmark = pytest.mark.hostile

NOTHING = "nothing"
DEEP = b"[" * 100_000 + b"]" * 100_000
ECHO = b'"method":"tools/call","params":{"name":"echo","arguments":{"value":'
WIDE = b",".join(b'"a%d":0' % number for number in range(250_000))


def echo(value: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":9,' + ECHO + value + b"}}}"


#: What is sent, and the one classification that every transport gives it: an error's code, "result", or `NOTHING`.
CORPUS: dict[str, tuple[bytes, object]] = {
    # F1
    "f1 truncated": (b'{"jsonrpc":"2.0","id":9,"method":"pi', -32700),
    "f1 trailing garbage": (b'{"jsonrpc":"2.0","id":9,"method":"ping"}}', -32700),
    "f1 two messages": (
        b'{"jsonrpc":"2.0","id":9,"method":"ping"}{"jsonrpc":"2.0","id":9,"method":"ping"}',
        -32700,
    ),
    "f1 no json": (b"hello", -32700),
    "f1 number": (b"5", -32600),
    "f1 object of nothing": (b"{}", -32600),
    "f1 text of nothing": (b'""', -32600),
    "f1 bad utf-8": (b'{"jsonrpc":"2.0","id":9,"method":"ping\xff"}', -32700),
    "f1 overlong": (b'{"jsonrpc":"2.0","id":9,"method":"ping\xc0\xaf"}', -32700),
    "f1 utf-16": ('{"jsonrpc":"2.0","id":9,"method":"ping"}'.encode("utf-16-le"), -32700),
    "f1 bom": (b'\xef\xbb\xbf{"jsonrpc":"2.0","id":9,"method":"ping"}', -32700),
    "f1 half a surrogate pair": (echo(b'"\\ud800"'), -32700),
    # F3
    "f3 deep params": (b'{"jsonrpc":"2.0","id":9,"method":"ping","params":{"a":' + DEEP + b"}}", -32600),
    "f3 deep argument": (echo(DEEP), -32600),
    "f3 deep objects": (echo(b'{"a":' * 5000 + b"1" + b"}" * 5000), -32600),
    "f3 deep and unknown": (b'{"jsonrpc":"2.0","id":9,"method":"ping","x":' + DEEP + b"}", -32600),
    # F4
    "f4 integer of a million digits": (echo(b"9" * 1_000_000), "result"),
    "f4 1e400": (echo(b"1e400"), "result"),
    "f4 nan": (echo(b"NaN"), -32700),
    "f4 infinity": (echo(b"-Infinity"), -32700),
    "f4 minus zero": (echo(b"-0"), "result"),
    "f4 leading zero": (echo(b"01"), -32700),
    # F5
    "f5 method twice": (b'{"jsonrpc":"2.0","id":9,"method":"no/such","method":"ping"}', "result"),
    "f5 method twice, other order": (b'{"jsonrpc":"2.0","id":9,"method":"ping","method":"no/such"}', -32601),
    "f5 id twice": (b'{"jsonrpc":"2.0","id":8,"id":9,"method":"ping"}', "result"),
    "f5 params twice": (b'{"jsonrpc":"2.0","id":9,"params":[],"method":"ping","params":{}}', "result"),
    "f5 v12 other case": (b'{"Jsonrpc":"2.0","id":9,"method":"ping"}', -32600),
    "f5 v12 method in capitals": (b'{"jsonrpc":"2.0","id":9,"METHOD":"ping"}', -32600),
    "f5 v13 nul in a key": (b'{"jsonrpc":"2.0","id":9,"method\\u0000":"ping"}', -32600),
    "f5 v13 look-alike key": (b'{"jsonrpc":"2.0","id":9,"m\\u0435thod":"ping"}', -32600),
    "f5 v13 nul in a value": (echo(b'"a\\u0000b"'), "result"),
    # F6
    "f6 unknown members": (b'{"jsonrpc":"2.0","id":9,"method":"ping","extra":{"a":[1,2]}}', "result"),
    "f6 magic names": (echo(b'{"__proto__":{"a":1},"__class__":"x","constructor":null}'), "result"),
    "f6 magic arguments": (
        b'{"jsonrpc":"2.0","id":9,' + ECHO + b'1,"self":2,"__class__":3,"ctx":4}}}',
        "result",
    ),
    "f6 huge meta": (
        b'{"jsonrpc":"2.0","id":9,"method":"ping","params":{"_meta":{"com.example/a":"'
        + b"x" * 500_000
        + b'"}}}',
        "result",
    ),
    # F7
    "f7 batch": (b'[{"jsonrpc":"2.0","id":9,"method":"ping"}]', -32600),
    "f7 empty batch": (b"[]", -32600),
    "f7 nested batch": (b'[[{"jsonrpc":"2.0","id":9,"method":"ping"}]]', -32600),
    "f7 v28 long batch": (b"[" + b'{"jsonrpc":"2.0","id":9,"method":"ping"},' * 20_000 + b"1]", -32600),
    # F10
    "f10 v29 empty arrays": (b"[" + b"[]," * 500_000 + b"[]]", -32600),
    "f10 v29 keys": (b'{"jsonrpc":"2.0","id":9,"method":"ping","params":{' + WIDE + b"}}", -32600),
    "f10 v29 small numbers": (echo(b"[" + b"1," * 1_000_000 + b"1]"), -32600),
    # F16
    "f16 long name": (request("tools/call", 9, {"name": "n" * 100_000}), -32602),
    "f16 control characters": (request("tools/call", 9, {"name": "a\x1b[31m\u202eb\x00"}), -32602),
    "f16 path": (request("tools/call", 9, {"name": "../../etc/passwd"}), -32602),
    # the envelope
    "id null": (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600),
    "id a fraction": (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600),
    "id true": (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600),
    "id too large": (b'{"jsonrpc":"2.0","id":%d,"method":"ping"}' % 2**64, -32600),
    "id too long": (b'{"jsonrpc":"2.0","id":"' + b"i" * 5000 + b'","method":"ping"}', -32600),
    "params an array": (b'{"jsonrpc":"2.0","id":9,"method":"ping","params":[1]}', -32600),
    "method and result": (b'{"jsonrpc":"2.0","id":9,"method":"ping","result":{}}', -32600),
    "method unknown": (request("no/such", 9), -32601),
    "method of nothing": (b'{"jsonrpc":"2.0","id":9,"method":""}', -32601),
    "result nobody asked for": (b'{"jsonrpc":"2.0","id":"zz","result":{}}', NOTHING),
    "error nobody asked for": (b'{"jsonrpc":"2.0","id":"zz","error":{"code":1,"message":"m"}}', NOTHING),
    "unknown notification": (b'{"jsonrpc":"2.0","method":"no/such"}', NOTHING),
    "initialize again": (request("initialize", 9, {"protocolVersion": "2025-11-25"}), -32600),
}


def app(revisions: list[str] | None = None) -> App:
    made = App("judge", rate_limit=None, revisions=revisions)

    @made.tool
    async def echo(value: Any) -> str:
        return json.dumps(value)

    return made


def classified(message: Any) -> object:
    """An error's code, or the result itself: two transports must not read the same bytes differently."""
    if "error" in message:
        return message["error"]["code"]
    return "result", json.dumps(message["result"], sort_keys=True)


async def judge(talk: Talk, body: bytes) -> object:
    """What becomes of a body; afterwards the connection still works."""
    if isinstance(talk, HTTPTalk):
        answer = await talk.prober.send("POST", body)
        assert answer.status in (200, 202, 400, 404), answer
        if answer.headers.get("content-type") == "text/event-stream":
            found = classified(json.loads([event.data for event in answer.events if event.data][-1]))
        else:
            found = classified(answer.json) if answer.body else NOTHING
        assert "result" in await talk.answer(request("ping", 1))
        return found
    await talk.post(body)
    await talk.post(request("ping", "after"))
    found: object = NOTHING
    through = False
    while not through or (
        found is NOTHING and b'"tools/call"' in body
    ):  # a call may be answered after the ping
        message = await asyncio.wait_for(talk.inbox.get(), 20)
        if message.get("id") == "after":
            through = True
        else:
            found = classified(message)
    return found


@pytest.mark.usefixtures("unwatched")
@pytest.mark.parametrize("cell", [cell for cell in EVERY if cell != "http without sessions"])
async def test_f1_f3_f4_f5_f6_f7_f10_f16_f18_the_same_bytes_are_judged_alike_on_every_transport(
    cell: str,
) -> None:
    wrong: dict[str, object] = {}
    async with serve(app(), cell) as connect:
        talk = await (await connect()).open()
        for name, (body, expected) in CORPUS.items():
            found = await judge(talk, body)
            plain = found[0] if isinstance(found, tuple) else found
            if plain != expected:
                wrong[name] = found
        last = await (await connect()).open() if cell != "stdio" else talk
        assert "result" in await last.answer(call("echo", 5, value=1))
    assert not wrong


SAME = ["f4 minus zero", "f5 v13 nul in a value", "f6 magic names", "f6 magic arguments"]


@pytest.mark.usefixtures("unwatched")
async def test_f18_what_is_taken_is_read_the_same_everywhere() -> None:
    read: dict[str, set[object]] = {name: set() for name in SAME}
    for cell in EVERY:
        async with serve(app(), cell) as connect:
            talk = await (await connect()).open()
            for name in SAME:
                read[name].add(await judge(talk, CORPUS[name][0]))
    assert {name: len(found) for name, found in read.items()} == dict.fromkeys(SAME, 1)


MODERN: dict[str, tuple[dict[str, Any], object]] = {
    "good": ({"_meta": meta()}, "result"),
    "no version": ({"_meta": {k: v for k, v in meta().items() if not k.endswith("protocolVersion")}}, -32602),
    "no capabilities": (
        {"_meta": {k: v for k, v in meta().items() if not k.endswith("Capabilities")}},
        -32602,
    ),
    "capabilities a list": ({"_meta": {**meta(), "io.modelcontextprotocol/clientCapabilities": []}}, -32602),
    "version a number": ({"_meta": {**meta(), "io.modelcontextprotocol/protocolVersion": 5}}, -32602),
    "unheard-of version": (
        {"_meta": {**meta(), "io.modelcontextprotocol/protocolVersion": "2999-01-01"}},
        -32022,
    ),
    "meta a text": ({"_meta": "x"}, -32602),
    "name a number": ({"_meta": meta(), "name": 5}, -32602),
    "unknown tool": ({"_meta": meta(), "name": "no-such"}, -32602),
}


@pytest.mark.parametrize("cell", ["memory", "unix", "stdio", "http", "http json", "http sse"])
async def test_f18_requests_of_the_stateless_era_are_judged_alike(cell: str) -> None:
    found: dict[str, object] = {}
    async with serve(app([STATELESS]), cell) as connect:
        talk = await connect()
        for name, (params, _) in MODERN.items():
            whole = {"name": "no-such", **params} if "name" in name or "unknown" in name else params
            method = "tools/call" if "name" in whole else "tools/list"
            body = request(method, 3, whole)
            if isinstance(talk, HTTPTalk):
                version = (
                    whole["_meta"].get("io.modelcontextprotocol/protocolVersion")
                    if "meta" not in name
                    else ""
                )
                headers = {"MCP-Protocol-Version": str(version or STATELESS), "Mcp-Method": method}
                headers["Mcp-Name"] = str(whole.get("name", ""))
                answer = await talk.prober.send("POST", body, headers)
                message = answer.json if answer.body[:1] == b"{" else json.loads(answer.events[-1].data)
            else:
                message = await talk.answer(body)
            found[name] = message["error"]["code"] if "error" in message else "result"
    assert found == {name: expected for name, (_, expected) in MODERN.items()}


@pytest.mark.usefixtures("unwatched")
@pytest.mark.parametrize("cell", ["memory", "unix", "stdio", "http 2024"])
async def test_v1_no_mutated_message_ends_a_connection(cell: str) -> None:
    """A fixed seed: a failure can be repeated. HTTP has the same test beside its transport."""
    mutate = random.Random(53366)
    pieces = [b"{", b"]", b'"', b"null", b"\xff", b"1e999", b"\\u0000", b"\\ud800", b",", b"\0"]
    async with serve(app(), cell) as connect:
        talk = await (await connect()).open()
        seeds = [
            call("echo", 5, value={"a": [1, "x"]}),
            call("echo", 5, modern=True, value=1),
            request("resources/subscribe", 5, {"uri": "notes://x"}),
            request("initialize", 5, {"protocolVersion": "2025-11-25"}),
            b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":5}}',
            b'{"jsonrpc":"2.0","id":"s1","error":{"code":1,"message":"no"}}',
            b'[{"jsonrpc":"2.0","id":5,"method":"ping"}]',
        ]
        for _ in range(1500 if cell != "http 2024" else 300):
            body = bytearray(mutate.choice(seeds))
            for _ in range(mutate.randint(1, 4)):
                where = mutate.randrange(len(body))
                match mutate.randrange(3):
                    case 0:
                        body[where] = mutate.randrange(256)
                    case 1:
                        del body[where : where + mutate.randint(0, len(body) - where - 1)]
                    case _:
                        body[where:where] = mutate.choice(pieces)
            await talk.post(bytes(body).replace(b"\n", b" ") or b"{")
        await talk.post(request("ping", "last"))
        async with asyncio.timeout(20):
            while (await talk.inbox.get()).get("id") != "last":
                pass
        if cell != "stdio":
            other = await (await connect()).open()
            assert "result" in await other.answer(request("ping", 1))


MIB16 = 16 * 1024 * 1024
BOMBS = {
    "quotes": b"[" * 130 + b'""' * (MIB16 // 2 - 65),
    "keys": b'{"a":' * (MIB16 // 5),
    "closings": b"[]" * 130 + b"]" * (MIB16 - 260),
    "closings of both kinds": b"[]" * 130 + b"]}" * (MIB16 // 2 - 130),
    "openings": b"[" * MIB16,
    "escapes": b"[" * 130 + b'"' + b'\\"' * (MIB16 // 2 - 66),
    "quotes behind backslashes": b"[" * 130 + b'\\"\\\\"' * (MIB16 // 5),
    "commas": b"[" * 130 + b"," * (MIB16 - 130),
}


@pytest.mark.parametrize("name", BOMBS)
def test_v29_f10_what_16_mib_of_tiny_parts_cost_is_bounded(name: str) -> None:
    """At most a few times the body in memory, and a fraction of a second of everybody's event loop."""
    body = BOMBS[name]
    began = time.process_time()
    with pytest.raises(Malformed):
        envelope.read(body)
    assert time.process_time() - began < 0.4
    with traced() as peak, pytest.raises(Malformed):
        envelope.read(body)
    assert peak.bytes < 10 * len(body)
