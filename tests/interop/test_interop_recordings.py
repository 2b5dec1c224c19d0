"""Conversations with the peers, recorded: the recording has to answer in the place of their server, and ask in the
place of our client, with the same outcome.

In the role "server" our client records. In the role "client" the peer's client talks to our server through
`dovetail record`, and then to the recording. What worked has to work again, with the same detail; what did not, not.

Follows: docs/recording.md.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dovetail.recording import Capture, replay
from interop.conversation import Outcome, drive, driver_command, path_of, server_command, serving
from interop.installing import Peers
from interop.steps import STATEFUL, STATELESS, STEPS, WORKS, Cell, cells

DOVETAIL = [sys.executable, "-m", "dovetail"]
#: What a server of others makes up anew each time, or tells of the time: places in results.
VARIES = {"everything": ["/content/*/text", "/contents/*/text", "/structuredContent"]}


def recorded_cells() -> Iterator[Cell]:
    """The newest revision of each era, in both roles, over each transport that has them."""
    for cell in cells():
        if cell.role == "alone" or cell.revision not in (STATEFUL[-1], STATELESS):
            continue
        if cell.role == "server" or cell.transport == "stdio":
            yield cell


def steps_of(cell: Cell, peers: Peers, folder: Path, *target: str) -> Outcome:
    """What came of the steps, with the driver of a cell at some server."""
    outcome = Outcome(dict.fromkeys(STEPS, "not reached"))
    outcome.take(drive([*driver_command(cell, peers, folder), *target], cell, folder))
    return outcome


def talked(cell: Cell, peers: Peers, folder: Path, talk: Path) -> Outcome:
    """The conversation of a cell, recorded."""
    server = server_command(cell, peers, folder)
    if cell.role == "client":
        command = [*DOVETAIL, "record", "-o", str(talk), "--", *server]
        return steps_of(cell, peers, folder, "--command", json.dumps(command))
    recording = ("--record", str(talk))
    if cell.transport == "stdio":
        return steps_of(cell, peers, folder, *recording, "--command", json.dumps([*server, str(folder)]))
    with serving(server, cell, folder, Outcome()) as port:
        return steps_of(cell, peers, folder, *recording, "--url", f"http://127.0.0.1:{port}{path_of(cell)}")


def differing(before: Outcome, now: Outcome) -> dict[str, tuple[str, str]]:
    """The steps whose outcome is another."""
    return {
        step: (before.steps[step], now.steps[step])
        for step in STEPS
        if (before.steps[step] == WORKS) != (now.steps[step] == WORKS)
        or (before.steps[step] == WORKS and before.details[step] != now.details[step])
    }


@pytest.mark.timeout(240)
@pytest.mark.parametrize("cell", list(recorded_cells()), ids=str)
def test_a_recorded_conversation_goes_the_same_way_again(cell: Cell, peers: Peers, folder: Path) -> None:
    talk = folder / "talk.jsonl"
    before = talked(cell, peers, folder, talk)
    assert WORKS in before.steps.values(), before.steps
    again = Cell(cell.peer, cell.role, "stdio", cell.revision)
    now = steps_of(again, peers, folder, "--command", json.dumps([*DOVETAIL, "run", str(talk)]))
    assert differing(before, now) == {}
    if cell.role == "client":
        return
    capture, ignore = Capture.read(talk), VARIES.get(cell.peer, [])
    server = server_command(cell, peers, folder)
    if cell.transport == "stdio":
        report = asyncio.run(replay(capture, [*server, str(folder)], ignore=ignore, on_stderr=None))
    else:
        with serving(server, cell, folder, Outcome()) as port:
            report = asyncio.run(replay(capture, f"http://127.0.0.1:{port}{path_of(cell)}", ignore=ignore))
    assert report.same, str(report)
