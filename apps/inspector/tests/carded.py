"""A server over HTTP with a card beside its endpoint, whatever is written in it and however it is served."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from dovetail import App
from dovetail.testing import served

__all__ = ["HEADERS", "Carded", "card_of", "carded"]

HEADERS = {
    "content-type": "application/mcp-server-card+json",
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET",
    "access-control-expose-headers": "ETag",
    "cache-control": "public, max-age=3600",
    "etag": '"1"',
}


def card_of(url: str, **members: Any) -> dict[str, Any]:
    """The card that the server of `carded` should have; a member that is None is left out."""
    card = {
        "$schema": "https://static.modelcontextprotocol.io/schemas/v1/server-card.schema.json",
        "name": "com.example/weather",
        "title": "Weather",
        "version": "1.2.0",
        "description": "Tells the weather.",
        "websiteUrl": "https://example.com/weather",
        "remotes": [{"type": "streamable-http", "url": url, "supportedProtocolVersions": ["2026-07-28"]}],
        **members,
    }
    return {name: each for name, each in card.items() if each is not None}


class Carded:
    """The server. ``url``: its endpoint; ``asked``: the headers of each request for the card. What is ``body`` is the
    card, with ``status`` and ``headers``.
    """

    def __init__(self) -> None:
        self.app = App(
            "com.example/weather",
            version="1.2.0",
            title="Weather",
            description="Tells the weather.",
            website_url="https://example.com/weather",
        )
        self.app.add_tool(lambda: "sun", name="forecast", description="Tell it.")
        self.url = ""
        self.status = 200
        self.headers = dict(HEADERS)
        self.body = b""
        self.asked: list[dict[str, str]] = []
        self._endpoint: Any = self.app.asgi()

    def write(self, card: Any) -> None:
        """Have another card."""
        self.body = json.dumps(card).encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Be an ASGI application."""
        if scope["type"] != "http" or not scope["path"].endswith("/server-card"):
            await self._endpoint(scope, receive, send)
            return
        sent = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.asked.append(sent)
        status, body = self.status, self.body
        if status == 200 and sent.get("if-none-match") == self.headers.get("etag", ""):
            status, body = 304, b""
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def carded() -> AsyncIterator[Carded]:
    """A server with a right card, on a port of this machine."""
    server = Carded()
    async with served(server) as url:
        server.url = url
        server.write(card_of(url))
        yield server
