"""Programs that are not changed: `opentelemetry-instrument` finds us, and one trace goes through two processes."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from recorded import Recorded, id_of, trace_of

from dovetail import App, Client
from dovetail.runtime.observer import NO_OBSERVER
from dovetail.telemetry import CallLog, DovetailInstrumentor, instrument, uninstrument
from dovetail.testing import connected

SERVER = """
from dovetail import App

app = App("desk")

@app.tool
async def add(a: int, b: int) -> int:
    return a + b

if __name__ == "__main__":
    app.run()
"""

LAUNCH = "from opentelemetry.instrumentation.auto_instrumentation import run; import sys; sys.argv[0] = 'run'; run()"


def environment() -> dict[str, str]:
    """What makes the program's SDK write its spans to standard output, which is taken apart from the wire below."""
    return {
        **os.environ,
        "OTEL_TRACES_EXPORTER": "console",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }


async def test_a_program_that_knows_nothing_has_spans(tmp_path: Path) -> None:
    """The whole of it: the entry point, an app, a client in a process of its own, one trace through both."""
    file = tmp_path / "desk.py"
    file.write_text(SERVER)
    program = tmp_path / "program.py"
    program.write_text(
        "import asyncio, sys\n"
        "from dovetail import App, Client\n"
        "from desk import app\n"
        "async def main():\n"
        "    async with Client(app, revision='2026-07-28') as client:\n"
        "        await client.call_tool('add', {'a': 1, 'b': 2})\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", LAUNCH, sys.executable, str(program)]
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        capture_output=True,
        text=True,
        timeout=55,
        env=environment(),
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    spans = spans_in(done.stdout)
    calls = {span["kind"]: span for span in spans if span["name"] == "tools/call add"}
    assert set(calls) == {"SpanKind.SERVER", "SpanKind.CLIENT"}
    assert calls["SpanKind.SERVER"]["parent_id"] == calls["SpanKind.CLIENT"]["context"]["span_id"]


def spans_in(text: str) -> list[dict[str, Any]]:
    """The spans that a console exporter wrote, one object after the other."""
    decoder, found, at = json.JSONDecoder(), list[dict[str, Any]](), 0
    while (at := text.find("{", at)) >= 0:
        value, at = decoder.raw_decode(text, at)
        found.append(value)
    return found


EXPORTING = """
import json, sys
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from dovetail import App
from dovetail.telemetry import OpenTelemetry

class Lines(SpanExporter):
    def export(self, spans):
        for span in spans:
            print(json.dumps(json.loads(span.to_json())), file=sys.stderr, flush=True)
        return SpanExportResult.SUCCESS

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(Lines()))
app = App("desk", telemetry=OpenTelemetry(tracer_provider=provider))

@app.tool
async def add(a: int, b: int) -> int:
    return a + b

app.run()
"""


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
async def test_one_trace_goes_through_two_processes(tmp_path: Path, revision: str) -> None:
    file = tmp_path / "server.py"
    file.write_text(EXPORTING)
    said: list[str] = []
    recorded = Recorded()
    async with Client(
        [sys.executable, str(file)], on_stderr=said.append, revision=revision, telemetry=recorded.observer
    ) as client:
        await client.call_tool("add", {"a": 1, "b": 2})
    ours = recorded.one("tools/call", "CLIENT")
    theirs = next(span for span in map(json.loads, said) if span["name"] == "tools/call add")
    assert theirs["context"]["trace_id"] == f"0x{trace_of(ours):032x}"
    assert theirs["parent_id"] == f"0x{id_of(ours):016x}"
    recorded.close()


async def test_what_is_made_from_then_on_is_observed_unless_it_says_otherwise() -> None:
    recorded = Recorded()

    def make() -> Any:
        return recorded.observer

    before = App("before")
    instrument(make)
    instrument(make)
    try:
        observed, alone = App("observed"), App("alone", telemetry=())
        for app in (before, observed, alone):
            async with connected(app, revision="2026-07-28", telemetry=()):
                pass
    finally:
        uninstrument(make)
    assert len(recorded.spans("server/discover", "SERVER")) == 1
    assert not NO_OBSERVER.all
    recorded.close()


def test_the_instrumentor_takes_back_what_it_did() -> None:
    from dovetail.runtime.observer import everywhere

    instrumentor = DovetailInstrumentor()
    instrumentor.uninstrument()
    instrumentor.instrument(skip_dep_check=True)
    assert len(everywhere) == 1
    instrument(CallLog)
    instrumentor.uninstrument()
    assert everywhere == [CallLog]
    uninstrument()
    assert everywhere == []
