"""What the page asks of the Inspector, path by path.

Theory of operation. Reading is GET, everything else POST, PATCH or DELETE, with JSON in and out. Nothing here decides
anything: each route reads its request, calls the Inspection and answers with a view.

Specification: none; the page's ``api.ts`` is the other half.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dovetail import DovetailError
from dovetail.recording import CaptureInvalid
from dovetail.revisions import REVISIONS

from ..inspection import Inspection
from ..session.calls import CallRequest
from ..session.failing import error_view
from ..session.importing import configured_hosts, target_of_host
from ..session.questions import AnswerRefused, PersonAnswer
from ..views import ConnectionSettings, ErrorView, ListView, ServerTarget, StateView
from .answers import BadRequest, answer, body_of, refusal

__all__ = ["routes"]

_LISTS: Final = ("tools", "resources", "templates", "prompts")
_MOST_RECORDS: Final = 2000

Handler = Callable[[Request], Awaitable[Response]]


class _NewServer(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    name: str
    target: ServerTarget
    settings: ConnectionSettings = ConnectionSettings()
    connect: bool = False


class _ServerChange(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    name: str | None = None
    target: ServerTarget | None = None
    settings: ConnectionSettings | None = None


class _Import(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    host: str
    name: str
    connect: bool = False


class _Sent(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    server: str
    body: Any


class _TranscriptChange(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    name: str


def routes(inspection: Inspection) -> list[Route]:
    """The routes of an Inspection."""
    here = _Routes(inspection)
    table: list[tuple[str, str, Handler]] = [
        ("GET", "/api/state", here.state),
        ("POST", "/api/servers", here.add_server),
        ("POST", "/api/servers/import", here.import_server),
        ("GET", "/api/hosts", here.hosts),
        ("PATCH", "/api/servers/{id}", here.change_server),
        ("DELETE", "/api/servers/{id}", here.remove_server),
        ("POST", "/api/servers/{id}/connect", here.connect),
        ("POST", "/api/servers/{id}/disconnect", here.disconnect),
        ("GET", "/api/servers/{id}/info", here.info),
        *(("GET", f"/api/servers/{{id}}/{kind}", here.lister(kind)) for kind in _LISTS),
        ("POST", "/api/servers/{id}/calls", here.call),
        ("GET", "/api/calls/{id}", here.called),
        ("POST", "/api/calls/{id}/cancel", here.cancel),
        ("POST", "/api/questions/{id}", here.answered),
        ("GET", "/api/transcripts/{id}/records", here.records),
        ("GET", "/api/transcripts/{id}/records/{n:int}", here.record),
        ("POST", "/api/transcripts/{id}/send", here.send),
        ("GET", "/api/transcripts/{id}/findings", here.findings),
        ("PATCH", "/api/transcripts/{id}", here.rename),
        ("DELETE", "/api/transcripts/{id}", here.forget),
        ("POST", "/api/captures", here.open_capture),
    ]
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

    async def connect(self, request: Request) -> Response:
        server = self._inspection.server(request.path_params["id"])
        server.connect()
        return answer(server.view)

    async def disconnect(self, request: Request) -> Response:
        server = self._inspection.server(request.path_params["id"])
        await server.disconnect()
        return answer(server.view)

    async def info(self, request: Request) -> Response:
        return answer(self._inspection.server(request.path_params["id"]).info())

    def lister(self, kind: str) -> Handler:
        """What lists one kind of thing."""

        async def listed(request: Request) -> Response:
            items = await self._inspection.server(request.path_params["id"]).listed(kind)
            return answer(ListView(items=items))

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

    # Conversations

    async def records(self, request: Request) -> Response:
        found = self._inspection.transcript(request.path_params["id"])
        start, limit = _number(request, "start", 1), _number(request, "limit", 200)
        query = request.query_params.get("query", "")
        return answer(await asyncio.to_thread(found.page, start, min(limit, _MOST_RECORDS), query))

    async def record(self, request: Request) -> Response:
        found = self._inspection.transcript(request.path_params["id"])
        return answer(await asyncio.to_thread(found.detail, request.path_params["n"]))

    async def send(self, request: Request) -> Response:
        wanted = await body_of(request, _Sent)
        body = wanted.body
        if not isinstance(body, dict) or not isinstance(body.get("method"), str):  # pyright: ignore[reportUnknownMemberType] - any JSON
            raise BadRequest("a request or notification can be sent: an object with a method")
        message: dict[str, Any] = msgspec.convert(body, dict[str, Any])
        params = message.get("params")
        call = CallRequest(
            kind="request",
            method=message["method"],
            params=msgspec.convert(params, dict[str, Any]) if params is not None else None,
            notification="id" not in message,
        )
        return answer(self._inspection.call(wanted.server, call), 201)

    async def findings(self, request: Request) -> Response:
        return answer({"rules": self._inspection.transcript(request.path_params["id"]).rules()})

    async def rename(self, request: Request) -> Response:
        wanted = await body_of(request, _TranscriptChange)
        return answer(self._inspection.rename(request.path_params["id"], wanted.name))

    async def forget(self, request: Request) -> Response:
        self._inspection.forget(request.path_params["id"])
        return answer({})

    async def open_capture(self, request: Request) -> Response:
        name = request.query_params.get("name", "a capture")
        return answer(self._inspection.take_capture(await request.body(), name[:200]), 201)


def _number(request: Request, name: str, default: int) -> int:
    """A number of the query. Raises `BadRequest`."""
    given = request.query_params.get(name)
    if given is None:
        return default
    if not given.isdecimal() or len(given) > 12:
        raise BadRequest(f"{name} is a number")
    return int(given)
