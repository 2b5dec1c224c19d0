"""In every cell: sessions and what an app keeps in them, and methods of an app's own."""

import asyncio
import json
from typing import Any

import pytest
from everywhere_cells import Cell
from everywhere_spots import Host, Spot

from dovetail import Client, InvalidParams, RPCError
from dovetail.protocol.errors import InvalidRequest

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.vendor_methods(
        *[f"com.example/{name}" for name in ("sum", "person", "facts", "nothing", "ask", "ask-softly")]
    ),
]


async def use(client: Client, tool: str, **arguments: Any) -> Any:
    """What a tool gives as JSON text: old revisions have no other data."""
    return json.loads((await client.call_tool(tool, arguments)).text)


async def id_of(client: Client) -> str:
    return (await client.call_tool("session_id")).text


def has_session(cell: Cell) -> bool:
    return not cell.stateless and cell.has("session")


async def test_a_session_keeps_what_the_app_gives_it(client: Client, cell: Cell) -> None:
    if not has_session(cell):
        assert await id_of(client) == ""
        for tool, arguments in (("count_up", {"by": 1}), ("recall", {"key": "a"}), ("forget", {"key": "a"})):
            result = await client.call_tool(tool, arguments)
            assert result.is_error
            assert "this call has no session" in result.text
            assert "ctx." not in result.text  # what the author can do is for the log
        return
    id = await id_of(client)
    assert len(id) == 64
    assert await id_of(client) == id
    ada = {"name": "Ada", "age": 36, "colour": "blue"}
    assert await use(client, "recall", key="who") is None
    assert (await client.call_tool("remember", {"key": "who", "person": ada})).text == "kept"
    assert await use(client, "recall", key="who") == ada
    assert await use(client, "forget", key="who") is True
    assert await use(client, "forget", key="who") is False
    assert await use(client, "recall", key="who") is None


async def test_changes_at_the_same_time_are_all_counted(client: Client, cell: Cell) -> None:
    if not has_session(cell):
        return
    before = await use(client, "count_up", by=0)
    made = await asyncio.gather(*[use(client, "count_up", by=1) for _ in range(20)])
    assert sorted(each - before for each in made) == list(range(1, 21))


async def test_sessions_keep_apart_what_they_keep(spot: Spot) -> None:
    if not has_session(spot.cell) or spot.cell.transport == "stdio":
        return  # stdio has one session in each process
    async with spot.connect() as other:
        mine, others = [await id_of(each) for each in (spot.client, other)]
        assert mine != others
        await spot.client.call_tool("remember", {"key": "mine", "person": {"name": "Ada"}})
        assert await use(other, "recall", key="mine") is None
        await spot.client.call_tool("forget", {"key": "mine"})


async def test_methods_of_an_apps_own(client: Client, cell: Cell) -> None:
    found = await client.request("com.example/sum", {"a": 2})
    assert (found["total"], found["parts"]) == (6, [2, 1])
    heard: list[float] = []

    await client.request("com.example/sum", {"a": 2, "b": 3}, progress=lambda each: heard.append(1))
    assert len(heard) == (1 if cell.has("talks") else 0)
    found = await client.request("com.example/person", {"name": "Ada", "colour": "blue"})
    assert found["person"] == {"name": "Ada", "age": 7, "colour": "blue"}
    assert found["anonymous"] is True
    found = await client.request("com.example/facts", {}, meta={"acme.example/x": [1]})
    assert (found["revision"], found["state"], found["meta"]) == (cell.revision, {"opened": True}, [1])
    nothing = await client.request("com.example/nothing")
    assert nothing.keys() <= {"_meta", "resultType"}
    assert cell.stateless == (nothing.get("resultType") == "complete")


async def test_parameters_of_own_methods_are_checked(client: Client) -> None:
    for method, params, told in (
        ("com.example/sum", {"a": "two"}, "a: expected a value of type integer"),
        ("com.example/sum", {}, "a: required but missing"),
        ("com.example/sum", {"a": 1, "aa": 2}, "aa: no such"),
        ("com.example/person", {"name": 7}, "params.name: expected"),
        ("com.example/person", {}, "params.name: required"),
    ):
        with pytest.raises(InvalidParams, match=told):
            await client.request(method, params)


async def test_own_methods_ask_where_the_protocol_lets_them(client: Client, cell: Cell, host: Host) -> None:
    """Since 2026-07-28 an answer that asks back is for tools, prompts and resources alone."""
    host.fill = lambda request: "Ada"
    if not cell.stateless and cell.has("elicitation") and cell.has("asks"):
        assert (await client.request("com.example/ask"))["name"] == "Ada"
        assert (await client.request("com.example/ask-softly"))["name"] == "Ada"
        return
    with pytest.raises(RPCError) as problem:
        await client.request("com.example/ask")
    assert isinstance(problem.value, InvalidRequest)
    assert "can't ask" in str(problem.value) or "needs the client capability" in str(problem.value)
    assert (await client.request("com.example/ask-softly"))["name"] == "nobody"
    assert not host.forms
