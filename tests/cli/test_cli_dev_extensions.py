"""``dovetail dev`` with an app that extends the protocol: engines in one process, handlers in another."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from dev_process import dev

from dovetail import Client, FeatureUnavailable, MissingCapability
from dovetail.extensions import ChangeType, Extension, ExtensionMethod

OVENS = ChangeType(
    kind="ovens", filter="ovenIds", notification="notifications/com.example/oven", subject="ovenId"
)
NAME = "com.example/heat"
TURN = "com.example/heat/turn"
FILE = f"""
from contextlib import asynccontextmanager
from dovetail import App
from dovetail.extensions import ChangeType, Extension, ExtensionMethod

OVENS = ChangeType(
    kind="ovens", filter="ovenIds", notification="notifications/com.example/oven", subject="ovenId"
)
published = []

@asynccontextmanager
async def thermometer(serving):
    published.append(serving.publish)
    yield

def turn(oven: str) -> dict[str, str]:
    published[0](OVENS.change(oven, {{"celsius": 180}}))
    return {{"turned": oven}}

heat = Extension(
    identifier={NAME!r},
    methods=[ExtensionMethod(name={TURN!r}, handler=turn, subject="oven")],
    changes=[OVENS],
    lifespan=thermometer,
)
app = App("kitchen", extensions=[heat])
"""
HEAT = Extension(identifier=NAME, methods=[ExtensionMethod(name=TURN, subject="oven")], changes=[OVENS])


@pytest.mark.vendor_methods(TURN, OVENS.notification, OVENS.filter)
async def test_what_an_extension_brings_reaches_through_to_the_version_that_serves(tmp_path: Path) -> None:
    path = tmp_path / "server.py"
    path.write_text(FILE)
    async with dev(path) as running:
        url = await running.url()
        async with (
            Client(url, extensions=[HEAT]) as client,
            client.listen(further={"ovenIds": ["left"]}) as events,
        ):
            assert (await client.request(TURN, {"oven": "left"}))["turned"] == "left"
            async with asyncio.timeout(20):
                change = await anext(events)
            assert (change.uri, change.data["celsius"]) == ("left", 180)
        async with Client(url, revision="2025-11-25", extensions=[HEAT]) as client:
            with pytest.raises(FeatureUnavailable):
                await client.request(TURN, {"oven": "left"})
        async with Client(url) as client:
            with pytest.raises(MissingCapability):
                await client.request(TURN, {"oven": "left"})
