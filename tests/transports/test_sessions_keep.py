"""What an app keeps in a session: on whichever worker, in whichever store, no longer than the session, and bounded."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from http_serving import Prober, serving

from dovetail import App, Client, Context, FeatureUnavailable, LocalProtocolError
from dovetail.server.session import MAX_KEPT_BYTES
from dovetail.stores import MemoryStore, SQLiteStore, Store


def make_app(store: Store | None = None) -> App:
    app = App("keeping", store=store, rate_limit=None, keys=["k" * 32])

    @app.tool
    async def count(ctx: Context) -> int:
        return await ctx.session.update("count", lambda n: n + 1, 0)

    @app.tool
    async def keep(key: str, value: Any, ctx: Context) -> str:
        try:
            await ctx.session.set(key, value)
        except LocalProtocolError as problem:
            return str(problem)
        return "kept"

    @app.tool
    async def kept(key: str, ctx: Context) -> Any:
        return {"found": await ctx.session.get(key, "nothing")}

    @app.tool
    async def who(ctx: Context) -> str:
        return ctx.session_id or ""

    @app.tool
    async def careful(ctx: Context) -> str:
        try:
            return ctx.session.id
        except FeatureUnavailable:
            return "no session"

    return app


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    found: Store = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "sessions.db")
    yield found
    await found.aclose()


async def text(prober: Prober, tool: str, **arguments: Any) -> str:
    return (await prober.tool(tool, **arguments)).json["result"]["content"][0]["text"]


async def test_workers_that_share_a_store_share_what_sessions_keep(store: Store) -> None:
    # A store in memory is refused to several processes; here one process holds both endpoints.
    workers = 1 if isinstance(store, MemoryStore) else 2
    async with (
        serving(make_app(store).asgi(workers=workers, responses="json")) as first,
        serving(make_app(store).asgi(workers=workers, responses="json")) as second,
    ):
        one = await Prober(first).ready("2025-11-25")
        two = one.another()
        two.port = second
        both = [one, two]
        numbers = await asyncio.gather(*[text(both[n % 2], "count") for n in range(20)])
        assert sorted(map(int, numbers)) == list(range(1, 21)), "no count is lost, whoever was faster"
        assert await text(one, "keep", key="name", value={"first": ["Ada"]}) == "kept"
        assert json.loads(await text(two, "kept", key="name")) == {"found": {"first": ["Ada"]}}
        assert await text(one, "who") == await text(two, "who") != one.session
        # What the protocol itself keeps in the record stands beside it.
        await two.call("logging/setLevel", {"level": "error"})
        assert await text(one, "count") == "21"
        await one.send("DELETE")
        again = await Prober(second).ready("2025-11-25")
        assert json.loads(await text(again, "kept", key="name")) == {"found": "nothing"}
        for connection in (*one.opened, *again.opened):
            await connection.close()


async def test_what_a_session_keeps_is_bounded(store: Store) -> None:
    async with serving(make_app(store).asgi(responses="json")) as port:
        prober = await Prober(port).ready("2025-11-25")
        half = "x" * (MAX_KEPT_BYTES // 2)
        assert await text(prober, "keep", key="a", value=half) == "kept"
        refused = await text(prober, "keep", key="b", value=half)
        assert f"at most {MAX_KEPT_BYTES} bytes" in refused
        assert "ctx.session_id" in refused
        assert json.loads(await text(prober, "kept", key="b")) == {"found": "nothing"}
        assert await text(prober, "keep", key="a", value="short") == "kept"
        assert await text(prober, "keep", key="b", value=half) == "kept"
        for connection in prober.opened:
            await connection.close()


async def test_a_session_that_keeps_nothing_has_the_same_record_as_before(store: Store) -> None:
    async with serving(make_app(store).asgi(responses="json")) as port:
        prober = await Prober(port).ready("2025-11-25")
        await text(prober, "who")
        record = await store.sessions.load(prober.session or "")
        assert record is not None
        assert b"kept" not in record.data
        for connection in prober.opened:
            await connection.close()


async def test_what_json_can_not_carry_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    app = App("x")

    @app.tool
    async def wrong(ctx: Context) -> str:
        told: list[str] = []
        for key, value in (("a", object()), (7, "b")):
            try:
                await ctx.session.set(key, value)  # pyright: ignore[reportArgumentType] - the fault
            except LocalProtocolError as problem:
                told.append(str(problem))
        await ctx.session.set("number", "seven")
        try:
            await ctx.session.get("number", into=int)
        except LocalProtocolError as problem:
            told.append(str(problem))
        return "\n".join(told)

    async with Client(app, revision="2025-11-25") as client:
        first, second, third = (await client.call_tool("wrong")).text.split("\n")
    assert first.startswith("'a' can't be kept in the session")
    assert "a text for a key" in second
    assert third.startswith("what the session keeps under 'number' is no <class 'int'>")


@pytest.mark.parametrize("revision,told", [("2025-11-25", 64), ("2026-07-28", "no session")])
async def test_where_there_is_no_session_that_can_be_told(revision: str, told: str | int) -> None:
    async with Client(make_app(), revision=revision) as client:
        found = (await client.call_tool("careful")).text
        assert found == told or len(found) == told


async def test_a_store_that_fails_is_no_loss_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    async with serving(make_app(store).asgi(responses="json")) as port:
        prober = await Prober(port).ready("2025-11-25")
        save, store.sessions.save = store.sessions.save, _unavailable
        with caplog.at_level(logging.ERROR):
            answer = (await prober.tool("count")).json
        assert answer["result"]["isError"] is True
        assert "StoreUnavailable" in caplog.text
        store.sessions.save = save
        assert await text(prober, "count") == "1"
        for connection in prober.opened:
            await connection.close()


async def _unavailable(record: Any, *, expected_version: int) -> bool:
    from dovetail.stores.errors import StoreUnavailable

    raise StoreUnavailable("gone for a moment")
