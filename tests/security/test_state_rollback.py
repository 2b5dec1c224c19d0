"""Sending an old round again: for another try, for another answer, at another worker, after a crash.

Sealed state opens as often as it is sent, so a client can go back to any round that it was ever given. Where a state
counts once (`once=True`, `single_use=True`) the store knows which request used it: that one gets its reply again, any
other is refused.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from dovetail import App, Client, Context, Principal
from dovetail.protocol import names
from dovetail.protocol.revisions import REVISIONS, STATELESS
from dovetail.security.sealing import HandleSealer
from dovetail.stores import MemoryStore, SQLiteStore, Store
from wire_of_server import Wire

MODERN = pytest.mark.parametrize("revision", STATELESS)
ASKED = {"elicitation": {"form": {}}}
KEY, OTHER = "k" * 32, "o" * 32
INVALID = -32602
WORKER = Path(__file__).parents[1] / "rounds" / "guess_worker.py"

Opened = Callable[..., Awaitable[Wire]]


def accept(value: Any) -> dict[str, Any]:
    return {"action": "accept", "content": {"value": value}}


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "rounds.db")
    async with aclosing(made):
        yield made


def safe(store: Store, option: str = "", *, keys: list[str] | None = None) -> tuple[App, list[int]]:
    """Something that opens for the right number, and has three tries in one call; and what was guessed."""
    app = App("safe", keys=keys or [KEY], store=store)
    once, single = option == "once", option == "single_use"
    guessed: list[int] = []

    async def tries(ctx: Context) -> str:
        for left in (2, 1, 0):
            guess = await ctx.elicit(f"Number? {left} left", int, key=f"try-{left}")
            guessed.append(guess)
            if guess == 7:
                return "open"
        return "locked"

    @app.tool(once=once, single_use=single)
    async def unlock(ctx: Context, door: int = 1) -> str:
        return await tries(ctx)

    @app.tool(once=once, single_use=single)
    async def other(ctx: Context, door: int = 1) -> str:
        return await tries(ctx)

    @app.prompt(name="unlock", single_use=bool(option))
    async def prompt(ctx: Context) -> str:
        return await tries(ctx)

    @app.resource("safe://door", single_use=bool(option))
    async def resource(ctx: Context) -> str:
        return await tries(ctx)

    return app, guessed


CALL = ("tools/call", {"name": "unlock", "arguments": {"door": 1}})
WAYS = [CALL, ("prompts/get", {"name": "unlock"}), ("resources/read", {"uri": "safe://door"})]
EACH = pytest.mark.parametrize("method,params", WAYS, ids=["tool", "prompt", "resource"])
ONCE = pytest.mark.parametrize("option", ["once", "single_use"])


async def begun(wire: Wire, method: str, params: dict[str, Any]) -> dict[str, Any]:
    """The first round: the request that answers it, but for the answer."""
    asked = await wire.result(method, params)
    return {**params, "requestState": asked["requestState"]}


def guess(request: dict[str, Any], value: Any, left: int = 2) -> dict[str, Any]:
    return {**request, "inputResponses": {f"try-{left}": accept(value)}}


@MODERN
@pytest.mark.hostile
async def test_without_it_an_old_state_is_good_for_any_number_of_tries(
    revision: str, connect: Opened
) -> None:
    """What sealing does not promise, and why the page about rounds says so."""
    app, guessed = safe(MemoryStore())
    wire = await connect(app, revision, ASKED)
    request = await begun(wire, *CALL)
    for number in range(20):
        await wire.result("tools/call", guess(request, number))
    assert 7 in guessed


@MODERN
@EACH
@pytest.mark.hostile
@pytest.mark.requirement("R2607-MRTR-015")
async def test_a_state_is_good_for_one_try(
    revision: str, method: str, params: dict[str, Any], store: Store, connect: Opened
) -> None:
    app, guessed = safe(store, "single_use")
    wire = await connect(app, revision, ASKED)
    request = await begun(wire, method, params)
    second = await wire.result(method, guess(request, 0))
    assert second["resultType"] == "input_required"
    for number in range(1, 20):
        error = await wire.error(method, guess(request, number))
        assert (error["code"], "counts once" in error["message"]) == (INVALID, True)
    assert set(guessed) == {0}
    assert await wire.result(method, guess(request, 0)) == second, "the same request gets the same reply"


@MODERN
@ONCE
@pytest.mark.hostile
@pytest.mark.requirement("R2607-MRTR-015")
async def test_three_tries_of_a_call_are_three(
    revision: str, option: str, store: Store, connect: Opened
) -> None:
    """Every state that was ever given out, with every number, at two workers: three guesses are heard."""
    (app, guessed), (twin, heard) = safe(store, option), safe(store, option)
    wires = [await connect(app, revision, ASKED), await connect(twin, revision, ASKED)]
    request = await begun(wires[0], *CALL)
    states = [(request, 2)]
    for left in (2, 1):
        reply = await wires[left % 2].result("tools/call", guess(states[-1][0], 90 + left, left))
        states.append(({**request, "requestState": reply["requestState"]}, left - 1))
    last = guess(states[-1][0], 90, 0)
    final = await wires[0].result("tools/call", last)
    assert final["content"][0]["text"] == "locked"
    for number in range(10):
        for wire in wires:
            for state, left in states:
                assert (await wire.error("tools/call", guess(state, number, left)))["code"] == INVALID
    assert {*guessed, *heard} == {92, 91, 90}
    assert await wires[1].result("tools/call", last) == final
    older = guess(states[0][0], 92, 2)
    assert (await wires[1].error("tools/call", older))["code"] == INVALID, "an older round, even as it was"


@MODERN
@pytest.mark.hostile
async def test_of_many_answers_at_once_one_is_heard(revision: str, store: Store, connect: Opened) -> None:
    pairs = [safe(store, "single_use") for _ in range(2)]
    wires = [await connect(app, revision, ASKED) for app, _ in pairs]
    request = await begun(wires[0], *CALL)
    replies = await asyncio.gather(
        *(wires[number % 2].request("tools/call", guess(request, number)) for number in range(20))
    )
    assert len([reply for reply in replies if "result" in reply]) == 1
    assert len({number for _, guessed in pairs for number in guessed}) == 1


@MODERN
async def test_the_same_request_at_once_gets_one_reply(revision: str, store: Store, connect: Opened) -> None:
    pairs = [safe(store, "single_use") for _ in range(2)]
    wires = [await connect(app, revision, ASKED) for app, _ in pairs]
    request = guess(await begun(wires[0], *CALL), 1)
    replies = await asyncio.gather(*(wires[number % 2].result("tools/call", request) for number in range(10)))
    assert len({json.dumps(reply, sort_keys=True) for reply in replies}) == 1
    answer = {"content": {"value": 1}, "action": "accept"}
    moved = {**request, "inputResponses": {"stranger": accept(2), "try-2": answer}}
    assert await wires[0].result("tools/call", moved) == replies[0], (
        "order and strangers make no other request"
    )


@MODERN
@ONCE
@pytest.mark.hostile
@pytest.mark.requirement("R2607-MRTR-012", "R2607-MRTR-014")
async def test_a_refused_state_uses_up_nothing(
    revision: str, option: str, store: Store, connect: Opened
) -> None:
    """State of another caller, tool, arguments, cut short, of a key that is gone: none of it redeems the round."""
    app, guessed = safe(store, option)
    rotated, _ = safe(store, option, keys=[OTHER])
    wire = await connect(app, revision, ASKED)
    mallory = await connect(app, revision, ASKED)
    mallory.connection._principal = Principal(issuer="https://issuer.example", subject="mallory")
    request = guess(await begun(wire, *CALL), 7)
    state = request["requestState"]
    attempts: list[tuple[Wire, dict[str, Any]]] = [
        (mallory, {}),
        (wire, {"name": "other"}),
        (wire, {"arguments": {"door": 2}}),
        (wire, {"requestState": state[:-1]}),
        (wire, {"requestState": state[: len(state) // 2]}),
        (wire, {"requestState": ""}),
        (await connect(rotated, revision, ASKED), {}),
    ]
    for at, change in attempts:
        assert (await at.error("tools/call", {**request, **change}))["code"] == INVALID, change
    assert not guessed
    assert (await wire.result("tools/call", request))["content"][0]["text"] == "open"


@MODERN
@ONCE
async def test_a_key_that_only_opens_still_opens_once(
    revision: str, option: str, store: Store, connect: Opened
) -> None:
    app, _ = safe(store, option)
    request = await begun(await connect(app, revision, ASKED), *CALL)
    rotated, guessed = safe(store, option, keys=[OTHER, KEY])
    wire = await connect(rotated, revision, ASKED)
    await wire.result("tools/call", guess(request, 1))
    assert (await wire.error("tools/call", guess(request, 2)))["code"] == INVALID
    assert guessed == [1]


@MODERN
@pytest.mark.hostile
@pytest.mark.parametrize("leap", [-7200, -120, 7200], ids=["far back", "back", "ahead and back"])
async def test_a_clock_that_leaps_opens_nothing_twice(
    revision: str, leap: float, connect: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    clock = {"at": now}
    store = MemoryStore(clock=lambda: clock["at"])
    app, guessed = safe(store, "single_use")
    monkeypatch.setattr("dovetail.runtime.rounds.time.time", lambda: clock["at"])
    wire = await connect(app, revision, ASKED)
    request = await begun(wire, *CALL)
    await wire.result("tools/call", guess(request, 1))
    clock["at"] = now + leap
    for number in range(300):  # writes sweep what is due
        await store.kv.set(f"{number}", b"", ttl=1)
    if leap > 0:
        clock["at"] = now
    for number in (2, 3):
        assert (await wire.error("tools/call", guess(request, number)))["code"] == INVALID
    assert guessed == [1]


@MODERN
@pytest.mark.hostile
async def test_a_store_that_forgot_opens_nothing_twice(revision: str, store: Store, connect: Opened) -> None:
    app, guessed = safe(store, "single_use")
    wire = await connect(app, revision, ASKED)
    request = await begun(wire, *CALL)
    await wire.result("tools/call", guess(request, 1))
    for key in [key async for key in store.kv.scan("rounds/")]:
        await store.kv.delete(key)
    for number in (1, 2):
        assert "expired" in (await wire.error("tools/call", guess(request, number)))["message"]
    assert set(guessed) == {1}


@MODERN
@pytest.mark.hostile
async def test_a_handle_is_good_for_one_try_too(revision: str, connect: Opened) -> None:
    """Where there is no cryptography, the state is a handle: it opens as often as it is sent, as well."""
    app, heard = App("handles", sealer=HandleSealer(), store=MemoryStore()), list[str]()

    @app.tool(single_use=True)
    async def tool(ctx: Context) -> str:
        heard.append(await ctx.elicit("A?", str, key="a"))
        return "heard"

    wire = await connect(app, revision, ASKED)
    asked = await wire.call("tool")
    request = {"name": "tool", "arguments": {}, "requestState": asked["requestState"]}
    replies = [
        await wire.request("tools/call", {**request, "inputResponses": {"a": accept(text)}})
        for text in ("x", "y", "x")
    ]
    assert ["result" in reply for reply in replies] == [True, False, True]
    assert heard == ["x"]


@MODERN
async def test_an_answer_that_is_too_large_to_keep_is_given_once(
    revision: str, store: Store, connect: Opened
) -> None:
    app, ran = App("large", keys=[KEY], store=store), list[int]()

    @app.tool(once=True)
    async def large(ctx: Context) -> str:
        ran.append(1)
        await ctx.elicit("Go on?", bool, key="go")
        return "x" * (1 << 20)

    wire = await connect(app, revision, ASKED)
    asked = await wire.call("large")
    request = {"name": "large", "arguments": {}, "requestState": asked["requestState"]}
    request["inputResponses"] = {"go": accept(True)}
    assert len((await wire.result("tools/call", request))["content"][0]["text"]) == 1 << 20
    assert "too large to be given again" in (await wire.error("tools/call", request))["message"]
    assert len(ran) == 2


@pytest.mark.parametrize(
    "revision", [each for each in REVISIONS if each >= "2025-06-18" and each not in STATELESS]
)
async def test_the_stateful_era_asks_in_one_call_and_keeps_nothing(revision: str, store: Store) -> None:
    app, guessed = safe(store, "once")
    async with Client(app, revision=revision, elicitation=lambda _: 1) as client:
        assert (await client.call_tool("unlock")).text == "locked"
    assert guessed == [1, 1, 1]
    assert [key async for key in store.kv.scan("rounds/")] == []


# Several processes


def message(params: dict[str, Any]) -> str:
    meta = {
        names.META_PROTOCOL_VERSION: STATELESS[-1],
        names.META_CLIENT_CAPABILITIES: ASKED,
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {**params, "_meta": meta}}
    return json.dumps(body) + "\n"


def talk(command: list[str], params: dict[str, Any]) -> Any:
    """One request to a server of its own; None when it died without an answer."""
    done = subprocess.run(
        command, input=message(params), capture_output=True, text=True, timeout=30, check=False
    )
    return json.loads(done.stdout) if done.stdout else None


@pytest.mark.hostile
def test_of_two_processes_one_redeems_a_round(tmp_path: Path) -> None:
    command = [sys.executable, str(WORKER), str(tmp_path / "store.db"), KEY]
    for _ in range(3):
        state = talk(command, {"name": "unlock"})["result"]["requestState"]
        processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        outputs: list[Any] = []
        for number, process in enumerate(processes):
            assert process.stdin is not None
            process.stdin.write(message(guess({"name": "unlock", "requestState": state}, number)))
            process.stdin.close()
        for process in processes:
            assert process.stdout is not None
            outputs.append(json.loads(process.stdout.read()))
            process.stdout.close()
            assert process.wait(30) == 0
        assert sorted("error" in output for output in outputs) == [False, True]


@pytest.mark.hostile
def test_a_kill_between_redeeming_and_answering_goes_on_with_the_same_request(tmp_path: Path) -> None:
    """What was recorded is not done again, what was not begun is done; another request gets no second chance."""
    log = tmp_path / "done"
    command = [sys.executable, str(WORKER), str(tmp_path / "store.db"), KEY, str(log)]
    state = talk(command, {"name": "pay"})["result"]["requestState"]
    request = {"name": "pay", "requestState": state, "inputResponses": {"pay": accept(True)}}
    assert talk(command, request) is None
    other = talk(command, {**request, "inputResponses": {"pay": accept(False)}})
    assert other["error"]["code"] == INVALID
    answers = [talk(command, request)["result"] for _ in range(2)]
    assert [answer["content"][0]["text"] for answer in answers] == ["reserve charge"] * 2
    assert log.read_text().split() == ["reserve", "charge"]
