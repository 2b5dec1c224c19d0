"""What the page asks of relays in between: which run, and the faults that they inject.

Specification: none; docs/in-between.md.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from dovetail.recording import CaptureInvalid

from ..between.faults import fault_from_words
from ..between.live import LiveRelay, LiveUnavailable, Steering, live_relays
from ..inspection import Inspection
from .answers import BadRequest, RouteRow, answer, body_of

__all__ = ["relay_routes"]

_SEPARATOR: Final = ":"


class _NewFault(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    relay: str
    words: str


def relay_routes(inspection: Inspection) -> list[RouteRow]:
    """Their rows."""
    here = _RelayRoutes(inspection)
    return [
        ("GET", "/api/faults", here.faults),
        ("POST", "/api/faults", here.add),
        ("DELETE", "/api/faults/{id}", here.remove),
    ]


class _RelayRoutes:
    def __init__(self, inspection: Inspection) -> None:
        self._inspection: Final = inspection

    async def faults(self, request: Request) -> Response:
        del request
        return await self._all()

    async def add(self, request: Request) -> Response:
        wanted = await body_of(request, _NewFault)
        relay = await asyncio.to_thread(_relay, wanted.relay)
        await asyncio.to_thread(Steering(relay).add, fault_from_words(wanted.words))
        return await self._all()

    async def remove(self, request: Request) -> Response:
        name, _, number = request.path_params["id"].rpartition(_SEPARATOR)
        if not number.isdecimal():
            raise LookupError(f"there is no fault {request.path_params['id']}")
        relay = await asyncio.to_thread(_relay, name)
        if not await asyncio.to_thread(Steering(relay).remove, int(number)):
            raise LookupError(f"{name} has no fault {number}")
        return await self._all()

    async def _all(self) -> Response:
        try:
            relays = await asyncio.to_thread(live_relays)
        except LiveUnavailable:
            relays = []  # there are none where there can be none
        for each in relays:
            if self._transcript_of(each) is None:
                with suppress(OSError, CaptureInvalid):  # it is gone, or has not begun
                    self._inspection.open_capture(Path(each.capture), each.name, live=True)
        return answer({"relays": [await asyncio.to_thread(self._shown, each) for each in relays]})

    def _shown(self, relay: LiveRelay) -> dict[str, Any]:
        faults: list[dict[str, Any]] = []
        problem = ""
        try:
            for each in Steering(relay).faults():
                counted = {"matched": each.matched, "struck": each.struck}
                faults.append(
                    {"id": f"{relay.name}{_SEPARATOR}{each.number}", "words": each.fault, **counted}
                )
        except LiveUnavailable as failure:
            problem = str(failure)
        shown = msgspec.to_builtins(relay)
        return {**shown, "transcript": self._transcript_of(relay), "faults": faults, "problem": problem}

    def _transcript_of(self, relay: LiveRelay) -> str | None:
        path = Path(relay.capture)
        return next((id for id, each in self._inspection.transcripts.items() if each.path == path), None)


def _relay(name: str) -> LiveRelay:
    """The relay of a name. Raises `LookupError`, `BadRequest` where none can be steered."""
    try:
        found = next((each for each in live_relays() if each.name == name), None)
    except LiveUnavailable as problem:
        raise BadRequest(str(problem)) from None
    if found is None:
        raise LookupError(f"no relay {name} runs any more")
    return found
