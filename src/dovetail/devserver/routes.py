"""What an app answers beside its endpoint (`App.custom_route`), under `dovetail dev`.

Theory of operation. The parent serves HTTP, the function is in the child. For each route of the version that serves,
the parent has one of its own, which reads the body and sends it over with the head of the request; what the function
answers comes back as the events of ASGI, one by one, so that answers may take their time. Host and Origin are judged by
the parent. When the client goes away, the function is cancelled.

Specification: ASGI 3.0, "HTTP". No part of the protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from ..transports.http_server.answering import Event, HTTPRefusal, Receive, Scope, Send
from ..transports.http_server.limits import EndpointLimits
from ..transports.http_server.routes import Request, Route, found, in_order
from ..transports.http_server.settings import Settings
from . import frames
from .version import RouteRefused, Version

__all__ = ["ChildRoutes", "relays"]

_TRAVELS: Final = (
    "type", "http_version", "method", "scheme", "path", "raw_path", "query_string", "root_path", "headers", "client",
    "server",
)  # fmt: skip

Serving = Callable[[], Awaitable["Version | str"]]


def relays(routes: Sequence[tuple[str, list[str]]], serving: Serving) -> list[Route]:
    """The parent's routes for those of a version. ``serving``: the version for a request, or why there is none."""

    async def relay(request: Request) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
        body = await request.body()
        scope = {name: request.scope[name] for name in _TRAVELS if name in request.scope}

        async def answer(_: Scope, receive: Receive, send: Send) -> None:
            version = await serving()
            if isinstance(version, str):
                raise HTTPRefusal(503, f"{version}; save the file to try again")
            visiting = asyncio.ensure_future(version.visit(scope, body, send))
            leaving = asyncio.ensure_future(_left(receive))
            try:
                await asyncio.wait({visiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if visiting.done():
                    visiting.result()
            except RouteRefused as problem:
                raise HTTPRefusal(problem.status, str(problem)) from None
            finally:
                for task in (visiting, leaving):
                    task.cancel()
                await asyncio.gather(visiting, leaving, return_exceptions=True)

        return answer

    return [Route(path, relay, methods=methods) for path, methods in routes]


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class ChildRoutes:
    """The child's end: runs the functions. ``send``: sends a frame to the parent."""

    def __init__(self, routes: Sequence[Route], send: Callable[[frames.ToParent], Awaitable[None]]) -> None:
        self._routes = in_order(routes, taken=())
        self._settings = Settings()
        self._limits = EndpointLimits(self._settings)
        self._send = send

    @property
    def face(self) -> list[tuple[str, list[str]]]:
        """What the parent has to know."""
        return [(route.path, list(route.methods)) for route in self._routes]

    async def serve(self, visit: frames.RouteRequest) -> tuple[int, int, str]:
        """Run the function for a request. Gives the status that was answered, or that of a refusal and its reason.
        Raises what the function raises.
        """
        scope: dict[str, Any] = {**visit.scope, "asgi": {"version": "3.0"}}
        match = found(self._routes, Request(scope, _nothing).path)
        route = None if match is None else match.by_method(scope["method"])
        if match is None or route is None:
            return 0, 404, "there is nothing at this path any more"
        status = 0
        pending: list[Event] = [{"type": "http.request", "body": visit.body, "more_body": False}]

        async def receive() -> Event:
            return pending.pop() if pending else await _nothing()

        async def send(event: Event) -> None:
            nonlocal status
            status = event.get("status", status)
            await self._send(frames.Part(visit.number, dict(event)))

        try:
            params = {**scope, "path_params": dict(match.values)}
            await route.serve(
                Request(params, receive, settings=self._settings, limits=self._limits), send, ()
            )
        except HTTPRefusal as refusal:
            return status, refusal.status, refusal.problem.message
        return status, 0, ""


async def _nothing() -> Event:
    """What is received after the body: the client's leave, for which the task is cancelled instead."""
    return await asyncio.get_running_loop().create_future()
