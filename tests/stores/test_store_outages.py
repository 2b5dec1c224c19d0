"""The log is told when a store goes and when it is back, and how often it failed between; not of each failure."""

from __future__ import annotations

import asyncio
import logging

import pytest

from dovetail.stores import StoreFull, StoreOutages, StoreUnavailable
from dovetail.testing.store_contract import VirtualClock

log = logging.getLogger("dovetail.tests.outages")
AWAY = StoreUnavailable("nobody is there")


class _Unreached(StoreUnavailable):
    """As an engine has errors of its own."""


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name == log.name]


async def test_thousands_of_failures_are_two_lines(caplog: pytest.LogCaptureFixture) -> None:
    outages = StoreOutages(log, quiet=0.05)
    for _ in range(4_600):
        outages.note(AWAY)
    assert told(caplog) == ["the store failed: nobody is there"]
    async with asyncio.timeout(10):
        while len(told(caplog)) < 2:  # noqa: ASYNC110 - nobody tells of a line in a log
            await asyncio.sleep(0.01)
    assert told(caplog)[1].startswith("the store serves again: it failed 4600 times in ")


async def test_an_outage_lasts_as_long_as_there_are_failures(caplog: pytest.LogCaptureFixture) -> None:
    """And the next one is told of anew, also where nobody came to see the end of the one before."""
    clock = VirtualClock()
    outages = StoreOutages(log, "the store of tasks", quiet=5.0, clock=clock)
    for _ in range(10):
        outages.note(AWAY)
        clock.advance(4)
    assert len(told(caplog)) == 1
    clock.advance(2)
    outages.note(AWAY)
    assert told(caplog) == [
        "the store of tasks failed: nobody is there",
        "the store of tasks serves again: it failed 10 times in 36.0 seconds",
        "the store of tasks failed: nobody is there",
    ]


async def test_another_kind_of_failure_is_told_as_well(caplog: pytest.LogCaptureFixture) -> None:
    outages = StoreOutages(log)
    for problem in (AWAY, StoreFull("tasks", 10), _Unreached("not at all"), StoreFull("tasks", 10)):
        outages.note(problem)
    assert [each.partition(":")[0] for each in told(caplog)] == ["the store failed"] * 2
    assert "10" in told(caplog)[1]


def test_the_end_of_a_loop_hides_no_later_outage(caplog: pytest.LogCaptureFixture) -> None:
    clock = VirtualClock()
    outages = StoreOutages(log, clock=clock)

    async def fail() -> None:
        outages.note(AWAY)

    asyncio.run(fail())
    clock.advance(60)
    asyncio.run(fail())
    assert [each.partition(":")[0] for each in told(caplog)] == [
        "the store failed",
        "the store serves again",
        "the store failed",
    ]
