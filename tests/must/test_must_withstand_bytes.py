"""Attacks on the reader: messages that cost more to read than to send, keys that are nearly right, errors that echo."""

import json
import time
from contextlib import suppress
from typing import Any

import pytest
from must_peer import full_app

from dovetail import App, Context, RegistrationError
from dovetail.protocol import envelope
from dovetail.protocol.envelope import Malformed
from dovetail.protocol.revisions import REVISIONS, STATEFUL
from dovetail.protocol.revisions.projection import wrap_schema
from dovetail.protocol.schema.validator import SchemaError, compile_schema
from wire_of_server import Wire

EVERY = pytest.mark.parametrize("revision", REVISIONS)
OPEN = b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":'


@pytest.mark.hostile
@pytest.mark.parametrize(
    "data",
    [
        OPEN + b"[" * 129 + b'"' + b'\\"' * 500_000,
        OPEN + b"[" * 129 + b'"' + b"\\\\" * 500_000,
        OPEN + b"[" * 129 + b'"' * 500_001,
        OPEN + b"[" * 129 + b'"' + b"a" * 1_000_000,
        OPEN + b"[" * 129 + b'"' + b"\\" * 1_000_001,
        OPEN + b'"' + b"[" * 1_000_000 + b'"}}',
        OPEN + b'"' + b'\\"[' * 300_000 + b'"}}',
        OPEN + b"[" * 129 + b'"x",' * 250_000,
    ],
    ids=["escaped quotes", "backslashes", "quotes", "no end", "odd backslashes", "brackets", "both", "items"],
)
def test_reading_takes_linear_time_whatever_the_bytes(data: bytes) -> None:
    """A string without an end used to be looked for from each of its escaped quotes anew: 16 KB took seconds."""
    begun = time.process_time()
    with suppress(Malformed):
        envelope.read(data)
    assert time.process_time() - begun < 1.0


def test_what_stands_in_strings_is_not_counted() -> None:
    for text in (b"[" * 1000, b'\\"[' * 500, b"\\\\", b'{\\"a\\": [' * 300, b"," * 300_000):
        assert envelope.read(OPEN + b'"' + text + b'"}}').method == "ping"
    for deep in (b"[" * 200 + b"]" * 200, b'["\\"",' * 100 + b"[" * 100 + b"]" * 200):
        with pytest.raises(Malformed, match="deep"):
            envelope.read(OPEN + deep + b"}}")


NEAR = [
    *(
        "Method",
        "METHOD",
        "method ",
        " method",
        "method\x00",
        "\x00method",
        "m\u0435thod",
        "\uff4dethod",
        "methods",
    ),
    *("meth\u00adod", "method\ufeff", "\u202emethod", "_method"),
]


@EVERY
@pytest.mark.hostile
@pytest.mark.parametrize("near", NEAR, ids=ascii)
async def test_v12_v13_a_key_that_is_nearly_right_is_another_key(
    revision: str, near: str, connect: Any
) -> None:
    wire = await connect(full_app(), revision)
    params = {"name": "add", "arguments": {"a": 1, "b": 2}, "_meta": wire.meta()}
    whole = {"jsonrpc": "2.0", "id": "n", "method": "tools/call", "params": params}
    for key in ("jsonrpc", "id", "method", "params"):
        changed = {
            near.replace("method", key).replace("Method", key.title()) if k == key else k: v
            for k, v in whole.items()
        }
        if near in ("METHOD",):
            changed = {(k.upper() if k == key else k): v for k, v in whole.items()}
        if key in changed:
            continue
        await wire.send(changed)
        if key == "id":
            continue  # a notification then: never answered
        answer = await wire.next()
        assert answer["error"]["code"] in (-32600, -32602), (key, answer)
    for key in ("name", "arguments"):
        bad = {near.replace("method", key) if k == key else k: v for k, v in params.items()}
        if key in bad:
            bad = {key.upper() if k == key else k: v for k, v in params.items()}
        answer = await wire.request("tools/call", {k: v for k, v in bad.items() if k != "_meta"})
        failed = answer.get("error", {}).get("code") == -32602 or answer["result"]["isError"]
        assert failed, (key, answer)
    assert wire.inbox.empty()


@EVERY
@pytest.mark.hostile
async def test_f6_odd_members_are_values_and_nothing_more(revision: str, connect: Any) -> None:
    app = App("odd")

    @app.tool
    async def keys(given: dict[str, Any], ctx: Context) -> list[str]:
        return sorted(given)

    wire = await connect(app, revision)
    odd = {
        "__proto__": {"x": 1},
        "__class__": "y",
        "__dict__": {},
        "\x00": 1,
        "\u202e": None,
        "a" * 10_000: [],
    }
    result = await wire.result(
        "tools/call",
        {"name": "keys", "arguments": {"given": odd}, "__class__": "x", "self": 1},
        meta={"__proto__": odd},
    )
    assert json.loads(result["content"][0]["text"]) == sorted(odd)


@EVERY
@pytest.mark.hostile
async def test_errors_echo_little_of_what_came(revision: str, connect: Any) -> None:
    wire = await connect(full_app(), revision)
    big = "m\u0000" * 100_000
    requests: list[tuple[str, dict[str, Any]]] = [
        (big, {}),
        ("tools/call", {"name": big}),
        ("prompts/get", {"name": big}),
        ("resources/read", {"uri": f"note://{big}/x/y"}),
        ("tools/list", {"cursor": big}),
        ("completion/complete", {"ref": {"type": big, "name": "x"}, "argument": {"name": "a", "value": ""}}),
        ("tools/call", {"name": "add", "arguments": {big: 1}}),
        ("tools/call", {"name": "add", "arguments": {"a": big, "b": 1}}),
    ]
    if not wire.stateless:
        requests += [("logging/setLevel", {"level": big}), ("resources/subscribe", {"uri": big})]
    for method, params in requests:
        answer = await wire.request(method, params)
        assert len(json.dumps(answer)) < 16_000, method[:40]
    fresh = Wire(full_app(), STATEFUL[-1])
    await fresh.send({"jsonrpc": "2.0", "id": 1, "method": big, "params": {}})
    assert len(json.dumps(await fresh.next())) < 16_000
    await fresh.close()


@pytest.mark.parametrize("revision", STATEFUL)
@pytest.mark.hostile
async def test_f78_a_session_keeps_a_bounded_memory_of_its_client(revision: str, connect: Any) -> None:
    app = App("kept")

    @app.resource("note://{+name}")
    async def note(name: str) -> str:
        return name

    wire = Wire(app, revision)
    vain = {"name": "a" * 100_000, "version": "1"}
    opening = {"protocolVersion": revision, "capabilities": {}, "clientInfo": vain}
    assert (await wire.error("initialize", opening))["code"] == -32602
    await wire.open()
    assert (await wire.error("resources/subscribe", {"uri": "note://" + "a" * 10_000}))["code"] == -32602
    for n in range(10_001):
        answer = await wire.request("resources/subscribe", {"uri": f"note://{n}"})
        assert ("result" in answer) == (n < 10_000)
    await wire.result("resources/unsubscribe", {"uri": "note://0"})
    await wire.result("resources/subscribe", {"uri": "note://again"})
    await wire.close()


def doubling(keyword: str, levels: int) -> dict[str, Any]:
    """A small schema that stands for 2^levels."""
    definitions: dict[str, Any] = {
        f"a{n}": {keyword: [{"$ref": f"#/$defs/a{n + 1}"}, {"$ref": f"#/$defs/a{n + 1}"}]}
        for n in range(levels)
    }
    definitions[f"a{levels}"] = {"type": "object"}
    return {"type": "object", "$defs": definitions, "$ref": "#/$defs/a0"}


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf"])
def test_f14_a_schema_that_doubles_at_every_step_is_refused(keyword: str) -> None:
    app = App("bombed")

    async def takes(arguments: dict[str, Any]) -> str:
        return "x"

    begun = time.process_time()
    for levels in (20, 60):
        with pytest.raises(SchemaError):
            compile_schema(doubling(keyword, levels))
        with pytest.raises(RegistrationError, match="test_must_withstand_bytes"):
            app.add_tool(takes, input_schema=doubling(keyword, levels))
    assert time.process_time() - begun < 1.0
    assert compile_schema(doubling(keyword, 3)).is_valid({}) == (keyword != "oneOf")


def test_f14_schemas_that_share_and_recurse_as_people_write_them_are_fine() -> None:
    union = {"anyOf": [{"$ref": f"#/$defs/n{n}"} for n in range(100)]}
    base = {"type": "object", "properties": {"kind": {"type": "string"}}}
    nodes = {
        f"n{n}": {
            "allOf": [{"$ref": "#/$defs/base"}],
            "properties": {
                "kind": {"const": n},
                "left": {"$ref": "#/$defs/any"},
                "right": {"$ref": "#/$defs/any"},
            },
            "required": ["kind"],
        }
        for n in range(100)
    }
    schema = {"type": "object", "$ref": "#/$defs/any", "$defs": {"any": union, "base": base, **nodes}}
    assert not compile_schema(schema).is_valid({"kind": 5})
    assert compile_schema({"type": "object", "$ref": "#", "properties": {"a": {"$ref": "#"}}}).is_valid(
        {"a": {}}
    )


@pytest.mark.parametrize("keyword", ["anyOf", "oneOf", "allOf"])
def test_f14_explaining_a_value_takes_no_longer_than_checking_it(keyword: str) -> None:
    """A value 20 deep that fits no alternative of a recursive schema has a million explanations."""
    twice = {keyword: [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}
    node = {"type": "object", "properties": {"x": twice, "y": {"type": "integer"}}, "required": ["y"]}
    validator = compile_schema({"$ref": "#/$defs/a", "$defs": {"a": node}})
    value: dict[str, Any] = {"y": "bad"}
    for _ in range(60):
        value = {"x": value, "y": 1}
    begun = time.process_time()
    assert not validator.is_valid(value)
    assert len(validator.check(value)) >= 1
    assert time.process_time() - begun < 1.0
    shallow = {"x": {"y": "bad"}, "y": 1}
    assert any("x" in violation.path for violation in validator.check(shallow))


@pytest.mark.parametrize(
    "schema, value",
    [
        (
            {
                "type": "array",
                "items": {"anyOf": [{"type": "string"}, {"items": {"$ref": "#/items/anyOf/0"}}]},
            },
            ["a", ["b"]],
        ),
        ({"type": "array", "items": {"$ref": "#"}}, [[], [[]]]),
        ({"type": "array", "items": {"$ref": "#/$defs/a"}, "$defs": {"a": {"type": "string"}}}, ["a"]),
        (
            {
                "$id": "http://x.example/s",
                "type": "array",
                "items": {"$ref": "#/$defs/a"},
                "$defs": {"a": {"type": "string"}},
            },
            ["a"],
        ),
        (
            {
                "$id": "http://x.example/s",
                "type": "array",
                "items": {"$ref": "http://x.example/s#/$defs/a"},
                "$defs": {"a": {}},
            },
            [1],
        ),
    ],
)
def test_an_output_schema_wrapped_for_older_revisions_still_refers_to_itself(
    schema: dict[str, Any], value: Any
) -> None:
    assert compile_schema(schema).is_valid(value)
    wrapped = compile_schema(wrap_schema(schema))
    assert wrapped.is_valid({"result": value})
    assert not wrapped.is_valid({"result": 5})
    assert not wrapped.is_valid({})
