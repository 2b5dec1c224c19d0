"""Mounting a provider on an app: what has to hold, and where it goes.

Specification: none.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ..protocol.call import Call
from ..runtime.channel import Channel
from ..runtime.extension import Extensions
from .catalog import Catalog
from .context import Context
from .injection import INJECTABLES
from .providers.composition import Composition
from .providers.provider import AskingRunner, Provider
from .providers.ready import namespace
from .running import Runner, RunnerState
from .signature import RegistrationError, author_line, inspect_function


def mount(
    catalog: Catalog,
    own: Provider,
    prefix: str | None,
    what: Any,
    transforms: Sequence[Callable[[Any], Any]],
    *,
    extensions: Extensions,
    circular: bool,
    late: bool,
    runner_state: RunnerState,
) -> None:
    """Mount something on the app that has this catalog. ``circular``: it is that app, or that app is mounted on it.
    ``late``: the app runs. Raises `RegistrationError`.
    """
    where = author_line()
    if not isinstance(prefix, str | None):  # pyright: ignore[reportUnnecessaryIsInstance] - authors' code is not always checked
        raise RegistrationError(
            f"the prefix comes first, and {prefix!r:.100} is no text; write app.mount('weather', other), or None for no"
            " prefix",
            where=where,
        )
    provider = what.provide() if hasattr(what, "provide") else None
    if not isinstance(provider, Provider):
        raise RegistrationError(f"{what!r:.100} can't be mounted: {_no_provider(what)}", where=where)
    if circular:
        raise RegistrationError("an app can't be mounted on itself", where=where)
    if late:
        raise RegistrationError(f"{provider.label} comes too late: mount before the app runs", where=where)
    composition = composition_of(catalog, own, extensions)
    try:
        shown = provider.transformed(*transforms)
        shown = shown if prefix is None else shown.transformed(namespace(prefix))
    except ValueError as problem:
        raise RegistrationError(str(problem), where=where) from None
    tasks = [each.name for each in shown.known("tools", None) or () if each.task is not None]
    if tasks and not extensions.run_tasks:
        raise RegistrationError(
            f"{tasks[0]!r} of {provider.label} may run as a task, and this app has no tasks: give it"
            " extensions=[tasks()], too",
            where=where,
        )
    if prefix:
        provider.mounted_under(prefix)
    shown.mounted(_asking(runner_state))
    catalog.mounted = composition
    composition.mount(shown)


def composition_of(catalog: Catalog, own: Provider, extensions: Extensions) -> Composition:
    """What is mounted on the app that has this catalog, or what is to be."""
    composition = catalog.mounted
    if composition is None:
        return Composition(
            own,
            name=own.label,
            page_size=catalog.page_size,
            ttl_ms=catalog.ttl_ms,
            mask_errors=catalog.mask_errors,
            extensions=extensions,
            publish=catalog.publish,
        )
    if not isinstance(composition, Composition):
        raise TypeError(f"{composition!r:.100} is no Composition")
    return composition


def _asking(runner_state: RunnerState) -> AskingRunner:
    """How things of a provider ask: as an author's function does that wants a `Context`."""
    runner: Runner | None = None

    def ask(call: Call, channel: Channel, body: Callable[[Context], Awaitable[Any]]) -> Awaitable[Any]:
        nonlocal runner
        if runner is None:
            runner = Runner(inspect_function(_provided, injectables=INJECTABLES), runner_state)
        return runner.run(call, channel, (body,))

    return ask


async def _provided(body: Any, ctx: Context) -> Any:
    return await body(ctx)


def _no_provider(what: object) -> str:
    """Why something that can't be mounted can't, and what to write."""
    if isinstance(what, str | list | dict):
        return "for a server that is somewhere else write ProxyProvider(target), of dovetail.proxy"
    return "it is no app and no Provider"


__all__ = ["composition_of", "mount"]
