"""What a step gives, as bytes and back.

Theory of operation. A step's result goes through JSON the first time already, in both eras: so it has the same type
when the step runs and when a later round finds it recorded. The type is the function's return annotation (or ``into``);
without one it is plain JSON values. What can't be written, or does not fit its annotation, is an error of the author's
that shows in the first run.

Specification: none; see basic/patterns/mrtr for why anything is recorded.
"""

import asyncio
import contextvars
import functools
import inspect
import typing
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, cast, get_args, get_origin

from msgspec import Raw

from ..protocol import codec
from ..protocol.errors import LocalProtocolError
from ..protocol.types.wire import Open
from . import native, pydantic_models

_inside: Final[contextvars.ContextVar[str | None]] = contextvars.ContextVar("dovetail_step", default=None)


class StepCodec:
    """Writes and reads the result of one step. ``kind`` is its type, `Any` for plain JSON values."""

    def __init__(self, name: str, kind: Any) -> None:
        self._name = name
        self._adapted = pydantic_models.adapt(kind) if pydantic_models.only_pydantic(kind) else None
        prepared = native.prepare(kind)
        try:
            self._decode: Callable[[bytes | Raw], Any] = (
                self._adapted.read if self._adapted is not None else native.reader(prepared)
            )
        except TypeError:
            raise LocalProtocolError(
                f"the step {name!r} gives a {kind!r}, which can't be recorded; give something that JSON can carry"
            ) from None

    def write(self, value: Any) -> bytes:
        """The bytes of a result. Raises `LocalProtocolError` where there are none."""
        try:
            if isinstance(value, Open):
                return codec.encode(value)
            plain = native.to_plain(value) if self._adapted is None else self._adapted.plain(value)
            data = codec.encode(plain)
        except Exception as problem:
            raise LocalProtocolError(
                f"the result of the step {self._name!r} can't be recorded as JSON: {problem}"
            ) from problem
        if (told := codec.no_number_in(plain, data)) is not None:
            raise LocalProtocolError(
                f"the result of the step {self._name!r} can't be recorded: JSON has no such number, {told}"
            )
        return data

    def read(self, data: bytes | Raw) -> Any:
        """The result in the bytes. Raises `LocalProtocolError` for what is not of the type."""
        try:
            return self._decode(data)
        except codec.DECODE_ERRORS as problem:
            raise LocalProtocolError(
                f"the recorded result of the step {self._name!r} is not what its annotation says: {problem}"
            ) from problem


async def run(fn: Callable[..., Any], args: tuple[Any, ...], name: str) -> Any:
    """Call a step's function, and wait for what it gives if that is to be waited for."""
    token = _inside.set(name)
    try:
        value = fn(*args)
        return await value if inspect.isawaitable(value) else value
    finally:
        _inside.reset(token)


def refuse_inside(what: str) -> None:
    """Raise `LocalProtocolError` in a step: nobody could answer there before the step has ended."""
    name = _inside.get()
    if name is not None:
        raise LocalProtocolError(
            f"{what} inside of the step {name!r}: the round would wait for the step, and the step for the round; "
            f"ask outside of steps"
        )


def result_type(fn: Callable[..., Any]) -> Any:
    """What a step's function says that it gives; `Any` if it does not say, or not in terms that can be resolved."""
    target: Any = fn
    while isinstance(target, functools.partial):
        target = cast("functools.partial[Any]", target).func
    if not inspect.isroutine(target) and not isinstance(target, type):
        target = type(target).__call__
    if isinstance(target, type):
        return cast("Any", target)
    try:
        found = typing.get_type_hints(target, include_extras=True).get("return", Any)
    except (NameError, TypeError, AttributeError):
        return Any
    if get_origin(found) in (Awaitable, Coroutine, asyncio.Future, asyncio.Task):
        found = get_args(found)[-1]
    return Any if isinstance(found, typing.TypeVar) else found


__all__ = ["StepCodec", "refuse_inside", "result_type", "run"]
