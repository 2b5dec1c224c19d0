"""An app, within reach of a client, for the length of a test.

Theory of operation. In memory the client gets the app itself; bytes travel all the same. Over HTTP the app is served
by uvicorn on a free port of this machine, in the loop of the test. While it is within reach, dependencies may be
overridden and the replay check is on: each body that asks is run twice and has to ask the same.

Specification: basic/transports.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from typing import Any, Final, Literal, Unpack, cast

from ..client import Client
from ..client.options import ClientOptions
from ..server.app import App

__all__ = ["TRANSPORTS", "connected", "served"]

Transport = Literal["memory", "http"]
TRANSPORTS: Final[tuple[Transport, ...]] = ("memory", "http")


@contextlib.asynccontextmanager
async def connected(
    app: App,
    *,
    transport: Transport = "memory",
    overrides: Mapping[Any, Callable[..., Any]] | None = None,
    replay_check: bool = True,
    **options: Unpack[ClientOptions],
) -> AsyncGenerator[Client]:
    """A client of an app: ``async with connected(app, revision="2025-06-18") as client``. Options as of `Client`.

    ``overrides``: dependencies to use in place of others meanwhile.
    """
    with _prepared(app, overrides or {}, replay_check=replay_check):
        if transport == "memory":
            async with Client(app, **options) as client:
                yield client
            return
        async with served(app.asgi()) as url, Client(url, **options) as client:
            yield client


@contextlib.asynccontextmanager
async def served(application: Any) -> AsyncGenerator[str]:
    """An ASGI application on a free port; gives the URL of its endpoint.

    Needs uvicorn: pip install 'dovetail[server]'.
    """
    try:
        import uvicorn
    except ImportError as missing:
        raise ImportError("serving over HTTP needs uvicorn: pip install 'dovetail[server]'") from missing

    class Quiet(uvicorn.Server):
        """Leaves the signals of the test's process alone."""

        @contextlib.contextmanager
        def capture_signals(self) -> Generator[None]:
            yield

    config = uvicorn.Config(
        application, port=0, log_config=None, access_log=False, timeout_graceful_shutdown=1
    )
    server = Quiet(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        if task.done():
            task.result()
        await asyncio.sleep(0.001)
    port = cast("int", server.servers[0].sockets[0].getsockname()[1])
    try:
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        server.should_exit = True
        await task


@contextlib.contextmanager
def _prepared(
    app: App, overrides: Mapping[Any, Callable[..., Any]], *, replay_check: bool
) -> Generator[None]:
    before, checked = dict(app.overrides), app.replay_check
    app.overrides.update(overrides)
    app.replay_check = replay_check
    try:
        yield
    finally:
        app.overrides.clear()
        app.overrides.update(before)
        app.replay_check = checked
