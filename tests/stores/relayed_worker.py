"""One of several processes of an app that share a store; see `test_relayed_changes` and `test_shared_keys`.

Theory of operation
-------------------
`python relayed_worker.py serve STORE` serves HTTP and says on standard output where. The other words are jobs,
which serve nothing: they tell of changes of the resources that are named after them, in their own way, and end at once.
STORE is what `store_of` reads: a path, or the URL of a server. Keys come from the environment, or from the store.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated

from dovetail import App, Ask
from dovetail.extensions import Change, ChangeType, Extension, Serving
from dovetail.stores import PostgresStore, RedisStore, SQLiteStore, Store

OVENS = ChangeType(kind="oven", filter="ovens", notification="com.example/oven", subject="oven")
NAMES = ["one", "two", "three", "four", "five"]


def store_of(said: str) -> Store:
    """The store that a text names."""
    if said.startswith("redis:"):
        return RedisStore(said, timeout=2.0)
    if said.startswith("postgresql:"):
        return PostgresStore(said, timeout=2.0)
    return SQLiteStore(said)


class Baking:
    """The extension, whose life gives what publishes its changes."""

    def __init__(self) -> None:
        self.publish: Callable[[Change], None] | None = None

    @asynccontextmanager
    async def life(self, serving: Serving) -> AsyncIterator[None]:
        self.publish = serving.publish
        yield

    def bake(self, oven: str) -> None:
        assert self.publish is not None
        self.publish(OVENS.change(oven, {"by": os.getpid()}))


def made(said: str, name: str = "mill") -> App:
    """The app, on that store."""
    baking = Baking()
    extension = Extension(identifier="com.example/baking", changes=[OVENS], lifespan=baking.life)
    app = App(name, store=store_of(said), page_size=2, rate_limit=None, extensions=[extension])

    reads = itertools.count(1)

    @app.resource("note://{id}", ttl=60)
    async def note(id: str) -> str:
        return f"{id}, read {next(reads)}"

    @app.tool
    async def touch(uris: list[str]) -> None:
        for uri in uris:
            app.resource_updated(uri)

    @app.tool
    async def grow(name: str) -> None:
        app.add_tool(pid, name=name)

    @app.tool
    async def bake(oven: str) -> None:
        baking.bake(oven)

    @app.tool
    async def greet(name: Annotated[str, Ask("What is your name?")]) -> str:
        return f"hello {name}, from {os.getpid()}"

    for each in NAMES:
        app.add_tool(pid, name=each)
    return app


def pid() -> int:
    return os.getpid()


def say(line: str) -> None:
    """Tell the test."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(how: str, said: str, *uris: str) -> None:
    """Serve, or do a job."""
    app = made(said)
    if len(uris) == 1 and uris[0].isdigit():
        uris = tuple(f"note://{number}" for number in range(int(uris[0])))
    if how == "serve":
        app.run("http", port=0, announce=say)
    elif how == "sync":
        for uri in uris:
            app.resource_updated(uri)
    elif how == "async":

        async def work() -> None:
            for uri in uris:
                app.resource_updated(uri)

        asyncio.run(work())
    elif how == "thread":
        threads = [threading.Thread(target=app.resource_updated, args=(uri,)) for uri in uris]
        for thread in threads:
            thread.start()


if __name__ == "__main__":
    main(*sys.argv[1:])
