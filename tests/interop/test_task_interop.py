"""Tasks between us and implementations that nobody here wrote, held against what was expected: both ways.

The conversations are those of `test_interop.py`, with other steps.

Follows: 2025-11-25, basic/utilities/tasks; the extension io.modelcontextprotocol/tasks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dovetail.extensions.tasks import names
from interop.conftest import TASK_MATRIX
from interop.conversation import TASKS, converse
from interop.installing import Peers
from interop.judging import complaints, faults_of, judge, known_breaches
from interop.steps import STATELESS, WORKS, Cell, expectations
from interop.task_steps import TASK_STEPS, TASKS_EXPECTED, task_cells
from oracle.checker import Oracle

CELLS = list(task_cells())
EXPECTED = expectations(TASKS_EXPECTED, CELLS, TASK_STEPS)
#: What the schemas do not know: the extension's own. In 2025-11-25 they know all of it.
VENDOR = pytest.mark.vendor_methods(
    names.GET, names.UPDATE, names.CANCEL, names.NOTIFY, names.TASK_IDS, names.RESULT_TASK
)
PARAMETERS = [pytest.param(cell, marks=VENDOR if cell.revision == STATELESS else ()) for cell in CELLS]


@pytest.mark.timeout(150)
@pytest.mark.parametrize("cell", PARAMETERS, ids=map(str, CELLS))
def test_task_cell(
    cell: Cell,
    peers: Peers,
    folder: Path,
    oracle: Oracle,
    record_property: Callable[[str, object], None],
) -> None:
    """The conversation goes as expected, and what our side says in it keeps to the schemas."""
    outcome = converse(cell, peers, folder, TASKS)
    faults = known_breaches(faults_of(outcome, oracle), EXPECTED[cell])
    marks = judge(outcome, EXPECTED[cell])
    record_property(TASK_MATRIX, [str(cell), marks])
    found = complaints(outcome, EXPECTED[cell], marks) + faults
    assert not found, "\n".join((f"{cell}:", *found, outcome.said))
    assert outcome.wire or cell.role == "alone", "our side kept no record of what it said"


def test_each_step_that_cannot_work_has_its_reason() -> None:
    """The table says one thing about each step of each cell."""
    assert set(EXPECTED) == set(CELLS)
    assert all(len(said) > 20 for each in EXPECTED.values() for said in each.steps.values() if said != WORKS)
