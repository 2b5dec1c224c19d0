"""Attack: a proxy of the environment, or a resolver that lies, takes what is for ``x.localhost`` off this machine,
where it goes unencrypted.
"""

from __future__ import annotations

import socket
from typing import Any

import pytest
from login_stage import REVISION, Stage, World, answer_message

from dovetail import Client
from dovetail.auth import Bearer, ClientCredentials
from dovetail.protocol.bindings.origins import is_local_name
from dovetail.protocol.errors import ConnectFailed, DovetailError
from dovetail.security.fetching import Fetcher, FetchFailed, FetchRefused
from dovetail.transports.http1.client import origins
from dovetail.transports.http1.client.aiohttp_backend import AiohttpBackend
from dovetail.transports.http1.client.proxies import proxy_for
from dovetail.transports.http_client.transport import HTTPTransport

TOKEN = "secret-token"
LOCAL = [
    "localhost",
    "mcp.localhost",
    "a.b.localhost",
    "MCP.LocalHost",
    "mcp.localhost.",
    "127.0.0.1",
    "127.9.9.9",
]
REMOTE = [
    "localhost.example",
    "notlocalhost",
    "127.0.0.1.example",
    "128.0.0.1",
    "localhost.evil",
    "::2",
    "127.1",
    "",
]


def at(url: str, name: str) -> str:
    """The same place by another name of this machine."""
    return url.replace("127.0.0.1", name)


@pytest.mark.parametrize("host", LOCAL)
def test_names_of_this_machine(host: str) -> None:
    assert is_local_name(host)


@pytest.mark.parametrize("host", REMOTE)
def test_names_that_only_look_like_it(host: str) -> None:
    assert not is_local_name(host)


@pytest.mark.hostile
@pytest.mark.parametrize("name", ["mcp.localhost", "a.mcp.localhost", "MCP.localhost"])
@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
async def test_no_proxy_of_the_environment_sees_a_token(
    name: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Stage() as proxy, Stage() as server:
        server.routes["/mcp"] = lambda seen: answer_message(seen.json)
        monkeypatch.setenv(variable, proxy.url)
        url = at(f"{server.url}/mcp", name)
        assert proxy_for(url) is None
        assert proxy_for("http://server.example/mcp") == proxy.url
        async with Client(url, auth=Bearer(TOKEN), revision=REVISION) as client:
            assert (await client.call_tool("x")).text == "done"
        assert proxy.seen == []
        assert {seen.headers["authorization"] for seen in server.seen} == {f"Bearer {TOKEN}"}


class Liar:
    """A resolver that says of every name that it is somewhere else, and notes where connections were tried."""

    ELSEWHERE = "192.0.2.7"

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[Any] = []
        self.tried: list[Any] = []
        monkeypatch.setattr(socket, "getaddrinfo", self.resolve)
        monkeypatch.setattr(origins, "_open", self.open)
        monkeypatch.setattr("asyncio.selector_events.BaseSelectorEventLoop.sock_connect", self.connect)

    def resolve(self, host: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
        self.asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (self.ELSEWHERE, int(port or 0)))]

    async def open(self, loop: Any, address: Any) -> Any:
        self.tried.append(address)
        raise OSError("nothing leaves this machine in a test")

    async def connect(self, sock: Any, address: Any) -> None:
        self.tried.append(address)
        raise OSError("nothing leaves this machine in a test")


@pytest.mark.hostile
@pytest.mark.parametrize("name", ["mcp.localhost", "localhost", "mcp.localhost."])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_no_resolver_leads_a_token_elsewhere(
    name: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    liar = Liar(monkeypatch)
    url = f"{scheme}://{name}:8765/mcp"
    for backend in (None, AiohttpBackend()):
        transport = HTTPTransport(url, auth=Bearer(TOKEN).client_auth(url), backend=backend)
        with pytest.raises(ConnectFailed):
            async with Client(transport, revision=REVISION):
                pass
        if backend is not None:
            await backend.close()
    assert liar.tried == []
    assert {*liar.asked} <= {"localhost"}, "nobody is asked about names below it"


@pytest.mark.hostile
@pytest.mark.parametrize("url", ["http://auth.localhost:9/token", "https://auth.localhost/token"])
async def test_no_resolver_leads_a_login_elsewhere(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refresh tokens, codes and secrets go to authorization servers by another way, which is as strict."""
    liar = Liar(monkeypatch)
    async with Fetcher(allow_loopback=True) as fetcher:
        with pytest.raises((FetchRefused, FetchFailed)):
            await fetcher.post_form(url, {"refresh_token": TOKEN})
    assert liar.tried == []
    assert {*liar.asked} <= {"localhost"}


@pytest.mark.hostile
async def test_a_name_of_this_machine_is_no_way_to_this_machine_where_that_is_not_allowed() -> None:
    async with Stage() as inside:
        port = inside.url.rpartition(":")[2]
        for url in (
            f"https://auth.localhost:{port}/x",
            f"http://auth.localhost:{port}/x",
            f"https://localhost:{port}/x",
        ):
            async with Fetcher() as fetcher:
                with pytest.raises(FetchRefused):
                    await fetcher.get(url)
        assert inside.seen == []


async def test_everything_works_by_such_a_name() -> None:
    """Server and authorization server below localhost, with nothing that resolves these names."""
    async with World() as world:
        world.resource = at(world.resource, "mcp.localhost")
        issuer = at(world.issuer.url, "auth.localhost")
        world.metadata = {
            name: at(value, "auth.localhost") if isinstance(value, str) else value
            for name, value in world.metadata.items()
        }
        world.resource_metadata |= {"resource": world.resource, "authorization_servers": [issuer]}
        world.challenge = "Bearer"
        auth = ClientCredentials(
            "me", issuer=issuer, client_secret="a-secret", auth_method="client_secret_post"
        )
        async with Client(world.resource, auth=auth, revision=REVISION) as client:
            assert (await client.call_tool("x")).text == "done"
        assert world.issuer.at("/token")[0].form["resource"] == world.resource


async def test_credentials_go_to_such_names_in_the_clear_and_to_no_others() -> None:
    for name in ("mcp.localhost", "localhost"):
        Bearer(TOKEN).client_auth(f"http://{name}/mcp")
    for name in ("localhost.example", "notlocalhost"):
        with pytest.raises(DovetailError):
            Bearer(TOKEN).client_auth(f"http://{name}/mcp")
