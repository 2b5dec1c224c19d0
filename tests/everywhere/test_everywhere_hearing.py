"""Who hears of what: of what is below a resource, of a burst of changes, and of all that was missed while a connection
was gone. Over real connections, in both eras.

Follows: basic/patterns/subscriptions; 2025-11-25 server/resources "Subscriptions" (the schema of its notification).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from everywhere_serving import serving, serving_unix
from everywhere_spots import Clock

from dovetail import App, Client, Principal
from dovetail.client import Subscription
from dovetail.protocol.listening import Change
from dovetail.protocol.revisions import STATELESS

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("fresh")]
ERAS = pytest.mark.parametrize("revision", ["2024-11-05", "2025-11-25", STATELESS[-1]])
WAYS = pytest.mark.parametrize("way", ["memory", "http", "unix"])
FOLDER = "notes://desk"


def make_app() -> App:
    app = App("notes")

    @app.resource(FOLDER)
    def folder() -> str:
        return "all of them"

    @app.resource("notes://desk/{name}")
    def note(name: str) -> str:
        return name

    return app


@asynccontextmanager
async def reached(app: App, way: str, tmp_path: Any) -> AsyncIterator[Any]:
    """What a client is pointed at."""
    if way == "memory":
        yield app
    elif way == "http":
        async with serving(app.asgi()) as port:
            yield f"http://127.0.0.1:{port}/mcp"
    else:
        async with serving_unix(app, str(tmp_path / "s")):
            yield f"unix:{tmp_path / 's'}"


@ERAS
@WAYS
async def test_what_is_below_a_resource_reaches_who_listens_to_it(
    revision: str, way: str, tmp_path: Any
) -> None:
    app = make_app()
    async with (
        reached(app, way, tmp_path) as target,
        Client(target, revision=revision) as client,
        client.listen(resources=[FOLDER]) as events,
    ):
        app.resource_updated("notes://desks")
        app.resource_updated("notes://desk/plan")
        assert await anext(events) == Change("resource", "notes://desk/plan")
        app.resource_updated("notes://desk/plan#end")
        assert await anext(events) == Change("resource", "notes://desk/plan#end")
        app.resource_updated(FOLDER)
        assert await anext(events) == Change("resource", FOLDER)


@ERAS
@WAYS
async def test_a_burst_of_changes_gives_few_notices_and_one_after_the_last(
    revision: str, way: str, tmp_path: Any
) -> None:
    app = make_app()
    app.add_tool(lambda: "first", name="first")
    heard: asyncio.Queue[Change] = asyncio.Queue()
    count = 0
    async with (
        reached(app, way, tmp_path) as target,
        Client(target, revision=revision, on_change=heard.put_nowait) as client,
        client.listen(tools=True),
    ):
        for number in range(1000):
            app.add_tool(lambda: "more", name=f"tool_{number}")
            await asyncio.sleep(0)  # all who listen could have been told of each
        while len([1 async for _ in client.tools()]) < 1001 or not count:
            assert await heard.get() == Change("tools")
            count += 1
    assert count <= 12


class Cable:
    """A connection to a server that can be cut, and mended."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self.whole = True

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.whole:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, back}
        try:
            await asyncio.gather(_copy(reader, back), _copy(there, writer))
        finally:
            self._writers -= {writer, back}
            writer.transport.abort()
            back.transport.abort()

    def cut(self) -> None:
        self.whole = False
        for writer in tuple(self._writers):
            writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # it was cut
    finally:
        writer.close()


@asynccontextmanager
async def cabled(app: App) -> AsyncIterator[tuple[Cable, str]]:
    async with serving(app.asgi(retry=0.01)) as port:
        cable = Cable(port)
        server = await asyncio.start_server(cable.carry, "127.0.0.1", 0)
        try:
            yield cable, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
        finally:
            server.close()
            cable.cut()


async def patiently(clock: Clock, events: Subscription) -> Change:
    """The next change, of who waits before it tries again: time passes as fast as it likes."""
    task = asyncio.ensure_future(anext(events))
    while not task.done():
        await asyncio.wait((task,), timeout=0.02)  # the clock is ours, the network's is not
        clock.advance(0.1)
    return await task


@ERAS
async def test_who_lost_its_stream_learns_of_all_that_it_may_have_missed(revision: str, clock: Clock) -> None:
    app = make_app()
    app.add_tool(lambda: "x", name="x")
    async with (
        cabled(app) as (cable, url),
        Client(url, revision=revision) as client,
        client.listen(tools=True, resources=[FOLDER], again=True) as events,
    ):
        for time in range(3):
            cable.cut()
            app.add_tool(lambda: "y", name=f"y{time}")
            app.resource_updated(f"{FOLDER}/unseen")
            cable.whole = True
            missed: set[Change] = set()
            while not {"tools", "resource"} <= {change.kind for change in missed}:
                missed.add(await patiently(clock, events))
            assert f"y{time}" in [tool.name async for tool in client.tools()]
            # From here on nothing is lost: the stream was there before that was told.
            app.resource_updated(f"{FOLDER}/seen{time}")
            while (change := await patiently(clock, events)) != Change("resource", f"{FOLDER}/seen{time}"):
                assert change in missed or change.uri.startswith(FOLDER)


@pytest.mark.parametrize("way", ["memory", "http", "unix"])
async def test_a_stream_that_the_server_ends_is_opened_again(way: str, clock: Clock, tmp_path: Any) -> None:
    """As when a token expires, or a server is replaced by another one: the end is in order, and who said ``again`` goes
    on listening.
    """
    app = make_app()
    async with reached(app, way, tmp_path) as target, Client(target, revision=STATELESS[-1]) as client:
        once = client.listen(resources=[FOLDER])
        await once.open()
        async with client.listen(resources=[FOLDER], again=True) as events:
            app.service.hub.close()
            assert [change async for change in once] == []
            assert await patiently(clock, events) == Change("resource", FOLDER), (
                "something may have been missed"
            )
            app.resource_updated(f"{FOLDER}/new")
            assert await patiently(clock, events) == Change("resource", f"{FOLDER}/new")


async def test_who_may_not_read_a_resource_hears_of_nothing_below_it() -> None:
    app = App("guarded")
    app.add_resource(lambda: "s", "secret://a", name="secret", allow=lambda who: who.subject == "ada")
    app.add_resource(lambda: "p", "secret://a/open", name="open")
    ada, bob = (Principal("https://id.example", name) for name in ("ada", "bob"))
    below, open_one = Change("resource", "secret://a/b/c"), Change("resource", "secret://a/open?x")
    assert app.service.hearing(ada, "http")(below)
    assert not app.service.hearing(bob, "http")(below)
    assert app.service.hearing(bob, "http")(open_one), "the nearest entry decides"
    assert app.service.hearing(bob, "http")(Change("resource", "else://a"))
