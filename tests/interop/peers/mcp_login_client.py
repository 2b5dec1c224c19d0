"""The official Python SDK as a client that logs in. Its one argument is JSON: `url`, `era`, `how`, and what that needs.

It connects, and then does what it is told, a line of JSON each on standard input: `{"do": "call", "tool": NAME}` or
`{"do": "later", "seconds": N}`, which moves its clock. It answers each with a line: `{"text": ...}` or
`{"error": ...}`; connecting counts as told, and is answered with the revision. When a person has to go somewhere it
says `{"open": URL}`, and is told `{"came_back": URL}`. It ends with its input.

Written with the SDK's public providers, as its own documentation teaches it. Runs in the environment of `mcp`.

Follows: no page of the specification; see `tests/interop/login_scene.py`.
"""

from __future__ import annotations

import asyncio
import functools
import json
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider, TokenStorage
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.client.auth.extensions.identity_assertion import IdentityAssertionOAuthProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)

CALLBACK = "http://127.0.0.1:33418/callback"


def say(**what: Any) -> None:
    """A line for the test."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def hear() -> dict[str, Any] | None:
    """What the test says next; None at the end."""
    line = await asyncio.to_thread(sys.stdin.readline)
    return json.loads(line) if line else None


class Memory(TokenStorage):
    """Tokens and the registration, for as long as the process lives."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


async def open_browser(url: str) -> None:
    """Have the test play the person."""
    say(open=url)


async def come_back() -> AuthorizationCodeResult:
    """What the redirect says."""
    told = await hear()
    query = parse_qs(urlsplit((told or {})["came_back"]).query)
    first = {name: values[0] for name, values in query.items()}
    return AuthorizationCodeResult(code=first.get("code", ""), state=first.get("state"), iss=first.get("iss"))


def provider(given: dict[str, Any]) -> Any:
    """The way to get tokens that was asked for."""
    url, machine = given["url"], {key: given[key] for key in ("client_id", "issuer") if key in given}
    if given["how"] == "secret":
        return ClientCredentialsOAuthProvider(
            url, Memory(), client_secret=given["secret"], scope=given["scope"], **machine
        )
    if given["how"] == "key":
        name = given["client_id"]
        signing = SignedJWTParameters(
            issuer=name, subject=name, signing_key=given["key"], signing_algorithm="ES256"
        )
        assertion = signing.create_assertion_provider()
        return PrivateKeyJWTOAuthProvider(
            url, Memory(), assertion_provider=assertion, scope=given["scope"], **machine
        )
    if given["how"] == "statement":

        async def statement(_audience: str, _resource: str) -> str:
            return given["statement"]

        return IdentityAssertionOAuthProvider(
            url,
            Memory(),
            client_secret=given["secret"],
            assertion_provider=statement,
            scope=given["scope"],
            **machine,
        )
    metadata = OAuthClientMetadata(client_name="the peer", redirect_uris=[CALLBACK])
    document = given.get("document")
    return OAuthClientProvider(url, metadata, Memory(), open_browser, come_back, client_metadata_url=document)


def later(real: Callable[[], float], ahead: float) -> float:
    """The time as the test will have it."""
    return real() + ahead


async def obey(client: Client) -> None:
    """Do what is told, until nothing more is."""
    real, ahead = time.time, 0.0
    while (told := await hear()) is not None:
        if told["do"] == "later":
            ahead += told["seconds"]
            time.time = functools.partial(later, real, ahead)
            say(text="later")
            continue
        try:
            result = await client.call_tool(told["tool"], {})
            text = "".join(getattr(block, "text", "") for block in result.content)
            say(**{"error" if result.is_error else "text": text})
        except Exception as error:  # noqa: BLE001 - whatever it is, the test is told
            say(error=repr(error))


async def main() -> None:
    """Connect, and obey."""
    given = json.loads(sys.argv[1])
    mode = "auto" if given["era"] >= "2026" else "legacy"
    async with httpx2.AsyncClient(auth=provider(given)) as http:
        try:
            async with Client(streamable_http_client(given["url"], http_client=http), mode=mode) as client:
                say(text=client.protocol_version)
                await obey(client)
        except BaseExceptionGroup as errors:
            say(error=repr(errors.exceptions))
        except Exception as error:  # noqa: BLE001 - whatever it is, the test is told
            say(error=repr(error))


if __name__ == "__main__":
    asyncio.run(main())
