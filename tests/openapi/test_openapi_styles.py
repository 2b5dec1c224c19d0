"""Every style of every place, as the tables of the specification and RFC 6570 have it."""

from __future__ import annotations

from typing import Any

import pytest
from capturing import capturing, document, operation, parameter

from dovetail import App, Client
from dovetail.openapi import OpenAPIProvider

TEXT = "blue"
LIST = ["blue", "black", "brown"]
OBJECT = {"R": 100, "G": 200, "B": 150}

PATHS = [
    ("simple", False, TEXT, "blue"),
    ("simple", False, LIST, "blue,black,brown"),
    ("simple", False, OBJECT, "R,100,G,200,B,150"),
    ("simple", True, LIST, "blue,black,brown"),
    ("simple", True, OBJECT, "R=100,G=200,B=150"),
    ("label", False, TEXT, ".blue"),
    ("label", False, LIST, ".blue,black,brown"),
    ("label", False, OBJECT, ".R,100,G,200,B,150"),
    ("label", True, LIST, ".blue.black.brown"),
    ("label", True, OBJECT, ".R=100.G=200.B=150"),
    ("matrix", False, "", ";color"),
    ("matrix", False, TEXT, ";color=blue"),
    ("matrix", False, LIST, ";color=blue,black,brown"),
    ("matrix", False, OBJECT, ";color=R,100,G,200,B,150"),
    ("matrix", True, LIST, ";color=blue;color=black;color=brown"),
    ("matrix", True, OBJECT, ";R=100;G=200;B=150"),
    ("simple", False, "a/b c%ü", "a%2Fb%20c%25%C3%BC"),
    ("simple", False, ["a,b", "c"], "a%2Cb,c"),
    ("simple", False, 1.5, "1.5"),
    ("simple", False, True, "true"),
]
QUERIES = [
    ("form", True, "", "color="),
    ("form", True, TEXT, "color=blue"),
    ("form", True, LIST, "color=blue&color=black&color=brown"),
    ("form", True, OBJECT, "R=100&G=200&B=150"),
    ("form", False, LIST, "color=blue,black,brown"),
    ("form", False, OBJECT, "color=R,100,G,200,B,150"),
    ("spaceDelimited", False, LIST, "color=blue%20black%20brown"),
    ("spaceDelimited", False, OBJECT, "color=R%20100%20G%20200%20B%20150"),
    ("pipeDelimited", False, LIST, "color=blue%7Cblack%7Cbrown"),
    ("pipeDelimited", False, OBJECT, "color=R%7C100%7CG%7C200%7CB%7C150"),
    ("pipeDelimited", True, LIST, "color=blue&color=black&color=brown"),
    ("deepObject", True, OBJECT, "color%5BR%5D=100&color%5BG%5D=200&color%5BB%5D=150"),
    ("deepObject", True, {"a": {"b": 1}, "c": [1, 2]}, "color%5Ba%5D%5Bb%5D=1&color%5Bc%5D=1&color%5Bc%5D=2"),
    ("form", True, "a&b=c#d+e ü", "color=a%26b%3Dc%23d%2Be%20%C3%BC"),
    ("form", True, None, ""),
    ("form", True, [1, None, 2], "color=1&color=2"),
    ("form", True, [], ""),
]


async def sent(described: dict[str, Any], arguments: dict[str, Any], path: str = "/p") -> Any:
    """The request that a call makes."""
    method = "post" if "requestBody" in described else "get"
    async with capturing() as server:
        app = App("front")
        given = document({path: {method: described}})
        app.mount(None, OpenAPIProvider(given, server=server.url, allow_loopback=True))
        async with Client(app) as client:
            result = await client.call_tool("it", arguments)
        assert server.requests, result.text
        return server.last


@pytest.mark.parametrize("style,explode,value,written", PATHS)
async def test_a_path_parameter(style, explode, value, written) -> None:
    described = operation(parameter("path", style=style, explode=explode))
    request = await sent(described, {"color": value}, "/p/{color}/end")
    assert request.line == f"GET /p/{written}/end"


@pytest.mark.parametrize("style,explode,value,written", QUERIES)
async def test_a_query_parameter(style, explode, value, written) -> None:
    request = await sent(operation(parameter("query", style=style, explode=explode)), {"color": value})
    assert request.line == ("GET /p?" + written if written else "GET /p")


async def test_reserved_characters_stay_where_that_is_allowed() -> None:
    described = operation(parameter("query", allowReserved=True))
    request = await sent(described, {"color": "a/b?c:d,e;f@$!%20'()*=&#+"})
    assert request.line == "GET /p?color=a/b?c:d,e;f@$!%20'()*=%26%23%2B"


@pytest.mark.parametrize(
    "explode,value,written",
    [
        (False, TEXT, "blue"),
        (False, LIST, "blue,black,brown"),
        (False, OBJECT, "R,100,G,200,B,150"),
        (True, OBJECT, "R=100,G=200,B=150"),
    ],
)
async def test_a_header(explode, value, written) -> None:
    described = operation(parameter("header", name="X-Color", explode=explode))
    request = await sent(described, {"X-Color": value})
    assert request.header("x-color") == [written]


@pytest.mark.parametrize(
    "explode,value,written",
    [
        (True, "a b;c", "color=a%20b%3Bc"),
        (True, LIST, "color=blue; color=black; color=brown"),
        (False, LIST, "color=blue,black,brown"),
        (True, OBJECT, "R=100; G=200; B=150"),
    ],
)
async def test_a_cookie(explode, value, written) -> None:
    described = operation(parameter("cookie", explode=explode))
    request = await sent(described, {"color": value})
    assert request.header("cookie") == [written]


@pytest.mark.parametrize("place", ["query", "header", "cookie"])
async def test_a_parameter_that_is_written_as_json(place) -> None:
    described = operation(
        {"name": "color", "in": place, "content": {"application/json": {"schema": {"type": "object"}}}}
    )
    request = await sent(described, {"color": {"a": [1]}})
    written = {
        "query": "?color=%7B%22a%22%3A%5B1%5D%7D",
        "header": '{"a":[1]}',
        "cookie": "color={%22a%22:[1]}",
    }
    found = {
        "query": request.line,
        "header": "".join(request.header("color")),
        "cookie": "".join(request.header("cookie")),
    }
    assert found[place].endswith(written[place])
