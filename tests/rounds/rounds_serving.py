"""An ASGI application on a real socket of this loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import uvicorn


class Quiet(uvicorn.Server):
    """Leaves the signals of the test process alone, and ends without waiting for clients."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


@contextlib.asynccontextmanager
async def serving(application: Any) -> AsyncIterator[str]:
    """Serve on a free port; gives the URL of the endpoint."""
    config = uvicorn.Config(
        application, port=0, log_config=None, access_log=False, loop="asyncio", timeout_graceful_shutdown=1
    )
    server = Quiet(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        if task.done():
            task.result()
        await asyncio.sleep(0.001)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/mcp"
    finally:
        server.should_exit = True
        await task
