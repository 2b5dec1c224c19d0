"""One of several workers of a cluster, as a process to be killed: ``python cluster_worker.py store.db``. Says the port
on standard output once it listens. Follows: no page of the specification.
"""

import asyncio
import sys

import uvicorn

from dovetail import App, Context
from dovetail.stores import SQLiteStore

app = App("cluster", store=SQLiteStore(sys.argv[1]), keys=["k" * 32], rate_limit=None)


@app.tool
async def add_one() -> str:
    """Add a tool, so that the list of tools changes."""

    def one_more() -> str:
        return "one more"

    app.add_tool(one_more, name="one-more")
    return "added"


@app.tool
async def ask(ctx: Context) -> str:
    """Ask the person."""
    return await ctx.elicit("Who?", str)


@app.resource("note://a", name="a")
def note() -> str:
    return "a"


async def main() -> None:
    server = uvicorn.Server(uvicorn.Config(app.asgi(workers=2), port=0, log_config=None, lifespan="off"))
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - nobody tells that it has started
        await asyncio.sleep(0.005)
    sys.stdout.write(f"{server.servers[0].sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await task


if __name__ == "__main__":
    asyncio.run(main())
