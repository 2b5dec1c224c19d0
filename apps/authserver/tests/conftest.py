"""Fixtures of the authorization server's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from authority_calls import Calls, calls


@pytest.fixture
async def program() -> AsyncIterator[Calls]:
    """A program that calls a running server."""
    async with calls() as made:
        yield made
