"""Calling a host's handlers.

Coroutine functions run on the loop, plain functions in a thread, since asking a person blocks.
Specification: client/elicitation, client/sampling, client/roots.
"""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any


async def call_handler(handler: Callable[..., Any], *arguments: Any) -> Any:
    """What the handler gives, awaited if need be. Raises what it raises."""
    method = inspect.getattr_static(
        handler, "__call__", None
    )  # an object that is called as a coroutine function
    if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(method):
        return await handler(*arguments)
    outcome = await asyncio.to_thread(handler, *arguments)
    return await outcome if inspect.isawaitable(outcome) else outcome
