"""What an author's function raised, before it becomes an answer.

Theory of operation. A tool that fails is answered with a result for the model, and a resource with a protocol error; by
then the exception is gone. `Channel.failing` is asked before that. Those who listen stand one inside of the other, as
their middleware does: the inner one is asked first, and the outer one is given what that made of it.

Specification: none.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from dovetail.extensions import Channel

__all__ = ["Failures"]


class Failures:
    """Hears what the function of a call raises, while it is entered: ``with Failures(channel) as failures: ...``.

    ``last``: what it raised last, None if nothing. ``translate``: given what was raised, gives what it is answered as,
    the same to leave it as it is.
    """

    def __init__(self, channel: Channel, translate: Callable[[Exception], Exception] | None = None) -> None:
        self.last: Exception | None = None
        self._channel = channel
        self._translate = translate
        self._before: Callable[[Exception], Exception] | None = None

    def __enter__(self) -> Failures:
        self._before, self._channel.failing = self._channel.failing, self._heard
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.failing = self._before

    def _heard(self, problem: Exception) -> Exception:
        self.last = problem
        answer = problem if self._translate is None else self._translate(problem)
        return answer if self._before is None else self._before(answer)
