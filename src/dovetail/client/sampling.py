"""Sampling, the client's part: rules for what the host's model sees, and for what the server gets back.

Deprecated since 2026-07-28 (SEP-2577), in favour of servers calling a model provider themselves.
Specification: client/sampling.
"""

from typing import Any

from ..protocol.errors import InternalError, InvalidParams, MethodNotFound
from ..protocol.tool_balance import blocks, imbalance
from ..protocol.types import CreateMessageParams, CreateMessageResult, TextContent, ToolUseContent
from .answers import CallInfo
from .calling import call_handler
from .options import Options


async def answer_sampling(
    params: CreateMessageParams, options: Options, call: CallInfo | None = None
) -> CreateMessageResult:
    """The model's message. ``call``: who asks, if that is known.

    Raises `InvalidParams` for a request that breaks the rules, `InternalError` for such an answer.
    """
    if options.sampling is None:
        raise MethodNotFound("this client does not offer sampling")
    if (params.tools is not None or params.tool_choice is not None) and not options.sampling_tools:
        raise InvalidParams("this client did not declare sampling with tools")
    problem = imbalance(params.messages)
    if problem is not None:
        raise InvalidParams(problem)
    given = await call_handler(options.sampling, params, call=call)
    result = _result(given)
    used = [block for block in blocks(result.content) if isinstance(block, ToolUseContent)]
    mode = params.tool_choice.mode if params.tool_choice is not None else None
    if used and (mode == "none" or not params.tools):
        raise InternalError("the client's model used a tool where none was allowed")
    if mode == "required" and params.tools and not used:
        raise InternalError("the client's model used no tool where one was required")
    return result


def _result(given: Any) -> CreateMessageResult:
    if isinstance(given, CreateMessageResult):
        return given
    if isinstance(given, str):
        return CreateMessageResult(
            role="assistant", content=TextContent(text=given), model="unknown", stop_reason="endTurn"
        )
    raise InternalError("the client's sampling handler gave neither a result nor text")
