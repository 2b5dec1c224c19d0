"""Two principals, continued: what is kept of rounds, resumption of calls, lists of every kind, listen streams, progress
tokens, request ids and names. See `test_protected_tenants`, which has the list of all handles.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from guarded import LEGACY, MODERN, READS_BOTH, Answer, Wire
from test_protected_scopes import heard, streaming
from test_protected_tenants import same, tenants

from dovetail import App, Context
from dovetail.stores import MemoryStore

EVERYTHING = {"tools/list": "tools", "resources/list": "resources", "prompts/list": "prompts"}
EVERYTHING["resources/templates/list"] = "resourceTemplates"


def rounds_app(store: MemoryStore, paid: list[str]) -> App:
    """Tools whose state is kept in the store: too long to travel, or to be paid once."""
    app = App("rounds", rate_limit=None, store=store)

    @app.tool
    async def long(ctx: Context) -> str:
        text = await ctx.step("read", _long)
        return f"{ctx.principal.subject} {len(text)} {await ctx.elicit('Go on?', bool)}"

    @app.tool(once=True)
    async def pay(ctx: Context) -> str:
        await ctx.elicit("Pay?", bool)
        await ctx.step("pay", _pay)
        return f"{ctx.principal.subject} paid"

    async def _pay() -> str:
        paid.append("paid")
        return "paid"

    return app


async def _long() -> str:
    return "x" * 20_000


@pytest.mark.parametrize("tool", ["long", "pay"])
async def test_state_that_is_kept_in_the_store(tool: str) -> None:
    """A spilled journal, and the answer of a call that runs once, before and after it is done."""
    paid: list[str] = []
    store = MemoryStore()
    async with tenants(rounds_app(store, paid)) as (issuer, wire, ann):
        eve = issuer.token(sub="eve")

        async def call(token: str, **more: Any) -> Answer:
            return await wire.call(token, params={"name": tool, "arguments": {}, **more})

        asked = (await call(ann)).json["result"]
        (key,) = asked["inputRequests"]
        state = asked["requestState"]
        assert len(state) < 4000
        answers = {key: {"action": "accept", "content": {"value": True}}}
        hers = (await call(eve)).json["result"]["requestState"]
        never = (state[:-8] + "AAAAAAAA", "A" * len(state), hers[: len(hers) // 2] + state[len(hers) // 2 :])

        async def refused() -> None:
            foreign = await call(eve, requestState=state, inputResponses=answers)
            assert foreign.json["error"]["code"] == -32602
            for each in never:
                same(foreign, await call(eve, requestState=each, inputResponses=answers))

        await refused()
        assert paid == []
        done = await call(ann, requestState=state, inputResponses=answers)
        assert done.json["result"]["content"][0]["text"].startswith("ann")
        await refused()  # the answer that was kept is Ann's too
        assert len(paid) == (tool == "pay")
        again = await call(ann, requestState=state, inputResponses=answers)
        same(done, again)
        assert len(paid) == (tool == "pay")


async def test_state_of_another_client_of_the_same_subject() -> None:
    async with tenants(rounds_app(MemoryStore(), [])) as (issuer, wire, ann):
        other = issuer.token(client_id="other")
        asked = (await wire.call(ann, params={"name": "long", "arguments": {}})).json["result"]
        more = {"name": "long", "arguments": {}, "inputResponses": {}}
        foreign = await wire.call(other, params={**more, "requestState": asked["requestState"]})
        broken = await wire.call(other, params={**more, "requestState": asked["requestState"][:-4] + "AAAA"})
        assert foreign.json["error"]["code"] == -32602
        same(foreign, broken)


def lists_app() -> App:
    """Two entries of each kind, one to a page."""
    app = App("lists", rate_limit=None, page_size=1)
    for name in ("a", "b"):
        app.tool(name=name)(lambda: "")
        app.prompt(name=name)(lambda: "")
        app.resource(f"notes://{name}")(lambda: "")

        def template(x: str) -> str:
            return x

        app.resource(f"notes-{name}://{{x}}")(template)
    return app


@pytest.mark.parametrize("method", EVERYTHING)
@pytest.mark.parametrize("era", ["stateful", "stateless"])
async def test_cursors_of_every_list(method: str, era: str) -> None:
    async with tenants(lists_app()) as (issuer, wire, ann):
        others = [issuer.token(sub="eve"), issuer.token(client_id="other"), issuer.token(sub=None)]
        sessions = {token: await wire.initialize(token) for token in (ann, *others)}

        async def page(token: str, cursor: str | None) -> Answer:
            params = {} if cursor is None else {"cursor": cursor}
            if era == "stateless":
                return await wire.call(token, method, params)
            message = {"id": 1, "method": method, "params": params}
            return await wire.message(token, message, session=sessions[token])

        cursor = (await page(ann, None)).json["result"]["nextCursor"]
        for eve in others:
            foreign = await page(eve, cursor)
            assert foreign.json["error"]["code"] == -32602
            for never in ("A" * len(cursor), cursor[:-4] + "AAAA", cursor[: len(cursor) // 2]):
                same(foreign, await page(eve, never))
        assert len((await page(ann, cursor)).json["result"][EVERYTHING[method]]) == 1


@contextlib.asynccontextmanager
async def calling(
    wire: Wire, token: str, session: str, message: dict[str, Any]
) -> AsyncIterator[asyncio.StreamReader]:
    """A call of the stateful era whose answer is a stream."""
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    lines = [
        "POST /mcp HTTP/1.1",
        "host: localhost",
        f"authorization: Bearer {token}",
        "accept: application/json, text/event-stream",
        "content-type: application/json",
        f"content-length: {len(body)}",
        f"mcp-session-id: {session}",
        f"mcp-protocol-version: {LEGACY}",
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    try:
        yield reader
    finally:
        writer.close()


def slow_app(begun: asyncio.Event, gate: asyncio.Event) -> App:
    """A tool that tells how far it is, and waits."""
    app = App("slow", rate_limit=None)

    @app.tool
    async def slow(ctx: Context) -> str:
        await ctx.progress(1, 2)
        begun.set()
        await gate.wait()
        return ctx.principal.subject

    return app


async def test_the_event_ids_of_a_call() -> None:
    """Eve resumes the stream of Ann's call: with Ann's session, and with her own."""
    begun, gate = asyncio.Event(), asyncio.Event()
    async with tenants(slow_app(begun, gate)) as (issuer, wire, ann):
        eve = issuer.token(sub="eve")
        sessions = {token: await wire.initialize(token) for token in (ann, eve)}
        call = {"name": "slow", "arguments": {}, "_meta": {"progressToken": "p"}}
        message = {"id": 5, "method": "tools/call", "params": call}
        async with calling(wire, ann, sessions[ann], message) as reader:
            async with asyncio.timeout(10):
                while not (line := await reader.readline()).startswith(b"id: "):
                    assert line
            id = line[4:].strip().decode()
            never = re.sub("[0-9a-f]{24}", "0" * 24, id)
            assert never != id
            for session in (sessions[ann], "A" * len(sessions[ann]), sessions[eve]):
                shown = [
                    ("authorization", f"Bearer {eve}"),
                    ("accept", "text/event-stream"),
                    ("mcp-session-id", session),
                    ("mcp-protocol-version", LEGACY),
                ]
                answers = [
                    await wire.send("GET", headers=[*shown, ("last-event-id", each)]) for each in (id, never)
                ]
                assert answers[0].status == (400 if session == sessions[eve] else 404)
                same(*answers)
            gate.set()
            said = await heard(reader)
            while "result" not in said:
                said = await heard(reader)
            assert said["result"]["content"][0]["text"] == "ann"


async def notified(
    wire: Wire, token: str, session: str | None, method: str, params: dict[str, Any]
) -> Answer:
    """A notification: of the stateless era without a session."""
    message = {"method": f"notifications/{method}", "params": params}
    if session is not None:
        return await wire.message(token, message, session=session)
    headers = [
        ("authorization", f"Bearer {token}"),
        ("mcp-protocol-version", MODERN),
        ("mcp-method", f"notifications/{method}"),
    ]
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    return await wire.send(headers=[*READS_BOTH, *headers], body=body)


@pytest.mark.parametrize("era", ["stateful", "stateless"])
async def test_progress_tokens_request_ids_and_cancellation_by_id(era: str) -> None:
    """Eve uses the ids and tokens of Ann's call against it, and then for calls of her own: nothing meets."""
    begun, gate = asyncio.Event(), asyncio.Event()
    async with tenants(slow_app(begun, gate)) as (issuer, wire, ann):
        eve = issuer.token(sub="eve")
        sessions = {token: await wire.initialize(token) for token in (ann, eve)}
        call = {"name": "slow", "arguments": {}, "_meta": {"progressToken": "p"}}

        async def run(token: str) -> list[Any]:
            begun.clear()
            if era == "stateless":
                answer = await wire.call(token, params={"name": "slow", "arguments": {}}, id=5)
                return [answer.json]
            message = {"id": 5, "method": "tools/call", "params": call}
            said: list[Any] = []
            async with calling(wire, token, sessions[token], message) as reader:
                while not said or "result" not in said[-1]:
                    said.append(await heard(reader))
            return said

        hers = asyncio.create_task(run(ann))
        await asyncio.sleep(0)
        await asyncio.wait_for(begun.wait(), 10)
        session = None if era == "stateless" else sessions[eve]
        for method, one, other in (
            ("cancelled", {"requestId": 5}, {"requestId": 6}),
            ("progress", {"progressToken": "p", "progress": 1}, {"progressToken": "q", "progress": 1}),
        ):
            foreign = await notified(wire, eve, session, method, one)
            same(foreign, await notified(wire, eve, session, method, other))
        theirs = asyncio.create_task(run(eve))
        await asyncio.sleep(0)
        await asyncio.wait_for(begun.wait(), 10)
        gate.set()
        for name, task in (("ann", hers), ("eve", theirs)):
            said = await asyncio.wait_for(task, 10)
            assert said[-1]["result"]["content"][0]["text"] == name
            assert said[-1]["id"] == 5
            assert len(said) == (1 if era == "stateless" else 2)  # its own progress, and its own only


async def test_listen_streams() -> None:
    """The same id for two streams of two people, and a cancellation of the one by the other."""
    app = lists_app()
    async with tenants(app) as (issuer, wire, ann):
        eve = issuer.token(sub="eve")
        listen = {"toolsListChanged": True, "resourceSubscriptions": ["notes://a"]}
        async with streaming(wire, ann, listen=listen) as hers:
            first = await heard(hers)
            async with streaming(wire, eve, listen=listen) as theirs:
                second = await heard(theirs)
                assert first == second
                answers = [await notified(wire, eve, None, "cancelled", {"requestId": id}) for id in (9, 10)]
                same(*answers)
            app.resource_updated("notes://a")  # Eve has gone, Ann hears on
            assert (await heard(hers))["method"] == "notifications/resources/updated"


async def test_names_of_what_one_may_not_use() -> None:
    """A tool, a prompt, a resource, a template and a completion that are not for Eve, and ones that never were."""
    app = App("names", rate_limit=None)

    def ann_only(who: Any) -> bool:
        return who.subject == "ann"

    app.tool(name="there", allow=ann_only)(lambda: "x")
    app.prompt(name="there", allow=ann_only)(lambda: "x")
    app.resource("there://a", allow=ann_only)(lambda: "x")

    def template(x: str) -> str:
        return x

    app.resource("there-t://{x}", allow=ann_only)(template)
    requests: list[tuple[str, dict[str, Any]]] = [
        ("tools/call", {"name": "there", "arguments": {}}),
        ("tools/call", {"name": "there", "arguments": {"no": 1}}),
        ("tools/call", {"name": "there", "arguments": {}, "requestState": "x"}),
        ("prompts/get", {"name": "there"}),
        ("resources/read", {"uri": "there://a"}),
        ("resources/read", {"uri": "there-t://1"}),
        (
            "completion/complete",
            {"ref": {"type": "ref/prompt", "name": "there"}, "argument": {"name": "x", "value": ""}},
        ),
        (
            "completion/complete",
            {"ref": {"type": "ref/resource", "uri": "there-t://{x}"}, "argument": {"name": "x", "value": ""}},
        ),
    ]
    async with tenants(app) as (issuer, wire, ann):
        eve = issuer.token(sub="eve")
        for method, params in requests:
            absent = json.loads(json.dumps(params).replace("there", "never"))
            foreign = await wire.call(eve, method, params)
            unknown = await wire.call(eve, method, absent)
            unknown.body = unknown.body.replace(b"never", b"there")
            same(foreign, unknown)
            assert foreign.status in (200, 400, 404), foreign
            if method != "completion/complete" and "arguments" not in params:
                assert "result" in (await wire.call(ann, method, params)).json
