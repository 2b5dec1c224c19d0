"""Two principals, and every kind of handle that there is: what is another's looks exactly like what never was.

"Exactly" is status, headers (without the date) and body, byte for byte; and the owner notices nothing. Principals that
differ in the subject, in the client or in the issuer alone are different principals.

The handles, and what walks them (* in `test_protected_tenants_more`):

* sessions, by POST, GET and DELETE: `test_v17_sessions`, `test_v17_a_session_of_another_issuer`
* event ids of the standalone stream and of a call: `test_event_ids`, `test_the_event_ids_of_a_call` *
* connections of the transport of 2024: `test_connections_of_the_old_transport`
* cursors of each list: `test_cursors`, `test_cursors_of_every_list` *
* subscriptions and listen streams: `test_subscriptions`, `test_listen_streams` *
* request state, whole: `test_request_state`; spilled to the store, and of calls that run once, with their steps and
  their kept answers: `test_state_that_is_kept_in_the_store` *
* questions and their ids: `test_questions_of_another_session_are_not_answered`
* request ids, progress tokens, cancellation by id: `test_progress_tokens_request_ids_and_cancellation_by_id` *
* kept lists, kept verdicts: `test_what_is_kept_of_answers_is_kept_apart`
* names and URIs of what is not for everyone: `test_names_of_what_one_may_not_use` *
* ids of used proofs: `test_protected_bound` (they belong to the key that made them)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from guarded import LEGACY, RESOURCE, Answer, Issuer, Wire, issuing, protected
from test_protected_scopes import heard, streaming

from dovetail import App, Context
from dovetail.auth import Protected, jwt
from dovetail.testing.serving import served

OTHERS: dict[str, dict[str, Any]] = {
    "another subject": {"sub": "eve"},
    "another client of the same subject": {"client_id": "other"},
    "no subject, the client alone": {"sub": None},
    "no client, the subject alone": {"client_id": None},
    "names exchanged": {"sub": "cli", "client_id": "ann"},
    "names run together": {"sub": 'ann","cli', "client_id": None},
}


def app_of_secrets() -> App:
    """An app with something behind every kind of handle."""
    app = App("secrets", rate_limit=None, page_size=1)

    @app.tool
    async def first(ctx: Context) -> str:
        return ctx.principal.subject

    @app.tool
    async def second(ctx: Context) -> str:
        answer = await ctx.elicit("Your secret?", str)
        return f"{ctx.principal.subject}: {answer}"

    @app.resource("notes://a")
    async def note() -> str:
        return ""

    return app


def same(a: Answer, b: Answer) -> None:
    """Two answers that nobody could tell apart."""
    assert (a.status, a.body) == (b.status, b.body)
    assert [each for each in a.headers if each[0] != "date"] == [
        each for each in b.headers if each[0] != "date"
    ]


@contextlib.asynccontextmanager
async def tenants(app: App | None = None, **options: Any) -> AsyncIterator[tuple[Issuer, Wire, str]]:
    """An issuer, the way to the app, and Ann's token."""
    async with protected(app=app or app_of_secrets(), options=options) as (issuer, wire):
        yield issuer, wire, issuer.token()


@pytest.mark.parametrize("other", OTHERS)
async def test_v17_sessions(other):
    async with tenants() as (issuer, wire, ann):
        eve = issuer.token(**OTHERS[other])
        session = await wire.initialize(ann)
        unknown = "A" * len(session)
        for message in (
            {"id": 1, "method": "ping"},
            {"id": 1, "method": "tools/list", "params": {}},
            {"id": 1, "method": "tools/call", "params": {"name": "first", "arguments": {}}},
            {"id": 1, "method": "resources/subscribe", "params": {"uri": "notes://a"}},
            {"id": 1, "method": "initialize", "params": {}},
            {"method": "notifications/cancelled", "params": {"requestId": 1}},
            {"id": "x", "result": {}},
        ):
            foreign = await wire.message(eve, message, session=session)
            assert foreign.status == 404
            same(foreign, await wire.message(eve, message, session=unknown))
        for method in ("GET", "DELETE"):
            shown = [("authorization", f"Bearer {eve}"), ("accept", "text/event-stream")]
            answers = [
                await wire.send(method, headers=[*shown, ("mcp-session-id", each)])
                for each in (session, unknown)
            ]
            assert answers[0].status == 404
            same(*answers)
        assert (await wire.message(ann, {"id": 2, "method": "ping"}, session=session)).status == 200


async def test_v17_a_session_of_another_issuer():
    async with issuing() as first, issuing() as second:
        auth = Protected(RESOURCE, jwt(first.url), jwt(second.url))
        async with served(app_of_secrets().asgi(auth=auth)) as url:
            wire = Wire(url)
            session = await wire.initialize(first.token())
            ping = {"id": 1, "method": "ping"}
            foreign = await wire.message(second.token(), ping, session=session)
            assert foreign.status == 404
            same(foreign, await wire.message(second.token(), ping, session="A" * len(session)))


async def test_a_new_token_of_the_same_principal_goes_on_with_the_session():
    async with tenants() as (issuer, wire, ann):
        session = await wire.initialize(ann)
        renewed = issuer.token(scope="notes:read notes:write", jti="2")
        assert (await wire.message(renewed, {"id": 1, "method": "ping"}, session=session)).status == 200


async def test_event_ids():
    """Eve's own session, with the id of an event of Ann's, and with one that never was."""
    async with tenants() as (issuer, wire, ann):
        eve = issuer.token(sub="eve")
        sessions = {ann: await wire.initialize(ann), eve: await wire.initialize(eve)}
        id = await _event_id(wire, ann, sessions[ann])
        never = re.sub("[0-9a-f]{24}", "0" * 24, id)
        shown = [
            ("authorization", f"Bearer {eve}"),
            ("accept", "text/event-stream"),
            ("mcp-session-id", sessions[eve]),
        ]
        shown.append(("mcp-protocol-version", LEGACY))
        answers = [await wire.send("GET", headers=[*shown, ("last-event-id", each)]) for each in (id, never)]
        assert answers[0].status == 400
        same(*answers)


async def _event_id(wire: Wire, token: str, session: str) -> str:
    """The id of the first event of a stream of a session."""
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    headers = (
        f"authorization: Bearer {token}\r\nmcp-session-id: {session}\r\nmcp-protocol-version: {LEGACY}\r\n"
    )
    writer.write(
        f"GET /mcp HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n{headers}\r\n".encode()
    )
    async with asyncio.timeout(10):
        while not (line := await reader.readline()).startswith(b"id: "):
            assert line
    writer.close()
    return line[4:].strip().decode()


@pytest.mark.parametrize("era", ["stateful", "stateless"])
async def test_cursors(era):
    async with tenants() as (issuer, wire, ann):
        eve = issuer.token(sub="eve")
        sessions = {token: await wire.initialize(token) for token in (ann, eve)}

        async def page(token: str, cursor: str | None) -> Answer:
            params = {} if cursor is None else {"cursor": cursor}
            if era == "stateless":
                return await wire.call(token, "tools/list", params)
            message = {"id": 1, "method": "tools/list", "params": params}
            return await wire.message(token, message, session=sessions[token])

        cursor = (await page(ann, None)).json["result"]["nextCursor"]
        foreign, unknown = await page(eve, cursor), await page(eve, "A" * len(cursor))
        assert foreign.json["error"]["code"] == -32602
        same(foreign, unknown)
        assert (await page(ann, cursor)).json["result"]["tools"][0]["name"] == "second"
        same(await page(eve, cursor), unknown)  # what Ann asked for is kept for Ann


@pytest.mark.requirement("R2511-ELICITATION-027", "R2607-ELICITATION-018")
async def test_request_state():
    async with tenants() as (issuer, wire, ann):
        eve = issuer.token(sub="eve")

        async def second(token: str, **more: Any) -> Answer:
            return await wire.call(token, params={"name": "second", "arguments": {}, **more})

        asked = (await second(ann)).json["result"]
        assert asked["resultType"] == "input_required"
        (key,) = asked["inputRequests"]
        answers = {key: {"action": "accept", "content": {"value": "mine"}}}
        state = asked["requestState"]
        broken = state[:-8] + "AAAAAAAA"
        foreign = await second(eve, requestState=state, inputResponses=answers)
        assert foreign.json["error"]["code"] == -32602
        same(foreign, await second(eve, requestState=broken, inputResponses=answers))
        done = await second(ann, requestState=state, inputResponses=answers)
        assert done.json["result"]["content"][0]["text"].startswith("ann: ")


async def test_questions_of_another_session_are_not_answered():
    """Eve answers, in her own session, the question that Ann was asked in hers."""
    async with tenants() as (issuer, wire, ann):
        eve = issuer.token(sub="eve")
        sessions = {token: await wire.initialize(token) for token in (ann, eve)}
        call = {"id": 5, "method": "tools/call", "params": {"name": "second", "arguments": {}}}
        reader, writer = await _posted(wire, ann, sessions[ann], call)
        question = await heard(reader)
        answer = {"action": "accept", "content": {"value": "stolen"}}
        for id in (question["id"], "s0-1"):
            taken = await wire.message(eve, {"id": id, "result": answer}, session=sessions[eve])
            assert taken.status == 202
        cancel = {"method": "notifications/cancelled", "params": {"requestId": 5}}
        assert (await wire.message(eve, cancel, session=sessions[eve])).status == 202
        mine = {"action": "accept", "content": {"value": "mine"}}
        await wire.message(ann, {"id": question["id"], "result": mine}, session=sessions[ann])
        assert (await heard(reader))["result"]["content"][0]["text"] == "ann: mine"
        writer.close()


async def _posted(
    wire: Wire, token: str, session: str, message: dict[str, Any]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    lines = [
        "POST /mcp HTTP/1.1",
        "host: localhost",
        f"authorization: Bearer {token}",
        "accept: application/json, text/event-stream",
        "content-type: application/json",
        f"content-length: {len(body)}",
        f"mcp-session-id: {session}",
        f"mcp-protocol-version: {LEGACY}",
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    return reader, writer


async def test_subscriptions():
    """What one session subscribes to or lets go of changes nothing for another."""
    app = app_of_secrets()
    async with tenants(app) as (issuer, wire, ann):
        eve = issuer.token(sub="eve")
        sessions = {token: await wire.initialize(token) for token in (ann, eve)}

        async def steer(token: str, method: str) -> Answer:
            message = {"id": 1, "method": f"resources/{method}", "params": {"uri": "notes://a"}}
            return await wire.message(token, message, session=sessions[token])

        await steer(ann, "subscribe")
        assert "result" in (await steer(eve, "unsubscribe")).json
        listen = {"resourceSubscriptions": ["notes://a"]}
        async with (
            streaming(wire, ann, session=sessions[ann]) as hers,
            streaming(wire, eve, session=sessions[eve]) as theirs,
            streaming(wire, eve, listen=listen) as listening,
        ):
            assert (await heard(listening))["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == 9
            app.resource_updated("notes://a")
            app.remove_tool("first")
            assert (await heard(hers))["method"] == "notifications/resources/updated"
            assert (await heard(theirs))["method"] == "notifications/tools/list_changed"


async def test_connections_of_the_old_transport():
    async with tenants(http_sse=True) as (issuer, wire, ann):
        eve = issuer.token(sub="eve")
        reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
        head = f"host: localhost\r\naccept: text/event-stream\r\nauthorization: Bearer {ann}\r\n\r\n"
        writer.write(f"GET /mcp/sse HTTP/1.1\r\n{head}".encode())
        async with asyncio.timeout(10):
            while not (line := await reader.readline()).startswith(b"data: "):
                assert line
        address = line[6:].strip().decode()
        never = re.sub("=.*", "=" + "A" * 43, address)
        ping = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
        headers = [("content-type", "application/json"), ("authorization", f"Bearer {eve}")]
        answers = [await wire.send(path=each, headers=headers, body=ping) for each in (address, never)]
        assert answers[0].status == 404
        same(*answers)
        mine = await wire.send(
            path=address, headers=[headers[0], ("authorization", f"Bearer {ann}")], body=ping
        )
        assert mine.status == 202
        assert (await wire.send(path=address, headers=headers[:1], body=ping)).status == 401
        writer.close()


async def test_what_is_kept_of_answers_is_kept_apart():
    """Lists that were made for one are not told to another, and a verdict belongs to its token."""
    app = App("kept", rate_limit=None)
    for subject in ("ann", "eve"):
        app.tool(name=f"{subject}_tool", allow=lambda who, subject=subject: who.subject == subject)(
            lambda: ""
        )
    async with tenants(app) as (issuer, wire, ann):
        eve = issuer.token(sub="eve")
        for _ in range(2):
            for token, mine in ((ann, "ann_tool"), (eve, "eve_tool")):
                result = (await wire.call(token, "tools/list", {})).json["result"]
                assert ([each["name"] for each in result["tools"]], result["cacheScope"]) == (
                    [mine],
                    "private",
                )
        forged = f"{eve.rpartition('.')[0]}.{ann.rpartition('.')[2]}"
        assert (await wire.call(forged, "tools/list", {})).status == 401
