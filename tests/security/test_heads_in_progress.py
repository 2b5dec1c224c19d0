"""Heads to which another line could always come: what has come of all of them is bounded in bytes."""

from __future__ import annotations

from typing import Any

import pytest
from soak_talk import KIB

from dovetail.transports.http_server.unread import Unread
from transports.connection_serving import GET, Peer, body, on_both_loops, serving, settled, start

pytestmark = pytest.mark.hostile
BEGUN = b"GET / HTTP/1.1\r\nhost: a\r\nx-more: "
PART = 50 * KIB
ROOM = 5 * (PART + KIB)


async def small(scope: Any, receive: Any, send: Any) -> None:
    await send(start())
    await send(body(b"done"))


async def leave(peer: Peer) -> None:
    """Begin a large head."""
    await peer.send(BEGUN + b"x" * PART)


@on_both_loops
async def test_heads_that_never_end_have_a_bound_together() -> None:
    async with serving(small) as server:
        server.connections.heads = heads = Unread(ROOM, "heads")
        peers = [await server.open() for _ in range(24)]
        for peer in peers:
            await leave(peer)
        await settled(lambda: len(server.connections.all) == 5)
        assert len(heads) == 5
        assert 5 * PART < heads.all <= ROOM
        await settled(lambda: sum(not each.reader.at_eof() for each in peers) == 5)
        last = next(each for each in peers if not each.reader.at_eof())
        await last.send(b"\r\n\r\n")
        assert (await last.answer()).body == b"done", "one that is whole is served"
        assert len(heads) == 4
        assert (await server.ask(GET % b"")).body == b"done", "and so is anybody else"
        for peer in peers:
            peer.writer.transport.abort()
        await server.idle()
        assert len(heads) == heads.all == 0


@on_both_loops
async def test_a_head_counts_until_it_is_whole_refused_or_left() -> None:
    async with serving(small) as server:
        heads = server.connections.heads
        peer = await server.open()
        await peer.send(BEGUN + b"x" * 100)
        await settled(lambda: len(server.connections.all) == 1)
        assert len(heads) == 0, "a small one is not counted"
        await peer.send(b"x" * PART)
        await settled(lambda: heads.all > PART)
        await peer.send(b"\r\nx-many: 1" * 50)
        await settled(lambda: heads.all > PART + 50 * 100)
        await peer.send(b"\r\n\r\n")
        assert (await peer.answer()).status == 200
        assert len(heads) == 0
        await leave(peer)
        await settled(lambda: len(heads) == 1)
        await peer.send(b"\r\n" + b"x: 1\r\n" * 300)
        assert (await peer.answer()).status == 431
        assert len(heads) == 0
        peer.writer.transport.abort()
        gone = await server.open()
        await leave(gone)
        await settled(lambda: len(heads) == 1)
        gone.writer.transport.abort()
        await settled(lambda: len(heads) == 0)
