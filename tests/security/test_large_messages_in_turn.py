"""Many large messages that become whole at one moment: small ones are served between every two of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgi_peer import Peer
from soak_talk import MIB, modern
from test_held_bytes import HERE, endpoint, small_app, unwatched

from dovetail.protocol import call as call_module
from dovetail.protocol import envelope
from dovetail.protocol.envelope import MAX_ITEMS
from dovetail.transports.http_server.holding import ITEM, weight
from dovetail.transports.http_server.queueing import LARGE, Queue

pytestmark = pytest.mark.hostile
__all__ = ["unwatched"]


def large(size: int = LARGE + 1) -> tuple[bytes, dict[str, str]]:
    return modern("tools/call", {"name": "echo", "arguments": {"text": "x" * size}})


async def test_each_turn_of_the_loop_reads_one_large_message(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    read = envelope.read

    def noted(data: bytes) -> Any:
        happened.append("read")
        return read(data)

    def turn() -> None:
        happened.append("turn")
        loop.call_soon(turn)

    loop = asyncio.get_running_loop()
    async with endpoint() as http:
        monkeypatch.setattr(envelope, "read", noted)
        exchanges = [Peer(http, HERE).begin(large()[1]) for _ in range(12)]
        await asyncio.sleep(0.01)
        body = large()[0]
        for each in exchanges:
            each.part(body)
        turn()
        for each in exchanges:
            assert (await each.over()).status == 200
        monkeypatch.undo()
    spoken = "".join(what[0] for what in happened)
    assert spoken.count("r") == 12
    assert "rr" not in spoken, "two of them in one turn"
    assert "rttttt" not in spoken.strip("t"), "and none waits for nothing"


async def test_small_messages_wait_for_no_turn() -> None:
    async with endpoint() as http:
        turned = False

        async def turn() -> None:
            nonlocal turned
            turned = True

        http._limits.large.turn = turn
        body, headers = large(1000)
        assert (await Peer(http, HERE).post(body, headers).over()).status == 200
        assert not turned
        assert (await Peer(http, HERE).post(*large()).over()).status == 200
        assert turned


async def test_who_leaves_the_line_holds_nobody_up() -> None:
    queue = Queue()
    waiting = [asyncio.create_task(queue.turn()) for _ in range(20)]
    await asyncio.sleep(0)
    for each in waiting[::2]:
        each.cancel()
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting, return_exceptions=True)
        await queue.turn()
    assert len(queue) == 0


def test_a_line_begins_anew_on_another_loop() -> None:
    queue = Queue()

    async def abandoned() -> None:
        asyncio.get_running_loop().create_task(queue.turn())
        await asyncio.sleep(0)

    asyncio.run(abandoned())

    async def later() -> None:
        async with asyncio.timeout(5):
            await queue.turn()

    asyncio.run(later())


def test_what_has_few_items_is_weighed_by_search() -> None:
    """Counted byte by byte, sixteen million of them would hold the loop for tens of milliseconds."""
    body = b'{"a":[1,2],"b":"' + b"x" * (4 * MIB) + b'"}'

    class Counted(bytes):
        def count(self, *given: Any) -> int:
            assert len(given) > 1, "from the beginning"
            return super().count(*given)

    assert weight(Counted(body)) == len(body) + 4 * ITEM
    swarm = b"[" + b"," * (2 * MAX_ITEMS)
    assert weight(swarm) == len(swarm) + MAX_ITEMS * ITEM


async def test_letting_go_of_a_message_without_meta_does_not_read_it_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Unreadable:
        def read(self, raw: Any) -> Any:
            raise AssertionError(f"{len(raw)} bytes are read again")

    app = small_app()
    async with endpoint(app) as http:
        peer = Peer(http, HERE)
        await peer.open()
        monkeypatch.setattr(call_module, "_marked", Unreadable())
        answer = await peer.call("echo", text="x" * LARGE).over()
        assert len(answer.json["result"]["content"][0]["text"]) == LARGE
