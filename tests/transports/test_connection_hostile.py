"""Our HTTP connection and its clients: those that stall, leave or never read; and settings and sockets of all kinds."""

from __future__ import annotations

import asyncio
import datetime
import logging
import os
import socket
import ssl
import struct
import tempfile
from pathlib import Path
from typing import Any

import pytest
from connection_serving import (
    GET,
    POST,
    Peer,
    Recorder,
    body,
    on_both_ends,
    on_both_loops,
    reply,
    serving,
    settled,
    start,
)

pytestmark = pytest.mark.hostile


@on_both_loops
async def test_f30_slow_heads_idle_connections_and_slow_bodies() -> None:
    async with serving(Recorder(), patience=0.1, timeout_keep_alive=0) as served:
        silent, empty, head, kept = [await served.open() for _ in range(4)]
        await empty.send(b"\r\n\r\n")
        await head.send(b"GET / HTTP/1.1\r\nho")
        await kept.send(GET % b"1")
        await kept.answer()
        assert await silent.ended()
        assert await empty.ended()
        await head.ended()
        assert await kept.ended()
        for peer in (silent, empty, head, kept):
            await peer.close()
        second = await served.open()
        await second.send(GET % b"1" + b"GET / HT")
        await second.answer()
        await second.ended()
        await second.close()
        await served.idle()


@on_both_loops
async def test_f30_a_body_that_nobody_wants_has_a_time() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await reply(send, b"no", 403)

    async with serving(app, patience=0.1) as served:
        peer = await served.open()
        await peer.send(POST + b"content-length: 10\r\n\r\nabc")
        assert (await peer.answer()).status == 403
        await peer.ended()
        await peer.close()
        await served.idle()


@pytest.mark.parametrize("pieces", [1, 1000])
@on_both_loops
async def test_f15_heads_without_end(pieces: int) -> None:
    async with serving(Recorder()) as served:
        for first, endless in (
            (b"GET / HTTP/1.1\r\nx: ", b"y"),
            (b"GET /", b"y"),
            (b"GET / HTTP/1.1\r\n", b"x: y\r\n"),
            (b"GET / HTTP/1.1\r\n", b"x"),
        ):
            data = first + endless * (600_000 // len(endless))
            size = len(data) // pieces
            peer = await served.open()
            for at in range(0, len(data), size):
                peer.writer.write(data[at : at + size])
            assert (await peer.answer()).status in (400, 431)
            await peer.close()
        await served.still_serves()
        await served.idle()


@on_both_loops
async def test_f15_too_many_lines_are_refused_before_the_end_of_the_head() -> None:
    async with serving(Recorder()) as served:
        peer = await served.open()
        await peer.send(b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 300)
        assert (await peer.answer()).status == 431
        await peer.close()
        await served.idle()


@on_both_ends
async def test_v2_f36_resets_at_every_byte() -> None:
    app = Recorder()
    whole = (
        POST + b"transfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n2\r\nab\r\n0\r\n\r\n" + GET % b"2"
    )
    async with serving(app) as served:
        for at in range(len(whole) + 1):
            peer = await served.open()
            await peer.send(whole[:at])
            if at % 3 == 0:
                sock = peer.writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if at % 3 == 1:
                peer.writer.transport.abort()
            else:
                await peer.close()
        await served.still_serves()
        await served.idle()
        assert not served.troubles


def limit(peer: Peer, size: int) -> None:
    peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def narrow(peer: Peer) -> None:
    limit(peer, 4096)
    peer.reader._transport.pause_reading()  # type: ignore[attr-defined] - a client that does not read


@on_both_loops
async def test_f29_who_does_not_read_is_waited_for_and_nothing_piles_up() -> None:
    sent = 0
    left = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        if scope["path"] == "/still":
            await reply(send)
            return
        await send(start())

        async def pour() -> None:
            nonlocal sent
            for _ in range(2000):
                await send(body(b"x" * 16_384, more=True))
                sent += 16_384

        await asyncio.gather(*[pour() for _ in range(20)])  # all of them wait, and all of them go on
        await send(body())
        left.set()

    async with serving(app) as served:
        peer = await served.open()
        narrow(peer)
        await peer.send(GET % b"")
        await settled(lambda: any(connection.full for connection in served.connections.all))
        (connection,) = served.connections.all
        assert connection.transport.get_write_buffer_size() < 400_000
        await served.still_serves()
        peer.writer.transport.abort()
        await left.wait()
        await served.idle()
        assert not served.troubles


@on_both_loops
async def test_f29_who_never_reads_a_whole_answer_is_let_go_and_who_reads_slowly_is_not() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await reply(send, b"x" * 30_000_000, 200, (b"connection", b"close"))

    async with serving(app, patience=0.2, timeout_keep_alive=0) as served:
        never, slow = await served.open(), await served.open()
        narrow(never)
        await never.send(GET % b"")
        limit(slow, 65_536)
        await slow.send(GET % b"")
        assert (await slow.head()).status == 200
        for _ in range(30):
            await slow.reader.readexactly(1_000_000)
            await asyncio.sleep(0.02)  # three times its time in all
        await slow.close()
        await served.idle()
        never.writer.transport.abort()


@on_both_loops
async def test_f27_more_than_the_server_was_told_to_take_is_put_off() -> None:
    go = asyncio.Event()
    begun = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        await go.wait()
        await reply(send)

    async with serving(app, limit_concurrency=2) as served:
        first = await served.open()
        await first.send(GET % b"1")
        await begun.wait()
        answer = await served.ask(GET % b"2")
        assert (answer.status, answer.headers["retry-after"], answer.headers["connection"]) == (
            503,
            "1",
            "close",
        )
        go.set()
        assert (await first.answer()).status == 200
        await first.close()
        await served.idle()
        assert (await served.ask(GET % b"3")).status == 200


# Settings and sockets.


@on_both_loops
async def test_headers_of_all_answers() -> None:
    async with serving(
        Recorder(), headers=[("X-Own", "yes"), ("server", "mine"), ("x-bad", "a\nb")]
    ) as served:
        for data in (GET % b"1", b"nonsense\r\n\r\n"):
            answer = await served.ask(data)
            assert (answer.headers["x-own"], answer.headers["server"]) == ("yes", "mine")
            assert "date" in answer.headers
            assert "x-bad" not in answer.headers
    async with serving(Recorder(), date_header=False, server_header=False) as served:
        assert set((await served.ask(GET % b"1")).headers) == {"content-length"}
    async with serving(
        Recorder(), headers=[("Connection", "close"), ("Transfer-Encoding", "gzip")]
    ) as served:
        peer = await served.open()
        await peer.send(GET % b"1")
        answer = await peer.answer()
        assert (answer.headers["connection"], "transfer-encoding" in answer.headers) == ("close", False)
        assert await peer.ended()
        await peer.close()


@on_both_loops
async def test_the_access_log_has_no_lines_of_others() -> None:
    found: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    access = logging.getLogger("uvicorn.access")
    keep, spread = Keep(), access.propagate
    #: uvicorn sets the level of each, for the whole process.
    levels = {
        name: logging.getLogger(name).level for name in ("uvicorn.access", "uvicorn.asgi", "uvicorn.error")
    }
    try:
        async with serving(Recorder(), access_log=True, log_level="info") as served:
            access.addHandler(keep)
            access.propagate = False
            await served.ask(b"GET /a%0d%0ab?c=%22 HTTP/1.1\r\nhost: a\r\n\r\n")
        assert len(found) == 1
        assert found[0].endswith('"GET /a%0D%0Ab?c=%22 HTTP/1.1" 200')
    finally:
        access.removeHandler(keep)
        access.propagate = spread
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@on_both_ends
async def test_the_state_of_the_lifespan_is_no_channel_between_requests() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            scope["state"]["shared"] = "yes"
            await receive()
            await send({"type": "lifespan.startup.complete"})
            return
        assert scope["state"] == {"shared": "yes"}
        scope["state"]["own"] = scope["path"]
        await reply(send)

    async with serving(app, lifespan="on", reset_contextvars=True) as served:
        peer = await served.open()
        for _ in range(2):
            await peer.send(GET % b"")
            assert (await peer.answer()).status == 200
        await peer.close()


@on_both_ends
async def test_over_a_unix_socket() -> None:
    app = Recorder()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "s")
        async with serving(app, uds=path) as served:
            assert (await served.ask(GET % b"1")).status == 200
            peer = await served.open()
            await peer.send(GET % b"2")
            peer.writer.write_eof()
            assert (await peer.answer()).body == b"/2"
            await peer.close()
            await served.idle()
        assert app.scopes[0]["client"] is None
        assert app.scopes[0]["server"] == (path, None)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    x509 = pytest.importorskip("cryptography.x509", reason="certificates are made with it")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    plain = serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path


@on_both_ends
async def test_over_tls(certificate: Path) -> None:
    app = Recorder()
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    given = {"ssl_keyfile": str(certificate), "ssl_certfile": str(certificate)}
    async with serving(app, tls=context, patience=0.3, **given) as served:
        peer = await served.open()
        await peer.send(GET % b"1" + POST + b"content-length: 300000\r\n\r\n" + b"x" * 300_000)
        assert (await peer.answer()).body == b"/1"
        assert (await peer.answer()).body == b"/"
        await peer.close()
        bad = await served.open()
        await bad.send(b"nonsense\r\n\r\n")
        assert (await bad.answer()).status == 400
        assert await bad.ended()
        await bad.close()
        plain = Peer(*await asyncio.open_connection(*served.address))
        await plain.send(GET % b"2")
        await plain.ended()
        await plain.close()
        gone = await served.open()
        await gone.send(GET % b"3")
        gone.writer.transport.abort()
        await served.idle()
        assert app.scopes[0]["scheme"] == "https"
        assert not served.troubles
