"""Suggestions for the arguments of prompts and the variables of resource templates.

A completer belongs to one argument of one prompt or template. It gets what is typed so far and, if it asks
for them, the arguments settled already. Specification: server/utilities/completion.
"""

from collections.abc import Iterable, Sequence
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
    Prompt,
    PromptReference,
)
from ..protocol.uri_template.template import TemplateError, URITemplate
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

    def add(self, subject: str, argument: str, runner: Runner, prompt: Prompt | None = None) -> None:
        """Complete an argument of a prompt or template with a function. ``prompt``: the one of that name, if it is
        there already.

        Raises `RegistrationError`: for a second one, for an argument that is not there, and for a function that can't
        be one.
        """
        plan, kind = runner.plan, _kind_of(subject)
        if kind == names.REF_RESOURCE:
            _check_argument(plan, subject, argument, _variables(plan, subject), "variable")
        elif prompt is not None:
            _check_argument(plan, subject, argument, _arguments(prompt), "argument")
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

    def check(self, plan: Plan, prompt: Prompt) -> None:
        """Raise `RegistrationError` for a prompt, made from ``plan``, that lacks an argument which is completed."""
        known = _arguments(prompt)
        for (kind, subject, argument), (runner, _) in self._runners.items():
            if (kind, subject) == (names.REF_PROMPT, prompt.name) and argument not in known:
                completer = f"{runner.plan.name}() in {runner.plan.where}"
                raise plan.refuse(
                    f"has no argument {argument!r}, which {completer} completes; {_instead(argument, known)}"
                )

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


def _arguments(prompt: Prompt) -> Sequence[str]:
    return [each.name for each in prompt.arguments or ()]


def _variables(plan: Plan, template: str) -> Sequence[str]:
    try:
        return URITemplate(template).variables
    except TemplateError as problem:
        raise plan.refuse(f"what it completes is no URI template: {problem}") from None


def _check_argument(plan: Plan, subject: str, argument: str, known: Sequence[str], what: str) -> None:
    if argument not in known:
        raise plan.refuse(f"{subject!r} has no {what} {argument!r} to complete; {_instead(argument, known)}")


def _instead(argument: str, known: Sequence[str]) -> str:
    """What to write in the place of an argument that is not there."""
    from difflib import get_close_matches  # for what went wrong

    if near := get_close_matches(str(argument), known, 1):
        return f"did you mean {near[0]!r}?"
    return f"there is {', '.join(map(repr, known))}" if known else "it has none at all"


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
