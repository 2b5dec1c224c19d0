"""What is answered: JSON of views, and errors that say what to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..nesting import deeper
from ..views import ErrorView

__all__ = ["BadRequest", "Handler", "RouteRow", "answer", "body_of", "refusal"]

Handler = Callable[[Request], Awaitable[Response]]
RouteRow = tuple[str, str, Handler]
"""A method, a path, and what answers."""

T = TypeVar("T")
_DEEPEST: Final = 500
"""Levels of JSON. What is kept is encoded anew within other things, and has to stay well below what Python can do."""


class BadRequest(ValueError):
    """A request that can't be understood. ``status``: of the answer."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def answer(value: Any, status: int = 200) -> Response:
    """A value as JSON."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def refusal(error: ErrorView, status: int) -> Response:
    """Why something was not done."""
    return answer({"error": error}, status)


async def body_of(request: Request, kind: type[T]) -> T:
    """The body of a request, as JSON of a type. Raises `BadRequest`."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise BadRequest("send JSON, as Content-Type: application/json", 415)
    body = await request.body()
    if deeper(body, _DEEPEST):
        raise BadRequest(f"the body is nested deeper than {_DEEPEST} levels")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise BadRequest(f"the body is not what is wanted here: {problem}") from None
