"""The app that each worker of a test's cluster serves, with what the tests count.

Each call has a key of its own, and says in ``EFFECTS`` (a file of the tests, appended to in one write) that it did its
work: so whoever reads the file knows how often, whichever worker it was and however that ended.

Follows: no page of the specification.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from dovetail import App, Context
from dovetail.stores import PostgresStore, RedisStore, SQLiteStore, Store

STORE = os.environ["CLUSTER_STORE"]
EFFECTS = os.environ.get("CLUSTER_EFFECTS", os.devnull)


def store_at(place: str) -> Store:
    """The store that a URL, or the path of a file, names."""
    scheme = place.partition("://")[0]
    if scheme == "redis":
        return RedisStore(place)
    return PostgresStore(place) if scheme == "postgresql" else SQLiteStore(Path(place))


app = App("cluster", store=store_at(STORE), rate_limit=None)
there = False


def did(what: str, key: str) -> None:
    """Say for good that something was done."""
    file = os.open(EFFECTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, f"{what} {key} {os.getpid()}\n".encode())
    finally:
        os.close(file)


@app.tool
def which() -> int:
    """The process that answers."""
    return os.getpid()


@app.tool
async def work(key: str, steps: int, ctx: Context, pause: float = 0.002) -> str:
    """Do something once, and report on the way."""
    for step in range(1, steps + 1):
        await ctx.progress(step, steps, key)
        if step == (steps + 1) // 2:
            did("work", key)
        await asyncio.sleep(pause)
    return f"done {key}"


@app.tool
async def ask(key: str, ctx: Context) -> str:
    """Ask, and do something with the answer once."""
    said = await ctx.elicit(f"Which word belongs to {key}?", str, key="word")
    await ctx.step("work", did, "ask", key)
    return f"{key} {said}"


@app.tool
async def think(key: str, ctx: Context) -> str:
    """Put a question to the client's model."""
    said = await ctx.sample(key, max_tokens=50)
    return f"{key} {getattr(said.content, 'text', '')}"


@app.tool
async def endless(key: str, ctx: Context) -> str:
    """Go on until cancelled, and say so."""
    did("begun", key)
    try:
        await ctx.progress(1, message=key)
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        did("cancelled", key)
        raise
    return "unreachable"


@app.tool
async def remember(key: str, ctx: Context) -> str:
    """Keep something in the session, and say what was there before."""
    before = await ctx.session.get("key")
    await ctx.session.set("key", key)
    return f"{before} {key}"


@app.tool
async def change(name: str) -> str:
    """Say that a note was changed."""
    app.resource_updated(f"note://{name}")
    return f"changed {name}"


@app.resource("note://{name}")
def note(name: str) -> str:
    """A note."""
    return f"note {name}"
