"""Servers that are broken on purpose: over TLS, over HTTP, as processes."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import json
import ssl
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOW = datetime.datetime.now(datetime.UTC)
SIGNING = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class Authority:
    """Issues certificates. ``path``: its own, as a file."""

    def __init__(self, folder: Path, name: str = "The authority") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        own = self._made(self._name, self._key, ca=True, days=100, names=())
        self.path = folder / "authority.pem"
        self.path.write_bytes(own.public_bytes(serialization.Encoding.PEM))

    def context(self, *names: str, days: int = 90, itself: bool = False) -> ssl.SSLContext:
        """What a server speaks TLS by. ``names``: what the certificate is for; ``itself``: it vouches for itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        made = self._made(name, key, ca=False, days=days, names=names, itself=itself)
        path = self._folder / f"{names[0]}{days}{itself}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + made.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _made(self, name, key, *, ca, days, names, itself=False):
        alternatives = [
            x509.IPAddress(ipaddress.ip_address(each)) if each[0].isdigit() else x509.DNSName(each)
            for each in names
        ]
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name if itself else self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - datetime.timedelta(days=200))
            .not_valid_after(NOW + datetime.timedelta(days=days, hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            # Python 3.13 and later want whose key it is, and what it may sign, of every chain (VERIFY_X509_STRICT).
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(
                    (key if itself else self._key).public_key()
                ),
                critical=False,
            )
        )
        if ca:
            builder = builder.add_extension(SIGNING, critical=True)
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return builder.sign(key if itself else self._key, hashes.SHA256())


Answer = Callable[[str, dict[str, str], bytes], bytes | None]


class Unfinished(bytes):
    """What is written of an answer that goes no further; the connection stays open."""


@contextlib.asynccontextmanager
async def answering(answer: Answer, context: ssl.SSLContext | None = None) -> AsyncGenerator[int]:
    """A server that answers each request by a function of its first line, headers and body; None: it stays silent."""

    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(cast("asyncio.Task[None]", asyncio.current_task()))
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in head[1:] if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            told = answer(head[0], headers, body)
            if told is not None:
                writer.write(told)
                await writer.drain()
            if told is None or isinstance(told, Unfinished):
                await reader.read()
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        if tasks:
            await asyncio.wait(tasks)


def http(status: str, body: str = "", *headers: str, media: str = "application/json") -> bytes:
    """An answer of HTTP/1.1, after which the connection ends."""
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {media}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join([*lines, "", body]).encode()


TOOL = {"name": "greet", "description": "Greet.", "inputSchema": {"type": "object"}}
INITIALIZED = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "plain", "version": "1"},
}


def replies(message: dict[str, Any], **otherwise: Any) -> dict[str, Any] | None:
    """What a small server of 2025-11-25 says to a message. ``otherwise``: other results, by method."""
    results = {"initialize": INITIALIZED, "ping": {}, "tools/list": {"tools": [TOOL]}, **otherwise}
    if "id" not in message:
        return None
    if message["method"] in results:
        return {"jsonrpc": "2.0", "id": message["id"], "result": results[message["method"]]}
    return {"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "no such method"}}


def speaking(**otherwise: Any) -> Answer:
    """An endpoint of that server."""

    def answer(line: str, headers: dict[str, str], body: bytes) -> bytes:
        if not line.startswith("POST"):
            return http("405 Method Not Allowed")
        reply = replies(json.loads(body), **otherwise)
        return http("202 Accepted") if reply is None else http("200 OK", json.dumps(reply))

    return answer


def at_path(path: str, answer: Answer, elsewhere: bytes) -> Answer:
    """What answers at one path, and the same bytes at all others."""
    return lambda line, headers, body: answer(line, headers, body) if line.split()[1] == path else elsewhere


def program(write: str, otherwise: dict[str, Any] | None = None, *, before: str = "") -> list[str]:
    """That server as a command. ``write``: a statement that writes the bytes of ``reply``; ``before``: what is done
    first; ``otherwise``: other results, by method.
    """
    text = (
        f"import json, sys\nsys.path[:0] = [{str(Path(__file__).parent)!r}]\n{before}\n"
        "from broken_servers import replies\n"
        "for line in sys.stdin:\n"
        f"    reply = replies(json.loads(line), **{otherwise or {}!r})\n"
        f"    if reply is not None:\n        {write}\n        sys.stdout.flush()\n"
    )
    return [sys.executable, "-c", text]
