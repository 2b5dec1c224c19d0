"""What was once wrong where apps and providers are composed, each by itself."""

import asyncio
from typing import Any

import pytest
from visible_apps import ID, Built, CallerWire, EntrySpec, FromDatabase, SourceSpec

from dovetail import App
from dovetail.providers import Argument, arguments, only
from dovetail.security.principal import Principal
from wires import Connect

ERAS = ("2025-11-25", "2026-07-28")
ADA = Principal("https://id.example", "ada")


def database(*entries: EntrySpec, page_size: int = 1000) -> FromDatabase:
    return FromDatabase([(each, each.name) for each in entries], page_size)


@pytest.mark.parametrize("revision", ERAS)
async def test_a_uri_that_fits_an_earlier_template_is_that_ones(connect: Connect, revision: str) -> None:
    app = App("outer")

    @app.resource("r://{name}")
    def own(name: str) -> str:
        return f"own {name}"

    app.mount(None, database(EntrySpec("resources", "r://1"), EntrySpec("resources", "urn:one")))
    wire = await connect(app, revision)
    listed = (await wire.result("resources/list"))["resources"]
    assert [each["uri"] for each in listed] == ["urn:one"]
    assert (await wire.result("resources/read", {"uri": "r://1"}))["contents"][0]["text"] == "own 1"


@pytest.mark.parametrize("revision", ERAS)
@pytest.mark.parametrize("mounted", [False, True], ids=["its own", "of what is mounted first"])
async def test_a_template_that_is_not_listed_reads_nothing(revision: str, mounted: bool) -> None:
    """The same template is there before it: nor does it answer for what that one's owner hides."""
    first = App("first")

    @first.resource("r://{name}")
    def shown(name: str) -> str:
        return f"shown {name}"

    @first.resource("r://secret", allow=lambda _caller: False)
    def secret() -> str:
        return "secret"

    app = App("outer") if mounted else first
    if mounted:
        app.mount(None, first)
    app.mount(None, database(EntrySpec("templates", "r://{name}"), EntrySpec("templates", "r://a/{name}")))
    wire = CallerWire(app, revision, "http", ADA)
    await wire.open()
    listed = (await wire.result("resources/templates/list"))["resourceTemplates"]
    assert [each["uriTemplate"] for each in listed] == ["r://{name}", "r://a/{name}"]
    assert (await wire.result("resources/read", {"uri": "r://1"}))["contents"][0]["text"] == "shown 1"
    assert "error" in await wire.request("resources/read", {"uri": "r://secret"})
    assert "result" in await wire.request("resources/read", {"uri": "r://a/b"})
    await wire.close()
    await app.service.stop()


@pytest.mark.parametrize("revision", ERAS)
async def test_a_thing_that_a_provider_has_twice_is_listed_once(connect: Connect, revision: str) -> None:
    app = App("outer")
    app.mount(
        None, FromDatabase([(EntrySpec("tools", "t1"), "one"), (EntrySpec("tools", "t1"), "two")], 1000)
    )
    wire = await connect(app, revision)
    tools = (await wire.result("tools/list"))["tools"]
    assert [each["_meta"][ID] for each in tools] == ["one"]
    assert (await wire.call("t1"))["content"][0]["text"] == "one"


@pytest.mark.parametrize("revision", ERAS)
async def test_arguments_that_another_transform_took_away_are_left_alone(
    connect: Connect, revision: str
) -> None:
    inner, app = App("inner"), App("outer")

    @inner.tool
    def add(x: int, y: int = 1) -> int:
        return x + y

    app.mount(None, inner, arguments("add", x=Argument(value=2)), arguments("add", x=Argument(default=5)))
    wire = await connect(app, revision)
    assert (await wire.call("add", y=3))["content"][0]["text"] == "5"


async def test_what_a_mounted_resource_gives_has_cache_hints(connect: Connect) -> None:
    app = App("outer")
    app.mount(None, database(EntrySpec("resources", "r://1")))
    result = await (await connect(app, ERAS[-1])).result("resources/read", {"uri": "r://1"})
    assert (result["ttlMs"], result["cacheScope"]) == (0, "private")


@pytest.mark.parametrize("revision", ERAS)
async def test_a_template_is_completed_by_its_own_name_alone(connect: Connect, revision: str) -> None:
    app = App("outer")
    app.mount(None, database(EntrySpec("templates", "u://p/{+rest}", completes=True)))
    wire = await connect(app, revision)
    argument = {"name": "rest", "value": ""}
    ref = {"type": "ref/resource", "uri": "u://p/{+rest}"}
    found = await wire.result("completion/complete", {"ref": ref, "argument": argument})
    assert found["completion"]["values"] == ["u://p/{+rest}"]
    told = await wire.error("completion/complete", {"ref": {**ref, "uri": "u://p/x"}, "argument": argument})
    assert told["code"] == -32602


@pytest.mark.parametrize("revision", ERAS)
@pytest.mark.parametrize(
    "method, params",
    [
        ("tools/call", {"name": "t1", "arguments": {}}),
        ("prompts/get", {"name": "p1"}),
        ("resources/read", {"uri": "r://1"}),
        (
            "completion/complete",
            {"ref": {"type": "ref/prompt", "name": "p1"}, "argument": {"name": "topic", "value": ""}},
        ),
    ],
)
async def test_scopes_of_a_provider_are_demanded(revision: str, method: str, params: dict[str, Any]) -> None:
    entries = (
        EntrySpec("tools", "t1", "a"),
        EntrySpec("prompts", "p1", "a", completes=True),
        EntrySpec("resources", "r://1", "a"),
    )
    app = App("outer", rate_limit=None)
    app.mount(None, database(*entries))
    wires = [
        CallerWire(app, revision, "http", who)
        for who in (ADA, Principal(ADA.issuer, "ada", scopes=frozenset("a")))
    ]
    for wire in wires:
        await wire.open()
    used = {"tools/call": "t1", "resources/read": "r://1"}.get(method, "p1")
    assert [await wire.use(method, params) for wire in wires] == ["scopes", used]
    for wire in wires:
        await wire.close()
    await app.service.stop()


@pytest.mark.parametrize("hidden", [False, True], ids=["of what stands behind another", "of what is hidden"])
async def test_a_listener_is_asked_for_no_scopes_of_what_it_would_not_read(hidden: bool) -> None:
    app = App("outer", rate_limit=None)
    if not hidden:
        app.mount(None, database(EntrySpec("resources", "r://1")))
    guarded = database(EntrySpec("resources", "r://1", "a"))
    app.mount(None, guarded, *((only("t1"),) if hidden else ()))
    wire = CallerWire(app, "2026-07-28", "http", ADA)
    await wire.open()
    await wire.hear_of(["r://1"])
    await wire.close()
    await app.service.stop()


@pytest.mark.parametrize("revision", ERAS)
async def test_nobody_hears_that_what_was_hidden_was_removed(revision: str) -> None:
    built = Built(SourceSpec((EntrySpec("tools", "t1", "root"), EntrySpec("tools", "t2")), 1000))
    wire = CallerWire(built.app, revision, "http", ADA)
    await wire.open()
    await wire.listen()
    built.app.remove_tool("t1")
    for _ in range(100):  # there is nothing to wait for but other tasks
        await asyncio.sleep(0)
    assert "tools" not in wire.heard()
    built.app.remove_tool("t2")
    assert (await wire.next())["method"] == "notifications/tools/list_changed"
    await wire.close()
    await built.app.service.stop()


async def test_a_provider_with_endless_empty_pages_ends(connect: Connect) -> None:
    class Endless(FromDatabase):
        async def list_tools(self, call: Any, channel: Any, cursor: str | None) -> Any:
            from dovetail.providers import ProvidedPage

            return ProvidedPage([], str(int(cursor or 0) + 1))

    app = App("outer")
    app.mount(None, Endless([], 1))
    answer = await (await connect(app, ERAS[-1])).result("tools/list")
    assert answer["tools"] == []
    assert "nextCursor" in answer
