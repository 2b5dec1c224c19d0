"""Filling the parameters that the server fills: context, principal, dependencies, questions asked beforehand.

Compiled once per function. A function that wants only the context, or nothing, costs nothing here;
dependencies are called in the order of the signature, once per call unless they say otherwise, and
generators clean up after the function is done.
"""

import copy
import inspect
import re
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from string import Formatter
from typing import Any, Final, cast

from msgspec import UNSET

from ..protocol.errors import DovetailError, FeatureUnavailable, MissingCapability
from ..security.principal import Principal
from .app_scope import AppScope
from .context import Context
from .forms import Form
from .markers import Ask, Depends
from .signature import MISSING, Plan, Slot, inspect_function

CONTEXT: Final = "context"
PRINCIPAL: Final = "principal"
INJECTABLES: Final[Mapping[type, Any]] = {Context: CONTEXT, Principal: PRINCIPAL}


class Injector:
    """Fills the slots of one plan. ``trivial``: there is nothing to wait for and nothing to clean up. ``asks``:
    something is asked for it.
    """

    def __init__(
        self, plan: Plan, *, app: AppScope, overrides: Mapping[Any, Callable[..., Any]] | None = None
    ) -> None:
        self._plan = plan
        self._app = app
        self._slots = plan.slots
        self._overrides: Mapping[Any, Callable[..., Any]] = overrides if overrides is not None else {}
        self._plans: dict[Any, Injector] = {}
        self.asks = any(isinstance(slot.kind, Ask) for slot in plan.slots)
        for slot in plan.slots:
            if isinstance(slot.kind, Depends):
                inner = self._depend_on(slot.kind.provider)
                self.asks = self.asks or inner.asks
                if slot.kind.scope == "app":
                    inner.refuse_calls()
            elif isinstance(slot.kind, Ask):
                self._check_question(slot, slot.kind)
        kinds = {slot.kind if isinstance(slot.kind, str) else "general" for slot in plan.slots}
        self.trivial = "general" not in kinds
        self.needs_context = bool(plan.slots)
        self._context_alone: Final = [slot.kind for slot in plan.slots] == [CONTEXT]

    def fill_at_once(self, context: Context) -> tuple[Any, ...]:
        """The values of the slots of a trivial plan."""
        if self._context_alone:
            return (context,)
        return tuple(context if slot.kind == CONTEXT else context.principal for slot in self._slots)

    async def fill(
        self, context: Context, stack: AsyncExitStack, arguments: Mapping[str, Any], cache: dict[Any, Any]
    ) -> tuple[Any, ...]:
        """The values of the slots; what they opened is closed with the stack."""
        return tuple([await self._value(slot, context, stack, arguments, cache) for slot in self._slots])

    async def _value(
        self,
        slot: Slot,
        context: Context,
        stack: AsyncExitStack,
        arguments: Mapping[str, Any],
        cache: dict[Any, Any],
    ) -> Any:
        kind = slot.kind
        if isinstance(kind, Ask):
            message = kind.message.format_map(arguments) if "{" in kind.message else kind.message
            try:
                return await context.elicit(message, slot.annotation, key=kind.key or slot.name)
            except (MissingCapability, FeatureUnavailable):
                if kind.otherwise is UNSET:
                    raise
                return copy.deepcopy(kind.otherwise)  # what one call does to it is no other's
        if not isinstance(kind, Depends):
            return context if kind == CONTEXT else context.principal
        if kind.scope == "app":
            return await self._shared(kind)
        provider = self._overrides.get(kind.provider, kind.provider)
        if kind.cached and provider in cache:
            return cache[provider]
        value = await self._depend_on(provider).provide(context, stack, arguments, cache)
        if kind.cached:
            cache[provider] = value
        return value

    async def provide(
        self, context: Context, stack: AsyncExitStack, arguments: Mapping[str, Any], cache: dict[Any, Any]
    ) -> Any:
        """Call this plan's own function as a dependency."""
        return await self._open(stack, await self.fill(context, stack, arguments, cache))

    async def keep(self, stack: AsyncExitStack) -> Any:
        """Call this plan's own function as a dependency of the app."""
        kinds = [cast("Depends", slot.kind) for slot in self._slots]
        return await self._open(stack, tuple([await self._shared(kind) for kind in kinds]))

    async def _shared(self, kind: Depends) -> Any:
        provider = self._overrides.get(kind.provider, kind.provider)
        return await self._app.value(provider, self._depend_on(provider).keep)

    async def _open(self, stack: AsyncExitStack, filled: tuple[Any, ...]) -> Any:
        plan = self._plan
        defaults = tuple(parameter.value() for parameter in plan.inputs)
        if plan.flavor == "async generator":
            source = cast("Callable[..., AsyncGenerator[Any]]", plan.invoke)
            return await stack.enter_async_context(asynccontextmanager(source)(defaults, filled))
        if plan.flavor == "generator":
            generate = cast("Callable[..., Generator[Any]]", plan.invoke)
            return stack.enter_context(contextmanager(generate)(defaults, filled))
        value = plan.invoke(defaults, filled)
        return await value if inspect.isawaitable(value) else value

    def refuse_calls(self) -> None:
        """Raise `RegistrationError` if this dependency of the app needs what belongs to one call."""
        for slot in self._slots:
            if not (isinstance(slot.kind, Depends) and slot.kind.scope == "app"):
                raise self._plan.refuse(
                    'lives as long as the app (scope="app"), so nothing that belongs to one call can be put into it; '
                    'depend on others of scope="app" only',
                    slot.name,
                )

    def _check_question(self, slot: Slot, question: Ask) -> None:
        """Refuse, at registration, a question that no form expresses, or whose text names no argument."""
        if slot.default is not MISSING:
            raise self._plan.refuse(
                f"has a default, which is never used beside Ask(...): if {slot.default!r:.60} is for clients that can't"
                f" be asked, write Ask(..., otherwise={slot.default!r:.60})",
                slot.name,
            )
        try:
            Form.of(slot.annotation)
            named = {name for _, name, _, _ in Formatter().parse(question.message) if name is not None}
        except (DovetailError, ValueError) as problem:
            raise self._plan.refuse(f"can't be asked: {problem}", slot.name) from problem
        known = {parameter.name for parameter in self._plan.inputs}
        if strangers := {re.split(r"[.\[]", name)[0] for name in named} - known:
            raise self._plan.refuse(
                f"asks about {{{min(strangers)}}}, and there is no such argument; known are "
                f"{', '.join(sorted(known)) or 'none'}",
                slot.name,
            )

    def _depend_on(self, provider: Callable[..., Any]) -> "Injector":
        found = self._plans.get(provider)
        if found is None:
            plan = inspect_function(provider, injectables=INJECTABLES)
            for parameter in plan.inputs:
                if parameter.required:
                    raise plan.refuse(
                        "a dependency's parameters are filled by the server: annotate it with Context, Principal "
                        "or Depends(...), or give it a default",
                        parameter.name,
                    )
            found = self._plans[provider] = Injector(plan, app=self._app, overrides=self._overrides)
        return found
