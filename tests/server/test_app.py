"""What an app says in every revision, from the bytes on the wire."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from dovetail import (
    App,
    Context,
    Depends,
    Icon,
    InvalidParams,
    Principal,
    RegistrationError,
    ResourceLink,
    ToolAnnotations,
    ToolError,
    assistant,
    user,
)
from dovetail.extensions import InvalidExtension
from dovetail.protocol.paging import encode_cursor
from dovetail.protocol.revisions import REVISIONS, STATEFUL, STATELESS
from wire_of_server import Wire

EVERY = pytest.mark.parametrize("revision", REVISIONS)


@dataclass
class Forecast:
    city: str
    degrees: float


def _add_resources_and_prompts(app: App) -> None:
    @app.resource("note://{name}", mime_type="text/markdown")
    async def note(name: str) -> str:
        """A note."""
        return f"# {name}"

    @app.resource("data://bytes")
    def blob() -> bytes:
        return b"\x00\x01"

    @app.prompt(title="Review")
    def review(code: str, strict: bool = False) -> list[Any]:
        """Review code."""
        return [user(f"{'strictly ' if strict else ''}review {code}"), assistant("ok")]

    @app.completion("review", "code")
    def codes(typed: str) -> list[str]:
        return [f"{typed}{n}" for n in range(120)]


def make_app() -> App:
    app = App("tested", version="1.2.3", title="Tested", instructions="Be kind.")

    @app.tool(
        title="Weather",
        annotations=ToolAnnotations(read_only_hint=True),
        icons=[Icon(src="https://example.com/i.png")],
        meta={"com.example/tag": 1},
    )
    async def forecast(city: str, days: int = 3) -> Forecast:
        """Forecast the weather.

        Args:
            city: name of the city
            days: how many days ahead
        """
        return Forecast(city, 20.5 + days)

    @app.tool
    def plain(text: str) -> str:
        return text.upper()

    @app.tool
    async def numbers(n: int) -> list[int]:
        return list(range(n))

    @app.tool
    async def link() -> ResourceLink:
        return ResourceLink(uri="note://a", name="a")

    @app.tool
    async def broken() -> str:
        raise RuntimeError("secret detail")

    @app.tool
    async def told() -> str:
        raise ToolError("no such city")

    @app.tool
    async def refused() -> str:
        raise InvalidParams("not today")

    _add_resources_and_prompts(app)
    return app


@EVERY
async def test_opening_tells_who_and_what(revision: str) -> None:
    wire = Wire(make_app(), revision)
    opened = await wire.open()
    capabilities = opened["capabilities"]
    assert {"tools", "resources", "prompts", "logging"} <= set(capabilities)
    assert ("completions" in capabilities) == (revision != "2024-11-05")
    assert opened["instructions"] == "Be kind."
    if wire.stateless:
        assert opened["supportedVersions"] == [*reversed(STATELESS), *reversed(STATEFUL)]
        assert opened["resultType"] == "complete"
        assert opened["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "tested"
    else:
        assert opened["protocolVersion"] == revision
        assert opened["serverInfo"]["version"] == "1.2.3"
        assert ("title" in opened["serverInfo"]) == (revision >= "2025-06-18")
    await wire.close()


@EVERY
async def test_listed_tools_have_what_the_revision_has(revision: str, connect: Any) -> None:
    wire = await connect(make_app(), revision)
    tools = {tool["name"]: tool for tool in (await wire.result("tools/list"))["tools"]}
    tool = tools["forecast"]
    assert tool["description"] == "Forecast the weather."
    assert tool["inputSchema"]["properties"]["city"]["description"] == "name of the city"
    assert tool["inputSchema"]["required"] == ["city"]
    assert ("annotations" in tool) == (revision >= "2025-03-26")
    assert ("title" in tool) == (revision >= "2025-06-18")
    assert ("outputSchema" in tool) == (revision >= "2025-06-18")
    assert ("icons" in tool) == (revision >= "2025-11-25")
    if revision >= "2025-06-18":
        numbers = tools["numbers"]["outputSchema"]
        assert numbers["type"] == ("array" if wire.stateless else "object")


@EVERY
async def test_a_call_gives_text_and_structured_content(revision: str, connect: Any) -> None:
    wire = await connect(make_app(), revision)
    result = await wire.call("forecast", city="Oslo")
    assert result["content"][0]["text"] == '{"city":"Oslo","degrees":23.5}'
    if revision >= "2025-06-18":
        assert result["structuredContent"] == {"city": "Oslo", "degrees": 23.5}
    assert "isError" not in result
    assert (await wire.call("plain", text="a"))["content"] == [{"type": "text", "text": "A"}]
    numbers = await wire.call("numbers", n=2)
    if revision >= "2025-06-18":
        assert numbers["structuredContent"] == ([0, 1] if wire.stateless else {"result": [0, 1]})
    link = (await wire.call("link"))["content"][0]
    assert link["type"] == ("resource_link" if revision >= "2025-06-18" else "text")


@EVERY
async def test_r104_bad_arguments_are_an_error_the_model_can_act_on(revision: str, connect: Any) -> None:
    wire = await connect(make_app(), revision)
    result = await wire.call("forecast", cty="Oslo", days="x")
    assert result["isError"] is True
    text = result["content"][0]["text"]
    assert "city" in text
    assert "days" in text


@EVERY
async def test_errors_of_tools(revision: str, connect: Any) -> None:
    wire = await connect(make_app(), revision)
    broken = await wire.call("broken")
    assert broken["isError"] is True
    assert "secret" not in broken["content"][0]["text"]
    told = await wire.call("told")
    assert told["isError"] is True
    assert told["content"][0]["text"] == "no such city"
    assert (await wire.error("tools/call", {"name": "refused"}))["code"] == -32602
    assert (await wire.error("tools/call", {"name": "absent"}))["code"] == -32602


@EVERY
async def test_resources(revision: str, connect: Any) -> None:
    wire = await connect(make_app(), revision)
    listed = await wire.result("resources/list")
    assert [resource["uri"] for resource in listed["resources"]] == ["data://bytes"]
    templates = await wire.result("resources/templates/list")
    assert [each["uriTemplate"] for each in templates["resourceTemplates"]] == ["note://{name}"]
    read = await wire.result("resources/read", {"uri": "note://a%20b"})
    assert read["contents"] == [{"uri": "note://a%20b", "mimeType": "text/markdown", "text": "# a b"}]
    blob = await wire.result("resources/read", {"uri": "data://bytes"})
    assert blob["contents"][0]["blob"] == "AAE="
    missing = await wire.error("resources/read", {"uri": "note://a/b/c"})
    assert missing["code"] == (-32602 if wire.stateless else -32002)
    if wire.stateless:
        assert read["ttlMs"] == 0
        assert read["cacheScope"] == "private"
        assert listed["cacheScope"] == "public"


@pytest.mark.requirement("R2511-PROMPTS-006", "R2607-PROMPTS-012")
@EVERY
async def test_prompts_and_completion(revision: str, connect: Any) -> None:
    wire = await connect(make_app(), revision)
    prompt = (await wire.result("prompts/list"))["prompts"][0]
    assert [argument["name"] for argument in prompt["arguments"]] == ["code", "strict"]
    got = await wire.result("prompts/get", {"name": "review", "arguments": {"code": "x", "strict": "true"}})
    assert [message["role"] for message in got["messages"]] == ["user", "assistant"]
    assert got["messages"][0]["content"]["text"] == "strictly review x"
    assert (await wire.error("prompts/get", {"name": "review"}))["code"] == -32602
    assert (await wire.error("prompts/get", {"name": "absent"}))["code"] == -32602
    reference = {"type": "ref/prompt", "name": "review"}
    completed = await wire.result(
        "completion/complete", {"ref": reference, "argument": {"name": "code", "value": "c"}}
    )
    assert len(completed["completion"]["values"]) == 100
    assert completed["completion"]["total"] == 120
    assert completed["completion"]["hasMore"] is True


@pytest.mark.requirement(
    "R2511-PAGINATION-002", "R2511-PAGINATION-005", "R2607-LIFECYCLE-043", "R2607-TOOLS-008"
)
@EVERY
async def test_pages(revision: str, connect: Any) -> None:
    app = App("paged", page_size=2)
    for n in range(5):
        app.add_tool(lambda: None, name=f"tool{n}")
    wire = await connect(app, revision)
    seen: list[str] = []
    page = await wire.result("tools/list")
    while True:
        seen += [tool["name"] for tool in page["tools"]]
        if "nextCursor" not in page:
            break
        page = await wire.result("tools/list", {"cursor": page["nextCursor"]})
    assert seen == [f"tool{n}" for n in range(5)]
    for forged in ("", "zzz", "x" * 5000):
        assert (await wire.error("tools/list", {"cursor": forged}))["code"] == -32602


@pytest.mark.hostile
async def test_cursors_that_somebody_made_up_fill_no_memory(connect: Any) -> None:
    """There is no secret in a cursor: one for any place of the list can be made, and what it shows may be seen."""
    app = App("paged", page_size=10)
    for n in range(100):
        app.add_tool(lambda: None, name=f"tool{n}")
    wire = await connect(app, STATELESS[-1])
    binding = b"paged\0tools/list\0"
    for n in range(1, 100):
        made_up = encode_cursor(n, f"tool{n - 1}", binding)
        page = await wire.result("tools/list", {"cursor": made_up})
        assert page["tools"][0]["name"] == f"tool{n}"
        elsewhere = encode_cursor(n, f"tool{(n * 7) % 100}", binding)
        await wire.result("tools/list", {"cursor": elsewhere})
    assert len(app._catalog.tools._pages) <= 10


@EVERY
async def test_progress_reaches_who_asked(revision: str, connect: Any) -> None:
    app = App("progressing")

    @app.tool
    async def work(ctx: Context) -> str:
        for step in (1, 2, 2, 3):
            await ctx.progress(step, 3, "going")
        return "done"

    wire = await connect(app, revision)
    result = await wire.result("tools/call", {"name": "work"}, meta={"progressToken": "t"})
    assert result["content"][0]["text"] == "done"
    seen = [(await wire.next())["params"] for _ in range(3)]
    assert [notice["progress"] for notice in seen] == [1, 2, 3]
    assert all(notice["progressToken"] == "t" for notice in seen)
    assert ("message" in seen[0]) == (revision != "2024-11-05")
    await wire.result("tools/call", {"name": "work"})
    assert wire.inbox.empty()


@EVERY
async def test_logs_reach_who_wants_them(revision: str, connect: Any) -> None:
    app = App("logging")

    @app.tool
    async def talk(ctx: Context) -> str:
        await ctx.log("debug", "quiet")
        await ctx.log("error", {"loud": True}, logger="x")
        return "done"

    wire = await connect(app, revision)
    if wire.stateless:
        await wire.call("talk")
        assert wire.inbox.empty()
        level = {"io.modelcontextprotocol/logLevel": "warning"}
        await wire.result("tools/call", {"name": "talk"}, meta=level)
    else:
        assert await wire.result("logging/setLevel", {"level": "warning"}) == {}
        await wire.call("talk")
    notice = await wire.next()
    assert notice["method"] == "notifications/message"
    assert notice["params"]["data"] == {"loud": True}
    assert wire.inbox.empty()


@pytest.mark.requirement("R2511-PROMPTS-002", "R2511-TOOLS-004")
@pytest.mark.parametrize("revision", STATEFUL)
async def test_changes_are_told_to_sessions(revision: str, connect: Any) -> None:
    app = make_app()
    wire = await connect(app, revision)
    assert await wire.result("resources/subscribe", {"uri": "note://a"}) == {}
    app.resource_updated("note://b")
    app.resource_updated("note://a")
    app.remove_tool("told")
    told = [await wire.next(), await wire.next()]
    assert {notice["method"] for notice in told} == {
        "notifications/resources/updated",
        "notifications/tools/list_changed",
    }
    await wire.result("resources/unsubscribe", {"uri": "note://a"})
    app.resource_updated("note://a")
    app.remove_prompt("review")
    assert (await wire.next())["method"] == "notifications/prompts/list_changed"
    assert (await wire.error("resources/subscribe", {"uri": "absent://a"}))["code"] == -32002


@pytest.mark.parametrize("revision", STATELESS)
@pytest.mark.requirement("R2607-SUBSCRIPTIONS-001", "R2607-SUBSCRIPTIONS-007", "R2607-SUBSCRIPTIONS-008")
async def test_listening_tells_what_was_asked_for(revision: str, connect: Any) -> None:
    app = make_app()
    wire = await connect(app, revision)
    wanted = {"toolsListChanged": True, "resourceSubscriptions": ["note://a"]}
    answer = await wire.start("L", "subscriptions/listen", {"notifications": wanted})
    first = await wire.next()
    assert first["method"] == "notifications/subscriptions/acknowledged"
    assert first["params"]["notifications"] == wanted
    app.remove_prompt("review")
    app.remove_tool("told")
    app.resource_updated("note://b")
    app.resource_updated("note://a")
    told = [await wire.next(), await wire.next()]
    assert [notice["method"] for notice in told] == [
        "notifications/tools/list_changed",
        "notifications/resources/updated",
    ]
    for notice in [first, *told]:
        assert notice["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == "L"
    await app.service.stop()
    ending = await wire.next()
    assert ending["method"] == "notifications/cancelled"
    assert ending["params"]["requestId"] == "L"
    result = (await asyncio.wait_for(answer, 5))["result"]
    assert result["_meta"]["io.modelcontextprotocol/subscriptionId"] == "L"


@EVERY
async def test_dependencies_and_lifespan(revision: str, connect: Any) -> None:
    events: list[str] = []

    @asynccontextmanager
    async def life(app: App) -> AsyncGenerator[dict[str, str]]:
        events.append("up")
        yield {"db": "here"}
        events.append("down")

    app = App("injected", lifespan=life)

    def database(ctx: Context) -> str:
        return ctx.state["db"]

    async def opened(db: Annotated[str, Depends(database)]) -> AsyncGenerator[str]:
        events.append("open")
        yield db + "!"
        events.append("close")

    @app.tool
    async def use(word: str, db: Annotated[str, Depends(opened)], who: Principal) -> str:
        return f"{word} {db} {who.is_anonymous}"

    wire = await connect(app, revision)
    assert (await wire.call("use", word="hi"))["content"][0]["text"] == "hi here! True"
    app.overrides[database] = lambda: "fake"
    assert (await wire.call("use", word="hi"))["content"][0]["text"] == "hi fake! True"
    await app.service.stop()
    assert events == ["up", "open", "close", "open", "close", "down"]


@EVERY
async def test_a_tool_has_its_time(revision: str, connect: Any) -> None:
    app = App("timed")
    ended = asyncio.Event()

    @app.tool(timeout=0.01)
    async def sleepy() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ""

    wire = await connect(app, revision)
    result = await wire.call("sleepy")
    assert result["isError"] is True
    assert "0.01 seconds" in result["content"][0]["text"]
    assert ended.is_set()


@pytest.mark.parametrize("name", ["a b", "a/b", "ä", "x" * 129])
def test_tool_names_that_are_not_allowed(name: str) -> None:
    app = App("named")
    with pytest.raises(RegistrationError, match="not allowed"):
        app.add_tool(make_app, name=name)


@pytest.mark.parametrize("seconds", [0, -1, 0.0, float("nan"), True, "5"])
def test_a_timeout_that_is_no_time_is_refused_where_it_stands(seconds: Any) -> None:
    """Of a tool, a resource, a prompt, a method, and the app: nothing could ever be done in it."""
    told = r"test_app\.py.*timeout= is a number of seconds above zero"
    app = App("timed", timeout=None)
    add = lambda: "done"  # noqa: E731 - one function for all of them
    for register in (
        lambda: app.add_tool(add, name="t", timeout=seconds),
        lambda: app.add_resource(add, "note://a", timeout=seconds),
        lambda: app.add_prompt(add, name="p", timeout=seconds),
        lambda: app.method("com.example/m", timeout=seconds)(add),
        lambda: App("timed", timeout=seconds),
    ):
        with pytest.raises(RegistrationError, match=told):
            register()


def test_registration_errors_name_the_place() -> None:
    app = App("strict")
    with pytest.raises(RegistrationError, match=r"test_app\.py"):

        @app.resource("note://{name}")
        def note(title: str) -> str:
            return title

    app.add_tool(lambda: None, name="twice")
    with pytest.raises(RegistrationError, match="already"):
        app.add_tool(lambda: None, name="twice")
    with pytest.raises(InvalidExtension, match="prefix"):
        App("extended", extensions={"noprefix": {}})
    with pytest.raises(RegistrationError, match="revision"):
        App("future", revisions=["2099-01-01"])
