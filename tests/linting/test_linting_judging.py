"""What is found wrong with what a server said, and what is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dovetail import App, Client, ToolError
from dovetail.linting.judging import judge
from dovetail.recording import Capture
from dovetail.revisions import REVISIONS

app = App("garden", version="1.0")


@app.tool
async def measure(bed: str) -> dict[str, float]:
    """Measure a bed."""
    if not bed:
        raise ToolError("which bed?")
    return {"length": 2.5}


@app.resource("bed://{name}")
async def bed(name: str) -> str:
    """A bed."""
    return name


@app.prompt
async def advise(plant: str) -> str:
    """Advise on a plant."""
    return f"Where does {plant} grow?"


@pytest.mark.parametrize("revision", REVISIONS)
async def test_nothing_is_wrong_with_ours(revision: str, tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    async with Client(app, revision=revision, record=path) as client:
        await client.list_tools()
        await client.call_tool("measure", {"bed": "north"})
        await client.call_tool("measure", {"bed": ""})
        await client.read("bed://north")
        await client.get_prompt("advise", {"plant": "kale"})
        await client.list_resources()
    faults, messages = judge(Capture.read(path))
    assert faults == []
    assert messages > 5


def recorded(revision: str, *talk: tuple[str, dict[str, Any]], **members: Any) -> Capture:
    """A capture with these messages, each with its sender."""
    lines: list[dict[str, Any]] = [{"capture": 1, "began": "2026-01-01T00:00:00Z"}]
    lines.append({"n": 0, "seconds": 0.0, "time": "2026-01-01T00:00:00Z", "link": 1, "mark": "open"})
    lines += [
        {
            "n": n,
            "seconds": 0.1,
            "time": "2026-01-01T00:00:00Z",
            "link": 1,
            "transport": "stdio",
            "sender": sender,
        }
        | {"revision": revision, "body": body}
        | members
        for n, (sender, body) in enumerate(talk, 1)
    ]
    return Capture.parse("".join(json.dumps(each) + "\n" for each in lines).encode())


def answered(method: str, result: Any, **params: Any) -> list[tuple[str, dict[str, Any]]]:
    """A request and its result."""
    return [
        ("client", {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}),
        ("server", {"jsonrpc": "2.0", "id": 1, "result": result}),
    ]


def said(**message: Any) -> list[tuple[str, dict[str, Any]]]:
    """What a server says by itself."""
    return [("server", {"jsonrpc": "2.0", **message})]


OLD, NEW = "2025-11-25", "2026-07-28"
WHOLE = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
LISTED = answered(
    "tools/list", {"tools": [{"name": "t", "inputSchema": {"type": "object"}, "outputSchema": NUMBER}]}
)
GIVEN = {"content": [{"type": "text", "text": "x"}]}
FAULTS: dict[str, tuple[str, list[tuple[str, dict[str, Any]]], str]] = {
    "a list that is none": (OLD, answered("tools/list", {"tools": {}}), "schema"),
    "a member that has to be there": (
        OLD,
        answered("initialize", {"capabilities": {}}),
        "schema",
    ),
    "a schema": (
        OLD,
        answered("tools/list", {"tools": [{"name": "t", "inputSchema": {"type": "anything"}}]}),
        "schema-broken",
    ),
    "no envelope": (OLD, [("server", {"id": 1, "result": {}})], "jsonrpc-version"),
    "an answer to nothing": (OLD, said(id=7, result={}), "response-unknown-id"),
    "an error without its text": (
        OLD,
        [answered("ping", {})[0], *said(id=1, error={"code": -32000})],
        "error-object",
    ),
    "a request where there are none": (
        NEW,
        said(id=1, method="roots/list"),
        "request-from-server",
    ),
    "a method of another revision": (
        "2024-11-05",
        said(id=1, method="elicitation/create", params={}),
        "method-of-other-revision",
    ),
    "a question": (
        NEW,
        answered(
            "tools/call",
            {
                "resultType": "input_required",
                "inputRequests": {"q": {"method": "elicitation/create", "params": {"message": 5}}},
            },
            name="t",
        ),
        "schema",
    ),
    "parameters": (
        OLD,
        said(method="notifications/progress", params={"progress": "half"}),
        "schema",
    ),
    "no kind of result": (
        NEW,
        answered("tools/list", {**WHOLE, "tools": [], "resultType": None}),
        "result-type-unknown",
    ),
    "nothing of keeping": (
        NEW,
        answered("tools/list", {"resultType": "complete", "tools": []}),
        "cache-hints-missing",
    ),
    "a question that can't be": (
        NEW,
        answered("tools/list", {"resultType": "input_required", "requestState": "x"}),
        "input-required-elsewhere",
    ),
    "no structured content": (
        OLD,
        [*LISTED, *answered("tools/call", GIVEN, name="t", arguments={})],
        "structured-content-missing",
    ),
    "structured content": (
        OLD,
        [
            *LISTED,
            *answered("tools/call", {**GIVEN, "structuredContent": {"n": "two"}}, name="t", arguments={}),
        ],
        "structured-content-invalid",
    ),
}


@pytest.mark.parametrize("revision, talk, rule", FAULTS.values(), ids=FAULTS)
def test_what_is_wrong(revision: str, talk: list[tuple[str, dict[str, Any]]], rule: str) -> None:
    faults, _ = judge(recorded(revision, *talk))
    assert rule in {each.rule for each in faults}, faults
    assert all(each.revision == revision for each in faults)


TASK = {"taskId": "1", "status": "working", "createdAt": "2026-01-01T00:00:00Z"}
TASK["lastUpdatedAt"] = TASK["createdAt"]
EXTENDED = {
    "io.modelcontextprotocol/protocolVersion": NEW,
    "io.modelcontextprotocol/clientCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}},
}
RIGHT = {
    "what an extension brings": (
        NEW,
        answered("tools/call", {"resultType": "task", **TASK, "ttlMs": None}, name="t", _meta=EXTENDED),
    ),
    "a task": (OLD, answered("tools/call", {"task": {**TASK, "ttl": None}}, name="t", task={})),
    "a method of an extension": (OLD, answered("com.example/tend", {"bed": 1})),
    "a notification of one": (NEW, said(method="notifications/com.example.grown", params={"by": 1})),
    "an error of a tool": (OLD, [*LISTED, *answered("tools/call", {**GIVEN, "isError": True}, name="t")]),
    "an error": (OLD, [answered("ping", {})[0], *said(id=1, error={"code": -32601, "message": "no"})]),
    "what a client says": (OLD, [("client", {"id": 1, "method": 5})]),
}


@pytest.mark.parametrize("revision, talk", RIGHT.values(), ids=RIGHT)
def test_what_is_not_wrong(revision: str, talk: list[tuple[str, dict[str, Any]]]) -> None:
    assert judge(recorded(revision, *talk))[0] == []


def test_the_body_of_a_refusal_is_nobodys_message() -> None:
    refused = {"http": {"exchange": 1, "status": 401, "headers": {"www-authenticate": "Bearer"}}}
    faults, messages = judge(recorded(OLD, ("server", {"error": "invalid_token"}), **refused))
    assert (faults, messages) == ([], 0)


def test_a_fault_is_told_once_with_how_often_it_is_there() -> None:
    talk = answered("tools/list", {"tools": {}})
    (fault,), messages = judge(recorded(OLD, *talk, *talk, *talk))
    assert (fault.line, fault.count, messages) == (2, 3, 3)
