"""The world that a client logs in to: an MCP server and its authorization server, scripted, on real sockets.

Nothing of ours answers here. Every request is kept as it came, so that a test can say what was sent and to whom. What a
test wants to be different, it sets: a document, a challenge, what the token endpoint says.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

import aiohttp

from dovetail import Client
from dovetail.auth.login import MemoryTokens, OAuth, OAuthCredentials, resolve

REVISION = "2026-07-28"
RESOURCE_PATH = "/.well-known/oauth-protected-resource"
SERVER_PATH = "/.well-known/oauth-authorization-server"
OPENID_PATH = "/.well-known/openid-configuration"

Reply = tuple[int, dict[str, str], Any]


@dataclass
class Seen:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Stage:
    """A raw HTTP server; ``routes`` by path. What is not there is 404."""

    def __init__(self) -> None:
        self.routes: dict[str, Any] = {}
        self.seen: list[Seen] = []
        self.url = ""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def paths(self) -> list[str]:
        return [seen.path for seen in self.seen]

    def at(self, path: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.path == path]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first = (await reader.readline()).decode("latin-1").split()
        if len(first) < 2:
            return False
        headers: dict[str, str] = {}
        while (line := (await reader.readline()).decode("latin-1").strip()) != "":
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        parts = urlsplit(first[1])
        seen = Seen(first[0], parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)), headers, body)
        self.seen.append(seen)
        route = self.routes.get(parts.path, (404, {}, None))
        answer = route(seen) if callable(route) else route
        if inspect.isawaitable(answer):
            answer = await answer
        if answer is None:  # the connection is lost before an answer
            writer.transport.abort()
            return False
        status, extra, content = answer if isinstance(answer, tuple) else (200, {}, answer)
        data = (
            b""
            if content is None
            else content
            if isinstance(content, bytes)
            else json.dumps(content).encode()
        )
        kind = {"content-type": "application/json"} if content is not None else {}
        head = [f"HTTP/1.1 {status} X", f"content-length: {len(data)}"]
        head += [f"{name}: {value}" for name, value in {**kind, **extra}.items()]
        writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + data)
        await writer.drain()
        return True


@dataclass
class World:
    """An MCP server (``mcp``) and an authorization server (``issuer``) that goes with it."""

    mcp: Stage = field(default_factory=Stage)
    issuer: Stage = field(default_factory=Stage)
    valid: dict[str, set[str]] = field(default_factory=dict[str, set[str]])  # token: its scopes
    needed: set[str] = field(default_factory=set[str])  # scopes that a call needs
    challenge: str | None = None
    iss: str | None = "right"
    callback: dict[str, str] = field(default_factory=dict[str, str])  # more for the redirect; "" takes away
    token_answer: Callable[[Seen], Any] | None = None
    visits: list[str] = field(default_factory=list[str])
    pages: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    lifetime: Any = 3600
    refresh: bool = True
    asked_scopes: str = ""
    count: int = 0

    async def __aenter__(self) -> Self:
        await self.mcp.__aenter__()
        await self.issuer.__aenter__()
        self.resource = f"{self.mcp.url}/mcp"
        self.resource_metadata: dict[str, Any] = {
            "resource": self.resource,
            "authorization_servers": [self.issuer.url],
        }
        self.metadata: dict[str, Any] = server_metadata(self.issuer.url)
        self.mcp.routes = {"/mcp": self._mcp, f"{RESOURCE_PATH}/mcp": lambda _: self.resource_metadata}
        self.issuer.routes = {
            SERVER_PATH: lambda _: self.metadata,
            "/authorize": self._authorize,
            "/token": self._token,
            "/register": self._register,
        }
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.issuer.__aexit__()
        await self.mcp.__aexit__()

    def oauth(self, **options: Any) -> OAuth:
        """A login whose browser is ours and whose tokens are in memory."""
        given: dict[str, Any] = {
            "open_browser": self.browse,
            "tokens": MemoryTokens(),
            "timeout": 10,
            **options,
        }
        return OAuth(**given)

    def client(self, auth: Any = None, **options: Any) -> Client:
        return Client(self.resource, auth=auth or self.oauth(), revision=REVISION, **options)

    def credentials(self, auth: Any = None) -> OAuthCredentials:
        made = resolve(auth or self.oauth(), self.resource)
        assert isinstance(made, OAuthCredentials)
        return made

    async def use(self, auth: Any = None, **options: Any) -> str:
        """Log in as needed and call the tool; what it answers."""
        async with self.client(auth, **options) as client:
            return (await client.call_tool("x")).text

    async def browse(self, url: str) -> bool:
        """The browser of a person who agrees to everything at once."""
        self.visits.append(url)
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            self.pages.append((response.status, await response.text()))
        return True

    def issue(self, scopes: str) -> dict[str, Any]:
        """A token answer, whose token the MCP server takes."""
        self.count += 1
        token = f"token-{self.count}"
        self.valid = {token: set(scopes.split())}
        found: dict[str, Any] = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": self.lifetime,
            "scope": scopes,
        }
        if self.refresh:
            found["refresh_token"] = f"refresh-{self.count}"
        return found

    def grants(self) -> list[str]:
        """The kinds of grants that reached the token endpoint."""
        return [seen.form.get("grant_type", "") for seen in self.issuer.at("/token")]

    def _mcp(self, seen: Seen) -> Reply:
        if seen.method != "POST":
            return 405, {}, None
        token = seen.headers.get("authorization", "").partition(" ")[2]
        message = seen.json
        if token not in self.valid:
            challenge = self.challenge
            if challenge is None:
                challenge = f'Bearer resource_metadata="{self.mcp.url}{RESOURCE_PATH}/mcp"'
            return 401, {"www-authenticate": challenge} if challenge else {}, None
        if message["method"] == "tools/call" and not self.needed <= self.valid[token]:
            scope = " ".join(sorted(self.needed))
            return 403, {"www-authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'}, None
        return answer_message(message)

    async def _authorize(self, seen: Seen) -> Reply:
        self.asked_scopes = seen.query.get("scope", "")
        answer = {"code": "the-code", "state": seen.query["state"]}
        if self.iss is not None:
            answer["iss"] = self.issuer.url if self.iss == "right" else self.iss
        answer.update(self.callback)
        sent = {name: value for name, value in answer.items() if value}
        return 302, {"location": f"{seen.query['redirect_uri']}?{urlencode(sent)}"}, None

    def _token(self, seen: Seen) -> Any:
        if self.token_answer is not None:
            return self.token_answer(seen)
        return self.issue(seen.form.get("scope") or self.asked_scopes)

    def _register(self, seen: Seen) -> Reply:
        return 201, {}, {**seen.json, "client_id": f"client-of-{self.issuer.url}"}


def server_metadata(issuer: str) -> dict[str, Any]:
    """The metadata of an authorization server whose endpoints stand at its root."""
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "registration_endpoint": f"{issuer}/register",
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
        "authorization_response_iss_parameter_supported": True,
    }


def answer_message(message: Any) -> Reply:
    """What a server of 2026-07-28 with one tool, "x", answers."""
    if "id" not in message:
        return 202, {}, None
    result: dict[str, Any] = {"resultType": "complete"}
    if message["method"] == "server/discover":
        result |= {"supportedVersions": [REVISION], "capabilities": {"tools": {}}, "ttlMs": 0}
        result |= {"cacheScope": "private"}
    elif message["method"] == "tools/list":
        result |= {"tools": [{"name": "x", "inputSchema": {"type": "object"}}], "ttlMs": 60000}
        result |= {"cacheScope": "private"}
    else:
        result |= {"content": [{"type": "text", "text": "done"}]}
    return 200, {}, {"jsonrpc": "2.0", "id": message["id"], "result": result}


def challenge_of(verifier: str) -> str:
    """The S256 challenge, computed here."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
