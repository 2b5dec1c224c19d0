"""What goes over the socket, byte for byte beside what `httpx` sends for the same: the target, the headers that say
something of the call, and the body. (httpx writes blanks of a query as ``+``, as forms do; `%20` is what URLs have.)
"""

from __future__ import annotations

import base64
import re
from typing import Any

import httpx
import pytest
from capturing import Captured, capturing
from shop_service import service

from dovetail import App, Client
from dovetail.openapi import OpenAPIProvider

AWKWARD = "a b&c=d/e?f#g%h+ü'\"~*"
CASES: list[tuple[str, dict[str, Any], tuple[str, str], dict[str, Any]]] = [
    (
        "find_part",
        {
            "part_id": 7,
            "day": "2026-07-28",
            "q": ["x y", AWKWARD],
            "exact": True,
            "weight": 1.5,
            "x-trace": "t 1",
            "session": "s1",
        },
        ("GET", "/parts/7/of/2026-07-28"),
        {
            "params": {"q": ["x y", AWKWARD], "exact": True, "weight": 1.5},
            "headers": {"x-trace": "t 1"},
            "cookies": {"session": "s1"},
        },
    ),
    (
        "search",
        {"limit": 5, "tags": ["a", "b"]},
        ("GET", "/search"),
        {"params": {"limit": 5, "tags": ["a", "b"]}},
    ),
    (
        "add_part",
        {"name": AWKWARD, "price": 2.0, "parts": [{"name": "x", "price": None}]},
        ("POST", "/parts"),
        {"json": {"name": AWKWARD, "price": 2.0, "parts": [{"name": "x", "price": None}]}},
    ),
    (
        "change_part",
        {"name": "n 1", "body_name": "n2", "notify": False},
        ("PUT", "/parts/n%201"),
        {"params": {"notify": False}, "json": {"name": "n2"}},
    ),
    (
        "order",
        {"item": AWKWARD, "count": [1, 2]},
        ("POST", "/orders"),
        {"data": {"item": AWKWARD, "count": ["1", "2"]}},
    ),
    (
        "send_pictures",
        {
            "first": {
                "blob": base64.b64encode(b"\x00\xff\r\n--").decode(),
                "filename": 'a "b"\r\n.png',
                "mimeType": "image/png",
            },
            "others": [
                {"text": "ü", "filename": "c.txt", "mimeType": "text/plain"},
                {"text": "", "filename": "d", "mimeType": "text/plain"},
            ],
            "note": "n\r\nm",
        },
        ("POST", "/pictures"),
        {
            "data": {"note": "n\r\nm"},
            "files": [
                ("first", ('a "b"\r\n.png', b"\x00\xff\r\n--", "image/png")),
                ("others", ("c.txt", "ü".encode(), "text/plain")),
                ("others", ("d", b"", "text/plain")),
            ],
        },
    ),
    (
        "send_raw",
        {"body": {"blob": base64.b64encode(b"\x00\x01").decode()}},
        ("POST", "/raw"),
        {"content": b"\x00\x01", "headers": {"content-type": "application/octet-stream"}},
    ),
    (
        "send_text",
        {"body": "line 1\nü"},
        ("POST", "/text"),
        {"content": "line 1\nü".encode(), "headers": {"content-type": "text/plain; charset=utf-8"}},
    ),
    ("remove_part", {"name": "a"}, ("DELETE", "/parts/a"), {}),
]


def said(request: Captured) -> tuple[Any, ...]:
    """What a request says: all but what every client says in its own way."""
    target, _, query = request.line.partition("?")
    kind = "".join(request.header("content-type"))
    boundary = re.search(r"boundary=(\S+)", kind)
    body = request.body
    if boundary is not None:
        body = body.replace(boundary[1].encode(), b"BOUNDARY")
        parts = sorted(body.removesuffix(b"--BOUNDARY--\r\n").split(b"--BOUNDARY\r\n"))
        body = b"--BOUNDARY\r\n".join(
            parts
        )  # a form has no order between names; within one it shows in the names here
        kind = kind.replace(boundary[1], "BOUNDARY")
    headers = [request.header(name) for name in ("x-trace", "cookie")]
    headers.append(request.header("content-length") or ["0"])  # no body may be said, or not
    return target, query.replace("+", "%20"), kind, headers, body


@pytest.mark.parametrize("tool,arguments,request_line,given", CASES, ids=[each[0] for each in CASES])
async def test_a_call_is_the_bytes_that_httpx_sends(tool, arguments, request_line, given) -> None:
    async with capturing() as server:
        app = App("front")
        app.mount(None, OpenAPIProvider(service.openapi(), server=server.url, allow_loopback=True))
        async with Client(app) as client:
            result = await client.call_tool(tool, arguments)
        assert len(server.requests) == 1, result.text
        cookies = given.pop("cookies", None)
        async with httpx.AsyncClient(cookies=cookies) as http:
            await http.request(request_line[0], server.url + request_line[1], **given)
        ours, theirs = server.requests
        assert said(ours) == said(theirs)
        assert ours.header("host") == theirs.header("host")
