"""A recording in which everything stayed, gone over later; and answers without a body, which nobody reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from recorded_app import app
from test_recording_clients import KEY, PASSWORD, answer, conversation

from dovetail.recording import Capture, CaptureLine, CaptureWriter, Redaction, redacted_lines
from dovetail.revisions import REVISIONS
from dovetail.testing import Transport, connected


async def recorded(
    path: Path, transport: Transport, revision: str, *, redaction: Redaction | None = None
) -> Capture:
    """One of everything."""
    writer = CaptureWriter(path, redaction=redaction)
    async with connected(
        app, transport=transport, revision=revision, elicitation=answer, record=writer
    ) as client:
        await conversation(client)
    writer.close()
    return Capture.read(path)


@pytest.mark.parametrize("revision", REVISIONS[-2:])
@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_what_is_left_out_later_is_what_is_left_out_at_once(
    transport: Transport, revision: str, tmp_path: Path
) -> None:
    whole = await recorded(tmp_path / "whole.jsonl", transport, revision, redaction=Redaction(defaults=False))
    text = (tmp_path / "whole.jsonl").read_text("utf-8")
    assert PASSWORD in text
    assert KEY in text
    lines = list(redacted_lines(whole))
    for found, line in zip(lines, whole, strict=True):
        assert (found.n, found.seconds, found.time, found.link) == (
            line.n,
            line.seconds,
            line.time,
            line.link,
        )
        assert (found.sender, found.mark, found.revision) == (line.sender, line.mark, line.revision)
    said = b"".join(each.data for each in lines).decode()
    assert PASSWORD not in said
    assert KEY not in said
    headers = [each.http.headers for each in lines if each.http is not None]
    assert all(each.get("mcp-session-id", "[").startswith("[") for each in headers)


async def test_twice_finds_what_was_said_before_it_was_known(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    writer = CaptureWriter(path, redaction=Redaction(defaults=False))
    link = writer.link("stdio")
    link.message("server", b'{"jsonrpc":"2.0","method":"notifications/x","params":{"a":"tulip-garden"}}')
    link.message("client", b'{"jsonrpc":"2.0","method":"notifications/y","params":{"pin":"tulip-garden"}}')
    link.message("server", b"tulip-garden and \xff")
    link.stderr("saw tulip-garden")
    writer.close()
    whole = Capture.read(path)
    once = [each.data for each in redacted_lines(whole)]
    assert b"tulip-garden" in once[1]
    twice = list(redacted_lines(whole, twice=True))
    assert b"tulip-garden" not in b"".join(each.data for each in twice)
    assert twice[1].value["params"]["a"] == twice[2].value["params"]["pin"]
    with pytest.raises(ValueError, match="iterated twice"):
        next(redacted_lines(iter(whole), twice=True))


def test_hostile_lines_keep_their_length() -> None:
    line = CaptureLine(
        n=1, seconds=0, time="2026-01-01T00:00:00.000000Z", link=1, transport="stdio", sender="server",
        base64="no base64",
    )  # fmt: skip
    (found,) = redacted_lines([line])
    assert (found.base64, found.omitted) == ("", 9)
    deep = CaptureLine(
        n=1, seconds=0, time="2026-01-01T00:00:00.000000Z", link=1, transport="stdio", sender="server",
        text="[" * 100_000 + "]" * 100_000,
    )  # fmt: skip
    (found,) = redacted_lines([deep])
    assert (found.text, found.omitted) == ("", 200_000)


def without_bodies(capture: Capture) -> Iterator[tuple[int, int, str]]:
    """Exchange, status and end of what was answered without a body."""
    for line in capture:
        if line.http is not None and line.http.status in (202, 204):
            yield line.http.exchange, line.http.status, line.http.end


async def test_an_answer_without_a_body_is_recorded(tmp_path: Path) -> None:
    capture = await recorded(tmp_path / "talk.jsonl", "http", "2025-11-25")
    found = list(without_bodies(capture))
    assert [status for _, status, _ in found] == [202, 202, 204]  # initialized, an answer, the session's end
    assert all(end == "complete" for _, _, end in found)
    asked = {each.http.exchange for each in capture if each.http is not None and each.http.method}
    ended = {each.http.exchange for each in capture if each.http is not None and each.http.end}
    assert asked == ended
