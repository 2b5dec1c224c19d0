"""Whether the client is asked something during a call.

Theory of operation. Where questions are requests to the client, they go through `Channel.asking`; who listens there
hands on to what was there before. In rounds (2026-07-28) a question is an answer of its own, `InputRequired`, and what
was answered comes with the next request.

Specification: none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType

from msgspec import Raw

from dovetail.extensions import Channel

__all__ = ["HeardQuestions"]


class HeardQuestions:
    """Hears of requests to the client, while it is entered: ``with HeardQuestions(channel) as questions: ...``.

    ``asked``: there was one.
    """

    def __init__(self, channel: Channel) -> None:
        self.asked = False
        self._channel = channel
        self._before: Callable[[str, bytes], Awaitable[Raw]] | None = None

    def __enter__(self) -> HeardQuestions:
        self._before, self._channel.asking = self._channel.asking, self._heard
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.asking = self._before

    async def _heard(self, method: str, params: bytes) -> Raw:
        self.asked = True
        return await (self._before or self._channel.ask)(method, params)
