"""Conversations with the peers, recorded: each recording has to answer in the place of the server, and ask in the place
of the client, with the same outcome.

What is recorded is the matrix itself, in every revision over every transport: by our client in the role "server", by
our server in the role "client". Some conversations more go through `dovetail record`, which stands between the peer's
client and our server. What worked has to work again, with the same detail; what did not, not.

Follows: docs/recording.md.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema_rs
import pytest

from dovetail.recording import Capture, capture_schema, replay
from interop.conversation import Outcome, drive, driver_command, path_of, server_command, serving
from interop.installing import Peers
from interop.steps import STATEFUL, STATELESS, STEPS, WORKS, Cell, cells, expectations
from interop.talks import Talks
from oracle.checker import Oracle

EXPECTED = expectations()
DOVETAIL = [sys.executable, "-m", "dovetail"]
#: What a server of others makes up anew each time, or tells of the time: places in results.
VARIES = {"everything": ["/content/*/text", "/contents/*/text", "/structuredContent"]}
#: What a recording can't tell again: `server-everything` logs that somebody subscribed, on the stream that belongs to
#: no request, and over HTTP ours has no way to tell anything but changes on that.
UNTOLD = {("everything", "http"): {"log"}}


def recorded_cells() -> Iterator[Cell]:
    """Those of the matrix in which we take part."""
    return (cell for cell in cells() if cell.role != "alone")


def cells_between() -> Iterator[Cell]:
    """A peer's client at our server, in the newest revision of each era, over each transport."""
    for cell in cells():
        if cell.role == "client" and cell.revision in (STATEFUL[-1], STATELESS):
            yield cell


def steps_of(cell: Cell, peers: Peers, folder: Path, *target: str) -> Outcome:
    """What came of the steps, with the driver of a cell at some server."""
    outcome = Outcome(dict.fromkeys(STEPS, "not reached"))
    outcome.take(drive([*driver_command(cell, peers, folder), *target], cell, folder))
    return outcome


def talked_through(cell: Cell, peers: Peers, folder: Path, talk: Path) -> Outcome:
    """The conversation of a cell, with `dovetail record` between the two."""
    server, record = server_command(cell, peers, folder), [*DOVETAIL, "record", "-o", str(talk)]
    if cell.transport == "stdio":
        return steps_of(cell, peers, folder, "--command", json.dumps([*record, "--", *server]))
    with serving(server, cell, folder, Outcome()) as port:
        url = f"http://127.0.0.1:{port}{path_of(cell)}"
        (between := folder / "between").mkdir()
        with serving([*record, url, "--http"], cell, between, Outcome()) as ours:
            return steps_of(cell, peers, folder, "--url", f"http://127.0.0.1:{ours}{path_of(cell)}")


def served_again(cell: Cell, peers: Peers, folder: Path, talk: Path) -> Outcome:
    """The client of a cell at its recording, over the same transport."""
    run = [*DOVETAIL, "run", str(talk)]
    if cell.transport == "stdio":
        return steps_of(cell, peers, folder, "--command", json.dumps(run))
    ours = dataclasses.replace(cell, peer="mcp", role="client")
    old = ["--http-sse"] if cell.transport == "sse" else []
    with serving([*run, *old, "--http"], ours, folder, Outcome()) as port:
        return steps_of(cell, peers, folder, "--url", f"http://127.0.0.1:{port}{path_of(ours)}")


def asked_again(cell: Cell, peers: Peers, folder: Path, talk: Path) -> str:
    """What differs when the server of a cell is asked by its recording; nothing, if nothing does."""
    capture, ignore = Capture.read(talk), VARIES.get(cell.peer, [])
    server = server_command(cell, peers, folder)
    if cell.transport == "stdio":
        given = server if cell.role == "client" else [*server, str(folder)]
        report = asyncio.run(replay(capture, given, ignore=ignore, on_stderr=None))
    else:
        with serving(server, cell, folder, Outcome()) as port:
            report = asyncio.run(replay(capture, f"http://127.0.0.1:{port}{path_of(cell)}", ignore=ignore))
    assert report.calls
    return str(report)


def differing(before: Outcome, now: Outcome) -> dict[str, tuple[str, str]]:
    """The steps whose outcome is another."""
    return {
        step: (before.steps[step], now.steps[step])
        for step in STEPS
        if (before.steps[step] == WORKS) != (now.steps[step] == WORKS)
        or (before.steps[step] == WORKS and before.details[step] != now.details[step])
    }


def breaches(cell: Cell, oracle: Oracle) -> list[str]:
    """What a replay said or heard that breaks the specification, but for what the peer is known for. In the role
    "client" all that is sent is the peer's own words.
    """
    known = EXPECTED[cell].breaches
    return [
        str(each)
        for each in oracle.take()
        if (not each.sent if cell.role == "client" else each.sent or each.definition not in known)
    ]


def replayed(cell: Cell, peers: Peers, folder: Path, talk: Path, before: Outcome, oracle: Oracle) -> None:
    """A recording keeps to its schema, and goes the same way again in both roles."""
    schema = jsonschema_rs.validator_for(capture_schema())
    for line in talk.read_text(encoding="utf-8").splitlines():
        schema.validate(json.loads(line))
    assert WORKS in before.steps.values(), before.steps
    (served := folder / "served").mkdir()
    differ = differing(before, served_again(cell, peers, served, talk))
    assert set(differ) == UNTOLD.get((cell.peer, cell.transport), set()), differ
    (asked := folder / "asked").mkdir()
    assert asked_again(cell, peers, asked, talk) == ""
    assert breaches(cell, oracle) == []


@pytest.mark.timeout(240)
@pytest.mark.parametrize("cell", list(recorded_cells()), ids=str)
def test_a_recorded_conversation_goes_the_same_way_again(
    cell: Cell, peers: Peers, folder: Path, talks: Talks, oracle: Oracle
) -> None:
    talk, before = talks.take(cell, peers, folder)
    replayed(cell, peers, folder, talk, before, oracle)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("cell", list(cells_between()), ids=str)
def test_so_does_one_that_was_recorded_in_between(
    cell: Cell, peers: Peers, folder: Path, oracle: Oracle
) -> None:
    talk = folder / "talk.jsonl"
    before = talked_through(cell, peers, folder, talk)
    replayed(cell, peers, folder, talk, before, oracle)
