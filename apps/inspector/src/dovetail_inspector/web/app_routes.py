"""What the page asks of views of apps: opening one, carrying its messages, and what is around it.

Specification: MCP Apps 2026-01-26, "Sandbox proxy".
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..app_views.hosting import AppSurroundings
from ..inspection import Inspection
from .answers import BadRequest, RouteRow, answer, body_of
from .sandbox import Sandbox

__all__ = ["app_routes"]


class _ViewWanted(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    call: str
    around: AppSurroundings


class _CarriedMessages(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    messages: list[str] = []
    too_long: list[int] = []
    missed: int = 0


class _ModeWanted(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    mode: Literal["inline", "fullscreen"]


def app_routes(inspection: Inspection, sandbox: Sandbox) -> list[RouteRow]:
    """Their rows."""
    here = _AppRoutes(inspection, sandbox)
    return [
        ("POST", "/api/servers/{id}/apps", here.open),
        ("POST", "/api/apps/{id}/messages", here.carry),
        ("GET", "/api/apps/{id}/messages/{n}", here.message),
        ("POST", "/api/apps/{id}/around", here.surround),
        ("POST", "/api/apps/{id}/mode", here.show),
        ("DELETE", "/api/apps/{id}", here.close),
    ]


class _AppRoutes:
    def __init__(self, inspection: Inspection, sandbox: Sandbox) -> None:
        self._apps: Final = inspection.apps
        self._sandbox: Final = sandbox

    async def open(self, request: Request) -> Response:
        wanted = await body_of(request, _ViewWanted)
        host = request.headers.get("host", "")
        if not self._sandbox.reserve(host):
            raise BadRequest(
                "views have an address of their own only where the page is at 127.0.0.1 or localhost"
            )
        await self._sandbox.start()
        view = await self._apps.open(
            request.path_params["id"],
            wanted.call,
            wanted.around,
            frame=lambda id: self._sandbox.place(id, host),
            own_ports=self._sandbox.ports,
        )
        return answer(view, 201)

    async def carry(self, request: Request) -> Response:
        carried = await body_of(request, _CarriedMessages)
        self._apps.receive(
            request.path_params["id"], carried.messages, too_long=carried.too_long, missed=carried.missed
        )
        return answer({})

    async def message(self, request: Request) -> Response:
        given = request.path_params["n"]
        if not given.isdecimal() or len(given) > 12:
            raise LookupError("a message has a number")
        return answer(self._apps.message(request.path_params["id"], int(given)))

    async def surround(self, request: Request) -> Response:
        around = await body_of(request, AppSurroundings)
        self._apps.surround(request.path_params["id"], around)
        return answer({})

    async def show(self, request: Request) -> Response:
        wanted = await body_of(request, _ModeWanted)
        self._apps.show(request.path_params["id"], wanted.mode)
        return answer(self._apps.view(request.path_params["id"]))

    async def close(self, request: Request) -> Response:
        return answer(self._apps.close(request.path_params["id"]))
