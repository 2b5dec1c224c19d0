"""Bodies on our HTTP connection: cut short, waited for, not wanted, too large."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from connection_serving import Peer, Recorder, on_both_ends, on_both_loops, reply, serving, settled

from dovetail.transports.http1.server import connection as uvicorn_connection

pytestmark = pytest.mark.hostile

GET = b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: a\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"


@on_both_ends
async def test_f36_a_body_that_ends_early_is_told() -> None:
    app = Recorder()
    async with serving(app) as served:
        for data in (POST + b"content-length: 5\r\n\r\nab", CHUNKED + b"5\r\nab", CHUNKED):
            peer = await served.open()
            await peer.send(data)
            await settled_scopes(app)
            peer.writer.write_eof()
            assert await peer.ended()
            await peer.close()
        await served.idle()
        assert [body for _, _, body in app.seen] == [None] * 3
        assert not served.troubles


async def settled_scopes(app: Recorder) -> None:
    await settled(lambda: len(app.scopes) > len(app.seen))


@on_both_loops
async def test_a_client_that_waits_to_be_told_is_told_once() -> None:
    app = Recorder()
    expect = b"POST / HTTP/1.%d\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n"
    async with serving(app) as served:
        peer = await served.open()
        await peer.send(expect % 1)
        assert (await peer.answer()).status == 100
        await peer.send(b"ab")
        await peer.send(b"cd")
        answer = await peer.answer()
        assert (answer.status, "connection" in answer.headers) == (200, False)
        await peer.send(expect % 1 + b"abcd")
        assert (await peer.answer()).status == 200  # it did not wait
        await peer.close()
        peer = await served.open()
        await peer.send(expect % 0)
        await settled_scopes(app)
        await peer.send(b"abcd")
        assert (await peer.answer()).status == 200
        await peer.close()
        peer = await served.open()
        await peer.send(expect % 1 + b"ab")
        await settled_scopes(app)
        await peer.send(b"cd")
        assert (await peer.answer()).status == 200  # neither did this one
        await peer.close()
        assert [body for _, _, body in app.seen] == [b"abcd"] * 4


@on_both_loops
async def test_f15_a_refusal_before_the_body_was_asked_for_ends_the_connection() -> None:
    """What comes next is the body or a request, which nobody can tell."""
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["path"])
        await reply(send, b"no", 413)

    async with serving(app) as served:
        peer = await served.open()
        await peer.send(b"POST /1 HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 30\r\n\r\n")
        answer = await peer.answer()
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        await peer.send(GET % 2)
        await peer.send(GET % 3)
        assert await peer.ended()
        await peer.close()
        await served.idle()
        assert seen == ["/1"]


async def _no(scope: Any, receive: Any, send: Any) -> None:
    await reply(send, b"no", 403, *([(b"connection", b"close")] if scope["path"] == "/close" else []))


@on_both_ends
async def test_a_small_body_that_nobody_wants_does_not_cost_the_connection() -> None:
    async with serving(_no) as served:
        peer = await served.open()
        for _ in range(3):
            await peer.send(POST + b"content-length: 100000\r\n\r\n")
            assert (await peer.answer()).status == 403
            await peer.send(b"x" * 100_000)
        await peer.send(GET % 1)
        assert (await peer.answer()).status == 403
        await peer.close()


@on_both_loops
async def test_a_body_that_breaks_after_its_answer_gets_no_second_one() -> None:
    async with serving(_no) as served:
        peer = await served.open()
        await peer.send(CHUNKED)
        assert (await peer.answer()).status == 403
        await peer.send(b"zz\r\n")
        assert await peer.ended()
        await peer.close()
        await served.idle()


@pytest.mark.parametrize("path", [b"/", b"/close"])
@pytest.mark.parametrize("chunked", [False, True])
@on_both_loops
async def test_v27_a_client_that_sends_too_much_can_still_read_its_answer(path: bytes, chunked: bool) -> None:
    async with serving(_no, patience=0.3) as served:
        peer = await served.open()
        how = b"transfer-encoding: chunked" if chunked else b"content-length: 10485760"
        await peer.send(b"POST %b HTTP/1.1\r\nhost: a\r\n%b\r\n\r\n" % (path, how))
        part = b"x" * 65536
        if chunked:
            part = b"10000\r\n" + part + b"\r\n"
        for _ in range(160):
            await peer.send(part)  # all of it, before a look at the answer
        assert (await peer.answer()).status == 403
        await peer.ended()
        await peer.close()
        await served.idle()


@on_both_loops
async def test_v27_an_endless_body_that_nobody_wants_ends() -> None:
    async with serving(_no, patience=0.1) as served:
        peer = await served.open()
        await peer.send(CHUNKED)

        async def pump() -> None:
            while True:
                await peer.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")

        with pytest.raises(ConnectionError):
            await pump()
        await peer.close()
        await served.idle()


@on_both_loops
async def test_v27_a_body_that_is_not_asked_for_waits_in_the_system() -> None:
    go = asyncio.Event()
    sizes: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        total = 0
        while True:
            event = await receive()
            sizes.append(len(event["body"]))
            total += sizes[-1]
            if not event["more_body"]:
                break
        await reply(send, b"%d" % total)

    async with serving(app) as served:
        peer = await served.open()
        peer.writer.write(POST + b"content-length: 16000000\r\n\r\n" + b"x" * 16_000_000)
        await until_buffered(peer)
        go.set()
        assert (await peer.answer()).body == b"16000000"
        assert max(sizes) <= uvicorn_connection._READ + 65536
        await peer.close()


async def until_buffered(peer: Peer) -> None:
    """Wait until the system takes nothing more."""
    before = -1

    def still() -> bool:
        nonlocal before
        now = peer.writer.transport.get_write_buffer_size()
        same, before = now == before and now < 16_000_000, now
        return same

    await settled(still)
