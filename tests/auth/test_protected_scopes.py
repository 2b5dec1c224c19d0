"""What a caller may use: listed, called, read, got, completed, subscribed and heard of alike."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from guarded import MODERN, READS_BOTH, Answer, Wire, protected

from dovetail import App, Context, Principal, RegistrationError
from dovetail.auth.challenges import parse_challenges

EVERYTHING = "notes:read notes:write docs:read prompts:use"


def library(page_size: int = 1000) -> App:
    """An app with one of each kind for everyone, one that needs scopes, and one that only root may use."""
    app = App("library", rate_limit=None, page_size=page_size)
    root = {"allow": lambda who: who.subject == "root"}

    for kind, needed in (
        ("open", {}),
        ("scoped", {"scopes": ["notes:write", "notes:read"]}),
        ("hidden", root),
    ):
        _register(app, kind, needed)

    @app.tool
    async def deep(path: str, ctx: Context) -> str:
        if path.startswith("/private"):
            ctx.require_scopes("files:write", "files:read")
        return path

    @app.tool
    async def chatty(ctx: Context) -> str:
        await ctx.progress(1)
        ctx.require_scopes("files:write")
        return ""

    return app


def _register(app: App, kind: str, needed: dict[str, Any]) -> None:
    @app.tool(name=f"{kind}_tool", **needed)
    async def tool() -> str:
        return kind

    @app.resource(f"notes://{kind}", **needed)
    async def resource() -> str:
        return kind

    @app.resource(f"{kind}://{{name}}", **needed)
    async def template(name: str) -> str:
        return name

    @app.prompt(name=f"{kind}_prompt", **needed)
    async def prompt(topic: str) -> str:
        return topic

    @app.completion(f"{kind}_prompt", "topic")
    async def topics(typed: str) -> list[str]:
        return [f"{kind}-topic"]

    @app.completion(f"{kind}://{{name}}", "name")
    async def names(typed: str) -> list[str]:
        return [f"{kind}-name"]


USES: dict[str, tuple[str, Any]] = {
    "call": ("tools/call", lambda kind: {"name": f"{kind}_tool", "arguments": {}}),
    "read": ("resources/read", lambda kind: {"uri": f"notes://{kind}"}),
    "read by template": ("resources/read", lambda kind: {"uri": f"{kind}://x"}),
    "get": ("prompts/get", lambda kind: {"name": f"{kind}_prompt", "arguments": {"topic": "x"}}),
    "complete a prompt": (
        "completion/complete",
        lambda kind: {
            "ref": {"type": "ref/prompt", "name": f"{kind}_prompt"},
            "argument": {"name": "topic", "value": ""},
        },
    ),
    "complete a template": (
        "completion/complete",
        lambda kind: {
            "ref": {"type": "ref/resource", "uri": f"{kind}://{{name}}"},
            "argument": {"name": "name", "value": ""},
        },
    ),
}


class Caller:
    """One principal, in one era."""

    def __init__(self, wire: Wire, token: str, session: str | None) -> None:
        self.wire = wire
        self.token = token
        self.session = session

    async def ask(self, method: str, params: dict[str, Any]) -> Answer:
        """One request."""
        if self.session is None:
            return await self.wire.call(self.token, method, params)
        message = {"id": 1, "method": method, "params": params}
        return await self.wire.message(self.token, message, session=self.session)


ERAS = ("stateful", "stateless")


@asynccontextmanager
async def calling(era: str, app: App | None = None, **settings: Any) -> AsyncIterator[Any]:
    """Makes callers of an era: ``caller(sub=..., scope=...)``."""
    async with protected(app=app or library(), **settings) as (issuer, wire):

        async def caller(**claims: Any) -> Caller:
            token = issuer.token(**claims)
            return Caller(wire, token, await wire.initialize(token) if era == "stateful" else None)

        yield caller


def needs(answer: Answer) -> set[str]:
    """The scopes that a 403 names."""
    assert answer.status == 403, answer
    (challenge,) = parse_challenges(answer.values("www-authenticate"))
    assert challenge.parameters["error"] == "insufficient_scope"
    assert challenge.parameters["resource_metadata"]
    assert challenge.parameters["error_description"]
    if "id" in answer.json:  # otherwise the request was refused before it was read
        assert answer.json["error"]["data"]["requiredScopes"] == list(challenge.scopes)
    return set(challenge.scopes)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.requirement(
    "R2607-AUTH-091",
    "R2607-AUTH-092",
    "R2607-AUTH-093",
    "R2511-AUTH-065",
    "R2511-AUTH-066",
    "R2607-AUTH-090",
    "R2511-AUTH-064",
    "R2511-AUTH-020",
    "R2511-AUTH-067",
    "R2511-AUTH-068",
    "R2511-RESOURCES-009",
    "R2511-RESOURCES-011",
    "R2607-AUTH-057",
    "R2607-AUTH-094",
    "R2607-AUTH-095",
    "R2607-RESOURCES-018",
    "R2607-RESOURCES-020",
)
async def test_what_needs_scopes_says_which_and_all_of_them(era):
    async with calling(era) as caller:
        for scope in ("other", "notes:read", "notes:write"):
            ann = await caller(scope=scope)
            for use, (method, params) in USES.items():
                assert needs(await ann.ask(method, params("scoped"))) == {"notes:read", "notes:write"}, use
                assert (await ann.ask(method, params("open"))).status == 200, use
        ann = await caller(scope="notes:write notes:read")
        for use, (method, params) in USES.items():
            answer = await ann.ask(method, params("scoped"))
            assert (answer.status, "result" in answer.json) == (200, True), use


@pytest.mark.requirement("R2607-AUTH-090", "R2511-AUTH-064", "R2607-AUTH-091", "R2511-AUTH-065")
async def test_r62_what_the_whole_server_needs_is_a_403_for_every_request():
    """Whatever the verifier lets through: the scopes are looked at outside of it (V44), on each method and route."""
    async with protected(scopes=["notes:read", "notes:list"]) as (issuer, wire):
        token = issuer.token(scope="notes:read")
        for answer in (
            await wire.call(token),
            await wire.call(token, "server/discover", {}),
            await wire.message(token, {"id": 1, "method": "initialize", "params": {}}),
            await wire.send("GET", headers=[("authorization", f"Bearer {token}")]),
            await wire.send("DELETE", headers=[("authorization", f"Bearer {token}")]),
        ):
            assert answer.status == 403
            (challenge,) = parse_challenges([answer.challenge])
            assert challenge.parameters["error"] == "insufficient_scope"
            assert challenge.scopes == ("notes:read", "notes:list")
            assert challenge.parameters["resource_metadata"].startswith("http")


@pytest.mark.hostile
async def test_what_a_scope_is_made_of_never_leaves_its_place_in_the_header():
    """A handler that demands what a stranger wrote."""
    app = App("demands", rate_limit=None)

    @app.tool
    async def read(scope: str, ctx: Context) -> str:
        ctx.require_scopes(scope)
        return ""

    async with protected(app=app) as (issuer, wire):
        for scope in ('x"\r\nset-cookie: a=b', 'x", error="none', "\\", "\u00e9\u2028", "x\0", ""):
            answer = await wire.call(issuer.token(), params={"name": "read", "arguments": {"scope": scope}})
            assert answer.status == 403
            assert answer.values("set-cookie") == []
            (challenge,) = parse_challenges([answer.challenge])
            assert (challenge.scheme, challenge.parameters["error"]) == ("bearer", "insufficient_scope")


@pytest.mark.requirement(
    "R2511-RESOURCES-009", "R2511-RESOURCES-011", "R2607-RESOURCES-018", "R2607-RESOURCES-020"
)
@pytest.mark.parametrize("era", ERAS)
async def test_what_is_no_matter_of_scope_is_unknown(era):
    async with calling(era) as caller:
        ann, root = await caller(scope=EVERYTHING), await caller(sub="root")
        for use, (method, params) in USES.items():
            foreign, unknown = (
                await ann.ask(method, params("hidden")),
                await ann.ask(method, params("nothin")),
            )
            assert foreign.status == unknown.status, use
            assert foreign.body.replace(b"hidden", b"nothin") == unknown.body, use
            assert [n for n, _ in foreign.headers] == [n for n, _ in unknown.headers], use
            assert "result" in (await root.ask(method, params("hidden"))).json, use


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.requirement("R2607-TOOLS-007", "R2607-PROMPTS-005", "R2607-RESOURCES-005")
async def test_lists_show_what_more_scopes_would_open_and_hide_what_is_not_allowed(era):
    """A client that never sees a tool could never ask for the scopes that it takes."""
    async with calling(era) as caller:
        for claims, kinds in (
            ({}, {"open", "scoped"}),
            ({"scope": EVERYTHING}, {"open", "scoped"}),
            ({"sub": "root"}, {"open", "scoped", "hidden"}),
            ({"sub": "root", "scope": EVERYTHING}, {"open", "scoped", "hidden"}),
        ):
            who = await caller(**claims)
            for _ in range(2):  # kept or not
                for method, member, field, name in (
                    ("tools/list", "tools", "name", "{}_tool"),
                    ("resources/list", "resources", "uri", "notes://{}"),
                    ("resources/templates/list", "resourceTemplates", "uriTemplate", "{}://{{name}}"),
                    ("prompts/list", "prompts", "name", "{}_prompt"),
                ):
                    result = (await who.ask(method, {})).json["result"]
                    found = {each[field] for each in result[member]} - {"deep", "chatty"}
                    assert found == {name.format(kind) for kind in kinds}, method


@pytest.mark.requirement("R2607-CACHING-020", "R2607-CACHING-036")
async def test_nothing_that_depends_on_the_caller_may_be_shared():
    async with calling("stateless") as caller:
        ann = await caller()
        for method in (
            "tools/list",
            "resources/list",
            "resources/templates/list",
            "prompts/list",
            "server/discover",
        ):
            assert (await ann.ask(method, {})).json["result"]["cacheScope"] == "private", method
        read = await ann.ask("resources/read", {"uri": "notes://open"})
        assert read.json["result"]["cacheScope"] == "private"
    with pytest.raises(RegistrationError, match="not public"):
        App("x").resource("a://b", scope="public", scopes=["a"])(lambda: "")


async def test_those_who_see_the_same_share_the_bytes():
    app = library()
    async with calling("stateless", app) as caller:
        for n in range(50):
            who = await caller(sub=f"user-{n}", scope=EVERYTHING if n % 2 else "notes:read")
            await who.ask("tools/list", {})
        assert len(app._catalog.tools._pages) == 1
        await (await caller(sub="root")).ask("tools/list", {})
        assert len(app._catalog.tools._pages) == 2
        app.remove_tool("open_tool")
        assert len(app._catalog.tools._pages) == 0


@pytest.mark.requirement("R2607-AUTH-101")
async def test_r84_a_broader_scope_contains_narrower_ones():
    implies = {"admin": ["notes:write"], "notes:write": ["notes:read"], "loop": ["admin", "loop"]}
    async with calling("stateless", implies=implies, scopes=["notes:read"]) as caller:
        for scope, status in (("admin", 200), ("notes:write", 200), ("loop", 200), ("notes:read", 403)):
            who = await caller(scope=scope)
            assert (await who.ask("tools/call", {"name": "scoped_tool", "arguments": {}})).status == status, (
                scope
            )
        assert needs(await (await caller(scope="administrator")).ask("tools/list", {})) == {"notes:read"}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.requirement("R2607-AUTH-091", "R2511-AUTH-065")
async def test_in_the_middle_of_a_call(era):
    async with calling(era) as caller:
        ann = await caller()

        def deep(path: str) -> dict[str, Any]:
            return {"name": "deep", "arguments": {"path": path}}

        assert (await ann.ask("tools/call", deep("/public"))).status == 200
        assert needs(await ann.ask("tools/call", deep("/private/x"))) == {"files:read", "files:write"}
        bob = await caller(scope="files:read files:write")
        assert (await bob.ask("tools/call", deep("/private/x"))).json["result"]["content"][0][
            "text"
        ] == "/private/x"
        # Once the answer has begun, it is the same error in it.
        params = {"name": "chatty", "arguments": {}, "_meta": {"progressToken": 1}}
        if era == "stateful":
            answer = await ann.ask("tools/call", params)
        else:
            answer = await _with_progress(ann)
        assert answer.status == 200
        assert answer.json["error"]["data"] == {"requiredScopes": ["files:write"]}


async def _with_progress(caller: Caller) -> Answer:
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
        "progressToken": 1,
    }
    params = {"name": "chatty", "arguments": {}, "_meta": meta}
    routing = [("mcp-method", "tools/call"), ("mcp-name", "chatty"), ("mcp-protocol-version", MODERN)]
    headers = [*READS_BOTH, *routing, ("authorization", f"Bearer {caller.token}")]
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return await caller.wire.send(headers=headers, body=json.dumps(body).encode())


async def test_a_predicate_that_fails_says_no(caplog):
    app = App("failing", rate_limit=None)

    @app.tool(allow=lambda who: who.claims["missing"] == 1)
    async def read() -> str:
        return ""

    async with protected(app=app) as (issuer, wire):
        answer = await wire.call(issuer.token())
        assert answer.json["error"]["message"] == "there is no tool 'read'"
        assert "predicate on the caller failed" in caplog.text
        app.tool(name="odd", allow=lambda who: who.scopes)(lambda: "")  # pyright: ignore[reportArgumentType] - the fault
        assert (await wire.call(issuer.token(), params={"name": "odd"})).json["error"]
        assert (await wire.call(issuer.token(missing=1))).json["result"]


def test_requirements_that_can_not_be_meant_are_refused():
    async def later(_: Principal) -> bool:
        return True

    refused: tuple[dict[str, Any], ...] = (
        {"scopes": "notes"},
        {"scopes": ["a b"]},
        {"scopes": ['"']},
        {"scopes": [""]},
        {"allow": later},
    )
    for needed in refused:
        with pytest.raises(RegistrationError):
            cast("Any", App("x")).tool(**needed)(lambda: "")


# What is heard


@asynccontextmanager
async def streaming(
    wire: Wire, token: str, *, session: str | None = None, listen: dict[str, Any] | None = None
) -> AsyncIterator[asyncio.StreamReader]:
    """An open event stream: the standalone one of a session, or a subscription."""
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    lines = [
        "host: localhost",
        "connection: close",
        f"authorization: Bearer {token}",
        "accept: application/json, text/event-stream",
    ]
    body = b""
    if session is not None:
        first = "GET /mcp HTTP/1.1"
        lines.append(f"mcp-session-id: {session}")
    else:
        first = "POST /mcp HTTP/1.1"
        meta = {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        params = {"notifications": listen, "_meta": meta}
        body = json.dumps(
            {"jsonrpc": "2.0", "id": 9, "method": "subscriptions/listen", "params": params}
        ).encode()
        lines += [f"content-length: {len(body)}", "content-type: application/json"]
        lines += ["mcp-method: subscriptions/listen", f"mcp-protocol-version: {MODERN}"]
    writer.write("\r\n".join([first, *lines, "", ""]).encode() + body)
    try:
        status = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in status.splitlines()[0], status
        yield reader
    finally:
        writer.close()


async def heard(reader: asyncio.StreamReader) -> Any:
    """The next message of a stream; None at its end."""
    async with asyncio.timeout(10):
        while line := await reader.readline():
            if line.startswith(b"data: {"):
                return json.loads(line[6:])
    return None


ALL = {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True}


async def test_a_listener_hears_of_what_it_can_see():
    app = library()
    async with protected(app=app) as (issuer, wire):
        wanted = {
            **ALL,
            "resourceSubscriptions": ["notes://open", "hidden://x", "notes://hidden", "unknown://x"],
        }
        async with (
            streaming(wire, issuer.token(), listen=wanted) as ann,
            streaming(wire, issuer.token(sub="root"), listen=wanted) as root,
        ):
            acknowledged = (await heard(ann))["params"]["notifications"]
            assert (
                acknowledged == (await heard(root))["params"]["notifications"]
            )  # known or not, nothing is told
            _register(app, "second", {"allow": lambda who: who.subject == "root"})
            for uri in ("hidden://x", "notes://hidden", "notes://open"):
                app.resource_updated(uri)
            methods = [(await heard(root)) for _ in range(6)]
            assert sorted(each["method"].removeprefix("notifications/") for each in methods) == [
                "prompts/list_changed",
                "resources/list_changed",
                "resources/updated",
                "resources/updated",
                "resources/updated",
                "tools/list_changed",
            ]
            first = await heard(ann)  # of all this, the one that is hers
            assert (first["method"], first["params"]["uri"]) == (
                "notifications/resources/updated",
                "notes://open",
            )
            _register(app, "third", {})
            assert {(await heard(ann))["method"].split("/")[1] for _ in range(3)} == {
                "tools",
                "resources",
                "prompts",
            }


async def test_a_subscription_that_needs_scopes_says_which():
    async with protected(app=library()) as (issuer, wire):
        filter_ = {"resourceSubscriptions": ["notes://scoped", "notes://hidden", "scoped://x"]}
        answer = await wire.call(issuer.token(), "subscriptions/listen", {"notifications": filter_})
        assert needs(answer) == {"notes:write", "notes:read"}
        async with streaming(wire, issuer.token(scope=EVERYTHING), listen=filter_) as ann:
            assert await heard(ann)


async def test_a_session_subscribes_and_hears_alike():
    app = library()
    async with protected(app=app) as (issuer, wire):
        tokens = {"ann": issuer.token(), "root": issuer.token(sub="root")}
        sessions = {name: await wire.initialize(token) for name, token in tokens.items()}

        async def subscribe(name: str, uri: str) -> Answer:
            message = {"id": 2, "method": "resources/subscribe", "params": {"uri": uri}}
            return await wire.message(tokens[name], message, session=sessions[name])

        assert needs(await subscribe("ann", "notes://scoped")) == {"notes:write", "notes:read"}
        foreign, unknown = await subscribe("ann", "notes://hidden"), await subscribe("ann", "notes://nothin")
        assert foreign.body.replace(b"hidden", b"nothin") == unknown.body
        for name, uri in (("ann", "notes://open"), ("root", "notes://open"), ("root", "notes://hidden")):
            assert "result" in (await subscribe(name, uri)).json
        async with (
            streaming(wire, tokens["ann"], session=sessions["ann"]) as ann,
            streaming(wire, tokens["root"], session=sessions["root"]) as root,
        ):
            _register(app, "second", {"allow": lambda who: who.subject == "root"})
            app.resource_updated("notes://hidden")
            app.resource_updated("notes://open")
            assert len([await heard(root) for _ in range(5)]) == 5
            assert (await heard(ann))["params"] == {"uri": "notes://open"}


async def test_a_stream_ends_with_the_token_that_opened_it():
    import time

    app = library()
    async with protected(app=app, leeway=0) as (issuer, wire):
        lasting = issuer.token()
        session = await wire.initialize(lasting)
        short = issuer.token(exp=time.time() + 0.7)
        async with (
            streaming(wire, short, listen=ALL) as listening,
            streaming(wire, short, session=session) as standalone,
        ):
            assert (await heard(listening))["method"].endswith("acknowledged")
            assert (await heard(listening))["result"] is not None  # a graceful end
            assert await heard(standalone) is None
        async with streaming(wire, lasting, session=session) as again:
            app.remove_tool("open_tool")
            assert (await heard(again))["method"] == "notifications/tools/list_changed"
