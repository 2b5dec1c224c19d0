"""Arguments that arrive as text: the variables of a resource template, the arguments of a prompt.

Every value is a string on the wire (or a list of them, for variables that were exploded). It becomes what the
parameter says, by the rules for the arguments of a tool with leniency asked for: a number, a boolean, an enumeration;
for lists and objects the text is read as JSON. Constraints and defaults count as they do for tools.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from ..protocol.errors import InvalidParams
from . import native
from .arguments import ArgumentsPlan, BadArguments, nearest
from .signature import Parameter, Plan


class TextArguments:
    """Turns named texts into the values of a plan's inputs. Raises `RegistrationError` for what cannot be made from
    text.
    """

    def __init__(self, plan: Plan) -> None:
        self._inputs = plan.inputs
        self._plans = {
            each.name: ArgumentsPlan(replace(plan, inputs=(each,)), strict=False) for each in plan.inputs
        }

    def refuse_strangers(self, names: Iterable[str]) -> None:
        """Raise `InvalidParams` for an argument of a prompt that it does not have; the nearest that it has is named."""
        for name in names:
            if name not in self._plans:
                told = nearest(name, self._plans, of="prompt")
                raise InvalidParams(f"{name[:100]}: no such argument; {told}")

    def read(self, texts: Mapping[str, str | list[str]]) -> tuple[Any, ...]:
        """The values, in the order of the signature. Raises `InvalidParams` naming what is missing or does
        not fit.
        """
        return tuple([self._value(parameter, texts.get(parameter.name)) for parameter in self._inputs])

    def _value(self, parameter: Parameter, text: str | list[str] | None) -> Any:
        if text is None:
            if parameter.required:
                raise InvalidParams(f"the argument {parameter.name!r} is required")
            return parameter.value()
        if parameter.annotation is str and isinstance(text, str):
            return text
        try:
            return self._plans[parameter.name].decode(msgspec.json.encode({parameter.name: text}))[0]
        except BadArguments as problem:
            return _loosely(parameter, text, problem)


def _loosely(parameter: Parameter, text: str | list[str], problem: BadArguments) -> Any:
    """A value by msgspec's rules for texts, which take "1" for true and a number for a time."""
    try:
        return msgspec.convert(text, native.prepare(parameter.annotation), strict=False)
    except (
        msgspec.MsgspecError,
        TypeError,
        NotImplementedError,  # what msgspec raises for a type that it has no rules for
    ):
        said = str(problem).removeprefix(f"{parameter.name}: ")
        raise InvalidParams(f"the argument {parameter.name!r} is not valid: {said}") from None
