"""Lists one page at a time, and the order of servers."""

from __future__ import annotations

import pytest
from test_web_access import logged_in, served

from dovetail import App
from dovetail.testing import served as serving
from dovetail_inspector.views import ServerTarget


def paged() -> App:
    """An app of five tools, two on a page, and one of them that a model can't use."""
    app = App("paged", page_size=2)
    for each in range(5):
        app.add_tool(
            lambda: "here", name=f"tool_{each}", description="" if each == 3 else f"This is tool {each}."
        )
    return app


async def connected(inspection, url):
    server = inspection.add("paged", ServerTarget(url=url))
    server.connect()
    await server.connected()
    return server


@pytest.mark.parametrize("kind", ["tools", "resources", "templates", "prompts"])
async def test_a_list_that_the_server_has_none_of_is_asked_for_as_it_is(inspection, kind):
    app = paged()
    app.add_resource(lambda: "x", uri="a://b", description="One.")
    app.add_prompt(lambda: "x", name="one", description="One.")
    async with serving(app.asgi()) as url:
        server = await connected(inspection, url)
        whole = await inspection.listed(server.id, kind)
        page = await inspection.listed_page(server.id, kind)
        assert page.items == whole.items[:2]
        assert whole.next_cursor is None
        assert (page.next_cursor is None) == (len(whole.items) <= 2)


async def test_pages_are_asked_for_one_by_one_with_their_own_notes(inspection):
    async with serving(paged().asgi()) as url:
        server = await connected(inspection, url)
        whole = await inspection.listed(server.id, "tools")
        assert list(whole.notes) == [3]
        before = len(inspection.transcripts["t1"])
        first = await inspection.listed_page(server.id, "tools")
        assert [each["name"] for each in first.items] == ["tool_0", "tool_1"]
        assert first.notes == {}
        second = await inspection.listed_page(server.id, "tools", first.next_cursor)
        assert [each["name"] for each in second.items] == ["tool_2", "tool_3"]
        assert {at: [each.rule for each in notes] for at, notes in second.notes.items()} == {
            1: [each.rule for each in whole.notes[3]]
        }
        last = await inspection.listed_page(server.id, "tools", second.next_cursor)
        assert ([each["name"] for each in last.items], last.next_cursor) == (["tool_4"], None)
        asked = [each for each in list(inspection.transcripts["t1"])[before:] if each.kind == "request"]
        assert [each.method for each in asked] == ["tools/list"] * 3


async def test_the_page_asks_for_pages_and_moves_servers(inspection):
    async with (
        serving(paged().asgi()) as url,
        served(inspection) as (address, access),
        logged_in(address, access) as session,
    ):
        await connected(inspection, url)
        for name in ("b", "c"):
            inspection.add(name, ServerTarget(url=url))
        async with session.get("/api/servers/s1/tools?page=1") as answer:
            first = await answer.json()
        async with session.get(
            "/api/servers/s1/tools", params={"page": "1", "cursor": first["nextCursor"]}
        ) as answer:
            assert [each["name"] for each in (await answer.json())["items"]] == ["tool_2", "tool_3"]
        async with session.get("/api/servers/s1/tools?page=1&cursor=none") as answer:
            assert answer.status == 502
        seen = inspection.events.seq
        for id, by, order in (
            ("s3", -1, ["s1", "s3", "s2"]),
            ("s1", 5, ["s3", "s2", "s1"]),
            ("s3", -1, ["s3", "s2", "s1"]),
        ):
            async with session.post(f"/api/servers/{id}/move", json={"by": by}) as answer:
                assert (await answer.json())["ids"] == order
            async with session.get("/api/state") as answer:
                assert [each["id"] for each in (await answer.json())["servers"]] == order
        async for batch in inspection.events.watch(seen):
            assert batch[0].type == "servers-ordered"
            break
        async with session.post("/api/servers/s9/move", json={"by": 1}) as answer:
            assert answer.status == 404
