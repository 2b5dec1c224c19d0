"""Our server, with what `steps.py` says every server offers.

`our_server.py --wire FILE --revisions R... -- stdio`, or `http PORT` or `sse PORT` at its end; `--record FILE` for a
recording. With `CLUSTER_STORE` in
the environment it is one of several workers: everything is kept there, also what its own tools remember, and `PID` in
the name of the file is its process.

Follows: no page of the specification.
"""

from __future__ import annotations

import argparse
import asyncio
import os

from wire_file import record

from dovetail import App, Context, ToolError
from dovetail.recording import CaptureWriter
from dovetail.recording.tapping import record_servers
from dovetail.stores import MemoryStore, PostgresStore, RedisStore, SQLiteStore, Store


def store_at(place: str) -> Store | None:
    """The store that all workers share; None where this process is the only one."""
    if place.startswith("redis://"):
        return RedisStore(place)
    return (
        PostgresStore(place) if place.startswith("postgresql://") else SQLiteStore(place) if place else None
    )


store = store_at(os.environ.get("CLUSTER_STORE", ""))
remembered = (store or MemoryStore()).kv.within("interop/")


async def count(key: str) -> int:
    """How often a step of a call has run, at whichever worker."""
    times = 1
    while not await remembered.add(f"{key}/{times}", b"ran"):
        times += 1
    return times


async def ran_once(key: str) -> bool:
    """Whether it has run, and not again."""
    first, second = await remembered.get(f"{key}/1"), await remembered.get(f"{key}/2")
    return first is not None and second is None


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def fail() -> str:
    """Fail in a way that the model can read."""
    raise ToolError("no luck today")


async def slow(key: str, ctx: Context) -> str:
    """Report 1, 2 and 3, then go on until cancelled."""
    try:
        for done in (1, 2, 3):
            await ctx.progress(done, 3, f"part {done}")
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await remembered.set(f"cancelled/{key}", b"yes")
        raise
    return "unreachable"


async def was_cancelled(key: str) -> str:
    """Say whether the slow call with this key was cancelled, or is within three seconds."""
    try:
        async with asyncio.timeout(3):
            while await remembered.get(f"cancelled/{key}") is None:  # noqa: ASYNC110 - a store tells nobody
                await asyncio.sleep(0.02)
    except TimeoutError:
        return "no"
    return "yes"


async def ask(ctx: Context) -> str:
    """Greet whoever answers."""
    return f"Hello, {await ctx.elicit('What is your name?', str)}"


async def tell(ctx: Context) -> str:
    """Log something."""
    await ctx.log("warning", "something is odd")
    return "told"


async def think(ctx: Context) -> str:
    """Pass on what the client's model says."""
    said = await ctx.sample("What is two and two?", max_tokens=100)
    return f"The model says {getattr(said.content, 'text', said.content)}"


async def both(ctx: Context) -> str:
    """Ask the person, then the model, with a step before, between and after."""
    counts = [await ctx.step("start", count, ctx.step_key("start"))]
    name = await ctx.elicit("What is your name?", str)
    counts.append(await ctx.step("between", count, ctx.step_key("between")))
    said = await ctx.sample("What is two and two?", max_tokens=100)
    counts.append(await ctx.step("end", count, ctx.step_key("end")))
    once = [await ran_once(ctx.step_key(step)) for step in ("start", "between", "end")]
    if counts != [1, 1, 1] or not all(once):
        raise ToolError(f"steps ran {counts} times")
    return f"{name} hears {getattr(said.content, 'text', said.content)}"


async def where(ctx: Context) -> str:
    """Name the client's roots."""
    return " ".join(root.uri for root in await ctx.roots())


def another() -> str:
    """A tool that comes and goes."""
    return "here"


def build(revisions: list[str]) -> App:
    """The app, limited to some revisions."""
    app = App(
        "dovetail",
        version="1.0.0",
        instructions="Offers what the steps need.",
        revisions=revisions,
        store=store,
    )
    for tool in (add, fail, slow, was_cancelled, tell, ask, think, both, where):
        app.add_tool(tool)
    there = False

    @app.tool
    async def touch() -> str:
        """Change the tools, and say that the note was updated."""
        nonlocal there
        if there:
            app.remove_tool("another")
        else:
            app.add_tool(another)
        there = not there
        app.resource_updated("note://a")
        return "touched"

    @app.resource("note://a")
    def note_a() -> str:
        """A note."""
        return "first note"

    @app.resource("note://by/{name}")
    def note_by(name: str) -> str:
        """A note by somebody."""
        return f"note by {name}"

    @app.prompt
    def greet(name: str) -> str:
        """A greeting."""
        return f"Greet {name}"

    @app.completion("greet", "name")
    def names(begun: str) -> list[str]:
        """Names that begin like this."""
        return [name for name in ("Ada", "Alan", "Grace") if name.startswith(begun)]

    return app


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("transport", choices=["stdio", "http", "sse"])
    parser.add_argument("port", type=int, nargs="?")
    parser.add_argument("--wire", required=True)
    parser.add_argument("--revisions", nargs="+", required=True)
    parser.add_argument("--record")
    given = parser.parse_args()
    record(given.wire.replace("PID", str(os.getpid())))
    if given.record:
        record_servers(CaptureWriter(given.record, place="server"))
    app = build(given.revisions)
    if given.transport == "stdio":
        app.run()
    else:
        app.run("http", host="127.0.0.1", port=given.port, http_sse=given.transport == "sse")


if __name__ == "__main__":
    main()
