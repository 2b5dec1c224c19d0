"""A scripted `ClientAuth`, and servers that take only tokens that are new enough.

Follows: no page of the specification.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from scripted import Wire

from dovetail.security.client_auth import Refusal

CHALLENGE = {"WWW-Authenticate": 'Bearer error="invalid_token", scope="a b"'}
STEP_UP = {"WWW-Authenticate": 'Bearer error="insufficient_scope", scope="a b"'}


class Scripted:
    """A `ClientAuth` whose token is a number that each refusal raises. ``gate``: a person, who may take long."""

    def __init__(self, *, willing: bool = True) -> None:
        self.number = 0
        self.willing = willing
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()
        self.waiting = 0
        self.refusals: list[Refusal] = []
        self.heard: list[tuple[str, Mapping[str, str]]] = []
        self.calls: list[tuple[str, str]] = []

    @property
    def token(self) -> str:
        return f"Bearer secret-token-{self.number}"

    async def headers(self, method: str, url: str) -> Mapping[str, str]:
        self.calls.append((method, url))
        return {"Authorization": self.token, "DPoP": f"secret-proof-{len(self.calls)}"}

    async def refused(self, refusal: Refusal) -> bool:
        self.refusals.append(refusal)
        self.asked.set()
        self.waiting += 1
        try:
            await self.gate.wait()
        finally:
            self.waiting -= 1
        if self.willing and refusal.sent["authorization"] == self.token:
            self.number += 1
        return self.willing

    def answered(self, url: str, headers: Mapping[str, str]) -> None:
        self.heard.append((url, headers))

    async def close(self) -> None:
        raise AssertionError("what the caller brought is the caller's to close")


def accepts(wire: Wire, number: int = 1) -> bool:
    """Whether a request carries a token that is new enough."""
    return int(wire.request.headers["authorization"].rpartition("-")[2]) >= number


def guarded(script: Any, number: int = 1, status: int = 401) -> Any:
    """A server that takes only tokens from this number on."""

    async def guard(wire: Wire) -> None:
        if accepts(wire, number):
            await script(wire)
        else:
            challenge = CHALLENGE if status == 401 else STEP_UP
            await wire.answer(status, b"no", "text/plain", headers=challenge)

    return guard
