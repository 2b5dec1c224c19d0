"""Change streams: nothing before the acknowledgement, nothing that was not asked for, everything marked."""

import asyncio
import json
from typing import Any

import pytest
from must_peer import PREFIX, RawPeer, full_app

from dovetail import Client
from dovetail.protocol.revisions import STATELESS

MODERN = pytest.mark.parametrize("revision", STATELESS)
KEY = PREFIX + "subscriptionId"


@MODERN
@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"toolsListChanged": True},
        {"promptsListChanged": True, "toolsListChanged": False},
        {"resourcesListChanged": True},
        {"resourceSubscriptions": ["note://today"]},
        {"resourceSubscriptions": []},
    ],
    ids=json.dumps,
)
@pytest.mark.requirement(
    "R2607-SUBSCRIPTIONS-001",
    "R2607-SUBSCRIPTIONS-002",
    "R2607-SUBSCRIPTIONS-011",
    "R2607-SUBSCRIPTIONS-012",
    "R2607-SUBSCRIPTIONS-013",
    "R2607-SUBSCRIPTIONS-014",
    "R2607-SCHEMA-031",
    "R2607-SCHEMA-047",
    "R2607-LOGGING-005",
    "R2607-PROMPTS-007",
    "R2607-RESOURCES-008",
    "R2607-TOOLS-011",
)
async def test_a_stream_tells_what_was_asked_for_after_acknowledging_it(
    revision: str, wanted: dict[str, Any], connect: Any
) -> None:
    app = full_app()
    wire = await connect(app, revision)
    loud = {PREFIX + "logLevel": "debug"}  # even a stream that asks for logs is told of changes alone
    ends = [
        await wire.start(id, "subscriptions/listen", {"notifications": wanted}, meta=loud) for id in ("L", 7)
    ]
    first = [await wire.next() for _ in ends]
    assert {message["params"]["_meta"][KEY] for message in first} == {"L", 7}
    assert {message["method"] for message in first} == {"notifications/subscriptions/acknowledged"}
    app.remove_tool("fail")
    app.remove_prompt("greet")
    app.remove_resource("note://today")
    app.resource_updated("note://today")
    app.resource_updated("note://other")
    await wire.result("tools/call", {"name": "talk"}, meta=loud)
    await app.service.stop()  # ends the streams, after everything that waits to be told
    await asyncio.wait_for(asyncio.gather(*ends), 5)
    streams: dict[Any, list[dict[str, Any]]] = {"L": [], 7: []}
    while not wire.inbox.empty():
        message = wire.inbox.get_nowait()
        if message["method"] == "notifications/cancelled":
            assert message["params"]["requestId"] in streams
        elif message["method"] != "notifications/message":
            streams[message["params"]["_meta"][KEY]].append(message)
        else:
            assert KEY not in message["params"].get("_meta", {})
    expected = [
        *(["notifications/tools/list_changed"] if wanted.get("toolsListChanged") else []),
        *(["notifications/prompts/list_changed"] if wanted.get("promptsListChanged") else []),
        *(["notifications/resources/list_changed"] if wanted.get("resourcesListChanged") else []),
        *(["notifications/resources/updated"] if wanted.get("resourceSubscriptions") else []),
    ]
    for messages in streams.values():
        assert [message["method"] for message in messages] == expected


@MODERN
@pytest.mark.requirement("R2607-SUBSCRIPTIONS-002", "R2607-SUBSCRIPTIONS-013", "R2607-SUBSCRIPTIONS-014")
async def test_f28_a_stream_that_is_read_slowly_still_begins_with_its_acknowledgement(
    revision: str, connect: Any
) -> None:
    app = full_app()
    wire = await connect(app, revision)
    room, sent = asyncio.Event(), wire.connection._send

    async def slow(data: bytes) -> None:
        await room.wait()
        await sent(data)

    wire.connection._send = slow
    await wire.start(
        "L", "subscriptions/listen", {"notifications": {"resourceSubscriptions": ["note://today"]}}
    )
    for _ in range(10):
        await asyncio.sleep(0)
    for _ in range(50_000):  # a flood while nobody reads costs one entry
        app.resource_updated("note://today")
    ((subscription,),) = app._hub._subscriptions.values()
    assert len(subscription._waiting) == 1
    room.set()
    assert (await wire.next())["method"] == "notifications/subscriptions/acknowledged"
    assert (await wire.next())["method"] == "notifications/resources/updated"
    await wire.result("tools/list")
    assert wire.inbox.empty()


@MODERN
@pytest.mark.requirement("R2607-LOGGING-003", "R2607-LOGGING-011", "R2607-LIFECYCLE-040")
@pytest.mark.parametrize("level, expected", [(None, 0), ("debug", 1), ("error", 1), ("critical", 0)])
async def test_logs_come_only_to_requests_that_ask_for_them(
    revision: str, level: str | None, expected: int, connect: Any
) -> None:
    wire = await connect(full_app(), revision)
    # What an earlier request of the connection asked for counts for that one alone.
    await wire.result("tools/call", {"name": "talk"}, meta={PREFIX + "logLevel": "debug"})
    assert (await wire.next())["method"] == "notifications/message"
    meta = {} if level is None else {PREFIX + "logLevel": level}
    await wire.result("tools/call", {"name": "talk"}, meta=meta)
    assert wire.inbox.qsize() == expected


@MODERN
@pytest.mark.requirement("R2607-SUBSCRIPTIONS-005", "R2607-TRANSPORT-STDIO-008")
async def test_a_client_sorts_changes_by_their_subscription(revision: str) -> None:
    def answer(peer: RawPeer, message: dict[str, Any]) -> None:
        if message["method"] == "subscriptions/listen":
            listening.append(message["id"])
            meta = {KEY: message["id"]}
            notice = {"_meta": meta, "notifications": message["params"]["notifications"]}
            peer.say(method="notifications/subscriptions/acknowledged", params=notice)

    listening: list[Any] = []
    peer = RawPeer(answer)
    async with (
        Client(peer, revision=revision) as client,
        client.listen(resources=["note://a"]) as one,
        client.listen(resources=["note://a", "note://b"]) as two,
    ):
        for id, uri in ((listening[1], "note://b"), (listening[1], "note://a"), (listening[0], "note://a")):
            peer.say(method="notifications/resources/updated", params={"uri": uri, "_meta": {KEY: id}})
        assert [(await anext(two)).uri for _ in range(2)] == ["note://b", "note://a"]
        assert (await anext(one)).uri == "note://a"
        assert not one._waiting
        assert not two._waiting


@MODERN
@pytest.mark.hostile
async def test_a_subscription_to_too_much_is_refused(revision: str, connect: Any) -> None:
    wire = await connect(full_app(), revision)
    uris = [f"note://{n}" for n in range(10_001)]
    error = await wire.error("subscriptions/listen", {"notifications": {"resourceSubscriptions": uris}})
    assert error["code"] == -32602
    assert not len(wire.app._hub)
