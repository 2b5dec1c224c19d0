"""Finding out the era of real processes, and opening them as it wants."""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from waiting import until

from dovetail import App
from dovetail.client import Client
from dovetail.protocol.errors import (
    Closed,
    ConnectFailed,
    ConnectionLost,
    FeatureUnavailable,
    HTTPStatusError,
    LocalProtocolError,
    RPCError,
    ServerExited,
    TransportError,
)
from dovetail.protocol.revisions import STATEFUL
from dovetail.transports.client_transport import Outgoing, ReceivedResponse
from dovetail.transports.stdio.client import StdioTransport

Command = Callable[..., list[str]]


@pytest.mark.parametrize("revision", STATEFUL)
@pytest.mark.requirement("R2511-LIFECYCLE-015", "R2511-LIFECYCLE-016", "R2511-LIFECYCLE-018")
async def test_every_stateful_revision_is_found(stateful: Command, revision: str) -> None:
    async with Client(stateful(revision)) as client:
        assert (client.revision, client.era) == (revision, "stateful")
        assert client.server_info is not None
        assert client.server_info.name == "raw"
        assert client.instructions == "be kind"
        state = json.loads((await client.call_tool("state")).text)
    assert state["ready"]
    assert state["client"]["protocolVersion"] == STATEFUL[-1]
    assert state["client"]["clientInfo"]["name"] == "dovetail"


@pytest.mark.requirement("R2607-VERSIONING-002")
@pytest.mark.parametrize("switch", ["silent", "strict"])
async def test_a_server_that_ignores_or_dies_of_the_probe_is_greeted_the_old_way(
    stateful: Command, switch: str
) -> None:
    async with Client(stateful("2025-06-18", switch), probe_timeout=0.3) as client:
        assert client.revision == "2025-06-18"
        assert (await client.call_tool("echo", {"text": "x"})).text == "x"


async def test_the_stateless_era_is_found(stateless: Command) -> None:
    async with Client(stateless()) as client:
        assert (client.revision, client.era) == ("2026-07-28", "stateless")
        assert client.server_info is not None
        assert client.server_info.version == "2"
        assert (await client.call_tool("echo", {"text": "x"})).text == "x"


async def test_a_slow_starter_of_the_stateless_era_is_asked_again(stateless: Command) -> None:
    async with Client(stateless("2026-07-28", "slow-start"), probe_timeout=0.2) as client:
        assert client.era == "stateless"


async def test_a_stateless_server_of_unknown_revisions_is_refused(stateless: Command) -> None:
    with pytest.raises(RPCError) as caught:
        await Client(stateless("2031-01-01")).open()
    assert caught.value.code == -32022


async def test_a_pinned_revision_is_spoken_at_once(stateful: Command, stateless: Command) -> None:
    async with Client(stateful("2025-03-26", "strict"), revision="2025-03-26") as client:
        assert client.revision == "2025-03-26"
    async with Client(stateless(), revision="2026-07-28") as client:
        assert client.revision == "2026-07-28"


@pytest.mark.requirement("R2511-VERSIONING-009", "R2511-VERSIONING-006")
async def test_a_server_that_chose_another_revision_is_left(stateful: Command) -> None:
    with pytest.raises(FeatureUnavailable, match="2025-06-18"):
        await Client(stateful("2025-06-18"), revision="2025-11-25").open()


@pytest.mark.parametrize(
    "offer,spoken",
    [
        (("2025-03-26", "2025-11-25"), "2025-11-25"),
        (("2026-07-28", "2025-11-25"), "2026-07-28"),
        (["2026-07-28"], "2026-07-28"),
        (frozenset(STATEFUL), "2025-11-25"),
    ],
)
async def test_of_an_offer_the_newest_that_both_speak_is_spoken(offer: Any, spoken: str) -> None:
    app = App("speaks it all")
    async with Client(app, revision=offer) as client:
        assert client.revision == spoken
    await app.service.stop()


@pytest.mark.requirement("R2607-VERSIONING-003", "R2607-VERSIONING-018")
async def test_an_offer_bounds_what_a_server_may_lead_to(stateless: Command, stateful: Command) -> None:
    async with Client(stateful("2025-03-26"), revision=("2026-07-28", "2025-03-26")) as client:
        assert client.revision == "2025-03-26"
    for command in (stateful("2025-03-26"), stateful("2025-03-26", "strict")):
        with pytest.raises((FeatureUnavailable, ServerExited)) as caught:
            await Client(command, revision="2026-07-28").open()
        assert isinstance(caught.value, ServerExited) or "only 2026-07-28" in str(caught.value)
    with pytest.raises(RPCError):  # it does not even know the method
        await Client(stateless(), revision=STATEFUL).open()


async def test_the_era_is_remembered_and_corrected(stateful: Command) -> None:
    command = stateful("2025-11-25", "strict")
    async with Client(command) as client:
        assert client.era == "stateful"
    async with Client(command) as client:  # no probe now: it would kill the server
        state = json.loads((await client.call_tool("state")).text)
        assert state["ready"]


async def test_a_command_that_is_not_there() -> None:
    with pytest.raises((ConnectFailed, TransportError)) as caught:
        await Client(["/nonexistent/program"]).open()
    assert "/nonexistent/program" in str(caught.value)


async def test_a_process_that_ends_at_once_says_why() -> None:
    program = "import sys; sys.stderr.write('no licence\\n'); sys.exit(7)"
    with pytest.raises(ConnectionLost) as caught:
        await Client([sys.executable, "-c", program]).open()
    assert isinstance(caught.value, ServerExited)
    assert caught.value.status == 7
    assert "no licence" in caught.value.stderr


async def test_open_twice_and_close_twice(stateful: Command) -> None:
    client = Client(stateful())
    await asyncio.gather(client.open(), client.open())
    await client.open()
    await asyncio.gather(client.close(), client.close())
    await client.close()
    with pytest.raises(Closed):
        await client.call_tool("echo", {"text": "x"})
    with pytest.raises(Closed):
        await client.open()


async def test_close_from_another_task_while_opening(stateful: Command) -> None:
    client = Client([sys.executable, "-c", "import sys; sys.stdin.read()"], probe_timeout=30)
    opening = asyncio.create_task(client.open())
    await until(lambda: client._connection._link and client._connection._link._timeouts)
    await client.close()
    with pytest.raises(Closed):
        await opening


async def test_a_cancelled_open_leaves_nothing(stateful: Command) -> None:
    client = Client([sys.executable, "-c", "import sys; sys.stdin.read()"], probe_timeout=30)
    opening = asyncio.create_task(client.open())
    await until(lambda: client._connection._link and client._connection._link._timeouts)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening


async def test_a_client_is_opened_before_it_is_used(stateful: Command) -> None:
    client = Client(stateful())
    with pytest.raises(LocalProtocolError, match="async with"):
        await client.call_tool("echo")
    with pytest.raises(LocalProtocolError):
        _ = client.revision
    await client.close()


@pytest.mark.parametrize(
    "options",
    [
        {"revision": "2020-01-01"},
        {"revision": ()},
        {"revision": ["2025-11-25", "auto"]},
        {"revision": 2025},
        {"timeout": 0},
        {"rounds": "maybe"},
        {"log_level": "loud"},
        {"colour": "red"},
    ],
)
def test_options_that_make_no_sense(options: dict[str, object]) -> None:
    with pytest.raises(LocalProtocolError):
        Client("server", **options)  # type: ignore[typeddict-item]  # wrong on purpose


class RefusesInitialize:
    """Stands for HTTP to an old server: refuses by status, and offers the older transport, here a process."""

    name, http, shared = "http", True, False

    def __init__(self, other: list[str], status: int) -> None:
        self.other, self.status, self.closed = other, status, False

    async def open(self, receiver: object) -> None:
        pass

    async def request(self, out: Outgoing) -> ReceivedResponse:
        raise HTTPStatusError("refused", status=self.status)

    async def send(self, out: Outgoing) -> None:
        raise AssertionError

    async def listen(self) -> None:
        pass

    async def end_session(self) -> None:
        pass

    async def close(self) -> None:
        self.closed = True

    def describe(self) -> str:
        return "http://old.example/sse"

    def fall_back_to_sse(self) -> StdioTransport:
        return StdioTransport(self.other)


@pytest.mark.parametrize("status", [400, 404, 405])
async def test_the_transport_of_2024_is_tried_when_initialize_is_refused(
    stateful: Command, status: int
) -> None:
    refusing = RefusesInitialize(stateful("2024-11-05"), status)
    async with Client(refusing) as client:
        assert client.revision == "2024-11-05"
        assert refusing.closed
        assert (await client.call_tool("echo", {"text": "x"})).text == "x"


async def test_other_refusals_are_told(stateful: Command) -> None:
    for status in (401, 410, 500):
        refusing = RefusesInitialize(stateful("2024-11-05"), status)
        with pytest.raises(HTTPStatusError):
            await Client(refusing).open()
        assert refusing.closed
    refusing = RefusesInitialize(["/nonexistent/program"], 405)
    with pytest.raises(HTTPStatusError) as caught:
        await Client(refusing).open()
    assert isinstance(caught.value.__cause__, ConnectFailed)
