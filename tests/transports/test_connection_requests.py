"""What our HTTP connection takes for a request, on real sockets: framing, targets, versions, order, the body."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest
from connection_serving import Recorder, on_both_loops, read, reply, serving

pytestmark = pytest.mark.hostile

GET = b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: a\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"

REFUSED = {
    "length and chunks": POST + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"content-length: 2\r\ncontent-length: 2\r\n\r\nab",
    "a list of lengths": POST + b"content-length: 2, 2\r\n\r\nab",
    "a length with a sign": POST + b"content-length: +2\r\n\r\nab",
    "a length that overflows": POST + b"content-length: 99999999999999999999\r\n\r\nab",
    "an empty length": POST + b"content-length:\r\n\r\n",
    "not quite chunks": POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunks twice": POST + b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunks not at last": POST + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunks with a tab": POST + b"transfer-encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a size in another notation": CHUNKED + b"0x2\r\nab\r\n0\r\n\r\n",
    "a size with a space": CHUNKED + b"2 \r\nab\r\n0\r\n\r\n",
    "a size without CR": CHUNKED + b"2\nab\r\n0\r\n\r\n",
    "a chunk that is longer": CHUNKED + b"2\r\nabc\r\n0\r\n\r\n",
    "a size that overflows": CHUNKED + b"fffffffffffffffff\r\nab",
    "an extension without CR": CHUNKED + b"2;a\nab\r\n0\r\n\r\n",
    "a folded line": b"GET / HTTP/1.1\r\nhost: a\r\nx: a\r\n b\r\n\r\n",
    "a folded first line": b"GET / HTTP/1.1\r\n host: a\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nhost : a\r\n\r\n",
    "a line without a colon": b"GET / HTTP/1.1\r\nhost\r\n\r\n",
    "a name that is empty": b"GET / HTTP/1.1\r\n: a\r\n\r\n",
    "a bare CR": b"GET / HTTP/1.1\r\nhost: a\rb\r\n\r\n",
    "a bare LF": b"GET / HTTP/1.1\r\nhost: a\nx: b\r\n\r\n",
    "a bare LF at the end": b"GET / HTTP/1.1\r\nhost: a\r\n\n",
    "a NUL": b"GET / HTTP/1.1\r\nhost: a\x00b\r\n\r\n",
    "a control character": b"GET / HTTP/1.1\r\nhost: a\x01b\r\n\r\n",
    "a DEL": b"GET / HTTP/1.1\r\nhost: a\x7fb\r\n\r\n",
    "a space after the version": b"GET / HTTP/1.1 \r\nhost: a\r\n\r\n",
    "a tab in the target": b"GET /a\tb HTTP/1.1\r\nhost: a\r\n\r\n",
    "a byte beyond ASCII in the target": b"GET /\xc3\xa9 HTTP/1.1\r\nhost: a\r\n\r\n",
    "a fragment": b"GET /a#b HTTP/1.1\r\nhost: a\r\n\r\n",
    "a target with a user": b"GET http://u@a/ HTTP/1.1\r\nhost: a\r\n\r\n",
    "a target of another scheme": b"GET ftp://a/ HTTP/1.1\r\nhost: a\r\n\r\n",
    "a target without a slash": b"GET a HTTP/1.1\r\nhost: a\r\n\r\n",
    "a target and two hosts": b"GET http://a/ HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an unknown method": b"BREW / HTTP/1.1\r\nhost: a\r\n\r\n",
    "a method in small letters": b"get / HTTP/1.1\r\nhost: a\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "nonsense": b"\r\n\r\nnonsense\r\n\r\n",
}
OTHERS = {
    "HTTP/2.0": (505, b"GET / HTTP/2.0\r\nhost: a\r\n\r\n"),
    "HTTP/0.9": (505, b"GET /\r\n\r\n"),
    "a tunnel": (501, b"CONNECT a.example:443 HTTP/1.1\r\nhost: a\r\n\r\n"),
    "many lines": (431, b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 201 + b"\r\n"),
    "a long line": (431, b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000 + b"\r\n\r\n"),
    "a long target": (431, b"GET /" + b"y" * 70_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n"),
}


def _refused() -> list[Any]:
    found = [(name, 400, data) for name, data in REFUSED.items()]
    found += [(name, status, data) for name, (status, data) in OTHERS.items()]
    return [pytest.param(status, data, id=name.replace(" ", "-")) for name, status, data in found]


@pytest.mark.parametrize("status,data", _refused())
@on_both_loops
async def test_f15_what_two_readers_could_read_differently_is_refused(status: int, data: bytes) -> None:
    app = Recorder()
    async with serving(app) as served:
        peer = await served.open()
        await peer.send(data + GET % 7)
        answer = await peer.answer()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert await peer.ended()
        await peer.close()
        assert not app.scopes  # neither this one nor what hides behind it
        await served.still_serves()
        await served.idle()
        assert not served.troubles


@on_both_loops
async def test_f15_in_pieces_it_is_refused_as_well() -> None:
    app = Recorder()
    async with serving(app) as served:
        for data in (REFUSED["a folded line"], REFUSED["length and chunks"], REFUSED["not quite chunks"]):
            peer = await served.open()
            for at in range(len(data)):
                peer.writer.write(data[at : at + 1])
                await asyncio.sleep(0)
            assert (await peer.answer()).status == 400
            await peer.close()
        await served.idle()
        assert not [seen for seen in app.seen if seen[2] is not None]


@on_both_loops
async def test_trailers_and_extensions_say_nothing() -> None:
    app = Recorder()
    async with serving(app) as served:
        data = CHUNKED + b"2;ext=1\r\nab\r\n0\r\nauthorization: evil\r\nhost: evil\r\n\r\n"
        peer = await served.open()
        await peer.send(data + GET % 2)
        assert (await peer.answer()).body == b"/"
        assert (await peer.answer()).body == b"/2"
        await peer.close()
        assert app.seen[0] == ("POST", "/", b"ab")
        assert app.scopes[0]["headers"] == [(b"host", b"a"), (b"transfer-encoding", b"chunked")]
        assert app.scopes[1]["headers"] == [(b"host", b"a")]


@pytest.mark.parametrize(
    "endless",
    [b"0\r\n" + b"x: y\r\n" * 200_000, b"0\r\nx: " + b"y" * 900_000, b"2;" + b"e" * 900_000],
    ids=["trailers", "a-trailer", "an-extension"],
)
@on_both_loops
async def test_v27_what_a_body_is_wrapped_in_is_bounded(endless: bytes) -> None:
    app = Recorder()
    async with serving(app) as served:
        peer = await served.open()
        peer.writer.write(CHUNKED + endless)
        assert (await peer.answer()).status == 400
        await peer.close()
        await served.still_serves()
        await served.idle()
        assert app.seen[0] == ("POST", "/", None)


@on_both_loops
async def test_values_lose_the_white_space_around_them() -> None:
    app = Recorder()
    async with serving(app) as served:
        await served.ask(POST + b"content-length:  2 \t\r\nx:\t\r\n\r\nab")
        assert app.scopes[0]["headers"] == [(b"host", b"a"), (b"content-length", b"2"), (b"x", b"")]


@on_both_loops
async def test_f49_the_host_of_an_absolute_target_is_the_one_that_counts() -> None:
    app = Recorder()
    async with serving(app, root_path="/r\u00e9") as served:
        await served.ask(b"GET HTTP://evil.example:1/a%20b?c=%20 HTTP/1.1\r\nx: y\r\nHost: localhost\r\n\r\n")
        await served.ask(b"GET http://[::1]?q HTTP/1.1\r\n\r\n")
        await served.ask(b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n")
        await served.ask(b"GET //evil.example/x HTTP/1.1\r\nhost: a\r\n\r\n")
        scope = app.scopes[0]
        assert scope["headers"] == [(b"host", b"evil.example:1"), (b"x", b"y")]
        assert (scope["path"], scope["raw_path"]) == ("/r\u00e9/a b", b"/r%C3%A9/a%20b")
        assert scope["query_string"] == b"c=%20"
        assert app.scopes[1]["headers"] == [(b"host", b"[::1]")]
        assert [each["path"] for each in app.scopes[1:]] == [
            "/r\u00e9/",
            "/r\u00e9*",
            "/r\u00e9//evil.example/x",
        ]


@on_both_loops
async def test_no_upgrade_is_made_and_the_body_is_read_all_the_same() -> None:
    app = Recorder()
    upgrade = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AA\r\n"
    one = POST + upgrade + b"content-length: 2\r\n\r\nab"
    two = POST + upgrade + b"transfer-encoding: chunked\r\n\r\n2\r\ncd\r\n0\r\n\r\n"
    three = b"GET /3 HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n"
    async with serving(app) as served:
        peer = await served.open()
        await peer.send(one + two + three + GET % 4)
        assert [(await peer.answer()).status for _ in range(4)] == [200] * 4
        for at in range(len(one)):
            peer.writer.write(one[at : at + 1])
            await asyncio.sleep(0)
        assert (await peer.answer()).status == 200
        await peer.close()
        bodies = [(b"ab"), (b"cd"), b"", b"", b"ab"]
        assert [body for _, _, body in app.seen] == bodies
        assert [path for _, path, _ in app.seen] == ["/", "/", "/3", "/4", "/"]
        bad = await served.ask(POST + upgrade + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n")
        assert bad.status == 400
        await served.idle()


@on_both_loops
async def test_f45_http_1_0_ends_with_its_answer() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"one ", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})

    async with serving(app) as served:
        peer = await served.open()
        await peer.send(b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\n\r\n")
        answer = await peer.answer()
        assert answer.body == b"one two"
        assert answer.headers["connection"] == "close"
        assert not {"transfer-encoding", "content-length"} & set(answer.headers)
        await peer.close()
        await served.idle()


@on_both_loops
async def test_what_follows_a_last_request_is_not_looked_at() -> None:
    app = Recorder()
    async with serving(app) as served:
        for more in (GET % 2, b"garbage"):
            peer = await served.open()
            await peer.send(b"GET /1 HTTP/1.1\r\nconnection: close\r\n\r\n" + more)
            assert (await peer.answer()).headers["connection"] == "close"
            assert await peer.ended()
            await peer.close()
        await served.idle()
        assert [path for _, path, _ in app.seen] == ["/1", "/1"]


@on_both_loops
async def test_f37_pipelined_requests_are_answered_in_order_and_what_is_bad_in_its_turn() -> None:
    first = asyncio.Event()
    begun = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/1":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"some", "more_body": True})
            begun.set()
            await first.wait()
            await send({"type": "http.response.body", "body": b"more"})
        else:
            assert first.is_set()
            await reply(send, scope["path"].encode())

    broken = {
        "no request": b"nonsense\r\n\r\n",
        "no body": CHUNKED + b"zz\r\n",
        "a new version": b"GET /\r\n\r\n",
    }
    async with serving(app) as served:
        for name, bad in broken.items():
            first.clear()
            begun.clear()
            peer = await served.open()
            await peer.send(GET % 1 + GET % 2 + GET % 3 + bad)
            await begun.wait()
            first.set()
            assert (await peer.answer()).body == b"somemore"
            assert (await peer.answer()).body == b"/2"
            assert (await peer.answer()).body == b"/3"
            assert (await peer.answer()).status == (505 if name == "a new version" else 400)
            assert await peer.ended()
            await peer.close()
        await served.idle()
        assert not served.troubles


@on_both_loops
async def test_f27_the_number_of_requests_that_wait_is_bounded() -> None:
    app = Recorder()
    async with serving(app) as served:
        peer = await served.open()
        peer.writer.write(b"".join(GET % number for number in range(5000)))
        for number in range(101):
            assert (await peer.answer()).body == b"/%d" % number
        assert await peer.ended()
        await peer.close()
        await served.idle()
        assert len(app.seen) < 110


@on_both_loops
async def test_pipelined_requests_share_no_context() -> None:
    who = contextvars.ContextVar("who", default="nobody")
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await read(receive)
        seen.append(who.get())
        who.set(scope["path"])
        await reply(send)

    async with serving(app) as served:
        peer = await served.open()
        await peer.send(GET % 1 + GET % 2 + POST + b"content-length: 100000\r\n\r\n" + b"x" * 100_000)
        for _ in range(3):
            await peer.answer()
        await peer.send(GET % 4)
        await peer.answer()
        await peer.close()
        assert seen == ["nobody"] * 4


@on_both_loops
async def test_a_client_that_closed_its_side_is_answered() -> None:
    left = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = await read(receive)
        if scope["path"] == "/wait":
            assert (await receive())["type"] == "http.disconnect"
            left.set()
            if scope["query_string"] == b"silent":
                return
        await reply(send, body or b"")

    async with serving(app) as served:
        for path in (b"/", b"/wait"):
            peer = await served.open()
            await peer.send(b"POST %b HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab" % path)
            peer.writer.write_eof()
            assert (await peer.answer()).body == b"ab"
            assert await peer.ended()
            await peer.close()
        assert left.is_set()
        peer = await served.open()
        await peer.send(GET % 1 + GET % 2 + GET % 3)
        peer.writer.write_eof()
        assert [(await peer.answer()).status for _ in range(3)] == [200] * 3
        assert await peer.ended()
        await peer.close()
        peer = await served.open()
        await peer.send(b"GET /wait?silent HTTP/1.1\r\nhost: a\r\n\r\n")
        peer.writer.write_eof()
        assert await peer.ended()
        await peer.close()
        await served.idle()
        assert not served.troubles
