"""In every cell: lists that change at run time, resources that are updated, and who hears of it."""

import asyncio
from typing import Any

import pytest
from everywhere_app import NOTE, make_app
from everywhere_cells import REVISIONS, Cell
from everywhere_serving import serving
from everywhere_spots import Host, Spot

from dovetail import Client, FeatureUnavailable, InvalidParams
from dovetail.protocol.errors import ResourceNotFound
from dovetail.protocol.listening import Change

pytestmark = pytest.mark.asyncio(loop_scope="session")
LISTEN = b"subscriptions/listen"


async def hear(events: Any, *wanted: Change) -> None:
    """Hear of all of these. Of a list that changed a moment before, too, one is told again within a second, and nobody
    waits for that here: it may come between.
    """
    left = set(wanted)
    while left:
        change = await anext(events)
        assert change in wanted or change.kind in ("tools", "prompts", "resources")
        left.discard(change)


async def test_tools_come_and_go(client: Client, tag: str) -> None:
    with pytest.raises(InvalidParams):
        await client.call_tool(tag)
    await client.call_tool("grow", {"name": tag})
    try:
        assert (await client.call_tool(tag)).text == f"I am {tag}"
    finally:
        await client.call_tool("shrink", {"name": tag})
    with pytest.raises(InvalidParams):
        await client.call_tool(tag)


async def test_changes_are_heard_by_listening(client: Client, cell: Cell, tag: str) -> None:
    if not cell.has("changes"):
        return
    async with client.listen(tools=True, prompts=True, resource_list=True, resources=[NOTE]) as events:
        agreed = events.acknowledged
        assert agreed.tools_list_changed
        assert agreed.prompts_list_changed
        assert agreed.resources_list_changed
        assert agreed.resource_subscriptions == [NOTE]
        await client.call_tool("grow", {"name": tag})
        await hear(events, Change("tools"))
        assert tag in [tool.name async for tool in client.tools()]
        await client.call_tool("shrink", {"name": tag})
        await hear(events, Change("tools"))
        while tag in [tool.name async for tool in client.tools()]:  # that was of a change before: see `hear`
            await hear(events, Change("tools"))
        await client.call_tool("grow_others", {"name": tag})
        await hear(events, Change("prompts"), Change("resources"))
        assert tag in [prompt.name async for prompt in client.prompts()]
        assert f"made://{tag}" in [resource.uri async for resource in client.resources()]
        await client.call_tool("shrink_others", {"name": tag})
        await hear(events, Change("prompts"), Change("resources"))
        await client.call_tool("touch", {"uri": NOTE})
        await hear(events, Change("resource", NOTE))


async def test_the_first_change_after_listening_is_heard(spot: Spot, tag: str) -> None:
    """The client is new: whatever brings changes has only just been opened, and is there when `listen` returns."""
    if not spot.cell.has("changes") or spot.cell.transport == "stdio":
        return
    async with spot.connect() as client, client.listen(tools=True, resources=[NOTE]) as events:
        await spot.say("grow", name=tag)
        assert await anext(events) == Change("tools")
        await spot.say("shrink", name=tag)
        await spot.say("touch", uri=NOTE)
        assert {await anext(events), await anext(events)} == {Change("tools"), Change("resource", NOTE)}


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("revision", REVISIONS)
async def test_listening_has_begun_when_it_says_so(revision: str) -> None:
    """The stream that brings changes is slow to open: until then, `listen` has not begun."""
    app, gate, waits = make_app(), asyncio.Event(), asyncio.Event()
    inner = app.asgi()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and (
            scope["method"] == "GET" or (b"mcp-method", LISTEN) in scope["headers"]
        ):
            waits.set()
            await gate.wait()
        await inner(scope, receive, send)

    async with serving(slow) as port, Client(f"http://127.0.0.1:{port}/mcp", revision=revision) as client:
        events = client.listen(tools=True)
        opening = asyncio.create_task(events.open())
        await waits.wait()
        await client.ping()
        assert not opening.done()
        gate.set()
        await opening
        await client.call_tool("grow", {"name": "grown"})
        assert await anext(events) == Change("tools")


async def test_each_hears_what_it_listens_to(client: Client, cell: Cell, tag: str) -> None:
    if not cell.has("changes"):
        return
    async with (
        client.listen(resources=[NOTE, "note://pixel"]) as notes,
        client.listen(resources=["note://pixel"]) as pixel,
        client.listen(prompts=True) as prompts,
    ):
        for uri in ("note://structured", NOTE, "note://pixel"):
            await client.call_tool("touch", {"uri": uri})
        assert await anext(notes) == Change("resource", NOTE)
        assert await anext(notes) == Change("resource", "note://pixel")
        assert await anext(pixel) == Change("resource", "note://pixel")
        await notes.close()
        await client.call_tool("touch", {"uri": NOTE})
        await client.call_tool("touch", {"uri": "note://pixel"})
        assert await anext(pixel) == Change("resource", "note://pixel")
        await client.call_tool("grow_others", {"name": tag})
        assert await anext(prompts) == Change("prompts")
        await client.call_tool("shrink_others", {"name": tag})
    assert [change async for change in notes] == []


async def test_subscribing_by_callback(client: Client, cell: Cell, host: Host) -> None:
    if not cell.has("changes"):
        return
    await client.subscribe(NOTE)
    await client.subscribe(NOTE)
    await client.call_tool("touch", {"uri": NOTE})
    while (heard := await host.changes.get()) != Change("resource", NOTE):
        assert heard.kind != "resource"
    await client.unsubscribe(NOTE)
    await client.unsubscribe(NOTE)
    await client.call_tool("touch", {"uri": NOTE})
    await client.subscribe("note://pixel")
    await client.call_tool("touch", {"uri": "note://pixel"})
    while (heard := await host.changes.get()) != Change("resource", "note://pixel"):
        assert heard.kind != "resource"
    await client.unsubscribe("note://pixel")


async def test_lists_are_heard_by_callback(spot: Spot, tag: str) -> None:
    """Nobody says when listening for the callback has begun, so the tools change until it is heard."""
    if not spot.cell.has("changes"):
        return

    async def told() -> None:
        while await spot.host.changes.get() != Change("tools"):
            pass  # of another list, which changed a moment before

    heard = asyncio.create_task(told())
    while not heard.done():
        await spot.say("grow", name=tag)
        await spot.say("shrink", name=tag)
    await heard


async def test_a_change_makes_what_was_kept_stale(client: Client, cell: Cell, tag: str) -> None:
    """Lists may be kept for a minute; after a change they are asked for again."""
    if not cell.has("changes"):
        return
    async with client.listen(tools=True) as events:
        before = [tool.name async for tool in client.tools()]
        await client.call_tool("grow", {"name": tag})
        while [tool.name async for tool in client.tools()] != [*before, tag]:
            await anext(events)  # an earlier change of it may be told once more before this one
        await client.call_tool("shrink", {"name": tag})
        while [tool.name async for tool in client.tools()] != before:
            await anext(events)


async def test_what_does_not_exist_can_not_be_subscribed_to(client: Client, cell: Cell) -> None:
    if cell.stateless:
        async with client.listen(resources=["note://missing"]) as events:
            assert not events.over
        return
    if not cell.has("changes"):
        with pytest.raises(FeatureUnavailable, match=r"resources\.subscribe"):
            await client.subscribe(NOTE)
        return
    with pytest.raises(ResourceNotFound):
        await client.subscribe("note://missing")
    with pytest.raises(ResourceNotFound):
        await client.listen(resources=["note://missing"]).open()
