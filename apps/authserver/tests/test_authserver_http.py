"""The server as an HTTP endpoint: bounds, methods, hosts, paths, mounting, other pages' scripts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from authority_calls import PRIVATE, PUBLIC, RESOURCE, SECRET, Calls, basic, calls

from dovetail.stores import MemoryStore
from dovetail_authserver import AuthServer, Bounds, Lifetimes, form_login, single_user

OWN = {"grant_type": "client_credentials"}
NOBODY = form_login(lambda name, password: None)
OAUTH = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"


@pytest.mark.requirement("R2607-AUTH-111", "R2511-AUTH-080", "R2607-AUTH-110", "R2511-AUTH-079")
@pytest.mark.parametrize(
    "issuer",
    [
        "http://auth.example",
        "http://10.0.0.1:9000",
        "http://localhost.evil.example",
        "http://0.0.0.0:9000",
        "https://auth.example/",
        "https://auth.example/tenant/",
        "https://auth.example//tenant",
        "https://auth.example?x",
        "https://auth.example?",
        "https://auth.example#x",
        "https://user@auth.example",
        "https://AUTH.example",
        "HTTPS://auth.example",
        "ftp://auth.example",
        "auth.example",
        "",
    ],
)
def test_an_issuer_is_https_or_this_machine(issuer: str) -> None:
    with pytest.raises(ValueError, match="issuer"):
        AuthServer(issuer, login=NOBODY, store=MemoryStore(), resources=[RESOURCE])


@pytest.mark.parametrize(
    "issuer", ["https://auth.example", "https://auth.example:8443/a/b", "http://[::1]:9", "http://localhost"]
)
def test_these_are_issuers(issuer: str) -> None:
    app = AuthServer(issuer, login=NOBODY, store=MemoryStore(), resources=[RESOURCE])
    assert app.issuer == issuer
    assert app.urls.token == f"{issuer}/token"


@pytest.mark.parametrize(
    "settings",
    [
        {"resources": []},
        {"resources": ["mcp.example"]},
        {"resources": ["https://mcp.example/#x"]},
        {"documents": "everything"},
        {"registration": "closed"},
        {"registration": []},
        {"registration": ["short"]},
        {"scopes": ["a b"]},
        {"default_scopes": ["unknown"]},
        {"clients": [PUBLIC, PUBLIC]},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        AuthServer(
            "https://auth.example", login=NOBODY, store=MemoryStore(), **{"resources": [RESOURCE], **settings}
        )


@pytest.mark.hostile
async def test_v27_bodies_are_bounded(program: Calls) -> None:
    big = {**OWN, "padding": "x" * 70_000}
    for path in ("/token", "/revoke", "/introspect", "/register", "/consent", "/jwks"):
        assert (await program.post(path, big)).status == 413, path

    async def endless() -> Any:
        for _ in range(1000):
            yield b"x" * 1024

    form = {"content-type": "application/x-www-form-urlencoded"}
    assert (await program.send("POST", "/token", data=endless(), headers=form)).status == 413
    assert (await program.post("/token", OWN, headers=basic("private", SECRET))).status == 200


@pytest.mark.hostile
async def test_a_slow_body_is_not_waited_for() -> None:
    async with calls(bounds=Bounds(patience=0.2)) as program:
        port = program.authority.server.place.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /token HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 100\r\n\r\ngrant")
        await writer.drain()
        assert b" 408 " in await asyncio.wait_for(reader.readline(), 5)
        writer.close()


async def test_a_slow_login_hook_is_not_waited_for() -> None:
    async def hook(request: Any) -> Any:
        await asyncio.Event().wait()

    async with calls(login=hook, bounds=Bounds(work=0.2)) as program:
        assert (await program.get(program.authorize_url())).status == 503


@pytest.mark.hostile
async def test_a_large_head_is_refused(program: Calls) -> None:
    assert (await program.get("/jwks?" + "x" * 33_000)).status == 431


@pytest.mark.hostile
@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "text/plain",
        "multipart/form-data; boundary=x",
        "",
        "application/x-www-form-urlencodedx",
    ],
)
async def test_forms_have_one_content_type(program: Calls, kind: str) -> None:
    body = b"grant_type=client_credentials&client_id=private&client_secret=" + SECRET.encode()
    said = await program.send("POST", "/token", data=body, headers={"content-type": kind})
    assert (said.status, said.error) == (400, "invalid_request")


@pytest.mark.hostile
@pytest.mark.parametrize(
    "body",
    [
        b"grant_type=client_credentials&grant_type=client_credentials",
        b"client_id=private&client_id=public",
        b"client_secret=a&client_secret=b",
        b"a=%zz%ff",
        b"a=%ff",
        b"a=\xff",
        b"a=%00",
        b"&".join(b"a%d=1" % number for number in range(70)),
    ],
)
async def test_forms_that_two_parsers_read_differently_are_refused(program: Calls, body: bytes) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded", **basic("private", SECRET)}
    said = await program.send("POST", "/token", data=body, headers=headers)
    assert (said.status, said.error) == (400, "invalid_request")


async def test_a_charset_does_not_hurt(program: Calls) -> None:
    kind = {"content-type": "application/x-www-form-urlencoded; charset=UTF-8"}
    said = await program.post("/token", OWN, headers={**basic("private", SECRET), **kind})
    assert said.status == 200


@pytest.mark.parametrize(
    "method,path,allowed",
    [
        ("GET", "/token", "POST"),
        ("DELETE", "/register", "POST"),
        ("PUT", "/revoke", "POST"),
        ("GET", "/introspect", "POST"),
        ("POST", "/jwks", "GET, HEAD"),
        ("GET", "/consent", "POST"),
    ],
)
async def test_methods(program: Calls, method: str, path: str, allowed: str) -> None:
    said = await program.send(method, path)
    assert (said.status, said.headers["allow"]) == (405, allowed)


async def test_unknown_paths_and_head(program: Calls) -> None:
    for path in ("/", "/tokens", "/token/", "//token", "/.well-known/", "/authorize/../token"):
        assert (await program.get(path)).status in (404, 405), path
    said = await program.send("HEAD", "/jwks")
    assert (said.status, said.text) == (200, "")


@pytest.mark.hostile
@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[::2]"]
)
async def test_v3_names_that_others_pointed_here_are_refused(program: Calls, host: str) -> None:
    for path in ("/jwks", "/token", program.authorize_url().removeprefix(program.url)):
        assert (await program.get(path, headers={"host": host})).status == 403, path
    assert (await program.get("/jwks", headers={"host": "localhost:1"})).status == 200


async def test_v11_no_page_reads_the_answers_unless_it_is_listed() -> None:
    async with calls(cors_origins=["https://inspector.example"]) as program:
        for path in ("/jwks", "/token", "/.well-known/oauth-authorization-server"):
            asked = {"origin": "https://evil.example"}
            for method in ("GET", "POST", "OPTIONS"):
                assert not _shared((await program.send(method, path, headers=asked)).headers)
            listed = {"origin": "https://inspector.example"}
            said = await program.send("OPTIONS", path, headers=listed)
            assert said.status == 204
            assert said.headers["access-control-allow-origin"] == "https://inspector.example"
            assert "dpop" in said.headers["access-control-allow-headers"]
            said = await program.get(path, headers=listed)
            assert said.headers["access-control-allow-origin"] == "https://inspector.example"
            assert "access-control-allow-credentials" not in said.headers
        said = await program.get(program.authorize_url(), headers={"origin": "https://inspector.example"})
        assert not _shared(said.headers), "pages for people are not for scripts"


@pytest.mark.requirement("R2607-AUTH-119", "R2511-AUTH-088", "R2511-AUTH-010", "R2607-AUTH-048")
async def test_r77_r82_metadata_stands_where_clients_look() -> None:
    async with calls(path="/tenant/one") as program:
        origin = program.url.removesuffix("/tenant/one")
        documents = [
            await program.get(f"{origin}{where}")
            for where in (
                f"{OAUTH}/tenant/one",
                f"{OPENID}/tenant/one",
                f"/tenant/one{OPENID}",
            )
        ]
        for said in documents:
            assert said.status == 200
            assert said.headers["content-type"] == "application/json"
            assert said.body["issuer"] == program.url
            assert said.body["code_challenge_methods_supported"] == ["S256"]
            assert said.body["response_types_supported"] == ["code"]
            assert said.body["authorization_response_iss_parameter_supported"] is True
            assert said.body["client_id_metadata_document_supported"] is True
            for name, value in said.body.items():
                if name.endswith("_endpoint"):
                    assert value.startswith(program.url + "/")
        assert (await program.get(f"{origin}{OAUTH}")).status == 404
        assert (await program.tokens())["access_token"]


async def test_metadata_lists_only_what_is_there() -> None:
    async with calls(clients=[PUBLIC], registration="off", documents="off") as program:
        about = (await program.get(OAUTH)).body
        assert "registration_endpoint" not in about
        assert about["client_id_metadata_document_supported"] is False
        assert about["grant_types_supported"] == ["authorization_code", "refresh_token"]
        assert "authorization_grant_profiles_supported" not in about
        assert (await program.send("POST", "/register", json={})).status == 404


async def test_it_can_be_mounted() -> None:
    """Under a path of another application, with its metadata at the root of the host."""
    from starlette.applications import Starlette
    from starlette.routing import Mount, Route

    def around(app: Any) -> Any:
        return Starlette(routes=[Route(f"{OAUTH}/auth", app), Mount("/auth", app)])

    async with calls(path="/auth", wrap=around) as program:
        where = program.url.removesuffix("/auth") + f"{OAUTH}/auth"
        assert (await program.get(where)).body["issuer"] == program.url
        assert (await program.get(f"{program.url}{OPENID}")).body["issuer"] == program.url
        tokens = await program.tokens()
        assert (await program.claims(tokens["access_token"]))["iss"] == program.url


async def test_keys_rotate_and_old_ones_stay_until_their_tokens_end() -> None:
    from authority_calls import Clock

    clock = Clock()
    lifetimes = Lifetimes(signing_key=10_000, access_token=600)
    async with calls(clock=clock, lifetimes=lifetimes, clients=[PUBLIC, PRIVATE]) as program:

        async def token() -> str:
            return (await program.post("/token", OWN, headers=basic("private", SECRET))).body["access_token"]

        async def ids() -> list[str]:
            return [key["kid"] for key in (await program.get("/jwks")).body["keys"]]

        first, old = await ids(), await token()
        clock.now += 9_999
        assert await ids() == first
        late = await token()
        clock.now += 1
        both = await ids()
        assert len(both) == 2
        assert both[1:] == first
        assert await program.claims(late), "published, so that it can still be checked"
        assert await program.claims(await token())
        assert old != late
        await program.authority.server.rotate_keys()
        assert len(await ids()) == 3
        clock.now += 700
        await program.authority.server.rotate_keys()
        assert len(await ids()) == 2, "what can have signed nothing that still lives is gone"
        for key in (await program.get("/jwks")).body["keys"]:
            assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}, "and nothing private"


async def test_private_keys_can_be_sealed_in_the_store() -> None:
    from dovetail.security import KeyRing
    from dovetail_authserver.key_store import KeyStore, KeyStoreUnreadable

    store, ring = MemoryStore(), KeyRing.generate()
    async with calls(store=store, key_ring=ring, clients=[PUBLIC, PRIVATE]) as program:
        assert (await program.post("/token", OWN, headers=basic("private", SECRET))).status == 200
        kept = await store.kv.get("authserver/keys")
        assert kept is not None
        assert b"jwk" not in kept
        assert b'"d"' not in kept
        for wrong in (None, KeyRing.generate()):
            with pytest.raises(KeyStoreUnreadable):
                await KeyStore(store.kv.within("authserver/"), Lifetimes(), key_ring=wrong).signing()


@pytest.mark.requirement("R2503-AUTH-025")
@pytest.mark.parametrize(
    "settings",
    [
        {"code": 61},
        {"code": 0},
        {"access_token": 86_401},
        {"retry": -1},
        {"signing_key": float("inf")},
        {"refresh_idle": -1},
    ],
)
def test_lifetimes_are_sane(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="Lifetimes"):
        Lifetimes(**settings)


async def test_it_speaks_the_lifespan_of_asgi(tmp_path: Any) -> None:
    app = AuthServer(
        "http://127.0.0.1:9",
        login=single_user(),
        store=tmp_path / "authority.db",
        resources=[RESOURCE],
        clients=[PUBLIC],
    )
    await app.rotate_keys()
    said: list[str] = []
    events = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Any:
        return next(events)

    async def send(event: Any) -> None:
        said.append(event["type"])

    await app({"type": "lifespan"}, receive, send)
    assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    await app({"type": "websocket"}, receive, send)
    assert said[-1] == "websocket.close"
    assert (tmp_path / "authority.db").stat().st_mode & 0o077 == 0, "the file holds private keys"


def _shared(headers: dict[str, str]) -> list[str]:
    return [name for name in headers if name.startswith("access-control")]
