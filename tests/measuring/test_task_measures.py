"""The measures of tasks at a small size, against servers of ours as they are measured: the load sees what is wrong."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from benchmarks.contestants import FASTMCP, MCP, OURS, Cannot, Contestant, Pace
from benchmarks.engines import STORES
from benchmarks.figures import Sample
from benchmarks.installing import ROOT
from benchmarks.load import tasks, wire
from benchmarks.machine import Cores
from benchmarks.measures import tasks as measures
from benchmarks.measures.turn import Turn
from benchmarks.processes import Broken

SMALL = Pace(warm=0.05, run=0.1, told=16, waiting=64)
PYTHON = Path(sys.executable)


class Found:
    """What the measures of one turn came to."""

    def __init__(self, name: str = OURS) -> None:
        self.samples: dict[str, Sample | str] = {}
        cores = Cores(None, None, frozenset(os.sched_getaffinity(0)))
        script = ROOT / "benchmarks" / "servers" / "ours.py"
        who = Contestant(
            name, {"http": (PYTHON, script)}, None, None, cores, {"PYTHONPATH": str(ROOT / "src")}
        )
        self.turn = Turn(who, SMALL, {name: who}, self.samples.__setitem__)

    def of(self, measure: str) -> Sample:
        """The figures of a measure that came to some."""
        sample = self.samples[measure]
        assert not isinstance(sample, str), sample
        return sample


@pytest.mark.parametrize("kind", STORES)
def test_tasks_are_started_and_fetched_in_each_store(kind: str) -> None:
    found = Found()
    try:
        measures.throughput(kind, found.turn)
    except Cannot as missing:
        pytest.skip(str(missing))
    sample = found.of(f"task {kind}")
    assert sample["count"] >= 64
    assert sample["cpu"] > 0
    assert sample["count"] / sample["rate"] >= SMALL.run


def test_the_end_of_a_task_is_told_and_found() -> None:
    found = Found()
    measures.told(found.turn)
    for measure in ("task told", "task asked for"):
        sample = found.of(measure)
        assert sample["count"] >= SMALL.told
        assert 0 < sample["p50"] <= sample["p99"]


def test_tasks_that_wait_are_weighed() -> None:
    found = Found()
    measures.waiting("memory", found.turn)
    assert set(found.of("task waiting memory")) == {"bytes", "rate"}


@pytest.mark.parametrize(
    "name,kind,reason",
    [
        (MCP, "memory", "it has no tasks of 2026-07-28"),
        (FASTMCP, "sqlite", "it keeps tasks in memory or redis alone"),
    ],
)
def test_who_has_no_such_tasks_says_so(name: str, kind: str, reason: str) -> None:
    with pytest.raises(Cannot, match=reason):
        measures.throughput(kind, Found(name).turn)


@pytest.mark.parametrize(
    "params,until,said",
    [
        (wire.call("add", a=1, b=2), b'"text":"4"', "a wrong answer"),
        (wire.call("add", a=1, b="two"), b'"text":"3"', "a wrong answer"),
        (wire.call("subtract", a=1, b=2), b'"text":"3"', "no task"),
    ],
    ids=["another result", "an error of the tool", "no such tool"],
)
def test_a_wrong_answer_ends_the_load(params: wire.Json, until: bytes, said: str) -> None:
    with measures.at_work(Found().turn, "memory") as (server, port), pytest.raises(Broken, match=said):
        tasks.run(server, tasks.lanes(port, 2, params, until), 0.05)


def test_requests_name_their_task_and_tell_their_length() -> None:
    asking = tasks.Asking(1)
    for task in (b"a", b"f4-_" * 11):
        head, _, body = asking.of(task).partition(b"\r\n\r\n")
        assert b"\r\nContent-Length: %d\r\n" % len(body) in head
        assert head.endswith(b"\r\nMcp-Name: " + task)
        assert b'"taskId":"%b"' % task in body


def test_an_answer_without_a_task_is_none() -> None:
    with pytest.raises(Broken, match="no task"):
        tasks.task_of(b'{"result":{"content":[{"text":"3"}]}}')
