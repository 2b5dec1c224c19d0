"""What the page asks of skills: their list, the entry of one, a file of it, and all of its files checked.

Theory of operation. Each makes a server be asked for something, as lists and reads do.

Specification: none; docs/inspector.md.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from ..inspection import Inspection
from .answers import BadRequest, RouteRow, answer

__all__ = ["skill_routes"]


def skill_routes(inspection: Inspection) -> list[RouteRow]:
    """Their rows."""
    here = _SkillRoutes(inspection)
    return [
        ("GET", "/api/servers/{id}/skills", here.listed),
        ("GET", "/api/servers/{id}/skills/entry", here.entry),
        ("GET", "/api/servers/{id}/skills/file", here.file),
        ("GET", "/api/servers/{id}/skills/verdict", here.verdict),
    ]


class _SkillRoutes:
    def __init__(self, inspection: Inspection) -> None:
        self._inspection: Final = inspection

    async def listed(self, request: Request) -> Response:
        return answer(await self._inspection.skills(request.path_params["id"]).listed())

    async def entry(self, request: Request) -> Response:
        """As it is now, whatever was listed."""
        return answer(await self._inspection.skills(request.path_params["id"]).got(_asked(request, "skill")))

    async def file(self, request: Request) -> Response:
        skills = self._inspection.skills(request.path_params["id"])
        return answer(await skills.read(_asked(request, "skill"), _asked(request, "uri")))

    async def verdict(self, request: Request) -> Response:
        return answer(
            await self._inspection.skills(request.path_params["id"]).verified(_asked(request, "skill"))
        )


def _asked(request: Request, name: str) -> str:
    found = request.query_params.get(name, "")
    if not found:
        raise BadRequest(f"say which: ?{name}=")
    return found
