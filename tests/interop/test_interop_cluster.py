"""Clients of other implementations at three workers of ours, behind a proxy that gives each request to the next one.

A question is answered at another worker than asked it, a call is cancelled where it does not run, and a change happens
where nobody listens; the client of another implementation notices nothing of all that.

Follows: no page of the specification; what is asked of whom is in `steps.py`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from machines import MissingEngine, cluster

from interop.conversation import NOT_REACHED, Outcome, drive, driver_command
from interop.installing import HERE, Peers
from interop.steps import STATEFUL, STATELESS, STEPS, WORKS, Cell, expectations
from interop.wire_file import frames
from oracle.checker import Oracle

EXPECTED = expectations()
CELLS = [
    Cell(peer, "client", "http", revision)
    for peer in ("mcp", "fastmcp", "typescript")
    for revision in (STATEFUL[0], *STATEFUL[2:], STATELESS)
]


@pytest.mark.timeout(150)
@pytest.mark.parametrize("engine", ["redis", "postgres"])
@pytest.mark.parametrize("cell", CELLS, ids=str)
async def test_a_client_notices_nothing_of_three_workers(
    cell: Cell, engine: str, peers: Peers, folder: Path, oracle: Oracle
) -> None:
    """Each step goes as it goes at one worker."""
    outcome = await converse(cell, engine, peers, folder)
    for path in outcome.wire:
        for frame in frames(path):
            oracle.observe(frame)
    faults = [
        str(each) for each in oracle.take() if each.sent or each.definition not in EXPECTED[cell].breaches
    ]
    expected = EXPECTED[cell].steps
    wrong = {step: came for step, came in outcome.steps.items() if expected[step] == WORKS and came != WORKS}
    assert (wrong, faults) == ({}, []), outcome.said


async def converse(cell: Cell, engine: str, peers: Peers, folder: Path) -> Outcome:
    """One conversation with three workers."""
    wire = str(folder / "worker-PID.wire")
    script = [sys.executable, str(HERE / "our_server.py"), "--wire", wire]
    command = [*script, "--revisions", *cell.offered, "--", "http"]
    outcome = Outcome(dict.fromkeys(STEPS, NOT_REACHED))
    served: dict[int, int] = {}

    def note(_method: str, _path: str, worker: int) -> None:
        served[worker] = served.get(worker, 0) + 1

    options: dict[str, Any] = {"command": command, "note": note}
    try:
        async with cluster(engine, folder, **options) as machines:
            driver = [*driver_command(cell, peers, folder), "--url", machines.url]
            outcome.take(await asyncio.to_thread(drive, driver, cell, folder))
            outcome.said = "\n".join(line for worker in machines.workers for line in worker.log)
    except MissingEngine as missing:
        pytest.skip(str(missing))
    await asyncio.to_thread(outcome.keep, folder)
    assert len(served) == 3, "each worker has its part in it"
    return outcome
