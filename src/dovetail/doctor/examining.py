"""All steps of what a connection needs, in order: for a URL, a process, or anything else that a client takes.

Theory of operation. A step that fails ends the examination of what builds on it, and the steps that were left out are
named as not reached: what they would say follows from the one that failed. Each step is given as soon as it is known.

Specification: as the steps say.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Final, Unpack, cast

from msgspec.structs import replace

from ..client import Client, ClientOptions, Target
from ..client.options import settle
from ..client.targets import place_of
from ..protocol.errors import ConnectFailed, DovetailError
from ..security.fetching import FetchRefused, parse_url
from ..transports.stdio.client import StdioTransport
from .advising import ON_LINES, failure
from .authorization_checks import check_authorization
from .findings import Diagnosis, Step
from .http_probes import (
    HTTPProbe,
    check_endpoint,
    check_origins,
    check_sessions,
)
from .network import check_addresses, check_encryption, check_name
from .process_checks import ProcessExamination, check_program
from .protocol_checks import (
    check_latency,
    check_listing,
    check_opening,
    check_revisions,
    check_surface,
)

__all__ = ["diagnose", "examine"]

PATIENCE: Final = 5.0
"""Seconds that each step of the network may take."""
_URL_STEPS: Final = (
    *("name", "connection", "encryption", "http", "origins", "authorization"),
    *("opening", "revisions", "sessions", "listing", "surface", "latency"),
)
_PROCESS_STEPS: Final = ("program", "opening", "listing", "surface", "latency", "output", "end")
_OTHER_STEPS: Final = ("opening", "listing", "surface", "latency")


async def examine(
    target: Target, *, patience: float = PATIENCE, **options: Unpack[ClientOptions]
) -> AsyncIterator[Step]:
    """What a connection to a server needs, step by step, each as soon as it is known. Options as of `Client`.

    Credentials among the options go to the target alone, and no tool is called. ``patience``: seconds that each step of
    the network may take. Raises `LocalProtocolError` for what is no target, ImportError without aiohttp for a URL.
    """
    text = target if isinstance(target, str) else ""
    if text[:6].lower().startswith(("http:", "https:")):
        order, steps = _URL_STEPS, _at_url(text, patience, options)
    elif not text.lower().startswith(("unix:", "http+unix:")) and (command := _command(target, options)):
        order, steps = _PROCESS_STEPS, _of_process(command, options)
    else:
        order, steps = _OTHER_STEPS, _of_client(Client(target, **options))
    async for step in _whole(order, steps):
        yield step


async def diagnose(
    target: Target, *, patience: float = PATIENCE, **options: Unpack[ClientOptions]
) -> Diagnosis:
    """All steps of `examine` at once."""
    steps = [each async for each in examine(target, patience=patience, **options)]
    return Diagnosis(target=Client(target, **options).describe(), steps=tuple(steps))


async def _whole(order: Iterable[str], steps: AsyncIterator[Step]) -> AsyncIterator[Step]:
    """The steps, and after one that nothing came of, those that were not reached."""
    seen: dict[str, Step] = {}
    async for step in steps:
        seen[step.name] = step
        yield step
    failed = next((each.name for each in seen.values() if each.status == "failed"), "")
    for name in order:
        if name not in seen and failed:
            yield Step(name=name, status="not reached", what=f"{failed} comes first")


def _command(target: Any, options: ClientOptions) -> list[str]:
    """The command that a target starts; empty for one that starts none."""
    try:
        place = place_of(target, settle(options))
        transport = place.make() if place.process else None
    except ConnectFailed:
        return [str(target)]  # a file that is not there: it is said in its step
    return list(transport.command) if isinstance(transport, StdioTransport) else []


async def _at_url(url: str, patience: float, options: ClientOptions) -> AsyncIterator[Step]:
    try:
        location = parse_url(url)
    except FetchRefused as problem:
        yield Step(name="name", status="failed", what=str(problem), advice=("write the URL otherwise",))
        return
    step, addresses = await check_name(location, patience)
    yield step
    if not addresses:
        return
    step, reached = await check_addresses(addresses, location.port, patience)
    yield step
    if not reached:
        return
    step = await check_encryption(location, reached[0], patience)
    yield step
    if step.status == "failed":
        return
    async with HTTPProbe(url, patience) as probe:
        step, answer = await check_endpoint(probe)
        yield step
        if answer is None or step.status == "failed":
            return
        yield await check_origins(probe, reached[0], answer)
        asked = await check_authorization(probe, answer, patience)
        yield asked
        async for step in _of_url_client(probe, url, patience, options):
            yield _after_authorization(step, asked)


def _after_authorization(step: Step, asked: Step) -> Step:
    """A step that wants a login, with what has to be mended before there can be one."""
    if step.cause != "login" or not asked.advice or asked.facts.get("status") != 401:
        return step
    first = "mend what the step authorization says: until then nobody can log in by themselves"
    return replace(step, advice=(first, *step.advice))


async def _of_url_client(
    probe: HTTPProbe, url: str, patience: float, options: ClientOptions
) -> AsyncIterator[Step]:
    """What a client finds at a URL."""
    given: ClientOptions = {"revision": "auto", **options}
    client = Client(url, **given)
    opened = await check_opening(client)
    yield opened
    if opened.status == "failed":
        await client.close()
        return
    try:
        if given["revision"] == "auto":

            def only(revision: str) -> Client:
                return Client(url, **cast("ClientOptions", {**options, "revision": revision}))

            step = await check_revisions(only, patience)
            yield step
            if any(each in step.facts["spoken"] for each in _stateful()):
                yield await check_sessions(probe)
        async for step in _of_open(client):
            yield step
    finally:
        await client.close()


def _stateful() -> tuple[str, ...]:
    from ..protocol.revisions import STATEFUL

    return STATEFUL


async def _of_process(command: list[str], options: ClientOptions) -> AsyncIterator[Step]:
    program = check_program(command, options.get("env"))
    yield program
    if program.status == "failed":
        return
    process = ProcessExamination(command, env=options.get("env"), cwd=options.get("cwd"))
    whole: dict[str, Any] = {**options, "env": None, "cwd": None}
    client = Client(process.transport, **cast("ClientOptions", whole))
    opened = await check_opening(client)
    if opened.status == "failed":
        await client.close()  # what it writes at its end counts as well
        known = process.advice() or (ON_LINES if opened.cause == "timeout" else ())
        yield replace(opened, advice=(*known, *opened.advice))
        yield process.check_output()
        return
    yield opened
    async for step in _of_open(client):
        yield step
    yield process.check_output()
    yield await process.check_end(client)


async def _of_client(client: Client) -> AsyncIterator[Step]:
    opened = await check_opening(client)
    yield opened
    try:
        if opened.status != "failed":
            async for step in _of_open(client):
                yield step
    finally:
        await client.close()


async def _of_open(client: Client) -> AsyncIterator[Step]:
    """What an open client finds."""
    step, surface = await check_listing(client)
    yield step
    if step.cause == "unreachable":
        return
    if surface is not None:
        yield check_surface(surface)
    try:
        yield await check_latency(client)
    except (DovetailError, OSError) as problem:
        yield failure("latency", problem)
