"""The matrix once more with a proxy of ours between the two: our client before servers of other implementations, each
era before each, and their clients before their own servers, of the other era.

What works without a proxy in the era of the server has to work through one, whichever era the client is of; what can't,
because an era has no way to say it, stands in `CANNOT` with the reason.

Follows: no page of the specification; what is asked of whom is in `steps.py`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from interop.conversation import NOT_REACHED, Outcome, drive, driver_command, left_over, server_command
from interop.installing import Peers
from interop.judging import faults_of
from interop.steps import STATEFUL, STATELESS, STEPS, WORKS, Cell, expectations
from oracle.checker import Oracle

EXPECTED = expectations()
NEWEST = STATEFUL[-1]
#: By peer and by what is spoken with the proxy: steps that can't work, and why.
CANNOT = {
    ("everything", NEWEST): {"log": "what it logs belongs to no call: nobody can tell whom it is for"},
    ("everything", STATELESS): {
        "log": "the step subscribes by a request that the stateless era does not have"
    },
}


def cells() -> Iterator[tuple[Cell, str]]:
    """What is spoken with the proxy, and the revision that the proxy speaks with the server."""
    for near in (NEWEST, STATELESS):
        for far in (NEWEST, STATELESS):
            for peer in ("mcp", "fastmcp", "typescript"):
                if peer == "typescript" or far == STATELESS or near != far:
                    yield Cell(peer, "server", "stdio", near), far
                if near != far:
                    yield Cell(peer, "alone", "stdio", near), far
        yield Cell("everything", "server", "stdio", near), NEWEST


@pytest.mark.timeout(150)
@pytest.mark.parametrize("cell,far", list(cells()), ids=lambda each: str(each))
def test_a_proxy_between_the_two_changes_nothing(
    cell: Cell, far: str, peers: Peers, folder: Path, oracle: Oracle
) -> None:
    """Each step goes as it goes without, and nothing that was started is left."""
    server = [*server_command(cell, peers, folder), str(folder)]
    proxy = [sys.executable, "-m", "dovetail", "proxy", "--revision", far, "--", *server]
    outcome = Outcome(dict.fromkeys(STEPS, NOT_REACHED))
    outcome.take(drive([*driver_command(cell, peers, folder), "--command", json.dumps(proxy)], cell, folder))
    left = left_over(str(folder))
    outcome.keep(folder)
    behind = Cell(cell.peer, "server", "stdio", far)
    faults = [str(each) for each in faults_of(outcome, oracle) if each.sent]
    wanted = {step for step, said in EXPECTED[behind].steps.items() if said == WORKS}
    if cell.role == "alone":  # what a client of theirs can't do without us, it can't with us
        wanted &= {step for step, said in EXPECTED[cell].steps.items() if said == WORKS}
    wanted -= set(CANNOT.get((cell.peer, cell.revision), ()))
    wrong = {step: came for step, came in outcome.steps.items() if step in wanted and came != WORKS}
    assert (wrong, faults, left) == ({}, [], []), outcome.said
