"""An addition to the protocol, from both sides, over every transport: `jobs` is written with public names alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from jobs import CHANGES, NAME, Job, Jobs, for_clients

from dovetail import (
    App,
    Client,
    Context,
    FeatureUnavailable,
    InvalidParams,
    LocalProtocolError,
    MethodNotFound,
    MissingCapability,
    Principal,
    RegistrationError,
    RemoteProtocolError,
)
from dovetail.extensions import (
    ChangeType,
    Extension,
    ExtensionMethod,
    ExtensionNotice,
    InvalidExtension,
    Resolving,
    ResultType,
)
from dovetail.testing import connected, served

GET = "com.example/jobs/get"
COUNT = "com.example/jobs/count"
HURRY = "notifications/com.example/hurry"
STATELESS, STATEFUL = "2026-07-28", "2025-11-25"
pytestmark = pytest.mark.vendor_methods(
    GET, COUNT, HURRY, CHANGES.notification, CHANGES.filter, "com.example/job"
)


def app_with(jobs: Jobs, **options: Any) -> App:
    app = App("shop", extensions=[jobs.extension], **options)

    @app.tool
    async def bake_later(loaves: int) -> str:
        """Bake."""
        await asyncio.sleep(0.02)
        return f"{loaves} loaves"

    @app.tool
    async def bake(loaves: int) -> str:
        """Bake at once."""
        return f"{loaves} loaves"

    return app


Reach = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture(params=["memory", "stdio", "http-json", "http-sse"])
def shop(request: pytest.FixtureRequest) -> tuple[Jobs, Reach]:
    """The jobs of a server, and what makes clients of it."""
    jobs = Jobs()
    return jobs, partial(connected, app_with(jobs), transport=request.param)


async def test_a_further_kind_of_result_is_resolved_by_who_brings_it(shop: tuple[Jobs, Reach]) -> None:
    _, reach = shop
    async with reach(revision=STATELESS, extensions=[for_clients()]) as client:
        assert client.server_capabilities is not None
        assert client.server_capabilities.extensions == {NAME: {"most": 10}}
        assert (await client.call_tool("bake_later", {"loaves": 3})).value == "3 loaves"
        assert (await client.call_tool("bake", {"loaves": 4})).value == "4 loaves"
        assert (await client.request(COUNT))["jobs"] == 1
        job = await client.request(GET, {"jobId": "job-1"}, into=Job)
        assert job.done
        with pytest.raises(InvalidParams, match="job-2"):
            await client.request(GET, {"jobId": "job-2"})


async def test_a_client_that_declared_nothing_never_sees_it(shop: tuple[Jobs, Reach]) -> None:
    _, reach = shop
    async with reach(revision=STATELESS) as client:
        assert (await client.call_tool("bake_later", {"loaves": 3})).value == "3 loaves"
        assert (await client.request(COUNT))["jobs"] == 0
        with pytest.raises(MissingCapability, match=NAME) as refused:
            await client.request(GET, {"jobId": "job-1"})
        assert refused.value.code == -32021
        assert refused.value.required == {"extensions": {NAME: {}}}


async def test_it_does_not_exist_where_it_can_not_be_declared(shop: tuple[Jobs, Reach]) -> None:
    jobs, reach = shop
    async with reach(revision=STATEFUL, extensions=[for_clients()]) as client:
        assert (await client.call_tool("bake_later", {"loaves": 3})).value == "3 loaves"
        assert client.server_capabilities is not None
        assert client.server_capabilities.extensions is None
        with pytest.raises(FeatureUnavailable, match="does not exist in revision 2025-11-25"):
            await client.request(GET, {"jobId": "job-1"})
    async with reach(revision=STATEFUL) as client:
        with pytest.raises(MethodNotFound):
            await client.request(GET, {"jobId": "job-1"})
        await client.notify(HURRY, {"by": 2})
        await client.ping()
    assert jobs.hurried == [{"by": 2}]


async def test_who_listens_hears_of_what_was_asked_for_alone(shop: tuple[Jobs, Reach]) -> None:
    _, reach = shop
    async with (
        reach(revision=STATELESS, extensions=[for_clients()]) as client,
        client.listen(further={"jobIds": ["job-2"]}) as events,
    ):
        assert events.acknowledged.extra == {"jobIds": ["job-2"]}
        await client.call_tool("bake_later", {"loaves": 1})
        await client.call_tool("bake_later", {"loaves": 2})
        async with asyncio.timeout(10):
            change = await anext(events)
        assert (change.kind, change.uri, change.data["done"]) == ("jobs", "job-2", True)


async def test_who_may_not_hear_of_a_thing_is_as_if_there_were_none() -> None:
    asked: list[tuple[bool, str]] = []

    def may_listen(principal: Principal, job: str) -> bool:
        asked.append((principal.is_anonymous, job))
        return job == "job-2"

    app = App("shop", extensions=[Extension(identifier=NAME, changes=[CHANGES], may_listen=may_listen)])
    async with (
        Client(app, revision=STATELESS, extensions=[for_clients()]) as client,
        client.listen(further={"jobIds": ["job-1", "job-2"]}) as events,
    ):
        assert events.acknowledged.extra == {"jobIds": ["job-2"]}
    assert asked == [(True, "job-1"), (True, "job-2")]


async def test_listening_without_declaring_is_refused(shop: tuple[Jobs, Reach]) -> None:
    _, reach = shop
    undeclared = Extension(identifier="com.example/other", changes=[CHANGES])
    async with reach(revision=STATELESS, extensions=[undeclared]) as client:
        with pytest.raises(MissingCapability, match=NAME):
            await client.listen(further={"jobIds": ["job-2"]}).open()
        with pytest.raises(LocalProtocolError, match="bakeryIds"):
            client.listen(further={"bakeryIds": ["1"]})


async def test_its_lifespan_is_around_that_of_the_app() -> None:
    jobs = Jobs()
    seen: list[int] = []

    @asynccontextmanager
    async def life(app: App) -> AsyncIterator[None]:
        seen.append(jobs.entered)
        yield
        seen.append(jobs.entered)

    async with Client(app_with(jobs, lifespan=life)) as client:
        await client.call_tool("bake", {"loaves": 4})
    assert (seen, jobs.entered) == ([1, 1], 0)


async def test_the_name_header_says_what_a_request_is_about_or_is_missing() -> None:
    jobs = Jobs()
    async with served(app_with(jobs)) as url, aiohttp.ClientSession() as http:
        for name, status in (("job-1", 200), ("job-9", 400), ("", 400), (None, 200)):
            answer = await http.post(url, json=_asking("job-1"), headers=_headers(name))
            assert answer.status == status, await answer.text()


def _asking(job: str) -> dict[str, Any]:
    meta = {
        "io.modelcontextprotocol/protocolVersion": STATELESS,
        "io.modelcontextprotocol/clientCapabilities": {"extensions": {NAME: {}}},
    }
    return {"jsonrpc": "2.0", "id": 1, "method": GET, "params": {"jobId": job, "_meta": meta}}


def _headers(name: str | None) -> dict[str, str]:
    plain = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": STATELESS,
        "mcp-method": GET,
    }
    return plain if name is None else {**plain, "mcp-name": name}


async def test_a_result_that_can_not_be_read_is_the_servers_fault() -> None:
    jobs = Jobs()
    unread = ResultType(method="tools/call", name="com.example/job", type=list[int], resolve=_unused)
    async with Client(
        app_with(jobs), revision=STATELESS, extensions=[Extension(identifier=NAME, results=[unread])]
    ) as client:
        with pytest.raises(RemoteProtocolError, match=r"com\.example/job"):
            await client.call_tool("bake_later", {"loaves": 1})


async def test_a_kind_of_result_that_nobody_brings_is_the_servers_fault() -> None:
    jobs = Jobs()
    async with Client(app_with(jobs), revision=STATELESS, extensions={NAME: {}}) as client:
        with pytest.raises(RemoteProtocolError, match="unknown type"):
            await client.call_tool("bake_later", {"loaves": 1})


async def _unused(client: Resolving, value: Any) -> Any:
    raise AssertionError("not reached")


def bring(**parts: Any) -> Extension:
    return Extension(identifier="com.example/bad", **parts)


def handler() -> dict[str, int]:
    """Answer."""
    return {}


def method(name: str) -> ExtensionMethod:
    return ExtensionMethod(name=name, handler=handler)


REFUSED = {
    "no prefix": (lambda: [Extension(identifier="jobs")], "prefix"),
    "twice": (lambda: [bring(), bring()], "twice"),
    "a method of the protocol": (
        lambda: [bring(methods=[ExtensionMethod(name="tools/call", handler=handler)])],
        "tools/call",
    ),
    "a method of another": (
        lambda: [
            bring(methods=[method("a/b")]),
            Extension(identifier="com.example/too", methods=[method("a/b")]),
        ],
        "a/b",
    ),
    "a notification of the protocol": (
        lambda: [
            bring(notices=[ExtensionNotice(name="notifications/progress", sender="client", handler=print)])
        ],
        "notifications/progress",
    ),
    "a wrapper around nothing": (lambda: [bring(wrappers={"no/method": _unused})], "no/method"),
    "a result of nothing": (
        lambda: [bring(results=[ResultType(method="no/method", name="x", resolve=_unused)])],
        "no/method",
    ),
    "a kind that exists": (
        lambda: [bring(changes=[ChangeType(kind="tools", filter="x", notification="y", subject="z")])],
        "tools",
    ),
    "the kind of another": (
        lambda: [bring(changes=[CHANGES]), Extension(identifier="com.example/too", changes=[CHANGES])],
        "jobs",
    ),
    "no revision": (lambda: [bring(revisions=["2027-01-01"])], "2027-01-01"),
    "no extension": (lambda: ["com.example/text"], "com.example/text"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize(
    "side", [partial(App, "x"), partial(Client, "https://x.example/mcp")], ids=["app", "client"]
)
def test_what_can_not_be_is_refused_when_it_is_made(case: str, side: Any) -> None:
    make, named = REFUSED[case]
    with pytest.raises(InvalidExtension, match=named):
        side(extensions=make())


def test_an_app_needs_a_handler_for_each_method() -> None:
    with pytest.raises(RegistrationError, match="no handler for 'a/b'"):
        App("x", extensions=[bring(methods=[ExtensionMethod(name="a/b")])])


def test_a_method_that_an_extension_brings_is_taken() -> None:
    app = App("x", extensions=[bring(methods=[method("a/b")])])
    with pytest.raises(RegistrationError, match="by an extension"):
        app.method("a/b")(handler)


async def test_a_handler_that_fails_is_told_to_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(params: dict[str, Any]) -> None:
        raise RuntimeError("no flour")

    notice = ExtensionNotice(name=HURRY, sender="client", handler=fail)
    app = App("x", extensions=[bring(notices=[notice])])
    async with Client(app, revision=STATEFUL) as client:
        await client.notify(HURRY, {})
        await client.ping()
    assert "no flour" in caplog.text


async def test_notifications_beyond_the_bound_are_dropped(caplog: pytest.LogCaptureFixture) -> None:
    begun: list[int] = []

    async def hang(params: dict[str, Any]) -> None:
        begun.append(1)
        await asyncio.sleep(60)

    notice = ExtensionNotice(name=HURRY, sender="client", handler=hang)
    app = App("x", extensions=[bring(notices=[notice])])
    async with Client(app, revision=STATEFUL) as client:
        for _ in range(300):
            await client.notify(HURRY, {})
        await client.ping()
    assert len(begun) == 256
    assert "was dropped" in caplog.text


def test_the_example_imports_public_names_alone() -> None:
    """What an outsider could not import, no extension needs."""
    source = Path(__file__).with_name("jobs.py").read_text("utf-8")
    modules = {line.split()[1] for line in source.splitlines() if line.startswith("from dovetail")}
    assert modules == {"dovetail", "dovetail.extensions"}


@pytest.mark.parametrize("transport", ["memory", "stdio", "http-json"])
async def test_a_session_hears_of_nothing_that_only_others_can_listen_for(transport: Any) -> None:
    """In revisions without extensions nobody asked for such a change, and none may be told of it."""
    oven = ChangeType(
        kind="ovens", filter="ovenIds", notification="notifications/com.example/oven", subject="ovenId"
    )
    serving: list[Any] = []

    @asynccontextmanager
    async def life(given: Any) -> AsyncIterator[None]:
        serving.append(given)
        yield

    app = App("mill", extensions=[Extension(identifier="com.example/heat", changes=[oven], lifespan=life)])

    @app.tool
    def heat() -> str:
        """Have both kinds of change happen."""
        serving[0].publish(oven.change("left", {"celsius": 220}))
        app.add_tool(lambda: "x", name=f"tool-{len(serving)}", description="One more.", replace=True)
        return "hot"

    heard: list[str] = []
    listed = asyncio.Event()

    def note(notification: Any, *more: Any) -> None:
        heard.append(str(notification))

    async with connected(
        app,
        transport=transport,
        revision=STATEFUL,
        on_notification=note,
        on_change=lambda change: listed.set(),
    ) as client:
        await client.call_tool("heat")
        await asyncio.wait_for(listed.wait(), 10)
    assert not [each for each in heard if "oven" in each]


@pytest.mark.parametrize("revision", ["2024-11-05", "2025-03-26", "2025-06-18", STATEFUL, STATELESS])
async def test_an_extension_may_be_declared_in_the_handshake_too(revision):
    """MCP Apps 2026-01-26, "Client (Host) Capabilities"."""
    app = App("shop")
    seen: list[Any] = []

    @app.tool
    async def look(ctx: Context) -> str:
        """Keep what the client declares."""
        seen.append(ctx.client.capabilities.extensions)
        return "seen"

    given = [
        Extension(identifier="com.example/said", settings={"types": ["a"]}, handshake=True),
        Extension(identifier="com.example/later"),
    ]
    async with connected(app, revision=revision, extensions=given, elicitation=lambda _: None) as client:
        await client.call_tool("look")
    both = {"com.example/said": {"types": ["a"]}, "com.example/later": {}}
    assert seen == [both if revision == STATELESS else {"com.example/said": {"types": ["a"]}}]
