"""A live service of FastAPI's, called through a client of an app that its document is mounted on: what the service
understood is what the tool was given, and what it answered is what the tool gives.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from shop_service import service

from dovetail import App, Client
from dovetail.errors import InvalidParams
from dovetail.openapi import OpenAPIProvider, RouteRule
from dovetail.testing import served
from dovetail.types import ImageContent, TextContent, ToolAnnotations


@asynccontextmanager
async def running() -> AsyncIterator[str]:
    """The service, on a port of its own."""
    async with served(service) as url:
        yield url.removesuffix("/mcp")


@asynccontextmanager
async def client_of(**options: Any) -> AsyncIterator[Client]:
    """A client of an app that offers the service."""
    async with running() as url:
        app = App("front")
        provider = OpenAPIProvider(service.openapi(), server=url, allow_loopback=True, **options)
        app.mount(None, provider)
        async with Client(app) as client:
            yield client


async def test_what_the_service_understands_is_what_was_said() -> None:
    async with client_of() as client:
        given = {
            "part_id": "7",
            "day": "2026-07-28",
            "q": ["a b", "c&d=ü"],
            "exact": True,
            "weight": 2,
            "x-trace": "t",
            "session": "s",
        }
        found = await client.call_tool("find_part", given)
        assert found.structured == {
            "part_id": 7,
            "day": "2026-07-28",
            "q": ["a b", "c&d=ü"],
            "exact": True,
            "weight": 2.0,
            "x_trace": "t",
            "session": "s",
        }
        found = await client.call_tool("change_part", {"name": "a/b", "body_name": "c", "notify": True})
        assert found.is_error  # %2F is a slash to this service, and no part of one name
        found = await client.call_tool("change_part", {"name": "a%b", "body_name": "c", "notify": True})
        assert found.structured == {
            "path": "a%b",
            "body": {"name": "c", "price": None, "parts": []},
            "notify": True,
        }
        found = await client.call_tool("order", {"item": "a+b &", "count": [3, 4]})
        assert found.structured == {"item": "a+b &", "count": [3, 4]}
        found = await client.call_tool("send_text", {"body": "line\nü"})
        assert found.structured == {"text": "line\nü"}


async def test_files_arrive_as_they_are() -> None:
    async with client_of() as client:
        data = bytes(range(256))
        first = {
            "blob": base64.b64encode(data).decode(),
            "filename": "a b.bin",
            "mimeType": "application/x-thing",
        }
        found = await client.call_tool(
            "send_pictures", {"first": first, "others": [{"text": "ü"}], "note": "n"}
        )
        assert found.structured == {
            "files": [
                ["a b.bin", "application/x-thing", data.hex()],
                ["others", "application/octet-stream", "ü".encode().hex()],
            ],
            "note": "n",
        }
        found = await client.call_tool("send_raw", {"body": {"blob": base64.b64encode(data).decode()}})
        assert found.structured == {"hex": data.hex(), "type": "application/octet-stream"}


async def test_answers_of_every_kind() -> None:
    async with client_of() as client:
        tools = {each.name: each for each in (await client.list_tools()).tools}
        found = await client.call_tool("numbers", {"count": 3})
        assert found.structured == {"result": [0, 1, 2]}
        assert tools["numbers"].output_schema is not None
        assert tools["numbers"].output_schema["required"] == ["result"]
        (image,) = (await client.call_tool("picture", {})).content
        assert isinstance(image, ImageContent)
        assert (base64.b64decode(image.data), image.mime_type) == (b"\x89PNG", "image/png")
        (empty,) = (await client.call_tool("remove_part", {"name": "a"})).content
        assert isinstance(empty, TextContent)
        assert "204 No Content" in empty.text
        busy = await client.call_tool("remove_part", {"name": "busy"})
        assert busy.is_error
        assert "503 Service Unavailable" in busy.text
        assert "after 7 seconds" in busy.text
        assert "come again" in busy.text


async def test_annotations_say_what_the_method_means() -> None:
    async with client_of() as client:
        tools = (await client.list_tools()).tools
        said = {each.name: each.annotations or ToolAnnotations() for each in tools}
        assert said["find_part"].read_only_hint is True
        assert (said["add_part"].read_only_hint, said["add_part"].idempotent_hint) == (False, False)
        assert (said["change_part"].idempotent_hint, said["change_part"].destructive_hint) == (True, True)
        assert (said["remove_part"].idempotent_hint, said["remove_part"].destructive_hint) == (True, True)


async def test_arguments_that_do_not_fit_are_never_sent() -> None:
    async with client_of() as client:
        found = await client.call_tool("find_part", {"part_id": "x", "day": "2026-07-28"})
        assert found.is_error
        assert "part_id" in found.text
        found = await client.call_tool("find_part", {"part_id": 1, "day": "2026-07-28", "colour": 1})
        assert found.is_error
        assert "colour" in found.text


async def test_operations_become_resources_where_a_rule_says_so() -> None:
    rules = [
        RouteRule("resource", path="/numbers/*"),
        RouteRule("resource", ids=["search", "picture"]),
        RouteRule("hidden", methods=["post", "PUT"]),
    ]
    async with client_of(rules=rules) as client:
        assert {each.name for each in (await client.list_tools()).tools} == {"find_part", "remove_part"}
        (picture,) = (await client.list_resources()).resources
        assert picture.uri == "api://shop/picture"
        assert picture.mime_type is None, "the document has none"
        found = (await client.read("api://shop/picture")).contents[0]
        assert (found.blob, found.mime_type) == (base64.b64encode(b"\x89PNG").decode(), "image/png")
        templates = (await client.list_resource_templates()).resource_templates
        assert sorted(each.uri_template for each in templates) == [
            "api://shop/numbers/{count}",
            "api://shop/search{?limit,tags*}",
        ]
        assert {each.mime_type for each in templates} == {"application/json"}
        assert (await client.read("api://shop/numbers/3")).contents[0].text == "[0,1,2]"
        assert (await client.read("api://shop/search?limit=5&tags=a&tags=b")).contents[
            0
        ].text == '{"limit":5,"tags":["a","b"]}'
        with pytest.raises(InvalidParams, match="no resource"):
            await client.read("api://shop/nothing")


async def test_a_document_behind_a_url_is_fetched_when_the_app_starts() -> None:
    async with running() as url:
        app = App("front")
        app.mount(
            "shop", OpenAPIProvider(f"{url}/openapi.json", allow_loopback=True)
        )  # its server is relative: "/"
        async with Client(app) as client:
            found = await client.call_tool("shop_numbers", {"count": 2})
            assert found.structured == {"result": [0, 1]}
