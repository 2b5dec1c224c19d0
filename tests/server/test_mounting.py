"""Apps and other providers on an app: names, lists, calls, lives, changes, and what goes wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from msgspec.structs import replace

from dovetail import App, Client, Context, Depends, InvalidParams, RegistrationError
from dovetail.errors import InternalError, LifespanFailed, ResourceNotFound
from dovetail.extensions import Call, Change, Channel
from dovetail.extensions.tasks import tasks
from dovetail.providers import (
    Argument,
    Described,
    Provided,
    ProvidedPage,
    Provider,
    arguments,
    describe,
    hide,
    map_results,
    namespace,
    only,
    rename,
    tag,
    visible,
)
from dovetail.revisions import STATEFUL, STATELESS
from dovetail.testing import served
from dovetail.types import (
    CallToolParams,
    CallToolResult,
    EmbeddedResource,
    GetPromptResult,
    ListToolsResult,
    ResourceContents,
    ResourceLink,
    TextContent,
    Tool,
)

BOTH = pytest.mark.parametrize("revision", [STATELESS[-1], STATEFUL[-1]])
EVERY = pytest.mark.parametrize("revision", [*STATELESS, *STATEFUL])


def said(prompt: GetPromptResult) -> str:
    content = prompt.messages[0].content
    assert isinstance(content, TextContent)
    return content.text


def shop(name: str = "shop", **options: Any) -> App:
    """One of each kind."""
    app = App(name, rate_limit=None, **options)

    @app.tool
    async def find(title: str, limit: int = 2) -> list[str]:
        """Find."""
        return [f"{title} {number}" for number in range(limit)]

    @app.tool
    async def lend(ctx: Context) -> str:
        """Lend."""
        await ctx.progress(1, 2)
        return await ctx.elicit("To whom?", str)

    @app.resource("shop://books")
    async def books() -> str:
        return "Emma"

    @app.resource("shop://book/{number}")
    async def book(number: int) -> str:
        return f"book {number}"

    @app.prompt
    async def review(title: str) -> str:
        return f"Review {title}."

    @app.completion("review", "title")
    async def titles(typed: str) -> list[str]:
        return [f"{typed}ma"]

    @app.completion("shop://book/{number}", "number")
    async def numbers(typed: str) -> list[str]:
        return [f"{typed}0"]

    return app


async def names_of(client: Client) -> list[str]:
    """Everything that a client sees, by name."""
    return [
        *[each.name async for each in client.tools()],
        *[each.uri async for each in client.resources()],
        *[each.uri_template async for each in client.resource_templates()],
        *[each.name async for each in client.prompts()],
    ]


@EVERY
async def test_everything_of_an_app_is_there_under_its_prefix(revision: str) -> None:
    app = App("town")
    app.mount("a", shop())
    reached: list[float] = []
    async with Client(app, revision=revision, elicitation=lambda question: "Ann") as client:
        assert await names_of(client) == [
            "a_find",
            "a_lend",
            "shop://a/books",
            "shop://a/book/{number}",
            "a_review",
        ]
        assert (await client.call_tool("a_find", {"title": "Emma"}, into=list[str])) == ["Emma 0", "Emma 1"]
        found = await client.read("shop://a/books")
        assert (found.contents[0].uri, found.contents[0].text) == ("shop://a/books", "Emma")
        found = await client.read("shop://a/book/7")
        assert (found.contents[0].uri, found.contents[0].text) == ("shop://a/book/7", "book 7")
        assert said(await client.get_prompt("a_review", {"title": "Emma"})) == "Review Emma."
        if revision != "2024-11-05":  # it can't say that it completes
            assert (await client.complete("a_review", "title", "Em")).values == ["Emma"]
            assert (await client.complete("shop://a/book/{number}", "number", "1")).values == ["10"]
        if revision >= "2025-06-18":
            done = await client.call_tool("a_lend", progress=lambda each: reached.append(each.progress))
            assert done.text == "Ann"
            assert reached[:1] == [1]


@BOTH
async def test_what_is_not_there_is_said_as_ever(revision: str) -> None:
    app, plain = App("town"), shop("plain")
    app.mount("a", shop())
    async with Client(app, revision=revision) as client, Client(plain, revision=revision) as alone:
        for name in ("find", "a_", "a_a_find", "b_find", ""):
            with pytest.raises(InvalidParams, match="there is no tool") as here:
                await client.call_tool(name, {"title": "x"})
            with pytest.raises(InvalidParams) as there:
                await alone.call_tool(f"{name}?", {"title": "x"})
            assert here.value.code == there.value.code
        for uri in ("shop://books", "shop://b/books", "shop://a/nothing"):
            with pytest.raises((InvalidParams, ResourceNotFound), match="there is no resource"):
                await client.read(uri)
        with pytest.raises(InvalidParams, match="there is no prompt"):
            await client.get_prompt("review", {"title": "x"})
        with pytest.raises(InvalidParams):
            await client.complete("review", "title", "x")


@BOTH
async def test_apps_are_mounted_on_apps_that_are_mounted(revision: str) -> None:
    inner, middle, outer = shop("inner"), App("middle"), App("outer")
    middle.mount("b", inner)
    outer.mount("c", middle)
    async with Client(outer, revision=revision) as client:
        assert (await names_of(client))[0] == "c_b_find"
        assert (await client.call_tool("c_b_find", {"title": "x", "limit": 1}, into=list[str])) == ["x 0"]
        assert (await client.read("shop://c/b/book/3")).contents[0].uri == "shop://c/b/book/3"


@BOTH
async def test_of_two_with_one_name_the_first_is_listed_and_used(revision: str) -> None:
    def of(who: str) -> App:
        app = App(who)

        @app.tool(name="who")
        async def tell() -> str:
            return who

        @app.tool(name=f"only_{who}")
        async def alone() -> str:
            return who

        return app

    app = of("own")
    app.mount(None, of("first"))
    app.mount(None, of("second"))
    async with Client(app, revision=revision) as client:
        assert [each.name async for each in client.tools()] == [
            "who",
            "only_own",
            "only_first",
            "only_second",
        ]
        assert (await client.call_tool("who")).text == "own"
        app.remove_tool("who")
        assert (await client.call_tool("who")).text == "first"
        assert [each.name async for each in client.tools(fresh=True)] == [
            "only_own",
            "who",
            "only_first",
            "only_second",
        ]


@BOTH
async def test_a_list_goes_through_all_in_pages(revision: str) -> None:
    app = App("town", page_size=3)
    for letter in "ab":
        part = App(letter, page_size=2)
        for number in range(5):
            part.add_tool(_numbered(number), name=f"t{number}")
        app.mount(letter, part)
    app.add_tool(_numbered(9), name="own")
    async with Client(app, revision=revision) as client:
        pages: list[list[str]] = []
        cursor: str | None = None
        while True:
            page = await client.list_tools(cursor)
            pages.append([each.name for each in page.tools])
            cursor = page.next_cursor
            if cursor is None:
                break
        assert [name for page in pages for name in page] == [
            "own",
            *[f"{letter}_t{number}" for letter in "ab" for number in range(5)],
        ]
        assert all(len(page) >= 3 for page in pages[:-1])
        cursor = (await client.list_tools()).next_cursor
        assert cursor is not None
        for bad in ("x", "AAAA", cursor[:-2] + "AA"):
            with pytest.raises(InvalidParams, match="cursor"):
                await client.list_tools(bad, fresh=True)


def _numbered(number: int) -> Callable[[], int]:
    def tool() -> int:
        """Give a number."""
        return number

    return tool


async def test_state_dependencies_and_lifespans_are_each_app_s_own() -> None:
    lived: list[str] = []

    def living(name: str) -> Callable[[App], Any]:
        @asynccontextmanager
        async def life(app: App) -> AsyncGenerator[str]:
            lived.append(f"+{name}")
            yield name
            lived.append(f"-{name}")

        return life

    def given() -> str:
        return "real"

    inner, outer = App("inner", lifespan=living("inner")), App("outer", lifespan=living("outer"))
    inner.overrides[given] = lambda: "fake"

    @inner.tool(name="whose")
    async def of_inner(ctx: Context, found: Annotated[str, Depends(given)]) -> str:
        return f"{ctx.state} {found}"

    @outer.tool(name="whose")
    async def of_outer(ctx: Context, found: Annotated[str, Depends(given)]) -> str:
        return f"{ctx.state} {found}"

    outer.mount("in", inner)
    async with Client(outer) as client, Client(inner) as other:
        assert (await client.call_tool("whose")).text == "outer real"
        assert (await client.call_tool("in_whose")).text == "inner fake"
        assert (await other.call_tool("whose")).text == "inner fake"
        assert lived == ["+inner", "+outer"]
    assert lived == ["+inner", "+outer", "-outer", "-inner"]


async def test_a_lifespan_that_fails_is_named() -> None:
    @asynccontextmanager
    async def broken(app: App) -> AsyncGenerator[None]:
        raise OSError("no database")
        yield

    inner, outer = App("inner", lifespan=broken), App("outer")
    outer.mount("in", inner)
    with pytest.raises(LifespanFailed, match="inner"):
        async with Client(outer) as client:
            await client.ping()


@BOTH
async def test_middleware_of_both_is_passed_and_may_leave_out(revision: str) -> None:
    seen: list[str] = []

    async def outer_layer(call: Call, channel: Channel, handler: Any) -> Any:
        seen.append(f"outer {call.method} {getattr(call.params, 'name', '')}")
        return await handler(call, channel)

    async def inner_layer(call: Call, channel: Channel, handler: Any) -> Any:
        seen.append(f"inner {call.method} {getattr(call.params, 'name', '')}")
        result = await handler(call, channel)
        if isinstance(result, ListToolsResult):
            kept = [replace(each, title="Seen") for each in result.tools if each.name != "lend"]
            return replace(result, tools=kept)
        return result

    inner, outer = shop(middleware=[inner_layer]), App("outer", middleware=[outer_layer])
    outer.mount("in", inner)
    async with Client(outer, revision=revision) as client:
        assert [(each.name, each.title) async for each in client.tools()] == [("in_find", "Seen")]
        with pytest.raises(InvalidParams, match="there is no tool"):
            await client.call_tool("in_lend")
        seen.clear()
        await client.call_tool("in_find", {"title": "x"})
    assert [each for each in seen if "call" in each] == ["outer tools/call in_find", "inner tools/call find"]


@BOTH
async def test_who_listens_hears_of_what_is_mounted(revision: str) -> None:
    inner, outer = shop(), App("outer")
    outer.mount("in", inner)
    async with (
        asyncio.timeout(10),
        Client(outer, revision=revision) as client,
        client.listen(tools=True, resources=["shop://in/books"]) as changes,
    ):
        inner.resource_updated("shop://books")
        assert (await anext(changes)).uri == "shop://in/books"
        inner.add_tool(_numbered(3), name="three")
        assert (await anext(changes)).kind == "tools"
        assert "in_three" in [each.name async for each in client.tools()]


async def test_a_question_s_answer_is_good_at_any_process_that_has_the_keys() -> None:
    keys = ["k" * 32]

    def made() -> App:
        app = App("town", keys=keys)
        app.mount("a", shop())
        return app

    one, other = made(), made()
    capable: dict[str, Any] = {"elicitation": lambda question: "Ann"}
    async with Client(one, **capable) as first, Client(other, **capable) as second:
        asked = await first.request("tools/call", {"name": "a_lend", "arguments": {}})
        (key,) = asked["inputRequests"]
        done = await second.request(
            "tools/call",
            {
                "name": "a_lend",
                "arguments": {},
                "requestState": asked["requestState"],
                "inputResponses": {key: {"action": "accept", "content": {"value": "Ann"}}},
            },
        )
        assert done["content"][0]["text"] == "Ann"


async def test_mounted_tools_run_as_tasks_where_both_have_them() -> None:
    inner, outer = App("inner", extensions=[tasks()]), App("outer", extensions=[tasks()])

    @inner.tool(task="required")
    async def sew(ctx: Context) -> str:
        return f"sewn by {await ctx.elicit('Who?', str)}"

    outer.mount("in", inner)
    async with Client(outer, extensions=[tasks()], elicitation=lambda question: "Ann") as client:
        started = await client.start_tool("in_sew")
        assert started.id
        assert (await started.result()).text == "sewn by Ann"
    bare = App("bare")
    with pytest.raises(RegistrationError, match="'x_sew' of inner may run as a task") as refused:
        bare.mount("x", inner)
    assert "extensions=[tasks()]" in str(refused.value)


@BOTH
async def test_transforms_change_what_is_shown_and_what_is_used(revision: str) -> None:
    def louder(result: CallToolResult) -> CallToolResult:
        texts = [each.text for each in result.content if isinstance(each, TextContent)]
        return replace(result, content=[TextContent(text=text.upper()) for text in texts])

    app = App("town")
    app.mount(
        "a",
        shop(),
        hide("lend"),
        arguments(
            "find",
            title=Argument(name="words", description="Words.", default="Emma"),
            limit=Argument(value=lambda who: 1),
        ),
        rename({"find": "search"}),
        rename({"review": "judge"}, kind="prompts"),
        rename({"shop://books": "shop://all"}, kind="resources"),
        describe({"search": Described(title="Search"), "judge": "Judge it."}),
        map_results(louder, "search"),
    )
    async with Client(app, revision=revision) as client:
        assert await names_of(client) == ["a_search", "shop://a/all", "shop://a/book/{number}", "a_judge"]
        tool = await anext(client.tools())
        assert (tool.title, tool.input_schema["properties"]["words"]["description"]) == ("Search", "Words.")
        assert set(tool.input_schema["properties"]) == {"words"}
        assert not tool.input_schema.get("required")
        assert (await client.call_tool("a_search")).text == '["EMMA 0"]'
        assert (await client.call_tool("a_search", {"words": "y"})).text == '["Y 0"]'
        for given in ({"limit": 3}, {"title": "y"}):
            assert "THERE IS NO ARGUMENT" in (await client.call_tool("a_search", given)).text
        assert (await client.read("shop://a/all")).contents[0].uri == "shop://a/all"
        with pytest.raises((InvalidParams, ResourceNotFound), match="there is no resource"):
            await client.read("shop://a/books")
        assert said(await client.get_prompt("a_judge", {"title": "x"})) == "Review x."
        assert (await client.complete("a_judge", "title", "Em")).values == ["Emma"]
        for gone in ("a_find", "a_lend", "search", "a_review"):
            with pytest.raises(InvalidParams):
                await client.call_tool(gone, {})


@BOTH
async def test_what_is_hidden_can_t_be_used(revision: str) -> None:
    def fails(thing: Provided, who: Any) -> bool:
        if thing.name == "lend":
            raise KeyError(thing.name)
        return True

    for transform, left in (
        (only("find", "shop://book*", kind=None), ["find", "shop://books", "shop://book/{number}"]),
        (only("f*", kind="tools"), ["find", "shop://books", "shop://book/{number}", "review"]),
        (hide("shop://*", "find"), ["lend", "review"]),
        (visible(lambda thing, who: thing.name == "review"), ["review"]),
        (visible(fails), ["find", "shop://books", "shop://book/{number}", "review"]),
    ):
        app = App("town")
        app.mount(None, shop(), transform)
        async with Client(app, revision=revision, elicitation=lambda question: "Ann") as client:
            assert await names_of(client) == left
            uses: dict[str, Callable[[], Any]] = {
                "find": lambda c=client: c.call_tool("find", {"title": "x"}),
                "lend": lambda c=client: c.call_tool("lend"),
                "shop://books": lambda c=client: c.read("shop://books"),
                "shop://book/{number}": lambda c=client: c.read("shop://book/1"),
                "review": lambda c=client: c.get_prompt("review", {"title": "x"}),
            }
            for name, use in uses.items():
                if name in left:
                    await use()
                else:
                    with pytest.raises((InvalidParams, ResourceNotFound)):
                        await use()


async def test_tags_choose() -> None:
    app = App("town")
    app.mount("a", shop(), tag("old", "x"), hide(tags={"old"}))
    app.mount("b", shop(), tag("new"), only(tags={"new"}))
    async with Client(app) as client:
        assert {each.name async for each in client.tools()} == {"b_find", "b_lend"}
    with pytest.raises(ValueError, match="list of texts"):
        hide(tags="old")


async def test_resources_that_results_name_have_the_prefix_too() -> None:
    inner, outer = App("inner"), App("outer")

    @inner.tool
    async def links() -> CallToolResult:
        return CallToolResult(
            content=[
                ResourceLink(uri="shop://books", name="books"),
                EmbeddedResource(resource=ResourceContents(uri="shop://books", text="Emma")),
                TextContent(text="shop://books"),
            ]
        )

    outer.mount("in", inner)
    async with Client(outer) as client:
        link, embedded, text = (await client.call_tool("in_links")).content
        assert isinstance(link, ResourceLink)
        assert isinstance(embedded, EmbeddedResource)
        assert isinstance(text, TextContent)
        assert (link.uri, embedded.resource.uri, text.text) == (
            "shop://in/books",
            "shop://in/books",
            "shop://books",
        )


class Rows(Provider):
    """Tools from a table, in pages of two, for whom they are."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)
        self.fails: Exception | None = None
        self.tell: Callable[[Change], None] = lambda change: None

    @asynccontextmanager
    async def _life(self, publish: Callable[[Change], None]) -> AsyncGenerator[None]:
        self.tell = publish
        yield

    def life(self, publish: Callable[[Change], None]) -> Any:
        return self._life(publish)

    async def list_tools(self, call: Call, channel: Channel, cursor: str | None) -> ProvidedPage[Tool]:
        if self.fails is not None:
            raise self.fails
        start = int(cursor or 0)
        return ProvidedPage(
            [self._made(name) for name in self.names[start : start + 2]],
            str(start + 2) if start + 2 < len(self.names) else None,
        )

    def _made(self, name: str) -> Provided[Tool]:
        async def answer(call: Call, channel: Channel) -> CallToolResult:
            assert isinstance(call.params, CallToolParams)
            return CallToolResult(content=[TextContent(text=call.params.name)])

        header = {"type": "string", "x-mcp-header": "Region"}
        schema = {"type": "object", "properties": {"region": header}}
        return Provided(described=Tool(name=name, input_schema=schema), answer=answer)


@BOTH
async def test_a_provider_that_has_to_be_asked(revision: str) -> None:
    rows, app = Rows("a", "b", "c", "d", "e"), App("town", page_size=3)
    app.mount("r", rows)
    async with Client(app, revision=revision) as client:
        assert [each.name async for each in client.tools()] == [f"r_{name}" for name in "abcde"]
        assert (await client.call_tool("r_e")).text == "e"
        async with asyncio.timeout(10), client.listen(tools=True) as changes:
            rows.names.append("f")
            rows.tell(Change("tools"))
            assert (await anext(changes)).kind == "tools"
            assert "r_f" in [each.name async for each in client.tools()]


@BOTH
async def test_a_provider_that_fails_costs_itself_alone(
    revision: str, caplog: pytest.LogCaptureFixture
) -> None:
    rows, app = Rows("a"), App("town")
    app.mount("r", rows)
    app.mount("s", shop())
    async with Client(app, revision=revision) as client:
        rows.fails = OSError("the table is gone\x1b[2J")
        with caplog.at_level(logging.WARNING):
            page = await client.list_tools()
        assert [each.name for each in page.tools] == ["s_find", "s_lend"]
        assert page.ttl_ms in (None, 0)
        assert "Rows: its tools are not listed" in caplog.text
        assert "\x1b" not in caplog.text
        assert (await client.call_tool("s_find", {"title": "x", "limit": 1}, into=list[str])) == ["x 0"]
        with pytest.raises(InternalError, match="Rows: it failed"):
            await client.call_tool("r_a")
        rows.fails = InvalidParams("not now")
        with pytest.raises(InvalidParams, match="not now"):
            await client.call_tool("r_a")
        rows.fails = None
        assert [each.name async for each in client.tools()] == ["r_a", "s_find", "s_lend"]
        assert (await client.call_tool("r_a")).text == "a"


async def test_a_tool_that_says_wrongly_what_headers_repeat_is_called_all_the_same() -> None:
    class Wrong(Rows):
        def _made(self, name: str) -> Provided[Tool]:
            schema = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "a b"}}}
            return replace(super()._made(name), described=Tool(name=name, input_schema=schema))

    app = App("town")
    app.mount("r", Wrong("a"))
    async with served(app) as url, Client(url, revision=STATELESS[-1]) as client:
        given = {"name": "r_a", "arguments": {"region": "north"}}
        answer = await client.request("tools/call", given)
        assert answer["content"] == [{"type": "text", "text": "a"}]


async def test_a_provider_that_gives_the_same_cursor_again_ends() -> None:
    class Endless(Rows):
        async def list_tools(self, call: Call, channel: Channel, cursor: str | None) -> ProvidedPage[Tool]:
            return ProvidedPage([], "again")

    app = App("town")
    app.mount("r", Endless())
    app.mount("s", shop())
    async with asyncio.timeout(10), Client(app) as client:
        assert [each.name async for each in client.tools()] == ["s_find", "s_lend"]
        with pytest.raises(InvalidParams, match="there is no tool"):
            await client.call_tool("r_x")


async def test_what_can_t_be_mounted_is_refused_where_it_stands() -> None:
    app = App("town")
    around = App("around")
    around.mount("town", app)
    for what, prefix, said in (
        (app, "a", "on itself"),
        (around, "a", "on itself"),
        (object(), "a", "no app and no Provider"),
        (shop(), "a b", "letters, digits"),
        (shop(), "", "letters, digits"),
        (shop(), "-a", "letter or a digit"),
    ):
        with pytest.raises(RegistrationError, match=said) as refused:
            app.mount(prefix, what)  # pyright: ignore[reportArgumentType] - the mistakes
        assert "test_mounting.py:" in str(refused.value)
    async with Client(app) as client:
        await client.ping()
        with pytest.raises(RegistrationError, match="before the app runs"):
            app.mount("a", shop())
    with pytest.raises(ValueError, match="one name"):
        rename({"a": "c", "b": "c"})
    with pytest.raises(ValueError, match="prefix"):
        namespace("a/b")


class AtHand(Provider):
    """A provider whose tools can be given at once, and are counted where they have to be looked for."""

    def __init__(self, *given: Provided[Any], certain: bool = True) -> None:
        self.given = given
        self.certain = certain
        self.sought = 0

    async def tool_versions(self, call: Call, channel: Channel, name: str) -> list[Provided[Any]]:
        self.sought += 1
        return [each for each in self.given if each.name == name]

    def tool_at_hand(self, call: Call, channel: Channel, name: str) -> Provided[Tool] | None:
        return next((each for each in self.given if each.name == name), None) if self.certain else None


def saying(text: str, version: str | None = None) -> Provided[Any]:
    async def answer(call: Call, channel: Channel) -> CallToolResult:
        return CallToolResult(content=[TextContent(text=text)])

    return Provided(
        described=Tool(name="say", input_schema={"type": "object"}), answer=answer, version=version
    )


@BOTH
@pytest.mark.parametrize(
    "first,second,said,sought",
    [
        ([AtHand(saying("1"))], AtHand(saying("2")), "1", 0),
        ([AtHand()], AtHand(saying("2")), "2", 2),  # the first may have one, and is asked
        ([AtHand(saying("1"), certain=False)], AtHand(saying("2")), "1", 1),
        ([AtHand(saying("1", "1"))], AtHand(saying("2", "2")), "2", 2),  # there may be higher versions
    ],
    ids=["at hand", "not there", "not certain", "versions"],
)
async def test_a_tool_that_is_at_hand_is_the_one_that_would_be_found(
    first: list[AtHand], second: AtHand, said: str, sought: int, revision: str
) -> None:
    app = App("town")
    before = sum(each.sought for each in (*first, second))
    for each in (*first, second):
        app.mount(None, each)
    async with Client(app, revision=revision) as client:
        assert (await client.call_tool("say")).text == said
    assert sum(each.sought for each in (*first, second)) - before == sought


async def test_a_tool_at_hand_is_not_taken_for_a_version_that_is_asked_for() -> None:
    one = AtHand(saying("1"))
    app = App("town")
    app.mount(None, one)
    async with Client(app) as client:
        with pytest.raises(InvalidParams, match="in the version '2'"):
            await client.call_tool("say", version="2")
    assert one.sought == 1
