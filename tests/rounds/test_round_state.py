"""Request state: what is refused, what is accepted, and where a big journal goes."""

import random
import secrets
import time
from typing import Any

import msgspec
import pytest
from playing import ALL, accept, by_message, play

from dovetail import App, Context, Principal
from dovetail.protocol import codec, rounds
from dovetail.protocol.revisions import STATELESS
from dovetail.protocol.types import CallToolParams
from dovetail.security.key_ring import KeyRing
from dovetail.security.sealing import AESGCMSealer, HandleSealer
from dovetail.stores import MemoryStore
from wire_of_server import Wire

MODERN = pytest.mark.parametrize("revision", STATELESS)
KEY = "k" * 32
OLD = "o" * 32
INVALID = -32602


def make_app(name: str = "state", **options: Any) -> tuple[App, list[str]]:
    app = App(name, **options)
    entered: list[str] = []

    @app.tool
    async def tool(ctx: Context, a: int = 0, b: int = 0) -> str:
        entered.append("tool")
        first = await ctx.elicit("A?", str)
        kept = await ctx.step("kept", str.upper, first)
        return kept + await ctx.elicit("B?", str)

    @app.tool
    async def other(ctx: Context, a: int = 0, b: int = 0) -> str:
        entered.append("other")
        return await ctx.elicit("A?", str)

    @app.tool
    async def big(ctx: Context, size: int) -> str:
        text = await ctx.step("text", lambda: secrets.token_hex(size // 2))
        entered.append(text)
        await ctx.elicit("A?", str)
        return str(len(text))

    return app, entered


async def begun(wire: Wire, **arguments: Any) -> dict[str, Any]:
    """A call of the tool whose first question is answered, as the next request would go out."""
    params = {"name": "tool", "arguments": arguments}
    result = await wire.result("tools/call", params)
    key = next(iter(result["inputRequests"]))
    return {**params, "inputResponses": {key: accept("a")}, "requestState": result["requestState"]}


@MODERN
@pytest.mark.hostile
@pytest.mark.requirement("R2607-MRTR-011", "R2607-MRTR-012")
async def test_forged_state_never_runs_a_body(revision: str, connect: Any) -> None:
    app, entered = make_app(keys=[KEY])
    wire = await connect(app, revision, ALL)
    good = await begun(wire)
    before = len(entered)
    state, chance = good["requestState"], random.Random(4)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/. \n\x00é"
    foreign = AESGCMSealer(KeyRing.generate(), "request-state")

    def forged(number: int) -> str:
        kind = number % 5
        if kind == 0:
            place = chance.randrange(len(state))
            return state[:place] + chance.choice(alphabet) + state[place + 1 :]
        if kind == 1:
            return state[: chance.randrange(len(state))]
        if kind == 2:
            return state + "".join(chance.choices(alphabet, k=chance.randrange(1, 9)))
        if kind == 3:
            return "".join(chance.choices(alphabet, k=chance.randrange(200)))
        return foreign.seal(chance.randbytes(40), binding=chance.randbytes(32))

    for number in range(10_000):
        found = forged(number)
        if found == state:
            continue
        answer = await wire.request("tools/call", {**good, "requestState": found})
        assert answer["error"]["code"] == INVALID, found
    assert len(entered) == before
    assert (await wire.result("tools/call", good))["resultType"] == "input_required"


@MODERN
@pytest.mark.hostile
@pytest.mark.requirement("R2607-MRTR-032", "RXSEC-SECURITY-015")
async def test_state_is_refused_anywhere_else(revision: str, connect: Any) -> None:
    app, entered = make_app(keys=[KEY])
    wire = await connect(app, revision, ALL)
    good = await begun(wire, a=1, b=2)
    mallory = Wire(app, revision, ALL)
    mallory.connection._principal = Principal(issuer="https://issuer.example", subject="mallory")
    namesake, seen = make_app("another", keys=[KEY])
    elsewhere = await connect(namesake, revision, ALL)
    rotated_out, _ = make_app(keys=[OLD])
    before = len(entered)
    for where, change in (
        (wire, {"name": "other"}),
        (wire, {"arguments": {"a": 1, "b": 3}}),
        (wire, {"arguments": {"a": 1}}),
        (mallory, {}),
        (elsewhere, {}),
        (await connect(rotated_out, revision, ALL), {}),
    ):
        assert (await where.error("tools/call", {**good, **change}))["code"] == INVALID, change
    assert len(entered) == before
    assert not seen
    swapped = {**good, "arguments": {"b": 2, "a": 1}}
    assert (await wire.result("tools/call", swapped))["resultType"] == "input_required"
    await mallory.close()


@MODERN
async def test_keys_rotate(revision: str, connect: Any) -> None:
    before, _ = make_app(keys=[OLD])
    good = await begun(await connect(before, revision, ALL))
    rotated, _ = make_app(keys=[KEY, OLD.encode()])
    wire = await connect(rotated, revision, ALL)
    result = await wire.result("tools/call", good)
    assert result["resultType"] == "input_required"
    fresh = {**good, "requestState": result["requestState"], "inputResponses": {"question-2": accept("b")}}
    assert (await (await connect(before, revision, ALL)).error("tools/call", fresh))["code"] == INVALID
    assert (await wire.result("tools/call", fresh))["content"][0]["text"] == "Ab"


BINDING = {
    "method": "tools/call",
    "name": "tool",
    "arguments": b'{"a":0}',
    "principal": "anonymous",
    "audience": "state",
}


def sealed(key: str, journal: dict[str, Any] | rounds.Journal, **bound: Any) -> str:
    """State as the app would seal it, with whatever claims."""
    claims = {**BINDING, **bound}
    params = CallToolParams(name=claims["name"], arguments=msgspec.Raw(claims["arguments"]))
    binding = rounds.binding_of(
        claims["method"], params, principal=claims["principal"], audience=claims["audience"]
    )
    sealer = AESGCMSealer(KeyRing.from_secrets([key.encode()]), "request-state")
    return sealer.seal(b"J" + codec.encode(journal), binding=binding)


def journal(**changed: Any) -> dict[str, Any]:
    question = rounds.WireQuestion("elicitation/create", b"{}")
    whole = {"nonce": "n" * 22, "expires": time.time() + 100, "round": 1, "asked": {"k": question.digest}}
    return {**whole, **changed}


ALTERED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"method": "prompts/get"}),
    ({}, {"name": "other"}),
    ({}, {"arguments": b'{"a":1}'}),
    ({}, {"principal": "anonymous "}),
    ({}, {"audience": "State"}),
    ({"expires": time.time() - 1}, {}),
    ({"expires": time.time() + 10_000}, {}),
    ({"expires": 1e308}, {}),
    ({"expires": "soon"}, {}),
    ({"round": 0}, {}),
    ({"round": -1}, {}),
    ({"round": 32}, {}),
    ({"round": 1.5}, {}),
    ({"nonce": ""}, {}),
    ({"nonce": 5}, {}),
    ({"asked": {}}, {}),
    ({"asked": {str(n): "x" for n in range(33)}}, {}),
    ({"asked": ["k"]}, {}),
    ({"answers": {"k": "yes"}}, {}),
    ({"answers": []}, {}),
    ({"steps": []}, {}),
    ({"steps": {str(n): 1 for n in range(1001)}}, {}),
]


@MODERN
@pytest.mark.hostile
@pytest.mark.parametrize("length", [0, 5000], ids=["short", "long"])
async def test_arguments_count_to_their_last_letter(revision: str, length: int, connect: Any) -> None:
    """Long ones by their digest. Keys may come in another order."""
    app = App("state")

    @app.tool
    async def tool(ctx: Context, text: str, mark: str) -> str:
        return f"{mark} {await ctx.elicit('A?', str)}"

    wire = await connect(app, revision, ALL)
    text = "x" * length
    params = {"name": "tool", "arguments": {"text": text, "mark": "a"}}
    result = await wire.result("tools/call", params)
    retry = {"requestState": result["requestState"], "inputResponses": {"question-1": accept("b")}}
    for other in ({"text": text + "x", "mark": "a"}, {"text": text, "mark": "b"}):
        assert (await wire.error("tools/call", {**params, **retry, "arguments": other}))["code"] == INVALID
    turned = {"mark": "a", "text": text}
    answer = await wire.result("tools/call", {**params, **retry, "arguments": turned})
    assert answer["content"][0]["text"] == "a b"


@MODERN
@pytest.mark.hostile
async def test_every_claim_counts(revision: str, connect: Any) -> None:
    app, entered = make_app(keys=[KEY])
    wire = await connect(app, revision, ALL)
    params = {"name": "tool", "arguments": {"a": 0}, "inputResponses": {}}
    for key in (KEY, OLD):
        for claims, bound in ALTERED:
            state = sealed(key, journal(**claims), **bound)
            error = await wire.error("tools/call", {**params, "requestState": state})
            assert error["code"] == INVALID, (claims, bound)
    assert (await wire.error("tools/call", {**params, "requestState": sealed(OLD, journal())}))[
        "code"
    ] == INVALID
    assert not entered
    good = await wire.result("tools/call", {**params, "requestState": sealed(KEY, journal())})
    assert good["resultType"] == "input_required"


@MODERN
@pytest.mark.parametrize("size", [100, 100_000, 3_000_000])
async def test_a_big_journal_goes_to_the_store(revision: str, size: int, connect: Any) -> None:
    store = MemoryStore()
    first, _ = make_app(keys=[KEY], store=store)
    second, _ = make_app(keys=[KEY], store=store)
    wire = await connect(first, revision, ALL)
    params = {"name": "big", "arguments": {"size": size}}
    result = await wire.result("tools/call", params)
    kept = [key async for key in store.kv.scan("rounds/") if "/journal/" in key]
    assert len(kept) == (size > 8192)
    assert len(result["requestState"]) <= 8192
    answered = {
        **params,
        "inputResponses": {"question-1": accept("x")},
        "requestState": result["requestState"],
    }
    final = await (await connect(second, revision, ALL)).result("tools/call", answered)
    assert final["content"][0]["text"] == str(size)


@MODERN
async def test_what_the_store_lost_is_told_as_expired(revision: str, connect: Any) -> None:
    store = MemoryStore()
    app, entered = make_app(keys=[KEY], store=store)
    wire = await connect(app, revision, ALL)
    params = {"name": "big", "arguments": {"size": 100_000}}
    result = await wire.result("tools/call", params)
    for key in [key async for key in store.kv.scan("rounds/") if "/journal/" in key]:
        await store.kv.delete(key)
    before = len(entered)
    error = await wire.error("tools/call", {**params, "requestState": result["requestState"]})
    assert error["code"] == INVALID
    assert "expired" in error["message"]
    assert len(entered) == before


@MODERN
async def test_without_a_shared_store_everything_travels(revision: str, connect: Any) -> None:
    app, _ = make_app(keys=[KEY])
    wire = await connect(app, revision, ALL)
    result = await wire.result("tools/call", {"name": "big", "arguments": {"size": 100_000}})
    assert len(result["requestState"]) > 50_000


@MODERN
async def test_without_cryptography_the_state_is_a_handle(revision: str, connect: Any) -> None:
    app, _ = make_app(sealer=HandleSealer())
    wire = await connect(app, revision, ALL)
    played = await play(wire, "tool", by_message({"A?": "a", "B?": "b"}))
    assert played.text == "Ab"
    assert all(len(state) == 43 for state in played.states)


def test_keys_are_judged_when_the_app_is_made(monkeypatch: Any) -> None:
    with pytest.raises(ValueError, match="32"):
        App("short", keys=["short"])
    with pytest.raises(ValueError, match="not both"):
        App("both", keys=[KEY], sealer=HandleSealer())
    monkeypatch.setenv("DOVETAIL_KEYS", "short")
    with pytest.raises(ValueError, match="32"):
        App("environment")


@MODERN
async def test_keys_come_from_the_environment(revision: str, connect: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("DOVETAIL_KEYS", f" {KEY} , {OLD}")
    first, _ = make_app()
    second, _ = make_app()
    good = await begun(await connect(first, revision, ALL))
    result = await (await connect(second, revision, ALL)).result("tools/call", good)
    assert result["resultType"] == "input_required"


def test_several_workers_without_shared_keys_refuse_to_start(monkeypatch: Any) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/uvicorn", "several:app"])
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    monkeypatch.delenv("DOVETAIL_KEYS", raising=False)
    with pytest.raises(ValueError, match=r"would not share what they have to.*keys"):
        App("several").asgi()
    App("several", keys=[KEY]).asgi(sessions=False)
    monkeypatch.setenv("WEB_CONCURRENCY", "1")
    App("one").asgi()
