"""Why a call or a question was taken back is in the log of the side that was told."""

import asyncio
import logging
from typing import Any

import pytest

from dovetail import App, Client, Context, RequestTimeout
from dovetail.revisions import STATEFUL
from dovetail.testing.serving import served


@pytest.mark.requirement("R2511-CANCELLATION-008")
@pytest.mark.parametrize("revision", STATEFUL)
async def test_why_a_question_was_taken_back_is_in_the_log_of_the_client(
    revision: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = App("mill")
    taken_back = asyncio.Event()

    async def never(params: Any) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            taken_back.set()
        return ""

    @app.tool
    async def think(ctx: Context) -> str:
        try:
            async with asyncio.timeout(0.05):
                return (await ctx.sample("hm?")).text
        except TimeoutError:
            return "thought alone"

    with caplog.at_level(logging.DEBUG, "dovetail.client"):
        async with Client(app, revision=revision, sampling=never) as client:
            assert (await client.call_tool("think")).text == "thought alone"
            await asyncio.wait_for(taken_back.wait(), 10)
    assert "was taken back: the call that asked this has ended" in caplog.text


@pytest.mark.requirement("R2511-CANCELLATION-008")
@pytest.mark.parametrize("revision", STATEFUL)
async def test_why_a_call_was_cancelled_is_in_the_log_of_the_server(
    revision: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = App("mill")
    cancelled = asyncio.Event()

    @app.tool
    async def grind() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return ""

    with caplog.at_level(logging.DEBUG, "dovetail.http"):
        async with served(app) as url, Client(url, revision=revision) as client:
            with pytest.raises(RequestTimeout):
                await client.call_tool("grind", timeout=0.2)
            await asyncio.wait_for(cancelled.wait(), 10)
    assert "was cancelled: the client gave up waiting" in caplog.text
