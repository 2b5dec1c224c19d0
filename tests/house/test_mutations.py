"""The table of lines that keep MUST rows (tests/must/mutations.toml) fits the source, and leaves no area out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mutations
import pytest

#: How many rows the table has at least.
FEWEST = 500


def test_every_entry_fits_the_source() -> None:
    """Each line stands in its file exactly once, and what it becomes compiles; each row is a MUST row with a test."""
    assert mutations.misfits(mutations.table()) == []


def test_every_area_has_lines_that_are_broken() -> None:
    table = mutations.table()
    rows = {row for each in table for row in each.rows}
    assert len(rows) >= FEWEST
    areas = {area for row, area in mutations.must_rows().items() if row in mutations.tagged()}
    assert {mutations.must_rows()[row] for row in rows} == areas
    revisions = {row.partition("-")[0] for row in mutations.must_rows()}
    assert {row.partition("-")[0] for row in rows} == revisions


def test_a_line_that_moved_or_is_there_twice_is_told() -> None:
    change = mutations.Change("protocol/names.py", "no such line", "")
    moved = mutations.Mutation(("R2607-MRTR-001", "R2607-NOTHING-001"), (change,))
    told = mutations.misfits([moved])
    assert [each for each in told if "0 times" in each]
    assert [each for each in told if "no MUST row" in each]
    with pytest.raises(ValueError, match="2 times"):
        mutations.Change("x.py", "a", "b").apply("a a")


def test_a_run_says_for_which_rows_no_test_failed(tmp_path: Path) -> None:
    """The tests of a row run until one fails; a row whose tests all pass is named."""
    (tmp_path / "test_some.py").write_text(
        "import pytest\n"
        "@pytest.mark.requirement('A')\ndef test_a(): assert 0\n"
        "@pytest.mark.requirement('A')\ndef test_a_again(): raise SystemExit('not reached')\n"
        "@pytest.mark.requirement('B')\ndef test_b(): pass\n"
        "@pytest.mark.requirement('B', 'C')\ndef test_c(): pass\n"
        "def test_of_nothing(): raise SystemExit('not reached')\n"
    )
    options = ["-q", "-p", "chosen_requirements", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    options += ["--requirements=A,B,C", "--until-each-fails", str(tmp_path)]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=tmp_path,
        env={"PYTHONPATH": str(mutations.TESTS)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 1, ran.stdout
    assert "rows without a failing test: B C\n" in ran.stdout
    assert "1 failed, 2 passed" in ran.stdout
