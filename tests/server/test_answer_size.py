"""Answers that would be larger than anything takes: refused before they are written, with words that say so.

msgspec's encoder ends the process where it finds no memory; so a server that has little of it is started for real.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from dovetail import App, Client
from dovetail.protocol.errors import InternalError
from dovetail.protocol.json_size import json_size
from dovetail.protocol.revisions import STATEFUL, STATELESS
from dovetail.protocol.types.content import TextContent
from dovetail.protocol.types.tools import CallToolResult
from dovetail.runtime import tap
from dovetail.server.data import MAX_ANSWER

LONG = "x" * 1_000_000
TOO_OFTEN = 200

SERVER = """
import resource, sys
from dovetail import App, TextContent
from typing import Any

resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, 3 * 2**30))
app = App("little memory")
LONG = "x" * 1_000_000

@app.tool
async def listed() -> list[str]:
    return [LONG] * 100_000

@app.tool
async def said() -> Any:
    return {"rows": {str(n): LONG for n in range(100_000)}}

@app.tool
async def blocks() -> list[TextContent]:
    return [TextContent(text=LONG)] * 100_000

@app.tool
async def fine() -> str:
    return "fine"

app.run("stdio")
"""


def lines(revision: str, *tools: str) -> bytes:
    """A conversation that calls these tools, one after the other."""
    sent: list[dict[str, Any]] = []
    meta: dict[str, Any] = {}
    if revision in STATELESS:
        meta = {
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": revision,
                "io.modelcontextprotocol/clientCapabilities": {},
            }
        }
    else:
        params = {
            "protocolVersion": revision,
            "capabilities": {},
            "clientInfo": {"name": "c", "version": "1"},
        }
        sent.append({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
        sent.append({"jsonrpc": "2.0", "method": "notifications/initialized"})
    for number, tool in enumerate(tools, 1):
        params = {"name": tool, "arguments": {}, **meta}
        sent.append({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params})
    return b"".join(json.dumps(each).encode() + b"\n" for each in sent)


@pytest.mark.parametrize("revision", [STATEFUL[0], STATEFUL[-1], STATELESS[-1]])
def test_a_server_with_little_memory_outlives_answers_that_nothing_holds(revision: str) -> None:
    tools = ("listed", "said", "blocks", "fine")
    done = subprocess.run(
        [sys.executable, "-c", SERVER],
        check=False,
        input=lines(revision, *tools),
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done
    told = {each["id"]: each for each in map(json.loads, done.stdout.splitlines())}
    for number, _ in enumerate(tools[:-1], 1):
        result = told[number]["result"]
        assert result["isError"]
        assert "the answer would have more than" in result["content"][0]["text"]
        assert "ask for less" in result["content"][0]["text"]
    assert told[len(tools)]["result"]["content"][0]["text"] == "fine"


async def test_every_kind_of_answer_is_bounded() -> None:
    app = App("bounded")

    @app.tool
    async def text() -> str:
        return LONG * 70

    @app.tool
    async def unsaid():
        return LONG * 70

    @app.tool
    async def whole() -> CallToolResult:
        return CallToolResult(content=[TextContent(text=LONG)] * TOO_OFTEN)

    @app.resource("notes://one")
    async def one() -> str:
        return LONG * 70

    @app.resource("notes://many")
    async def many() -> list[str]:
        return [LONG] * TOO_OFTEN

    @app.resource("notes://bytes")
    async def raw() -> bytes:
        return b"x" * (60 * 2**20)

    @app.prompt
    async def asks() -> list[str]:
        return [LONG] * TOO_OFTEN

    async with Client(app) as client:
        for tool in ("text", "unsaid", "whole"):
            result = await client.call_tool(tool)
            assert result.is_error
            assert "the answer would have more than" in result.text
        for uri in ("notes://one", "notes://many", "notes://bytes"):
            with pytest.raises(InternalError, match="the answer would have more than"):
                await client.read(uri)
        with pytest.raises(InternalError, match="the answer would have more than"):
            await client.get_prompt("asks")


async def test_methods_of_an_app_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap, "listeners", [])  # the oracle knows the methods of the specification alone
    app = App("bounded")

    @app.method("com.example/own")
    async def own() -> dict[str, Any]:
        return {"rows": [LONG] * TOO_OFTEN}

    async with Client(app) as client:
        with pytest.raises(InternalError, match="the answer would have more than"):
            await client.request("com.example/own")


async def test_what_is_just_small_enough_is_answered() -> None:
    app = App("bounded")

    @app.tool
    async def large() -> list[str]:
        return ["y" * 1000] * 30_000

    async with Client(app) as client:
        assert (await client.call_tool("large")).structured == ["y" * 1000] * 30_000


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"a": [1, 2.5, True, None, "text"], "b": {"c": "d"}},
        [{"id": n, "name": f"item {n}", "tags": ["a", "b"]} for n in range(100)],
        ["x" * 100] * 50,
        CallToolResult(content=[TextContent(text="x" * 500)], structured_content={"a": ["b"] * 100}),
    ],
)
def test_the_size_is_about_that_of_the_json(value: Any) -> None:
    import msgspec

    real = len(msgspec.json.encode(value))
    assert real / 3 <= json_size(value, MAX_ANSWER) <= real * 3 + 16


def test_counting_ends_where_it_is_too_much() -> None:
    inner: list[Any] = [LONG] * 1000
    for _ in range(20):
        inner = [inner] * 1000  # 10**63 texts
    assert json_size(inner, MAX_ANSWER) > MAX_ANSWER
