"""NaN and the infinities are no JSON: who returns, keeps or sends one is told, and nobody reads a null instead."""

import logging
import math
from typing import Any

import pytest

from dovetail import App, CallToolResult, Client, Context, InternalError
from dovetail.errors import LocalProtocolError
from dovetail.protocol.no_number import no_number
from dovetail.runtime import tap

NAN = math.nan


def make_app() -> App:
    app = App("figures")

    @app.tool
    def untyped():
        return {"rows": [{"mean": 1.5}, {"mean": NAN}]}

    @app.tool
    def open_dict() -> dict[str, Any]:
        return {"rows": [{"mean": 1.5}, {"mean": NAN}]}

    @app.tool
    def anything() -> Any:
        return {"rows": ({"mean": None}, {"mean": NAN})}

    @app.tool
    def built() -> CallToolResult:
        return CallToolResult(content=[], structured_content={"rows": [None, {"mean": NAN}]})

    @app.resource("figures://rows")
    def rows() -> Any:
        return {"rows": [0, {"mean": -math.inf}]}

    @app.prompt
    def explain() -> Any:
        return {"rows": [0, {"mean": math.inf}]}

    @app.method("com.example/rows")
    def method() -> dict[str, Any]:
        return {"rows": [0, {"mean": NAN}]}

    @app.tool
    async def keep(ctx: Context) -> str:
        with pytest.raises(LocalProtocolError, match=r"'rows' can't be kept .* rows\[0\] is nan"):
            await ctx.session.set("rows", {"rows": [NAN]})
        return str(await ctx.session.get("rows"))

    @app.tool
    async def step(ctx: Context) -> str:
        def mean() -> dict[str, Any]:
            return {"mean": NAN}

        with pytest.raises(LocalProtocolError, match=r"can't be recorded: .* mean is nan"):
            await ctx.step("mean", mean)
        return "told"

    @app.tool
    def nothing() -> dict[str, Any]:
        return {"none": None, "text": "null", "huge": 1e308}

    return app


@pytest.mark.parametrize("name", ["untyped", "open_dict", "anything", "built"])
async def test_a_tool_that_returns_nan_fails_and_the_log_says_where(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Client(make_app()) as client:
        with caplog.at_level(logging.ERROR):
            result = await client.call_tool(name)
    assert (result.is_error, result.text) == (True, f"The tool {name!r} failed.")
    assert f"{name}() returned a number that JSON does not have: rows[1].mean is nan" in caplog.text


async def test_resources_prompts_and_methods_with_an_infinity_fail(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tap, "listeners", [])  # the oracle knows the methods of the specification alone
    async with Client(make_app()) as client:
        with caplog.at_level(logging.ERROR):
            with pytest.raises(InternalError):
                await client.read("figures://rows")
            with pytest.raises(InternalError):
                await client.get_prompt("explain")
            with pytest.raises(InternalError):
                await client.request("com.example/rows")
    for told in ("rows() returned", "explain() returned", "method() returned", "rows[1].mean is -inf"):
        assert told in caplog.text


async def test_a_session_keeps_none() -> None:
    async with Client(make_app(), revision="2025-11-25") as client:
        assert (await client.call_tool("keep")).text == "None"


async def test_a_step_records_none() -> None:
    async with Client(make_app(), revision="2026-07-28") as client:
        assert (await client.call_tool("step")).text == "told"


async def test_a_client_sends_none() -> None:
    async with Client(make_app()) as client:
        with pytest.raises(LocalProtocolError, match=r"rows\[0\]\.mean is inf; give None or a text"):
            await client.call_tool("nothing", {"rows": [{"mean": math.inf}]})
        result = await client.call_tool("nothing")
    assert result.structured == {"none": None, "text": "null", "huge": 1e308}


@pytest.mark.parametrize(
    "value, told",
    [
        (NAN, "the value is nan"),
        ([1, [2, math.inf]], "[1][1] is inf"),
        ({"a": {"b": (-math.inf,)}}, "a.b[0] is -inf"),
        ({"a": [1.0, None, "nan", True]}, None),
    ],
)
def test_where_it_is(value: Any, told: str | None) -> None:
    assert no_number(value) == told
