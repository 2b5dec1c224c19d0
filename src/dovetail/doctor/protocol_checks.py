"""What only a client finds out: the era, the revisions, what is listed, what is wrong with it, and how fast it is.

Theory of operation. This is the client that everybody uses, with the credentials that it was given; no tool is called
and no resource read. A server that fails here has been reached: what is wrong is said by the error that its users see.

Specification: basic/versioning, basic/lifecycle, server/discover; server/tools.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from typing import Any, Final

from ..client import Client
from ..protocol.errors import DovetailError
from ..protocol.revisions import PROFILES, REVISIONS
from ..protocol.types import DiscoverParams, PingParams
from ..surface.linting import lint
from ..surface.snapshot import Surface
from ..surface.taking import take_surface
from .advising import failure
from .findings import Step

__all__ = ["check_latency", "check_listing", "check_opening", "check_revisions", "check_surface"]

_PINGS: Final = 9
_SLOW: Final = 1.0
_TOLD: Final = 8


async def check_opening(client: Client) -> Step:
    """Open the client: which era and revision it speaks, and who the server says it is."""
    began = time.perf_counter()
    try:
        await client.open()
    except (DovetailError, OSError) as problem:
        return failure("opening", problem)
    seconds = time.perf_counter() - began
    info = client.server_info
    name = f"{info.title or info.name} {info.version}" if info is not None else "a server without a name"
    facts = {
        "era": client.era,
        "revision": client.revision,
        "server": None if info is None else info.to_wire(),
        "capabilities": None if client.server_capabilities is None else client.server_capabilities.to_wire(),
    }
    what = f"{name}, {client.era} era, revision {client.revision}, after {seconds * 1000:.0f} ms"
    if info is None:
        advice = ("have it say its name and version: hosts show and log them",)
        return Step(name="opening", status="warning", what=what, advice=advice, facts=facts, seconds=seconds)
    return Step(name="opening", status="ok", what=what, facts=facts, seconds=seconds)


async def check_revisions(make: Callable[[str], Client], timeout: float) -> Step:
    """Which revisions it speaks, each tried by a client that speaks no other. ``timeout``: seconds for each."""
    began = time.perf_counter()
    spoken: list[str] = []
    refused: dict[str, str] = {}
    for revision in REVISIONS:
        try:
            async with asyncio.timeout(timeout), make(revision):
                spoken.append(revision)
        except TimeoutError:
            refused[revision] = f"no answer within {timeout:g} s"
        except (DovetailError, OSError) as problem:
            refused[revision] = str(problem)
    facts = {"spoken": spoken, "refused": refused}
    seconds = time.perf_counter() - began
    silent = [revision for revision, reason in refused.items() if reason.startswith("no answer")]
    what = f"it speaks {', '.join(spoken)}" if spoken else "it speaks none that is asked for by name"
    if silent:
        advice = (
            "have it answer what it does not know with an error: a client that waits is a client that hangs",
        )
        what += f"; it does not answer to {', '.join(silent)}"
        return Step(
            name="revisions", status="warning", what=what, advice=advice, facts=facts, seconds=seconds
        )
    return Step(name="revisions", status="ok", what=what, facts=facts, seconds=seconds)


async def check_listing(client: Client) -> tuple[Step, Surface | None]:
    """List everything; gives the surface."""
    began = time.perf_counter()
    try:
        surface = await take_surface(client)
    except (DovetailError, OSError) as problem:
        return failure("listing", problem), None
    seconds = time.perf_counter() - began
    counts = {
        "tool": len(surface.tools),
        "resource": len(surface.resources),
        "resource template": len(surface.resource_templates),
        "prompt": len(surface.prompts),
    }
    told = (
        ", ".join(f"{count} {kind}{'s'[: count > 1]}" for kind, count in counts.items() if count) or "nothing"
    )
    what = f"{told}, after {seconds * 1000:.0f} ms"
    put_up = [each.message for each in client.warnings]
    facts = {**counts, "warnings": put_up}
    if put_up:
        advice = (f"mend what the client put up with: {'; '.join(put_up[:3])}",)
        count = f"{len(put_up)} thing{'s' if len(put_up) > 1 else ''}"
        what += f"; {count} not as the protocol has it"
        return Step(
            name="listing", status="warning", what=what, advice=advice, facts=facts, seconds=seconds
        ), surface
    if not any(counts.values()):
        advice = ("it offers nothing: check that tools are registered where the server is started",)
        return Step(
            name="listing", status="warning", what=what, advice=advice, facts=facts, seconds=seconds
        ), surface
    return Step(name="listing", status="ok", what=what, facts=facts, seconds=seconds), surface


def check_surface(surface: Surface) -> Step:
    """What is wrong with what is listed."""
    found = lint(surface)
    facts: dict[str, Any] = {
        "findings": [
            {
                "severity": each.severity,
                "kind": each.kind,
                "name": each.name,
                "what": each.what,
                "advice": each.advice,
            }
            for each in found
        ]
    }
    counts = [
        (sum(1 for each in found if each.severity == word), word) for word in ("error", "warning", "note")
    ]
    told = ", ".join(f"{count} {word}{'s' if count > 1 else ''}" for count, word in counts if count)
    worth = [each for each in found if each.severity != "note"]
    advice = tuple(
        f"{each.kind} {each.name!r}: {each.what}: {each.advice}"
        if each.name
        else f"{each.what}: {each.advice}"
        for each in (worth or found)[:_TOLD]
    )
    if len(worth) > _TOLD:
        advice = (*advice, f"and {len(worth) - _TOLD} more: --json has them all")
    if any(each.severity == "error" for each in found):
        return Step(name="surface", status="failed", what=told, advice=advice, facts=facts, cause="protocol")
    if worth:
        return Step(name="surface", status="warning", what=told, advice=advice, facts=facts)
    return Step(name="surface", status="ok", what=told or "nothing to say", advice=advice, facts=facts)


async def check_latency(client: Client) -> Step:
    """How long an answer takes that needs no work."""
    profile = PROFILES[client.revision]
    kind = PingParams if not profile.stateless else DiscoverParams
    method = next((each.name for each in profile.client_requests.values() if each.params is kind), "")
    took: list[float] = []
    try:
        for _ in range(_PINGS):
            began = time.perf_counter()
            await client.request(method)
            took.append(time.perf_counter() - began)
    except (DovetailError, OSError) as problem:
        return failure("latency", problem)
    took.sort()
    middle, slowest = statistics.median(took), took[-1]
    facts = {"method": method, "median": middle, "slowest": slowest, "count": len(took)}
    what = f"{method} takes {middle * 1000:.1f} ms, at most {slowest * 1000:.1f} ms, of {len(took)}"
    if middle > _SLOW:
        advice = ("that is slow for no work: look for what blocks its event loop, and at the way there",)
        return Step(
            name="latency", status="warning", what=what, advice=advice, facts=facts, seconds=sum(took)
        )
    return Step(name="latency", status="ok", what=what, facts=facts, seconds=sum(took))
