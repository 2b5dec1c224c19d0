"""Our server with tasks, and with what `task_steps.py` says every such server offers.

`our_task_server.py --wire FILE --revisions R... -- stdio`, or `http PORT` at its end.

Follows: no page of the specification.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import defaultdict

from wire_file import record

from dovetail import App, Context, RPCError, ToolError
from dovetail.extensions.tasks import TaskOptions, tasks

TASK = TaskOptions(poll=0.1)
released: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
cancelled: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)


async def work(key: str, ctx: Context) -> str:
    """Say that half of it is done, and go on once released."""
    await ctx.progress(1, 2, "half way")
    await released[key].wait()
    return f"done {key}"


async def release(key: str) -> str:
    """Let the work with this key go on."""
    released[key].set()
    return "released"


async def fail() -> str:
    """Fail in a way that the model can read."""
    raise ToolError("no luck today")


async def refuse() -> str:
    """Fail with an error of the protocol."""
    raise RPCError("not today", code=-31050)


async def ask(ctx: Context) -> str:
    """Greet whoever answers."""
    return f"Hello, {await ctx.elicit('What is your name?', str)}"


async def endless(key: str, ctx: Context) -> str:
    """Go on until cancelled."""
    try:
        await ctx.progress(1, None, "begun")
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        cancelled[key].set()
        raise
    return "unreachable"


async def was_cancelled(key: str) -> str:
    """Say whether the endless task with this key was cancelled, or is within three seconds."""
    try:
        async with asyncio.timeout(3):
            await cancelled[key].wait()
    except TimeoutError:
        return "no"
    return "yes"


def build(revisions: list[str]) -> App:
    """The app, limited to some revisions."""
    app = App("dovetail", version="1.0.0", revisions=revisions, extensions=[tasks()])
    for tool in (work, fail, refuse, ask, endless):
        app.add_tool(tool, task=TASK)
    for tool in (release, was_cancelled):
        app.add_tool(tool)
    return app


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("transport", choices=["stdio", "http"])
    parser.add_argument("port", type=int, nargs="?")
    parser.add_argument("--wire", required=True)
    parser.add_argument("--revisions", nargs="+", required=True)
    given = parser.parse_args()
    record(given.wire)
    app = build(given.revisions)
    if given.transport == "stdio":
        app.run()
    else:
        app.run("http", host="127.0.0.1", port=given.port)


if __name__ == "__main__":
    main()
