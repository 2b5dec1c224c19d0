"""What the page asks of checks: their text, keeping a call as one, running them.

Specification: none; docs/inspect-checks.md.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..inspection import Inspection
from .answers import BadRequest, RouteRow, answer, body_of

__all__ = ["check_routes"]


class _ChecksText(msgspec.Struct, forbid_unknown_fields=True):
    text: str


class _ChecksWanted(msgspec.Struct, forbid_unknown_fields=True):
    names: list[str] = []


class _KeptCall(msgspec.Struct, forbid_unknown_fields=True):
    transcript: str
    record: int


def check_routes(inspection: Inspection) -> list[RouteRow]:
    """Their rows."""
    here = _CheckRoutes(inspection)
    return [
        ("GET", "/api/checks", here.text),
        ("PUT", "/api/checks", here.keep),
        ("POST", "/api/checks/save", here.save),
        ("POST", "/api/checks/run", here.run),
    ]


class _CheckRoutes:
    def __init__(self, inspection: Inspection) -> None:
        self._inspection: Final = inspection
        self._running = asyncio.Lock()

    async def text(self, request: Request) -> Response:
        del request
        return answer({"text": self._inspection.checks.text})

    async def keep(self, request: Request) -> Response:
        self._inspection.checks.keep((await body_of(request, _ChecksText)).text)
        return answer({"text": self._inspection.checks.text})

    async def save(self, request: Request) -> Response:
        """The call of a record, as a check."""
        wanted = await body_of(request, _KeptCall)
        inspection = self._inspection
        transcript = inspection.transcript(wanted.transcript)
        server = inspection.servers.get(transcript.server or "")
        if server is None:
            raise BadRequest("its server is not among those that are looked at: add it, and call it again")
        await asyncio.to_thread(inspection.checks.save, transcript, wanted.record, server.target, server.name)
        return answer({"text": inspection.checks.text})

    async def run(self, request: Request) -> Response:
        wanted = await body_of(request, _ChecksWanted)
        async with self._running:  # one run at a time: they use the same servers
            results = await self._inspection.checks.run(tuple(wanted.names))
        return answer({"results": results})
