"""Many servers as one: their names, what passes through, and what one that is slow, broken or away costs the others."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dovetail import App, Client, Context, InternalError, InvalidParams, LocalProtocolError
from dovetail.extensions import Call, Channel
from dovetail.gateway import Gateway
from dovetail.providers import Provided, ProvidedPage, Provider
from dovetail.proxy import lists
from dovetail.testing.serving import served
from dovetail.types import CallToolResult, ResourceLink, ResourceReference, Tool

STATEFUL, STATELESS = "2025-11-25", "2026-07-28"
REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", STATEFUL, STATELESS)


def library() -> App:
    app = App("library", instructions="Whisper.")

    @app.tool
    async def lend(title: str, ctx: Context) -> str:
        """Lend a book."""
        await ctx.progress(1, 2)
        return f"{title} to {await ctx.elicit('who?', str)}"

    @app.tool
    async def count() -> int:
        """How many books there are."""
        return 3

    @app.tool(name="catalogue_" + "x" * 70)
    async def catalogue() -> str:
        """One whose name is longer than models take."""
        return "all"

    @app.resource("shelf://top")
    async def top() -> str:
        return "the top shelf"

    @app.resource("book://{title}")
    async def book(title: str) -> str:
        return f"the text of {title}"

    @app.completion("book://{title}", "title")
    async def titles(value: str) -> list[str]:
        return [value + "bc"]

    @app.prompt
    async def review(title: str) -> str:
        return f"Review {title}."

    return app


def shed() -> App:
    app = App("shed")

    @app.tool
    async def count() -> int:
        """How many tools there are."""
        return 7

    @app.resource("shelf://top")
    async def top() -> str:
        return "a hammer"

    return app


SERVER = """
import os
from dovetail import App

app = App("process")

@app.tool
async def pid() -> int:
    return os.getpid()

app.run()
"""


@asynccontextmanager
async def opened(gateway: Gateway, revision: str = STATELESS, **options: Any) -> AsyncGenerator[Client]:
    async with Client(gateway.app, revision=revision, **options) as client:
        yield client


@pytest.mark.requirement("R2607-TOOLS-020")
@pytest.mark.parametrize("theirs", REVISIONS)
@pytest.mark.parametrize("ours", REVISIONS)
async def test_every_revision_meets_every_other(ours: str, theirs: str) -> None:
    """Names, texts, questions and progress, whatever the two sides speak."""
    gateway = Gateway(
        {"library": Client(library(), revision=theirs), "shed": Client(shed(), revision=theirs)}
    )
    told: list[float] = []
    async with opened(gateway, ours, elicitation=lambda asked: "Ada") as client:
        names = [tool.name async for tool in client.tools()]
        assert names[:2] == ["library__lend", "library__count"]
        assert names[3] == "shed__count"
        assert all(len(name) <= 64 for name in names)
        assert (await client.call_tool("library__count")).text == "3"
        assert (await client.call_tool("shed__count")).text == "7"
        assert (await client.call_tool(names[2])).text == "all"
        if min(ours, theirs) >= "2025-06-18":
            lent = await client.call_tool(
                "library__lend", {"title": "Emma"}, progress=lambda notice: told.append(notice.progress)
            )
            assert lent.text == "Emma to Ada"
            assert 1 in told


async def test_resources_prompts_and_completions_have_names_of_their_own() -> None:
    """Two servers that use one URI keep both, and results name them as callers know them."""
    gateway = Gateway({"library": library(), "shed": shed()})
    async with opened(gateway) as client:
        assert sorted([each.uri async for each in client.resources()]) == [
            "shelf://library/top",
            "shelf://shed/top",
        ]
        found = await client.read("shelf://shed/top")
        assert [each.uri for each in found.contents] == ["shelf://shed/top"]
        assert await client.read("shelf://library/top", into=str) == "the top shelf"
        templates = [each.uri_template async for each in client.resource_templates()]
        assert templates == ["book://library/{title}"]
        assert await client.read("book://library/Emma", into=str) == "the text of Emma"
        assert [each.name async for each in client.prompts()] == ["library__review"]
        messages = (await client.get_prompt("library__review", {"title": "Emma"})).messages
        assert messages[0].content.text == "Review Emma."  # type: ignore[union-attr] - it is a text
        suggested = await client.complete(ResourceReference(uri="book://library/{title}"), "title", "a")
        assert suggested.values == ["abc"]
        assert "Whisper." in (client.instructions or "")


@pytest.mark.parametrize("ours", [STATEFUL, STATELESS])
@pytest.mark.parametrize("theirs", [STATEFUL, STATELESS])
async def test_results_name_resources_as_callers_know_them(ours: str, theirs: str) -> None:
    """Also those with a ``_meta`` of their own, which are not passed in the bytes that they came in."""
    behind = App("behind")

    @behind.tool
    async def link(noted: bool) -> CallToolResult:
        found = ResourceLink(uri="shelf://top", name="top")
        return CallToolResult(content=[found], meta={"a.example/n": 1} if noted else None)

    gateway = Gateway({"behind": Client(behind, revision=theirs)})
    async with opened(gateway, ours) as client:
        for noted in (True, False):
            result = await client.call_tool("behind__link", {"noted": noted})
            assert [each.uri for each in result.content if isinstance(each, ResourceLink)] == [
                "shelf://behind/top"
            ]
            assert ((result.meta or {}).get("a.example/n") == 1) is noted


async def test_a_name_with_a_digest_is_known_without_a_list() -> None:
    """It is the same in each gateway, so a caller may come with one from before; others find nothing."""
    first = Gateway({"library": library()})
    async with opened(first) as client:
        long = [tool.name async for tool in client.tools()][2]
    again = Gateway({"library": library()})
    async with opened(again) as client:
        assert (await client.call_tool(long)).text == "all"
        with pytest.raises(InvalidParams, match="there is no tool"):
            await client.call_tool(long[:-1] + ("0" if long[-1] != "0" else "1"))
        with pytest.raises(InvalidParams, match="there is no tool"):
            await client.call_tool("count")


async def test_v56_bare_names_are_those_of_the_servers() -> None:
    """Of two of one name the first server's is listed and called."""
    gateway = Gateway({"shed": shed(), "library": library()}, bare_names=True)
    async with opened(gateway) as client:
        names = [tool.name async for tool in client.tools()]
        assert names.count("count") == 1
        assert (await client.call_tool("count")).text == "7"
        assert await client.read("shelf://top", into=str) == "a hammer"


async def test_a_server_that_is_not_there_costs_its_own_part_and_comes_back(tmp_path: Path) -> None:
    """Serving does not wait for it, lists lack it, and who listens is told when it is there."""
    path = tmp_path / "late.py"
    path.write_text("import sys; sys.exit(1)")
    gateway = Gateway({"late": [sys.executable, str(path)], "shed": shed()})
    told = asyncio.Event()
    async with opened(gateway, STATEFUL, on_change=lambda change: told.set()) as client:
        await gateway.servers["late"].wait_for("failed", timeout=30)
        assert [tool.name async for tool in client.tools()] == ["shed__count"]
        told.clear()
        path.write_text(SERVER)
        gateway.servers["late"].restart()
        await gateway.servers["late"].wait_for("ready", timeout=30)
        await asyncio.wait_for(told.wait(), 30)
        names = [tool.name async for tool in client.tools(fresh=True)]
        assert names == ["late__pid", "shed__count"]
        assert (await client.call_tool("late__pid")).text.isdecimal()


async def test_the_log_says_once_that_a_server_is_away_and_that_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Attempts that fail in the same way are for who looks closely."""
    path = tmp_path / "late.py"
    path.write_text("import sys; sys.exit(1)")
    caplog.set_level("DEBUG", "dovetail.gateway")
    gateway = Gateway({"late": [sys.executable, str(path)]})
    async with opened(gateway):
        server = gateway.servers["late"]
        for _ in range(3):
            await server.wait_for("failed", timeout=30)
            server.restart()
            await server.wait_for("connecting", timeout=30)
        await server.wait_for("failed", timeout=30)
        path.write_text(SERVER)
        server.restart()
        await server.wait_for("ready", timeout=30)
    told = [(each.levelname, each.getMessage()) for each in caplog.records if each.name == "dovetail.gateway"]
    assert len([text for _, text in told if text.startswith("late: failed")]) >= 4
    loud = [text for level, text in told if level == "WARNING"]
    assert len(loud) == 2
    assert loud[0].startswith("late: failed")
    assert loud[1] == "late: ready"


async def test_a_server_that_dies_is_started_again(tmp_path: Path) -> None:
    """Its state says so, and the next call finds it."""
    path = tmp_path / "mortal.py"
    path.write_text(SERVER)
    gateway = Gateway({"mortal": [sys.executable, str(path)]})
    async with opened(gateway) as client:
        server = gateway.servers["mortal"]
        await server.wait_for("ready", timeout=30)
        before = server.status.connections
        os.kill(int((await client.call_tool("mortal__pid")).text), signal.SIGKILL)
        await server.wait_for("degraded", timeout=30)
        status = await server.wait_for("ready", timeout=30)
        assert status.connections == before + 1
        assert (await client.call_tool("mortal__pid")).text.isdecimal()
    assert server.status.state == "closed"


@pytest.mark.parametrize("own", [True, False])
async def test_what_a_server_writes_to_standard_error_says_whose_it_is(
    own: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Or goes where the program said."""
    path = tmp_path / "loud.py"
    path.write_text(f"import sys\nprint('\\x1b[2Jloud', file=sys.stderr, flush=True)\n{SERVER}")
    lines: list[str] = []
    command = [sys.executable, str(path)]
    gateway = Gateway({"loud": Client(command, on_stderr=lines.append) if own else command})
    async with opened(gateway) as client:
        await client.call_tool("loud__pid")
    said = capsys.readouterr().err.splitlines()
    assert [line for line in (lines if own else said) if "loud" in line] == ["loud" if own else "loud: loud"]
    assert own is not any(line.startswith("loud: ") for line in said)


async def test_a_list_does_not_wait_for_a_server_that_answers_none() -> None:
    """It lacks that part, after the patience that a server is given."""

    class Silent(Provider):
        async def list_tools(self, call: Any, channel: Any, cursor: Any) -> Any:
            await asyncio.Event().wait()

    silent = App("silent")
    silent.mount(None, Silent())
    gateway = Gateway({"silent": silent, "shed": shed()}, patience=0.2)
    async with opened(gateway) as client:
        assert [tool.name async for tool in client.tools()] == ["shed__count"]


async def test_changes_and_what_is_listened_to_pass() -> None:
    """A change of a list, and of a resource under the URI that callers know."""
    app = shed()
    heard: asyncio.Queue[Any] = asyncio.Queue()
    async with served(app.asgi()) as there:
        gateway = Gateway({"shed": there, "library": library()})
        async with opened(gateway, STATEFUL, on_change=heard.put_nowait) as client:
            await gateway.servers["shed"].wait_for("ready", timeout=30)
            await client.subscribe("shelf://shed/top")
            while not heard.empty():
                heard.get_nowait()
            app.resource_updated("shelf://top")

            async def found() -> Any:
                while (change := await heard.get()).kind != "resource":
                    pass
                return change

            change = await asyncio.wait_for(found(), 30)
            assert change.uri == "shelf://shed/top"


async def test_two_sessions_over_http_have_connections_of_their_own() -> None:
    """What a stateful server keeps for one caller is not another's."""
    behind = App("behind")

    @behind.tool
    async def remember(word: str, ctx: Context) -> str:
        words = [*await ctx.session.get("words", []), word]
        await ctx.session.set("words", words)
        return " ".join(words)

    gateway = Gateway({"behind": Client(behind, revision=STATEFUL)})
    async with (
        served(gateway.app.asgi()) as url,
        Client(url, revision=STATEFUL) as one,
        Client(url, revision=STATEFUL) as other,
    ):
        assert (await one.call_tool("behind__remember", {"word": "a"})).text == "a"
        assert (await other.call_tool("behind__remember", {"word": "b"})).text == "b"
        assert (await one.call_tool("behind__remember", {"word": "c"})).text == "a c"


def test_what_can_not_be_is_refused() -> None:
    """With the name of what is wrong, before anything is started."""
    with pytest.raises(LocalProtocolError, match="a__b"):
        Gateway({"a__b": shed()})
    with pytest.raises(LocalProtocolError, match="'elicitation'"):
        Gateway({"shed": Client(shed(), elicitation=lambda asked: None)})
    configured: Any = {"mcpServers": {"shed": {"command": "true"}}}
    file: Any = "servers.json"
    for given in (configured, configured["mcpServers"], file):
        with pytest.raises(LocalProtocolError, match="dovetail gateway FILE"):
            Gateway(given)
    with pytest.raises(LocalProtocolError, match="'mail'"):
        Gateway({"shed": shed()}, credentials={"mail": lambda principal: {}})


async def test_a_call_waits_for_its_caller_as_long_as_the_gateway_says() -> None:
    """Of a stateful server, which a stateless caller comes back to with its answers."""

    async def late(asked: Any) -> str:
        await asyncio.sleep(0.3)
        return "Ada"

    for seconds in (0.05, 30.0):
        gateway = Gateway({"library": Client(library(), revision=STATEFUL)}, park=seconds)
        async with Client(gateway.app, revision=STATELESS, elicitation=late) as client:
            if seconds < 1:
                with pytest.raises(InternalError, match="the call that waited for these answers is gone"):
                    await client.call_tool("library__lend", {"title": "Emma"})
            else:
                assert (await client.call_tool("library__lend", {"title": "Emma"})).text == "Emma to Ada"


class Endless(Provider):
    """A list that always has another page, each after a while."""

    def __init__(self, seconds: float = 0, *, named: bool = False) -> None:
        self.pages = 0
        self._seconds = seconds
        self._named = named

    async def list_tools(self, call: Call, channel: Channel, cursor: str | None) -> ProvidedPage[Tool]:
        self.pages += 1
        await asyncio.sleep(self._seconds)
        found: list[Provided[Tool]] = []
        if self._named:
            tool = Tool(name=f"tool-{self.pages}", input_schema={"type": "object"})
            found = [Provided(described=tool, answer=nothing)]
        return ProvidedPage(found, f"page-{self.pages}")


async def nothing(call: Call, channel: Channel) -> CallToolResult:
    return CallToolResult(content=[])


@pytest.mark.hostile
@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("revision", [STATEFUL, STATELESS])
async def test_a_list_without_an_end_ends_here_and_costs_the_others_nothing(
    revision: str, named: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A caller that reads all pages gets what the others have, and the list says that it is not whole."""
    bad, endless = App("bad", page_size=1), Endless(named=named)
    bad.mount(None, endless)
    gateway = Gateway({"bad": bad, "shed": shed()})
    async with opened(gateway, revision, timeout=120) as client:
        found = [tool.name async for tool in client.tools()]
        assert found[-1] == "shed__count"
        assert (len(found) > 100) is named
        assert (await client.call_tool("shed__count")).text == "7"
    assert any("bad: not all its tools are listed" in each.getMessage() for each in caplog.records)


@pytest.mark.hostile
async def test_a_list_that_takes_its_time_page_by_page_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page comes in time, and the whole takes longer than any list may."""
    monkeypatch.setattr(lists, "MAX_READING", 0.3)
    bad, endless = App("bad"), Endless(0.1)
    bad.mount(None, endless)
    gateway = Gateway({"bad": Client(bad, revision=STATEFUL), "shed": shed()}, patience=30)
    async with opened(gateway) as client:
        assert [tool.name async for tool in client.tools()] == ["shed__count"]
