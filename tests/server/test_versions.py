"""Versions of one tool side by side: their order, which is listed, which is called, and who may choose."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dovetail
from dovetail import App, Client, Context, InvalidParams, Principal, RegistrationError
from dovetail.extensions import Call, Channel
from dovetail.extensions.tasks import tasks
from dovetail.providers import Provided, ProvidedPage, Provider, hide, namespace, rename, versions, visible
from dovetail.revisions import STATEFUL, STATELESS
from dovetail.server.providers.versions import highest_first
from dovetail.types import CallToolResult, ElicitResult, TextContent, Tool
from wires import Connect

ERAS = ("2025-11-25", "2026-07-28")
BOTH = pytest.mark.parametrize("revision", [STATELESS[-1], STATEFUL[-1]])
VERSION = "io.dovetail/version"
VERSIONS = "io.dovetail/versions"


def calculator(*of: str, **options: Any) -> App:
    """A tool ``add`` in these versions, each of which gives its own."""
    app = App("calculator", rate_limit=None, **options)
    for each in of:
        app.add_tool(adder(each), name="add", version=each)
    return app


def adder(version: str) -> Any:
    async def add(a: int = 1, b: int = 1) -> str:
        return f"{a + b} by {version}"

    return add


async def listed(client: Client) -> dict[str, Any]:
    return {tool.name: tool.meta async for tool in client.tools()}


# Order


@pytest.mark.parametrize(
    "lowest_first",
    [
        ("1", "2", "10"),
        ("1.9", "1.10", "1.10.1", "2"),
        ("2.0-alpha", "2.0-alpha.2", "2.0-beta", "2.0rc1", "2.0", "2.0.1"),
        ("2024-11-05", "2025-03-26", "2025-11-25", "2026-07-28"),
        ("v1", "v2", "v10"),
        ("1", "v2", "3"),
        ("1", "1.0", "1.0.0"),
        ("alpha", "beta", "1"),
    ],
)
def test_versions_are_ordered_part_by_part(lowest_first: tuple[str, ...]) -> None:
    assert highest_first(lowest_first) == list(reversed(lowest_first))
    assert highest_first(reversed(lowest_first)) == list(reversed(lowest_first))


@given(st.lists(st.text(max_size=12)))
def test_any_texts_have_one_order(texts: list[str]) -> None:
    assert highest_first(texts) == highest_first(sorted(texts))


def test_a_number_of_any_length_is_one() -> None:
    assert highest_first(["9" * 100_000, "1"]) == ["9" * 100_000, "1"]


# Listing and calling


@BOTH
async def test_the_highest_is_listed_and_called_unless_the_call_says_which(revision: str) -> None:
    async with Client(calculator("1", "10", "2"), revision=revision) as client:
        assert await listed(client) == {"add": {VERSION: "10", VERSIONS: ["10", "2", "1"]}}
        assert (await client.call_tool("add", {"a": 2})).text == "3 by 10"
        for each in ("1", "2", "10"):
            assert (await client.call_tool("add", {"a": 2}, version=each)).text == f"3 by {each}"
        with pytest.raises(InvalidParams, match="there is no tool 'add' in the version '3'"):
            await client.call_tool("add", version="3")


@pytest.mark.parametrize("revision", ERAS)
async def test_any_client_says_it_in_meta(connect: Connect, revision: str) -> None:
    wire = await connect(calculator("1", "2"), revision)
    for version in ("1", "2"):
        result = await wire.result("tools/call", {"name": "add"}, meta={VERSION: version})
        assert result["content"][0]["text"] == f"2 by {version}"
    answer = await wire.request("tools/call", {"name": "add"}, meta={VERSION: 1})
    assert answer["error"]["code"] == -32602


@BOTH
async def test_a_tool_without_versions_has_none_to_ask_for(revision: str) -> None:
    app = App("plain")
    app.add_tool(adder("none"), name="add")
    outer = App("outer")
    outer.mount("in", app)
    async with Client(app, revision=revision) as client:
        assert await listed(client) == {"add": None}
        with pytest.raises(InvalidParams, match="'add' has no versions"):
            await client.call_tool("add", version="1")
    async with Client(outer, revision=revision) as client:
        with pytest.raises(InvalidParams, match="'in_add' in the version '1'"):
            await client.call_tool("in_add", version="1")


def test_it_can_be_said_without_async() -> None:
    with Client.sync(calculator("1", "2")) as client:
        assert client.call_tool("add", version="1").text == "2 by 1"


@BOTH
async def test_what_asks_goes_on_in_the_version_that_was_asked_for(revision: str) -> None:
    app = App("asking", keys=["k" * 32])

    def asker(version: str) -> Any:
        async def ask(ctx: Context) -> str:
            return f"{await ctx.elicit('sure?', bool)} in {version}"

        return ask

    for each in ("1", "2"):
        app.add_tool(asker(each), name="ask", version=each)

    async def yes(*_: Any) -> ElicitResult:
        return ElicitResult(action="accept", content={"value": True})

    async with Client(app, revision=revision, elicitation=yes) as client:
        assert (await client.call_tool("ask", version="1")).text == "True in 1"
        assert (await client.call_tool("ask")).text == "True in 2"


def asking(app: App, version: str, **options: Any) -> None:
    """A version of a tool that asks once."""

    async def ask(ctx: Context) -> str:
        return f"{await ctx.elicit('sure?', bool)} in {version}"

    app.add_tool(ask, name="ask", version=version, **options)


YES = {"action": "accept", "content": {"value": True}}


@pytest.mark.parametrize("mounted", [False, True])
async def test_state_of_one_version_is_none_of_another(mounted: bool) -> None:
    """A version that comes between two rounds answers none that an older one began, nor does one that is asked for."""
    inner = App("inner", keys=["k" * 32])
    asking(inner, "1")
    app = inner
    if mounted:
        app = App("outer", keys=["k" * 32])
        app.mount(None, inner)

    def request(version: str | None, state: Mapping[str, Any] | None = None) -> dict[str, Any]:
        params: dict[str, Any] = {"name": "ask", "arguments": {}}
        if version is not None:
            params["_meta"] = {VERSION: version}
        if state is not None:
            (key,) = state["inputRequests"]
            params |= {"requestState": state["requestState"], "inputResponses": {key: YES}}
        return params

    async with Client(app, revision=STATELESS[-1], rounds="manual", elicitation=lambda _: True) as client:

        async def said(*of: Any) -> Any:
            return await client.request("tools/call", request(*of))

        plain, first = await said(None), await said("1")
        assert (await said(None, plain))["content"][0]["text"] == "True in 1"
        assert (await said("1", plain))["content"][0]["text"] == "True in 1"
        asking(inner, "2")
        for version, begun in ((None, plain), ("2", plain), ("2", first), (None, first)):
            with pytest.raises(InvalidParams, match="the request state is not valid for this request"):
                await said(version, begun)
        for begun in (plain, first):
            assert (await said("1", begun))["content"][0]["text"] == "True in 1"
        assert (await said(None, await said(None)))["content"][0]["text"] == "True in 2"


async def test_a_call_of_a_session_goes_on_in_the_version_that_it_began_in() -> None:
    app = App("asking")
    asking(app, "1")

    async def late(*_: Any) -> bool:
        if "ask" not in renewed:
            renewed.append("ask")
            asking(app, "2")
        return True

    renewed: list[str] = []
    async with Client(app, revision=STATEFUL[-1], elicitation=late) as client:
        assert (await client.call_tool("ask")).text == "True in 1"
        assert (await client.call_tool("ask")).text == "True in 2"


@BOTH
async def test_a_task_goes_on_in_the_version_that_it_began_in(revision: str) -> None:
    app = App("asking", extensions=[tasks()])

    asking(app, "1", task="optional")

    async def late(*_: Any) -> bool:
        asking(app, "2", task="optional")
        return True

    async with Client(app, revision=revision, extensions=[tasks()], elicitation=late) as client:
        assert (await (await client.start_tool("ask")).result()).text == "True in 1"


@BOTH
async def test_each_version_has_its_own_schemas(revision: str) -> None:
    app = App("schemas")

    @app.tool(name="size", version="1")
    async def old(name: str) -> int:
        return len(name)

    @app.tool(name="size", version="2")
    async def new(name: str, unit: str) -> dict[str, int]:
        return {unit: len(name)}

    async with Client(app, revision=revision) as client:
        assert [list(tool.input_schema["properties"]) async for tool in client.tools()] == [["name", "unit"]]
        before = await client.call_tool("size", {"name": "abc"}, version="1")
        assert before.value == 3
        assert not before.checked
        assert "not the one that was listed" in str(before.unchecked_because)
        now = await client.call_tool("size", {"name": "abc", "unit": "m"}, version="2")
        assert (now.structured, now.checked) == ({"m": 3}, True)


async def test_a_version_may_run_as_a_task() -> None:
    app = App("kitchen", extensions=[tasks()])
    for each in ("1", "2"):
        app.add_tool(adder(each), name="add", version=each, task="optional")
    async with Client(app, extensions=[tasks()]) as client:
        started = await client.start_tool("add", {"a": 4}, version="1")
        assert (await started).text == "5 by 1"
        assert started.id


# Who may


async def test_each_version_asks_for_what_it_needs() -> None:
    app = App("guarded")
    app.add_tool(adder("1"), name="add", version="1")
    app.add_tool(adder("2"), name="add", version="2", allow=lambda who: who.subject == "root")
    app.add_tool(adder("3"), name="add", version="3", scopes=["new"])

    def seen(found: Provided[Any], who: Principal | None) -> bool:
        return found.version != "3"

    outer = App("outer")
    outer.mount(None, app, visible(seen))
    for each, highest in ((app, "3"), (outer, "2")):
        async with Client(each) as client:  # here, where callers may all
            assert (await client.call_tool("add")).text == f"2 by {highest}"
    with pytest.raises(ValueError, match="protect the app"):
        app.asgi()


@BOTH
async def test_where_the_highest_is_hidden_the_next_one_is_listed_and_called(revision: str) -> None:
    outer = App("outer")
    outer.mount("a", calculator("1", "2", "3"), versions(below="3"))
    outer.mount("b", calculator("1", "2", "3"), versions(at_least="2"), rename({"add": "plus"}))
    outer.mount("c", calculator("1", "2"), versions(at_least="5"))
    async with Client(outer, revision=revision) as client:
        assert await listed(client) == {
            "a_add": {VERSION: "2", VERSIONS: ["2", "1"]},
            "b_plus": {VERSION: "3", VERSIONS: ["3", "2"]},
        }
        assert (await client.call_tool("a_add")).text == "2 by 2"
        assert (await client.call_tool("b_plus", version="2")).text == "2 by 2"
        for name, version in (("a_add", "3"), ("b_plus", "1"), ("c_add", None)):
            with pytest.raises(InvalidParams, match="there is no tool"):
                await client.call_tool(name, version=version)


def test_what_has_no_versions_is_not_chosen_by_them() -> None:
    app = App("mixed")
    app.add_tool(adder("none"), name="plain")
    outer = App("outer")
    outer.mount(None, app, versions(at_least="2"))
    with Client.sync(outer) as client:
        assert [tool.name for tool in client.tools()] == ["plain"]


# From several places


@BOTH
@pytest.mark.parametrize("page_size", [1, 1000])
async def test_versions_of_several_apps_stand_side_by_side(revision: str, page_size: int) -> None:
    outer = App("outer", page_size=page_size)
    outer.mount("calc", calculator("1", "3"))
    outer.mount("calc", calculator("2", "3"), hide("nothing"))
    outer.add_tool(adder("own"), name="other")
    async with Client(outer, revision=revision) as client:
        assert await listed(client) == {"other": None, "calc_add": {VERSION: "3", VERSIONS: ["3", "2", "1"]}}
        assert [(await client.call_tool("calc_add", version=each)).text for each in ("1", "2", "3")] == [
            "2 by 1",
            "2 by 2",
            "2 by 3",
        ]


@BOTH
async def test_what_has_no_versions_and_comes_first_stands_alone(revision: str) -> None:
    outer = App("outer")
    outer.add_tool(adder("own"), name="add")
    outer.mount(None, calculator("1", "2"))
    async with Client(outer, revision=revision) as client:
        assert await listed(client) == {"add": None}
        assert (await client.call_tool("add")).text == "2 by own"


class Rows(Provider):
    """Versions from somewhere else, a page each; none of them is known without waiting."""

    def __init__(self, *versions: str) -> None:
        self.versions = versions

    async def list_tools(self, call: Call, channel: Channel, cursor: str | None) -> ProvidedPage[Tool]:
        place = int(cursor or 0)
        following = str(place + 1) if place + 1 < len(self.versions) else None
        return ProvidedPage([self.made(self.versions[place])], following)

    def made(self, version: str) -> Provided[Tool]:
        async def answer(call: Call, channel: Channel) -> CallToolResult:
            return CallToolResult(content=[TextContent(text=f"row {version}")])

        tool = Tool(name="row", input_schema={"type": "object"})
        return Provided(described=tool, answer=answer, version=version)


@BOTH
async def test_a_provider_gives_versions_page_by_page(revision: str) -> None:
    app = App("rows")
    app.mount(None, Rows("2", "1", "3"), namespace("db"))
    outer = App("outer")
    outer.mount("x", app)
    for each, name in ((app, "db_row"), (outer, "x_db_row")):
        async with Client(each, revision=revision) as client:
            assert await listed(client) == {name: {VERSION: "3", VERSIONS: ["3", "2", "1"]}}
            assert (await client.call_tool(name)).text == "row 3"
            assert (await client.call_tool(name, version="1")).text == "row 1"


@BOTH
async def test_an_app_with_middleware_passes_versions_on(revision: str) -> None:
    asked: list[str] = []

    async def layer(call: Call, channel: Channel, handler: Any) -> Any:
        asked.append(call.method)
        return await handler(call, channel)

    outer = App("outer")
    outer.mount("in", calculator("1", "2", middleware=[layer]))
    async with Client(outer, revision=revision) as client:
        assert await listed(client) == {"in_add": {VERSION: "2", VERSIONS: ["2", "1"]}}
        assert (await client.call_tool("in_add", version="1")).text == "2 by 1"
        assert "tools/call" in asked


# Registering


def test_one_name_has_versions_or_none() -> None:
    app = calculator("1")
    app.add_tool(adder("none"), name="plain")
    with pytest.raises(RegistrationError, match="there are versions of the tool 'add' already"):
        app.add_tool(adder("none"), name="add")
    with pytest.raises(RegistrationError, match="there is a tool 'plain' without a version already"):
        app.add_tool(adder("1"), name="plain", version="1")
    with pytest.raises(RegistrationError, match="there is a tool 'add@1' already"):
        app.add_tool(adder("1"), name="add", version="1")
    app.add_tool(adder("1 again"), name="add", version="1", replace=True)
    with Client.sync(app) as client:
        assert client.call_tool("add").text == "2 by 1 again"


@pytest.mark.parametrize("version", ["", " 1", "1 2", "-1", "1@2", "x" * 65, 1, 1.5])
def test_what_is_no_version_is_refused(version: Any) -> None:
    with pytest.raises(RegistrationError, match="version= is a text such as '2'"):
        App("none").add_tool(adder("none"), name="add", version=version)


@BOTH
async def test_versions_come_and_go_while_it_runs(revision: str) -> None:
    app = App("live")
    app.add_tool(adder("none"), name="plain")
    async with Client(app, revision=revision, cache=False) as client:
        async with client.listen(tools=True) as changes, asyncio.timeout(10):
            app.add_tool(adder("1"), name="add", version="1")
            assert (await anext(aiter(changes))).kind == "tools"
        app.add_tool(adder("2"), name="add", version="2")
        assert await listed(client) == {"plain": None, "add": {VERSION: "2", VERSIONS: ["2", "1"]}}
        app.remove_tool("add", version="2")
        assert (await client.call_tool("add")).text == "2 by 1"
        with pytest.raises(KeyError):
            app.remove_tool("add", version="2")
        app.remove_tool("add")
        assert await listed(client) == {"plain": None}
        app.add_tool(adder("none"), name="add")
        assert (await client.call_tool("add")).text == "2 by none"
        app.remove_tool("plain")
        with pytest.raises(KeyError):
            app.remove_tool("plain")


def test_marked_methods_have_versions() -> None:
    class Maths:
        @dovetail.tool(name="add", version="1")
        async def first(self) -> str:
            return "first"

        @dovetail.tool(name="add", version="2")
        async def second(self) -> str:
            return "second"

    class Broken(Maths):
        @dovetail.tool(name="add", version="two words")
        async def third(self) -> str:
            return "third"

    app = calculator("0")
    with pytest.raises(RegistrationError, match="version="):
        app.include(Broken())
    with Client.sync(app) as client:
        assert [tool.meta for tool in client.tools()] == [{VERSION: "0", VERSIONS: ["0"]}]
    app.include(Maths())
    with Client.sync(app) as client:
        assert client.call_tool("add", version="1").text == "first"
        assert client.call_tool("add").text == "second"
