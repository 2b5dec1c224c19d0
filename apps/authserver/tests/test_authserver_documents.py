"""Clients that publish a document: fetched safely, believed only about themselves, kept as HTTP says."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from authority_calls import CALLBACK, Calls, calls
from joserfc import jwt
from joserfc.jwk import ECKey

from dovetail.security import Fetched, Fetcher
from dovetail_authserver import Bounds
from dovetail_authserver.documents import ClientDocuments
from dovetail_authserver.refusals import OAuthError

KEY = ECKey.generate_key("P-256", parameters={"kid": "one"})


class Publisher:
    """Serves whatever a test puts there, and counts."""

    def __init__(self) -> None:
        self.pages: dict[str, Any] = {}
        self.headers: dict[str, str] = {}
        self.asked: list[str] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        page = self.pages.get(request.path)
        if isinstance(page, web.StreamResponse):
            return page
        if page is None:
            return web.Response(status=404)
        body = page if isinstance(page, bytes) else json.dumps(page).encode()
        headers = {"content-type": "application/json", **self.headers}
        return web.Response(body=body, headers=headers)

    def client(self, path: str = "/client.json", **changed: Any) -> str:
        """Publish a document; gives the client id."""
        id = f"{self.url}{path}"
        document: dict[str, Any] = {
            "client_id": id,
            "client_name": "A published client",
            "redirect_uris": [CALLBACK],
            "grant_types": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_method": "none",
            **changed,
        }
        self.pages[path] = {name: value for name, value in document.items() if value is not None}
        return id


@pytest.fixture
async def publisher() -> AsyncIterator[Publisher]:
    """A web server on this machine."""
    made = Publisher()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.mark.requirement("R2607-AUTH-021", "R2511-AUTH-034", "R2607-AUTH-015", "R2511-AUTH-028")
async def test_a_published_client_gets_tokens(program: Calls, publisher: Publisher) -> None:
    id = publisher.client()
    page = await program.get(program.authorize_url(client_id=id))
    assert "A published client" in page.text
    assert id in page.text, "its address is what nobody can claim"
    tokens = (await program.exchange(await program.code(client_id=id), client_id=id)).body
    assert (await program.claims(tokens["access_token"]))["client_id"] == id
    assert (await program.refresh(tokens["refresh_token"], client_id=id)).status == 200


@pytest.mark.hostile
@pytest.mark.requirement("R2607-AUTH-022", "R2511-AUTH-035")
async def test_r75_a_document_speaks_for_its_own_address_only(program: Calls, publisher: Publisher) -> None:
    own = publisher.client()
    for wrong in (
        own + "/",
        own + "?x",
        own.replace("127.0.0.1", "localhost"),
        own.upper(),
        "public",
        None,
        7,
    ):
        publisher.client("/wrong.json", client_id=wrong)
        said = await program.get(program.authorize_url(client_id=f"{publisher.url}/wrong.json"))
        assert said.status == 400, wrong
        assert "location" not in said.headers


@pytest.mark.hostile
@pytest.mark.requirement("R2607-AUTH-024", "R2511-AUTH-037")
async def test_r75_only_redirect_uris_of_the_document_are_used(program: Calls, publisher: Publisher) -> None:
    id = publisher.client(redirect_uris=["http://127.0.0.1/callback"])
    assert (await program.get(program.authorize_url(client_id=id))).status == 200, "any port of this machine"
    for wrong in (
        "http://127.0.0.1:5000/other",
        "https://evil.example/callback",
        "http://localhost:5000/callback",
    ):
        said = await program.get(program.authorize_url(client_id=id, redirect_uri=wrong))
        assert said.status == 400
        assert "location" not in said.headers


BAD_PAGES: list[Any] = [
    b"",
    b"{",
    b"[]",
    b'"text"',
    b"\xff{}",
    b'{"client_id": 1, "client_id": 2}',
    b"[" * 5000,
    b'{"client_id": "' + b"x" * 20_000 + b'"}',
    {"client_name": None},
    {"client_name": ""},
    {"redirect_uris": None},
    {"redirect_uris": []},
    {"redirect_uris": "http://127.0.0.1:5000/callback"},
    {"redirect_uris": [CALLBACK, 7]},
    {"redirect_uris": [CALLBACK, "http://evil.example/"]},
    {"redirect_uris": [CALLBACK, "javascript:alert(1)"]},
    {"redirect_uris": [CALLBACK], "application_type": "web"},
    {"client_secret": "published"},
    {"token_endpoint_auth_method": "client_secret_basic"},
    {"token_endpoint_auth_method": "client_secret_post"},
    {"jwks_uri": "file:///etc/passwd"},
]


@pytest.mark.hostile
@pytest.mark.requirement("R2607-AUTH-025", "R2511-AUTH-038")
@pytest.mark.parametrize("page", BAD_PAGES, ids=range(len(BAD_PAGES)))
async def test_a_document_has_to_be_whole(program: Calls, publisher: Publisher, page: Any) -> None:
    if isinstance(page, bytes):
        publisher.pages["/client.json"] = page
    else:
        publisher.client(**page)
    said = await program.get(program.authorize_url(client_id=f"{publisher.url}/client.json"))
    assert said.status == 400
    assert "location" not in said.headers


@pytest.mark.hostile
async def test_answers_that_are_no_document(program: Calls, publisher: Publisher) -> None:
    def about(path: str) -> bytes:
        document = {"client_id": f"{publisher.url}{path}", "client_name": "x", "redirect_uris": [CALLBACK]}
        return json.dumps(document).encode()

    async def status_of(path: str, answer: web.Response) -> int:
        publisher.pages[path] = answer
        return (await program.get(program.authorize_url(client_id=f"{publisher.url}{path}"))).status

    good = {"content-type": "application/json"}
    assert await status_of("/good", web.Response(body=about("/good"), headers=good)) == 200
    assert (
        await status_of(
            "/good+json", web.Response(body=about("/good+json"), content_type="application/x+json")
        )
        == 200
    )
    publisher.pages["/target"] = web.Response(body=about("/moved"), headers=good)
    for path, answer in {
        "/500": web.Response(status=500, body=about("/500"), headers=good),
        "/201": web.Response(status=201, body=about("/201"), headers=good),
        "/html": web.Response(body=about("/html"), content_type="text/html"),
        "/moved": web.Response(status=302, headers={"location": f"{publisher.url}/target"}),
        "/away": web.Response(status=302, headers={"location": "http://127.0.0.1:1/a"}),
    }.items():
        assert await status_of(path, answer) == 400, path


@pytest.mark.requirement("R2607-AUTH-023", "R2511-AUTH-036")
async def test_documents_are_kept_as_http_says() -> None:
    now = [0.0]
    asked: list[str] = []
    said: dict[str, str] = {}

    class Counting(Fetcher):
        async def get(self, url: str, accept: str = "", headers: Any = None) -> Fetched:
            asked.append(url)
            body = {"client_id": url, "client_name": "x", "redirect_uris": [CALLBACK]}
            return Fetched(200, {"content-type": "application/json", **said}, json.dumps(body).encode(), url)

    documents = ClientDocuments(Counting(), Bounds(documents=2), clock=lambda: now[0])

    async def fetched(id: str, after: float = 0.0) -> bool:
        now[0] += after
        before = len(asked)
        await documents.get(id)
        return len(asked) > before

    a, b, c = (f"https://{name}.example/client" for name in "abc")
    said["cache-control"] = "public, max-age=60"
    assert await fetched(a)
    assert not await fetched(a, 59)
    assert await fetched(a, 1)
    said["cache-control"] = "max-age=999999999"
    assert await fetched(a, 60)
    assert not await fetched(a, 86_399)
    assert await fetched(a, 1), "a day is the most"
    said["cache-control"] = "no-store, max-age=60"
    assert await fetched(b)
    assert await fetched(b)
    said.clear()
    assert await fetched(c)
    assert not await fetched(c, 299)
    assert await fetched(c, 1)
    said["cache-control"] = "max-age=1000"
    for each in (a, b, c):
        await fetched(each, 100_000 if each == a else 0)
    assert len(documents._kept) == 2, "the oldest goes"


@pytest.mark.requirement("R2607-AUTH-126", "R2511-AUTH-095", "R2607-AUTH-127")
@pytest.mark.hostile
@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "fe80::1",
        "fc00::1",
    ],
)
async def test_v38_documents_of_private_addresses_are_not_fetched(address: str) -> None:
    """A name that leads inside is refused, and the person learns nothing of what is there."""

    async def resolve(host: str, port: int) -> list[str]:
        return [address]

    async with calls(documents="public", fetcher=Fetcher(resolve=resolve)) as program:
        said = await program.get(program.authorize_url(client_id="https://inside.example/client.json"))
        assert said.status == 400
        assert "can&#x27;t be fetched" in said.text
        assert address not in said.text
        literal = f"https://[{address}]/c" if ":" in address else f"https://{address}/c"
        assert (await program.get(program.authorize_url(client_id=literal))).status == 400


@pytest.mark.hostile
@pytest.mark.requirement("R2607-AUTH-126", "R2511-AUTH-095")
async def test_v38_what_listens_inside_is_never_connected_to() -> None:
    """Not so much as a connection, which would tell that somebody listens."""
    connected: list[str] = []

    def noticed(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append("somebody")
        writer.close()

    trap = await asyncio.start_server(noticed, "127.0.0.1", 0)
    port = trap.sockets[0].getsockname()[1]
    async with trap, calls(documents="public") as program:
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"):
            id = f"https://{host}:{port}/client.json"
            assert (await program.get(program.authorize_url(client_id=id))).status == 400, host
            assert not connected, host


@pytest.mark.hostile
@pytest.mark.parametrize(
    "id",
    [
        "http://app.example/client.json",
        "https://app.example",
        "https://app.example/",
        "https://app.example/a/../client.json",
        "https://app.example/./client.json",
        "https://app.example/%2e%2E/client.json",
        "https://app.example/client.json#x",
        "https://user:pass@app.example/client.json",
        "https://app.example:99999/client.json",
        "https://app.example\\@evil/client.json",
        "https://0x7f.1/client.json",
        "https://app.example/" + "x" * 1100,
    ],
)
async def test_v38_these_addresses_are_never_asked(id: str) -> None:
    class Never(Fetcher):
        async def get(self, url: str, accept: str = "", headers: Any = None) -> Fetched:
            raise AssertionError("asked")

    with pytest.raises(OAuthError, match="can't be used"):
        await ClientDocuments(Never(), Bounds()).get(id)


async def test_documents_of_this_machine_only_when_told_so(publisher: Publisher) -> None:
    id = publisher.client()
    async with calls(documents="public") as program:
        assert (await program.get(program.authorize_url(client_id=id))).status == 400
        assert not publisher.asked
    async with calls(documents="off") as program:
        assert (await program.get(program.authorize_url(client_id=id))).status == 400
        assert not publisher.asked


async def test_the_operator_may_refuse_hosts(publisher: Publisher) -> None:
    id = publisher.client()
    async with calls(trusts_document=lambda url: not url.endswith("client.json")) as program:
        assert (await program.get(program.authorize_url(client_id=id))).status == 400
        assert not publisher.asked


async def test_a_host_is_not_asked_without_an_end(publisher: Publisher) -> None:
    """Anybody can make the server fetch by naming an address: a host has to bear only so much of that."""
    async with calls(bounds=Bounds(failures=1000)) as program:
        for number in range(40):
            await program.get(program.authorize_url(client_id=f"{publisher.url}/{number}"))
        assert 20 <= len(publisher.asked) < 30


async def test_a_published_client_may_prove_itself_and_gets_nothing_else(publisher: Publisher) -> None:
    publisher.pages["/keys"] = {"keys": [KEY.as_dict(private=False)]}
    async with calls() as program:
        ways: list[dict[str, Any]] = [
            {"jwks": publisher.pages["/keys"]},
            {"jwks_uri": f"{publisher.url}/keys"},
        ]
        for keys in ways:
            id = publisher.client(token_endpoint_auth_method="private_key_jwt", **keys)
            publisher.headers = {"cache-control": "no-store"}
            code = await program.code(client_id=id)
            assert (await program.exchange(code, client_id=id)).error == "invalid_client", (
                "it has keys: it uses them"
            )
            code = await program.code(client_id=id)
            signed = _signed(id, program.url)
            said = await program.exchange(code, {}, client_id=id, **signed)
            assert said.status == 200, said.text
            own = {"grant_type": "client_credentials", **_signed(id, program.url)}
            assert (await program.post("/token", own)).error == "unauthorized_client"


async def test_many_at_once_are_fetched_a_few_at_a_time(publisher: Publisher) -> None:
    import asyncio

    at_once, most, full, gate = 0, 0, asyncio.Event(), asyncio.Event()

    class Slow(Fetcher):
        async def get(self, url: str, accept: str = "", headers: Any = None) -> Fetched:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            if at_once == 3:
                full.set()
            await gate.wait()
            at_once -= 1
            return Fetched(404, {}, b"", url)

    documents = ClientDocuments(Slow(), Bounds(fetches=3))
    tasks = [asyncio.create_task(documents.get(f"https://h{number}.example/c")) for number in range(12)]
    await full.wait()
    gate.set()
    for task in tasks:
        with contextlib.suppress(OAuthError):
            await task
    assert most == 3


def _signed(id: str, issuer: str) -> dict[str, str]:
    import secrets
    import time

    claims = {"iss": id, "sub": id, "aud": issuer, "iat": int(time.time()), "exp": int(time.time()) + 60}
    claims["jti"] = secrets.token_hex(8)
    signed = jwt.encode({"alg": "ES256", "kid": "one"}, claims, KEY, algorithms=["ES256"])
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    return {"client_assertion_type": kind, "client_assertion": signed}
