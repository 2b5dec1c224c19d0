"""What the processes of these tests serve: one app, plain and mounted in a framework. What happens in it is noted
in the file that NOTES names, one line each. Follows: no page of the specification.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Mount

from dovetail import App


def note(text: str) -> None:
    with open(os.environ["NOTES"], "a", encoding="utf-8") as file:
        file.write(f"{text}\n")


@asynccontextmanager
async def life(app: App) -> AsyncIterator[None]:
    note("opened")
    yield
    await asyncio.sleep(0.05)
    note("closed")  # nothing but an end in good order comes by here


app = App("served", lifespan=life)


@app.tool
async def forever() -> str:
    """Never ends."""
    note("called")
    try:
        await asyncio.Event().wait()
    finally:
        note("cancelled")
    return "never"


@app.tool
async def moment() -> str:
    """Takes a moment."""
    note("called")
    await asyncio.sleep(0.5)
    return "after a moment"


plain = app.asgi(drain=0.5)
endpoint = app.asgi()
started = Starlette(routes=[Mount("/in", app=endpoint)], lifespan=endpoint.lifespan)
mounted = Starlette(routes=[Mount("/in", app=app.asgi(drain=0.5))])
