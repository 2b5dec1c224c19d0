"""An app for plain HTTP clients: what they send, what they are answered, and that there is no way around the app's own
checks.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from dovetail import App, Context, Header, Image, ToolError
from dovetail.openapi import OpenAPIProvider, describe, rest
from dovetail.testing import served
from dovetail.types import Implementation, Tool


@asynccontextmanager
async def plain_client(app: App, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A plain client of an app, over sockets."""
    async with (
        served(rest(app, **options)) as url,
        httpx.AsyncClient(base_url=url.removesuffix("/mcp"), trust_env=False) as client,
    ):
        yield client


def add_others(app: App) -> None:
    """Resources and a prompt."""

    @app.resource("books://{isbn}", mime_type="text/markdown")
    def book(isbn: str) -> str:
        """A book."""
        return f"# {isbn}"

    @app.resource("books://list")
    def books() -> dict[str, list[str]]:
        """All books."""
        return {"books": ["a"]}

    @app.prompt
    def review(book: str, tone: str = "kind") -> str:
        """Review a book."""
        return f"Review {book}, {tone}"


def library(**options: Any) -> App:
    """An app with something of every kind."""
    app = App("library", version="2.0", instructions="Books.", **options)

    @app.tool
    def find(title: str, limit: int = 3) -> list[str]:
        """Find books."""
        return [title] * limit

    @app.tool
    def greet(name: str) -> str:
        """Say hello."""
        return f"hello {name} ü"

    @app.tool
    def cover() -> Image:
        """A picture."""
        return Image(b"\x89PNG")

    @app.tool
    def both():
        """Several things."""
        return ["text", Image(b"\x89PNG")]

    @app.tool
    def lend(days: int) -> dict[str, int]:
        """Lend a book."""
        if days > 30:
            raise ToolError("at most 30 days")
        return {"days": days}

    @app.tool
    def routed(region: Annotated[str, Header("Region")], x: int) -> dict[str, Any]:
        """An argument that is repeated in a header."""
        return {"region": region, "x": x}

    @app.tool
    async def chatty(ctx: Context) -> dict[str, bool]:
        """Says a lot on the way."""
        for step in range(3):
            await ctx.progress(step, 3)
            await ctx.info("still there")
            await asyncio.sleep(0.02)
        return {"done": True}

    @app.tool
    async def ask(ctx: Context) -> str:
        """Has a question."""
        return str(await ctx.elicit("Sure?", bool))

    add_others(app)
    return app


async def test_tools_are_called_with_plain_json() -> None:
    async with plain_client(library()) as http:
        found = await http.post("/tools/find", json={"title": "Emma", "limit": 2})
        assert (found.status_code, found.headers["content-type"], found.json()) == (
            200,
            "application/json",
            ["Emma", "Emma"],
        )
        found = await http.post("/tools/greet", json={"name": "you"})
        assert (found.headers["content-type"], found.text) == ("text/plain; charset=utf-8", "hello you ü")
        found = await http.post("/tools/cover")
        assert (found.headers["content-type"], found.content) == ("image/png", b"\x89PNG")
        assert found.headers["x-content-type-options"] == "nosniff"
        found = await http.post("/tools/both", json={})
        assert [each["type"] for each in found.json()["content"]] == ["text", "image"]
        found = await http.post("/tools/chatty", json={})
        assert found.json() == {"done": True}


async def test_resources_and_prompts() -> None:
    async with plain_client(library()) as http:
        found = await http.get("/resources", params={"uri": "books://7"})
        assert (found.headers["content-type"], found.text) == ("text/markdown; charset=utf-8", "# 7")
        found = await http.get("/resources", params={"uri": "books://list"})
        assert found.json() == {"books": ["a"]}
        found = await http.post("/prompts/review", json={"book": "Emma"})
        assert found.json()["messages"][0]["content"]["text"] == "Review Emma, kind"
        for path, status in (
            ("/resources?uri=books:", 404),
            ("/resources", 400),
            ("/resources?uri=other://x", 404),
        ):
            assert (await http.get(path)).status_code == status


async def test_an_argument_that_a_header_repeats() -> None:
    async with plain_client(library()) as http:
        found = await http.post("/tools/routed", json={"region": "eu", "x": 1})
        assert found.json() == {"region": "eu", "x": 1}
        found = await http.post(
            "/tools/routed", json={"region": "eu", "x": 1}, headers={"mcp-param-region": "us"}
        )
        assert found.json() == {"region": "eu", "x": 1}, (
            "what the caller says of the protocol is not passed on"
        )


PROBLEMS = [
    ("POST", "/tools/find", {"json": {"limit": "x"}}, 422, "title"),
    ("POST", "/tools/none", {"json": {}}, 404, "none"),
    ("POST", "/prompts/none", {"json": {}}, 404, "none"),
    ("POST", "/prompts/review", {"json": {}}, 400, "book"),
    ("POST", "/prompts/review", {"json": {"book": 1}}, 400, "texts"),
    ("POST", "/tools/lend", {"json": {"days": 31}}, 422, "at most 30 days"),
    ("POST", "/tools/ask", {"json": {}}, 422, "question"),
    (
        "POST",
        "/tools/find",
        {"content": b"[1]", "headers": {"content-type": "application/json"}},
        400,
        "no object",
    ),
    (
        "POST",
        "/tools/find",
        {"content": b'{"title": "x"}, "x": {}', "headers": {"content-type": "application/json"}},
        400,
        "no object",
    ),
    ("POST", "/tools/find", {"content": b"title=x", "headers": {"content-type": "text/plain"}}, 415, "JSON"),
    ("GET", "/tools/find", {}, 405, "POST"),
    ("GET", "/nothing", {}, 404, "openapi.json"),
    ("POST", "/mcp", {"json": {"jsonrpc": "2.0", "id": 1, "method": "ping"}}, 404, "openapi.json"),
    ("POST", "/tools/find", {"json": {"title": "x"}, "headers": {"origin": "https://evil.example"}}, 403, ""),
    ("POST", "/tools/find", {"json": {"title": "x"}, "headers": {"host": "evil.example"}}, 421, ""),
]


@pytest.mark.parametrize("method,path,given,status,told", PROBLEMS)
async def test_what_goes_wrong_is_a_problem(method, path, given, status, told) -> None:
    async with plain_client(library()) as http:
        found = await http.request(method, path, **given)
        assert found.status_code in ((status,) if status != 421 else (421, 403, 400)), found.text
        assert found.headers["content-type"] == "application/problem+json"
        problem = found.json()
        assert problem["status"] == found.status_code
        assert told in problem.get("detail", "")


async def test_the_rate_limit_is_the_apps_own() -> None:
    """Callers on this machine are exempt; one that a proxy tells of is not."""
    app = library(rate_limit=0.001, burst=1)
    endpoint = rest(app)
    seen: list[Any] = []

    async def call() -> None:
        bodies = [b'{"title": "x"}']

        async def receive() -> Any:
            if bodies:
                return {"type": "http.request", "body": bodies.pop()}
            await asyncio.Event().wait()
            return None

        async def send(message: Any) -> None:
            seen.append(message)

        headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/tools/find",
            "raw_path": b"/tools/find",
            "query_string": b"",
            "headers": headers,
            "client": ("203.0.113.9", 1),
            "server": ("localhost", 80),
            "scheme": "http",
            "root_path": "",
            "http_version": "1.1",
            "asgi": {"version": "3.0"},
        }
        await endpoint(scope, receive, send)

    await call()
    await call()
    starts = [each for each in seen if each["type"] == "http.response.start"]
    assert [each["status"] for each in starts] == [200, 429]
    assert int(dict(starts[1]["headers"])[b"retry-after"]) >= 1


async def test_a_caller_that_leaves_ends_its_call() -> None:
    app = App("slow")
    began, ended = asyncio.Event(), asyncio.Event()

    @app.tool
    async def wait() -> str:
        """Wait."""
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ""

    async with plain_client(app) as http:
        call = asyncio.create_task(http.post("/tools/wait", json={}))
        await began.wait()
        call.cancel()
        await asyncio.wait_for(ended.wait(), 10)


async def test_it_is_mounted_below_a_path() -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    outer = Starlette(routes=[Mount("/api", app=rest(library()))])
    transport = httpx.ASGITransport(app=outer)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        assert (await http.post("/api/tools/find", json={"title": "x", "limit": 1})).json() == ["x"]
        assert (await http.get("/api/openapi.json")).json()["servers"] == [{"url": "."}]


async def test_the_document_is_valid_and_says_what_is_answered() -> None:
    async with plain_client(library()) as http:
        document = (await http.get("/openapi.json")).json()
        OpenAPIV31SpecValidator(document).validate()
        assert document["info"] == {"title": "library", "version": "2.0", "description": "Books."}
        assert set(document["paths"]) >= {"/tools/find", "/tools/greet", "/prompts/review", "/resources"}
        assert "books://{isbn}" in document["paths"]["/resources"]["get"]["description"]
        assert (await http.head("/openapi.json")).content == b""


def test_references_of_schemas_are_led_to_where_they_stand() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"$ref": "#/$defs/A"},
            "self": {"$ref": "#"},
            "$ref": {"enum": [{"$ref": "#/x"}]},
        },
        "$defs": {"A": {"anyOf": [{"$ref": "#/properties/self"}, {"type": "null"}]}},
    }
    tools = [
        Tool(name="a/b", input_schema=schema),
        Tool(name="a.b", input_schema={"type": "object"}, output_schema=schema),
    ]
    document = describe(Implementation(name="n", version="1"), tools=tools, protected=True)
    OpenAPIV31SpecValidator(document).validate()
    given = document["components"]["schemas"]["a_b.input"]
    assert given["properties"]["a"] == {"$ref": "#/components/schemas/a_b.input/$defs/A"}
    assert given["properties"]["self"] == {"$ref": "#/components/schemas/a_b.input"}
    assert given["properties"]["$ref"] == {"enum": [{"$ref": "#/x"}]}
    assert document["paths"].keys() == {"/tools/a%2Fb", "/tools/a.b"}
    assert document["security"] == [{"bearer": []}]


async def test_there_and_back() -> None:
    """What is served to plain clients is imported again, and gives the same."""
    async with plain_client(library()) as http:
        document = (await http.get("/openapi.json")).json()
        from dovetail import Client

        app = App("front")
        app.mount(
            "lib", OpenAPIProvider(document, server=str(http.base_url).rstrip("/"), allow_loopback=True)
        )
        async with Client(app) as client:
            found = await client.call_tool("lib_find", {"title": "Emma", "limit": 2})
            assert found.structured == {"result": ["Emma", "Emma"]}
            found = await client.call_tool("lib_greet", {"name": "you"})
            assert found.text == "hello you ü"
            (image,) = (await client.call_tool("lib_cover", {})).content
            assert base64.b64decode(json.loads(json.dumps(image.to_wire()))["data"]) == b"\x89PNG"
            found = await client.call_tool("lib_lend", {"days": 31})
            assert found.is_error
            assert "at most 30 days" in found.text
