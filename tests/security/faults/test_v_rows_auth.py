"""Authorization as a whole: secrets that stay where they belong (V21 to V23), scopes outside the verifier (V44),
failing closed (V50), one way out (V38, V51), and records that are no paths (V58). The other rows stand in `tests/auth`
and `apps/authserver/tests`; the README says where.
"""

import ast
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from auth.guarded import RESOURCE, Wire, notes, protected
from auth.login_stage import Stage, World, server_metadata
from dovetail import Principal
from dovetail.auth import FileTokens, MemoryTokens, Protected
from dovetail.auth.login import AuthorizationError
from dovetail.auth.login.records import Tokens, decode, key_of
from dovetail.auth.protecting.verdicts import CheckContext, Verified
from dovetail.testing.serving import served

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "src" / "dovetail"


def heard(stage: Stage) -> str:
    """Every byte that reached a server."""
    return " ".join(f"{seen.path} {seen.query} {seen.headers} {seen.body!r}" for seen in stage.seen)


@pytest.mark.hostile
@pytest.mark.parametrize("kind", ["refresh token", "registered secret", "given secret"])
async def test_v21_v22_v23_what_one_server_gave_is_never_shown_to_another(kind: str) -> None:
    """The MCP server is taken over and names the attacker's authorization server, in each way that there is."""
    async with World() as world, Stage() as evil:
        made = {
            "client_id": "registered",
            "client_secret": "registered-s3cret",
            "token_endpoint_auth_method": "client_secret_post",
        }
        world.issuer.routes["/register"] = lambda seen: (201, {}, {**seen.json, **made})
        tokens = MemoryTokens()
        given = {"client_id": "given", "client_secret": "given-s3cret", "issuer": world.issuer.url}
        options = given if kind == "given secret" else {}
        assert await world.use(world.oauth(tokens=tokens, **options)) == "done"
        world.valid = {}
        evil.routes = {
            "/.well-known/oauth-authorization-server": server_metadata(evil.url),
            "/register": lambda seen: (201, {}, {**seen.json, "client_id": "of-evil"}),
            "/authorize": lambda seen: (400, {}, None),
            "/token": lambda seen: (400, {}, {"error": "invalid_grant"}),
        }
        world.resource_metadata["authorization_servers"] = [evil.url]
        for names in (
            {"issuer": evil.url},
            {"issuer": world.issuer.url},  # claims to be the honest one, with its own endpoints
            {"issuer": evil.url, "token_endpoint": world.issuer.url + "/token"},
        ):
            evil.routes["/.well-known/oauth-authorization-server"] = {**server_metadata(evil.url), **names}
            with pytest.raises(AuthorizationError):
                await world.use(world.oauth(tokens=tokens, timeout=0.5, **options))
        secrets = ["refresh-1", "token-1", "registered-s3cret", "given-s3cret"]
        assert not [each for each in secrets if each in heard(evil)]


async def test_v22_records_that_do_not_say_whose_they_are_are_not_used(tmp_path: Path) -> None:
    """A store of an earlier program: tokens and a registration without the issuer that gave them."""
    async with World() as world:
        store = FileTokens(tmp_path / "logins")
        assert await world.use(world.oauth(tokens=store)) == "done"
        for path in store.folder.glob("*.json"):
            record = json.loads(path.read_bytes())
            del record["issuer"]
            await store.write(path.stem, json.dumps(record).encode())
        world.valid = {}
        before = len(world.issuer.seen)
        assert await world.use(world.oauth(tokens=store)) == "done"
        sent = world.issuer.seen[before:]
        assert [seen.path for seen in sent if seen.method == "POST"] == ["/register", "/token"]
        assert not any(b"refresh-1" in seen.body for seen in sent)
        assert len(world.visits) == 2


async def test_v23_two_authorization_servers_share_no_record() -> None:
    """What is kept for one issuer is not found under another, though everything else is the same."""
    places = {
        key_of("tokens", issuer, "me", "https://server.example/mcp")
        for issuer in ("https://a.example", "https://a.example/", "https://a.example\0", "https://b.example")
    }
    assert len(places) == 4
    assert key_of("tokens", "a", "bc") != key_of("tokens", "ab", "c")


class Careless:
    """A verifier of somebody else's that lets everything through and grants nothing."""

    issuer = "https://careless.example"
    opaque = True
    keep = 0.0

    def checker(self, surroundings: CheckContext) -> "Careless":
        return self

    async def check(self, token: str) -> Verified:
        return Verified(Principal(self.issuer, "ann", "cli"), time.time() + 60)


async def test_v44_scopes_are_demanded_whatever_the_verifier_does() -> None:
    for scopes, status in ((["notes:read"], 403), ([], 200)):
        async with served(notes(Protected(RESOURCE, Careless(), scopes=scopes)).asgi()) as url:
            assert (await Wire(url).call("anything")).status == status
            write = {"name": "write", "arguments": {}}
            assert (await Wire(url).call("anything", params=write)).status == 403


@pytest.mark.hostile
@pytest.mark.parametrize(
    "status,body", [(429, None), (500, None), (503, None), (200, b'{"keys": ['), (200, b"")]
)
async def test_v50_keys_that_can_not_be_had_let_nobody_in(status: int, body: bytes | None) -> None:
    async with protected() as (issuer, wire):
        issuer.status, issuer.body = status, body
        assert (await wire.call(issuer.token())).status == 503
        assert (await wire.call("made-up")).status == 401


async def test_v50_a_registration_that_is_put_off_is_no_registration() -> None:
    async with World() as world:
        for answer in ((429, {}, None), (503, {}, {"client_id": "x"}), (200, {}, b'{"client_id": "x"')):
            world.issuer.routes["/register"] = lambda seen, answer=answer: answer
            with pytest.raises(AuthorizationError):
                await world.use(world.oauth(timeout=1))
        assert world.visits == []


def imports() -> Iterator[tuple[str, str]]:
    """Who imports what, in authorization."""
    for folder in (SOURCE / "auth", ROOT / "apps" / "authserver" / "src" / "dovetail_authserver"):
        for path in sorted(folder.rglob("*.py")):
            name = path.relative_to(folder.parent).as_posix()
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Import):
                    yield from ((name, each.name) for each in node.names)
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    yield name, node.module or ""


def test_v38_v49_v51_v53_everything_goes_out_through_one_fetcher() -> None:
    """No branch has a way of its own to fetch an address (a stand-in for a browser in tests has)."""
    clients = ("aiohttp", "httpx", "requests", "urllib.request", "http.client", "socket", "ssl", "urllib3")
    found = {name for name, module in imports() if module.split(".")[0] in clients or module in clients}
    # A context for TLS that the caller may give, the sockets to which the browser comes back, the one that the command
    # of the authorization server listens on, and the stand-in that serves and browses in tests.
    assert found == {
        "auth/login/settings.py",
        "auth/login/callback.py",
        "dovetail_authserver/command.py",
        "dovetail_authserver/testing.py",
    }


@pytest.mark.hostile
@pytest.mark.parametrize(
    "key", ["../../etc/passwd", "a/b", "", "..", "a.json", "a\0b", "é", "a" * 200, "C:\\x", "a b"]
)
async def test_v58_a_name_of_a_record_is_never_a_path(key: str, tmp_path: Path) -> None:
    store = FileTokens(tmp_path / "logins")
    for work in (store.read(key), store.write(key, b"x"), store.remove(key)):
        with pytest.raises(ValueError, match="letters"):
            await work
    with pytest.raises(ValueError, match="letters"):
        async with store.lock(key):
            pass
    assert not store.folder.exists()


def test_v58_what_names_a_record_is_a_digest() -> None:
    """Neither an issuer nor a client id nor a token ends up in a file's name."""
    for hostile in ("../../x", "/etc/passwd", "a\0b", "C:\\x", "-rf"):
        assert key_of("tokens", hostile, hostile, hostile).removeprefix("tokens-").isalnum()
    assert decode(b'{"issuer": "x"}', Tokens) is None


async def test_r79_r103_a_server_is_shown_no_token_of_another() -> None:
    """Two MCP servers and one store: each gets the token that was given for it."""
    async with World() as one, World() as two:
        tokens = MemoryTokens()

        def give(world: World) -> dict[str, Any]:
            name = "of-one" if world is one else "of-two"
            world.valid = {name: set()}
            return {"access_token": name, "token_type": "Bearer", "expires_in": 3600}

        for world in (one, two):
            world.token_answer = lambda seen, world=world: give(world)
            assert await world.use(world.oauth(tokens=tokens)) == "done"
            assert await world.use(world.oauth(tokens=tokens)) == "done"
        assert "of-one" not in heard(two.mcp) + heard(two.issuer)
        assert "of-two" not in heard(one.mcp) + heard(one.issuer)
