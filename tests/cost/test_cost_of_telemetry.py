"""What it costs to be seen: nothing where nobody looks, and little where OpenTelemetry is there without an SDK."""

from __future__ import annotations

import subprocess
import sys
from types import FrameType
from typing import Any

from dovetail import App
from dovetail.telemetry import Observer, OpenTelemetry
from dovetail.testing import connected

UNSEEN = """
import asyncio, sys
from dovetail import App, Client

app = App("plain")

@app.tool
async def add(a: int, b: int) -> int:
    return a + b

async def main():
    for revision in ("2025-11-25", "2026-07-28"):
        async with Client(app, revision=revision) as client:
            assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"
    app.asgi()

asyncio.run(main())
print(*sys.modules)
"""
SEEING = ("dovetail.telemetry", "opentelemetry", "prometheus_client")
LAYERS = {
    "dovetail.client.observed_calls",
    "dovetail.client.observing",
    "dovetail.runtime.observed_store",
    "dovetail.runtime.observing",
    "dovetail.server.metrics",
}
#: Calls of Python functions, ours and OpenTelemetry's, that one call of a tool takes more where nothing is set up.
WITHOUT_SDK = 25


def test_who_is_not_observed_loads_nothing_for_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNSEEN], capture_output=True, text=True, timeout=50, check=True
    )
    loaded = set(done.stdout.split())
    assert not {name for name in loaded if name.startswith(SEEING)}
    assert not loaded & LAYERS


def desk(telemetry: Any) -> App:
    app = App("desk", telemetry=telemetry)

    @app.tool
    async def add(a: int, b: int) -> int:
        return a + b

    return app


def test_who_is_not_observed_has_no_layer() -> None:
    """A handler is the very function that answers, and a store the very store."""
    from dovetail.server.methods import Methods
    from dovetail.stores import MemoryStore

    store = MemoryStore()
    app = App("desk", store=store)
    for handler in app.service.dispatcher._handlers.values():
        assert handler.__qualname__.startswith(Methods.__name__), handler.__qualname__
    assert app._keys_and_store.store is store
    assert app._keys_and_store.store_for(store) is store


async def functions_called(telemetry: Any) -> int:
    """How many Python functions one call of a tool runs through, in memory, once all is warm."""
    count = 0

    def note(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        name = frame.f_globals.get("__name__", "")
        if event == "call" and name.partition(".")[0] in ("dovetail", "opentelemetry"):
            count += 1

    async with connected(desk(telemetry), revision="2026-07-28", telemetry=()) as client:
        for _ in range(5):
            await client.call_tool("add", {"a": 1, "b": 2})
        before = sys.getprofile()
        sys.setprofile(note)
        try:
            for _ in range(10):
                await client.call_tool("add", {"a": 1, "b": 2})
        finally:
            sys.setprofile(before)
    return count // 10


async def test_without_an_sdk_it_is_little() -> None:
    """The layer, what it makes, and two looks for what is not there."""
    plain = await functions_called(())
    observed = await functions_called(OpenTelemetry())
    assert 0 < observed - plain <= WITHOUT_SDK, observed - plain


async def test_the_layer_itself_is_less() -> None:
    plain = await functions_called(())
    assert await functions_called(Observer()) - plain <= WITHOUT_SDK - 5
