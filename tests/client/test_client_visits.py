"""A call that waits for a person to visit an address goes on when somebody says so, and by a bound."""

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from waiting import until

from dovetail.client import CallInfo, Client, Visit
from dovetail.protocol.errors import Closed, ServerExited, URLElicitationRequired

Scripted = Callable[..., list[str]]
VISIT = '{"mode":"url","message":"pay","url":"https://example.com/pay","elicitationId":"e%d"}'


def gate(count: int = 1) -> dict[str, list[Any]]:
    """A tool that wants visits first, and never tells that they are done."""
    visits = ",".join(VISIT % number for number in range(count))
    refusal = '{"jsonrpc":"2.0","id":$ID,"error":{"code":-32042,"message":"visit first","data":{"elicitations":[%s]}}}'
    return {"tools/call": [[refusal % visits], {"content": [{"type": "text", "text": "welcome"}]}]}


@asynccontextmanager
async def waiting(command: list[str], **options: Any) -> AsyncIterator[tuple[Client, asyncio.Task[Any]]]:
    async with Client(command, approve=lambda _: True, **options) as client:
        call = asyncio.create_task(client.call_tool("gate"))
        await until(lambda: client._connection.visits.waited_for)
        yield client, call


async def test_the_host_says_that_it_is_done(scripted: Scripted) -> None:
    async with waiting(scripted(gate())) as (client, call):
        await client.ping()
        assert not call.done()
        client.visit_done("another")
        await client.ping()
        assert not call.done()
        client.visit_done("e0")
        assert (await call).text == "welcome"
        assert not client._connection.visits.waited_for
        client.visit_done()


async def test_all_are_done_at_once(scripted: Scripted) -> None:
    async with waiting(scripted(gate(3))) as (client, call):
        client.visit_done()
        assert (await call).text == "welcome"


async def test_the_handler_says_that_it_is_done(scripted: Scripted) -> None:
    seen: list[Visit] = []

    def been_there(visit: Visit) -> str:
        seen.append(visit)
        return "done"

    options: Any = {"approve": been_there}
    async with Client(scripted(gate(2)), **options) as client:
        assert (await client.call_tool("gate", meta={"com.example/a": 1})).text == "welcome"
    assert [(visit.elicitation_id, visit.call_waits) for visit in seen] == [("e0", True), ("e1", True)]
    assert seen[0].call == CallInfo(method="tools/call", name="gate", meta={"com.example/a": 1})


async def test_the_wait_is_bounded_even_without_a_timeout(scripted: Scripted) -> None:
    async with Client(scripted(gate()), approve=lambda _: True, timeout=None, visit_timeout=0.05) as client:
        assert (await client.call_tool("gate")).text == "welcome"


async def test_closing_ends_the_wait(scripted: Scripted) -> None:
    async with waiting(scripted(gate()), timeout=None) as (client, call):
        await client.close()
        with pytest.raises(Closed):
            await call


async def test_a_lost_server_ends_the_wait(scripted: Scripted) -> None:
    async with waiting(scripted(gate()), timeout=None) as (client, call):
        with pytest.raises(ServerExited):
            await client.call_tool("die")
        with pytest.raises(ServerExited):
            await call


async def test_a_no_is_no_wait(scripted: Scripted) -> None:
    async with Client(scripted(gate(2)), approve=lambda visit: visit.elicitation_id == "e0") as client:
        with pytest.raises(
            URLElicitationRequired, match=r"visit first \(code -32042; tools/call to scripted"
        ):
            await client.call_tool("gate")
        assert not client._connection.visits.waited_for


def test_the_blocking_client_says_it_from_any_thread(scripted: Scripted) -> None:
    asked = threading.Event()

    def consent(_: Visit) -> bool:
        asked.set()
        return True

    with (
        Client.sync(scripted(gate()), approve=consent) as client,
        concurrent.futures.ThreadPoolExecutor(1) as pool,
    ):
        call = pool.submit(client.call_tool, "gate")
        assert asked.wait(10)
        while not call.done():
            client.visit_done()
        assert call.result().text == "welcome"
