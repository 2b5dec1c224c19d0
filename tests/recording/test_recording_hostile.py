"""Recordings that are torn, broken, too long or full of secrets in odd places."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path
from typing import Any

import pytest
from recorded_app import app

from dovetail import Client, LocalProtocolError
from dovetail.capture.redaction import Redactor
from dovetail.recording import (
    Capture,
    CaptureInvalid,
    CaptureLink,
    CaptureWriter,
    Redaction,
    replay,
    replay_app,
)
from dovetail.testing import replayed

SECRET = "s3cr3t-v4lue-of-mine"


def written(tmp_path: Path, *messages: bytes, **options: Any) -> str:
    """The text of a recording of these messages, the first from the client, and so on in turn."""
    path = tmp_path / "talk.jsonl"
    writer = CaptureWriter(path, **options)
    link = writer.link("stdio")
    for at, each in enumerate(messages):
        link.message("server" if at % 2 else "client", each)
    writer.close()
    return path.read_text("utf-8")


def call(arguments: Any, **more: Any) -> bytes:
    """A call of a tool."""
    params = {"name": "login", "arguments": arguments, **more}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()


@pytest.mark.parametrize(
    "message",
    [
        call({"password": SECRET}),
        call({"Api-Key": SECRET, "apiKey": SECRET, "API_KEY": SECRET, "key": SECRET}),
        call({"deep": [{"client_secret": {"inside": [SECRET]}}]}),
        call({"note": f"use {SECRET}", "access_token": SECRET}),
        call({SECRET: 1, "token": SECRET}),
        call({"inputSchema": {"properties": {"password": {"anything": SECRET}}}}),
        call({"text": f"Authorization: Bearer {SECRET}"}),
        call({"text": f"https://me:{SECRET}@example.com/"}),
        call({"url": f"https://example.com/?a=1&api_key={SECRET}&b=2"}),
        call({"text": json.dumps({"password": SECRET})}),
        call({}, _meta={"com.example/token": SECRET}),
        call({}, inputResponses={"password": {"action": "accept", "content": {"value": SECRET}}}),
        call({}, requestState=SECRET),
        b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"password":"%b"},"params":{}}' % SECRET.encode(),
        b'{"password": "%b", broken' % SECRET.encode(),
        b"\xff\xfe password=%b \xff" % SECRET.encode(),
        b"[" * 5000 + b'{"session_id":"%b"}' % SECRET.encode() + b"]" * 5000,
        b'[{"jsonrpc":"2.0","id":1,"method":"x","params":{"arguments":{"pin":"%b"}}}]' % SECRET.encode(),
        b'{"jsonrpc":"2.0","id":123456789012345678901234567890,"method":"x","params":{"secret":"%b"}}'
        % SECRET.encode(),
    ],
)
def test_no_secret_gets_into_the_file(message: bytes, tmp_path: Path) -> None:
    text = written(tmp_path, message)
    assert SECRET not in text
    assert len(text.splitlines()) == 3


def test_a_secret_of_before_is_found_in_what_comes_later(tmp_path: Path) -> None:
    echoed = json.dumps(
        {"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": f"<{SECRET}>"}]}}
    )
    text = written(tmp_path, call({"password": SECRET}), echoed.encode())
    assert SECRET not in text
    lines = [json.loads(each) for each in text.splitlines()[2:]]
    assert lines[0]["body"]["params"]["arguments"]["password"] == "[redacted-1]"
    assert lines[1]["body"]["result"]["content"][0]["text"] == "<[redacted-1]>"


def test_numbers_and_words_that_only_sound_so_stay(tmp_path: Path) -> None:
    arguments = {
        "maxTokens": 7,
        "tokens": 8,
        "key": 9,
        "password": None,
        "secret": True,
        "monkey": "ape",
        "pin": 1234,
    }
    text = written(tmp_path, call(arguments, _meta={"progressToken": "abc"}))
    body = json.loads(text.splitlines()[2])["body"]
    assert body["params"]["arguments"] == {**arguments, "pin": "[redacted-1]"}
    assert body["params"]["_meta"] == {"progressToken": "abc"}


def test_words_of_the_protocol_stay_though_they_were_a_secret(tmp_path: Path) -> None:
    told = b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}'
    text = written(tmp_path, call({"password": "progress"}), told)
    assert json.loads(text.splitlines()[3])["body"] == json.loads(told)


def test_schemas_stay_and_say_what_is_secret(tmp_path: Path) -> None:
    schema = {
        "type": "object",
        "properties": {
            "password": {"type": "string", "default": SECRET},
            "colour": {"type": "string", "writeOnly": True},
        },
    }
    listed = {"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": "x", "inputSchema": schema}]}}
    text = written(tmp_path, b"{}", json.dumps(listed).encode(), call({"colour": "ultramarine"}))
    lines = [json.loads(each)["body"] for each in text.splitlines()[2:]]
    shown = lines[1]["result"]["tools"][0]["inputSchema"]["properties"]
    assert shown["password"] == {"type": "string", "default": "[redacted-1]"}
    assert shown["colour"] == {"type": "string", "writeOnly": True}
    assert lines[2]["params"]["arguments"] == {"colour": "[redacted-2]"}


def test_headers_and_addresses() -> None:
    redactor = Redactor(Redaction())
    redactor.body(json.loads(call({"region": SECRET, "api_key": SECRET})))
    given = [
        ("Authorization", f"Bearer {SECRET}"),
        ("Cookie", f"a={SECRET}; b=2"),
        ("Mcp-Param-Region", SECRET),
        ("Mcp-Param-Token", "other"),
        ("Accept", "text/html"),
        ("Accept", "text/plain"),
    ]
    found = redactor.headers(given)
    assert SECRET not in json.dumps(found)
    assert found["authorization"] == "Bearer [redacted-1]"
    assert found["mcp-param-region"] == "[redacted-1]"
    assert found["mcp-param-token"] not in ("other", "[redacted-1]")
    assert found["accept"] == "text/html, text/plain"
    assert redactor.target(f"/mcp?token={SECRET}&a=b") == "/mcp?token=[redacted-1]&a=b"
    assert Redactor(Redaction(defaults=False)).headers(given)["cookie"] == f"a={SECRET}; b=2"


def test_rules_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="no JSON pointer"):
        Redaction(pointers=("params",))
    with pytest.raises(ValueError, match="no regular expression"):
        Redaction(patterns=("(",))


def test_a_torn_last_line_is_read_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = written(tmp_path, call({}), b'{"jsonrpc":"2.0","id":1,"result":{}}')
    whole = Capture.parse(text.encode())
    with caplog.at_level(logging.WARNING):
        for end in (-2, -30):
            torn = Capture.parse(text.encode()[:end])
            assert len(torn) == len(whole) - 1
            assert "torn" in torn.warnings[0]
    assert "torn" in caplog.text
    assert len(Capture.parse(text.encode()[:-1])) == len(whole)  # all of it but the line end


@pytest.mark.parametrize(
    "data, says",
    [
        (b"", "no whole line"),
        (b"{}\n", "first line"),
        (b"hello\n", "first line"),
        (b"\xff\n", "first line"),
        (b"[" * 9999 + b"\n", "first line"),
        (b'{"capture":2,"began":"x"}\n', "upgrade dovetail"),
        (b'{"capture":1,"began":"x"}\n{"n":1\n{}\n', "line 2"),
        (b'{"capture":1,"began":"x"}\n{"n":"one","seconds":1,"time":""}\n', "line 2"),
    ],
)
def test_what_is_no_recording_is_refused_with_its_line(data: bytes, says: str, tmp_path: Path) -> None:
    with pytest.raises(CaptureInvalid, match=says):
        Capture.parse(data)


def test_a_reader_lets_pass_what_it_does_not_know() -> None:
    lines = b'{"capture":1,"began":"x","new":1}\n\n{"n":1,"seconds":0,"time":"","mark":"open","later":{}}\n'
    assert [each.mark for each in Capture.parse(lines)] == ["open"]


def test_a_recording_is_bounded_and_so_is_a_message(tmp_path: Path) -> None:
    text = written(tmp_path, *[call({"a": "x" * 500})] * 100, max_bytes=8000)
    assert len(text) <= 8000
    assert json.loads(text.splitlines()[-1])["mark"] == "limit"
    text = written(tmp_path, call({"a": "x" * 500}), max_message=100)
    assert json.loads(text.splitlines()[2])["omitted"] > 500


async def test_a_full_disk_ends_the_recording_and_not_the_client(caplog: pytest.LogCaptureFixture) -> None:
    writer = CaptureWriter("/dev/full")
    assert not writer.recording
    async with Client(app, record=writer) as client:
        assert (await client.call_tool("add", {"a": 1, "b": 2})).into(int) == 3
    assert "No space left" in caplog.text


def test_nobody_writes_where_another_does_or_through_a_link(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    writer = CaptureWriter(path)
    with pytest.raises(ValueError, match="another recording"):
        CaptureWriter(path)
    writer.close()
    CaptureWriter(path).close()
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(OSError, match="link"):
        CaptureWriter(link)
    old = tmp_path / "old.jsonl"
    old.write_text("old")
    old.chmod(0o644)
    CaptureWriter(old).close()
    assert os.stat(old).st_mode & 0o777 == 0o600
    with pytest.raises(LocalProtocolError, match="record="):
        Client(app, record=tmp_path / "none" / "talk.jsonl")


def test_a_response_that_never_had_a_head_or_came_twice_is_recorded_all_the_same(tmp_path: Path) -> None:
    writer = CaptureWriter(tmp_path / "talk.jsonl", max_message=200)
    link: CaptureLink = writer.link("http")
    exchange = link.request("POST", "/mcp", [("Content-Type", "application/json")], call({}))
    exchange.end(broken=True)
    exchange.end()
    exchange = link.request("GET", "/mcp", [], None)
    exchange.begin(200, [("content-type", "text/event-stream; charset=utf-8")])
    link.request("POST", "/mcp", [("Mcp-Session-Id", "session-of-mine")], None)
    exchange.feed(b'id: session-of-mine/1\ndata: {"jsonrpc":"2.0","method":"x"}\n\n: comment\n\nda')
    exchange.feed(b"ta: no JSON\n\ndata: " + b"x" * 500 + b"\n\n")
    exchange.feed(b"event: odd\ndata: {}\n\n")
    exchange.end()
    exchange.feed(b"late")
    writer.close()
    lines = [
        each
        for each in Capture.read(tmp_path / "talk.jsonl")
        if each.http is not None and each.sender == "server"
    ]
    assert [each.http.end for each in lines if each.http] == ["broken", "", "", "", "", "complete"]
    assert [each.text for each in lines] == ["", "", "", "no JSON", "", ""]
    assert lines[2].http is not None
    assert lines[2].http.id == "[redacted-1]/1"


async def test_a_test_runs_against_a_recording(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    async with Client(app, record=path) as client:
        await client.call_tool("add", {"a": 1, "b": 2})
        await client.call_tool("fail")
    with replayed(path, complete=True) as target:
        async with Client(target) as client:
            assert (await client.call_tool("add", {"a": 1, "b": 2})).into(int) == 3
            assert (await client.call_tool("fail")).is_error
    server = replayed(path, complete=True)
    async with Client(server.__enter__()) as client:
        await client.call_tool("fail")
    with pytest.raises(AssertionError, match=r"nobody asked for what was recorded: tools/call \(line"):
        server.__exit__(None, None, None)


def test_nothing_can_be_served_of_a_recording_without_answers(tmp_path: Path) -> None:
    text = written(tmp_path, call({}))
    with pytest.raises(ValueError, match="no request in it was answered"):
        replay_app(Capture.parse(text.encode()))


@pytest.mark.parametrize(
    "body",
    [
        {"jsonrpc": "2.0", "id": {"a": []}, "method": "tools/call", "params": []},
        {"jsonrpc": "2.0", "id": [1], "result": 7},
        {"jsonrpc": "2.0", "id": 1, "error": {"code": "x"}},
        {"method": 7},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": {}}},
        {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": []}},
        {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": 7}},
        [[], 1, {"id": 1, "result": {"_meta": 7, "serverInfo": 1}}],
        "text",
        None,
    ],
)
async def test_a_recording_of_nonsense_is_served_as_far_as_it_makes_sense(body: Any, tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    async with Client(app, record=path) as client:
        await client.call_tool("add", {"a": 1, "b": 2})
    lines = path.read_bytes().splitlines()
    # A replay sends what clients sent, and all that is sent in a test is checked: these come from servers alone.
    senders = ("server",) if "progress" in str(body) or "uri" in str(body) else ("client", "server")
    odd = [
        json.dumps(
            {"n": 900 + at, "seconds": 1, "time": "", "link": 1, "sender": sender, "body": body}
        ).encode()
        for at, sender in enumerate(senders)
    ]
    capture = Capture.parse(b"\n".join([*lines[:4], *odd, *lines[4:], *odd, b""]))
    async with Client(replay_app(capture)) as client:
        assert (await client.call_tool("add", {"a": 1, "b": 2})).into(int) == 3
    report = await replay(capture, app, request_timeout=5.0)
    assert [each.same for each in report.calls if each.about == "'add'"] == [True]


def test_large_recordings_are_read_in_good_time() -> None:
    message = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": 1}}
    lines = ['{"capture":1,"began":""}']
    for n in range(1, 20_001):
        asked = {"jsonrpc": "2.0", "id": n, "method": "tools/call", "params": {"name": "x"}}
        for sender, body in (("client", asked), ("server", message), ("server", {"id": n, "result": {}})):
            line = {"n": n, "seconds": 0, "time": "", "link": 1, "sender": sender, "body": body}
            lines.append(json.dumps({**line, "revision": "2025-11-25"}))
    capture = Capture.parse("\n".join([*lines, ""]).encode())
    began = time.process_time()
    replay_app(capture)
    assert time.process_time() - began < 10  # at the square of its length it would take minutes
