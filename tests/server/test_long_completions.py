"""Completions with more values than a client may get are cut, and say so."""

from typing import Any

import pytest

from dovetail import App, Client
from dovetail.revisions import REVISIONS
from dovetail.types import Completion

EVERY = pytest.mark.parametrize("revision", REVISIONS)


def completing(answer: Any) -> App:
    app = App("mill")

    @app.prompt
    async def grind(grain: str) -> str:
        return grain

    @app.completion("grind", "grain")
    async def grains(typed: str) -> Any:
        return answer

    return app


@pytest.mark.requirement("R2511-COMPLETION-002", "R2607-COMPLETION-003")
@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
@pytest.mark.parametrize(
    "given,total",
    [
        ({}, 150),
        ({"total": 9000}, 9000),
        ({"total": 9000, "has_more": True}, 9000),
        ({"has_more": True}, None),
        ({"total": 150, "has_more": False}, 150),
    ],
)
async def test_a_completion_that_is_too_long_is_cut(
    revision: str, given: dict[str, Any], total: int | None
) -> None:
    values = [str(number) for number in range(150)]
    async with Client(completing(Completion(values=values, **given)), revision=revision) as client:
        found = await client.complete("grind", "grain", "")
    assert found == Completion(values=values[:100], total=total, has_more=True)


@EVERY
async def test_a_completion_that_is_short_enough_stays_as_it_is(revision: str) -> None:
    given = Completion(values=["rye"] * 100, total=7, has_more=False)
    async with Client(completing(given), revision=revision) as client:
        assert await client.complete("grind", "grain", "") == given
