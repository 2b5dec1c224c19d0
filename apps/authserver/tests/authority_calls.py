"""What the tests of the authorization server share: a program that calls it over real sockets, and a clock."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit

import aiohttp
from joserfc import jwk, jwt

from dovetail.auth import oauth
from dovetail.stores import MemoryStore
from dovetail_authserver import RegisteredClient
from dovetail_authserver.testing import AuthorizationServer, authorization_server

RESOURCE = "https://mcp.example/mcp"
CALLBACK = "http://127.0.0.1:5000/callback"
SECRET = "a-secret-with-enough-characters"
PUBLIC = RegisteredClient(id="public", name="The Public Client", redirect_uris=[CALLBACK])
PRIVATE = RegisteredClient(
    id="private",
    name="The Private Client",
    redirect_uris=["https://app.example/callback"],
    secret=SECRET,
    grants=["authorization_code", "refresh_token", "client_credentials"],
)
SERVER = RegisteredClient(id="the-server", secret="the-server-has-a-secret", introspects=[RESOURCE])
SCOPES = {"files": "read and change your files", "files:read": "read your files", "mail": "read your mail"}


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Said:
    """One answer."""

    status: int
    headers: dict[str, str]
    text: str
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def error(self) -> str:
        return self.body.get("error", "")


@dataclass
class Calls:
    """A program that talks to the server. `verifier` belongs to the newest authorization URL."""

    authority: AuthorizationServer
    http: aiohttp.ClientSession
    verifier: str = ""

    @property
    def url(self) -> str:
        return self.authority.url

    async def send(self, method: str, url: str, **how: Any) -> Said:
        url = url if "://" in url else self.url + url
        async with self.http.request(method, url, allow_redirects=False, **how) as response:
            text = await response.text()
            headers = {name.lower(): value for name, value in response.headers.items()}
            json_body = headers.get("content-type", "").startswith("application/json") and text
            return Said(response.status, headers, text, await response.json() if json_body else {})

    async def get(self, url: str, **how: Any) -> Said:
        return await self.send("GET", url, **how)

    async def post(self, url: str, form: dict[str, str] | list[tuple[str, str]], **how: Any) -> Said:
        return await self.send("POST", url, data=form, **how)

    def authorize_url(self, **changed: str | None) -> str:
        """An authorization URL of the public client; None leaves a parameter out."""
        self.verifier = oauth.new_verifier()
        asked: dict[str, str | None] = {
            "response_type": "code",
            "client_id": "public",
            "redirect_uri": CALLBACK,
            "state": "a state & more",
            "code_challenge": oauth.challenge_of(self.verifier),
            "code_challenge_method": "S256",
            "resource": RESOURCE,
            **changed,
        }
        kept = {name: value for name, value in asked.items() if value is not None}
        return f"{self.url}/authorize?{urlencode(kept)}"

    async def code(self, *, user: str = "", **changed: str | None) -> str:
        return (await self.authority.code(self.authorize_url(**changed), user=user))["code"]

    async def exchange(
        self, code: str, /, headers: dict[str, str] | None = None, **changed: str | None
    ) -> Said:
        asked: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": self.verifier,
            "redirect_uri": CALLBACK,
            "client_id": "public",
            **changed,
        }
        kept = {name: value for name, value in asked.items() if value is not None}
        return await self.post("/token", kept, headers=headers or {})

    async def tokens(self, **changed: str | None) -> dict[str, Any]:
        said = await self.exchange(await self.code(user="", **changed))
        assert said.status == 200, said.text
        return said.body

    async def refresh(self, token: str, headers: dict[str, str] | None = None, **changed: str) -> Said:
        form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": "public", **changed}
        return await self.post("/token", form, headers=headers or {})

    async def active(self, token: str) -> dict[str, Any]:
        said = await self.post("/introspect", {"token": token}, headers=basic(SERVER.id, SERVER.secret))
        assert said.status == 200, said.text
        return said.body

    async def claims(self, token: str) -> dict[str, Any]:
        keys = jwk.KeySet.import_key_set((await self.get("/jwks")).body)  # pyright: ignore[reportArgumentType] - JSON that the server wrote
        found = jwt.decode(token, keys, algorithms=["ES256"])
        assert found.header["typ"] == "at+jwt"
        return found.claims


@contextlib.asynccontextmanager
async def calls(**options: Any) -> AsyncIterator[Calls]:
    """A running server with two clients of the operator's, and a program that calls it."""
    options.setdefault("clients", [PUBLIC, PRIVATE, SERVER])
    options.setdefault("scopes", SCOPES)
    if "clock" in options:
        options.setdefault("store", MemoryStore(clock=options["clock"]))
    resource = options.pop("resource", RESOURCE)
    async with authorization_server(resource, **options) as authority:
        jar = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(cookie_jar=jar, timeout=aiohttp.ClientTimeout(20)) as http:
            yield Calls(authority, http)


def basic(id: str, secret: str) -> dict[str, str]:
    """The header of client_secret_basic."""
    return {"authorization": aiohttp.encode_basic_auth(quote_plus(id), quote_plus(secret))}


def answer_of(url: str) -> dict[str, str]:
    """The parameters of an authorization response, each of which came once."""
    pairs = parse_qsl(urlsplit(url).query, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)
