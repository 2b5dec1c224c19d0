"""Several workers, whoever starts them: they share what they have to, or refuse to serve and say why."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from server_process import NOISE, PLAIN, TOLD_ELSEWHERE, gone, served


@pytest.mark.parametrize("target", ["alone_app:app", "alone_endpoint:endpoint"])
@pytest.mark.parametrize("server", PLAIN)
async def test_workers_that_share_nothing_refuse_to_serve(server: str, target: str, tmp_path: Path) -> None:
    """As the app itself, which is asked when the server starts, and as an endpoint that is made while it is loaded."""
    async with served(server, target, tmp_path, workers=2, wait=False) as running:
        async with asyncio.timeout(30):
            await running.process.wait()
        said = await running.said
    assert "2 workers are to serve together" in said
    assert "App(keys=[...])" in said
    assert "open_store" in said


@pytest.mark.parametrize("server", TOLD_ELSEWHERE)
async def test_a_server_is_asked_where_it_was_told(server: str, tmp_path: Path) -> None:
    """In its variables and its configuration file, too."""
    async with served(server, "alone_app:app", tmp_path, workers=2, wait=False) as running:
        async with asyncio.timeout(30):
            await running.process.wait()
        assert "2 workers are to serve together" in await running.said


@pytest.mark.parametrize("workers, unknown", [(1, False), (2, True)])
async def test_where_nobody_can_know_the_log_says_so(workers: int, unknown: bool, tmp_path: Path) -> None:
    """A program tells a server how many workers it starts, and nobody tells them."""
    async with served("a program", "alone_app:app", tmp_path, workers=workers) as running:
        await (await running.call("hello")).some(b"hello")
        await running.close_connections()
        await running.end()
        assert ("say so with App.asgi(workers=...)" in await running.said) is unknown


@pytest.mark.parametrize("server", PLAIN)
async def test_one_worker_is_no_question(server: str, tmp_path: Path) -> None:
    """What the environment suggests does not count where the server was told otherwise."""
    async with served(server, "alone_app:app", tmp_path, WEB_CONCURRENCY="4") as running:
        await (await running.call("hello", await running.open_session())).some(b"hello")
        await running.close_connections()
        assert await running.end() < gone()


@pytest.mark.parametrize("server", PLAIN)
async def test_workers_that_share_a_store_and_keys_serve_one_session(server: str, tmp_path: Path) -> None:
    store = str(tmp_path / "shared.db")
    async with served(
        server, "shared_app:app", tmp_path, workers=2, DOVETAIL_KEYS="k" * 32, STORE=store
    ) as running:
        session = await running.open_session(elicitation={})
        for _ in range(20):
            answer = await running.call("which", session)
            assert (await answer.head(), answer.status)[1] == 200
            await answer.close()
        asked = await running.call("ask", session)
        question = re.search(rb'"id":"([^"]+)"', await asked.some(b"elicitation/create"))
        assert question is not None
        body = {"jsonrpc": "2.0", "id": question[1].decode()}
        body["result"] = {"action": "accept", "content": {"value": "Ada"}}
        answered = await running.send("POST", body, session)  # whichever worker that is
        assert (await answered.head(), answered.status)[1] == 202
        assert b"Ada" in await asked.some(b"Ada")
        stream = await running.send("GET", None, session)
        await stream.some(b"\n\n")
        await running.close_connections(but=stream)
        assert await running.end() < gone()
        said = await running.said
        assert [noise for noise in NOISE if noise in said] == [], said
