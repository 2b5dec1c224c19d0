"""URIs that people write, over every way that they are sent."""

import asyncio

import pytest

from dovetail import App
from dovetail.client import Client
from dovetail.protocol.errors import LocalProtocolError
from dovetail.protocol.listening import Change

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
