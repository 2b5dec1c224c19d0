"""The server that `soak` attacks: a process of its own, on a free port, which says what it holds at ``/held``.

Its one argument is JSON: the options of the endpoint. It prints its port.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import sys
from collections.abc import Mapping
from typing import Any

from dovetail import App, Context
from dovetail.transports.http import HTTPApp
from dovetail.transports.http_server.routes import Request


class Watched(App):
    """An app whose endpoint can be looked into."""

    seen: HTTPApp

    def endpoint(self, options: Mapping[str, Any], *, workers: int) -> HTTPApp:
        self.seen = super().endpoint(options, workers=workers)
        return self.seen


app = Watched("soak")


@app.tool
async def echo(text: str) -> str:
    """What everybody calls."""
    return text


@app.tool
async def ask(ctx: Context, text: str) -> str:
    """Asks the person, and keeps its arguments meanwhile."""
    answer = await ctx.elicit(f"{len(text)} characters; go on?", bool)
    return f"{answer} {len(text)}"


@app.resource("soak://{+path}")
async def some(path: str) -> str:
    """As many resources as anybody wants."""
    return path


@app.custom_route("/held")
async def held(request: Request) -> dict[str, int]:
    """What goes on, but for this request itself."""
    endpoint = app.seen
    return {
        "requests": endpoint._places.requests - 1,
        "streams": endpoint._places.streams,
        "bytes": endpoint._places.bytes.all,
        "listeners": len(endpoint.service.hub),
        "calls": len(endpoint._stateful._tasks),
        "live sessions": len(endpoint._stateful._sessions._live),
        "sessions": await endpoint.store.sessions.count(),
        "tasks": len(asyncio.all_tasks()),
    }


@app.custom_route("/tidy")
async def tidy(request: Request) -> bool:
    """Collect rubbish, and hand back what the C library keeps for later: what is left is held by somebody."""
    gc.collect()
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (OSError, AttributeError):
        return False  # another C library


if __name__ == "__main__":

    def tell(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    app.run("http", port=0, announce=tell, **json.loads(sys.argv[1]))
