"""The relays that run in between, as they are shown: each with its faults and the conversation that passes it.

Specification: none; docs/in-between.md.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from dovetail.recording import CaptureInvalid

from .between.faults import FaultInvalid
from .between.live import LiveRelay, LiveUnavailable, Steering, live_relays
from .between.striking import FaultState
from .inspection import Inspection

__all__ = ["SteeredRelay", "running_relay", "steered_relays"]


class SteeredRelay(Struct, frozen=True, kw_only=True):
    """A relay that runs, with its ``faults``. ``transcript``: the id of its conversation, None before that has begun.
    ``problem``: why its faults can't be told.
    """

    relay: LiveRelay
    transcript: str | None
    faults: list[FaultState]
    problem: str = ""


async def steered_relays(inspection: Inspection) -> list[SteeredRelay]:
    """All of them, oldest first; conversations that are new are opened. None where there can be none."""
    try:
        relays = await asyncio.to_thread(live_relays)
    except LiveUnavailable:
        return []
    found: list[SteeredRelay] = []
    for each in relays:
        if _transcript_of(inspection, each) is None:
            with suppress(OSError, CaptureInvalid):  # it is gone, or has not begun
                inspection.open_capture(Path(each.capture), each.name, live=True)
        faults, problem = await asyncio.to_thread(_faults, each)
        transcript = _transcript_of(inspection, each)
        found.append(SteeredRelay(relay=each, transcript=transcript, faults=faults, problem=problem))
    return found


def running_relay(name: str) -> LiveRelay:
    """The relay of a name. Raises `LookupError` for one that is gone, `LiveUnavailable` where none can be steered."""
    found = next((each for each in live_relays() if each.name == name), None)
    if found is None:
        raise LookupError(f"no relay {name} runs any more")
    return found


def _faults(relay: LiveRelay) -> tuple[list[FaultState], str]:
    try:
        return Steering(relay).faults(), ""
    except (LiveUnavailable, FaultInvalid) as problem:
        return [], str(problem)


def _transcript_of(inspection: Inspection, relay: LiveRelay) -> str | None:
    path = Path(relay.capture)
    return next((id for id, each in inspection.transcripts.items() if each.path == path), None)
