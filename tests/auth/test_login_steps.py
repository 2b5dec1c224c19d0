"""The steps of a login: what is told of it, in which order, without its secrets; holding it, and ending it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import pytest
from login_stage import RESOURCE_PATH, SERVER_PATH, Seen, World
from test_login_tokens import age, logged_in

from dovetail import Client
from dovetail.auth import ClientCredentials, discover_login
from dovetail.auth.login import (
    CredentialsUnbound,
    DiscoveryFailed,
    LoginFailed,
    LoginStep,
    LoginTimeout,
    MemoryTokens,
    RegistrationFailed,
    ScopeRefused,
    TokenRefused,
)
from dovetail.auth.login.steps import SecretKeeper

WHOLE = [
    "challenge", "resource-metadata", "server-chosen", "server-metadata", "scopes", "resource", "code-challenge",
    "registration", "authorization", "redirect", "token", "kept",
]  # fmt: skip


def kinds(steps: list[LoginStep]) -> list[str]:
    return [step.kind for step in steps]


def only(steps: list[LoginStep], kind: str, outcome: str = "done") -> LoginStep:
    (found,) = [step for step in steps if (step.kind, step.outcome) == (kind, outcome)]
    return found


async def test_each_step_is_told_in_order_with_what_was_sent_and_got() -> None:
    steps: list[LoginStep] = []
    async with World() as world:
        world.resource_metadata["scopes_supported"] = ["notes:read"]
        assert await world.use(world.oauth(on_step=steps.append)) == "done"
        assert kinds(steps) == WHOLE
        assert {step.outcome for step in steps} == {"done"}
        challenge, scopes, token = only(steps, "challenge"), only(steps, "scopes"), only(steps, "token")
        assert challenge.exchange is not None
        assert (challenge.exchange.method, challenge.exchange.status) == ("POST", 401)
        assert RESOURCE_PATH in challenge.exchange.answered["www-authenticate"]
        assert scopes.values == {"scopes": ["notes:read"]}
        assert scopes.requirement == "R2607-AUTH-059"
        metadata = only(steps, "server-metadata").exchange
        assert metadata is not None
        assert metadata.url == world.issuer.url + SERVER_PATH
        assert metadata.document == world.metadata
        assert token.exchange is not None
        assert token.exchange.sent["resource"] == world.resource
        assert token.exchange.document["token_type"] == "Bearer"
        assert only(steps, "authorization").values["redirect_uri"].startswith("http://127.0.0.1:")


async def test_no_secret_is_in_a_step_not_even_one_that_a_server_repeats() -> None:
    steps: list[LoginStep] = []
    async with World() as world:

        def repeating(seen: Seen) -> Any:
            form = seen.form
            answer = world.issue("notes:read")
            return 200, {"x-repeated": form["code_verifier"]}, {**answer, "note": f"for {form['code']}"}

        world.token_answer = repeating
        assert await world.use(world.oauth(on_step=steps.append)) == "done"
        (asked,), (visited,) = world.issuer.at("/token"), world.issuer.at("/authorize")
        shown = msgspec.json.encode(steps).decode()
        secrets = [asked.form["code"], asked.form["code_verifier"], visited.query["state"]]
        for secret in [*secrets, "token-1", "refresh-1"]:
            assert secret not in shown
        assert f"{asked.form['code_verifier'][:4]}...({len(asked.form['code_verifier'])} characters)" in shown
        assert visited.query["code_challenge"] in shown


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_the_secret_of_a_program_is_in_no_step(method: str) -> None:
    steps: list[LoginStep] = []
    secret = "correct horse/battery&staple"
    async with World() as world:
        auth = ClientCredentials(
            "job", issuer=world.issuer.url, client_secret=secret, auth_method=method, on_step=steps.append
        )
        world.token_answer = lambda seen: (400, {}, {"error": "invalid_client", "error_description": secret})
        with pytest.raises(TokenRefused):
            await world.use(auth)
        shown = msgspec.json.encode(steps).decode()
        assert secret not in shown
        assert "correct%20horse" not in shown
        assert "correct+horse" not in shown
        assert only(steps, "token", "refused").decision.startswith(world.issuer.url)
        assert kinds(steps)[-1] == "failed"


def test_what_is_no_json_shows_no_token_either() -> None:
    keeper = SecretKeeper()
    shown = keeper.document(b'{"access_token": "abcdefgh12345678", "access_token": "abcdefgh12345678"}')
    assert "abcdefgh" not in str(shown)
    assert "abcdefgh" not in keeper.text("again abcdefgh12345678")
    assert (
        keeper.url("http://127.0.0.1/?code=abcdefgh99&x=1") == "http://127.0.0.1/?code=...(10+characters)&x=1"
    )


async def test_a_login_stands_still_while_a_step_is_held_and_no_time_counts() -> None:
    """Each step is held for longer than a person, a call and a fetch have time."""
    held: asyncio.Queue[tuple[LoginStep, asyncio.Event]] = asyncio.Queue()

    async def hold(step: LoginStep) -> None:
        let_go = asyncio.Event()
        await held.put((step, let_go))
        await let_go.wait()

    async with World() as world:
        auth = world.oauth(on_step=hold, timeout=0.5, fetch_timeout=0.5)
        client = Client(world.resource, auth=auth, revision="2026-07-28", timeout=0.5, max_timeout=0.5)
        opening = asyncio.create_task(client.open())
        seen: list[str] = []
        asked = {"challenge": 0, "registration": 0, "redirect": 0}
        while len(seen) < len(WHOLE):
            step, let_go = await held.get()
            seen.append(step.kind)
            before = len(world.mcp.seen) + len(world.issuer.seen)
            if step.kind in asked:
                await asyncio.sleep(0.7)
            assert len(world.mcp.seen) + len(world.issuer.seen) == before, "nothing happens meanwhile"
            let_go.set()
        await opening
        assert seen == WHOLE
        assert (await client.call_tool("x")).text == "done"
        await client.close()


async def test_a_function_that_raises_ends_the_login() -> None:
    async with World() as world:

        def no_further(step: LoginStep) -> None:
            if step.kind == "registration":
                raise LoginFailed("no further")

        with pytest.raises(LoginFailed, match="no further"):
            await world.use(world.oauth(on_step=no_further))
        assert world.visits == []

        def broken(step: LoginStep) -> None:
            if step.kind == "redirect":
                raise KeyError("x")

        with pytest.raises(LoginFailed, match="on_step raised KeyError at the step 'redirect'"):
            await world.use(world.oauth(on_step=broken))
        assert world.grants() == []
        assert "try again" in world.pages[0][1], "the browser is told that it failed"


async def test_a_function_that_raises_at_the_end_hides_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    async with World() as world:
        world.resource_metadata["resource"] = "http://127.0.0.1:1/other"

        def broken(step: LoginStep) -> None:
            if step.kind == "failed":
                raise KeyError("x")

        with pytest.raises(DiscoveryFailed):
            await world.use(world.oauth(on_step=broken))
        assert "KeyError" in caplog.text


# What is refused, and why


async def refused(world: World, error: type[Exception], **options: Any) -> list[LoginStep]:
    """The steps of a login that ends with an error."""
    steps: list[LoginStep] = []
    with pytest.raises(error) as problem:
        await world.use(world.oauth(on_step=steps.append, **options))
    assert steps[-1].kind == "failed"
    assert str(problem.value).startswith(steps[-1].decision)  # the client says for what it was
    assert steps[-1].values["error"] == type(problem.value).__name__
    return steps


async def test_metadata_that_lie_are_a_refused_step() -> None:
    async with World() as world:
        world.resource_metadata["resource"] = "https://bank.example/mcp"
        steps = await refused(world, DiscoveryFailed)
        step = only(steps, "resource-metadata", "refused")
        assert "bank.example" in step.decision
        assert step.requirement == "R2607-AUTH-141"
    async with World() as world:
        world.metadata["issuer"] = "https://bank.example"
        steps = await refused(world, DiscoveryFailed)
        step = only(steps, "server-metadata", "refused")
        assert "only exactly" in step.decision
        assert step.requirement == "R2607-AUTH-011"
        assert kinds(steps)[-2:] == ["server-metadata", "failed"]
        assert steps[-2].outcome == "missing"
    async with World() as world:
        world.challenge = 'Bearer resource_metadata="https://evil.example/metadata"'
        steps = []
        assert await world.use(world.oauth(on_step=steps.append)) == "done"
        assert "evil.example" in only(steps, "resource-metadata", "refused").decision


@pytest.mark.parametrize("issuer", ["https://evil.example", None])
async def test_an_answer_of_another_issuer_is_a_refused_step(issuer: str | None) -> None:
    async with World() as world:
        world.iss = issuer
        steps = await refused(world, LoginFailed)
        step = only(steps, "redirect", "refused")
        assert step.requirement == "R2607-AUTH-063"
        assert step.values["answer"].get("iss") == issuer
        assert world.grants() == []


@pytest.mark.requirement("R2511-AUTH-091", "R2607-AUTH-122")
async def test_an_answer_with_another_state_is_a_refused_step_and_the_login_goes_on_waiting() -> None:
    async with World() as world:
        world.callback = {"state": "another-state"}
        steps = await refused(world, LoginTimeout, timeout=0.3)
        step = only(steps, "redirect", "refused")
        assert step.requirement == "R2607-AUTH-122"
        assert "another-state" not in str(step)


async def test_a_refusal_by_the_person_and_by_the_token_endpoint_are_steps() -> None:
    async with World() as world:
        world.callback = {"code": "", "error": "access_denied"}
        steps = await refused(world, LoginFailed)
        assert "access_denied" in only(steps, "redirect", "refused").decision
    async with World() as world:
        world.token_answer = lambda _: (400, {}, {"error": "invalid_grant"})
        steps = await refused(world, TokenRefused)
        exchange = only(steps, "token", "refused").exchange
        assert exchange is not None
        assert (exchange.status, exchange.document) == (400, {"error": "invalid_grant"})


async def test_a_server_without_code_challenges_or_registrations_is_a_refused_step() -> None:
    async with World() as world:
        del world.metadata["code_challenge_methods_supported"]
        steps = await refused(world, DiscoveryFailed)
        assert only(steps, "code-challenge", "refused").requirement == "R2607-AUTH-116"
    async with World() as world:
        del world.metadata["registration_endpoint"]
        steps = await refused(world, RegistrationFailed)
        assert "takes no registrations" in steps[-1].decision
    async with World() as world:
        world.issuer.routes["/register"] = (400, {}, {"error": "invalid_redirect_uri"})
        steps = await refused(world, RegistrationFailed)
        assert [step.outcome for step in steps if step.kind == "registration"] == ["refused", "refused"]


async def test_credentials_of_another_issuer_are_a_refused_step() -> None:
    async with World() as world:
        steps = await refused(world, CredentialsUnbound, client_id="me", issuer="https://other.example")
        assert only(steps, "server-chosen", "refused").requirement == "R2607-AUTH-038"


async def test_a_token_that_is_refused_at_once_is_told_as_what_it_is() -> None:
    """As with a token for another audience."""
    async with World() as world:
        world.refresh = False
        world.token_answer = lambda _: (
            200,
            {},
            {"access_token": "not-for-this-server", "token_type": "Bearer"},
        )
        steps = await refused(world, LoginFailed)
        assert kinds(steps) == [
            *WHOLE,
            "challenge",
            "resource-metadata",
            "server-chosen",
            "server-metadata",
            "failed",
        ]
        again = steps[len(WHOLE)]
        assert again.decision.startswith("the server does not take the token that was sent")
        assert "audience" in steps[-1].decision


# What comes after a login


async def test_a_step_up_asks_for_what_there_was_as_well() -> None:
    steps: list[LoginStep] = []
    async with World() as world:
        world.challenge = 'Bearer scope="notes:read"'
        async with world.client(world.oauth(on_step=steps.append)) as client:
            world.needed = {"notes:write"}
            del steps[:]
            await client.call_tool("x")
        assert kinds(steps)[0] == "challenge"
        assert "more scopes" in steps[0].decision
        assert only(steps, "scopes").requirement == "R2607-AUTH-056"
        assert only(steps, "scopes").values == {"scopes": ["notes:read", "notes:write"]}
        assert "registered" in only(steps, "registration").decision
    async with World() as world:
        world.token_answer = lambda _: world.issue("notes:read")
        world.needed = {"notes:write"}
        await refused(world, ScopeRefused)


async def test_a_renewal_is_told_when_its_tokens_are_kept() -> None:
    steps: list[LoginStep] = []
    async with World() as world:
        tokens = await logged_in(world)
        kept: list[bool] = []

        def told(step: LoginStep) -> None:
            steps.append(step)
            if step.kind == "refresh":
                kept.append(any(b"refresh-2" in data for data in tokens._records.values()))

        assert await world.use(world.oauth(tokens=tokens, on_step=told)) == "done"
        assert kinds(steps) == ["loaded", "server-metadata", "refresh", "kept"]
        assert kept == [True]
        assert "refresh-1" not in str(steps)


async def test_a_renewal_that_is_refused_is_told_and_a_login_follows() -> None:
    steps: list[LoginStep] = []
    async with World() as world:
        tokens = await logged_in(world)
        await age(tokens, expires_at=time.time() + 3600)

        def only_logins(seen: Seen) -> Any:
            if seen.form["grant_type"] == "refresh_token":
                return 400, {}, {"error": "invalid_grant"}
            return world.issue("")

        world.token_answer = only_logins
        assert await world.use(world.oauth(tokens=tokens, on_step=steps.append)) == "done"
        assert only(steps, "refresh", "refused").values == {}
        assert kinds(steps)[-2:] == ["token", "kept"]


async def test_tokens_that_were_kept_are_told_once() -> None:
    steps: list[LoginStep] = []
    async with World() as world:
        tokens = MemoryTokens()
        await world.use(world.oauth(tokens=tokens))
        assert await world.use(world.oauth(tokens=tokens, on_step=steps.append)) == "done"
        assert kinds(steps) == ["loaded"]
        assert steps[0].values["issuer"] == world.issuer.url


async def test_a_key_that_tokens_are_bound_to_is_a_step() -> None:
    steps: list[LoginStep] = []
    async with World() as world:
        nonces = iter([(400, {"dpop-nonce": "n-1"}, {"error": "use_dpop_nonce"})])

        def bound(seen: Seen) -> Any:
            found: Any = next(nonces, None)
            return found or {**world.issue(""), "token_type": "DPoP"}

        world.token_answer = bound
        auth = world.oauth(dpop=True, on_step=steps.append)
        await world.credentials(auth).log_in()
        assert only(steps, "proof-key").values["thumbprint"]
        assert "nonce" in only(steps, "token", "refused").decision
        (first, _) = world.issuer.at("/token")
        assert first.headers["dpop"] not in str(steps)


async def test_discovery_alone_is_told_as_well() -> None:
    steps: list[LoginStep] = []
    async with World() as world:
        await discover_login(world.resource, on_step=steps.append)
        assert kinds(steps) == ["resource-metadata", "server-chosen", "server-metadata"]
        world.mcp.routes = {}
        del steps[:]
        await discover_login(world.resource, on_step=steps.append)
        assert [(step.kind, step.outcome) for step in steps] == [
            ("resource-metadata", "missing"), ("resource-metadata", "missing"), ("server-chosen", "done"),
            ("server-metadata", "missing"),
        ]  # fmt: skip
