"""Pages of a long list are bounded by bytes as well as by count, and nothing is on two of them or on none.

Follows: server/utilities/pagination.
"""

from __future__ import annotations

import pytest
from capturing import document, operation, parameter

from dovetail import App, Client
from dovetail.errors import InvalidParams
from dovetail.openapi import OpenAPIProvider
from dovetail.types import encode

LARGEST = 512 * 1024 + 256 * 1024 + 16 * 1024


def provider(count: int, size: int) -> OpenAPIProvider:
    """An API of so many operations, each with a schema of about so many bytes."""
    schema = {"type": "string", "enum": [f"{number:098}" for number in range(size // 100)]}
    paths = {
        f"/{number}": {"get": operation(parameter("query", schema), operationId=f"t{number}")}
        for number in range(count)
    }
    return OpenAPIProvider(document(paths), server="https://api.example.com", max_schema=1024 * 1024)


@pytest.mark.parametrize(
    "count, size, least", [(300, 10_000, 4), (30, 300_000, 15), (1500, 100, 2), (3, 100, 1)]
)
async def test_pages_are_bounded_in_bytes(count: int, size: int, least: int) -> None:
    app = App("front")
    app.mount(None, provider(count, size))
    names: list[str] = []
    pages, cursor = 0, None
    async with Client(app) as client:
        while True:
            page = await client.request("tools/list", {} if cursor is None else {"cursor": cursor})
            names += [each["name"] for each in page["tools"]]
            pages += 1
            assert len(page["tools"]) <= 1200
            assert len(encode(page)) < LARGEST
            cursor = page.get("nextCursor")
            if cursor is None:
                break
    assert names == [f"t{number}" for number in range(count)]
    assert pages >= least


async def test_a_cursor_of_another_list_is_an_error() -> None:
    app = App("front")
    app.mount(None, provider(3, 100))
    async with Client(app) as client:
        with pytest.raises(InvalidParams, match="cursor"):
            await client.request("tools/list", {"cursor": "7"})
