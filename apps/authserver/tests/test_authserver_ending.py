"""Introspection and revocation: to whom they answer, and that unknown and foreign read alike."""

from __future__ import annotations

from typing import Any

import pytest
from authority_calls import CALLBACK, PRIVATE, PUBLIC, RESOURCE, SECRET, SERVER, Clock, Said, basic, calls

from dovetail.auth.oauth import DPoPKey
from dovetail_authserver import RegisteredClient

OTHER_SERVER = RegisteredClient(id="other-server", secret=SECRET, introspects=["https://other.example/mcp"])
OTHER = RegisteredClient(id="other", redirect_uris=[CALLBACK])
CLIENTS = [PUBLIC, PRIVATE, SERVER, OTHER_SERVER, OTHER]


async def test_the_server_of_the_resource_learns_what_a_token_is_good_for() -> None:
    async with calls(clients=CLIENTS) as program:
        key = DPoPKey.generate()
        proof = {"dpop": key.proof("POST", program.authority.server.urls.token)}
        tokens = (await program.exchange(await program.code(scope="files mail"), headers=proof)).body
        told = await program.active(tokens["access_token"])
        assert told["active"] is True
        assert (told["sub"], told["client_id"], told["aud"]) == ("alice", "public", RESOURCE)
        assert (told["scope"], told["iss"], told["token_type"]) == ("files mail", program.url, "DPoP")
        assert told["cnf"] == {"jkt": key.thumbprint}
        assert told["exp"] > told["iat"]
        # A server that took it for an access token would let a thief in for as long as the grant lasts.
        assert await program.active(tokens["refresh_token"]) == {"active": False}


async def test_only_a_server_that_proves_itself_may_ask() -> None:
    async with calls(clients=CLIENTS) as program:
        token = (await program.tokens())["access_token"]
        for form, headers in (
            ({}, {}),
            ({"client_id": "public"}, {}),
            ({"client_id": SERVER.id}, {}),
            ({}, basic(SERVER.id, "wrong-secret-here")),
            ({}, basic("private", SECRET)),
            ({}, {"authorization": f"Bearer {token}"}),
        ):
            said = await program.post("/introspect", {"token": token, **form}, headers=headers)
            assert (said.status, said.error) == (401, "invalid_client"), (form, headers)
        said = await program.post("/introspect", {}, headers=basic(SERVER.id, SERVER.secret))
        assert (said.status, said.error) == (400, "invalid_request")


@pytest.mark.hostile
@pytest.mark.requirement("R2506-AUTH-007", "R2511-AUTH-062")
async def test_unknown_foreign_ended_and_broken_read_alike() -> None:
    clock = Clock()
    async with calls(clients=CLIENTS, clock=clock) as program, calls(clients=CLIENTS) as elsewhere:
        good = await program.tokens()
        old = good["access_token"]
        not_its_own, its_own = basic(OTHER_SERVER.id, SECRET), basic(SERVER.id, SERVER.secret)
        spent = good["refresh_token"]
        renewed = (await program.refresh(spent)).body
        current = renewed["refresh_token"]
        assert (await program.active(renewed["access_token"]))["active"] is True
        tries = [(token, not_its_own) for token in (good["access_token"], current)]
        head, body, signature = old.split(".")
        foreign = await elsewhere.tokens()
        wrong = (
            "x",
            "x.y",
            "x.y.z",
            spent,
            current,
            f"{head}.{body}.{signature[::-1]}",
            f"{head}.{body}.",
            foreign["access_token"],
            foreign["refresh_token"],
            "é",
            "x" * 20_000,
        )
        tries += [(token, its_own) for token in wrong]
        answers: list[Said] = [
            await program.post("/introspect", {"token": token}, headers=headers) for token, headers in tries
        ]
        clock.now += 601
        answers.append(await program.post("/introspect", {"token": old}, headers=its_own))
        assert {(each.status, each.text) for each in answers} == {(200, '{"active":false}')}


async def test_revoking_a_refresh_token_ends_everything() -> None:
    async with calls(clients=CLIENTS) as program:
        tokens = await program.tokens()
        said = await program.post("/revoke", {"token": tokens["refresh_token"], "client_id": "public"})
        assert (said.status, said.body) == (200, {})
        assert await program.active(tokens["access_token"]) == {"active": False}
        assert (await program.refresh(tokens["refresh_token"])).error == "invalid_grant"


async def test_revoking_an_access_token_ends_that_one() -> None:
    async with calls(clients=CLIENTS) as program:
        tokens = await program.tokens()
        said = await program.post(
            "/revoke",
            {"token": tokens["access_token"], "client_id": "public", "token_type_hint": "refresh_token"},
        )
        assert said.status == 200
        assert await program.active(tokens["access_token"]) == {"active": False}
        assert (await program.refresh(tokens["refresh_token"])).status == 200
        own = await program.post(
            "/token", {"grant_type": "client_credentials"}, headers=basic("private", SECRET)
        )
        token = own.body["access_token"]
        assert (await program.active(token))["active"] is True
        await program.post("/revoke", {"token": token}, headers=basic("private", SECRET))
        assert await program.active(token) == {"active": False}


@pytest.mark.hostile
async def test_nobody_revokes_the_tokens_of_others() -> None:
    async with calls(clients=CLIENTS) as program:
        tokens: dict[str, Any] = await program.tokens()
        answers: set[tuple[int, str]] = set()
        for token in (tokens["access_token"], tokens["refresh_token"], "unknown", "x.y.z", "x.y"):
            said = await program.post("/revoke", {"token": token, "client_id": "other"})
            answers.add((said.status, said.text))
        assert answers == {(200, "{}")}
        assert (await program.active(tokens["access_token"]))["active"] is True
        assert (await program.refresh(tokens["refresh_token"])).status == 200
        said = await program.post("/revoke", {"token": tokens["access_token"]})
        assert said.status == 401
        said = await program.post("/revoke", {"token": tokens["access_token"], "client_id": "private"})
        assert said.status == 401
