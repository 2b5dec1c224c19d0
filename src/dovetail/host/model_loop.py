"""What stands between a model and the tools of a host: definitions in, calls out, answers back.

Theory of operation. An API wants an answer to each call of a turn, or refuses what comes next; so whatever becomes of a
call is an answer: what the tool gave, that a person refused it, that its server can't be used now, or that nobody knows
what was done. All calls of a turn are made side by side, as the APIs mean them; who has to agree is asked for one after
the other. Only a host that is closed, and what is no error of a call, is raised.

Specification: server/tools, "Error Handling"; client best practices.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from msgspec import UNSET

from ..errors import Closed, DovetailError, RequestTimeout, TransportError
from ..models.answers import CallAnswer, ModelCall, OfferedTool
from ..models.formats import FRAMEWORKS, FormatName, bound_tools, calls_of, messages_of, tool_definitions
from ..security import passage
from .results import HostResult

__all__ = ["ModelLoop", "answer_of"]

_LONGEST: Final = 4_000
_UNKNOWN: Final = "Nobody knows whether it was carried out; look before you call it again."
ToolSource = Callable[[], Awaitable[Iterable[OfferedTool]]]
ToolUse = Callable[[str, dict[str, Any]], Awaitable[CallAnswer]]


class ModelLoop:
    """``offered`` gives the tools that the model is told of, ``use`` calls one."""

    def __init__(self, offered: ToolSource, use: ToolUse) -> None:
        self._offered = offered
        self._use = use

    async def tools_for(self, format: FormatName) -> list[Any]:
        """The tools in a format; see `Host.tools_for`."""
        offered = await self._offered()
        if format in FRAMEWORKS:
            return bound_tools(format, offered, self._called)
        return list(tool_definitions(format, offered))

    async def run_tool_call(self, format: FormatName, call: ModelCall) -> list[dict[str, Any]]:
        """Make one call; see `Host.run_tool_call`."""
        messages_of(format, ())  # a wrong format is said before anything is done
        return messages_of(format, [(call, await self._answered(call))])

    async def run_tool_calls(self, format: FormatName, response: Any) -> list[dict[str, Any]]:
        """Make all calls of a response; see `Host.run_tool_calls`."""
        calls = calls_of(format, response)
        answers = await asyncio.gather(*(self._answered(each) for each in calls))
        return messages_of(format, list(zip(calls, answers, strict=True)))

    async def _answered(self, call: ModelCall) -> CallAnswer:
        if call.problem:
            return CallAnswer(parts=(f"{call.name} was not called: {call.problem}",), is_error=True)
        return await self._called(call.name, call.arguments)

    async def _called(self, name: str, arguments: dict[str, Any]) -> CallAnswer:
        try:
            return await self._use(name, arguments)
        except Closed:
            raise
        except DovetailError as problem:
            text = passage(str(problem))[:_LONGEST] or type(problem).__name__
            if isinstance(problem, (TransportError, RequestTimeout)) and not problem.retry_safe:
                text = f"{text}. {_UNKNOWN}"
            return CallAnswer(parts=(text,), is_error=True)


def answer_of(result: HostResult) -> CallAnswer:
    """What a tool gave, for a model."""
    return CallAnswer(
        parts=result.parts,
        is_error=result.is_error,
        structured=result.structured if result.raw.has_structured else UNSET,
    )
