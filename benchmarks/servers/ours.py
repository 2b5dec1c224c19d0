"""The measured server, with Dovetail: the normal `App`, every default on. For its words see `contestants`."""

import os
import sys
from typing import Any

from dovetail import App

STORE = os.environ.get("BENCH_STORE", "memory")


def store() -> Any:
    """The store that the measure is about; None for what an app has by itself."""
    if STORE == "memory":
        return None
    from dovetail.stores import PostgresStore, RedisStore, SQLiteStore

    kinds: dict[str, Any] = {"redis": RedisStore, "postgresql": PostgresStore}
    return kinds.get(STORE.partition("://")[0], SQLiteStore)(STORE)


def roomy() -> Any:
    """A store with room for a crowd that is one caller."""
    from dovetail.stores import MemoryStore, SessionBounds, StoreBounds

    return MemoryStore(bounds=StoreBounds(sessions=SessionBounds(max_per_principal=10_000)))


def extensions(kit: str, mode: str) -> list[Any]:
    """What is added to the app."""
    if kit != "tasks":
        return []
    from dovetail.extensions.tasks import tasks

    return [tasks(max_unended=20_000) if mode == "waiting" else tasks()]


transport, kit, mode = sys.argv[1:4]
tools, port, workers = map(int, sys.argv[4:7])
if kit == "proxy":
    import json

    from dovetail.proxy import proxy_app

    app = proxy_app(json.loads(os.environ["BENCH_UPSTREAM"]), name="measured")
elif kit == "gateway":
    import json

    from dovetail.gateway import Gateway

    app = Gateway(json.loads(os.environ["BENCH_UPSTREAM"]), name="measured").app
else:
    app = App(
        "measured",
        version="1",
        store=roomy() if mode == "crowd" else store(),
        extensions=extensions(kit, mode),
    )

if kit == "calls":

    @app.tool
    async def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    async def other(a: int, b: int) -> int:
        """Do something else with two numbers, which nobody will ask for."""
        return a - b

    for number in range(1, tools):
        app.add_tool(other, name=f"tool_{number:05}")
elif kit not in ("proxy", "gateway"):
    from our_kits import register

    register(app, kit)

# Defaults all, but for what the mode is about.
MODES: dict[str, dict[str, Any]] = {
    "default": {},
    "plain": {"sessions": False},
    "sessions": {},
    "crowd": {},
    "waiting": {},
    "json": {},
    "sse": {"responses": "sse"},
}

if __name__ == "__main__":
    if transport == "stdio":
        app.run()
    elif workers > 1:
        app.run("http", port=port, workers=workers, sessions=False)
    else:
        app.run("http", port=port, **MODES[mode])
