"""Serving on standard input and output: one JSON-RPC message a line.

Standard output belongs to the protocol (see `dovetail.transports.stdio_streams`); whatever else writes
there goes to standard error. The server ends when its input does: calls in progress get a moment to finish,
then they are cancelled. Specification: basic/transports (stdio).
"""

import asyncio
import gc
import signal
from contextlib import suppress

from ..protocol import messages
from ..protocol.bindings.lines import LineTooLong
from ..protocol.errors import InvalidRequest
from ..runtime.connection import ServerConnection
from ..runtime.service import Service
from .stdio_streams import PeerGone, StdioStreams, claim_stdio

#: Seconds that calls in progress have to finish once the input has ended.
GRACE = 5.0


def run_stdio(service: Service, *, grace: float = GRACE) -> None:
    """Serve this process's standard input until it ends, or until SIGTERM or SIGINT. Blocks; owns the process's stdio.

    ``grace``: seconds that calls in progress have to finish once the input has ended.
    """
    # Before the loop is made: if a standard descriptor is closed, the loop's own would take its number.
    streams = claim_stdio(max_line=service.max_message)
    asyncio.run(serve_stdio(service, streams, grace=grace))


async def serve_stdio(service: Service, streams: StdioStreams, *, grace: float = GRACE) -> None:
    """Serve claimed streams until their input ends, or until SIGTERM or SIGINT."""
    serving = asyncio.current_task()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError, ValueError, RuntimeError):
            loop.add_signal_handler(number, _stop, serving)
    connection = ServerConnection(service, streams.write, transport="stdio")
    try:
        await service.start()
        gc.freeze()
        await _pump(streams, connection, service.max_message)
        service.hub.close()  # a change stream is a call that would never end by itself
        with suppress(TimeoutError):
            await asyncio.wait_for(connection.drain(), grace)
    except (PeerGone, asyncio.CancelledError):
        pass
    finally:
        await connection.close()
        await service.stop()
        streams.release()


async def _pump(streams: StdioStreams, connection: ServerConnection, limit: int) -> None:
    refusing: set[asyncio.Task[None]] = set()

    def refuse(_: LineTooLong) -> None:
        # At once, not with the next line: the client may be waiting for this before it says anything more.
        refusal = InvalidRequest(f"a message may have at most {limit} bytes")
        task = asyncio.ensure_future(connection.write(messages.error(None, refusal)))
        refusing.add(task)
        task.add_done_callback(refused)

    def refused(task: asyncio.Task[None]) -> None:
        refusing.discard(task)
        if not task.cancelled():
            task.exception()  # a peer that is gone is noticed by whatever comes next

    async for line in streams.lines(refuse):
        await connection.receive(line)


def _stop(serving: "asyncio.Task[None] | None") -> None:
    if serving is not None:
        serving.cancel()
