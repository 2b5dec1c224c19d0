"""The standalone stream of the stateful era: what the server says that belongs to no request.

Theory of operation. One task keeps a GET open, and opens it again as `resumption` has it. Nobody waits
for what it brings, so it is patient with a server that is gone; when it gives up, calls go on. Where it is opened again
and can't go on from where it was left, the receiver is told that something may have been missed.
Specification: 2025-11-25 basic/transports, "Listening for Messages from the Server".
"""

import asyncio
import logging
from typing import Final

from ...logs import get_logger
from ...protocol.errors import DovetailError, SessionEnded, TransportError
from . import answers
from .event_streams import EventStreams
from .requests import RequestSender
from .resumption import Resumption

__all__ = ["StandaloneStream"]

_log: Final = get_logger("dovetail.transports")


class StandaloneStream:
    """The one standalone stream of a client. ``attempts``: tries in a row, without a new event, to resume it.

    ``answered`` is set once the server said whether it has such a stream. ``position``: the last event id that was
    heard. ``resumed``: the session is one of before, whose connection the server may not have given up yet.
    """

    def __init__(self, requests: RequestSender, event_streams: EventStreams, attempts: int) -> None:
        self.answered = asyncio.Event()
        self.position = ""
        self.resumed = False
        self._requests = requests
        self._event_streams = event_streams
        self._attempts = attempts
        self._task: asyncio.Task[None] | None = None
        #: Whether there was something to hear before.
        self._heard_before = False

    async def start(self) -> None:
        """Open the stream in the background, and keep it open; anew if it was there."""
        await self.stop()
        if not self.resumed:
            self.position = ""
        answered = self.answered = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name="dovetail: standalone stream")
        self._task.add_done_callback(lambda _: answered.set())

    async def stop(self) -> None:
        """End the stream."""
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()
            await asyncio.wait({task})

    async def _run(self) -> None:
        where = self._requests.endpoint.shown
        session, progress = self._requests.session, Resumption(self._attempts, awaited=False)
        self._heard_before = self.resumed
        if self.resumed:
            progress.last_event_id = self.position
        progress.on_event_id = self._heard
        try:
            while not self._requests.endpoint.closed:
                if not await self._once(session, progress):
                    return
                await progress.wait(f"the standalone stream of {where}")
        except DovetailError as problem:
            if not self._requests.endpoint.closed:
                # The next call opens a new session, and with it a new stream.
                level = logging.DEBUG if isinstance(problem, SessionEnded) else logging.WARNING
                _log.log(level, "no longer listening to %s: %s", where, problem)

    def _heard(self, last_event_id: str) -> None:
        self.position = last_event_id

    def _may_begin_again(self, status: int, progress: Resumption) -> bool:
        """Whether a refusal is due to a place that is gone, or to the connection that the process before left."""
        if status == 400 and progress.last_event_id:
            progress.last_event_id = self.position = ""
            return True
        return self.resumed and status == 409

    async def _once(self, session: str | None, progress: Resumption) -> bool:
        """One connection of the stream, to its end. Whether to try again."""
        requests, position = self._requests, progress.last_event_id
        try:
            answer = await requests.get(session, position, requests.revision)
        except TransportError as problem:
            progress.failed(problem)
            return True
        self.answered.set()
        try:
            if answer.status == 200 and answers.is_event_stream(answer):
                progress.opened()
                if self._heard_before and not position:
                    _log.info("changes may have been missed: the stream can't go on from where it was left")
                    self._event_streams.missed()
                self._heard_before = True
                await self._event_streams.follow(answer, progress, None)
                return True
            if answer.status == 405:
                return False
            refused = await requests.refused(answer, session)
            if progress.may_retry(refused, answer.status) or self._may_begin_again(answer.status, progress):
                return True
            raise refused
        finally:
            answer.close()
