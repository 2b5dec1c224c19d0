"""One call on its way through a proxy: what its upstream says meanwhile goes to its caller, and to nobody else.

Theory of operation. What the upstream says for a call (progress, log messages) comes in the context of that call, or
under its progress token; it is written for the caller's revision, under the caller's own token, and leaves in the order
in which it came, before the result. A caller that reads slowly costs itself messages, never the upstream's connection.

What the upstream asks goes to the caller by a request of the caller's era: at once where that has requests; where it
has none, the call is parked (`parking`).

Specification: basic/patterns/progress, server/utilities/logging.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final

import msgspec
from msgspec import Raw

from ..extensions import Call, Channel
from ..protocol import messages, names
from ..types import LOG_LEVELS, MessageNotice, ProgressNotice

MAX_WAITING: Final = 1000
"""Messages for a caller that wait to leave; of more, the oldest are dropped."""
MAX_WAITING_BYTES: Final = 1024 * 1024
"""Bytes that they have together (1 MiB)."""
_RANK: Final = {level: rank for rank, level in enumerate(LOG_LEVELS)}

current: Final[ContextVar["Passing | None"]] = ContextVar("dovetail_passing", default=None)
"""The call that is passed on in this context."""


class Passing:
    """A call that is passed on. ``call`` and ``channel`` are of its caller's request, and change with each round.
    ``support``: how the upstream lists that its tool may be a task ("optional", "required"; 2025-11-25).
    ``reaches_caller``: its caller has a request open, by which it can be asked. ``sending``: what brings the caller the
    messages that wait, if any do.
    """

    def __init__(self, call: Call, channel: Channel, support: str = "") -> None:
        self.support = support
        self.call = call
        self.channel = channel
        self.park: Callable[[str, Raw], Awaitable[Raw]] | None = None
        self.reaches_caller: Callable[[], bool] = lambda: True
        self._progress: float | None = None
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self.sending: asyncio.Task[None] | None = None

    def went_on(self, call: Call, channel: Channel) -> None:
        """Its caller sent it again."""
        self.call, self.channel = call, channel

    def progress(self, notice: ProgressNotice) -> None:
        """Tell the caller how far it is, if that wants to know; what does not grow is not told: an upstream that was
        asked again, with answers, begins anew, and the caller's request is the same.
        """
        token = self.call.progress_token
        if token is None or (self._progress is not None and notice.progress <= self._progress):
            return
        self._progress = notice.progress
        self._say(names.NOTIFY_PROGRESS, msgspec.structs.replace(notice, progress_token=token))

    def log(self, notice: MessageNotice) -> None:
        """Tell the caller a log message, if it wants that level."""
        wanted = self.call.log_level
        if wanted is None:
            if self.call.profile.stateless or not self.channel.lasting:
                return
        elif _RANK[notice.level] < _RANK[wanted]:
            return
        self._say(names.NOTIFY_MESSAGE, msgspec.structs.replace(notice, meta=None))

    async def ask(self, method: str, params: Raw) -> Raw:
        """The caller's answer. Raises the caller's `RPCError`, or `FeatureUnavailable`."""
        if self.park is not None:
            return await self.park(method, params)
        return await (self.channel.asking or self.channel.ask)(method, bytes(params))

    async def said(self) -> None:
        """Wait until all that was said has left."""
        if self.sending is not None:
            await self.sending

    def _say(self, method: str, notice: Any) -> None:
        message = messages.notice(self.call.profile, method, notice)
        if self.sending is None and self.channel.tell(message):
            return
        self._waiting.append(message)
        self._size += len(message)
        while len(self._waiting) > MAX_WAITING or self._size > MAX_WAITING_BYTES:
            self._next()
        if self.sending is None:
            self.sending = asyncio.create_task(self._send())

    def _next(self) -> bytes:
        message = self._waiting.popleft()
        self._size -= len(message)
        return message

    async def _send(self) -> None:
        try:
            while self._waiting:
                await self.channel.emit(self._next())
        finally:
            self.sending = None


__all__ = ["MAX_WAITING", "MAX_WAITING_BYTES", "Passing", "current"]
