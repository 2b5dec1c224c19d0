"""The extensions of authorization, from both sides: who declares them, who is refused, and what they are made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import aiohttp
import pytest

from dovetail import App, Client, MissingCapability
from dovetail.auth import ClientCredentials, EnterpriseManaged, OAuth, WorkloadIdentity, extension_names
from dovetail.auth.login import MemoryTokens
from dovetail.extensions import Extension
from dovetail.extensions.authorization import client_credentials, dpop, enterprise_managed, workload_identity
from dovetail.testing import Frame, connected, served, watch_wire

ISSUER = "http://127.0.0.1:1"
OWN = "com.example/own"
STATELESS, STATEFUL = "2026-07-28", "2025-11-25"
VALUES = {
    extension_names.CLIENT_CREDENTIALS: client_credentials,
    extension_names.ENTERPRISE_MANAGED: enterprise_managed,
    extension_names.WORKLOAD_IDENTITY: workload_identity,
    extension_names.DPOP: dpop,
}
SETTINGS: dict[str, Any] = {
    extension_names.CLIENT_CREDENTIALS: ClientCredentials("me", issuer=ISSUER, client_secret="x"),
    extension_names.ENTERPRISE_MANAGED: EnterpriseManaged(
        "me", issuer=ISSUER, client_secret="x", idp_issuer=ISSUER, idp_client_id="i", subject_token="t"
    ),
    extension_names.WORKLOAD_IDENTITY: WorkloadIdentity("me", issuer=ISSUER, assertion="t"),
    extension_names.DPOP: OAuth(dpop=True, tokens=MemoryTokens()),
}
each_of_them = pytest.mark.parametrize("identifier", VALUES)


def shop(*extensions: Extension) -> App:
    app = App("shop", extensions=extensions)

    @app.tool
    def bake() -> str:
        """Bake."""
        return "a loaf"

    @app.resource("shop://menu")
    def menu() -> str:
        return "bread"

    @app.method(OWN)
    def own() -> dict[str, Any]:
        return {}

    return app


def declared(sent: list[bytes]) -> list[Mapping[str, Any] | None]:
    """What each request said of extensions."""
    metas = [message["params"]["_meta"] for each in sent if "method" in (message := json.loads(each))]
    return [each["io.modelcontextprotocol/clientCapabilities"].get("extensions") for each in metas]


def test_the_names_are_those_of_the_wire() -> None:
    """Spelled out here once more: they may not change."""
    prefix = "io.modelcontextprotocol"
    assert [make().identifier for make in VALUES.values()] == [
        f"{prefix}/oauth-client-credentials",
        f"{prefix}/enterprise-managed-authorization",
        f"{prefix}/auth/wif",
        f"{prefix}/auth/dpop",
    ]


@each_of_them
async def test_a_setting_declares_what_it_is_with_every_request(identifier: str) -> None:
    """And so a server that requires it takes the client, which was told of no extension."""
    async with served(shop(VALUES[identifier](required=True)).asgi()) as url:
        frames: list[Frame] = []
        unwatch = watch_wire(frames.append)
        try:
            async with Client(url, auth=SETTINGS[identifier], revision=STATELESS) as client:
                assert (await client.call_tool("bake")).text == "a loaf"
                assert client.server_capabilities is not None
                assert client.server_capabilities.extensions == {identifier: {}}
        finally:
            unwatch()
    said = declared([each.data for each in frames if each.role == "client" and each.sent])
    assert len(said) >= 2
    assert all(each == {identifier: {}} for each in said)


@pytest.mark.vendor_methods(OWN)
@each_of_them
@pytest.mark.parametrize("transport", ["memory", "stdio", "http-json"])
async def test_who_did_not_declare_it_is_refused(identifier: str, transport: Any) -> None:
    app = shop(VALUES[identifier](required=True))
    asked = [
        lambda client: client.call_tool("bake"),
        lambda client: client.list_tools(),
        lambda client: client.read("shop://menu"),
        lambda client: client.request(OWN),
    ]
    async with connected(app, transport=transport, revision=STATELESS) as client:
        assert client.server_capabilities is not None
        assert client.server_capabilities.extensions == {identifier: {}}
        for ask in asked:
            with pytest.raises(MissingCapability, match=identifier) as refused:
                await ask(client)
            assert refused.value.code == -32021
            assert refused.value.required == {"extensions": {identifier: {}}}
        with pytest.raises(MissingCapability):
            async with client.listen(tools=True):
                pass
    value = VALUES[identifier]()
    async with connected(app, transport=transport, revision=STATELESS, extensions=[value]) as client:
        assert (await client.call_tool("bake")).text == "a loaf"
        assert (await client.read("shop://menu")).contents[0].uri == "shop://menu"
        await client.request(OWN)


async def test_it_is_a_status_400_over_http() -> None:
    headers = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": STATELESS,
        "mcp-method": "tools/list",
    }
    meta = {
        "io.modelcontextprotocol/protocolVersion": STATELESS,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "c", "version": "1"},
    }
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}
    async with (
        served(shop(client_credentials(required=True)).asgi()) as url,
        aiohttp.ClientSession() as session,
        session.post(url, json=message, headers=headers) as response,
    ):
        assert (response.status, (await response.json())["error"]["code"]) == (400, -32021)


async def test_where_nobody_can_declare_it_nobody_is_refused() -> None:
    async with connected(shop(client_credentials(required=True)), revision=STATEFUL) as client:
        assert client.server_capabilities is not None
        assert client.server_capabilities.extensions is None
        assert (await client.call_tool("bake")).text == "a loaf"


async def test_what_is_not_required_is_announced_and_asked_of_nobody() -> None:
    async with connected(shop(client_credentials(), dpop()), revision=STATELESS) as client:
        assert client.server_capabilities is not None
        assert client.server_capabilities.extensions == {
            extension_names.CLIENT_CREDENTIALS: {},
            extension_names.DPOP: {},
        }
        assert (await client.call_tool("bake")).text == "a loaf"


async def test_a_setting_of_anybodys_declares_its_extensions_too() -> None:
    """By an attribute with plain data, as ours do."""

    class Badge:
        extensions: ClassVar = {"com.example/badge": {"colour": "red"}}

        async def headers(self, method: str, url: str) -> Mapping[str, str]:
            return {}

        async def refused(self, refusal: object) -> bool:
            return False

        def answered(self, url: str, headers: Mapping[str, str]) -> None: ...

        async def close(self) -> None: ...

    badge = Extension(identifier="com.example/badge", required=True)
    async with served(shop(badge).asgi()) as url, Client(url, auth=Badge(), revision=STATELESS) as client:
        assert (await client.call_tool("bake")).text == "a loaf"
