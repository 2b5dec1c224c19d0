"""Suggestions for the arguments of prompts and the variables of resource templates.

A completer belongs to one argument of one prompt or template. It gets what is typed so far and, if it asks
for them, the arguments settled already. Specification: server/utilities/completion.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Any, Final, cast

from msgspec.structs import replace

from ..protocol import names
from ..protocol.call import Call
from ..protocol.errors import RPCError
from ..protocol.types import (
    CompleteParams,
    CompleteResult,
    Completion,
    CompletionContext,
    PromptReference,
)
from ..runtime.channel import Channel
from . import hints
from .data import OutputMismatch, check_returns, check_size
from .entries import raise_received
from .running import Runner
from .signature import Plan

LIMIT: Final = 100


class Completers:
    """Completers by reference and argument."""

    def __init__(self) -> None:
        self._runners: dict[tuple[str, str, str], tuple[Runner, tuple[bool, ...]]] = {}

    def __len__(self) -> int:
        return len(self._runners)

    def add(self, subject: str, argument: str, runner: Runner) -> None:
        """Complete an argument of a prompt or template with a function.

        Raises `RegistrationError`: for a second one, and for a function that can't be one.
        """
        plan, kind = runner.plan, _kind_of(subject)
        check_returns(plan, "a completer")
        if hints.without_markers(plan.returns) is str:
            raise plan.refuse(
                "returns one text, and a completer gives a list of them: annotate `-> list[str]`"
            )
        if (other := self._runners.get((kind, subject, argument))) is not None:
            raise plan.refuse(
                f"{argument!r} of {subject!r} is completed already, by {other[0].plan.name}() in {other[0].plan.where}"
            )
        self._runners[kind, subject, argument] = (runner, _wants(runner.plan))

    def remove(self, subject: str, argument: str) -> None:
        """Complete an argument no more. Raises KeyError when nothing did."""
        del self._runners[_kind_of(subject), subject, argument]

    async def complete(self, call: Call, channel: Channel) -> CompleteResult:
        """The suggestions. An argument nobody completes has none."""
        params = cast("CompleteParams", call.params)
        if isinstance(params.ref, PromptReference):
            key = (names.REF_PROMPT, params.ref.name, params.argument.name)
        else:
            key = (names.REF_RESOURCE, params.ref.uri, params.argument.name)
        found = self._runners.get(key)
        if found is None:
            return CompleteResult(completion=Completion(values=[]))
        runner, wants = found
        context = params.context or CompletionContext()
        values = tuple(context if wanted else params.argument.value for wanted in wants)
        try:
            completion = _limited(await runner.run(call, channel, values))
        except RPCError as problem:
            raise_received(f"completion of {params.argument.name!r}", problem)
            raise
        check_size(completion)
        return CompleteResult(completion=completion)


def _kind_of(subject: str) -> str:
    """Whether it is a resource or template that is called so, or a prompt."""
    return names.REF_RESOURCE if "://" in subject or "{" in subject else names.REF_PROMPT


def _wants(plan: Plan) -> tuple[bool, ...]:
    """Per input, whether it is the context of settled arguments rather than the value typed so far."""
    wants = tuple(
        parameter.annotation in (CompletionContext, CompletionContext | None) for parameter in plan.inputs
    )
    if wants.count(False) != 1 or len(wants) > 2:
        raise plan.refuse(
            "a completer takes the text typed so far as its one parameter, and if it likes a "
            "CompletionContext with the arguments settled already"
        )
    return wants


def _limited(value: Any) -> Completion:
    if isinstance(value, Completion):
        if len(value.values) <= LIMIT:
            return value
        counted = value.total is None and not value.has_more  # else it knows of more than it gave
        total = len(value.values) if counted else value.total
        return replace(value, values=value.values[:LIMIT], total=total, has_more=True)
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise OutputMismatch(
            f"a completer gives a list of texts, and this one gave a {type(value).__qualname__}"
        )
    values = [_text(item) for item in cast("Iterable[object]", value)]
    if len(values) <= LIMIT:
        return Completion(values=values)
    return Completion(values=values[:LIMIT], total=len(values), has_more=True)


def _text(item: object) -> str:
    while isinstance(item, Enum):
        item = item.value
    return str(item)
