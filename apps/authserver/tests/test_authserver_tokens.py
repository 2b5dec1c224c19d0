"""Codes and refresh tokens: once, for one client, for one resource; races, lost replies and thieves."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from authority_calls import CALLBACK, PRIVATE, PUBLIC, RESOURCE, SECRET, SERVER, Clock, basic, calls

from dovetail.auth import oauth
from dovetail.auth.oauth import DPoPKey
from dovetail.stores import MemoryStore, SQLiteStore
from dovetail_authserver import Lifetimes, RegisteredClient
from dovetail_authserver.grants import CodeRecord, Grants, new_handle
from dovetail_authserver.refusals import OAuthError

OTHER = RegisteredClient(id="other", redirect_uris=[CALLBACK])


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Each kind of store."""
    return MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "authority.db")


async def test_of_twenty_tries_with_one_code_one_wins(store: Any) -> None:
    async with calls(store=store) as program:
        code = await program.code()
        said = await asyncio.gather(*(program.exchange(code) for _ in range(20)))
        won = [each for each in said if each.status == 200]
        assert len(won) <= 1, "none, where the second try was faster than the first one's tokens"
        assert {each.error for each in said if each.status != 200} == {"invalid_grant"}
        # A code that is shown twice was stolen by one of the two: what came of it has ended.
        for each in won:
            assert await program.active(each.body["access_token"]) == {"active": False}
            assert (await program.refresh(each.body["refresh_token"])).error == "invalid_grant"
    await store.aclose()


async def test_of_twenty_takers_one_spends_the_code(store: Any) -> None:
    grants = Grants(store.kv, Lifetimes())
    handle, grant = new_handle()
    record = CodeRecord(
        client_id="public",
        redirect_uri=CALLBACK,
        challenge="",
        subject="alice",
        resource=RESOURCE,
        scopes=(),
        grant=grant,
        handle=handle,
    )
    code = await grants.new_code(record)
    found = await asyncio.gather(*(grants.spend(code) for _ in range(20)), return_exceptions=True)
    assert found.count(record) == 1
    assert sum(isinstance(each, OAuthError) for each in found) == 19
    await store.aclose()


async def test_a_code_that_is_shown_again_ends_what_came_of_it() -> None:
    async with calls() as program:
        code = await program.code()
        tokens = (await program.exchange(code)).body
        assert (await program.active(tokens["access_token"]))["active"] is True
        assert (await program.exchange(code)).error == "invalid_grant"
        assert await program.active(tokens["access_token"]) == {"active": False}
        assert (await program.refresh(tokens["refresh_token"])).error == "invalid_grant"


@pytest.mark.hostile
@pytest.mark.parametrize(
    "changed,error",
    [
        ({"code_verifier": oauth.new_verifier()}, "invalid_grant"),
        ({"code_verifier": "short"}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_request"),
        ({"redirect_uri": "http://127.0.0.1:5001/callback"}, "invalid_grant"),
        ({"redirect_uri": "https://evil.example"}, "invalid_grant"),
        ({"client_id": "other"}, "invalid_grant"),
        ({"client_id": None}, "invalid_client"),
        ({"code": "made-up"}, "invalid_grant"),
        ({"code": None}, "invalid_request"),
        ({"resource": "https://other.example/mcp"}, "invalid_target"),
        ({"grant_type": None}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "implicit"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "unauthorized_client"),
        ({"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange"}, "unsupported_grant_type"),
    ],
)
async def test_a_code_is_bound(changed: dict[str, str | None], error: str) -> None:
    async with calls(clients=[PUBLIC, OTHER, SERVER]) as program:
        said = await program.exchange(await program.code(), {}, **changed)
        assert said.error == error
        assert said.headers["cache-control"] == "no-store"
        assert "access_token" not in said.body


async def test_a_wrong_try_spends_the_code(program: Any) -> None:
    code = await program.code()
    verifier = program.verifier
    assert (await program.exchange(code, code_verifier=oauth.new_verifier())).error == "invalid_grant"
    assert (await program.exchange(code, code_verifier=verifier)).error == "invalid_grant"


async def test_a_code_lives_for_a_minute() -> None:
    clock = Clock()
    async with calls(clock=clock) as program:
        code = await program.code()
        clock.now += 60
        assert (await program.exchange(code)).error == "invalid_grant"
    with pytest.raises(ValueError, match="at most 60"):
        Lifetimes(code=61)


async def test_the_redirect_uri_may_be_left_out_of_the_token_request(program: Any) -> None:
    """OAuth 2.1 no longer has it there; PKCE does its work."""
    assert (await program.exchange(await program.code(), redirect_uri=None)).status == 200


@pytest.mark.requirement("R2607-AUTH-109", "R2511-AUTH-078", "R2503-AUTH-024", "R2503-AUTH-018")
async def test_refresh_tokens_change_and_the_old_one_ends_everything() -> None:
    clock = Clock()
    async with calls(clock=clock) as program:
        first = await program.tokens()
        second = (await program.refresh(first["refresh_token"])).body
        assert second["refresh_token"] != first["refresh_token"]
        assert second["access_token"] != first["access_token"]
        third = (await program.refresh(second["refresh_token"])).body
        # The first one is a thief's, or was: the new one has been used since.
        assert (await program.refresh(first["refresh_token"])).error == "invalid_grant"
        assert (await program.refresh(third["refresh_token"])).error == "invalid_grant"
        assert await program.active(third["access_token"]) == {"active": False}


async def test_a_lost_reply_can_be_asked_for_again() -> None:
    clock = Clock()
    async with calls(clock=clock) as program:
        first = await program.tokens()
        lost = (await program.refresh(first["refresh_token"])).body
        clock.now += 29
        found = (await program.refresh(first["refresh_token"])).body
        assert {**found, "expires_in": 0} == {**lost, "expires_in": 0}
        assert found["expires_in"] == lost["expires_in"] - 29
        assert (await program.refresh(found["refresh_token"])).status == 200
        # Now the new one was used; and the old one no longer gets an answer, whatever the time.
        assert (await program.refresh(first["refresh_token"])).error == "invalid_grant"


async def test_a_reply_is_not_repeated_after_its_time() -> None:
    clock = Clock()
    async with calls(clock=clock, lifetimes=Lifetimes(retry=5)) as program:
        first = await program.tokens()
        second = (await program.refresh(first["refresh_token"])).body
        clock.now += 6
        assert (await program.refresh(first["refresh_token"])).error == "invalid_grant"
        assert (await program.refresh(second["refresh_token"])).error == "invalid_grant", (
            "reuse ends the family"
        )


async def test_of_twenty_refreshes_at_once_all_get_the_same_answer(store: Any) -> None:
    async with calls(store=store) as program:
        token = (await program.tokens())["refresh_token"]
        said = await asyncio.gather(*(program.refresh(token) for _ in range(20)))
        assert [each.status for each in said] == [200] * 20
        assert len({each.body["refresh_token"] for each in said}) == 1
        assert len({each.body["access_token"] for each in said}) == 1
        assert (await program.refresh(said[0].body["refresh_token"])).status == 200
    await store.aclose()


@pytest.mark.hostile
async def test_a_made_up_secret_for_a_real_handle_ends_the_family(program: Any) -> None:
    token = (await program.tokens())["refresh_token"]
    handle = token.partition(".")[0]
    assert (await program.refresh(f"{handle}.{'x' * 43}")).error == "invalid_grant"
    assert (await program.refresh(token)).error == "invalid_grant"


@pytest.mark.hostile
async def test_an_access_tokens_grant_id_is_no_handle(program: Any) -> None:
    """A resource server sees the grant's id in the token; with that it can't end, or use, the grant."""
    tokens = await program.tokens()
    gid = (await program.claims(tokens["access_token"]))["gid"]
    for made in (f"{gid}.{'x' * 43}", f"{gid}.", gid, ".", "x.", ".x", "é.é", "x" * 5000):
        assert (await program.refresh(made)).error == "invalid_grant", made
    assert (await program.refresh(tokens["refresh_token"])).status == 200


@pytest.mark.hostile
async def test_another_client_neither_uses_nor_ends_a_refresh_token() -> None:
    async with calls(clients=[PUBLIC, OTHER, SERVER]) as program:
        token = (await program.tokens())["refresh_token"]
        assert (await program.refresh(token, client_id="other")).error == "invalid_grant"
        assert (await program.refresh(token)).status == 200


async def test_scopes_can_be_narrowed_and_not_widened() -> None:
    async with calls(implies=lambda name: {"files": ["files:read"]}.get(name, ())) as program:
        token = (await program.tokens(scope="files"))["refresh_token"]
        narrow = (await program.refresh(token, scope="files:read")).body
        assert narrow["scope"] == "files:read"
        assert (await program.refresh(narrow["refresh_token"], scope="files mail")).error == "invalid_scope"
        wide = (await program.refresh(narrow["refresh_token"])).body
        assert wide["scope"] == "files", "the grant is as wide as it was"


async def test_a_refresh_is_for_the_granted_resource() -> None:
    other = "https://other.example/mcp"
    async with calls(resources=[RESOURCE, other]) as program:
        token = (await program.tokens())["refresh_token"]
        assert (await program.refresh(token, resource=other)).error == "invalid_target"
        assert (await program.refresh(token, resource=RESOURCE)).status == 200


@pytest.mark.requirement("R2503-AUTH-018")
async def test_grants_end() -> None:
    clock = Clock()
    lifetimes = Lifetimes(refresh_idle=1000, refresh_total=2500)
    async with calls(clock=clock, lifetimes=lifetimes) as program:
        token = (await program.tokens())["refresh_token"]
        for _ in range(2):
            clock.now += 999
            token = (await program.refresh(token)).body["refresh_token"]
        clock.now += 999
        assert (await program.refresh(token)).error == "invalid_grant", "no chain outlives the total"
        token = (await program.tokens())["refresh_token"]
        clock.now += 1001
        assert (await program.refresh(token)).error == "invalid_grant", "nor is it kept unused"


async def test_only_who_asks_gets_a_refresh_token() -> None:
    brief = RegisteredClient(id="public", redirect_uris=[CALLBACK], grants=["authorization_code"])
    async with calls(clients=[brief]) as program:
        assert "refresh_token" not in await program.tokens(scope="files")
        lasting = await program.tokens(scope="files offline_access")
        assert lasting["scope"] == "files", "it is no scope of a resource"
        assert (await program.refresh(lasting["refresh_token"])).status == 200


async def test_a_bound_token_needs_its_key(program: Any) -> None:
    key, other = DPoPKey.generate(), DPoPKey.generate()
    url = program.authority.server.urls.token

    def proof(by: DPoPKey = key, **how: Any) -> dict[str, str]:
        return {"dpop": by.proof("POST", url, **how)}

    said = await program.exchange(await program.code(), headers=proof())
    assert said.body["token_type"] == "DPoP"
    assert (await program.claims(said.body["access_token"]))["cnf"] == {"jkt": key.thumbprint}
    token = said.body["refresh_token"]
    for wrong in ({}, proof(other)):
        assert (await program.refresh(token, headers=wrong)).error == "invalid_grant"
    assert (await program.refresh(token, headers={"dpop": "nonsense"})).error == "invalid_dpop_proof"
    elsewhere = {"dpop": key.proof("POST", "https://other.example/token")}
    assert (await program.refresh(token, headers=elsewhere)).error == "invalid_dpop_proof"
    used = proof()
    assert (await program.refresh(token, headers=used)).status == 200
    assert (await program.refresh(token, headers=used)).error == "invalid_dpop_proof", "a proof counts once"


async def test_a_code_can_be_bound_to_a_key(program: Any) -> None:
    key = DPoPKey.generate()
    url = program.authority.server.urls.token
    code = await program.code(dpop_jkt=key.thumbprint)
    assert (await program.exchange(code)).error == "invalid_grant"
    code = await program.code(dpop_jkt=key.thumbprint)
    assert (await program.exchange(code, headers={"dpop": key.proof("POST", url)})).status == 200


async def test_a_nonce_is_asked_for_before_anything_is_used_up() -> None:
    async with calls(dpop_nonces=True, require_dpop=True) as program:
        key, url = DPoPKey.generate(), program.authority.server.urls.token
        code = await program.code()
        assert (await program.exchange(code)).error == "invalid_dpop_proof"
        asked = await program.exchange(code, headers={"dpop": key.proof("POST", url)})
        assert (asked.status, asked.error) == (400, "use_dpop_nonce")
        proof = key.proof("POST", url, nonce=asked.headers["dpop-nonce"])
        said = await program.exchange(code, headers={"dpop": proof})
        assert said.status == 200, said.text
        assert said.headers["dpop-nonce"]


async def test_a_confidential_clients_refresh_token_is_bound_by_its_secret() -> None:
    async with calls() as program:
        key, url = DPoPKey.generate(), program.authority.server.urls.token
        where = {"client_id": "private", "redirect_uri": PRIVATE.redirect_uris[0]}
        code = await program.code(**where)
        proof = {"dpop": key.proof("POST", url), **basic("private", SECRET)}
        said = await program.exchange(code, headers=proof, client_id=None, redirect_uri=where["redirect_uri"])
        assert said.body["token_type"] == "DPoP"
        assert (
            await program.refresh(said.body["refresh_token"], client_id="private")
        ).error == "invalid_client"
        again = await program.refresh(
            said.body["refresh_token"], client_id="private", headers=basic("private", SECRET)
        )
        assert again.body["token_type"] == "Bearer"


@pytest.mark.requirement("R2607-AUTH-107", "R2511-AUTH-076")
async def test_the_store_holds_no_token_code_or_secret() -> None:
    store = MemoryStore()
    async with calls(store=store) as program:
        code = await program.code()
        tokens = (await program.exchange(code)).body
        after = (await program.refresh(tokens["refresh_token"])).body
        made = await program.send("POST", "/register", json={"redirect_uris": [CALLBACK]})
        secrets = [code, program.verifier, made.body["client_secret"]]
        for each in (tokens, after):
            secrets += [each["access_token"], *each["refresh_token"].split(".")]
        kept = "".join([f"{key} {(await store.kv.get(key))!r}" async for key in store.kv.scan()])
        assert not [secret for secret in secrets if secret in kept]


async def test_nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with calls() as program:
        code = await program.code()
        tokens = (await program.exchange(code)).body
        await program.refresh(tokens["refresh_token"])
        await program.refresh(tokens["refresh_token"], client_id="nobody")
        await program.post("/token", {"client_id": "private", "client_secret": "wrong-secret-of-theirs"})
        for secret in (code, tokens["access_token"], tokens["refresh_token"], "wrong-secret-of-theirs"):
            assert secret not in caplog.text


async def test_two_processes_on_one_file(tmp_path: Path) -> None:
    """Two servers in two processes share a file: one code makes one grant, one refresh token one answer."""
    file = tmp_path / "authority.db"
    script = tmp_path / "second.py"
    script.write_text(SECOND)
    async with calls(store=SQLiteStore(file), documents="off") as program:
        port = program.authority.server.place.port
        second = await asyncio.create_subprocess_exec(
            sys.executable, str(script), str(port), str(file), stdout=asyncio.subprocess.PIPE
        )
        try:
            assert second.stdout is not None
            other = (await asyncio.wait_for(second.stdout.readline(), 20)).decode().strip()
            assert (await program.get(f"{other}/jwks")).body == (await program.get("/jwks")).body

            async def everywhere(form: dict[str, str]) -> list[Any]:
                return await asyncio.gather(
                    *(program.post(f"{base}/token", form) for _ in range(5) for base in (program.url, other))
                )

            token = (await program.tokens())["refresh_token"]
            form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": "public"}
            said = await everywhere(form)
            assert {each.status for each in said} == {200}
            assert len({each.body["refresh_token"] for each in said}) == 1
            code = await program.code()
            form = {"grant_type": "authorization_code", "code": code, "client_id": "public"}
            said = await everywhere(form | {"code_verifier": program.verifier})
            assert [each.status for each in said].count(200) <= 1
        finally:
            second.terminate()
            await second.wait()


SECOND = f"""
import asyncio, contextlib, socket, sys
import uvicorn
from dovetail_authserver import AuthServer, RegisteredClient, single_user
from dovetail_authserver.grants import CodeRecord, Grants, new_handle
from dovetail_authserver.refusals import OAuthError
from dovetail.stores import SQLiteStore

async def main():
    issuer = f"http://127.0.0.1:{{sys.argv[1]}}"
    public = RegisteredClient(id="public", redirect_uris=[{CALLBACK!r}])
    app = AuthServer(
        issuer, login=single_user("alice"), store=SQLiteStore(sys.argv[2]), resources=[{RESOURCE!r}], clients=[public]
    )
    sock = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{{sock.getsockname()[1]}}", flush=True)
    await uvicorn.Server(uvicorn.Config(app, log_level="error")).serve(sockets=[sock])

asyncio.run(main())
"""
