"""What a token endpoint may answer: junk, other kinds of tokens, lifetimes that make no sense, errors."""

import time
from typing import Any

import pytest
from login_stage import Seen, World

from dovetail.auth.login import (
    AuthorizationError,
    AuthorizationUnavailable,
    LoginFailed,
    MemoryTokens,
    TokenRefused,
)
from dovetail.auth.login.records import Tokens, decode

GOOD: dict[str, Any] = {"access_token": "fine", "token_type": "Bearer"}


def only(tokens: MemoryTokens) -> Tokens:
    """The tokens that are kept."""
    (found,) = (decode(data, Tokens) for key, data in tokens._records.items() if key.startswith("tokens"))
    assert found is not None
    return found


@pytest.mark.hostile
@pytest.mark.parametrize(
    "answer",
    [
        b"", b"<html>", b"[]", b"null", {}, {"access_token": "x"}, {**GOOD, "access_token": ""},
        {**GOOD, "access_token": 5}, {**GOOD, "access_token": "a b"}, {**GOOD, "access_token": "a\r\nX: y"},
        {**GOOD, "access_token": "\u00e9"}, {**GOOD, "access_token": "x" * 70000}, {**GOOD, "access_token": ["x"]},
        {**GOOD, "token_type": "mac"}, {**GOOD, "token_type": "N_A"}, {**GOOD, "token_type": None},
        {**GOOD, "token_type": "DPoP"}, {**GOOD, "error": "invalid_grant"}, (200, {}, {"error": "bad_verification"}),
        (201, {}, GOOD), (302, {"location": "https://evil.example/"}, GOOD), (401, {}, {"error": "invalid_client"}),
        (400, {}, {"error": {"a": 1}}), (404, {}, None), b"{" + b" " * 300_000 + b"}", b"[" * 50_000,
    ],
)  # fmt: skip
async def test_junk_from_the_token_endpoint_is_a_typed_error(answer: Any) -> None:
    async with World() as world:
        world.token_answer = lambda seen: answer
        tokens = MemoryTokens()
        with pytest.raises(AuthorizationError):
            await world.use(world.oauth(tokens=tokens))
        assert not [key for key in tokens._records if key.startswith("tokens")]
        assert "did not work" in world.pages[0][1]


@pytest.mark.hostile
@pytest.mark.parametrize("status", [500, 503, None])
async def test_a_token_endpoint_that_fails_is_told_apart(status: int | None) -> None:
    async with World() as world:
        world.token_answer = lambda seen: status and (status, {}, None)
        with pytest.raises(AuthorizationUnavailable):
            await world.use()
        assert "did not work" in world.pages[0][1]


async def test_an_error_is_quoted_shortly_and_no_secret_in_it() -> None:
    async with World() as world:
        said = {"error": "invalid_grant", "error_description": "\x1b[2J" + "x" * 5000}
        world.token_answer = lambda seen: (400, {}, said)
        with pytest.raises(TokenRefused) as caught:
            await world.use()
        assert caught.value.error == "invalid_grant"
        assert len(str(caught.value)) < 400
        assert "\x1b" not in str(caught.value)
        form = world.issuer.at("/token")[0].form
        assert form["code_verifier"] not in str(caught.value)


@pytest.mark.hostile
async def test_r113_a_secret_that_comes_back_in_an_error_is_not_quoted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Servers tell what they were shown, and errors end up in logs."""
    caplog.set_level(0, "dovetail")
    async with World() as world:

        def echo(seen: Seen) -> Any:
            everything = f"{seen.form} {seen.headers.get('authorization')}"
            return (
                400,
                {},
                {"error": seen.form["code"], "error_description": everything.replace(" ", "")[:180]},
            )

        def fault(seen: Seen) -> Any:
            shown = " ".join(seen.form.get(name, "") for name in ("code_verifier", "client_secret", "code"))
            return 400, {}, {"error": "invalid_grant", "error_description": shown}

        for answer in (echo, fault):
            world.token_answer = answer
            auth = world.oauth(
                client_id="me",
                client_secret="a s3cret!",
                issuer=world.issuer.url,
                auth_method="client_secret_post",
            )
            with pytest.raises(TokenRefused) as caught:
                await world.use(auth)
            form = world.issuer.at("/token")[-1].form
            for secret in (form["code_verifier"], "a s3cret!", "a+s3cret%21", "the-code"):
                assert secret not in f"{caught.value} {caught.value!r} {caplog.text}"


@pytest.mark.hostile
async def test_r113_a_token_that_comes_back_in_a_challenge_is_not_quoted() -> None:
    async with World() as world:
        world.token_answer = lambda seen: {**world.issue(""), "access_token": "never-good"}
        world.challenge = 'Bearer error="invalid_token", error_description="never-good is not for us"'
        with pytest.raises(LoginFailed, match="is not for us") as caught:
            await world.use()
        assert "never-good" not in str(caught.value)


@pytest.mark.hostile
@pytest.mark.parametrize(
    "expires,lasts",
    [
        (3600, 3600), ("3600", None), (3600.5, 3600), (0.001, None), (1e-300, None),
        (10**30, 10 * 365 * 86400), (-1, None), (0, None), ("soon", None),
        (None, None), (True, None), ([1], None), ("9" * 400, None), ("-5", None), (1e308, 10 * 365 * 86400),
        (10**400, 10 * 365 * 86400),
    ],
)  # fmt: skip
async def test_a_lifetime_that_is_no_positive_number_is_no_lifetime(
    expires: Any, lasts: float | None
) -> None:
    """The token is good all the same, and used until it is refused: RFC 6749, section 5.1, only recommends to tell."""
    async with World() as world:
        world.lifetime = expires
        tokens = MemoryTokens()
        assert await world.use(world.oauth(tokens=tokens)) == "done"
        kept = only(tokens)
        if lasts is None:
            assert kept.expires_at is None
        else:
            assert kept.expires_at is not None
            assert kept.expires_at - time.time() == pytest.approx(lasts, abs=60)
        assert world.grants() == ["authorization_code"]
