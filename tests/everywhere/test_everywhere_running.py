"""In every cell: what is said on the way, cancelling, limits of time, many calls at once, and closing under way."""

import asyncio

import pytest
from everywhere_cells import Cell
from everywhere_spots import Clock, Host, Spot

from dovetail import Client, Closed, FeatureUnavailable, RequestTimeout
from dovetail.protocol.types import ProgressNotice

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_progress(client: Client, cell: Cell) -> None:
    heard: list[ProgressNotice] = []
    assert await client.call_tool("count", {"to": 4}, progress=heard.append, into=int) == 4
    numbers = [(notice.progress, notice.total) for notice in heard]
    assert numbers == ([(number, 4) for number in (1, 2, 3, 4)] if cell.has("talks") else [])
    told = ["step 1", "step 2", "step 3", "step 4"] if cell.has("progress_message") else [None] * 4
    assert [notice.message for notice in heard] == (told if cell.has("talks") else [])

    slowly: list[float] = []

    async def note(notice: ProgressNotice) -> None:
        await asyncio.sleep(0)
        slowly.append(notice.progress)

    await client.call_tool("count", {"to": 3}, progress=note)
    assert slowly == ([1, 2, 3] if cell.has("talks") else [])
    assert (await client.call_tool("count", {"to": 3})).is_error is False


async def test_logs(client: Client, cell: Cell, host: Host) -> None:
    await client.call_tool("talk", {"words": ["a", "b\n\u00e9"]})
    said = []
    while not host.logs.empty():
        notice = host.logs.get_nowait()
        said.append((notice.level, notice.data, notice.logger))
    everything = [
        entry
        for word in ("a", "b\n\u00e9")
        for entry in (
            ("debug", f"debug {word}", None),
            ("warning", {"word": word}, "talk"),
            ("error", f"error {word}", None),
        )
    ]
    assert said == (everything if cell.has("logs") else [])


async def test_the_level_of_logs(spot: Spot) -> None:
    cell, host = spot.cell, Host()
    if cell.transport == "stdio":  # one process more for each cell would prove nothing more
        client = spot.client
        host = spot.host
    else:
        client = spot.connect(host)
        await client.open()
    try:
        if not cell.has("logs") and not cell.stateless:
            with pytest.raises(FeatureUnavailable, match="logging"):
                await client.set_log_level("error")
            return
        await client.set_log_level("error")
        await client.call_tool("talk", {"words": ["a"]})
        await client.set_log_level("debug")
        await client.call_tool("talk", {"words": ["b"]})
    finally:
        if client is not spot.client:
            await client.close()
    said = [host.logs.get_nowait().level for _ in range(host.logs.qsize())]
    assert said == (["error", "debug", "warning", "error"] if cell.has("logs") else [])


async def test_cancelling_from_another_task(spot: Spot, tag: str) -> None:
    call = asyncio.create_task(spot.client.call_tool("hang", {"tag": tag}))
    await spot.say("begun", tag=tag)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    if not spot.cell.has("cancels"):
        await spot.say("release", tag=tag)
    assert await spot.say("ended", tag=tag) == ("cancelled" if spot.cell.has("cancels") else "released")
    assert await spot.say("echo", text="still there") == "still there"


async def test_progress_prolongs_a_call(spot: Spot, clock: Clock, tag: str) -> None:
    cell = spot.cell
    heard: asyncio.Queue[float] = asyncio.Queue()
    call = asyncio.create_task(
        spot.client.call_tool(
            "ticker", {"tag": tag}, timeout=100, progress=lambda notice: heard.put_nowait(notice.progress)
        )
    )
    await spot.say("begun", tag=tag)
    if cell.has("talks"):
        for number in (1, 2, 3):
            await spot.say("tick", tag=tag, number=number)
            assert await heard.get() == number
            clock.advance(80)
            await spot.say("echo", text="time passes")
            assert not call.done()
    clock.advance(110)
    with pytest.raises(RequestTimeout):
        await call
    if not cell.has("cancels"):
        await spot.say("tick", tag=tag, number=-1)
    assert await spot.say("ended", tag=tag) == ("cancelled" if cell.has("cancels") else "released")


async def test_progress_prolongs_a_call_that_has_no_handler_for_it(
    spot: Spot, clock: Clock, tag: str
) -> None:
    cell = spot.cell
    if not cell.has("talks"):
        return
    guards = spot.client._connection.link._timeouts
    call = asyncio.create_task(spot.client.call_tool("ticker", {"tag": tag}, timeout=100))
    await spot.say("begun", tag=tag)
    (guard,) = [
        each for each in guards.values() if each.call is not None and each.call.params.name == "ticker"
    ]
    for number in (1, 2, 3):
        clock.advance(80)
        before = guard._due
        await spot.say("tick", tag=tag, number=number)
        while guard._due == before:  # noqa: ASYNC110 - nobody is told, so there is no event to wait for
            await asyncio.sleep(0)
        assert not call.done()
    await spot.say("tick", tag=tag, number=-1)
    assert (await call).text == f"{tag} was released"


@pytest.mark.requirement("R2607-CANCELLATION-010")
async def test_no_progress_prolongs_a_call_forever(spot: Spot, clock: Clock, tag: str) -> None:
    """The maximum is ten minutes unless told otherwise."""
    cell = spot.cell
    heard: asyncio.Queue[float] = asyncio.Queue()
    call = asyncio.create_task(
        spot.client.call_tool(
            "ticker", {"tag": tag}, timeout=200, progress=lambda notice: heard.put_nowait(notice.progress)
        )
    )
    await spot.say("begun", tag=tag)
    for number in (1, 2, 3):
        await spot.say("tick", tag=tag, number=number)
        if cell.has("talks"):
            assert await heard.get() == number
            assert not call.done()
            clock.advance(190)
    await spot.say("tick", tag=tag, number=4)
    if cell.has("talks"):
        assert await heard.get() == 4
    clock.advance(40 if cell.has("talks") else 210)
    with pytest.raises(RequestTimeout):
        await call
    if not cell.has("cancels"):
        await spot.say("tick", tag=tag, number=-1)
    assert await spot.say("ended", tag=tag) == ("cancelled" if cell.has("cancels") else "released")


async def test_a_call_may_be_without_limit(spot: Spot, clock: Clock, tag: str) -> None:
    call = asyncio.create_task(spot.client.call_tool("hang", {"tag": tag}, timeout=None))
    await spot.say("begun", tag=tag)
    clock.advance(5000)
    await spot.say("echo", text="time passes")
    assert not call.done()
    await spot.say("release", tag=tag)
    assert (await call).text == f"{tag} was released"


async def test_fifty_calls_at_once_keep_their_secrets(spot: Spot, tag: str) -> None:
    """Over two connections where one server has several: their requests then have the same ids."""
    clients = [spot.client]
    if spot.cell.transport != "stdio":
        clients = [await spot.connect().open(), await spot.connect().open()]
    heard: dict[int, list[float]] = {secret: [] for secret in range(1000, 1050)}

    async def one(client: Client, secret: int) -> int:
        return await client.call_tool(
            "meet",
            {"room": tag, "size": 50, "secret": secret},
            progress=lambda notice: heard[secret].append(notice.progress),
            into=int,
        )

    try:
        found = await asyncio.gather(
            *(one(clients[number % len(clients)], secret) for number, secret in enumerate(heard))
        )
    finally:
        for client in clients:
            if client is not spot.client:
                await client.close()
    assert found == list(heard)
    assert heard == {
        secret: [secret, secret + 0.5] if spot.cell.has("talks") else [] for secret in range(1000, 1050)
    }


async def test_many_questions_at_once_find_their_calls(spot: Spot, tag: str) -> None:
    if not (spot.cell.has("elicitation") and spot.cell.has("asks")):
        return
    spot.host.fill = lambda request: request.message.removeprefix("What goes with ")[::-1]

    async def one(secret: str) -> str:
        return (await spot.client.call_tool("meet_asking", {"room": tag, "size": 12, "secret": secret})).text

    secrets = [f"{tag}/{number}" for number in range(12)]
    assert await asyncio.gather(*map(one, secrets)) == [f"{secret}=?{secret[::-1]}" for secret in secrets]


async def test_closing_while_calls_are_open(spot: Spot, tag: str) -> None:
    cell = spot.cell
    host = Host()
    client = await spot.connect(host).open()
    observer = client if cell.transport == "stdio" else spot.client
    calls = [asyncio.create_task(client.call_tool("hang", {"tag": f"{tag}-{n}"})) for n in range(3)]
    for number in range(3):
        await observer.call_tool("begun", {"tag": f"{tag}-{number}"})
    before = asyncio.get_running_loop().time()
    await asyncio.gather(client.close(), client.close())
    assert asyncio.get_running_loop().time() - before < 1.9  # no server had to be told twice
    for call in calls:
        with pytest.raises(Closed):
            await call
    with pytest.raises(Closed):
        await client.call_tool("echo", {"text": "x"})
    if observer is client:
        return
    for number in range(3):
        if not cell.has("cancels"):
            await spot.say("release", tag=f"{tag}-{number}")
        how = await spot.say("ended", tag=f"{tag}-{number}")
        assert how == ("cancelled" if cell.has("cancels") else "released")
