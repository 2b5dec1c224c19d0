"""Changes in both eras, through one door."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from must_peer import RawPeer

from dovetail.client import Client, ServerWarning
from dovetail.protocol.caching import Cache
from dovetail.protocol.errors import FeatureUnavailable, LocalProtocolError, RequestTimeout, ServerExited
from dovetail.protocol.listening import Change
from dovetail.protocol.types import ReadResourceParams, ReadResourceResult

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


def updated(uri: str, subscription: Any = None) -> str:
    meta = {} if subscription is None else {"_meta": {"io.modelcontextprotocol/subscriptionId": subscription}}
    return json.dumps(
        {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": uri, **meta}}
    )


async def test_what_is_below_a_resource_is_heard_of_and_nothing_else(
    scripted: Callable[..., list[str]],
) -> None:
    """The stateful era: by listening, and by subscribing with a callback."""
    uris = ["file:///a/b", "file:///other", "file:///ab", "file:///a", "file:///a/c?x=1"]
    lines = [*map(updated, uris), '{"jsonrpc":"2.0","id":$ID,"result":{"content":[]}}']
    heard: list[Change] = []
    async with Client(scripted({"tools/call": [lines]}), on_change=heard.append) as client:
        await client.call_tool("change")
        assert heard == [], "nobody asked for any"
        wanted = [Change("resource", uri) for uri in uris if uri not in ("file:///other", "file:///ab")]
        async with client.listen(resources=["file:///a"]) as events:
            await client.call_tool("change")
            assert [await anext(events) for _ in wanted] == wanted
        assert heard == wanted
        await client.subscribe("file:///a")
        heard.clear()
        await client.call_tool("change")
        assert heard == wanted


async def test_so_it_is_in_the_stateless_era(stateless: Command) -> None:
    """A subscription is told of what belongs to it, whatever the server marks with its id."""
    heard: list[Change] = []
    async with (
        Client(stateless(), on_change=heard.append) as client,
        client.listen(resources=["raw://a"]) as events,
    ):
        for uri in ("raw://a/below", "raw://other", "raw://a"):
            await client.call_tool("tell", {"uri": uri})
        assert [await anext(events), await anext(events)] == [
            Change("resource", "raw://a/below"),
            Change("resource", "raw://a"),
        ]
        await client.call_tool("tell-tools")
        await client.call_tool("tell", {"uri": "raw://a"})
        assert await anext(events) == Change("resource", "raw://a"), "of tools nobody wanted to hear"


@pytest.mark.parametrize("resources", ["notes://a", b"notes://a"])
async def test_one_uri_is_no_list_of_them(stateful: Command, resources: Any) -> None:
    async with Client(stateful()) as client:
        with pytest.raises(LocalProtocolError, match=r"write resources=\[b?'notes://a'\]"):
            client.listen(resources=resources)


def test_one_root_is_no_list_of_them() -> None:
    wrong: Any = "/home/ada"
    with pytest.raises(LocalProtocolError, match=r"write roots=\['/home/ada'\]"):
        Client("server.py", roots=wrong)


def test_what_is_kept_of_a_resource_is_dropped_when_something_below_it_changes() -> None:
    cache, kept = Cache(), ReadResourceResult(contents=[], ttl_ms=60_000, cache_scope="public")
    for uri in ("raw://a", "raw://b"):
        cache.put("resources/read", ReadResourceParams(uri=uri), "", kept, 0, size=100)
    cache.invalidate(Change("resource", "raw://a/below"))
    assert cache.get("resources/read", ReadResourceParams(uri="raw://a"), "", 0) is None
    assert cache.get("resources/read", ReadResourceParams(uri="raw://b"), "", 0) is kept


def agreeing_to(told: dict[str, Any]) -> RawPeer:
    """A server of 2026-07-28 that honours this much of any subscription."""

    def answer(peer: RawPeer, message: dict[str, Any]) -> None:
        if message["method"] == "subscriptions/listen":
            meta = {"io.modelcontextprotocol/subscriptionId": message["id"]}
            params = {"_meta": meta, "notifications": told}
            peer.say(method="notifications/subscriptions/acknowledged", params=params)

    return RawPeer(answer)


@pytest.mark.requirement("R2607-SUBSCRIPTIONS-004")
async def test_what_a_server_does_not_agree_to_is_told() -> None:
    warned: list[ServerWarning] = []
    uris = [f"raw://{name}" for name in "abcde"]
    peer = agreeing_to({"toolsListChanged": True, "resourceSubscriptions": ["raw://b"]})
    async with (
        Client(peer, on_warning=warned.append) as client,
        client.listen(tools=True, prompts=True, resources=uris) as events,
    ):
        assert events.missing.to_wire() == {
            "promptsListChanged": True,
            "resourceSubscriptions": ["raw://a", "raw://c", "raw://d", "raw://e"],
        }
        (warning,) = client.warnings
        assert warned == [warning]
        assert (warning.kind, warning.subject) == ("subscription", "raw://a")
        assert (
            "the list of prompts, 'raw://a', 'raw://c', 'raw://d', 1 more resources: the server did not agree"
            in warning.message
        )


@pytest.mark.requirement("R2607-SUBSCRIPTIONS-004")
async def test_what_a_server_agrees_to_is_missing_nowhere() -> None:
    peer = agreeing_to({"toolsListChanged": True, "resourceSubscriptions": ["raw://a", "raw://b"]})
    async with (
        Client(peer) as client,
        client.listen(tools=True, resources=["raw://b"]) as events,
    ):
        assert events.missing.to_wire() == {}
        assert client.warnings == ()


@pytest.mark.requirement("R2607-SUBSCRIPTIONS-004")
async def test_a_resource_that_the_server_tells_nothing_of_is_not_subscribed_to() -> None:
    peer = agreeing_to({})
    async with Client(peer) as client:
        for _ in range(2):
            with pytest.raises(FeatureUnavailable, match="did not agree to tell of updates of 'raw://a'"):
                await client.subscribe("raw://a")
        assert not client._connection.notifications.subscriptions


@pytest.mark.requirement("R2607-SUBSCRIPTIONS-004")
def test_the_blocking_client_says_what_is_missing() -> None:
    with (
        Client.sync(agreeing_to({})) as client,
        client.listen(tools=True) as events,
    ):
        assert events.missing.to_wire() == {"toolsListChanged": True}
