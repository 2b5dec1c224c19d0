"""Who sees what of a proxy, or of an app whose middleware hides something: listed, read and heard of alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace
from visible_apps import CallerWire

from dovetail import App
from dovetail.protocol.call import Call
from dovetail.protocol.types import ListResourcesResult, ListResourceTemplatesResult
from dovetail.providers import Provided, hide, namespace, visible
from dovetail.proxy import ProxyProvider
from dovetail.runtime.channel import Channel
from dovetail.runtime.dispatch import Handler
from dovetail.security.principal import Principal

ERAS = ("2025-11-25", "2026-07-28")
ADA = Principal("https://id.example", "ada")
ROOT = Principal("https://id.example", "root")
OPEN, SECRET, PAGE, CHILD = "note://open", "note://secret", "page://1", "note://secret/part"


def page(number: str) -> str:
    return number


def notes(*middleware: Any) -> App:
    """What is secret says so in its title, which a read does not name."""
    app = App("notes", rate_limit=None, middleware=middleware)
    app.add_resource(lambda: "open", OPEN, title="Open")
    app.add_resource(lambda: "secret", SECRET, title="Secret")
    app.add_resource(page, "page://{number}", title="Secret")
    return app


def sees(found: Provided[Any], who: Principal | None) -> bool:
    return found.described.title != "Secret" or who is None or who.subject == "root"


async def for_root_alone(call: Call, channel: Channel, handler: Handler) -> Any:
    result = await handler(call, channel)
    if channel.principal.subject == "root":
        return result
    if isinstance(result, ListResourcesResult):
        return replace(result, resources=[each for each in result.resources if each.title != "Secret"])
    if isinstance(result, ListResourceTemplatesResult):
        shown = [each for each in result.resource_templates if each.title != "Secret"]
        return replace(result, resource_templates=shown)
    return result


def behind_visible(inner: App) -> App:
    app = App("outer", rate_limit=None)
    app.mount(None, ProxyProvider(inner), visible(sees))
    return app


def behind_names(inner: App) -> App:
    app = App("outer", rate_limit=None)
    app.mount(None, ProxyProvider(inner).transformed(namespace("in"), visible(sees)))
    return app


def behind_an_app(inner: App) -> App:
    app, middle = App("outer", rate_limit=None), App("middle", middleware=[for_root_alone])
    middle.mount(None, ProxyProvider(inner))
    app.mount(None, middle)
    return app


def with_middleware(inner: App) -> App:
    app, middle = App("outer", rate_limit=None), App("middle", middleware=[for_root_alone])
    middle.mount(None, inner)
    app.mount(None, middle)
    return app


WAYS = [behind_visible, behind_names, behind_an_app, with_middleware]


def shown_as(uri: str, way: Callable[[App], App]) -> str:
    return uri.replace("://", "://in/") if way is behind_names else uri


@pytest.mark.hostile
@pytest.mark.parametrize("revision", ERAS)
@pytest.mark.parametrize("way", WAYS)
async def test_what_is_hidden_by_more_than_its_uri_can_t_be_read(
    way: Callable[[App], App], revision: str
) -> None:
    app = way(notes())
    uris = {uri: shown_as(uri, way) for uri in (OPEN, SECRET, PAGE)}
    for who, expected in ((ADA, [OPEN]), (ROOT, [OPEN, SECRET, PAGE])):
        wire = CallerWire(app, revision, "http", who)
        await wire.open()
        listed = {each["uri"] for each in await wire.listed("resources")}
        assert listed == {uris[uri] for uri in expected if uri != PAGE}
        read = [uri for uri, shown in uris.items() if await wire.use("resources/read", {"uri": shown})]
        assert read == expected
        await wire.close()
    await app.service.stop()


@pytest.mark.hostile
@pytest.mark.parametrize("revision", ERAS)
@pytest.mark.parametrize("way", WAYS)
async def test_nobody_hears_of_what_it_can_t_see(way: Callable[[App], App], revision: str) -> None:
    inner = notes()
    app = way(inner)
    uris = {shown_as(uri, way): uri for uri in (OPEN, SECRET, PAGE, CHILD)}
    wires = {who.subject: CallerWire(app, revision, "http", who) for who in (ADA, ROOT)}
    for wire in wires.values():
        await wire.open()
        if wire.stateless:
            wanted = {"notifications": {"resourceSubscriptions": [uri for uri in uris if uris[uri] != CHILD]}}
            await wire.start("listening", "subscriptions/listen", wanted)
            assert (await wire.next())["method"] == "notifications/subscriptions/acknowledged"
        else:
            for uri in uris:
                await wire.request("resources/subscribe", {"uri": uri})
    for _ in range(2):  # the second time it is known
        for uri in (SECRET, PAGE, CHILD):
            inner.resource_updated(uri)
        assert {uris[(await wires["root"].next())["params"]["uri"]] for _ in range(3)} == {
            SECRET,
            PAGE,
            CHILD,
        }
    inner.resource_updated(OPEN)
    for wire in wires.values():  # the first that she hears
        assert uris[(await wire.next())["params"]["uri"]] == OPEN
    for wire in wires.values():
        await wire.close()
    await app.service.stop()


async def test_what_no_list_names_is_read_by_its_uri() -> None:
    """A result of a tool may name it."""

    async def unlisted(call: Call, channel: Channel, handler: Handler) -> Any:
        result = await handler(call, channel)
        return replace(result, resources=[]) if isinstance(result, ListResourcesResult) else result

    app = App("outer", rate_limit=None)
    app.mount(None, ProxyProvider(notes(unlisted)), visible(sees), hide("note://secret"))
    wire = CallerWire(app, ERAS[1], "http", ADA)
    await wire.open()
    assert await wire.use("resources/read", {"uri": OPEN}) == "open"
    assert await wire.use("resources/read", {"uri": SECRET}) == ""
    assert await wire.use("resources/read", {"uri": PAGE}) == ""
    await wire.close()
    await app.service.stop()


@pytest.mark.hostile
async def test_a_hidden_template_is_not_read() -> None:
    app = App("outer", rate_limit=None)
    app.mount(None, ProxyProvider(notes()), hide("page://{number}"))
    wire = CallerWire(app, ERAS[1], "http", ADA)
    await wire.open()
    assert await wire.use("resources/read", {"uri": PAGE}) == ""
    assert await wire.use("resources/read", {"uri": OPEN}) == "open"
    await wire.close()
    await app.service.stop()


async def test_who_hears_is_asked_once_for_as_long_as_the_list_stays() -> None:
    inner, asked = notes(), 0

    def counted(found: Provided[Any], who: Principal | None) -> bool:
        nonlocal asked
        asked += found.name == OPEN
        return True

    app = App("outer", rate_limit=None)
    app.mount(None, ProxyProvider(inner), visible(counted))
    wire = CallerWire(app, ERAS[1], "http", ADA)
    await wire.open()
    await wire.start(
        "listening", "subscriptions/listen", {"notifications": {"resourceSubscriptions": [OPEN]}}
    )
    await wire.next()
    for _ in range(3):
        inner.resource_updated(OPEN)
        assert (await wire.next())["params"]["uri"] == OPEN
    assert asked == 1
    inner.add_resource(lambda: "new", "note://new")
    async with asyncio.timeout(10):
        while asked == 1:
            inner.resource_updated(OPEN)
            await wire.next()
    await wire.close()
    await app.service.stop()
