"""Changes in both eras, through one door."""

import asyncio
import json
from collections.abc import Callable

import pytest

from dovetail.client import Client
from dovetail.protocol.errors import FeatureUnavailable, LocalProtocolError, RequestTimeout, ServerExited
from dovetail.protocol.listening import Change

Command = Callable[..., list[str]]


@pytest.mark.requirement("R2607-SUBSCRIPTIONS-005")
async def test_streams_are_told_apart(stateless: Command) -> None:
    async with Client(stateless()) as client:
        async with (
            client.listen(tools=True, prompts=True) as lists,
            client.listen(resources=["raw://a", "raw://b"]) as resources,
        ):
            assert lists.acknowledged.tools_list_changed
            assert lists.acknowledged.prompts_list_changed is None
            await client.call_tool("change")
            assert await anext(lists) == Change("tools")
            assert await anext(resources) == Change("resource", "raw://a")
            assert await anext(resources) == Change("resource", "raw://b")
        state = json.loads((await client.call_tool("state")).text)
        assert len(state["cancelled"]) == 2


@pytest.mark.parametrize("switches", [(), ("cancels",)])
async def test_a_graceful_end_is_no_loss(stateless: Command, switches: tuple[str, ...]) -> None:
    async with Client(stateless("2026-07-28", *switches)) as client, client.listen(tools=True) as events:
        await client.call_tool("change")
        await client.call_tool("end")
        assert [change async for change in events] == [Change("tools")]


async def test_a_loss_is_raised(stateless: Command) -> None:
    async with Client(stateless()) as client, client.listen(tools=True) as events:
        with pytest.raises(ServerExited):
            await client.call_tool("die")
        with pytest.raises(ServerExited):
            await anext(events)


async def test_no_acknowledgement(stateless: Command) -> None:
    async with Client(stateless("2026-07-28", "mute"), timeout=0.3) as client:
        with pytest.raises(RequestTimeout):
            await client.listen(tools=True).open()


@pytest.mark.parametrize("revision", ["2024-11-05", "2025-11-25"])
async def test_the_stateful_era_listens_by_subscribing(stateful: Command, revision: str) -> None:
    heard: list[Change] = []
    async with Client(stateful(revision), on_change=heard.append) as client:
        async with (
            client.listen(tools=True, resources=["raw://a"]) as events,
            client.listen(resources=["raw://a"]),
        ):
            assert events.acknowledged.resource_subscriptions == ["raw://a"]
            await client.call_tool("change")
            assert {await anext(events), await anext(events)} == {
                Change("tools"),
                Change("resource", "raw://a"),
            }
        state = json.loads((await client.call_tool("state")).text)
        assert [method for method, _ in state["seen"]] == ["resources/subscribe", "resources/unsubscribe"]
    assert heard == [Change("tools"), Change("resource", "raw://a")]


async def test_subscribing_by_callback_in_both_eras(stateful: Command, stateless: Command) -> None:
    for command in (stateful(), stateless()):
        heard: list[Change] = []
        came = asyncio.Event()

        def hear(change: Change, heard: list[Change] = heard, came: asyncio.Event = came) -> None:
            heard.append(change)
            if change.kind == "resource":
                came.set()

        async with Client(command, on_change=hear) as client:
            await client.subscribe("raw://a")
            await client.subscribe("raw://a")
            await client.call_tool("change")
            await asyncio.wait_for(came.wait(), 5)
            await client.unsubscribe("raw://a")
            await client.unsubscribe("raw://a")
            await client.call_tool("state")
        assert heard.count(Change("resource", "raw://a")) == 1


async def test_lists_are_listened_to_for_the_callback(stateless: Command) -> None:
    heard: asyncio.Queue[Change] = asyncio.Queue()
    async with Client(stateless(), on_change=heard.put_nowait) as client:
        while json.loads((await client.call_tool("state")).text)["listens"] == 0:
            pass
        await client.call_tool("change")
        assert await asyncio.wait_for(heard.get(), 5) == Change("tools")


async def test_listening_to_nothing_or_to_what_is_not_offered(stateful: Command) -> None:
    async with Client(stateful()) as client:
        with pytest.raises(LocalProtocolError):
            client.listen()
        events = client.listen(tools=True)
        await events.open()
        await events.close()
        await events.close()
        with pytest.raises(LocalProtocolError):
            await events.open()
    _ = FeatureUnavailable
