"""Tokens of principals for the servers behind a gateway: whose, for what, how they stand in the store."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from dovetail import App, Client, Context, Principal, RPCError
from dovetail.gateway import Gateway, PrincipalTokens
from dovetail.gateway import credentials as credentials_module
from dovetail.security import Credentials, KeyRing
from dovetail.stores import SQLiteStore, Store
from dovetail.testing.serving import served

KEYS = KeyRing([b"k" * 32])
ANN, BOB = (Principal(issuer="test", subject=name) for name in ("ann", "bob"))


class Named:
    """Names callers by their token."""

    async def authenticate(self, request: Credentials) -> Principal:
        """Who is calling."""
        given = request.authorization
        return (
            Principal(issuer="test", subject=given[0].removeprefix("Bearer ")) if given else Principal("", "")
        )


class Mail:
    """A server that takes two tokens, and says whose it was shown."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    async def authenticate(self, request: Credentials) -> Principal:
        """Who is calling."""
        self.shown += request.authorization
        return Principal(issuer="mail", subject=request.authorization[0].removeprefix("Bearer "))

    def app(self) -> App:
        app = App("mail")

        @app.tool
        async def whoami(ctx: Context) -> str:
            return ctx.principal.subject

        return app


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[Store]:
    opened = SQLiteStore(tmp_path / "store.db")
    yield opened
    await opened.aclose()


@pytest.mark.requirement("R2607-AUTH-136", "R2511-AUTH-105")
async def test_v52_each_is_shown_the_token_of_its_own_and_never_what_it_came_with(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is replaced counts at once where none is at hand, and who has none is told so."""
    monkeypatch.setattr(credentials_module, "KEPT", 0.0)
    tokens, mail = PrincipalTokens(store, keys=KEYS), Mail()
    await tokens.put("mail", ANN, "mail-of-ann")
    async with served(mail.app().asgi(authenticate=mail)) as there:
        gateway = Gateway({"mail": there}, credentials={"mail": tokens.of("mail")})
        async with served(gateway.app.asgi(authenticate=Named())) as url:

            async def whoami(name: str) -> str:
                headers = {"Authorization": f"Bearer {name}"} if name else {}
                async with Client(url, headers=headers) as client:
                    return (await client.call_tool("mail__whoami")).text

            assert await whoami("ann") == "mail-of-ann"
            await tokens.put("mail", ANN, "mail-of-ann-2")
            await tokens.put("mail", BOB, "mail-of-bob")
            assert (await whoami("ann"), await whoami("bob")) == ("mail-of-ann-2", "mail-of-bob")
            assert await tokens.remove("mail", ANN)
            assert not await tokens.remove("mail", ANN)
            for name, said in (
                ("ann", "no credentials of yours"),
                ("eve", "no credentials of yours"),
                ("", "nobody said"),
            ):
                with pytest.raises(RPCError, match=said):
                    await whoami(name)
    assert {each.removeprefix("Bearer ") for each in mail.shown} <= {
        "mail-of-ann",
        "mail-of-ann-2",
        "mail-of-bob",
    }


async def test_v52_a_record_that_was_copied_to_another_place_does_not_open(store: Store) -> None:
    """Nor one that other keys sealed; and nobody reads a token, or a name, in the store."""
    tokens = PrincipalTokens(store, keys=KEYS)
    await tokens.put("mail", ANN, "secret-of-ann")
    kv: Any = store.kv.within("gateway/tokens/")
    place, other = (credentials_module._key("mail", each) for each in (ANN, BOB))
    raw = await kv.get(place)
    assert b"secret" not in raw
    await kv.set(other, raw)
    with pytest.raises(RPCError, match="no credentials of yours"):
        await tokens.of("mail")(BOB)  # type: ignore[misc] - it is awaited where it has to be
    strangers = PrincipalTokens(store, keys=KeyRing([b"x" * 32]))
    with pytest.raises(RPCError, match="no credentials of yours"):
        await strangers.of("mail")(ANN)  # type: ignore[misc] - as above


async def test_what_is_no_token_is_not_kept(store: Store) -> None:
    tokens = PrincipalTokens(store, keys=KEYS)
    for wrong in ("", "a b", "a\nb", "\u00fc", "x" * (credentials_module.MAX_TOKEN + 1)):
        with pytest.raises(ValueError, match="token"):
            await tokens.put("mail", ANN, wrong)
    with pytest.raises(ValueError, match="without a name"):
        await tokens.put("mail", Principal("", ""), "x")


def test_a_store_that_others_can_read_is_refused_without_keys() -> None:
    class Shared:
        kv: Any = object()

    with pytest.raises(ValueError, match="keys"):
        PrincipalTokens(Shared())  # type: ignore[arg-type] - it is never asked for more
