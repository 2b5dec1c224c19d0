"""The server that `soak` attacks: a process of its own, on a free port, which says what it holds at ``/held``.

Its one argument is JSON: ``options`` of the endpoint, and what is beside it (`soak_beside`). It prints its port. It
believes the proxy that its callers pretend to be. A store in memory has a clock that can be put forward (``/later``):
then all that is kept for a time has had it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any, Final

from soak_beside import RESOURCE
from soak_watching import Watching, tell

from dovetail import App, Client, Context
from dovetail.auth import Protected, introspection
from dovetail.stores import MemoryStore
from dovetail.transports.http1.server import runner as uvicorn_runner
from dovetail.transports.http_server.asgi import HTTPApp
from dovetail.transports.http_server.routes import Request

SETTING: Final[Mapping[str, Any]] = json.loads(sys.argv[1])
watching: Final = Watching()


def protection() -> Protected | None:
    """What checks tokens, where there is an issuer."""
    if "issuer" not in SETTING:
        return None
    issuer: str = SETTING["issuer"]
    asked = introspection(issuer, url=f"{issuer}/introspect", client_id="soak", client_secret="s" * 40)
    return Protected(RESOURCE, asked)


store: Final = MemoryStore(clock=watching.clock)
app: Final = App("soak", keys=["k" * 40], store=store, auth=protection())


@app.tool
async def echo(text: str) -> str:
    """What everybody calls."""
    return text


@app.tool
async def make(size: int) -> str:
    """A large answer."""
    return "x" * size


@app.tool
async def ask(ctx: Context, text: str) -> str:
    """Asks the person, and keeps its arguments meanwhile."""
    answer = await ctx.elicit(f"{len(text)} characters; go on?", bool)
    return f"{answer} {len(text)}"


@app.tool(single_use=True)
async def guess(ctx: Context, door: str) -> str:
    """One try."""
    return "open" if await ctx.elicit("Number?", int, key="number") == 7 else "locked"


@app.tool
async def talk(ctx: Context) -> int:
    """Has much to ask."""
    return sum([len(await ctx.elicit(f"{number}?", str, key=f"{number}")) for number in range(8)])


clients: Final[list[Client]] = []


@app.tool
async def relay(number: int) -> str:
    """Asks another server, as a gateway does."""
    if not clients:
        clients.append(Client(f"{SETTING['hoarder']}/mcp"))
        await clients[0].__aenter__()
    client = clients[0]
    await client.list_tools()
    await client.list_prompts()
    await client.read(f"x://{number}")
    if number % 50 == 0:
        async with Client(f"{SETTING['hoarder']}/mcp/{number}") as other:
            await other.call_tool(f"t{number}")
    return "done"


@app.resource("soak://{+path}")
async def some(path: str) -> str:
    """As many resources as anybody wants."""
    return path


@app.custom_route("/held", protected=False)
async def held(request: Request) -> dict[str, int]:
    """What goes on, but for this request itself; and what is kept for a time."""
    return {
        "requests": endpoint._limits.requests - 1,
        "streams": endpoint._limits.streams,
        "bytes": endpoint._limits.bytes.all,
        "listeners": len(endpoint.service.hub),
        "calls": len(endpoint._stateful._calls._tasks),
        "live sessions": len(endpoint._stateful._sessions._live),
        "unread": watching.unread(),
        "heads": watching.heads(),
        "sessions": len(store.sessions._records),
        "streams kept": len(store.events._streams),
        "values kept": len(store.kv._entries),
        "tasks": len(asyncio.all_tasks()),
    }


@app.custom_route("/later", protected=False)
async def later(request: Request) -> bool:
    """A week passes for what is kept."""
    watching.skip()
    return True


@app.custom_route("/turns", protected=False)
async def turns(request: Request) -> list[float]:
    """See `Watching.take_turns`."""
    return watching.take_turns()


@app.custom_route("/tidy", protected=False)
async def tidy(request: Request) -> int:
    """See `Watching.tidy`."""
    return watching.tidy()


if __name__ == "__main__":
    endpoint: HTTPApp = app.asgi(**SETTING.get("options", {}))  # type: ignore[assignment] - what it is
    uvicorn_runner.serve(
        endpoint,
        port=0,
        announce=lambda line: tell(line, watching),
        proxy_headers=True,
        forwarded_allow_ips=["127.0.0.1"],
    )
