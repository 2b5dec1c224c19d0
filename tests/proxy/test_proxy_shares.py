"""One caller's unanswered questions keep a stateful upstream busy in that caller's share alone, over real sockets."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dovetail import App, Client, Context, InternalError, LocalProtocolError, Principal
from dovetail.gateway import Gateway
from dovetail.proxy import ProxyProvider
from dovetail.proxy.parking import MAX_PARKED_EACH
from dovetail.security import ANONYMOUS, Credentials
from dovetail.testing.serving import served

pytestmark = pytest.mark.hostile
STATEFUL, STATELESS = "2025-11-25", "2026-07-28"
ASKING = """
from dovetail import App, Context

app = App("behind")

@app.tool
async def greet(ctx: Context) -> str:
    return "hello " + await ctx.elicit("who?", str)

app.run()
"""


def asking() -> App:
    app = App("behind")

    @app.tool
    async def greet(ctx: Context) -> str:
        return "hello " + await ctx.elicit("who?", str)

    return app


def front(target: Any, **options: Any) -> tuple[App, ProxyProvider]:
    provider = ProxyProvider(target, name="behind", revision=STATEFUL, **options)
    app = App("front")
    app.mount(None, provider)
    return app, provider


class FromAddress:
    """An ASGI application that takes a header's word for the address of its caller, as one behind a proxy does."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            found = [value.decode() for name, value in scope["headers"] if name == b"x-from"]
            scope = {**scope, "client": (found[0], 1)} if found else scope
        await self.app(scope, receive, send)


class Names:
    """Takes the word of a bearer token for who is calling; who has none has no name."""

    async def authenticate(self, request: Credentials) -> Principal:
        """Who is calling."""
        if not request.authorization:
            return ANONYMOUS
        return Principal(issuer="test", subject=request.authorization[0].removeprefix("Bearer "))


@asynccontextmanager
async def caller(url: str, **headers: str) -> AsyncGenerator[Client]:
    """A client that leaves what it is asked to its test."""
    given: Mapping[str, str] = {name.replace("_", "-"): value for name, value in headers.items()}
    async with Client(
        url, revision=STATELESS, rounds="manual", elicitation=lambda _: "x", headers=given
    ) as client:
        yield client


async def leave_unanswered(client: Client) -> str:
    """Call the tool that asks, and leave it; "asked", or what was refused."""
    try:
        required: Any = await client.request("tools/call", {"name": "greet", "arguments": {}})
    except InternalError as refused:
        return refused.message
    assert required["inputRequests"], required
    return "asked"


async def many(client: Client, times: int) -> list[str]:
    return [await leave_unanswered(client) for _ in range(times)]


async def test_an_address_keeps_its_part_of_the_connections_busy_and_no_more() -> None:
    """Of 64 connections one address without a name has 16, whatever it leaves unanswered; others are served."""
    app, provider = front(asking())
    async with served(FromAddress(app.asgi())) as url:
        async with caller(url, x_from="203.0.113.9") as bad, caller(url, x_from="198.51.100.7") as good:
            said = await many(bad, 20)
            assert said[:16] == ["asked"] * 16
            assert all("16 of its 64 connections" in each and "behind" in each for each in said[16:]), said
            assert await many(good, 1) == ["asked"]
        assert provider._connections.many < 64


async def test_a_caller_who_answers_has_its_part_again() -> None:
    app, _ = front(asking(), max_connections=4, caller_share=50)
    async with served(FromAddress(app.asgi())) as url, caller(url, x_from="203.0.113.9") as client:
        call: dict[str, Any] = {"name": "greet", "arguments": {}}
        required: list[Any] = [await client.request("tools/call", call) for _ in range(2)]
        assert "part of one caller" in await leave_unanswered(client)
        for each in required:
            (key,) = each["inputRequests"]
            answers = {key: {"action": "accept", "content": {"value": "Ada"}}}
            again = {**call, "requestState": each["requestState"], "inputResponses": answers}
            result: Any = await client.request("tools/call", again)
            assert result["content"][0]["text"] == "hello Ada"
        assert await many(client, 2) == ["asked"] * 2


async def test_a_principal_is_one_caller_wherever_it_calls_from_and_the_nameless_leave_room() -> None:
    app, _ = front(asking(), max_connections=9)
    async with (
        served(FromAddress(app.asgi(authenticate=Names()))) as url,
        caller(url, authorization="Bearer ada", x_from="203.0.113.1") as home,
        caller(url, authorization="Bearer ada", x_from="203.0.113.2") as work,
        caller(url, authorization="Bearer bob", x_from="203.0.113.1") as bob,
    ):
        assert await many(home, 1) + await many(work, 1) == ["asked"] * 2
        assert "part of one caller" in (await many(work, 1))[0]
        nameless: list[str] = []
        for number in range(5):
            async with caller(url, x_from=f"198.51.100.{number}") as client:
                nameless += await many(client, 1)
        assert nameless[:4] == ["asked"] * 4
        assert "callers without a name keep 4 of its 9" in nameless[4]
        assert await many(bob, 2) == ["asked"] * 2


async def test_processes_behind_a_gateway_are_shared_likewise(tmp_path: Path) -> None:
    """Each call that waits is a process there: the next caller gets one, and nobody's call is lost."""
    path = tmp_path / "asking.py"
    path.write_text(ASKING)
    gateway = Gateway({"it": Client([sys.executable, str(path)], revision=STATEFUL)}, max_connections=5)
    async with (
        served(FromAddress(gateway.app.asgi())) as url,
        caller(url, x_from="203.0.113.9") as bad,
        caller(url, x_from="198.51.100.7") as good,
    ):
        call: dict[str, Any] = {"name": "it__greet", "arguments": {}}
        for client in (bad, good):
            required: Any = await client.request("tools/call", call)
            assert required["inputRequests"]
            with pytest.raises(InternalError, match="it: your calls keep 1 of its 5 connections busy"):
                await client.request("tools/call", call)


async def test_sessions_of_one_address_have_its_part_together() -> None:
    """In the stateful era each session has a connection of its own: they count for whoever opened them."""
    app, _ = front(asking(), max_connections=8)
    waiting = asyncio.Event()
    reached: list[str] = []

    async def never(request: Any) -> str:
        reached.append(request.message)
        await waiting.wait()
        return "x"

    async with served(FromAddress(app.asgi())) as url:
        headers = {"X-From": "203.0.113.9"}
        clients = [Client(url, revision=STATEFUL, elicitation=never, headers=headers) for _ in range(3)]
        for each in clients:
            await each.open()
        calls = [asyncio.create_task(each.call_tool("greet")) for each in clients[:2]]
        while len(reached) < 2:  # noqa: ASYNC110 - nothing tells that a question arrived but its handler
            await asyncio.sleep(0.01)
        with pytest.raises(InternalError, match="2 of its 8"):
            await clients[2].call_tool("greet")
        waiting.set()
        assert {(await each).text for each in calls} == {"hello x"}
        assert (await clients[2].call_tool("greet")).text == "hello x"
        for each in clients:
            await each.close()


async def test_calls_that_have_ended_make_room_for_those_that_wait() -> None:
    """What is kept for a caller who lost a reply keeps nobody from being asked: more in a row than may be parked."""
    app, _ = front(asking())
    async with Client(app, revision=STATELESS, elicitation=lambda _: "Ada") as client:
        for _ in range(270):
            assert (await client.call_tool("greet")).text == "hello Ada"


async def test_calls_of_one_caller_that_wait_are_bounded() -> None:
    """Where one caller may have all connections, so many of its calls wait, and then it is told to answer those."""
    app, _ = front(asking(), max_connections=70, caller_share=100)
    async with (
        served(FromAddress(app.asgi())) as url,
        caller(url, x_from="203.0.113.9") as client,
        caller(url, x_from="203.0.113.8") as other,
    ):
        call: dict[str, Any] = {"name": "greet", "arguments": {}}
        for _ in range(MAX_PARKED_EACH):
            await client.request("tools/call", call)
        with pytest.raises(InternalError, match="64 of your calls wait for answers"):
            await client.request("tools/call", call)
        assert (await other.request("tools/call", call))["inputRequests"]


@pytest.mark.parametrize("wrong", [{"caller_share": 0}, {"caller_share": 101}, {"max_connections": 0}])
def test_shares_that_can_not_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError, match="caller_share"):
        ProxyProvider("http://127.0.0.1:1/mcp", **wrong)
