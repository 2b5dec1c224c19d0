"""Calling a host's handlers.

Coroutine functions run on the loop, plain functions in a thread, since asking a person blocks. A handler that wants a
second argument is told which call it is asked for, as far as that is known. All run in the context (`contextvars`) of
that call, on every transport; where no call can be told, in the one in which the client was opened.
Specification: client/elicitation, client/sampling, client/roots.
"""

import asyncio
import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from .answers import CallInfo


async def call_handler(handler: Callable[..., Any], *arguments: Any, call: CallInfo | None = None) -> Any:
    """What a handler of a client gives, called as clients call theirs: a coroutine function on the loop, a plain one in
    a thread, since asking a person blocks. For handlers that are made of others. ``call``: the last argument of a
    handler that wants one more than ``arguments``, such as `ElicitRequest.call`. Raises what the handler raises.

    Specification: client/elicitation, client/sampling, client/roots.
    """
    if takes_call(handler, len(arguments)):
        arguments = (*arguments, call)
    method = inspect.getattr_static(
        handler, "__call__", None
    )  # an object that is called as a coroutine function
    if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(method):
        return await handler(*arguments)
    outcome = await asyncio.to_thread(handler, *arguments)
    return await outcome if inspect.isawaitable(outcome) else outcome


def takes_call(handler: Callable[..., Any], given: int = 1) -> bool:
    """Whether a handler needs one more positional argument than what it is ``given``: the call."""
    function = getattr(handler, "__func__", None)
    return _needs(handler, given + 1) if function is None else _method_needs(function, given + 2)


@lru_cache(maxsize=256)
def _method_needs(function: Callable[..., Any], number: int) -> bool:
    """As `_needs`; a program has few methods that are handlers, and may give them with each call."""
    return _needs(function, number)


def _needs(handler: Callable[..., Any], number: int) -> bool:
    """Whether a handler has to be given so many positional arguments."""
    try:
        parameters = inspect.signature(handler).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [each for each in parameters if each.kind in positional and each.default is each.empty]
    return len(needed) == number
