"""What the page asks of the Inspector, path by path.

Theory of operation. Reading is GET, everything else POST, PATCH or DELETE, with JSON in and out. Nothing here decides
anything: each route reads its request, calls the Inspection and answers with a view.

Specification: none; the page's ``api.ts`` is the other half.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dovetail import DovetailError
from dovetail.recording import CaptureInvalid
from dovetail.revisions import REVISIONS

from ..inspection import Inspection, ListedKind
from ..session.calls import CallRequest
from ..session.failing import error_view
from ..session.importing import configured_hosts, target_of_host
from ..session.questions import AnswerRefused, PersonAnswer
from ..views import ConnectionSettings, ErrorView, ServerTarget, StateView
from .answers import BadRequest, Handler, RouteRow, answer, body_of, refusal
from .capture_routes import capture_routes
from .check_routes import check_routes
from .login_routes import login_routes
from .relay_routes import relay_routes
from .skill_routes import skill_routes

__all__ = ["routes"]

_LISTS: Final[tuple[ListedKind, ...]] = ("tools", "resources", "templates", "prompts")
_LOGS: Final = 4 * 1024 * 1024
"""Bytes of log messages that a page is given when it opens."""


class _NewServer(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    name: str
    target: ServerTarget
    settings: ConnectionSettings = ConnectionSettings()
    connect: bool = False


class _ServerChange(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    name: str | None = None
    target: ServerTarget | None = None
    settings: ConnectionSettings | None = None


class _CardWanted(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    url: str = ""


class _Secret(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    name: str
    value: str = ""

    def __repr__(self) -> str:
        return f"<the secret {self.name!r}>"


class _PlaceChange(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    by: int


class _Import(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    host: str
    name: str
    connect: bool = False


def routes(inspection: Inspection, further: Sequence[RouteRow] = ()) -> list[Route]:
    """The routes of an Inspection. ``further``: rows of what more than the Inspection is needed for."""
    here = _Routes(inspection)
    table: list[RouteRow] = [
        ("GET", "/api/state", here.state),
        ("POST", "/api/servers", here.add_server),
        ("POST", "/api/servers/import", here.import_server),
        ("GET", "/api/hosts", here.hosts),
        ("PATCH", "/api/servers/{id}", here.change_server),
        ("DELETE", "/api/servers/{id}", here.remove_server),
        ("POST", "/api/servers/{id}/move", here.move),
        ("POST", "/api/servers/{id}/secrets", here.keep_secret),
        ("DELETE", "/api/servers/{id}/secrets/{name}", here.forget_secret),
        ("POST", "/api/servers/{id}/connect", here.connect),
        ("POST", "/api/servers/{id}/disconnect", here.disconnect),
        ("GET", "/api/servers/{id}/info", here.info),
        ("POST", "/api/servers/{id}/card", here.card),
        *(("GET", f"/api/servers/{{id}}/{kind}", here.lister(kind)) for kind in _LISTS),
        ("POST", "/api/servers/{id}/calls", here.call),
        ("GET", "/api/calls/{id}", here.called),
        ("POST", "/api/calls/{id}/cancel", here.cancel),
        ("POST", "/api/questions/{id}", here.answered),
        ("GET", "/api/servers/{id}/tasks", here.tasks),
        ("POST", "/api/servers/{id}/tasks/{task}/cancel", here.cancel_task),
        ("POST", "/api/servers/{id}/snapshot", here.snapshot),
        ("GET", "/api/compare/surfaces", here.surfaces),
    ]
    table += capture_routes(inspection)
    table += check_routes(inspection)
    table += login_routes(inspection)
    table += relay_routes(inspection)
    table += skill_routes(inspection)
    table += further
    return [Route(path, _guarded(handler), methods=[method]) for method, path, handler in table]


def _guarded(handler: Handler) -> Handler:
    """A handler whose failures are answers."""

    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except BadRequest as problem:
            return refusal(error_view(problem), problem.status)
        except LookupError as problem:
            message = str(problem.args[0]) if problem.args else "there is nothing of that name"
            return refusal(ErrorView(kind=type(problem).__name__, message=message), 404)
        except (AnswerRefused, CaptureInvalid, ValueError) as problem:
            return refusal(error_view(problem), 400)
        except (DovetailError, OSError) as problem:
            return refusal(error_view(problem), 502)

    return guarded


class _Routes:
    def __init__(self, inspection: Inspection) -> None:
        self._inspection: Final = inspection

    async def state(self, request: Request) -> Response:
        del request
        inspection = self._inspection
        inspection.catch_up()
        servers, transcripts = inspection.views()
        view = StateView(
            version=version("dovetail-inspector"),
            revisions=list(REVISIONS),
            servers=servers,
            transcripts=transcripts,
            questions=inspection.questions.views,
            calls=inspection.calls.views[-200:],
            logs=[msgspec.Raw(each) for each in inspection.events.newest("log", _LOGS)],
            seq=inspection.events.seq,
        )
        return answer(view)

    # Servers

    async def add_server(self, request: Request) -> Response:
        wanted = await body_of(request, _NewServer)
        server = self._inspection.add(wanted.name, wanted.target, wanted.settings, source="the page")
        if wanted.connect:
            server.connect()
        return answer(server.view, 201)

    async def hosts(self, request: Request) -> Response:
        del request
        return answer({"hosts": await asyncio.to_thread(configured_hosts, Path.cwd())})

    async def import_server(self, request: Request) -> Response:
        wanted = await body_of(request, _Import)
        target = await asyncio.to_thread(target_of_host, wanted.host, wanted.name, Path.cwd())
        server = self._inspection.add(wanted.name, target, source=wanted.host)
        if wanted.connect:
            server.connect()
        return answer(server.view, 201)

    async def change_server(self, request: Request) -> Response:
        wanted = await body_of(request, _ServerChange)
        server = self._inspection.server(request.path_params["id"])
        server.change(name=wanted.name, target=wanted.target, settings=wanted.settings)
        return answer(server.view)

    async def remove_server(self, request: Request) -> Response:
        await self._inspection.remove(request.path_params["id"])
        return answer({})

    async def keep_secret(self, request: Request) -> Response:
        """What comes in does not go out again: the answer has its name alone."""
        wanted = await body_of(request, _Secret)
        server = self._inspection.server(request.path_params["id"])
        await server.keep_secret(wanted.name, wanted.value)
        return answer(server.view)

    async def forget_secret(self, request: Request) -> Response:
        server = self._inspection.server(request.path_params["id"])
        await server.forget_secret(request.path_params["name"])
        return answer(server.view)

    async def move(self, request: Request) -> Response:
        wanted = await body_of(request, _PlaceChange)
        self._inspection.move(request.path_params["id"], wanted.by)
        return answer({"ids": list(self._inspection.servers)})

    async def connect(self, request: Request) -> Response:
        server = self._inspection.server(request.path_params["id"])
        server.connect()
        return answer(server.view)

    async def disconnect(self, request: Request) -> Response:
        server = self._inspection.server(request.path_params["id"])
        await server.disconnect()
        return answer(server.view)

    async def info(self, request: Request) -> Response:
        return answer(self._inspection.info(request.path_params["id"]))

    async def card(self, request: Request) -> Response:
        """It goes out over the network, so it is no GET, which a link could make."""
        wanted = await body_of(request, _CardWanted)
        return answer(await self._inspection.card(request.path_params["id"], wanted.url))

    def lister(self, kind: ListedKind) -> Handler:
        """What lists one kind of thing."""

        async def listed(request: Request) -> Response:
            """``?page``: one page of it alone, with ``&cursor=`` the one that this leads to."""
            id, query = request.path_params["id"], request.query_params
            if "page" in query:
                return answer(await self._inspection.listed_page(id, kind, query.get("cursor")))
            return answer(await self._inspection.listed(id, kind))

        return listed

    # Calls and questions

    async def call(self, request: Request) -> Response:
        wanted = await body_of(request, CallRequest)
        return answer(self._inspection.call(request.path_params["id"], wanted), 201)

    async def called(self, request: Request) -> Response:
        return answer(self._inspection.calls.view(request.path_params["id"]))

    async def cancel(self, request: Request) -> Response:
        return answer(self._inspection.calls.cancel(request.path_params["id"]))

    async def answered(self, request: Request) -> Response:
        given = await body_of(request, PersonAnswer)
        self._inspection.answer(request.path_params["id"], given)
        return answer({})

    # Tasks and surfaces

    async def tasks(self, request: Request) -> Response:
        """Those that the server lists, or, where it lists none, those of the calls that became one."""
        server = self._inspection.server(request.path_params["id"])
        return answer({"tasks": await server.tasks()})

    async def cancel_task(self, request: Request) -> Response:
        server = self._inspection.server(request.path_params["id"])
        return answer(await server.cancel_task(request.path_params["task"]))

    async def snapshot(self, request: Request) -> Response:
        id, surface = await self._inspection.take_snapshot(request.path_params["id"])
        return answer({"id": id, "surface": surface.to_json()})

    async def surfaces(self, request: Request) -> Response:
        from ..comparing.surfaces import compare_surfaces

        a, b = (self._inspection.snapshot(request.query_params.get(each, "")) for each in ("a", "b"))
        return answer({"changes": await asyncio.to_thread(compare_surfaces, a, b)})
