"""Some hundred tasks over three workers that are killed, on each engine; the long run is
``python -m tests.extensions.tasks_crash.run``. And what its checker finds.

Follows: the extension io.modelcontextprotocol/tasks, "Task Creation".
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from run import ENGINES, MissingEngine, cluster, drive
from task_checker import KeptTask, TaskHistory, check

pytestmark = pytest.mark.vendor_methods("tasks/get", "tasks/update", "tasks/cancel", "task")
STEPS = ["begun pack k1", "begun go k1"]
DONE = ("completed", "pack go k1")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("engine", ENGINES)
async def test_no_task_is_lost_or_doubled_in_a_short_run_with_faults(engine: str, tmp_path: Path) -> None:
    try:
        async with cluster(engine, tmp_path, lease=3.0) as machines:
            assert await drive(machines, tasks=200, seed=7) == [], machines.faults
    except MissingEngine as missing:
        pytest.skip(str(missing))


def history(**other: object) -> TaskHistory:
    return TaskHistory(
        **{"key": "k1", "once": False, "id": "1", "ended": [DONE], "asked": {"where"}, **other}
    )


def kept(status: str = "completed", cut: int = 0, used: frozenset[str] = frozenset({"where"})) -> KeptTask:
    return KeptTask("1", status, cut, used)


def test_the_checker_is_content_with_what_is_promised() -> None:
    assert check([history()], [kept()], STEPS) == []
    assert check([history()], [kept(cut=1)], [*STEPS, "begun go k1"]) == []
    unsure = ("completed", "the outcome of the step 'go' is unknown: ...")
    assert check([history(once=True, ended=[unsure])], [kept(cut=1)], STEPS) == []
    assert check([history(cancelled=True, ended=[("cancelled", "")])], [kept("cancelled")], []) == []
    assert check([history(refused=1)], [kept(), KeptTask("2", "working", 0, frozenset())], STEPS) == []


@pytest.mark.parametrize(
    "told,there,effects,word",
    [
        ({"id": ""}, [kept()], STEPS, "never created"),
        ({}, [], STEPS, "not there any more"),
        ({"ended": []}, [kept()], STEPS, "ended []"),
        ({"ended": [DONE, ("failed", "")]}, [kept()], STEPS, "lost or doubled"),
        ({}, [kept("working")], STEPS, "the store says 'working'"),
        ({"cancelled": True}, [kept()], STEPS, "was cancelled"),
        ({"asked": {"where", "where-2"}}, [kept()], STEPS, "was asked"),
        ({}, [kept(used=frozenset({"where", "where-2"}))], STEPS, "was asked"),
        ({}, [kept()], [*STEPS, "begun go k1"], "steps were begun"),
        ({"once": True}, [kept(cut=1)], [*STEPS, "begun go k1"], "steps were begun"),
        ({"ended": [("completed", "pack go k2")]}, [kept()], STEPS, "came to 'pack go k2'"),
        ({}, [kept()], STEPS[:1], "was completed"),
        ({"ended": [("failed", "x")]}, [kept("failed")], STEPS, "ended 'failed'"),
        ({}, [kept(), KeptTask("2", "working", 0, frozenset())], STEPS, "nobody was told"),
    ],
)
def test_the_checker_finds_what_is_wrong(
    told: dict[str, object], there: list[KeptTask], effects: list[str], word: str
) -> None:
    found = check([history(**told)], there, effects)
    assert any(word in line for line in found), found
