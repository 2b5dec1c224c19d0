"""Addresses to visit, in both eras: asked, demanded with an error, and told of when done."""

from typing import Any

import pytest
from playing import capabilities, play

from dovetail import App, Context, ElicitURL, LocalProtocolError
from dovetail.protocol.revisions import REVISIONS, STATELESS
from dovetail.server.questions import visit_first

EVERY = pytest.mark.parametrize("revision", REVISIONS)
WITH_URLS = [each for each in REVISIONS if each >= "2025-11-25"]
URL = "https://example.com/login"


def make_app() -> tuple[App, list[str]]:
    app = App("addresses")
    signed: list[str] = []

    @app.tool
    async def demand(ctx: Context) -> str:
        if not signed:
            raise visit_first(ElicitURL("Log in", URL, "login-1"))
        return "in"

    @app.tool
    async def visit(ctx: Context) -> str:
        await ctx.elicit_url("Log in", URL, elicitation_id="login-2")
        await ctx.elicitation_complete("login-2")
        return "done"

    return app, signed


@EVERY
async def test_addresses_that_come_first(revision: str, connect: Any) -> None:
    app, signed = make_app()
    wire = await connect(app, revision, capabilities(revision))
    asked: list[dict[str, Any]] = []

    def agree(request: dict[str, Any]) -> dict[str, Any]:
        asked.append(request["params"])
        signed.extend(["ada"] * (len(asked) == 2))
        return {"action": "accept"}

    played = await play(wire, "demand", agree)
    if revision in STATELESS:
        assert [each["url"] for each in asked] == [URL, URL]  # as long as the body demands it
        assert played.text == "in"
    elif revision in WITH_URLS:
        assert played.code == -32042
        listed = played.reply["error"]["data"]["elicitations"]
        assert listed == [{"mode": "url", "message": "Log in", "url": URL, "elicitationId": "login-1"}]
    else:
        assert played.failed
        assert "elicitation" in played.text


@EVERY
async def test_the_client_is_told_when_a_visit_is_complete(revision: str, connect: Any) -> None:
    app, _ = make_app()
    wire = await connect(app, revision, capabilities(revision))
    played = await play(wire, "visit", lambda _: {"action": "accept"})
    if revision not in WITH_URLS:
        assert played.failed
        return
    assert played.text == "done"
    if revision not in STATELESS:
        notice = {"method": "notifications/elicitation/complete", "params": {"elicitationId": "login-2"}}
        assert played.notices == [{"jsonrpc": "2.0", **notice}]


@EVERY
async def test_addresses_are_not_demanded_of_a_client_that_declared_none(revision: str, connect: Any) -> None:
    app, _ = make_app()
    wire = await connect(app, revision, {"elicitation": {}} if revision >= "2025-06-18" else {})
    assert await wire.lacking("demand") == {"elicitation": {"url": {}}}


@pytest.mark.parametrize("visits", [(), ("Link it", "https://example.com/mailbox"), (None,)])
def test_what_is_no_address_is_refused_where_it_is_said(visits: Any) -> None:
    with pytest.raises(LocalProtocolError, match=r"visit_first\(ElicitURL\(text, url\)\)"):
        visit_first(*visits)
