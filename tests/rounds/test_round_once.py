"""Lost replies and crashes: what runs again, with which keys, and what ``once`` makes of it."""

import asyncio
import json
import logging
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playing import ALL, accept

from dovetail import App, Client, Context, ToolError
from dovetail.protocol.revisions import REVISIONS, STATELESS
from dovetail.runtime.journals import OutcomeUnknown
from dovetail.stores import MemoryStore
from wire_of_server import Wire

MODERN = pytest.mark.parametrize("revision", STATELESS)
YES = {"question-1": accept(True)}


class Shop:
    """A tool that charges after it asked, and what it did."""

    def __init__(self, *, once: bool, **options: Any) -> None:
        self.app = App("shop", **options)
        self.charged: list[str] = []
        self.runs = 0
        self.problem: Exception | None = None
        self.begun = asyncio.Event()
        self.waits: asyncio.Event | None = None

        @self.app.tool(once=once)
        async def pay(ctx: Context) -> str:
            self.runs += 1
            if not await ctx.elicit("Pay?", bool):
                return "not paid"
            number = await ctx.step("charge", self.charge, ctx.step_key("charge"))
            if self.problem is not None:
                raise self.problem
            return f"charge {number}, run {self.runs}"

    async def charge(self, key: str) -> int:
        self.charged.append(key)
        self.begun.set()
        if self.waits is not None:
            await self.waits.wait()
        return len(self.charged)


async def asked(wire: Wire) -> dict[str, Any]:
    result = await wire.result("tools/call", {"name": "pay"})
    return {"name": "pay", "inputResponses": YES, "requestState": result["requestState"]}


def text(result: dict[str, Any]) -> str:
    return result["content"][0]["text"]


@MODERN
async def test_without_once_a_lost_reply_repeats_steps_under_the_same_key(
    revision: str, connect: Any
) -> None:
    shop = Shop(once=False)
    wire = await connect(shop.app, revision, ALL)
    request = await asked(wire)
    for number in (1, 2):
        assert text(await wire.result("tools/call", request)).startswith(f"charge {number}")
    assert len(shop.charged) == 2
    assert len(set(shop.charged)) == 1


@MODERN
@pytest.mark.requirement("R2607-MRTR-015")
async def test_with_once_a_lost_reply_comes_again_as_it_was(revision: str, connect: Any) -> None:
    store = MemoryStore()
    first, second = (Shop(once=True, store=store, keys=["k" * 32]) for _ in range(2))
    wire = await connect(first.app, revision, ALL)
    request = await asked(wire)
    answers = [await wire.result("tools/call", request) for _ in range(2)]
    other = await (await connect(second.app, revision, ALL)).result("tools/call", request)
    refusing = {**request, "inputResponses": {"question-1": {"action": "decline"}}}
    assert "counts once" in (await wire.error("tools/call", refusing))["message"]
    assert [text(each) for each in (*answers, other)] == ["charge 1, run 2"] * 3
    assert len(first.charged) == 1
    assert not second.charged
    again = await asked(wire)  # another call, another identity
    assert text(await wire.result("tools/call", again)).startswith("charge 2")


@MODERN
async def test_an_error_result_is_a_final_answer_too(revision: str, connect: Any) -> None:
    shop = Shop(once=True)
    shop.problem = ToolError("sold out")
    wire = await connect(shop.app, revision, ALL)
    request = await asked(wire)
    for _ in range(2):
        result = await wire.result("tools/call", request)
        assert result["isError"] is True
        assert text(result) == "sold out"
    assert shop.runs == 2


@MODERN
async def test_of_two_that_run_at_once_one_does_the_step(revision: str, connect: Any) -> None:
    shop = Shop(once=True)
    shop.waits = asyncio.Event()
    wire = await connect(shop.app, revision, ALL)
    request = await asked(wire)
    first = await wire.start("first", "tools/call", request)
    second = await wire.result("tools/call", request)
    assert second["isError"] is True
    assert "unknown" in text(second)
    shop.waits.set()
    assert text((await first)["result"]).startswith("charge 1")
    assert text(await wire.result("tools/call", request)).startswith("charge 1")
    assert len(shop.charged) == 1


@MODERN
async def test_a_step_cut_short_is_reported_and_never_repeated(revision: str, connect: Any) -> None:
    shop = Shop(once=True)
    shop.waits = asyncio.Event()
    wire = await connect(shop.app, revision, ALL)
    request = await asked(wire)
    await wire.start("cut", "tools/call", request)
    await asyncio.wait_for(shop.begun.wait(), 5)
    await wire.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "cut"}})
    await wire.connection.drain()
    for _ in range(2):
        result = await wire.result("tools/call", request)
        assert result["isError"] is True
        assert "'charge' is unknown" in text(result)
    assert len(shop.charged) == 1


@MODERN
async def test_a_step_that_failed_is_not_repeated_either(revision: str, connect: Any, caplog: Any) -> None:
    shop = Shop(once=True)
    seen: list[str] = []

    @shop.app.tool(once=True, name="fragile")
    async def fragile(ctx: Context) -> str:
        await ctx.elicit("Pay?", bool)

        def fail() -> None:
            seen.append("ran")
            raise ConnectionResetError("the line went dead")

        try:
            await ctx.step("fail", fail)
        except OutcomeUnknown as unknown:
            return f"caught: {unknown.step}: {unknown}"
        return "never"

    wire = await connect(shop.app, revision, ALL)
    first = await wire.result("tools/call", {"name": "fragile"})
    request = {"name": "fragile", "inputResponses": YES, "requestState": first["requestState"]}
    with caplog.at_level(logging.CRITICAL, "dovetail.server"):
        result = await wire.result("tools/call", request)
    assert result["isError"] is True
    assert (await wire.result("tools/call", request)) == result
    assert seen == ["ran"]


@pytest.mark.parametrize(
    "revision", [each for each in REVISIONS if each >= "2025-06-18" and each not in STATELESS]
)
async def test_the_stateful_era_runs_each_request_once(revision: str) -> None:
    shop = Shop(once=True)
    async with Client(shop.app, revision=revision, elicitation=lambda _: True) as client:
        assert (await client.call_tool("pay")).text == "charge 1, run 1"


async def test_a_kill_between_claim_and_result_is_reported(tmp_path: Path) -> None:
    log = tmp_path / "charged"
    worker = Path(__file__).with_name("once_worker.py")
    command = [sys.executable, str(worker), str(tmp_path / "store.db"), "k" * 32, str(log)]
    begin = await asyncio.to_thread(talk, command, {"name": "pay"})
    state = begin["result"]["requestState"]
    request = {"name": "pay", "inputResponses": YES, "requestState": state}
    assert await asyncio.to_thread(talk, command, request) is None  # it died on the way
    for _ in range(2):
        result = (await asyncio.to_thread(talk, command, request))["result"]
        assert result["isError"] is True
        assert "'charge' is unknown" in text(result)
    assert len(log.read_text().splitlines()) == 1


def talk(command: list[str], params: dict[str, Any]) -> Any:
    """One request to a server of its own; None when it died without an answer."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": STATELESS[-1],
        "io.modelcontextprotocol/clientCapabilities": ALL,
        "io.modelcontextprotocol/clientInfo": {"name": "by hand", "version": "1"},
    }
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {**params, "_meta": meta}}
    done = subprocess.run(
        command, input=json.dumps(message) + "\n", capture_output=True, text=True, timeout=30, check=False
    )
    return json.loads(done.stdout) if done.stdout else None


def test_a_tool_that_runs_once_needs_a_store_where_workers_share_keys() -> None:
    app = App("several", keys=["k" * 32])
    with pytest.raises(Exception, match=r"share: App\(store="):
        app.add_tool(lambda: "x", name="t", once=True)
    shop = Shop(once=True)
    with pytest.raises(ValueError, match=r"share: App\(store="):
        shop.app.share_keys()


@MODERN
@pytest.mark.parametrize("timeout", [None, 30.0])
@pytest.mark.parametrize("kind", ["tool", "prompt", "resource"])
async def test_state_that_counts_once_is_taken_with_a_deadline_too(
    revision: str, kind: str, timeout: float | None, connect: Any
) -> None:
    app = App("single", store=MemoryStore())

    async def agree(ctx: Context) -> str:
        return "yes" if await ctx.elicit("Agreed?", bool) else "no"

    register = {"tool": app.tool, "prompt": app.prompt, "resource": partial(app.resource, "app://agree")}
    register[kind](single_use=True, timeout=timeout)(agree)
    method, params = {
        "tool": ("tools/call", {"name": "agree"}),
        "prompt": ("prompts/get", {"name": "agree"}),
        "resource": ("resources/read", {"uri": "app://agree"}),
    }[kind]
    wire = await connect(app, revision, ALL)
    state = (await wire.result(method, params))["requestState"]
    back = {**params, "inputResponses": YES, "requestState": state}
    assert "yes" in json.dumps(await wire.result(method, back))
