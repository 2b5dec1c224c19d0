"""The page about checks: the file on it passes, and whatever may stand in one is on it."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from dovetail_inspector.checks import matching, reading
from dovetail_inspector.checks.command import RunOptions, run
from dovetail_inspector.checks.reading import CheckFileInvalid, read_checks

PAGE = Path(__file__).parents[4] / "docs" / "inspect-checks.md"


def blocks() -> dict[str, str]:
    """The files of the page, by name."""
    text = PAGE.read_text("utf-8")
    return dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


def test_the_file_of_the_page_passes(tmp_path: Path) -> None:
    for name, text in blocks().items():
        (tmp_path / name).write_text(text, "utf-8")
    out = io.StringIO()
    assert run(tmp_path / "checks.toml", RunOptions(stream=out)) == 0, out.getvalue()
    assert "8 passed" in out.getvalue()


def test_the_other_file_of_the_page_is_read() -> None:
    file = read_checks(blocks()["more.toml"])
    assert [each.name for each in file.check] == ["lists its tools", "takes a session"]
    with pytest.raises(CheckFileInvalid):
        read_checks(blocks()["more.toml"] + "\nextra = 1\n")


def test_the_page_has_all_that_may_stand_in_a_file() -> None:
    text = PAGE.read_text("utf-8")
    tables = (
        reading.CheckServer,
        reading.CheckCall,
        reading.CheckExpect,
        reading.CheckAnswers,
        reading.SavedCheck,
    )
    said = {name for each in tables for name in each.__struct_fields__}
    conditions = set(re.findall(r"^``(\w+)", matching.__doc__ or "", re.MULTILINE)) | {"at_most", "exists"}
    assert {"equals", "length"} <= conditions
    missing = [each for each in sorted(said | conditions) if not re.search(rf"\b{each}\b", text)]
    assert missing == []
