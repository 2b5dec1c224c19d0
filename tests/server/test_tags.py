"""Tags of entries: what transforms choose by, and no client is told."""

import json
from typing import Any

import pytest

from dovetail import App, RegistrationError
from dovetail.providers import hide, only, tag
from wires import Connect

ERAS = ("2025-11-25", "2026-07-28")


def shop() -> App:
    app = App("shop")

    @app.tool(tags=["read", "stock"])
    def count() -> int:
        return 3

    @app.tool(tags={"write"})
    def sell() -> None: ...

    @app.tool
    def plain() -> None: ...

    @app.resource("shop://books", tags=("read",))
    def books() -> str:
        return "books"

    @app.resource("shop://books/{isbn}", tags=["write"])
    def book(isbn: str) -> str:
        return isbn

    @app.prompt(tags=["read"])
    def advise() -> str:
        return "advise"

    return app


async def shown(connect: Connect, app: App, revision: str) -> dict[str, list[str]]:
    wire = await connect(app, revision)
    lists: dict[str, Any] = {
        "tools": await wire.result("tools/list"),
        "resources": await wire.result("resources/list"),
        "templates": await wire.result("resources/templates/list"),
        "prompts": await wire.result("prompts/list"),
    }
    assert "stock" not in json.dumps(lists)
    return {
        "tools": [each["name"] for each in lists["tools"]["tools"]],
        "resources": [each["uri"] for each in lists["resources"]["resources"]],
        "templates": [each["uriTemplate"] for each in lists["templates"]["resourceTemplates"]],
        "prompts": [each["name"] for each in lists["prompts"]["prompts"]],
    }


@pytest.mark.parametrize("revision", ERAS)
async def test_a_mount_shows_what_has_a_tag(connect: Connect, revision: str) -> None:
    app = App("street")
    app.mount(None, shop(), only(tags=["read"]))
    assert await shown(connect, app, revision) == {
        "tools": ["count"],
        "resources": ["shop://books"],
        "templates": [],
        "prompts": ["advise"],
    }


@pytest.mark.parametrize("revision", ERAS)
async def test_tags_stay_through_two_mounts_and_beside_those_of_a_transform(
    connect: Connect, revision: str
) -> None:
    middle, app = App("middle"), App("street")
    middle.mount("m", shop(), tag("mounted"))
    app.mount("s", middle, hide(tags=["write"]), only(tags=["mounted"]))
    found = await shown(connect, app, revision)
    assert found["tools"] == ["s_m_count", "s_m_plain"]
    assert found["templates"] == []


@pytest.mark.parametrize("revision", ERAS)
async def test_an_app_alone_tells_clients_nothing_of_tags(connect: Connect, revision: str) -> None:
    assert (await shown(connect, shop(), revision))["tools"] == ["count", "sell", "plain"]


async def test_an_entry_in_the_place_of_another_has_its_own_tags(connect: Connect) -> None:
    inner = shop()

    @inner.tool(name="count", replace=True)
    def anew() -> int:
        return 4

    app = App("street")
    app.mount(None, inner, only(tags=["read"]))
    assert (await shown(connect, app, ERAS[-1]))["tools"] == []


@pytest.mark.parametrize(
    "tags, told",
    [
        ("read", r"tags is a list of texts: \['read'\]"),
        ([1], "a tag is a text, and 1 is none"),
        ([""], "'' is none"),
    ],
)
def test_what_is_no_tag_is_refused(tags: Any, told: str) -> None:
    app = App("shop")
    with pytest.raises(RegistrationError, match=told):

        @app.tool(tags=tags)
        def count() -> int:
            return 3
