"""A `ToolError` is what the model reads, whoever raised it: middleware, that of a mounted app, or a provider."""

from __future__ import annotations

from typing import Any

import pytest

from dovetail import App, Client, Declined, ToolError
from dovetail.errors import InternalError
from dovetail.middleware import Call, Channel, Encoded, ErrorTable, Handler, Result
from dovetail.providers import Offer, Provided, ProvidedPage, Provider
from dovetail.revisions import REVISIONS
from dovetail.types import Tool

EVERY = pytest.mark.parametrize("revision", REVISIONS)


async def closed(call: Call, channel: Channel, handler: Handler) -> Result | Encoded:
    if call.method in ("tools/call", "prompts/get"):
        raise ToolError("closed on Mondays")
    return await handler(call, channel)


class Failing(Provider):
    """One tool, which raises what it is given."""

    def __init__(self, problem: Exception) -> None:
        self.problem = problem

    @property
    def offers(self) -> frozenset[Offer]:
        return frozenset({"tools"})

    async def list_tools(self, call: Call, channel: Channel, cursor: str | None) -> ProvidedPage[Tool]:
        async def answer(call: Call, channel: Channel) -> Result:
            raise self.problem

        return ProvidedPage(
            [Provided(described=Tool(name="try", input_schema={"type": "object"}), answer=answer)]
        )


def shop(*middleware: Any) -> App:
    app = App("shop", middleware=middleware)

    @app.tool
    async def buy() -> int:
        return 1

    @app.prompt
    async def praise() -> str:
        return "Praise it."

    return app


@EVERY
async def test_middleware_tells_the_model(revision: str) -> None:
    outer = App("outer")
    outer.mount("shop", shop(closed))
    for app, name in ((shop(closed), "buy"), (outer, "shop_buy")):
        async with Client(app, revision=revision) as client:
            result = await client.call_tool(name)
            assert (result.is_error, result.text, result.structured) == (True, "closed on Mondays", None)


@EVERY
async def test_where_no_tool_was_called_it_is_an_error_of_the_protocol(revision: str) -> None:
    async with Client(shop(closed), revision=revision) as client:
        with pytest.raises(InternalError, match="closed on Mondays"):
            await client.get_prompt("praise")


@EVERY
@pytest.mark.parametrize("problem", [ToolError("no row 7"), Declined("the person declined: sure?")])
async def test_a_provider_tells_the_model(revision: str, problem: Exception) -> None:
    app = App("desk")
    app.mount(None, Failing(problem))
    async with Client(app, revision=revision) as client:
        result = await client.call_tool("try")
        assert (result.is_error, result.text) == (True, str(problem))


@EVERY
async def test_a_table_of_errors_tells_the_model_of_what_a_provider_raises(revision: str) -> None:
    app = App("desk", middleware=[ErrorTable({OSError: "The archive is closed."})])
    app.mount(None, Failing(ConnectionResetError("db-7, password hunter2")))
    async with Client(app, revision=revision) as client:
        result = await client.call_tool("try")
        assert (result.is_error, result.text) == (True, "The archive is closed.")
