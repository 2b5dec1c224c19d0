"""URIs that people write, over every way that they are sent."""

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from raw_http import RawHTTP, result

from dovetail import App, ResourceLink
from dovetail.client import Client
from dovetail.protocol.errors import LocalProtocolError
from dovetail.protocol.listening import Change, is_below

URI, SENT = "notes://caf\u00e9/\u96ea", "notes://caf%C3%A9/%E9%9B%AA"


def make_app() -> App:
    app = App("notes")

    @app.resource("notes://{+path}")
    async def note(path: str) -> str:
        return path

    return app


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
async def test_what_is_read_and_heard_of_has_one_name(revision: str) -> None:
    app, heard = make_app(), asyncio.Event()

    def changed(change: Change) -> None:
        if change.uri == SENT:
            heard.set()

    async with Client(app, revision=revision, on_change=changed) as client:
        found = await client.read(URI)
        assert found.contents[0].uri == SENT
        await client.subscribe(URI)
        await client.subscribe(SENT)
        app.resource_updated(SENT)
        async with asyncio.timeout(10):
            await heard.wait()
        await client.unsubscribe(URI)
        async with client.listen(resources=[URI]) as events:
            app.resource_updated(SENT)
            async with asyncio.timeout(10):
                assert (await anext(aiter(events))).uri == SENT


@pytest.mark.parametrize("uri", ["notes://a b", "notes://a\nb", "notes://\x00"])
async def test_what_is_no_uri_is_never_sent(uri: str) -> None:
    async with Client(make_app()) as client:
        for attempt in (client.read(uri), client.subscribe(uri), client.unsubscribe(uri)):
            with pytest.raises(LocalProtocolError):
                await attempt
        with pytest.raises(LocalProtocolError):
            client.listen(resources=[uri])


ODD = [
    "file:///a b/c d.txt",
    "notes://caf\u00e9/\u96ea",
    "notes://caf%c3%a9",
    "NOTES://%7euser/./x/../y",
    "c:\\notes\\a.txt",
    "notes://a\tb",
]


@pytest.mark.hostile
@pytest.mark.echoes(*ODD)
async def test_a_uri_that_the_server_listed_goes_back_byte_for_byte(
    scripted: Callable[..., list[str]],
) -> None:
    listed = {"resources/list": [{"resources": [{"uri": uri, "name": "n"} for uri in ODD]}]}
    async with Client(scripted(listed)) as client:
        with pytest.raises(LocalProtocolError):
            await client.read(ODD[0])  # nobody has listed it yet
        resources = [resource async for resource in client.resources()]
        for uri in ODD:
            assert (await client.read(uri)).contents[0].uri == uri
            await client.subscribe(uri)
            await client.unsubscribe(uri)
        async with client.listen(resources=resources):
            pass
        seen = json.loads((await client.call_tool("seen")).text)
        for method in ("resources/read", "resources/subscribe", "resources/unsubscribe"):
            sent = [message["params"]["uri"] for message in seen if message["method"] == method]
            assert sent[: len(ODD)] == ODD if method == "resources/read" else set(sent) == set(ODD)


@pytest.mark.hostile
@pytest.mark.echoes("file:///a b")
async def test_a_resource_that_the_server_gave_is_read_as_it_named_it(
    scripted: Callable[..., list[str]],
) -> None:
    link = {"type": "resource_link", "uri": "file:///a b", "name": "n"}
    async with Client(scripted({"tools/call": [{"content": [link]}]})) as client:
        (block,) = (await client.call_tool("t")).content
        assert isinstance(block, ResourceLink)
        assert (await client.read(block)).contents[0].uri == "file:///a b"
        await client.subscribe(block)
        await client.unsubscribe("file:///a b")


@pytest.mark.hostile
@pytest.mark.echoes(*ODD)
async def test_odd_uris_travel_over_http() -> None:
    """The header that repeats it says the same, encoded."""
    sent: list[tuple[str, str]] = []

    def serve(_: str, headers: dict[str, str], message: Any) -> Any:
        hints = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
        bodies: dict[str, dict[str, Any]] = {
            "server/discover": {"supportedVersions": ["2026-07-28"], "capabilities": {"resources": {}}},
            "resources/list": {"resources": [{"uri": uri, "name": "n"} for uri in ODD]},
            "resources/read": {"contents": []},
        }
        if message["method"] == "resources/read":
            sent.append((message["params"]["uri"], headers["mcp-name"]))
        return 200, {}, result(message, **bodies[message["method"]], **hints)

    async with RawHTTP(serve) as http, Client(http.url) as client:
        async for resource in client.resources():
            await client.read(resource.uri)
    assert [uri for uri, _ in sent] == ODD
    for uri, header in sent:
        encoded = f"=?base64?{base64.b64encode(uri.encode()).decode()}?="
        assert header in (uri, encoded)


async def test_what_is_no_text_is_refused_with_what_to_give() -> None:
    wrong: Any = 5
    async with Client(make_app()) as client:
        with pytest.raises(LocalProtocolError, match="a URI is text, or a Resource"):
            await client.read(wrong)


# What is completed


@pytest.mark.parametrize(
    "name, kind",
    [
        ("code:review", "ref/prompt"),
        ("greet", "ref/prompt"),
        ("a b c", "ref/prompt"),
        ("file:///{path}", "ref/resource"),
        ("notes://all", "ref/resource"),
        ("urn:note:{id}", "ref/resource"),
    ],
)
async def test_what_a_name_is_the_name_of(name: str, kind: str, scripted: Callable[..., list[str]]) -> None:
    async with Client(scripted()) as client:
        assert (await client.complete(name, "x")).values == [kind]


async def test_what_was_listed_decides(scripted: Callable[..., list[str]]) -> None:
    script = {
        "prompts/list": [{"prompts": [{"name": "review://{style}"}]}],
        "resources/list": [{"resources": [{"uri": "urn:isbn:1", "name": "n"}]}],
    }
    async with Client(scripted(script)) as client:
        assert (await client.complete("review://{style}", "x")).values == ["ref/resource"]
        assert (await client.complete("urn:isbn:1", "x")).values == ["ref/prompt"]
        _ = [prompt async for prompt in client.prompts()], [item async for item in client.resources()]
        assert (await client.complete("review://{style}", "x")).values == ["ref/prompt"]
        assert (await client.complete("urn:isbn:1", "x")).values == ["ref/resource"]


# What is below a resource


def test_what_is_below() -> None:
    for child, parent in [
        ("a://b/c", "a://b"),
        ("a://b/c", "a://b/"),
        ("a://b?x=1", "a://b"),
        ("a://b#x", "a://b"),
        ("urn:a:b", "urn:a"),
        ("a://b", "a://"),
    ]:
        assert is_below(child, parent)
    for child, parent in [
        ("a://b", "a://b"),
        ("a://bc", "a://b"),
        ("a://b", "a://b/c"),
        ("http://h:80/x", "http://h"),
        ("a://c/b", "a://b"),
    ]:
        assert not is_below(child, parent)
