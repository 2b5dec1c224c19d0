"""A conversation that is long: read piece by piece, told of by its counts, and fetched by whoever looks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from inspected import kitchen, until

from dovetail.recording import CaptureWriter, Redaction
from dovetail_inspector.inspection import Inspection
from dovetail_inspector.transcript.transcript import Transcript
from dovetail_inspector.views import ConnectionSettings

HEADER = {"capture": 1, "began": "2026-01-01T00:00:00.000000Z", "redacted": False}
PIECE = 500
TOLD = 200


def long(folder: Path, count: int) -> Path:
    """A capture of so many lines: pings and their answers."""
    place = folder / "long.jsonl"
    with place.open("w") as file:
        file.write(json.dumps(HEADER) + "\n")
        for n in range(1, count + 1):
            message = {"method": "ping"} if n % 2 else {"result": {}}
            line = {
                "n": n,
                "seconds": n / 1000,
                "time": "2026-01-01T00:00:00.000000Z",
                "link": 1,
                "transport": "stdio",
                "sender": "client" if n % 2 else "server",
                "body": {"jsonrpc": "2.0", "id": (n + 1) // 2, **message},
            }
            file.write(json.dumps(line) + "\n")
    return place


def told(inspection: Inspection, type: str) -> list[Any]:
    """The events of a type, oldest first."""
    return [json.loads(each.data) for each in inspection.events.after(0) or [] if each.type == type]


def test_a_piece_is_read_at_once(tmp_path: Path) -> None:
    transcript = Transcript("t1", long(tmp_path, 1201), "long")
    sizes: list[tuple[int, bool]] = []
    while update := transcript.follow():
        sizes.append((len(update.records), update.full))
    assert sizes == [(PIECE, True), (PIECE, True), (201, False)]
    transcript.close()


async def test_of_many_records_the_count_is_told(inspection: Inspection, tmp_path: Path) -> None:
    view = inspection.open_capture(long(tmp_path, 3 * PIECE + TOLD))
    await until(lambda: len(inspection.transcripts[view.id]) == 3 * PIECE + TOLD)
    await until(lambda: not inspection._dirty)
    events = told(inspection, "records")
    assert [(len(each["records"]), each["count"]) for each in events] == [
        (0, PIECE),
        (0, 2 * PIECE),
        (0, 3 * PIECE),
        (TOLD, 3 * PIECE + TOLD),
    ]
    assert sum(len(each.data) for each in inspection.events.after(0) or []) < 200_000
    assert [each["n"] for each in events[-1]["records"]] == list(range(3 * PIECE + 1, 3 * PIECE + TOLD + 1))
    page = inspection.transcripts[view.id].page(start=700, limit=3)
    assert [each.n for each in page.records] == [700, 701, 702]


async def test_an_earlier_record_that_changed_is_told_where_many_came(
    inspection: Inspection, tmp_path: Path
) -> None:
    # The last request of each piece but the last is answered in the next.
    place = long(tmp_path, 2 * PIECE)
    lines = place.read_text().splitlines(keepends=True)
    place.write_text("".join(lines[:1] + lines[2:]))
    view = inspection.open_capture(place)
    await until(lambda: len(inspection.transcripts[view.id]) == 2 * PIECE - 1)
    second = told(inspection, "records")[1]
    assert [(each["n"], each["pair"]) for each in second["changed"]] == [(PIECE, PIECE + 1)]


async def test_counts_and_findings_are_told_as_they_grow(inspection: Inspection, tmp_path: Path) -> None:
    place = tmp_path / "wrong.jsonl"
    writer = CaptureWriter(place, redaction=Redaction(defaults=False))
    link = writer.link("stdio", "wrong")
    link.message("client", b'{"jsonrpc":"2.0","id":1,"method":"ping"}')
    view = inspection.open_capture(place, live=True)
    await until(lambda: inspection.transcripts[view.id].view().count == 2)
    link.message("server", b'{"jsonrpc":"2.0","id":9,"result":{}}')
    await until(lambda: inspection.transcripts[view.id].view().count == 3)
    writer.close()
    counts = [(each["count"], sum(each["findings"].values())) for each in told(inspection, "transcript")]
    assert counts == [(0, 0), (2, 0), (3, 1)]


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
async def test_what_the_client_said_that_it_can_do_is_shown(
    inspection: Inspection, tmp_path: Path, revision: str
) -> None:
    with_all = ConnectionSettings(revision=revision, roots=[str(tmp_path)])
    server = await kitchen(inspection, tmp_path, with_all)
    said = inspection.info(server.id).client_capabilities
    assert {"roots", "sampling", "elicitation"} <= set(said)
    assert set(said["elicitation"]) == {"form", "url"}
    without = ConnectionSettings(revision=revision, sampling=False, elicitation=False)
    other = await kitchen(inspection, tmp_path, without)
    assert not {"roots", "sampling"} & set(inspection.info(other.id).client_capabilities)
