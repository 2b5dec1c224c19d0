"""Every MUST and MUST NOT of the authorization rows has a test, or a reason why none of ours could prove it."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def report() -> Any:
    """The tool that `make` prints the table with."""
    spec = importlib.util.spec_from_file_location(
        "requirements_report", ROOT / "tools" / "requirements_report.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_row_of_authorization_is_without_a_test_or_a_reason() -> None:
    tool = report()
    with (ROOT / "tests" / "requirements.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["level"] in tool.BINDING]
    known = tool.claimed() | tool.excused().keys()
    auth = [row["id"] for row in rows if row["area"] in ("auth", "security")]
    assert len(auth) > 200
    assert [id for id in auth if id not in known] == []
    assert [fault for fault in tool.faults(rows) if "AUTH" in fault or "SECURITY" in fault] == []
    assert not [
        id for id, reason in tool.excused().items() if "authorization" in reason and "later" in reason
    ]
