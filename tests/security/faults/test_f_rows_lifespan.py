"""F77: lifespans that fail, dawdle, or fall over on the way out, on every transport."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fault_wires import HTTPTalk, request, serve, serving_kit

from dovetail import App, Client, ConnectFailed
from dovetail.transports.unix import server as unix


class Life:
    """A lifespan that does what it is told, and what it did."""

    def __init__(self, *, start: Exception | None = None, end: Exception | None = None) -> None:
        self.start, self.end = start, end
        self.gate = asyncio.Event()
        self.gate.set()
        self.did: list[str] = []
        self.app = App("life", lifespan=self.span)

    @asynccontextmanager
    async def span(self, app: App) -> AsyncIterator[str]:
        self.did.append("enter")
        await self.gate.wait()
        if self.start is not None:
            raise self.start
        try:
            yield "state"
        finally:
            self.did.append("leave")
            if self.end is not None:
                raise self.end


@pytest.mark.parametrize("cell", ["memory", "unix", "stdio"])
async def test_f77_a_start_that_fails_is_reported_and_nothing_is_left(cell: str, tmp_path: Path) -> None:
    life = Life(start=RuntimeError("no database"))
    if cell == "memory":
        with pytest.raises(RuntimeError, match="no database"):
            await Client(life.app).open()
    elif cell == "unix":
        with pytest.raises(RuntimeError, match="no database"):
            await unix.serve_unix(life.app.service, path=tmp_path / "s")
        assert not (tmp_path / "s").exists()
    else:
        async with serve(life.app, cell) as connect:
            talk = await connect()
            with contextlib.suppress(ConnectionError):
                await talk.post(request("ping", 1))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(talk.inbox.get(), 0.3)
    assert life.did == ["enter"]
    life.start = None
    async with Client(life.app) as client:
        await client.ping()
    assert life.did == ["enter", "enter", "leave"]


async def test_f77_a_place_that_is_taken_ends_the_lifespan_again(tmp_path: Path) -> None:
    """F51: no half start."""
    life = Life()
    with pytest.raises(ConnectFailed):
        await unix.serve_unix(life.app.service, path=tmp_path / ("long" * 40))
    assert life.did == ["enter", "leave"]


async def test_f77_a_slow_start_is_shared_by_all_who_wait_and_survives_those_who_give_up() -> None:
    life = Life()
    life.gate.clear()
    async with serving_kit.serving(life.app.asgi(), lifespan="off") as port:
        hasty = await serving_kit.Prober(port).start("POST", request("ping", 1))
        await serving_kit.until(lambda: life.did)
        hasty.abort()
        talks = [HTTPTalk(port) for _ in range(20)]
        opening = asyncio.gather(*(talk.open() for talk in talks))
        await asyncio.sleep(0.02)
        assert not opening.done()
        life.gate.set()
        await asyncio.wait_for(opening, 10)
        assert life.did == ["enter"]
        for talk in talks:
            await talk.close()
        await life.app.service.stop()
    assert life.did == ["enter", "leave"]


@pytest.mark.parametrize("cell", ["memory", "http"])
async def test_f77_an_end_that_fails_is_reported_once_and_in_order(
    cell: str, caplog: pytest.LogCaptureFixture
) -> None:
    life = Life(end=RuntimeError("cannot close"))
    if cell == "memory":
        client = Client(life.app)
        await client.open()
        with pytest.raises(RuntimeError, match="cannot close"):
            await client.close()
    else:
        async with serving_kit.serving(life.app.asgi()) as port:
            talk = HTTPTalk(port)
            await talk.open()
            await talk.close()
        assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
            "the server's lifespan failed to end"
        ]
    assert life.did == ["enter", "leave"]


async def test_f77_calls_end_before_the_lifespan_does() -> None:
    life = Life()
    order: list[str] = life.did
    begun = asyncio.Event()

    @life.app.tool
    async def hold() -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            order.append("call")
        return ""

    async with Client(life.app) as client:
        pending = asyncio.create_task(client.call_tool("hold"))
        await begun.wait()
    await asyncio.wait({pending})
    assert pending.exception() is not None
    assert order == ["enter", "call", "leave"]


async def test_f77_a_start_failure_of_asgi_tells_the_server_and_no_client_the_reason() -> None:
    life = Life(start=RuntimeError("password is hunter2"))
    http = life.app.asgi()
    sent: list[Any] = []
    events = [{"type": "lifespan.startup"}]

    async def receive() -> Any:
        return events.pop(0)

    async def send(event: Any) -> None:
        sent.append(event)

    await http({"type": "lifespan"}, receive, send)
    assert [event["type"] for event in sent] == ["lifespan.startup.failed"]
    assert "the lifespan Life.span() of 'life'" in sent[0]["message"]
    assert "test_f_rows_lifespan.py:" in sent[0]["message"]
    async with serving_kit.serving(http, lifespan="off") as port:
        answer = await serving_kit.Prober(port).send("POST", request("ping", 1))
        assert answer.status == 503
        assert "hunter2" not in json.dumps(answer.json)
