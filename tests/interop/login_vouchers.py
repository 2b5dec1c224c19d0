"""What clients show in place of a registration: a document at an https address of theirs, and statements of a company.

Theory of operation: the document stands at an https address of this machine, with a certificate that was made for the
test, and our authorization server gets a fetcher that trusts it. The company is an identity provider that signs ID-JAGs
for whoever asks, and that takes any token as the identity token of a person.

Follows: OAuth Client ID Metadata Document (draft); Enterprise-Managed Authorization (extension); RFC 8693.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json
import ssl
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from joserfc import jwt
from joserfc.jwk import ECKey

from dovetail.security.fetching import Fetcher
from interop.login_scene import address, at, listening

CALLBACK = "http://127.0.0.1:33418/callback"
ID_JAG = "urn:ietf:params:oauth:token-type:id-jag"


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for this machine, and its key; whoever trusts the one trusts it as its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "certificate.pem", folder / "key.pem"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return public, private


def described(url: str) -> dict[str, Any]:
    """What the peers' clients would publish."""
    return {"client_id": url, "client_name": "the peer", "redirect_uris": [CALLBACK]}


@contextlib.asynccontextmanager
async def published(
    folder: Path, describe: Callable[[str], dict[str, Any]] = described
) -> AsyncGenerator[tuple[str, Fetcher]]:
    """A client's document, served over TLS; its address, and a fetcher that gets there. The certificate that others
    have to trust is ``certificate.pem`` in the folder."""
    public, private = certificate(folder)
    body = b""

    async def serve(scope: Any, _receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    with listening() as sock:
        url = f"https://localhost:{sock.getsockname()[1]}/client.json"
        body = json.dumps(describe(url)).encode()
        fetcher = Fetcher(allow_loopback=True, ssl=ssl.create_default_context(cafile=public))
        async with at(sock, serve, ssl_certfile=public, ssl_keyfile=private):
            try:
                yield url, fetcher
            finally:
                await fetcher.close()


class Company:
    """An identity provider."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.key = ECKey.generate_key("P-256", {"kid": "company"})
        self.jwks = {"keys": [self.key.as_dict(private=False)]}
        self.asked: list[dict[str, str]] = []

    def id_jag(self, subject: str, *, audience: str, client_id: str, resource: str, scope: str) -> str:
        """A statement that somebody may be let in, by the client, at the resource."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": subject,
            "aud": audience,
            "client_id": client_id,
            "resource": resource,
            "scope": scope,
            "jti": uuid.uuid4().hex,
            "iat": now,
            "exp": now + 300,
        }
        header = {"alg": "ES256", "kid": "company", "typ": "oauth-id-jag+jwt"}
        return jwt.encode(header, claims, self.key, algorithms=["ES256"])

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Its token endpoint, which exchanges identity tokens for statements."""
        if scope["type"] != "http":
            return
        form = dict(parse_qsl((await receive())["body"].decode()))
        self.asked.append(form)
        issued = {
            "issued_token_type": ID_JAG,
            "access_token": self.id_jag(
                form["subject_token"],
                audience=form["audience"],
                client_id="desktop",
                resource=form["resource"],
                scope=form.get("scope", ""),
            ),
            "token_type": "N_A",
            "expires_in": 300,
        }
        body = json.dumps(issued).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@contextlib.asynccontextmanager
async def company() -> AsyncGenerator[tuple[Company, str]]:
    """An identity provider on this machine, and its token endpoint."""
    with listening() as sock:
        origin = address(sock).removesuffix("/mcp")
        idp = Company(origin)
        async with at(sock, idp, lifespan="off"):
            yield idp, f"{origin}/token"
