"""Exceptions of the program as errors that a caller can read.

Theory of operation. An exception that nobody foresaw is answered with a sentence that says nothing. A table says once,
for all tools, resources, prompts, completions and methods, what those that a program does foresee are answered with.
Nothing of the exception itself is told, but what a function of the table makes of it.

Specification: server/tools, "Error Handling".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, cast

from dovetail.errors import InternalError, RPCError, ToolError
from dovetail.extensions import Call, Channel, Encoded, Handler, Result
from dovetail.logs import get_logger
from dovetail.types import CallToolParams

from .failures import Failures

__all__ = ["ErrorTable"]

log: Final = get_logger("dovetail.server")


class ErrorTable:
    """Answers exceptions by their types: ``App(middleware=[ErrorTable({...})])``.

    ``table``: by type of exception, a text, or a function that is given the exception and gives a `ToolError` or an
    `RPCError`. The nearest of the classes that an exception has counts. A text reaches the model as the error result of
    a tool, and is an `InternalError` elsewhere. ``logged``: whether the log (``dovetail.server``, at WARNING) has the
    exception itself with its traceback (True); what stands in no table is logged as always. A function that fails, or
    gives something else, leaves the exception as unforeseen as it was. Raises TypeError for a table that is none.
    """

    def __init__(
        self,
        table: Mapping[type[Exception], str | Callable[[Exception], Exception]],
        *,
        logged: bool = True,
    ) -> None:
        for kind, told in cast("Mapping[object, object]", table).items():
            if not (isinstance(kind, type) and issubclass(kind, Exception)):
                raise TypeError(f"an ErrorTable is by types of exceptions, and {kind!r:.80} is none")
            if isinstance(told, type) or not (isinstance(told, str) or callable(told)):
                raise TypeError(
                    f"an ErrorTable answers {kind.__name__} with a text, or with a function that makes the error of the"
                    f" exception, such as lambda problem: ToolError('...'), not with {told!r:.80}"
                )
        self._table = dict(table)
        self._logged = logged

    async def __call__(self, call: Call, channel: Channel, handler: Handler) -> Result | Encoded:
        """See `Middleware`."""
        with Failures(channel, lambda problem: self._answer(call, problem)) as failures:
            try:
                return await handler(call, channel)
            except Exception as problem:
                if failures.last is not None:
                    raise  # it was asked for an answer before it came here
                answer = self._answer(call, problem)
                if answer is problem:
                    raise
                raise answer from problem

    def _answer(self, call: Call, problem: Exception) -> Exception:
        """What an exception is answered with; itself where the table does not say."""
        told = next((self._table[kind] for kind in type(problem).__mro__ if kind in self._table), None)
        if told is None:
            return problem
        tool = call.params.name if isinstance(call.params, CallToolParams) else ""
        if isinstance(told, str):
            answer: Exception = ToolError(told) if tool else InternalError(told)
        else:
            try:
                answer = told(problem)
            except Exception:
                log.exception("an ErrorTable failed to answer a %s", type(problem).__name__)
                return problem
            if not isinstance(answer, (ToolError, RPCError)):
                log.error(
                    "an ErrorTable answered a %s with a %s, and a ToolError or an RPCError was expected",
                    type(problem).__name__,
                    type(answer).__name__,
                )
                return problem
        if self._logged:
            log.warning("%s %s failed, as foreseen", call.method, tool, exc_info=problem)
        return answer
