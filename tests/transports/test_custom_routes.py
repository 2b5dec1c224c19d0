"""Plain HTTP beside the endpoint: routes of the author's, and what says whether the server is ready."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from http_serving import Answer, Connection, Prober, head_bytes, serving
from starlette.applications import Starlette
from starlette.requests import Request as TheirRequest
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Mount

from dovetail import App, Client, Principal, RegistrationError, Request, Response
from dovetail.security.authenticator import AuthenticationFailed, Credentials
from dovetail.stores import MemoryStore
from dovetail.stores.errors import StoreError


async def ask(
    port: int, path: str, method: str = "GET", body: bytes = b"", headers: Mapping[str, str] | None = None
) -> Answer:
    connection = await Connection.open(port)
    length = {"content-length": str(len(body))} if body else {}
    whole = {"host": f"127.0.0.1:{port}", **length, **(headers or {})}
    await connection.send(head_bytes(method, path, whole) + body)
    try:
        found = await connection.head()
        if method == "HEAD" or found.status == 204:
            return found
        parts: list[bytes] = []
        while part := await connection.chunk():
            parts.append(part)
            if "content-length" in found.headers:
                break
        found.body = b"".join(parts)
        return found
    finally:
        await connection.close()


def make_app(**options: Any) -> App:
    app = App("routes", **options)

    @app.custom_route("/page")
    async def page(request: Request) -> str:
        return f"for {request.principal.subject or 'anyone'} from {request.client}"

    @app.custom_route("/items/{item}/parts/{part}", methods=["GET", "PUT"])
    async def item(request: Request) -> dict[str, Any]:
        given = await request.json() if request.method == "PUT" else None
        return {
            "params": dict(request.path_params),
            "query": dict(request.query),
            "given": given,
            "path": request.path,
        }

    @app.custom_route("/items/one/parts/all")
    async def exact(request: Request) -> bytes:
        return b"exact"

    @app.custom_route("/thread", methods=["POST"])
    def blocking(request: Request) -> Response:
        name = threading.current_thread() is threading.main_thread()
        headers = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
        return Response({"main": name}, status=201, headers=headers)

    @app.custom_route("/nothing")
    async def nothing(request: Request) -> None:
        return None

    @app.custom_route("/theirs")
    async def theirs(request: Request) -> Any:
        return JSONResponse({"seen": str(TheirRequest(request.scope).url.path)}, status_code=202)

    @app.custom_route("/streamed")
    async def streamed(request: Request) -> Any:
        async def parts() -> AsyncIterator[str]:
            yield "one "
            yield "two"

        return StreamingResponse(parts(), media_type="text/plain")

    @app.custom_route("/broken")
    async def broken(request: Request) -> str:
        raise ValueError("a secret")

    @app.custom_route("/open", protected=False)
    async def open_to_all(request: Request) -> str:
        return "open"

    return app


async def test_what_a_route_may_answer() -> None:
    app = make_app()
    async with serving(app.asgi()) as port:
        page = await ask(port, "/page")
        assert (page.status, page.headers["content-type"]) == (200, "text/plain; charset=utf-8")
        assert page.body == b"for anyone from 127.0.0.1"
        item = await ask(port, "/items/a-b/parts/7?q=1&q=2&empty=", "PUT", b'{"x": [1]}')
        assert item.headers["content-type"] == "application/json"
        assert item.json == {
            "params": {"item": "a-b", "part": "7"},
            "query": {"q": "2", "empty": ""},
            "given": {"x": [1]},
            "path": "/items/a-b/parts/7",
        }
        assert (await ask(port, "/items/one/parts/all")).body == b"exact", "fixed paths come first"
        made = await ask(port, "/thread", "POST", b"{}")
        assert (made.status, made.json) == (201, {"main": False})
        assert [value for name, value in made.pairs if name == "set-cookie"] == ["a=1", "b=2"]
        assert (await ask(port, "/nothing")).status == 204
        head = await ask(port, "/page", "HEAD")
        assert (head.status, head.headers["content-length"]) == (200, str(len(page.body)))
        theirs = await ask(port, "/theirs")
        assert (theirs.status, theirs.json) == (202, {"seen": "/theirs"})
        assert (await ask(port, "/streamed")).body == b"one two"
        async with Client(f"http://127.0.0.1:{port}/mcp") as client:
            await client.ping()  # the endpoint is where it was


async def test_what_a_route_refuses(caplog: pytest.LogCaptureFixture) -> None:
    app = make_app(max_message=1000)
    async with serving(app.asgi()) as port:
        wrong = await ask(port, "/page", "DELETE")
        assert (wrong.status, wrong.headers["allow"]) == (405, "GET, HEAD")
        assert (await ask(port, "/items/one/parts")).status == 404
        assert (await ask(port, "/items//parts/x")).status == 404
        assert (await ask(port, "/items/a/parts/b", "PUT", b"{")).status == 400
        assert (await ask(port, "/items/a/parts/b", "PUT", b"[" + b"1," * 600 + b"1]")).status == 413
        broken = await ask(port, "/broken")
        assert broken.status == 500
        assert b"secret" not in broken.body
        assert "a secret" in caplog.text
        strange = {"host": "evil.example"}
        assert (await ask(port, "/page", headers=strange)).status == 403, "Host is judged as for the endpoint"
        foreign = {"origin": "https://evil.example"}
        assert (await ask(port, "/page", headers=foreign)).status == 403


class Keys:
    async def authenticate(self, request: Credentials) -> Principal:
        if request.authorization == ("Bearer right",):
            return Principal(issuer="keys", subject="ada")
        raise AuthenticationFailed("no key", headers=(("WWW-Authenticate", "Bearer"),))


async def test_a_route_is_protected_as_the_endpoint_is_unless_it_is_said_to_be_open() -> None:
    async with serving(make_app().asgi(authenticate=Keys())) as port:
        assert (await ask(port, "/page")).status == 401
        known = await ask(port, "/page", headers={"authorization": "Bearer right"})
        assert known.body.startswith(b"for ada from")
        assert (await ask(port, "/open")).body == b"open"


async def test_a_page_of_an_allowed_origin_may_use_a_route() -> None:
    origin = {"origin": "https://app.example"}
    async with serving(make_app().asgi(allowed_origins=("https://app.example",))) as port:
        asked = await ask(
            port, "/items/a/parts/b", "OPTIONS", headers={**origin, "access-control-request-method": "PUT"}
        )
        assert (asked.status, asked.headers["access-control-allow-methods"]) == (204, "GET, PUT, HEAD")
        for path in ("/page", "/theirs"):
            answer = await ask(port, path, headers=origin)
            assert answer.headers["access-control-allow-origin"] == "https://app.example"


async def test_routes_are_below_where_the_app_is_mounted() -> None:
    web = Starlette(routes=[Mount("/in", app=make_app().asgi(health="/health"))])
    async with serving(web) as port:
        assert (await ask(port, "/in/page")).body == b"for anyone from 127.0.0.1"
        assert (await ask(port, "/in/items/a/parts/b")).json["path"] == "/items/a/parts/b"
        assert (await ask(port, "/in/health")).json == {"status": "ready"}
        assert (await ask(port, "/page")).status == 404


@pytest.mark.parametrize(
    "path,methods,said",
    [
        ("page", ["GET"], "has to begin with a slash"),
        ("/a{b}", ["GET"], "neither plain nor one whole"),
        ("/{a}/{a}", ["GET"], "a name twice"),
        ("/x", [], "no list of methods"),
        ("/x", "GET", "no list of methods"),
        ("/x", ["G T"], "no method of HTTP"),
        ("/twice/{b}", ["POST", "GET"], r"GET /twice/\{b\} has a route already, at .*test_custom_routes.py:"),
    ],
)
def test_a_route_that_makes_no_sense_is_refused_where_it_stands(path: str, methods: Any, said: str) -> None:
    app = App("refused")

    @app.custom_route("/twice/{a}")
    async def first(request: Request) -> str:
        return ""

    async def fn(request: Request) -> str:
        return ""

    with pytest.raises(RegistrationError, match=said) as refused:
        app.custom_route(path, methods=methods)(fn)
    assert re.search(r"test_custom_routes\.py:\d+", refused.value.where)


@pytest.mark.parametrize("path", ["/mcp", "/health/live", "/{anything}", "/mcp/sse"])
def test_what_the_server_itself_serves_is_taken(path: str) -> None:
    app = App("taken")

    @app.custom_route(path)
    async def mine(request: Request) -> str:
        return ""

    with pytest.raises(ValueError, match="taken by the server itself"):
        app.asgi(health="/health", http_sse=True)


@pytest.mark.parametrize("broken", [{"headers": {"x": "a\r\nb: c"}}, {"status": 101}])
def test_an_answer_that_would_break_out_of_its_line_is_refused(broken: Any) -> None:
    with pytest.raises(ValueError, match=r"line breaks|no status"):
        Response("x", **broken)


# Health


async def test_health_is_told_to_anyone_by_any_name() -> None:
    app = make_app()
    async with serving(app.asgi(health="/health", authenticate=Keys())) as port:
        for path, status in (("/health", "ready"), ("/health/ready", "ready"), ("/health/live", "live")):
            answer = await ask(port, path, headers={"host": "10.0.0.7:8000"})
            assert (answer.status, json.loads(answer.body)) == (200, {"status": status})
            assert answer.headers["cache-control"] == "no-store"
        assert (await ask(port, "/health", "POST", b"{}")).status == 405
        assert (await ask(port, "/healthy")).status == 404
        assert (await ask(port, "/page", headers={"host": "10.0.0.7:8000"})).status == 403


async def test_a_server_that_drains_lives_and_is_not_ready() -> None:
    app = make_app().asgi(health="/health")
    async with serving(app) as port:
        await app.drain()
        answer = await ask(port, "/health")
        assert (answer.status, answer.json) == (503, {"status": "draining"})
        assert (await ask(port, "/health/live")).status == 200
        assert (await ask(port, "/page")).status == 503


async def test_a_server_that_does_not_start_is_not_ready() -> None:
    tries = 0

    @asynccontextmanager
    async def life(app: App) -> AsyncIterator[None]:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise OSError("not yet")
        yield

    async with serving(make_app(lifespan=life).asgi(health="/health"), lifespan="off") as port:
        answer = await ask(port, "/health")
        assert (answer.status, answer.json) == (503, {"status": "not started"})
        assert (await ask(port, "/health")).status == 200, "a probe starts an app that is mounted"


async def test_a_server_whose_store_does_not_answer_is_not_ready() -> None:
    class Silent(MemoryStore):
        pass

    store = Silent()

    async def load(id: str) -> Any:
        raise StoreError("gone")

    store.sessions.load = load
    async with serving(make_app().asgi(health="/health", store=store)) as port:
        answer = await ask(port, "/health")
        assert (answer.status, answer.json) == (503, {"status": "store"})


@pytest.mark.parametrize("health", ["health", "/", "/mcp"])
def test_a_health_path_that_is_none_is_refused(health: str) -> None:
    with pytest.raises(ValueError, match="beside the endpoint"):
        App("health").asgi(health=health)


async def test_a_prober_reaches_an_app_that_serves_itself(tmp_path: Path) -> None:
    lines: asyncio.Queue[str] = asyncio.Queue()
    task = asyncio.create_task(make_app().serve("http", port=0, health="/health", announce=lines.put_nowait))
    port = int((await lines.get()).split(":")[3].partition("/")[0])
    assert (await ask(port, "/health")).status == 200
    assert (await ask(port, "/page")).status == 200
    await Prober(port).ready()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
