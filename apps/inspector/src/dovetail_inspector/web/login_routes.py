"""What the page asks of logins: their steps, letting one go, and beginning anew.

Specification: none; docs/logging-in.md, "Step by step", says what steps are.
"""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..inspection import Inspection
from .answers import RouteRow, answer, body_of

__all__ = ["login_routes"]


class _StepWanted(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    run: bool = False


def login_routes(inspection: Inspection) -> list[RouteRow]:
    """Their rows."""
    here = _LoginRoutes(inspection)
    return [
        ("GET", "/api/servers/{id}/login", here.login),
        ("POST", "/api/servers/{id}/login/step", here.step),
        ("POST", "/api/servers/{id}/login/reset", here.reset),
    ]


class _LoginRoutes:
    def __init__(self, inspection: Inspection) -> None:
        self._inspection: Final = inspection

    async def login(self, request: Request) -> Response:
        return answer(self._inspection.server(request.path_params["id"]).logins.view)

    async def step(self, request: Request) -> Response:
        """``run``: go on without holding, until this login is over."""
        wanted = await body_of(request, _StepWanted)
        logins = self._inspection.server(request.path_params["id"]).logins
        logins.step(run=wanted.run)
        return answer(logins.view)

    async def reset(self, request: Request) -> Response:
        server = self._inspection.server(request.path_params["id"])
        await server.forget_login()
        return answer(server.logins.view)
