"""What a handler gave, as a value; and a middleware for some methods alone.

Theory of operation. A handler gives a `Result`, or one that is JSON already: lists are encoded once and sent again and
again. Who only hands it on need not know. Who looks reads it here, and pays for that alone.

Specification: none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from dovetail.extensions import Call, Encoded, Result
from dovetail.revisions import PROFILES
from dovetail.types import Params, reader

__all__ = ["for_method", "methods_with", "result_of"]

M = TypeVar("M", bound=Callable[..., Any])
R = TypeVar("R", bound=Result)


@overload
def result_of(call: Call, result: Result | Encoded) -> Result: ...
@overload
def result_of(call: Call, result: Result | Encoded, kind: type[R]) -> R | None: ...
def result_of(call: Call, result: Result | Encoded, kind: type[Any] | None = None) -> Result | None:
    """What a handler gave for a call, as the value that it is; lists too, which come as JSON.

    ``kind``: the type that is looked for, such as `ListToolsResult`; None comes of any other, so of the questions that
    a tool asks in place of a `CallToolResult`. A value that was changed (``msgspec.structs.replace``) may be given back
    in the place of what the handler gave. It may be shared: change none of its lists.
    """
    if isinstance(result, Result):
        found = result
    else:
        method = call.profile.client_requests.get(call.method)
        found = reader(Result if method is None else method.result).keep(result)
    return found if kind is None or isinstance(found, kind) else None


def methods_with(*kinds: type[Params]) -> frozenset[str]:
    """The methods whose parameters are of these types, in any revision."""
    methods = [method for profile in PROFILES.values() for method in profile.client_requests.values()]
    return frozenset(method.name for method in methods if method.params in kinds)


def for_method(*names: str) -> Callable[[M], M]:
    """Have a middleware stand around these methods alone (``"tools/call"``); it is given back with ``methods`` set.

    Calls of other methods do not pass it. Raises ValueError without a name.
    """
    if not names:
        raise ValueError('for_method needs the name of a method, as in for_method("tools/call")')

    def narrow(layer: M) -> M:
        setattr(layer, "methods", frozenset(names))  # noqa: B010 - functions have any attribute, and no type says so
        return layer

    return narrow
