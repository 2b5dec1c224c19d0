"""What the page asks of relays in between: which run, and the faults that they inject.

Specification: none; docs/in-between.md.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..between.faults import fault_from_words
from ..between.live import LiveRelay, LiveUnavailable, Steering
from ..inspection import Inspection
from ..relays import SteeredRelay, running_relay, steered_relays
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
        return answer({"relays": [_shown(each) for each in await steered_relays(self._inspection)]})


def _shown(steered: SteeredRelay) -> dict[str, Any]:
    relay = steered.relay
    faults = [
        {
            "id": f"{relay.name}{_SEPARATOR}{each.number}",
            "words": each.fault,
            "matched": each.matched,
            "struck": each.struck,
        }
        for each in steered.faults
    ]
    shown = msgspec.to_builtins(relay)
    return {**shown, "transcript": steered.transcript, "faults": faults, "problem": steered.problem}


def _relay(name: str) -> LiveRelay:
    """The relay of a name. Raises `LookupError`, `BadRequest` where none can be steered."""
    try:
        return running_relay(name)
    except LiveUnavailable as problem:
        raise BadRequest(str(problem)) from None
