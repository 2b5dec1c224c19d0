"""Fixtures of the Inspector's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from dovetail_inspector.inspection import Inspection


@pytest.fixture
async def inspection() -> AsyncIterator[Inspection]:
    """An Inspector without a face."""
    async with Inspection() as made:
        yield made
