"""A call that waits for a person to visit an address goes on when somebody says so, and by a bound."""

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from must_peer import RawPeer
from waiting import until

from dovetail.client import CallInfo, Client, Visit, round_visits
from dovetail.host import Host
from dovetail.protocol.errors import Closed, LocalProtocolError, ServerExited, URLElicitationRequired

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
        await until(lambda: client._connection.notifications.visits.waited_for)
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
        assert not client._connection.notifications.visits.waited_for
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
        assert not client._connection.notifications.visits.waited_for


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


# Since 2026-07-28: the server asks for the visit again until it is over


class Listing:
    """What answers a tool's calls, with lists around it."""

    def __init__(self, calls: Callable[[RawPeer, dict[str, Any]], None]) -> None:
        self._calls = calls

    def __call__(self, peer: RawPeer, message: dict[str, Any]) -> None:
        if message["method"] == "tools/call":
            self._calls(peer, message)
        elif message["method"] == "tools/list":
            tools = [{"name": "t", "inputSchema": {"type": "object"}}]
            peer.result(message["id"], tools=tools, ttlMs=60_000, cacheScope="private")
        elif message["method"] == "prompts/list":
            peer.result(message["id"], prompts=[], ttlMs=60_000, cacheScope="private")


class Errand:
    """A tool that wants visits before it answers its ``visited``-th call; ``asked``: what the person was asked."""

    def __init__(self, *addresses: str, visited: int = 1_000_000) -> None:
        self.addresses = addresses or ("https://example.com/pay",)
        self.visited = visited
        self.made = 0
        self.asked: list[Visit] = []
        self.retried = asyncio.Event()

    def __call__(self, peer: RawPeer, message: dict[str, Any]) -> None:
        self.made += 1
        if self.made > 2:
            self.retried.set()
        if self.made > self.visited:
            peer.result(message["id"], content=[{"type": "text", "text": "welcome"}])
            return
        asked = {
            f"visit{number}": {
                "method": "elicitation/create",
                "params": {"mode": "url", "message": "pay", "url": address},
            }
            for number, address in enumerate(self.addresses)
        }
        peer.result(
            message["id"], resultType="input_required", requestState=f"s{self.made}", inputRequests=asked
        )

    def agree(self, visit: Visit) -> bool:
        self.asked.append(visit)
        return True


@pytest.mark.requirement("R2607-ELICITATION-015", "R2511-ELICITATION-019")
async def test_a_visit_that_is_not_over_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(round_visits, "_FIRST_PAUSE", 0.001)
    errand = Errand(visited=4)
    peer = RawPeer(errand)
    async with Client(peer, approve=errand.agree) as client:
        assert (await client.call_tool("t")).text == "welcome"
    assert [(visit.url, visit.call_waits) for visit in errand.asked] == [("https://example.com/pay", True)]
    tries = [message["params"] for message in peer.sent("tools/call")]
    assert [each.get("requestState") for each in tries] == [None, "s1", "s2", "s3", "s4"]
    assert all(each["inputResponses"] == {"visit0": {"action": "accept"}} for each in tries[1:])


@pytest.mark.requirement("R2607-ELICITATION-015")
@pytest.mark.parametrize("id", [None, "https://example.com/pay"])
async def test_the_host_says_between_rounds_that_it_is_done(
    id: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(round_visits, "_FIRST_PAUSE", 600.0)
    errand = Errand(visited=2)
    async with Client(RawPeer(errand), approve=errand.agree, visit_timeout=600, timeout=None) as client:
        call = asyncio.create_task(client.call_tool("t"))
        await until(lambda: errand.made == 2)
        assert client._connection.notifications.visits.waited_for
        client.visit_done("another")
        await until(lambda: not call.done())
        assert errand.made == 2
        client.visit_done(id)
        assert (await call).text == "welcome"
        assert not client._connection.notifications.visits.waited_for
    assert len(errand.asked) == 1


@pytest.mark.requirement("R2607-ELICITATION-015")
async def test_who_was_there_in_vain_is_asked_again() -> None:
    errand = Errand(visited=3)

    def been_there(visit: Visit) -> Any:
        errand.asked.append(visit)
        return "done"

    async with Client(RawPeer(errand), approve=been_there) as client:
        assert (await client.call_tool("t")).text == "welcome"
    assert len(errand.asked) == 3


@pytest.mark.requirement("R2607-ELICITATION-015")
async def test_the_wait_between_rounds_is_bounded() -> None:
    errand = Errand()
    asked: list[Visit] = []

    def once(visit: Visit) -> bool:
        asked.append(visit)
        errand.visited = errand.made + 1 if len(asked) == 2 else errand.visited
        return True

    async with Client(RawPeer(errand), approve=once, visit_timeout=0.05) as client:
        assert (await client.call_tool("t")).text == "welcome"
    assert len(asked) == 2


async def test_waiting_for_a_visit_uses_up_no_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(round_visits, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(round_visits, "_LONGEST_PAUSE", 0.001)
    errand = Errand("https://example.com/pay", "https://example.com/sign", visited=40)
    async with Client(RawPeer(errand), approve=errand.agree) as client:
        assert (await client.call_tool("t")).text == "welcome"
    assert sorted(visit.url for visit in errand.asked) == list(errand.addresses)


async def test_closing_ends_the_wait_between_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(round_visits, "_FIRST_PAUSE", 600.0)
    errand = Errand()
    client = await Client(RawPeer(errand), approve=errand.agree, visit_timeout=600).open()
    call = asyncio.create_task(client.call_tool("t"))
    await until(lambda: errand.made == 2)
    await client.close()
    with pytest.raises(Closed):
        await call


@pytest.mark.requirement("R2607-ELICITATION-015", "R2511-ELICITATION-019")
async def test_a_host_says_that_a_visit_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(round_visits, "_FIRST_PAUSE", 600.0)
    errand = Errand(visited=2)
    peer = RawPeer(Listing(errand))
    opened: list[str] = []
    async with Host({"shop": peer}, consent=lambda _: True, open_address=opened.append) as host:
        call = asyncio.create_task(host.call("shop__t"))
        await until(lambda: errand.made == 2)
        with pytest.raises(LocalProtocolError):
            host.visit_done("bank")
        host.visit_done("shop")
        assert (await call).text == "welcome"
    assert opened == ["https://example.com/pay"]
