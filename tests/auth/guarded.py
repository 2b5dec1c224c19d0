"""What the tests of protected servers share: an issuer with real keys behind a real socket, and a client that speaks
plain HTTP and shows exactly the headers that it is told to.

The issuer can be slow, dead, huge, of another name; it counts what it is asked.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast
from urllib.parse import parse_qs

from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from dovetail import App
from dovetail.auth import Protected, jwt
from dovetail.protocol.revisions import STATEFUL, STATELESS
from dovetail.testing.serving import served

RESOURCE = "http://localhost:8765/mcp"
"""The public name of the protected endpoint in these tests; where it really listens is another matter."""
MODERN = STATELESS[-1]
LEGACY = STATEFUL[-1]
KEYS: dict[str, Any] = {
    "ES256": ECKey.generate_key("P-256", {"kid": "es", "use": "sig"}),
    "ES384": ECKey.generate_key("P-384", {"kid": "es384"}),
    "ES512": ECKey.generate_key("P-521", {"kid": "es512"}),
    "RS256": RSAKey.generate_key(2048, {"kid": "rs"}),
    "Ed25519": OKPKey.generate_key("Ed25519", {"kid": "ed"}),
}
for _alg, _like in (("PS256", "RS256"), ("RS512", "RS256"), ("EdDSA", "Ed25519")):
    KEYS[_alg] = KEYS[_like]


def b64(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(header: dict[str, Any], payload: bytes, key: Any = None, algorithm: str | None = None) -> str:
    """Any header and any bytes, truly signed: with ``algorithm`` (default: the header's) and its key."""
    name = algorithm or header["alg"]
    text = f"{b64(json.dumps(header).encode())}.{b64(payload)}"
    return f"{text}.{b64(jws.JWSRegistry.algorithms[name].sign(text.encode(), key or KEYS[name]))}"


class Issuer:
    """An authorization server as a protected server sees it."""

    def __init__(self) -> None:
        self.url = ""
        self.named: str | None = None
        self.keys: list[Any] = [KEYS[each] for each in ("ES256", "ES384", "ES512", "RS256", "Ed25519")]
        self.asked: dict[str, int] = {}
        self.delay: asyncio.Event | None = None
        self.reached = asyncio.Event()
        self.status = 200
        self.body: bytes | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.answers: dict[str, Any] = {}
        self.introspected: list[dict[str, str]] = []
        self.credentials: list[str] = []

    def metadata(self) -> dict[str, Any]:
        """What it says of itself."""
        return {
            "issuer": self.named or self.url,
            "jwks_uri": f"{self.url}/jwks",
            "introspection_endpoint": f"{self.url}/introspect",
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        self.asked[path] = self.asked.get(path, 0) + 1
        body, status = b"{}", 200
        if path == "/.well-known/oauth-authorization-server":
            body = json.dumps(self.metadata()).encode()
        elif path == "/jwks":
            self.reached.set()
            if self.delay is not None:
                await self.delay.wait()
            status = self.status
            keys = [key if isinstance(key, dict) else key.as_dict(private=False) for key in self.keys]
            body = self.body if self.body is not None else json.dumps({"keys": keys}).encode()
        elif path == "/introspect":
            form = await _form(receive)
            self.introspected.append(form)
            self.credentials.append(dict(scope["headers"]).get(b"authorization", b"").decode())
            self.reached.set()
            if self.delay is not None:
                await self.delay.wait()
            status = self.status
            answer = self.answers.get(form.get("token", ""), {"active": False})
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        else:
            status = 404
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            *self.headers,
        ]
        with contextlib.suppress(Exception):
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    def claims(self, **changes: Any) -> dict[str, Any]:
        """The claims of a good token; a change of None leaves one out."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "sub": "ann",
            "client_id": "cli",
            "aud": RESOURCE,
            "iat": now,
            "exp": now + 600,
            "scope": "notes:read",
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, alg: str = "ES256", *, header: dict[str, Any] | None = None, **changes: Any) -> str:
        """A token of this issuer."""
        head = {"typ": "at+jwt", "alg": alg, "kid": KEYS[alg].kid, **(header or {})}
        head = {name: value for name, value in head.items() if value is not None}
        return signed(head, json.dumps(self.claims(**changes)).encode())


async def _form(receive: Any) -> dict[str, str]:
    body = b""
    while True:
        event = await receive()
        body += event.get("body", b"")
        if not event.get("more_body"):
            break
    return {name: values[0] for name, values in parse_qs(body.decode()).items()}


@contextlib.asynccontextmanager
async def issuing(issuer: Issuer | None = None) -> AsyncIterator[Issuer]:
    """An issuer on a free port."""
    found = issuer or Issuer()
    async with served(found) as url:
        found.url = url.removesuffix("/mcp")
        yield found


class Answer:
    """One answer: ``status``, ``headers`` (name in lower case, value) and ``body``."""

    def __init__(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def values(self, name: str) -> list[str]:
        """All values of a header."""
        return [value for each, value in self.headers if each == name]

    @property
    def challenge(self) -> str:
        """The one challenge."""
        (value,) = self.values("www-authenticate")
        return value

    @property
    def json(self) -> Any:
        """The body, or the last message of an event stream."""
        if "text/event-stream" in "".join(self.values("content-type")):
            return json.loads([line for line in self.body.splitlines() if line.startswith(b"data: ")][-1][6:])
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"Answer({self.status}, {self.headers}, {self.body[:300]!r})"


class Wire:
    """Requests to one served endpoint, from an address of this machine."""

    def __init__(self, url: str, mount: str = "", address: str = "127.0.0.1") -> None:
        self.address = address
        self.port = int(url.split(":")[2].split("/", maxsplit=1)[0])
        self.path = mount + "/mcp"

    async def send(
        self,
        method: str = "POST",
        path: str | None = None,
        headers: Sequence[tuple[str, str | bytes]] = (),
        body: bytes = b"",
        host: str = "localhost",
    ) -> Answer:
        """One request on a connection of its own; the whole answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(self.address, 0))
        try:
            lines = [
                f"{method} {path or self.path} HTTP/1.1".encode(),
                f"host: {host}".encode(),
                b"connection: close",
            ]
            if body:
                lines.append(f"content-length: {len(body)}".encode())
            for name, value in headers:
                lines.append(name.encode() + b": " + (value if isinstance(value, bytes) else value.encode()))
            writer.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
            async with asyncio.timeout(20):
                return await _read(reader)
        finally:
            writer.close()

    async def call(
        self,
        token: str | None,
        method: str = "tools/call",
        params: dict[str, Any] | None = None,
        *,
        headers: Sequence[tuple[str, str | bytes]] = (),
        scheme: str = "Bearer",
        name: str | None = None,
        id: int = 1,
    ) -> Answer:
        """One request of the stateless era."""
        given = params if params is not None else {"name": "read", "arguments": {}}
        subject = name or given.get("name") or given.get("uri")
        routing = [("mcp-method", method), ("mcp-protocol-version", MODERN)]
        if method in ("tools/call", "prompts/get", "resources/read") and subject:
            routing.append(("mcp-name", subject))
        meta = {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
            "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
        }
        message = {"jsonrpc": "2.0", "id": id, "method": method, "params": {**given, "_meta": meta}}
        shown = [("authorization", f"{scheme} {token}")] if token is not None else []
        sent = [*READS_BOTH, *routing, *shown, *headers]
        return await self.send(headers=sent, body=json.dumps(message).encode())

    async def message(
        self,
        token: str | None,
        message: dict[str, Any],
        *,
        session: str | None = None,
        revision: str = LEGACY,
    ) -> Answer:
        """One message of the stateful era."""
        headers: list[tuple[str, str]] = [*READS_BOTH]
        if token is not None:
            headers.append(("authorization", f"Bearer {token}"))
        if session is not None:
            headers += [("mcp-session-id", session), ("mcp-protocol-version", revision)]
        return await self.send(headers=headers, body=json.dumps({"jsonrpc": "2.0", **message}).encode())

    async def initialize(self, token: str | None, revision: str = LEGACY) -> str:
        """A session that is ready; its id."""
        hello = {
            "protocolVersion": revision,
            "capabilities": {"elicitation": {}},
            "clientInfo": {"name": "t", "version": "1"},
        }
        answer = await self.message(token, {"id": 0, "method": "initialize", "params": hello})
        assert answer.status == 200, answer
        (session,) = answer.values("mcp-session-id")
        done = await self.message(
            token, {"method": "notifications/initialized"}, session=session, revision=revision
        )
        assert done.status == 202
        return session


READS_BOTH = [("content-type", "application/json"), ("accept", "application/json, text/event-stream")]


async def _read(reader: asyncio.StreamReader) -> Answer:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = [(n.lower(), v.strip()) for n, _, v in (line.partition(":") for line in lines[1:] if line)]
    data = await reader.read(-1)
    if ("transfer-encoding", "chunked") in headers:
        whole, rest = b"", data
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            whole, rest = whole + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        data = whole
    return Answer(int(lines[0].split()[1]), headers, data)


def notes(auth: Any) -> App:
    """A protected app with a tool that everyone may use and some that not everyone may."""
    app = App("notes", auth=auth, rate_limit=None)

    @app.tool
    async def read() -> str:
        return "read"

    @app.tool(scopes=["notes:write", "notes:read"])
    async def write() -> str:
        return "written"

    @app.tool(allow=lambda principal: principal.subject == "root")
    async def destroy() -> str:
        return "destroyed"

    return app


@contextlib.asynccontextmanager
async def protected(
    *, app: App | None = None, options: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[tuple[Issuer, Wire]]:
    """An issuer, and an app that it protects; settings of `Protected` and ``check`` for those of `jwt`."""
    check = settings.pop("check", {})
    async with issuing() as issuer:
        auth = Protected(RESOURCE, jwt(issuer.url, **check), **settings)
        asgi = (app or notes(auth)).asgi(auth=auth, **cast("Any", options or {}))
        async with served(asgi) as url:
            yield issuer, Wire(url)
