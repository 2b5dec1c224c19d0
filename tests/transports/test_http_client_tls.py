"""The HTTP client over TLS, and on the other event loop: who is believed, and that all else is the same."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dovetail.protocol.errors import ConnectFailed
from dovetail.transports.http1.client.http1_backend import HTTP1Backend

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Site:
    """A certificate for some names, which is its own authority."""

    def __init__(self, folder: Path, *names: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a site")])
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([_named(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        public, private = folder / "public.pem", folder / "private.pem"
        public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self.trusting = ssl.create_default_context(cafile=public)
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(public, private)
        self.asked: list[str | None] = []
        self.context.sni_callback = lambda _socket, name, _context: self.asked.append(name)
        self.connections = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
                body = await reader.readexactly(size)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + body)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            writer.close()

    @asynccontextmanager
    async def open(self, unix: str | None = None) -> AsyncIterator[int]:
        """Serve what comes in; the port."""
        if unix is None:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.context)
        else:
            server = await asyncio.start_unix_server(self._serve, unix, ssl=self.context)
        try:
            yield 0 if unix is not None else server.sockets[0].getsockname()[1]
        finally:
            server.close()
            await server.wait_closed()


def _named(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


async def asked(backend: HTTP1Backend, url: str, body: bytes) -> bytes:
    response = await backend.request("POST", url, [], body)
    found = b""
    while piece := await response.read():
        found += piece
    response.close()
    return found


@pytest.mark.parametrize("loop", LOOPS)
def test_a_site_that_proves_its_name_is_talked_to(
    loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory: Callable[[], asyncio.AbstractEventLoop] = LOOPS[loop]

    async def talk() -> None:
        site = Site(tmp_path, "localhost", "127.0.0.1")
        async with site.open() as port, asyncio.timeout(20):
            backend = HTTP1Backend(ssl=site.trusting)
            for host in ("localhost", "127.0.0.1", "LOCALHOST"):
                for size in (1, 1_000_000):
                    assert await asked(backend, f"https://{host}:{port}/", b"x" * size) == b"x" * size
            assert site.connections == 2
            assert site.asked == ["localhost", None]
            await backend.close()

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(talk())


@pytest.mark.hostile
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("why", ["unknown", "another name", "another address"])
def test_a_site_that_does_not_is_not(loop: str, why: str, tmp_path: Path) -> None:
    """Nothing of a request leaves before the server has shown who it is."""
    factory: Callable[[], asyncio.AbstractEventLoop] = LOOPS[loop]

    async def talk() -> None:
        names = {"unknown": "localhost", "another name": "example.com", "another address": "127.0.0.2"}
        site = Site(tmp_path, names[why])
        host = "127.0.0.1" if why == "another address" else "localhost"
        async with site.open() as port, asyncio.timeout(20):
            backend = HTTP1Backend(ssl=None if why == "unknown" else site.trusting)
            with pytest.raises(ConnectFailed, match=r"certificate|ismatch") as caught:
                await asked(backend, f"https://{host}:{port}/", b"a secret")
            assert caught.value.retry_safe
            assert not backend._open
            await backend.close()

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(talk())


async def test_tls_over_a_unix_socket(tmp_path: Path) -> None:
    site, path = Site(tmp_path, "site.example"), str(tmp_path / "s")
    async with site.open(path), asyncio.timeout(20):
        backend = HTTP1Backend(unix_socket=path, ssl=site.trusting)
        assert await asked(backend, "https://site.example/", b"x") == b"x"
        with pytest.raises(ConnectFailed):
            await asked(backend, "https://other.example/", b"x")
        await backend.close()


async def test_a_handshake_that_never_ends_is_given_up() -> None:
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        gone.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    backend = HTTP1Backend(connect_timeout=0.1)
    async with asyncio.timeout(10):
        with pytest.raises(ConnectFailed, match="no answer within"):
            await asked(backend, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/", b"x")
        await gone.wait()
    await backend.close()
    server.close()
    await server.wait_closed()


def test_without_tls_on_the_other_event_loop() -> None:
    async def talk() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while head := await reader.read(1 << 16):
                assert head.endswith(b"x")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        backend = HTTP1Backend()
        for _ in range(3):
            assert await asked(backend, f"http://127.0.0.1:{port}/", b"x") == b"ok"
        assert len(backend._open) == 1
        with pytest.raises(ConnectFailed):
            await asked(backend, "http://127.0.0.1:9/", b"x")
        await backend.close()
        server.close()
        await server.wait_closed()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(talk())
