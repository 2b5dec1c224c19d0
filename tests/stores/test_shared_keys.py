"""What one process gave to a client another one takes, with no keys given to either: they share a store.

Real processes on real engines. Specification: basic/patterns/mrtr, "Server Requirements"; server/utilities/pagination.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any

import pytest
from relayed_worker import NAMES, store_of
from shared_engines import KINDS, Engine, Workers, running_engine, workers_on

from dovetail import App, Ask, Client, InternalError, InvalidParams
from dovetail.auth.dpop import DPoPKey, ProofChecker
from dovetail.security import KeyRing
from dovetail.security.sealing import HandleSealer
from dovetail.server.stored_keys import StoredKeys
from dovetail.stores import MemoryStore, MixedStore, SQLiteStore, StoreUnavailable

STATELESS = "2026-07-28"
OLD, NEW, OTHER = "o" * 40, "n" * 40, "x" * 40


@pytest.fixture(scope="module", params=KINDS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("shared")
    yield from running_engine(request.param, folder)


@pytest.fixture
def engine(running: Engine) -> Engine:
    running.clear()
    return running


@pytest.fixture
async def workers(engine: Engine) -> AsyncIterator[Workers]:
    async with workers_on(engine) as workers:
        yield workers


async def begun(url: str) -> dict[str, Any]:
    """Begin a round there; gives what the client is to bring back."""
    async with Client(url, revision=STATELESS, elicitation=lambda _: True) as client:
        result = await client.request("tools/call", {"name": "greet", "arguments": {}}, into=dict[str, Any])
    assert result["resultType"] == "input_required"
    ((key, asked),) = result["inputRequests"].items()
    (member,) = asked["params"]["requestedSchema"]["properties"]
    return {
        "requestState": result["requestState"],
        "inputResponses": {key: {"action": "accept", "content": {member: "Ann"}}},
    }


async def ended(url: str, state: dict[str, Any]) -> str:
    """Go on with it there."""
    async with Client(url, revision=STATELESS, elicitation=lambda _: True) as client:
        result = await client.request(
            "tools/call", {"name": "greet", "arguments": {}, **state}, into=dict[str, Any]
        )
    return str(result["content"][0]["text"])


def mismatches(workers: Workers) -> list[int]:
    """How often each process said that its keys are not those of the others."""
    return [sum("this process has no key" in line for line in log) for log in workers.logs]


async def test_state_and_cursors_of_one_process_are_good_at_another_without_keys(workers: Workers) -> None:
    one, two = [await workers.serve() for _ in range(2)]
    for here, there in ((one, two), (two, one)):
        assert (await ended(there, await begun(here))).startswith("hello Ann, from ")
    cursor, names = dict[str, str](), list[str]()
    for turn in range(10):
        async with Client((one, two)[turn % 2], revision=STATELESS) as client:
            page = await client.request("tools/list", cursor)
        names += [each["name"] for each in page["tools"]]
        if "nextCursor" not in page:
            break
        cursor = {"cursor": page["nextCursor"]}
    assert names[-len(NAMES) :] == NAMES
    assert mismatches(workers) == [0, 0]


async def test_keys_outlive_all_the_processes(workers: Workers) -> None:
    state = await begun(await workers.serve())
    await workers.aclose()
    assert await ended(await workers.serve(), state)


async def test_keys_that_are_given_win_and_a_process_without_them_says_so(
    workers: Workers, engine: Engine
) -> None:
    one, both = await workers.serve(DOVETAIL_KEYS=OLD), f"{NEW},{OLD}"
    await compared(engine, OLD)
    two = await workers.serve(DOVETAIL_KEYS=both)
    await compared(engine, both)
    assert await ended(two, await begun(one))
    three = await workers.serve()
    with pytest.raises(InvalidParams, match="not valid for this request"):
        await ended(three, await begun(one))
    await until_said(workers, 2)
    assert mismatches(workers) == [0, 0, 1]


async def test_rotation_is_no_mismatch_and_other_keys_are_one(workers: Workers, engine: Engine) -> None:
    for keys in (OLD, f"{OLD},{NEW}", f"{NEW},{OLD}", NEW):
        url = await workers.serve(DOVETAIL_KEYS=keys)
        state = await begun(url)
        assert await ended(url, state)
        await compared(engine, keys)
    await workers.serve(DOVETAIL_KEYS=OTHER)
    await until_said(workers, 4)
    assert mismatches(workers) == [0, 0, 0, 0, 1]
    assert not any(key in line for log in workers.logs for line in log for key in (OLD, NEW, OTHER))


async def compared(engine: Engine, keys: str) -> None:
    """Wait until a process with these keys has compared them with those of the others."""
    ids = {id.hex() for id, _ in KeyRing.from_secrets(each.encode() for each in keys.split(",")).items()}
    async with asyncio.timeout(20), aclosing(store_of(engine.said)) as store:
        view = store.kv.within("keys/ids/")
        while ids not in [set(json.loads(await view.get(key) or b"[]")) async for key in view.scan()]:  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.02)


async def until_said(workers: Workers, at: int) -> None:
    """Wait until that process has said that it has other keys."""
    async with asyncio.timeout(20):
        while not mismatches(workers)[at]:  # noqa: ASYNC110 - another process says it
            await asyncio.sleep(0.02)


async def test_a_nonce_of_one_process_is_good_at_another(engine: Engine) -> None:
    async with aclosing(store_of(engine.said)) as one, aclosing(store_of(engine.said)) as two:
        nonce = await ProofChecker(one, nonces=True).nonce()
        url, key = "https://mill.example/mcp", DPoPKey.generate()
        proof = key.proof("POST", url, nonce=nonce)
        assert await ProofChecker(two, nonces=True).check(proof, "POST", url) == key.thumbprint


async def test_of_many_that_come_first_one_makes_the_keys(engine: Engine) -> None:
    async with aclosing(store_of(engine.said)) as one, aclosing(store_of(engine.said)) as two:
        rings = await asyncio.gather(*(StoredKeys(store.kv, "mill", "x").ring() for store in (one, two) * 10))
        assert len({tuple(ring.items()) for ring in rings}) == 1
        assert (
            await StoredKeys(one.kv, "mill", "x", KeyRing.from_secrets([OLD.encode()])).ring() is not rings[0]
        )


@pytest.mark.parametrize("running", KINDS[1:], indirect=True)
async def test_while_the_store_is_away_only_what_needs_its_keys_fails(
    workers: Workers, engine: Engine
) -> None:
    engine.kill()
    try:
        url = await workers.serve()
        async with Client(url, revision=STATELESS, elicitation=lambda _: "Ann") as client:
            assert (await client.call_tool("one")).text
            with pytest.raises(InternalError, match="try again"):
                await client.call_tool("greet")
            engine.start()
            assert (await client.call_tool("greet")).text.startswith("hello Ann")
        assert sum("can't be read from the store, and will be later" in line for line in workers.logs[0]) == 1
    finally:
        if engine.server is not None and engine.server.process is None:
            engine.start()


# In one process


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    async with aclosing(SQLiteStore(tmp_path / "store.db")) as store:
        yield store


@pytest.mark.parametrize(
    "value", [b"", b"{}", b'{"secrets":[]}', b'{"secrets":["!"]}', b'{"secrets":["c2hvcnQ="]}']
)
async def test_what_is_no_key_in_the_store_is_refused_and_not_replaced(
    store: SQLiteStore, value: bytes
) -> None:
    await store.kv.set("keys/ring", value)
    with pytest.raises(StoreUnavailable, match="Delete it"):
        await StoredKeys(store.kv, "mill", "x").ring()
    assert await store.kv.get("keys/ring") == value


async def test_two_apps_may_have_keys_of_their_own(
    store: SQLiteStore, caplog: pytest.LogCaptureFixture
) -> None:
    for name, key in (("mill", OLD), ("shop", NEW), ("mill", OLD)):
        await StoredKeys(store.kv, name, "x", KeyRing.from_secrets([key.encode()])).prepare()
    assert not caplog.records
    await store.kv.set("keys/ids/" + "0" * 64, b"garbage")
    await StoredKeys(store.kv, "shop", "x", KeyRing.from_secrets([OLD.encode()])).prepare()
    assert [record.levelno for record in caplog.records] == [logging.CRITICAL]
    await StoredKeys(store.kv, "shop", "x", KeyRing.from_secrets([OLD.encode()])).prepare()
    assert len(caplog.records) == 1  # they were replaced, and that was said


def test_workers_that_share_a_store_need_no_keys(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOVETAIL_KEYS", raising=False)
    app = App("mill", store=store)
    app.share_keys()
    app.asgi(workers=4)
    with pytest.raises(ValueError, match="keys"):
        App("mill", store=MixedStore(store, kv=MemoryStore())).asgi(workers=4)


def test_a_store_that_an_app_is_served_with_is_its_own_where_it_has_none(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOVETAIL_KEYS", raising=False)
    own = MemoryStore()
    App("mill").asgi(workers=4, store=store)  # without keys of its own: they are in the store
    with pytest.raises(ValueError, match="keys"):
        App("mill", store=own).asgi(workers=4, store=store)


async def test_an_app_tells_of_changes_by_the_store_that_it_is_served_with(store: SQLiteStore) -> None:
    apps = [App("mill"), App("mill")]
    for app in apps:
        app.add_resource(lambda: "flour", "flour://sack")
    endpoints = [app.asgi(store=store) for app in apps]
    async with (
        asyncio.timeout(20),
        endpoints[0].lifespan(),
        endpoints[1].lifespan(),
        Client(apps[1]) as client,
        client.listen(resources=["flour://sack"]) as changes,
    ):
        apps[0].resource_updated("flour://sack")
        assert (await anext(changes)).uri == "flour://sack"


async def test_a_sealer_is_not_replaced_by_keys_of_the_store(store: SQLiteStore) -> None:
    sealer = HandleSealer()
    app = App("mill", store=store, sealer=sealer)

    @app.tool
    async def greet(name: Annotated[str, Ask("What is your name?")]) -> str:
        return f"hello {name}"

    async with Client(app, revision=STATELESS, elicitation=lambda _: "Ann") as client:
        assert (await client.call_tool("greet")).text == "hello Ann"
    assert len(sealer) > 0
    assert await store.kv.get("keys/ring") is None
