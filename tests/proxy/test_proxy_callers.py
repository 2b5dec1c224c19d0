"""Who has which connection, what passes to whom, and what an upstream that is away, slow or hostile costs others."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dovetail import (
    App,
    Client,
    Context,
    InternalError,
    InvalidParams,
    LocalProtocolError,
    MissingCapability,
    Principal,
    RPCError,
    TextContent,
)
from dovetail.extensions import Call, Channel
from dovetail.providers import Provided, ProvidedPage, Provider
from dovetail.proxy import ParkingLost, ProxyProvider, parking, proxy_app
from dovetail.proxy.parking import ParkedCall
from dovetail.security import Credentials
from dovetail.testing.serving import served
from dovetail.types import CallToolResult, Tool

STATEFUL, STATELESS = "2025-11-25", "2026-07-28"


def counting(connections: list[int]) -> App:
    """An upstream that counts its sessions, and keeps something in each."""
    app = App("counting")

    @app.tool
    async def remember(word: str, ctx: Context) -> str:
        words = [*await ctx.session.get("words", []), word]
        await ctx.session.set("words", words)
        connections.append(id(ctx.session_id))
        return " ".join(words)

    @app.tool
    async def ask(ctx: Context) -> str:
        return await ctx.elicit("who?", str)

    return app


async def test_an_upstream_that_is_not_there_costs_its_own_part_and_comes_back(tmp_path: Path) -> None:
    """Lists lack it, calls of it fail at once and name it, all else works; once it is there, so are its things."""
    path = tmp_path / "late.py"
    path.write_text("import sys; sys.exit(1)")
    app = App("front")
    app.mount("late", ProxyProvider([sys.executable, str(path)], name="the late one"))

    @app.tool
    async def here() -> str:
        return "here"

    async with Client(app, revision=STATELESS) as client:
        assert [tool.name async for tool in client.tools()] == ["here"]
        assert (await client.call_tool("here")).text == "here"
        with pytest.raises(InternalError, match="the late one"):
            await client.call_tool("late_hello")
        path.write_text(
            "from dovetail import App\napp = App('late')\n\n@app.tool\nasync def hello() -> str:\n    return 'hello'\n"
            "\n\napp.run()\n"
        )

        async def there() -> None:
            while "late_hello" not in [tool.name async for tool in client.tools(fresh=True)]:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.1)

        await asyncio.wait_for(there(), 30)
        assert (await client.call_tool("late_hello")).text == "hello"


@pytest.mark.parametrize("theirs", [STATELESS, STATEFUL])
async def test_a_proxy_before_a_proxy_does_not_say_that_what_is_away_is_not_there(
    theirs: str, tmp_path: Path
) -> None:
    """The list of the nearer one says that it is not whole; what is missing is called again once it is there."""
    path = tmp_path / "late.py"
    path.write_text("import sys; sys.exit(1)")
    near = App("near")

    @near.tool
    async def here() -> str:
        return "here"

    near.mount("late", ProxyProvider([sys.executable, str(path)], name="the late one"))
    async with Client(proxy_app(near, revision=theirs), revision=STATELESS) as client:
        for _ in range(2):  # once asked for, and once known
            with pytest.raises(InternalError, match="may be one of these"):
                await client.call_tool("late_hello")
        assert (await client.call_tool("here")).text == "here"
        path.write_text(
            "from dovetail import App\napp = App('late')\n\n@app.tool\nasync def hello() -> str:\n    return 'hello'\n"
            "\n\napp.run()\n"
        )

        async def said() -> str:
            while True:
                try:
                    return (await client.call_tool("late_hello")).text
                except InternalError:
                    await asyncio.sleep(
                        0.1
                    )  # nobody tells when a server that is away may be connected to again

        assert await asyncio.wait_for(said(), 30) == "hello"
        with pytest.raises(InvalidParams, match="there is no tool"):
            await client.call_tool("late_none")


async def test_an_upstream_that_dies_is_started_again(tmp_path: Path) -> None:
    path = tmp_path / "mortal.py"
    path.write_text(
        "import os\nfrom dovetail import App\napp = App('mortal')\n\n@app.tool\nasync def pid() -> int:\n"
        "    return os.getpid()\n\n\napp.run()\n"
    )
    async with Client(proxy_app([sys.executable, str(path)]), revision=STATELESS) as client:
        first = int((await client.call_tool("pid")).text)
        os.kill(first, signal.SIGKILL)

        async def again() -> int:
            while True:
                try:
                    return int((await client.call_tool("pid")).text)
                except InternalError:
                    await asyncio.sleep(0.1)  # the client of the proxy has seen the end, or not yet

        assert await asyncio.wait_for(again(), 30) != first


@pytest.mark.requirement("R2607-AUTH-136", "R2511-AUTH-105")
async def test_r66_r103_each_principal_has_its_own_credentials_and_no_token_of_a_caller_goes_on() -> None:
    """What the upstream sees is what `credentials` gave for who calls, and no header of the caller's."""
    seen: list[Mapping[str, str]] = []
    upstream = App("upstream")

    @upstream.tool
    async def whoami(ctx: Context) -> str:
        seen.append(ctx.headers)
        return ctx.headers.get("x-account", "nobody")

    async with served(upstream.asgi()) as there:
        front = proxy_app(
            there,
            credentials=lambda principal: {"headers": {"X-Account": f"for-{principal.subject}"}},
        )
        async with served(front.asgi(authenticate=Authenticate())) as here:

            async def one(name: str) -> str:
                headers = {"Authorization": f"Bearer {name}", "X-Secret": name, "Cookie": f"a={name}"}
                async with Client(here, headers=headers) as client:
                    return (await client.call_tool("whoami")).text

            names = ["ada", "bob", "cy"]
            assert await asyncio.gather(*map(one, names)) == [f"for-{name}" for name in names]
    for headers in seen:
        assert not {"authorization", "x-secret", "cookie"} & headers.keys()
        assert not any(f"Bearer {name}" in str(headers) for name in names)


class Authenticate:
    """Takes the word of a bearer token for who is calling."""

    async def authenticate(self, request: Credentials) -> Principal:
        """Who is calling."""
        name = request.authorization[0].removeprefix("Bearer ")
        return Principal(issuer="test", subject=name)


async def test_sessions_of_callers_are_sessions_of_the_upstream() -> None:
    """A stateful upstream keeps what each session of callers said apart from the others."""
    app = proxy_app(counting([]), revision=STATEFUL)
    async with Client(app, revision=STATEFUL) as ada, Client(app, revision=STATEFUL) as bob:
        assert (await ada.call_tool("remember", {"word": "a"})).text == "a"
        assert (await bob.call_tool("remember", {"word": "b"})).text == "b"
        assert (await ada.call_tool("remember", {"word": "c"})).text == "a c"


async def test_a_shared_connection_asks_nobody_in_place_of_another() -> None:
    """Where the connection does not tell which of several calls asks, nobody is asked."""
    app = proxy_app(counting([]), revision=STATEFUL, share="all")
    asked: dict[str, int] = {"ada": 0, "bob": 0}

    def person(name: str) -> Any:
        async def answer(_request: Any) -> str:
            asked[name] += 1
            return name

        return answer

    async def one(name: str) -> list[str]:
        async with Client(app, revision=STATEFUL, elicitation=person(name)) as client:
            return [await said(client) for _ in range(10)]

    async def said(client: Client) -> str:
        try:
            return (await client.call_tool("ask")).text
        except InternalError as refused:
            return refused.message

    async with Client(app):
        ada, bob = await asyncio.gather(one("ada"), one("bob"))
    assert "bob" not in ada
    assert "ada" not in bob


async def test_connections_are_bounded_and_closed_when_unused() -> None:
    provider = ProxyProvider(counting([]), revision=STATEFUL, max_connections=3)
    app = App("front")
    app.mount(None, provider)
    clients = [Client(app, revision=STATEFUL) for _ in range(6)]
    for client in clients:
        await client.open()
        await client.call_tool("remember", {"word": "x"})
    assert provider._connections.many <= 3
    for client in clients:
        await client.close()


async def test_results_that_begin_alike_and_results_that_do_not_pass_alike() -> None:
    """How results begin is learned from the first of them: what stands in a later one passes all the same, whole."""
    upstream = App("upstream")
    results = [
        CallToolResult(content=[TextContent(text="plain")]),
        CallToolResult(content=[TextContent(text='a "_meta" in a text, and a "resultType"')]),
        CallToolResult(content=[TextContent(text="with a meta of its own")], meta={"example.com/own": 1}),
        CallToolResult(content=[TextContent(text="\u0001 is written with an escape")]),
        CallToolResult(content=[TextContent(text="a meta below", meta={"example.com/below": 2})]),
        CallToolResult(content=[TextContent(text="an error")], is_error=True),
        CallToolResult(content=[], structured_content={"resultType": "none of ours", "_meta": {"a": 1}}),
    ]

    @upstream.tool
    async def give(number: int) -> CallToolResult:
        return results[number]

    async with (
        Client(upstream, revision=STATELESS) as direct,
        Client(proxy_app(upstream), revision=STATELESS) as client,
    ):
        for number in [*range(len(results)), *reversed(range(len(results)))]:
            params = {"name": "give", "arguments": {"number": number}}
            wanted = await direct.request("tools/call", params)
            came = await client.request("tools/call", params)
            for each in (wanted, came):
                each["_meta"].pop("io.modelcontextprotocol/serverInfo")
            assert came == wanted


async def test_questions_that_come_shortly_after_one_another_are_one_round() -> None:
    """Those that a stateful upstream asks together are requests of their own: the caller is told of all at once."""
    upstream = App("upstream")
    asked: list[str] = []

    @upstream.tool
    async def both(ctx: Context) -> str:
        async def later() -> str:
            while not asked:  # noqa: ASYNC110 - until the first has left the process, and a little longer
                await asyncio.sleep(0.001)
            return await ctx.elicit("second?", str, key="second")

        return " ".join(await asyncio.gather(ctx.elicit("first?", str, key="first"), later()))

    app = proxy_app(upstream, revision=STATEFUL)
    ask = ParkedCall._ask

    async def noting(self: ParkedCall, method: str, params: Any) -> Any:
        asked.append(method)
        return await ask(self, method, params)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ParkedCall, "_ask", noting)
        async with Client(
            app, revision=STATELESS, rounds="manual", elicitation=lambda request: "x"
        ) as client:
            required: Any = await client.request("tools/call", {"name": "both", "arguments": {}})
    messages = [each["params"]["message"] for each in required["inputRequests"].values()]
    assert messages == ["first?", "second?"]


async def test_a_question_that_is_taken_back_at_once_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The upstream no longer waits for it when the caller would be told: the call goes on, without an empty round."""
    monkeypatch.setattr(parking, "_QUIET", 60.0)  # whatever else the machine does meanwhile
    upstream = App("upstream")

    @upstream.tool
    async def hasty(ctx: Context) -> str:
        question = asyncio.create_task(ctx.elicit("never mind?", str, key="first"))
        await asyncio.sleep(0.005)
        question.cancel()
        return "done"

    app = proxy_app(upstream, revision=STATEFUL)
    async with Client(app, revision=STATELESS, rounds="manual", elicitation=lambda request: "x") as client:
        result: Any = await client.request("tools/call", {"name": "hasty", "arguments": {}})
    assert result["content"][0]["text"] == "done"


async def test_who_can_be_asked_is_not_told_to_declare_it_for_an_upstream_that_has_no_way_to_ask() -> None:
    """A revision without elicitation behind: the result says so, where -32021 would send the caller in a circle."""
    app = proxy_app(counting([]), revision="2025-03-26")
    async with Client(app, revision=STATELESS, elicitation=lambda request: "x") as client:
        result = await client.call_tool("ask")
    assert result.is_error
    assert "2025-03-26" in result.text
    async with Client(app, revision=STATELESS) as client:
        with pytest.raises(MissingCapability):
            await client.call_tool("ask")


async def test_a_parked_call_that_is_gone_says_so() -> None:
    """The answers to a call that waits no longer are refused in words, and nothing runs twice."""
    provider = ProxyProvider(counting([]), revision=STATEFUL, park=300)
    app = App("front")
    app.mount(None, provider)
    async with Client(app, revision=STATELESS, rounds="manual", elicitation=lambda request: "x") as client:
        required: Any = await client.request("tools/call", {"name": "ask", "arguments": {}})
        (key,) = required["inputRequests"]
        provider._caller.close()
        again = {
            "name": "ask",
            "arguments": {},
            "requestState": required["requestState"],
            "inputResponses": {key: {"action": "accept", "content": {"value": "x"}}},
        }
        with pytest.raises(RPCError, match="gone"):
            await client.request("tools/call", again)


async def test_a_lost_reply_may_be_asked_for_again() -> None:
    app = proxy_app(counting([]), revision=STATEFUL)
    async with Client(app, revision=STATELESS, rounds="manual", elicitation=lambda request: "x") as client:
        required: Any = await client.request("tools/call", {"name": "ask", "arguments": {}})
        (key,) = required["inputRequests"]
        again = {
            "name": "ask",
            "arguments": {},
            "requestState": required["requestState"],
            "inputResponses": {key: {"action": "accept", "content": {"value": "Ada"}}},
        }
        for _ in range(3):
            result = await client.request("tools/call", again)
            assert result["content"][0]["text"] == "Ada"


async def test_state_of_one_call_is_none_of_another() -> None:
    app = proxy_app(counting([]), revision=STATELESS)
    async with Client(app, revision=STATELESS, rounds="manual", elicitation=lambda request: "x") as client:
        required: Any = await client.request("tools/call", {"name": "ask", "arguments": {}})
        stolen = {"name": "remember", "arguments": {"word": "x"}, "requestState": required["requestState"]}
        with pytest.raises(InvalidParams, match="not valid"):
            await client.request("tools/call", stolen)


async def test_cancelling_a_call_cancels_it_at_the_upstream() -> None:
    ended = asyncio.Event()
    begun = asyncio.Event()
    upstream = App("upstream")

    @upstream.tool
    async def hang() -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ""

    for theirs in (STATEFUL, STATELESS):
        for ours in (STATEFUL, STATELESS):
            begun.clear()
            ended.clear()
            async with Client(
                proxy_app(upstream, revision=theirs), revision=ours, elicitation=lambda _: 1
            ) as client:
                call = asyncio.create_task(client.call_tool("hang"))
                await asyncio.wait_for(begun.wait(), 10)
                call.cancel()
                await asyncio.wait_for(ended.wait(), 10)


async def test_a_slow_upstream_holds_up_its_own_part_of_a_list_alone() -> None:
    class Slow(Provider):
        async def list_tools(self, call: Any, channel: Any, cursor: str | None) -> ProvidedPage[Any]:
            await asyncio.Event().wait()
            return ProvidedPage()

    slow, front = App("slow"), App("front")
    slow.mount(None, Slow())
    front.mount("slow", ProxyProvider(slow, list_timeout=0.2))

    @front.tool
    async def here() -> str:
        return "here"

    async with Client(front) as client:
        assert [tool.name async for tool in client.tools()] == ["here"]


@pytest.mark.hostile
async def test_a_hostile_upstream_costs_itself_alone(tmp_path: Path) -> None:
    """Endless pages, floods of notifications, control characters in errors, results that are none."""
    path = tmp_path / "hostile.py"
    path.write_text(HOSTILE)
    app = App("front")
    app.mount(
        "bad", ProxyProvider([sys.executable, str(path)], name="bad", revision=STATEFUL, list_timeout=5)
    )

    @app.tool
    async def here() -> str:
        return "here"

    async with Client(app, revision=STATELESS, timeout=60) as client:
        first = await client.list_tools()
        assert "here" in [tool.name for tool in first.tools]
        assert (await client.call_tool("here")).text == "here"
        with pytest.raises(RPCError):
            await asyncio.wait_for(client.call_tool("bad_error"), 50)
        assert (await client.call_tool("here")).text == "here"


HOSTILE = """
import json, sys

def say(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\\n")
    sys.stdout.flush()

page = 0
for line in sys.stdin:
    asked = json.loads(line)
    method, id = asked.get("method"), asked.get("id")
    if method == "initialize":
        say({"id": id, "result": {"protocolVersion": asked["params"]["protocolVersion"],
             "capabilities": {"tools": {}, "logging": {}}, "serverInfo": {"name": "bad\\x1b[31m", "version": "1"}}})
    elif method == "tools/list":
        page += 1
        for number in range(50):
            say({"method": "notifications/message", "params": {"level": "error", "data": "flood" * 100}})
        say({"id": id, "result": {"tools": [{"name": f"t{page}-{n}\\x1b[2J", "inputSchema": {"type": "object"}}
             for n in range(100)], "nextCursor": str(page)}})
    elif id is not None and method == "tools/call":
        say({"id": id, "error": {"code": -32603, "message": "\\x1b[31mred\\x00" + "x" * 100}})
    elif id is not None:
        say({"id": id, "error": {"code": -32601, "message": "no"}})
"""


async def test_options_that_are_the_callers_are_refused() -> None:
    with pytest.raises(LocalProtocolError, match="elicitation"):
        ProxyProvider("http://127.0.0.1:1/mcp", elicitation=lambda request: "x")
    share: Any = "some"
    with pytest.raises(LocalProtocolError, match="share"):
        ProxyProvider("http://127.0.0.1:1/mcp", share=share)
    client = Client("http://127.0.0.1:1/mcp")
    with pytest.raises(LocalProtocolError, match="its own clients"):
        ProxyProvider(client)


def test_its_error_is_among_all_errors() -> None:
    import dovetail.errors

    assert dovetail.errors.ParkingLost is ParkingLost
    assert json.dumps(ParkingLost("gone").message) == '"gone"'


async def test_a_proxy_that_finds_tools_in_its_own_way_is_asked() -> None:
    """What is known of the upstream's list does not go before what a class of its own says."""
    upstream = App("behind")

    @upstream.tool
    async def work() -> str:
        return "done"

    class Choosy(ProxyProvider):
        asked = 0

        async def find_tool(self, call: Call, channel: Channel, name: str) -> Provided[Tool] | None:
            self.asked += 1
            return None if self.asked > 1 else await super().find_tool(call, channel, name)

    provider = Choosy(upstream)
    app = App("front")
    app.mount(None, provider)
    async with Client(app) as client:
        assert (await client.call_tool("work")).text == "done"
        with pytest.raises(InvalidParams, match="there is no tool"):
            await client.call_tool("work")
    assert provider.asked == 2


async def test_results_pass_to_each_caller_as_its_revision_has_them() -> None:
    """What was found out of results for one caller is not taken for one of another revision."""
    upstream = App("behind")

    @upstream.tool
    async def work() -> int:
        return 7

    front = proxy_app(upstream)
    async with Client(front):  # as long as it is served, the connection is the same
        for revision in (STATELESS, "2025-03-26", STATEFUL, STATELESS):
            found: list[CallToolResult] = []
            for target in (upstream, front):
                async with Client(target, revision=revision) as client:
                    found.append(msgspec.structs.replace((await client.call_tool("work")).raw, meta=None))
            assert found[0] == found[1]
