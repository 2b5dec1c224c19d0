"""A model that has to look for its tools finds them, calls them, and is sent the same beginning all along."""

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from dovetail import App, LocalProtocolError
from dovetail.host import (
    AvailableServer,
    ConsentRequest,
    Host,
    HostPolicy,
    HostTool,
    ToolDiscovery,
)
from dovetail.host.discovery import MAX_TOLD
from dovetail.host.tool_index import ToolIndex
from dovetail.models import ModelCall
from dovetail.types import Tool

ALLOWED = HostPolicy(default="allow")
META = ["search_tools", "get_tool_details", "call_tool"]
SERVER_META = ["search_servers", "enable_server", "disable_server"]


def calendar() -> App:
    """A server with some tools."""
    app = App("calendar")

    @app.tool
    async def create_event(title: str, day: str) -> str:
        """Put an appointment into the calendar."""
        return f"{title} on {day}"

    @app.tool
    async def listAppointments(day: str) -> str:
        """What is planned."""
        return "nothing"

    return app


def mail() -> App:
    """Another."""
    app = App("mail")

    @app.tool
    async def send(recipient: str, subject: str) -> str:
        """Write a letter to somebody."""
        return "sent"

    return app


async def said(discovery: ToolDiscovery, name: str, /, **arguments: Any) -> Any:
    """What a tool gives: JSON of the discovery's own, the text of any other and of a failure."""
    call = ModelCall(id="1", name=name, arguments=arguments)
    (message,) = await discovery.run_tool_call("anthropic", call)
    (block,) = message["content"]
    text = "".join(each["text"] for each in block["content"])
    own = name in META + SERVER_META and name != "call_tool" and not block.get("is_error")
    return json.loads(text) if own else text


def names(definitions: Sequence[Any]) -> list[str]:
    return [each["name"] for each in definitions]


async def test_few_tools_are_told_of_as_they_are() -> None:
    async with Host({"calendar": calendar(), "mail": mail()}, policy=ALLOWED) as host:
        discovery = ToolDiscovery(host)
        assert discovery.progressive is None
        told = await discovery.tools_for("anthropic")
        assert told == await host.tools_for("anthropic")
        assert discovery.progressive is False
        assert await said(discovery, "search_tools", query="x") == (
            "there is no tool 'search_tools' in this host; it begins with no server's name"
        )


@pytest.mark.parametrize("above", [False, True])
async def test_the_share_of_the_context_decides(above: bool) -> None:
    async with Host({"calendar": calendar()}, policy=ALLOWED) as host:
        size = sum(len(json.dumps(each.definition(), ensure_ascii=False)) for each in await host.tools())
        window = size // 4 * 10 // (1 if not above else 2) + 10
        discovery = ToolDiscovery(host, context_window=window, share=0.1)
        assert (names(await discovery.tools_for("anthropic")) == META) == above
        assert discovery.progressive == above


@pytest.mark.parametrize("number", [MAX_TOLD, MAX_TOLD + 1])
async def test_more_tools_than_an_api_takes_are_looked_for(number: int) -> None:
    app = App("many")
    for each in range(number):

        @app.tool(name=f"t{each}")
        async def anything() -> str:
            return ""

    async with Host({"many": app}, policy=ALLOWED) as host:
        discovery = ToolDiscovery(host, share=1)
        told = await discovery.tools_for("anthropic")
    assert len(told) == (number if number == MAX_TOLD else len(META))


async def test_a_tool_is_found_read_and_called() -> None:
    async with Host({"calendar": calendar(), "mail": mail()}, policy=ALLOWED) as host:
        discovery = ToolDiscovery(host, share=0)
        assert names(await discovery.tools_for("anthropic")) == META
        overview = await said(discovery, "search_tools", query="")
        assert overview == {"servers": {"calendar": {"tools": 2}, "mail": {"tools": 1}}}
        found = await said(discovery, "search_tools", query="create an appointment")
        assert found["servers"]["calendar"][0] == {
            "name": "calendar__create_event",
            "description": "Put an appointment into the calendar.",
        }
        (tool,) = (await said(discovery, "get_tool_details", names=["calendar__create_event"]))["tools"]
        assert tool["input_schema"]["required"] == ["title", "day"]
        arguments = {"title": "Tea", "day": "Monday"}
        called = await said(discovery, "call_tool", name="calendar__create_event", arguments=arguments)
        assert called == "Tea on Monday"
        as_text = await said(
            discovery, "call_tool", name="calendar__create_event", arguments=json.dumps(arguments)
        )
        assert as_text == "Tea on Monday"
        assert await said(discovery, "mail__send", recipient="me", subject="x") == "sent"


@pytest.mark.parametrize(
    "query, first",
    [
        ("appointments", "calendar__listAppointments"),
        ("list the appointment", "calendar__listAppointments"),
        ("recipient", "mail__send"),
        ("letters", "mail__send"),
        ('"); DROP TABLE tools; --send', "mail__send"),
        ("sen", "mail__send"),
        ("mail", "mail__send"),
    ],
)
async def test_words_in_names_descriptions_parameters_and_servers_count(query: str, first: str) -> None:
    async with Host({"calendar": calendar(), "mail": mail()}, policy=ALLOWED) as host:
        discovery = ToolDiscovery(host, share=0)
        found = await said(discovery, "search_tools", query=query, detail="names", limit=1)
        assert list(found["servers"].values()) == [[first]]


async def test_how_much_is_shown_and_of_which_server() -> None:
    async with Host({"calendar": calendar(), "mail": mail()}, policy=ALLOWED) as host:
        discovery = ToolDiscovery(host, share=0)
        (whole,) = (await said(discovery, "search_tools", query="letter", detail="schemas"))["servers"][
            "mail"
        ]
        assert whole["input_schema"]["properties"].keys() == {"recipient", "subject"}
        of_mail = await said(discovery, "search_tools", query="", server="mail", detail="names")
        assert of_mail == {"servers": {"mail": ["mail__send"]}}
        nothing = await said(discovery, "search_tools", query="zeppelin")
        assert nothing["servers"] == {}


@pytest.mark.parametrize(
    "name, arguments, text",
    [
        ("search_tools", {}, "search_tools is missing 'query'; it takes: query, server, detail, limit"),
        ("search_tools", {"query": "x", "q": 1}, "search_tools has no parameter 'q'"),
        ("search_tools", {"query": "x", "server": "none"}, "there is no server 'none'; there are: mail"),
        ("get_tool_details", {"names": [["x"], "y"]}, "there is no tool ['x'], y; search_tools finds"),
        ("call_tool", {"name": "mail__none"}, "has no tool"),
        ("call_tool", {"name": "mail__send", "arguments": "{"}, "are no JSON"),
        ("call_tool", {"name": "mail__send", "arguments": [1]}, "have to be an object"),
        ("enable_server", {"name": "x"}, "there is no tool 'enable_server'"),
    ],
)
async def test_what_a_model_does_wrong_is_said(name: str, arguments: dict[str, Any], text: str) -> None:
    async with Host({"mail": mail()}, policy=ALLOWED) as host:
        discovery = ToolDiscovery(host, share=0)
        assert text in await said(discovery, name, **arguments)


async def test_a_call_is_asked_for_by_the_name_of_the_tool() -> None:
    asked: list[tuple[str, Any]] = []

    async def no(request: ConsentRequest) -> bool:
        asked.append((request.name, request.arguments))
        return False

    async with Host({"mail": mail()}, consent=no) as host:
        discovery = ToolDiscovery(host, share=0)
        text = await said(discovery, "call_tool", name="mail__send", arguments={"recipient": "a"})
    assert "the person said no" in text
    assert asked == [("mail__send", {"recipient": "a"})]


async def test_what_changes_is_found_and_the_beginning_stays() -> None:
    app = mail()
    async with Host({"mail": app}, policy=ALLOWED) as host:
        discovery = ToolDiscovery(host, share=0)
        before = await discovery.tools_for("openai-chat")
        assert (await said(discovery, "search_tools", query="zeppelin"))["servers"] == {}
        events = host.events()

        @app.tool
        async def fly(zeppelin: str) -> str:
            return zeppelin

        async for event in events:
            if event.kind == "change":
                break
        found = await said(discovery, "search_tools", query="zeppelin", detail="names")
        assert found == {"servers": {"mail": ["mail__fly"]}}
        app.remove_tool("fly")
        async for event in events:
            if event.kind == "change":
                break
        assert (await said(discovery, "search_tools", query="zeppelin"))["servers"] == {}
        assert await discovery.tools_for("openai-chat") == before


async def test_tools_that_come_later_are_told_of_after_those_before() -> None:
    async with Host({"mail": mail()}, policy=ALLOWED) as host:
        discovery = ToolDiscovery(host)
        before = await discovery.tools_for("anthropic")
        await host.remove("mail")
        await host.add("calendar", calendar())
        await host.add("mail", mail())
        again = await discovery.tools_for("anthropic")
        assert names(again) == ["mail__send", "calendar__create_event", "calendar__listAppointments"]
        assert again[:1] == before
        discovery.new_conversation()
        assert names(await discovery.tools_for("anthropic"))[0] == "calendar__create_event"


async def test_a_server_is_connected_when_it_is_needed() -> None:
    script = """
from dovetail import App

app = App("late")


@app.tool
async def late() -> str:
    return "here"


app.run()
"""
    available = {
        "late": AvailableServer(target=[sys.executable, "-c", script], description="Things that come late."),
        "broken": AvailableServer(target="no-such-program", description="Nothing."),
    }
    async with Host({"mail": mail()}, policy=ALLOWED) as host:
        discovery = ToolDiscovery(host, available=available)
        assert names(await discovery.tools_for("anthropic")) == META + SERVER_META
        shown = await said(discovery, "search_servers", query="late")
        assert shown == {"servers": {"late": {"description": "Things that come late.", "enabled": False}}}
        assert len((await said(discovery, "search_servers"))["servers"]) == 2
        enabled = await asyncio.gather(*(said(discovery, "enable_server", name="late") for _ in range(2)))
        assert [(each["enabled"], each["tools"]) for each in enabled] == [("late", 1)] * 2
        found = await said(discovery, "search_tools", query="late", detail="names")
        assert found["servers"]["late"] == ["late__late"]
        assert await said(discovery, "call_tool", name="late__late") == "here"
        assert await said(discovery, "disable_server", name="late") == {"disabled": "late"}
        assert "late" not in host.servers
        assert "was not enabled here" in await said(discovery, "disable_server", name="mail")
        assert "can't be used: it is failed" in await said(discovery, "enable_server", name="broken")
        assert "broken" not in host.servers
        assert "no server 'x' to be had" in await said(discovery, "enable_server", name="x")


async def test_definitions_of_the_discovery_are_taken_by_every_api() -> None:
    async with Host({"mail": mail()}, policy=ALLOWED) as host:
        available = {"late": AvailableServer(target="x", description="x")}
        for format in ("openai-chat", "openai-responses", "anthropic", "gemini"):
            text = json.dumps(await ToolDiscovery(host, available=available).tools_for(format))
            assert all(f'"{each}"' in text for each in META + SERVER_META)


@pytest.mark.parametrize(
    "options", [{"share": -0.1}, {"share": 2}, {"context_window": 0}, {"available": {"_": None}}]
)
async def test_what_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    host = Host({})
    with pytest.raises(LocalProtocolError):
        ToolDiscovery(host, **options)


def tool(name: str, description: str) -> HostTool:
    """A tool of a server."""
    return HostTool(
        name=f"s__{name}",
        server="s",
        tool=Tool(name=name, description=description, input_schema={"type": "object"}),
    )


async def test_meaning_finds_what_words_do_not() -> None:
    """Vectors of three words, as an embedding would place them."""
    embedded: list[str] = []

    async def embed(texts: list[str]) -> list[list[float]]:
        embedded.extend(texts)
        return [[float("dog" in each or "hound" in each), float("car" in each), 0.1] for each in texts]

    index = ToolIndex(embed)
    tools = [tool("walk", "Walk the dog."), tool("drive", "Drive the car."), tool("wait", "Do nothing.")]
    await index.update(tools)
    assert len(embedded) == 3
    assert [each.tool.name for each in await index.search("hound", limit=1)] == ["walk"]
    await index.update([*tools[:2], tool("wait", "Wait for the car.")])
    assert len(embedded) == 5  # the query, and what changed
    assert [each.tool.name for each in await index.search("car wait", limit=1)] == ["wait"]


async def test_an_embedding_that_fails_changes_nothing() -> None:
    def embed(texts: list[str]) -> list[list[float]]:
        return [] if "broken" in texts[0] else [[1.0] for _ in texts]

    index = ToolIndex(embed)
    await index.update([tool("one", "first")])
    with pytest.raises(LocalProtocolError, match="0 vectors for 1 texts"):
        await index.update([tool("two", "broken")])
    assert list(index.tools) == ["s__one"]


async def test_thousands_of_tools_are_indexed_and_found() -> None:
    index = ToolIndex()
    tools = [tool(f"do_{number}", f"Does the thing number{number}.") for number in range(5_000)]
    await index.update(tools)
    assert [each.tool.name for each in await index.search("number4321", limit=1)] == ["do_4321"]
    await index.update(tools[:-1])
    assert await index.search("number4999", limit=1) == []
