"""What is asked and told only where the client declared it, and what nobody may be asked."""

import asyncio
from typing import Any

import pytest

from dovetail import App, Context, ElicitURL
from dovetail.errors import LocalProtocolError
from dovetail.revisions import REVISIONS, STATEFUL, STATELESS
from wires import Connect

EVERY = pytest.mark.parametrize("revision", REVISIONS)
WITH_CONTEXT = ("2025-11-25", "2026-07-28")
VISITS: dict[str, Any] = {"elicitation": {"form": {}, "url": {}}}


def thinking() -> App:
    app = App("thinking")

    @app.tool
    async def think(ctx: Context, context: str) -> str:
        return str((await ctx.sample("hm?", include_context=context)).content)  # type: ignore[arg-type]  # given as text

    return app


async def asked_for(connect: Connect, revision: str, capabilities: dict[str, Any], context: str) -> Any:
    """The parameters of the question that the client is asked."""
    wire = await connect(thinking(), revision, capabilities)
    params = {"name": "think", "arguments": {"context": context}}
    if wire.stateless:
        (asked,) = (await wire.result("tools/call", params))["inputRequests"].values()
        return asked["params"]
    await wire.start("think", "tools/call", params)
    return (await asyncio.wait_for(wire.inbox.get(), 10))["params"]


@pytest.mark.requirement(
    "R2511-SAMPLING-006",
    "R2511-SAMPLING-020",
    "R2511-SAMPLING-024",
    "R2607-SAMPLING-007",
    "R2607-SAMPLING-026",
    "R2607-SAMPLING-030",
)
@pytest.mark.parametrize("context", ["thisServer", "allServers"])
@pytest.mark.parametrize("revision", WITH_CONTEXT)
async def test_context_of_servers_is_not_asked_for_where_it_was_not_declared(
    revision: str, context: str, connect: Connect
) -> None:
    wire = await connect(thinking(), revision, {"sampling": {"tools": {}}})
    assert await wire.lacking("think", context=context) == {"sampling": {"context": {}}}
    params = await asked_for(connect, revision, {"sampling": {"context": {}}}, context)
    assert params["includeContext"] == context


@EVERY
async def test_no_context_needs_no_capability(revision: str, connect: Connect) -> None:
    assert (await asked_for(connect, revision, {"sampling": {}}, "none"))["includeContext"] == "none"


@pytest.mark.parametrize("revision", [each for each in STATEFUL if each not in WITH_CONTEXT])
async def test_context_is_asked_for_where_nobody_could_declare_it(revision: str, connect: Connect) -> None:
    params = await asked_for(connect, revision, {"sampling": {}}, "thisServer")
    assert params["includeContext"] == "thisServer"


@pytest.mark.requirement("R2511-ELICITATION-044", "R2607-ELICITATION-033")
@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://example.com/login",
            "ftp://example.com/login",
            "HTTP://example.com/",
            "http://127.0.0.1.nip.io/",
        ),
        *("https://ada@example.com/", "https:///login", "https://example.com/a b", "https://example.com/\\"),
        *(
            "https://[::1",
            "https://example.com:x/",
            "javascript://example.com/%0aalert(1)",
            "example.com",
            "",
        ),
    ],
)
def test_an_address_that_nobody_may_visit_is_refused_where_it_is_written(url: str) -> None:
    with pytest.raises(LocalProtocolError, match="https"):
        ElicitURL("Log in", url)


@pytest.mark.parametrize(
    "url",
    [
        *("https://example.com/login?next=%2F", "HTTPS://Example.com:8443/", "https://m\u00fchle.example/"),
        *("http://localhost:8000/login", "http://127.0.0.1:8000/", "http://[::1]:8000/"),
    ],
)
def test_addresses_of_https_and_of_this_machine_may_be_visited(url: str) -> None:
    assert ElicitURL("Log in", url).url == url


@pytest.mark.parametrize("declared", [{}, {"elicitation": {}}, {"elicitation": {"form": {}}}, VISITS])
async def test_the_end_of_a_visit_is_told_to_those_who_can_be_sent_there(
    declared: dict[str, Any], connect: Connect
) -> None:
    app = App("visits")

    @app.tool
    async def finish(ctx: Context) -> str:
        await ctx.elicitation_complete("visit-7")
        return "done"

    for revision in ("2025-11-25", *STATELESS):
        wire = await connect(app, revision, declared)
        await wire.call("finish")
        told = [] if wire.inbox.empty() else [wire.inbox.get_nowait()["params"]["elicitationId"]]
        assert told == (["visit-7"] if declared is VISITS and not wire.stateless else [])
