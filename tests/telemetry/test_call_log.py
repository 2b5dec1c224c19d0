"""A line for each call, and lines of JSON: fields, digests, and what a peer can do to them."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from recorded import Recorded

from dovetail import App, Client
from dovetail.errors import RPCError
from dovetail.logs import JSONFormatter, get_logger, log_json
from dovetail.stores import MemoryStore
from dovetail.telemetry import CallLog
from dovetail.testing import connected, served

ERAS = ("2025-11-25", "2026-07-28")


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    level = logging.getLogger().level
    handler = log_json("debug", stream)
    yield stream
    logging.getLogger().removeHandler(handler)
    logging.getLogger().setLevel(level)


def of(stream: io.StringIO, logger: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [each for each in found if each["logger"] == logger]


def desk(**options: Any) -> App:
    app = App("desk", telemetry=CallLog(stores=True), **options)

    @app.tool
    async def add(a: int, b: int) -> int:
        return a + b

    return app


@pytest.mark.parametrize("revision", ERAS)
async def test_each_call_is_a_line_with_the_same_fields(revision: str, lines: io.StringIO) -> None:
    async with connected(desk(), transport="http-json", revision=revision) as client:
        await client.call_tool("add", {"a": 1, "b": 2})
        with pytest.raises(RPCError):
            await client.call_tool("evil\n{}")
    good, bad = [each for each in of(lines, "dovetail.calls") if each.get("method") == "tools/call"]
    assert (good["level"], good["outcome"], good["target"], good["error_type"]) == ("info", "ok", "add", "")
    assert (bad["level"], bad["outcome"], bad["target"], bad["error_type"]) == (
        "warning",
        "error",
        "",
        "-32602",
    )
    assert good.keys() == bad.keys()
    assert good["duration_ms"] > 0
    assert (good["revision"], good["transport"], good["role"]) == (revision, "http", "server")
    assert len(good["session"]) == (16 if revision == ERAS[0] else 0)
    assert good["message"].startswith("server tools/call add: ok in ")


async def test_what_was_refused_is_a_line(lines: io.StringIO) -> None:
    async with served(desk().asgi()) as url:
        place = url.removeprefix("http://").partition("/")[0]
        host, _, port = place.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"POST /mcp HTTP/1.1\r\nhost: {place}\r\norigin: http://evil\r\nconnection: close\r\n\r\n".encode()
        )
        await reader.read()
        writer.close()
        await writer.wait_closed()
    refused = of(lines, "dovetail.calls")[-1]
    assert (refused["reason"], refused["status"], refused["level"]) == ("origin", 403, "warning")


async def test_stores_are_logged_when_asked_for(lines: io.StringIO) -> None:
    async with connected(desk(store=MemoryStore()), transport="http-json", revision=ERAS[0]) as client:
        await client.call_tool("add", {"a": 1, "b": 2})
    stored = [each for each in of(lines, "dovetail.calls") if each["role"] == "store"]
    assert {"sessions.create", "sessions.load"} <= {each["method"] for each in stored}
    assert {each["backend"] for each in stored} == {"memory"}


HOSTILE = [
    "two\nlines",
    '"}\n{"level":"critical',
    "\x1b[31mred",
    "\u202eback\u2028wards\x7f\x9b",
    "\ud800",
    "\x00",
]


@pytest.mark.hostile
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_line_is_one_line_of_ascii_whatever_was_said(text: str, lines: io.StringIO) -> None:
    get_logger("dovetail.tried").warning(
        "said %s", text, extra={"field": text, "nested": {text: [text, b"\xff"]}}
    )
    logging.getLogger("others").error(text, exc_info=ValueError(text))
    written = lines.getvalue()
    assert len(written.splitlines()) == 2
    assert all(" " <= character <= "~" or character == "\n" for character in written)
    first = of(lines, "dovetail.tried")[0]
    assert first["field"] == text
    assert "ValueError" in of(lines, "others")[0]["exception"]


@pytest.mark.hostile
def test_what_is_large_is_cut(lines: io.StringIO) -> None:
    class Unshown:
        def __repr__(self) -> str:
            raise RuntimeError

    deep: Any = []
    deep.append(deep)
    fields = {
        "text": "x" * 1_000_000,
        "items": list(range(100_000)),
        "unshown": Unshown(),
        "number": float("nan"),
        "deep": deep,
    }
    logging.getLogger("others").info("y" * 1_000_000, extra=fields)
    line = of(lines, "others")[0]
    assert len(lines.getvalue()) < 12_000
    assert (line["unshown"], line["number"], len(line["items"])) == ("Unshown", "nan", 64)


def test_a_line_names_the_span_it_was_written_in(lines: io.StringIO) -> None:
    recorded = Recorded()
    with recorded.tracers.get_tracer("program").start_as_current_span("work") as span:
        logging.getLogger("others").info("inside")
    logging.getLogger("others").info("outside")
    inside, outside = of(lines, "others")
    assert inside["trace_id"] == trace.format_trace_id(span.get_span_context().trace_id)
    assert "trace_id" not in outside
    recorded.close()


def test_a_field_takes_no_place_of_the_lines_own() -> None:
    record = logging.makeLogRecord({"msg": "said", "level": "mine", "time": "mine", "other": 1})
    line = json.loads(JSONFormatter().format(record))
    assert (line["message"], line["other"]) == ("said", 1)
    assert line["level"] != "mine"
    assert line["time"] != "mine"


APP = """
from dovetail import App

app = App("desk")

@app.tool
async def add(a: int, b: int) -> int:
    return a + b
"""


async def test_the_command_line_writes_json(tmp_path: Path) -> None:
    file = tmp_path / "desk.py"
    file.write_text(APP)
    said: list[str] = []
    command = [sys.executable, "-m", "dovetail.cli.run", str(file), "--log-format", "json"]
    async with Client(command, on_stderr=said.append, revision=ERAS[1]) as client:
        await client.call_tool("add", {"a": 1, "b": 2})
    found = [json.loads(line) for line in said]
    assert "tools/call" in {each.get("method") for each in found}


def test_the_command_line_shows_metrics_over_http_alone(tmp_path: Path) -> None:
    file = tmp_path / "desk.py"
    file.write_text(APP)
    command = [sys.executable, "-m", "dovetail.cli.run", str(file), "--metrics", "/metrics"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 2
    assert "--metrics is for HTTP" in done.stderr
