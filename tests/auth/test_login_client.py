"""The option ``auth`` of a client as its users meet it: one argument, own tokens, caches, a person who takes time."""

import asyncio
from typing import Any

import pytest
from login_stage import World

from dovetail import App
from dovetail.auth import Bearer, ClientCredentials, EnterpriseManaged, OAuth, WorkloadIdentity
from dovetail.auth.login import FileTokens, MemoryTokens, resolve
from dovetail.client import Client
from dovetail.protocol.errors import LocalProtocolError, LoginRequired


async def test_one_argument_is_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """``auth="oauth"``: the system's browser, and tokens that the next program finds."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("DISPLAY", ":0")
    async with World() as world:
        loop = asyncio.get_running_loop()
        visiting: list[Any] = []

        def open_browser(url: str) -> bool:
            visiting.append(asyncio.run_coroutine_threadsafe(world.browse(url), loop))
            return True

        monkeypatch.setattr("webbrowser.open", open_browser)
        for _ in range(2):
            assert await world.use("oauth") == "done"
        assert len(world.visits) == 1
        assert visiting[0].result()
        assert len(list(FileTokens().folder.glob("tokens-*"))) == 1


async def test_waiting_for_a_person_holds_up_nobody_else_and_no_deadline() -> None:
    async with World() as world:
        world.needed = set()
        here, gate = asyncio.Event(), asyncio.Event()

        async def browse(url: str) -> bool:
            if len(world.visits) == 1:
                here.set()
                await gate.wait()
            return await world.browse(url)

        async with world.client(world.oauth(open_browser=browse), timeout=0.4, max_timeout=0.8) as client:
            world.needed = {"more"}
            waiting = asyncio.create_task(client.call_tool("x"))
            await here.wait()
            assert [tool.name async for tool in client.tools()] == ["x"]
            assert not (await asyncio.wait({waiting}, timeout=1))[0]
            gate.set()
            assert (await waiting).text == "done"


async def test_kept_lists_are_private_to_the_login() -> None:
    """Another person on the same client finds nothing of the first one's."""
    async with World() as world:
        credentials = world.credentials(world.oauth(tokens=MemoryTokens()))
        async with world.client(credentials) as client:
            for _ in range(3):
                assert [tool.name async for tool in client.tools()] == ["x"]
            assert len([seen for seen in world.mcp.at("/mcp") if b"tools/list" in seen.body]) == 1
            await credentials.log_in()
            assert [tool.name async for tool in client.tools()] == ["x"]
            assert len([seen for seen in world.mcp.at("/mcp") if b"tools/list" in seen.body]) == 2
        await credentials.close()


async def test_a_refresh_keeps_what_is_private_to_the_login() -> None:
    async with World() as world:
        credentials = world.credentials()
        first = (await credentials.log_in()).login_id
        credentials._clock = lambda: 4e9
        world.token_answer = lambda seen: {**world.issue(""), "expires_in": 3e9}
        await credentials.headers("POST", world.resource)
        assert world.grants()[-1] == "refresh_token"
        assert credentials.cache_scope() == first


# A token of one's own


async def test_a_token_of_ones_own() -> None:
    async with World() as world:
        world.valid = {"mine": set()}
        assert await world.use(Bearer("mine")) == "done"
        with pytest.raises(LoginRequired):
            await world.use(Bearer("other"))
        assert world.issuer.seen == []
        assert "mine" not in repr(Bearer("mine"))


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_a_function_gives_the_token_that_is_good_now(asynchronous: bool) -> None:
    async with World() as world:
        given: list[str] = []

        def now() -> str:
            given.append("x")
            return f"mine-{1 if len(given) > 2 else 0}"

        async def later() -> str:
            return now()

        world.valid = {"mine-0": set()}
        async with world.client(Bearer(later if asynchronous else now)) as client:
            await client.call_tool("x")
            world.valid = {"mine-1": set()}
            assert (await client.call_tool("x")).text == "done"
            world.valid = {}
            with pytest.raises(LoginRequired):
                await client.call_tool("x")


@pytest.mark.hostile
@pytest.mark.parametrize("token", ["", "a b", "a\r\nX: y", "\u00e9", "x" * 70000])
async def test_what_is_no_token_is_not_sent(token: str) -> None:
    with pytest.raises(LocalProtocolError, match="visible ASCII"):
        Bearer(token)
    async with World() as world:
        with pytest.raises(LocalProtocolError, match="visible ASCII"):
            await world.use(Bearer(lambda: token))
        assert world.mcp.seen == []


async def test_a_token_goes_to_its_origin_and_not_in_the_clear() -> None:
    auth = Bearer("mine").client_auth("https://server.example/mcp")
    assert await auth.headers("POST", "https://server.example/other") == {"authorization": "Bearer mine"}
    assert await auth.headers("POST", "https://evil.example/mcp") == {}
    with pytest.raises(LocalProtocolError, match="use https"):
        Bearer("mine").client_auth("http://server.example/mcp")
    assert Bearer("mine", allow_http=True).client_auth("http://server.example/mcp")


@pytest.mark.hostile
@pytest.mark.parametrize(
    "auth",
    [
        OAuth(),
        ClientCredentials("me", issuer="https://issuer.example", client_secret="s3cret"),
        WorkloadIdentity("me", issuer="https://issuer.example", assertion="s3cret"),
        EnterpriseManaged(
            "me",
            issuer="https://issuer.example",
            idp_issuer="https://idp.example",
            idp_client_id="me",
            subject_token="s3cret",
        ),
        "oauth",
        Bearer("s3cret"),
    ],
    ids=lambda auth: auth if isinstance(auth, str) else type(auth).__name__,
)
@pytest.mark.parametrize("host", ["server.example", "10.0.0.7", "192.168.1.2:8080", "localhost.evil.example"])
def test_r87_no_credentials_go_over_plain_http_to_another_machine(auth: Any, host: str) -> None:
    """Of these only a token of one's own has a way out, with a name: what a person logs in to is never in the clear."""
    with pytest.raises(LocalProtocolError, match="use https") as caught:
        resolve(auth, f"http://{host}/mcp")
    assert "s3cret" not in str(caught.value)
    assert resolve(auth, f"https://{host}/mcp")
    assert resolve(auth, "http://127.0.0.1:8000/mcp")


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_r137_what_one_token_got_is_not_shown_for_another(asynchronous: bool) -> None:
    """A function speaks for several callers in turn: the list that was private to one is not the next one's."""
    async with World() as world:
        who = ["ann"]

        async def later() -> str:
            return who[0]

        world.valid = {"ann": set(), "eve": set()}
        async with world.client(Bearer(later if asynchronous else lambda: who[0])) as client:
            for name in ("ann", "ann", "eve", "ann"):
                who[0] = name
                assert [tool.name async for tool in client.tools()] == ["x"]
        lists = [seen.headers["authorization"] for seen in world.mcp.at("/mcp") if b"tools/list" in seen.body]
        assert lists == [
            f"Bearer {name}" for name in (["ann", "ann", "eve", "ann"] if asynchronous else ["ann", "eve"])
        ]


async def test_what_headers_of_a_function_got_is_private_to_nobody() -> None:
    async with World() as world:
        who = ["ann"]
        world.valid = {"ann": set(), "eve": set()}
        resource, headers = world.resource, lambda: {"authorization": f"Bearer {who[0]}"}
        async with Client(resource, headers=headers, revision="2026-07-28") as client:
            for name in ("ann", "eve"):
                who[0] = name
                assert [tool.name async for tool in client.tools()] == ["x"]
        lists = [seen.headers["authorization"] for seen in world.mcp.at("/mcp") if b"tools/list" in seen.body]
        assert lists == ["Bearer ann", "Bearer eve"]


# What can be given


@pytest.mark.parametrize("given", ["a-token", 5, OAuth, Bearer, object()])
def test_what_nothing_can_be_made_of(given: Any) -> None:
    with pytest.raises(LocalProtocolError):
        resolve(given, "https://server.example/mcp")
    with pytest.raises(LocalProtocolError):
        Client("https://server.example/mcp", auth=given)


def test_credentials_are_for_servers_over_http() -> None:
    with pytest.raises(LocalProtocolError):
        Client(App("x"), auth="oauth")


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="timeout"):
        OAuth(timeout=0)
    assert "s3cret" not in repr(OAuth(client_id="a", client_secret="s3cret", issuer="https://a.example"))
