"""An app for plain HTTP clients is protected by what protects the app: the same tokens, scopes and hidden tools."""

from __future__ import annotations

import httpx
from guarded import RESOURCE, issuing, notes, served

from dovetail.auth import Protected, jwt
from dovetail.openapi import rest


async def test_plain_clients_need_the_tokens_that_all_need() -> None:
    async with issuing() as issuer:
        app = notes(Protected(RESOURCE, jwt(issuer.url)))
        async with (
            served(rest(app)) as url,
            httpx.AsyncClient(base_url=url.removesuffix("/mcp"), trust_env=False) as http,
        ):
            refused = await http.post("/tools/read", json={})
            assert refused.status_code == 401
            assert refused.headers["content-type"] == "application/problem+json"
            assert "resource_metadata" in refused.headers["www-authenticate"]
            assert (await http.get("/openapi.json")).status_code == 401

            reader = {"authorization": f"Bearer {issuer.token(scope='notes:read')}"}
            assert (await http.post("/tools/read", json={}, headers=reader)).text == "read"
            lacking = await http.post("/tools/write", json={}, headers=reader)
            assert lacking.status_code == 403
            assert "insufficient_scope" in lacking.headers["www-authenticate"]
            hidden = await http.post("/tools/destroy", json={}, headers=reader)
            assert hidden.status_code == 404

            document = (await http.get("/openapi.json", headers=reader)).json()
            assert "/tools/destroy" not in document["paths"]
            assert document["security"] == [{"bearer": []}]
            other = {
                "authorization": f"Bearer {issuer.token(scope='notes:read', aud='https://other.example/mcp')}"
            }
            assert (await http.post("/tools/read", json={}, headers=other)).status_code == 401
