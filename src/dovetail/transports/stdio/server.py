"""Serving on standard input and output: one JSON-RPC message a line.

Standard output belongs to the protocol (see `dovetail.transports.stdio.streams`); whatever else writes there goes to
standard error.

The server ends when its input does: calls in progress get some time to finish, then they are cancelled and answered as
cut short. A signal ends it too: no more calls are taken, those in progress may finish, and until then the input is
still read, since one of them may be waiting for what the client answers. A client that asks for the end and takes
nothing of what waits for it does not get it any more: answers that nobody reads keep no server. A second signal ends it
now. Specification: basic/transports (stdio), basic/lifecycle "Shutdown".
"""

import asyncio
import gc
from contextlib import suppress
from typing import Literal

from ...logs import get_logger
from ...protocol import messages
from ...protocol.bindings.lines import LineTooLong
from ...protocol.errors import InvalidRequest, TransportError
from ...runtime.connection import ANSWER_TIMEOUT, ServerConnection
from ...runtime.service import Service
from ...runtime.shutdown import CALLS, LIMIT, ORDERLY, SPARE, Shutdown, ShutdownWaiter, calls_in_progress
from .streams import PeerGone, StdioStreams, claim_stdio

log = get_logger("dovetail.server")

#: Seconds that calls in progress have to finish once the input has ended.
GRACE = 5.0
#: Seconds after a signal in which the client has to take something of what waits for it. Clients kill two seconds
#: after the signal, or later.
UNREAD = 1.0
#: Seconds in which the answers of calls that were cut short may leave.
TELLING = 1.0


def run_stdio(
    service: Service,
    *,
    grace: float = GRACE,
    drain: float = LIMIT,
    answer_timeout: float = ANSWER_TIMEOUT,
) -> None:
    """Serve this process's standard input until it ends, or until a signal (SIGTERM, SIGINT, SIGHUP). Blocks; owns the
    process's stdio.

    ``grace``: seconds that calls in progress have to finish once the input has ended. ``drain``: seconds that the end
    may take after a signal, and after ``grace``; a process that is still there then ends with status 70 (see
    `dovetail.runtime.shutdown`). ``answer_timeout``: seconds that the client has to answer a question.
    """
    # Before the loop is made: if a standard descriptor is closed, the loop's own would take its number.
    streams = claim_stdio(max_line=service.max_message)
    ending = Shutdown(drain)
    with ending.enforced():
        asyncio.run(serve_stdio(service, streams, grace=grace, answer_timeout=answer_timeout, ending=ending))


async def serve_stdio(
    service: Service,
    streams: StdioStreams,
    *,
    grace: float = GRACE,
    answer_timeout: float = ANSWER_TIMEOUT,
    ending: Shutdown | None = None,
) -> None:
    """Serve claimed streams until their input ends, or until ``ending`` is asked for (default: by a signal)."""
    ending = ending or Shutdown()
    connection = ServerConnection(
        service, streams.put, transport="stdio", at_once=True, answer_timeout=answer_timeout
    )
    with ending.hearing():
        try:
            await _serve(service, streams, connection, grace, ending)
        except TransportError:
            log.debug("standard output is closed")
        finally:
            ending.begin()
            await connection.close(ending.left(ORDERLY))
            await ending.within(service.stop(), "the lifespan")
            streams.release()


async def _serve(
    service: Service, streams: StdioStreams, connection: ServerConnection, grace: float, ending: Shutdown
) -> None:
    heard = ShutdownWaiter(ending)
    asked = asyncio.ensure_future(heard.asked.wait())
    now = asyncio.ensure_future(heard.now.wait())
    started = asyncio.ensure_future(service.start())
    pump: asyncio.Future[None] | None = None
    deserted: asyncio.Future[None] | None = None
    try:
        await asyncio.wait((started, asked), return_when=asyncio.FIRST_COMPLETED)
        if not started.done():
            return
        started.result()
        gc.freeze()
        pump = asyncio.ensure_future(_pump(streams, connection, service.max_message))
        # What holds up the reading of an ended input may be a client that does not read.
        deserted = asyncio.ensure_future(streams.deserted(grace))
        await asyncio.wait((pump, asked, deserted), return_when=asyncio.FIRST_COMPLETED)
        service.hub.close()  # a change stream is a call that would never end by itself
        drained = asyncio.ensure_future(_drain(streams, connection))
        try:
            if not (asked.done() or deserted.done()):
                await asyncio.wait((drained, asked), timeout=grace, return_when=asyncio.FIRST_COMPLETED)
            if asked.done():
                connection.refuse()
                await _answer_the_rest(streams, drained, now, ending)
            if not drained.done() and (calls := calls_in_progress()):
                log.warning("ending with calls in progress: %s", ", ".join(calls))
                await _cut(streams, connection, ending)
            elif not drained.done():
                log.warning("ending with answers that the client did not read")
        finally:
            drained.cancel()
        if pump.done():
            pump.result()
    finally:
        for each in (asked, now, started, pump, deserted):
            if each is not None:
                each.cancel()
        if pump is not None:
            await asyncio.wait((pump,))
            if not pump.cancelled():
                pump.exception()  # nobody is left to care


async def _answer_the_rest(
    streams: StdioStreams, drained: asyncio.Future[None], now: asyncio.Task[Literal[True]], ending: Shutdown
) -> None:
    """After a signal: wait for the calls in progress and their answers, as long as there is time and a reader. Where
    nobody reads, calls may still finish what they do.
    """
    unread = asyncio.ensure_future(streams.unread(UNREAD))
    try:
        await asyncio.wait(
            (drained, now, unread), timeout=ending.left(CALLS), return_when=asyncio.FIRST_COMPLETED
        )
        if unread.done() and not (drained.done() or now.done()):
            log.warning("the client reads no more answers; those that wait for it are dropped")
            streams.give_up(PeerGone("the client reads no more"))
            await asyncio.wait(
                (drained, now), timeout=ending.left(CALLS), return_when=asyncio.FIRST_COMPLETED
            )
    finally:
        unread.cancel()


async def _cut(streams: StdioStreams, connection: ServerConnection, ending: Shutdown) -> None:
    """Tell who still waits for a call that it was cut short, as far as somebody reads."""
    patience = min(TELLING, ending.left(SPARE))
    with suppress(TransportError, TimeoutError):
        async with asyncio.timeout(patience):
            await connection.cut(patience)
            await streams.flush()


async def _drain(streams: StdioStreams, connection: ServerConnection) -> None:
    """Wait until every call in progress has been answered, and the answers are out."""
    await connection.drain()
    with suppress(TransportError):
        await streams.flush()


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

    await streams.serve(connection.take, refuse)
    connection.deafen()
