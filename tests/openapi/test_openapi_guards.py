"""Where requests may go, what may be in them, whose credentials they have, and what of the answers is let through."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

import pytest
from capturing import Capturing, answer, capturing, document, operation, parameter

from dovetail import App, Client, Principal, ToolResult
from dovetail.errors import FetchRefused, LifespanFailed
from dovetail.openapi import DocumentInvalid, OpenAPIProvider, RouteRule
from dovetail.types import AudioContent, EmbeddedResource, TextContent

JSON = "content-type: application/json"


@asynccontextmanager
async def offered(given: dict[str, Any], **options: Any) -> AsyncIterator[tuple[Client, Capturing]]:
    """A client of an app that offers a document, and the server that it names."""
    async with capturing() as server:
        app = App("front")
        options = {"server": server.url, "allow_loopback": True, **options}
        app.mount(None, OpenAPIProvider(given, **options))
        async with Client(app) as client:
            yield client, server


async def called(
    described: dict[str, Any], *answers: bytes, arguments: dict[str, Any] | None = None, **options: Any
) -> tuple[ToolResult, Capturing]:
    """The result of one call of an operation, and the server that was asked."""
    method = options.pop("method", "get")
    async with offered(document({options.pop("path", "/p"): {method: described}}), **options) as (
        client,
        server,
    ):
        server.answers += answers
        return await client.call_tool("it", arguments or {}), server


STEPS = [
    "..",
    ".",
    "../x",
    "a/../b",
    "..\\x",
    "%2e%2e",
    "%2E%2E%2Fx",
    "%252e%252e/x",
    "..;/x",
    " .. ",
    "a/..",
    "\x00",
    "a\r\nb",
    "%00",
    "",
]


@pytest.mark.parametrize("value", STEPS, ids=repr)
async def test_v43_no_argument_is_a_step_in_the_path(value) -> None:
    described = operation(parameter("path"))
    found, server = await called(described, arguments={"color": value}, path="/users/{color}/data")
    assert found.is_error
    assert "'color'" in found.text
    assert server.requests == []


ELSEWHERE = [
    "../admin",
    "%2e%2e%2f",
    "//evil.example",
    "?x=1",
    "@evil.example",
    "#x",
    "\\\\evil.example",
    "a/b",
]


@pytest.mark.parametrize("value", ELSEWHERE)
async def test_v43_no_argument_leads_to_another_path_or_host(value) -> None:
    """In the path it is one segment, or nothing is sent; anywhere else it is a value."""
    found, server = await called(
        operation(parameter("path")), arguments={"color": value}, path="/users/{color}/data"
    )
    assert found.is_error == (not server.requests)
    for request in server.requests:
        assert re.fullmatch(r"GET /users/[^/?#@]+/data", request.line)
        assert unquote(request.line.removeprefix("GET ")) == f"/users/{value}/data"
    described = operation(
        parameter("query", name="q"),
        parameter("query", name="open", allowReserved=True),
        parameter("header", name="X-Color"),
        parameter("cookie", name="c"),
        requestBody={"content": {"application/json": {"schema": {}}}},
    )
    given: dict[str, Any] = dict.fromkeys(("q", "open", "X-Color", "c", "body"), value)
    found, server = await called(described, arguments=given, method="post")
    assert not found.is_error
    assert re.fullmatch(r"POST /p\?q=[^&#]+&open=[^&#]+", server.last.line)
    assert server.last.header("host") == [server.url.removeprefix("http://")]
    assert server.last.header("x-color") == [value]
    assert len(server.requests) == 1


@pytest.mark.parametrize("value", [["a", ".."], {"..": "x"}, {"x": "../y"}], ids=repr)
async def test_v43_nor_is_a_part_of_one(value) -> None:
    described = operation(parameter("path", style="simple", explode=True))
    found, server = await called(described, arguments={"color": value}, path="/users/{color}")
    assert found.is_error
    assert server.requests == []


async def test_v43_two_arguments_that_are_a_step_only_together() -> None:
    described = operation(
        parameter("path", name="a", style="label"), parameter("path", name="b", style="label")
    )
    found, server = await called(described, arguments={"a": "", "b": ""}, path="/users/{a}{b}/x")
    assert found.is_error
    assert server.requests == []


@pytest.mark.parametrize(
    "value", ["a\r\nx-admin: 1", "a\nb", "\x00", "ü", ["a", "b\r\nc"], {"a\r\nb": 1}], ids=repr
)
async def test_v43_no_argument_ends_a_header(value) -> None:
    found, server = await called(operation(parameter("header", name="X-Color")), arguments={"X-Color": value})
    assert found.is_error
    assert server.requests == []


async def test_v43_no_argument_ends_a_cookie_or_a_query() -> None:
    described = operation(
        parameter("cookie"), parameter("query", name="q"), parameter("query", name="r", allowReserved=True)
    )
    _, server = await called(
        described, arguments={"color": "a; admin=1\r\nx: y", "q": "a&b=c#d\r\n", "r": "a&b=c#d\r\n"}
    )
    assert server.last.header("cookie") == ["color=a%3B%20admin=1%0D%0Ax:%20y"]
    assert server.last.line == "GET /p?q=a%26b%3Dc%23d%0D%0A&r=a%26b=c%23d%0D%0A"


async def test_no_argument_ends_a_part_of_a_form() -> None:
    schema = {
        "type": "object",
        "properties": {"f": {"type": "string", "format": "binary"}, 'n"\r\nx: y': {"type": "string"}},
    }
    described = operation(requestBody={"content": {"multipart/form-data": {"schema": schema}}})
    given = {"f": {"text": "t", "filename": 'a"\r\nx: y', "mimeType": "text/plain"}, "n_x_y": "v"}
    _, server = await called(described, arguments=given, method="post")
    assert b'name="f"; filename="a%22%0D%0Ax: y"' in server.last.body
    assert b'name="n%22%0D%0Ax: y"' in server.last.body
    found, server = await called(
        described, arguments={"f": {"text": "t", "mimeType": "text/plain\r\nx: y"}}, method="post"
    )
    assert found.is_error
    assert server.requests == []


@pytest.mark.parametrize(
    "server, option",
    [
        ("http://127.0.0.1:1", "allow_loopback"),
        ("https://127.0.0.1:1", "allow_loopback"),
        ("https://10.0.0.1", "allow_private"),
        ("https://169.254.169.254", ""),
        ("https://[::1]", "allow_loopback"),
        ("https://localhost", "allow_loopback"),
        ("https://100.100.100.200", ""),
        ("http://example.com", "allow_http"),
    ],
)
async def test_v43_what_is_no_public_https_address_is_refused(server, option) -> None:
    """With the option that would allow it, where there is one."""
    app = App("front")
    app.mount(None, OpenAPIProvider(document({"/p": {"get": operation()}}), server=server))
    async with Client(app) as client:
        found = await client.call_tool("it", {})
        assert found.is_error
        assert "was not sent" in found.text
        assert found.text.endswith(f"; {option}=True would allow it" if option else ")")


async def test_so_is_a_document_there() -> None:
    app = App("front")
    app.mount(None, OpenAPIProvider("http://127.0.0.1:1/openapi.json"))
    with pytest.raises(LifespanFailed, match=r"; allow_loopback=True would allow it$") as caught:
        async with Client(app):
            pass
    assert isinstance(caught.value.__cause__, FetchRefused)
    assert caught.value.__cause__.allowed_by == "allow_loopback"


@pytest.mark.parametrize(
    "server",
    [
        "https://u:p@example.com",
        "https://exa mple.com",
        "ftp://example.com",
        "//example.com",
        "https://example.com/?a=b",
        "https://example.com/#x",
        "/v1",
        "https://2130706433",
    ],
)
def test_a_server_that_can_not_be_used(server) -> None:
    with pytest.raises(DocumentInvalid):
        OpenAPIProvider(document({"/p": {"get": operation()}}, servers=[{"url": server}]))


async def test_the_variables_of_a_server() -> None:
    variables = {"host": {"default": "a.example.com"}, "v": {"default": "1", "enum": ["1", "2"]}}
    servers = [{"url": "https://{host}/v{v}/", "variables": variables}]
    given = document({"/p": {"get": operation()}}, servers=servers)
    with pytest.raises(DocumentInvalid, match="one of 1, 2"):
        OpenAPIProvider(given, variables={"v": "3"})
    with pytest.raises(DocumentInvalid, match="plain URL"):
        OpenAPIProvider(given, variables={"host": "evil example"})
    async with capturing() as server:
        servers[0]["url"] = "http://{host}/v{v}/"
        app = App("front")
        host = server.url.removeprefix("http://")
        app.mount(None, OpenAPIProvider(given, variables={"v": "2", "host": host}, allow_loopback=True))
        async with Client(app) as client:
            await client.call_tool("it", {})
        assert server.last.line == "GET /v2/p"


async def test_v43_a_redirect_to_another_host_is_not_followed() -> None:
    async with capturing() as other:
        away = answer("302 Found", b"", f"location: {other.url}/taken")
        found, server = await called(operation(), away)
        assert found.is_error
        assert f"redirects to {other.url}/taken, which is not followed" in found.text
        assert (len(server.requests), len(other.requests)) == (1, 0)


async def test_a_redirect_within_the_host_is_followed_by_what_only_reads() -> None:
    moved = answer("307 Temporary Redirect", b"", "location: /q?x=1")
    _, server = await called(operation(), moved)
    assert [each.line for each in server.requests] == ["GET /p", "GET /q?x=1"]
    found, server = await called(operation(), moved, method="post")
    assert found.is_error
    assert len(server.requests) == 1
    found, server = await called(operation(), *[moved] * 9)
    assert found.is_error
    assert len(server.requests) == 4


SCHEMES = {
    "head": {"type": "apiKey", "in": "header", "name": "X-Key"},
    "ask": {"type": "apiKey", "in": "query", "name": "key"},
    "cook": {"type": "apiKey", "in": "cookie", "name": "sid"},
    "basic": {"type": "http", "scheme": "basic"},
    "bearer": {"type": "http", "scheme": "Bearer"},
    "oauth": {"type": "oauth2", "flows": {}},
    "oidc": {"type": "openIdConnect", "openIdConnectUrl": "https://x.example"},
    "digest": {"type": "http", "scheme": "Digest"},
}


def secured(*alternatives: dict[str, Any], **members: Any) -> dict[str, Any]:
    described = operation(parameter("query", name="key"), security=list(alternatives), **members)
    return document({"/p": {"get": described}}, components={"securitySchemes": SCHEMES})


@pytest.mark.parametrize(
    "scheme,credential,header,value",
    [
        ("head", "k 1", "x-key", "k 1"),
        ("cook", "c", "cookie", "sid=c"),
        ("basic", "me:it", "authorization", "Basic " + base64.b64encode(b"me:it").decode()),
        ("bearer", "t", "authorization", "Bearer t"),
        ("oauth", "t", "authorization", "Bearer t"),
        ("oidc", "t", "authorization", "Bearer t"),
        ("digest", "x=y", "authorization", "Digest x=y"),
    ],
)
async def test_a_credential_goes_where_its_scheme_says(scheme, credential, header, value) -> None:
    async with offered(secured({scheme: []}), auth={scheme: credential}) as (client, server):
        await client.call_tool("it", {"key": "mine"})
        assert server.last.header(header) == [value]
        assert server.last.line == "GET /p?key=mine"


async def test_a_credential_in_the_query_is_no_argument_of_the_model() -> None:
    async with offered(secured({"ask": []}), auth={"ask": "s&t"}) as (client, server):
        (tool,) = (await client.list_tools()).tools
        assert tool.input_schema["properties"] == {}
        await client.call_tool("it", {})
        assert server.last.line == "GET /p?key=s%26t"


async def test_the_first_alternative_that_can_be_met_is_taken() -> None:
    async with offered(
        secured({"head": [], "cook": []}, {"bearer": []}), auth={"head": "h", "bearer": "b"}
    ) as (client, server):
        await client.call_tool("it", {})
        assert (server.last.header("x-key"), server.last.header("authorization")) == ([], ["Bearer b"])


async def test_a_credential_that_is_asked_for_at_each_call() -> None:
    seen: list[Principal] = []

    async def token(principal: Principal) -> str:
        seen.append(principal)
        return f"t{len(seen)}"

    async with offered(secured({"bearer": []}), auth={"bearer": token}) as (client, server):
        await client.call_tool("it", {})
        await client.call_tool("it", {})
        assert [each.header("authorization") for each in server.requests] == [["Bearer t1"], ["Bearer t2"]]
        assert [each.is_anonymous for each in seen] == [True, True]


@pytest.mark.parametrize("bad", ["", "a\r\nx: y", None, "ü"])
async def test_a_credential_that_can_not_be_sent_is_not(bad) -> None:
    async with offered(secured({"bearer": []}), auth={"bearer": lambda _: bad}) as (client, server):
        found = await client.call_tool("it", {})
        assert found.is_error
        assert "no credential 'bearer'" in found.text
        assert server.requests == []


def test_a_credential_for_a_scheme_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="it has ask, basic"):
        OpenAPIProvider(secured(), server="https://example.com", auth={"nothing": "x"})


PROBLEM = b'{"type":"about:blank","title":"Out of stock","detail":"none left\\u001b[31m","sku":"x"}'


async def test_a_problem_is_told_so_that_a_model_can_act() -> None:
    found, _ = await called(
        operation(),
        answer("409 Conflict", PROBLEM, "content-type: application/problem+json", "retry-after: 30"),
    )
    assert found.is_error
    assert found.text.splitlines() == [
        "GET /p was answered with 409 Conflict.",
        "It may be called again after 30 seconds.",
        "Out of stock",
        "none left\\x1b[31m",
        '{"sku":"x"}',
    ]


async def test_the_body_of_an_error_is_cut() -> None:
    found, _ = await called(
        operation(), answer("500 Internal Server Error", b"x" * 100_000, "content-type: text/plain")
    )
    assert found.is_error
    assert len(found.text) < 2500
    assert "100000 characters" in found.text


async def test_an_answer_that_is_larger_than_allowed() -> None:
    found, _ = await called(
        operation(), answer("200 OK", b"x" * 5000, "content-type: text/plain"), max_answer=1000
    )
    assert found.is_error
    assert "more than 1000 bytes" in found.text


async def test_no_answer_in_time_and_none_at_all() -> None:
    async with offered(document({"/p": {"post": operation()}}), timeout=0.2) as (client, server):
        server.answers.append(b"")
        found = await client.call_tool("it", {})
        assert found.is_error
        assert "within 0.2 s" in found.text
        assert "not known" in found.text, "a POST may have been carried out"


PROMISED = {
    "200": {
        "description": "",
        "content": {
            "application/json": {
                "schema": {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
            }
        },
    }
}


@pytest.mark.parametrize("body", [b'{"a": "x"}', b"{}", b"[]", b"not json", b""])
async def test_an_answer_that_is_not_what_was_promised_says_that_the_call_was_made(body) -> None:
    found, _ = await called(operation(responses=PROMISED), answer("200 OK", body, JSON))
    assert found.is_error
    assert "was carried out (200 OK)" in found.text
    assert body.decode() in found.text


async def test_it_is_let_through_where_nothing_is_promised() -> None:
    found, _ = await called(
        operation(responses=PROMISED), answer("200 OK", b'{"a": "x"}', JSON), output_schemas=False
    )
    assert (found.is_error, found.structured) == (False, {"a": "x"})


async def test_a_promise_that_may_be_empty_is_none() -> None:
    described = operation(responses={**PROMISED, "204": {"description": "none"}})
    async with offered(document({"/p": {"get": described}})) as (client, server):
        (tool,) = (await client.list_tools()).tools
        assert tool.output_schema is None
        server.answers.append(answer("204 No Content"))
        found = await client.call_tool("it", {})
        assert not found.is_error


async def test_sounds_bytes_and_texts_in_other_encodings() -> None:
    (sound,) = (await called(operation(), answer("200 OK", b"RIFF", "content-type: audio/wav")))[0].content
    assert isinstance(sound, AudioContent)
    (blob,) = (await called(operation(), answer("200 OK", b"\x00", "content-type: application/zip")))[
        0
    ].content
    assert isinstance(blob, EmbeddedResource)
    assert (blob.resource.blob, blob.resource.mime_type) == ("AA==", "application/zip")
    (latin,) = (
        await called(operation(), answer("200 OK", b"\xfc", "content-type: text/plain; charset=ISO-8859-1"))
    )[0].content
    assert isinstance(latin, TextContent)
    assert latin.text == "ü"


def named(*ids: str | None, path: str = "/p{}", **options: Any) -> list[str]:
    paths = {
        path.format(place): {"get": {"operationId": each, "responses": {}} if each else {"responses": {}}}
        for place, each in enumerate(ids)
    }
    provider = OpenAPIProvider(document(paths), server="https://example.com", **options)
    return [each.name for each in provider.known("tools", None) or ()]


def test_names_of_tools() -> None:
    assert named("repos/list-for-org", "a b.c", None, "ü", "x" * 99) == [
        "repos_list-for-org",
        "a_b_c",
        "get_p2",
        "operation",
        "x" * 64,
    ]
    assert named("a b", "a_b", "a/b", "y" * 64, "y" * 65) == [
        "a_b",
        "a_b_2",
        "a_b_3",
        "y" * 64,
        "y" * 62 + "_2",
    ]
    assert named("a", None, names={"a": "first", "GET /p1": "a"}) == ["first", "a"]
    for wrong in ({"b": "x"}, {"a": "no name"}, {"a": "x", "GET /p1": "x"}):
        with pytest.raises(ValueError, match="names="):
            named("a", None, names=wrong)


def test_arguments_of_one_name_say_where_they_go() -> None:
    schema = {"type": "object", "properties": {"id": {"type": "string"}}}
    described = operation(
        *(parameter(place, name="id") for place in ("query", "header", "cookie", "path")),
        parameter("query", name="filter[x]"),
        requestBody={"content": {"application/json": {"schema": schema}}},
    )
    provider = OpenAPIProvider(document({"/p/{id}": {"post": described}}), server="https://example.com")
    (tool,) = (each.described for each in provider.known("tools", None) or ())
    assert list(tool.input_schema["properties"]) == [
        "query_id",
        "header_id",
        "cookie_id",
        "id",
        "filter_x",
        "body_id",
    ]
    assert tool.input_schema["properties"]["filter_x"]["description"] == "(sent as filter[x])"
    assert tool.input_schema["required"] == ["id"]


@pytest.mark.parametrize(
    "rules,left",
    [
        ([], {"a", "b", "c"}),
        ([RouteRule("hidden", tags=["admin"])], {"b", "c"}),
        ([RouteRule("hidden", path="/admin/*")], {"b", "c"}),
        ([RouteRule("hidden", methods=["post"])], {"a", "b"}),
        ([RouteRule("hidden", ids=["b"]), RouteRule("hidden", where=lambda each: each.deprecated)], {"a"}),
        ([RouteRule("tool", ids=["a"]), RouteRule("hidden")], {"a"}),
        ([RouteRule("hidden", methods=["GET"], tags=["other"])], {"a", "b", "c"}),
    ],
)
def test_the_first_rule_that_fits_decides(rules, left) -> None:
    paths = {
        "/admin/x": {"get": operation(operationId="a", tags=["admin"])},
        "/b": {"get": operation(operationId="b")},
        "/c": {"post": operation(operationId="c", deprecated=True)},
    }
    provider = OpenAPIProvider(document(paths), server="https://example.com", rules=rules)
    assert {each.name for each in provider.known("tools", None) or ()} == left


def test_rules_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="a tool, a resource, or hidden"):
        RouteRule("prompt")  # type: ignore[arg-type] - what is tested
    with pytest.raises(TypeError, match="collection of texts"):
        RouteRule("hidden", tags="admin")
    with pytest.raises(DocumentInvalid, match="only what is a GET"):
        OpenAPIProvider(
            document({"/p": {"post": operation()}}),
            server="https://example.com",
            rules=[RouteRule("resource")],
        )


async def test_a_call_that_is_given_up_ends_its_request() -> None:
    async with offered(document({"/p": {"get": operation()}})) as (client, server):
        server.answers.append(b"")
        call = asyncio.create_task(client.call_tool("it", {}))
        while not server.requests:  # noqa: ASYNC110 - the server keeps a list, and tells nobody
            await asyncio.sleep(0.005)
        (serving,) = server.serving
        call.cancel()
        await asyncio.wait_for(asyncio.shield(serving), 10)


async def test_arguments_are_not_checked_by_a_schema_that_can_not_be_compiled() -> None:
    """The API has to say then what does not fit."""
    schemas: dict[str, Any] = {
        f"S{n}": {
            "type": "object",
            "properties": {side: {"$ref": f"#/components/schemas/S{n + 1}"} for side in "ab"},
        }
        for n in range(30)
    }
    given = document(
        {
            "/p": {
                "post": operation(
                    requestBody={
                        "required": True,
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/S0"}}},
                    }
                )
            }
        },
        components={"schemas": {**schemas, "S30": {"type": "string"}}},
    )
    async with offered(given) as (client, server):
        await client.call_tool("it", {"a": {"b": {}}})
        assert server.last.body == b'{"a":{"b":{}}}'
