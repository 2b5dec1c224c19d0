"""What a ready middleware knows of the app that it is given to.

Specification: none.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from dovetail.extensions import Call, Channel, ServedTool, Serving
from dovetail.types import CallToolParams

__all__ = ["AppMiddleware"]


class AppMiddleware:
    """The part that all have which look at an app's tools, or keep something in its store. ``serving``: the app, None
    before it lives.
    """

    def __init__(self) -> None:
        self.serving: Serving | None = None
        self._entered = 0

    @asynccontextmanager
    async def lifespan(self, serving: Serving) -> AsyncGenerator[None]:
        """Around the app's life, which may be lived more than once at a time. Raises ValueError for a second app: what
        is kept of one is no other's.
        """
        if self._entered and self.serving is not None and self.serving != serving:
            raise ValueError(
                f"one {type(self).__name__} was given to the apps {self.serving.name!r} and {serving.name!r}; give each"
                " its own"
            )
        self.serving = serving
        self._entered += 1
        try:
            yield
        finally:
            self._entered -= 1

    def known_tool(self, call: Call) -> str:
        """The name of the tool that is called, if there is one of that name; else "". Who may call it was not asked."""
        params = call.params
        if not isinstance(params, CallToolParams) or self.serving is None:
            return ""
        return params.name if self.serving.find_tool(params.name) is not None else ""

    def admitted_tool(self, call: Call, channel: Channel) -> ServedTool | None:
        """The tool that is called, if this caller may call it. Raises `InsufficientScope`, as the call would."""
        params = call.params
        if not isinstance(params, CallToolParams) or self.serving is None:
            return None
        return self.serving.find_tool(params.name, channel)
