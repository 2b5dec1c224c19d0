"""A client that records: over every transport, in both eras, without secrets; and the recording as a server."""

from __future__ import annotations

import asyncio
import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from recorded_app import app

from dovetail import Client, RPCError
from dovetail.client import ElicitRequest
from dovetail.recording import Capture, CaptureWriter, Redaction, replay_app
from dovetail.revisions import REVISIONS
from dovetail.testing import Transport, connected

PASSWORD, KEY = "correct-horse-battery", "k9-staple-key-9k"
ERAS = (REVISIONS[-2], REVISIONS[-1])


async def answer(request: ElicitRequest) -> dict[str, Any]:
    """Fill in the form."""
    return {"value": "Ada"}


async def conversation(client: Client) -> dict[str, Any]:
    """One of everything; what came of it."""
    logged: list[float] = []
    found: dict[str, Any] = {
        "tools": [each.name async for each in client.tools()],
        "add": (await client.call_tool("add", {"a": 1, "b": 2})).into(int),
        "counts": [(await client.call_tool("count")).text for _ in range(3)],
        "fail": (await client.call_tool("fail")).text,
        "told": (await client.call_tool("tell", progress=lambda each: logged.append(each.progress))).text,
        "ask": (await client.call_tool("ask")).text,
        "read": (await client.read("note://a")).contents[0].to_wire(),
        "prompt": (await client.get_prompt("greet", {"name": "Ada"})).messages[0].to_wire(),
        "login": (
            await client.call_tool("login", {"user": "ada", "password": PASSWORD, "api_key": KEY})
        ).is_error,
    }
    try:
        await client.read("note://b")
    except RPCError as problem:
        found["missing"] = problem.code
    return {**found, "progress": logged}


@pytest.mark.parametrize("revision", ERAS)
@pytest.mark.parametrize("transport", ["memory", "stdio", "http-json", "http-sse"])
async def test_a_recording_answers_as_the_server_did(
    transport: Transport, revision: str, tmp_path: Path
) -> None:
    path = tmp_path / "talk.jsonl"
    async with connected(
        app, transport=transport, revision=revision, elicitation=answer, record=path
    ) as client:
        came = await conversation(client)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text("utf-8")
    assert PASSWORD not in text
    assert KEY not in text
    assert "[redacted-" in text
    capture = Capture.read(path)
    assert {each.revision for each in capture if each.body} == {revision}
    for other in ("memory", "http"):
        async with connected(
            replay_app(capture, strict=True), transport=other, revision=revision, elicitation=answer
        ) as client:
            assert client.server_info is not None
            assert client.server_info.name == "shop"
            assert await conversation(client) == came


async def test_what_comes_several_times_is_answered_in_order_and_then_as_last(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    async with Client(app, record=path) as client:
        counts = [(await client.call_tool("count")).text for _ in range(2)]
    async with Client(replay_app(Capture.read(path))) as client:
        assert [(await client.call_tool("count")).text for _ in range(3)] == [*counts, counts[-1]]
    async with Client(replay_app(Capture.read(path), strict=True)) as client:
        assert [(await client.call_tool("count")).text for _ in range(2)] == counts
        with pytest.raises(RPCError, match="2 times, and it was asked for once more"):
            await client.call_tool("count")


async def test_what_was_not_recorded_is_an_error_that_names_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    async with Client(app, record=path) as client:
        await client.call_tool("add", {"a": 1, "b": 2})
        await client.call_tool("add", {"a": 5, "b": 6})
    async with Client(replay_app(Capture.read(path))) as client:
        with pytest.raises(RPCError) as raised:
            await client.call_tool("add", {"a": 5, "b": 7})
    assert raised.value.code == -31404
    assert raised.value.data["nearest"]["params"]["arguments"] == {"a": 5, "b": 6}
    assert raised.value.data["differs"] == ["/arguments/b"]
    assert "/arguments/b: recorded 6, now 7" in str(raised.value)


async def test_a_call_that_was_given_up_waits_to_be_given_up_again(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"

    async def give_up(client: Client) -> None:
        begun = asyncio.Event()
        call = asyncio.create_task(client.call_tool("wait", progress=lambda _: begun.set()))
        await begun.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await client.call_tool("add", {"a": 1, "b": 1})).into(int) == 2

    for revision in ERAS:
        async with Client(app, revision=revision, record=path) as client:
            await give_up(client)
        async with Client(replay_app(Capture.read(path))) as client:
            await give_up(client)


async def test_headers_carry_no_secrets_into_the_file(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    headers = {"Authorization": f"Bearer {KEY}", "X-Api-Key": PASSWORD, "X-Plain": f"says {PASSWORD}"}
    for revision in ERAS:
        async with connected(
            app, transport="http-sse", revision=revision, headers=headers, record=path
        ) as client:
            await client.call_tool("add", {"a": 1, "b": 2})
        text = path.read_text("utf-8")
        assert PASSWORD not in text
        assert KEY not in text
        requests = [each for each in Capture.read(path) if each.http is not None and each.http.method]
        assert requests
        assert {each.http.headers["authorization"] for each in requests if each.http} == {
            "Bearer [redacted-1]"
        }
        session = {each.http.headers.get("mcp-session-id") for each in requests if each.http} - {None}
        assert len(session) == (1 if revision == ERAS[0] else 0)
        assert all(each.startswith("[redacted-") for each in session if each)


async def test_rules_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    rules = Redaction(
        names=("user",), pointers=("/params/arguments/b",), patterns=(r"milk",), keep=("password",)
    )
    async with Client(app, record=CaptureWriter(path, redaction=rules)) as client:
        await client.call_tool("add", {"a": 1, "b": 77_001})
        await client.call_tool("login", {"user": "ada", "password": PASSWORD})
        await client.read("note://a")
    text = path.read_text("utf-8")
    calls = [each.value for each in Capture.read(path) if each.sender == "client"]
    arguments = [each["params"]["arguments"] for each in calls if each["method"] == "tools/call"]
    assert arguments[0] == {"a": 1, "b": "[redacted-1]"}
    assert arguments[1] == {"user": "[redacted-2]", "password": PASSWORD}
    assert "milk" not in text


async def test_a_command_and_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    server = Path(__file__).with_name("recorded_app.py")
    async with Client(server, record=path) as client:
        await client.call_tool("add", {"a": 1, "b": 2})
    first = json.loads(path.read_text("utf-8").splitlines()[0])
    assert first["capture"] == 1
    assert first["place"] == "client"
    async with Client([sys.executable, "-m", "dovetail", "run", str(path)]) as client:
        assert (await client.call_tool("add", {"a": 1, "b": 2})).into(int) == 3
    async with Client(str(path)) as client:
        assert (await client.call_tool("add", {"a": 1, "b": 2})).into(int) == 3
