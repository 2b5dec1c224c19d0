"""Arguments that arrive as text: the variables of a resource template, the arguments of a prompt.

Every value is a string on the wire. It becomes what the parameter says: a number, a boolean, an
enumeration; for lists and objects the text is read as JSON.
"""

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from ..protocol.errors import InvalidParams
from .signature import MISSING, Parameter, Plan


class TextArguments:
    """Turns named texts into the values of a plan's inputs."""

    def __init__(self, plan: Plan) -> None:
        self._inputs = plan.inputs
        for parameter in plan.inputs:
            try:
                msgspec.json.Decoder(parameter.annotation)
            except TypeError as problem:
                raise plan.refuse(f"can't be made from text: {problem}", parameter.name) from None

    def read(self, texts: Mapping[str, str | list[str]]) -> tuple[Any, ...]:
        """The values, in the order of the signature. Raises `InvalidParams` naming what is missing or does
        not fit.
        """
        return tuple([self._value(parameter, texts.get(parameter.name)) for parameter in self._inputs])

    def _value(self, parameter: Parameter, text: str | list[str] | None) -> Any:
        if text is None:
            if parameter.default is MISSING:
                raise InvalidParams(f"the argument {parameter.name!r} is required")
            return parameter.default
        kind = parameter.annotation
        if kind is str and isinstance(text, str):
            return text
        try:
            return msgspec.convert(text, kind, strict=False)
        except msgspec.ValidationError as problem:
            return _from_json(parameter, text, problem)


def _from_json(parameter: Parameter, text: str | list[str], problem: msgspec.ValidationError) -> Any:
    try:
        return msgspec.json.decode(cast("str", text), type=parameter.annotation)
    except (msgspec.MsgspecError, TypeError, RecursionError):
        raise InvalidParams(f"the argument {parameter.name!r} is not valid: {problem}") from None
