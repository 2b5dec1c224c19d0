"""Fixtures of the Inspector's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from dovetail_inspector.inspection import Inspection

# What needs a browser is imported where it is used: other tests do without.


@pytest.fixture
async def inspection() -> AsyncIterator[Inspection]:
    """An Inspector without a face."""
    async with Inspection() as made:
        yield made


@pytest.fixture
def kept() -> Iterator[dict[tuple[str, str], str]]:
    """What the keyring of the test keeps, by service and user."""
    from keyrings import keyring_in_memory

    with keyring_in_memory() as found:
        yield found


@pytest.fixture(scope="session")
def built_page() -> None:
    """The page, as it is in the tree: the first process builds it, the others wait for that."""
    from page import build

    build()


@pytest.fixture
async def chromium(built_page: None) -> AsyncIterator[Any]:
    """A browser."""
    from seeing import browser

    async with browser() as found:
        if found is None:
            pytest.skip("no-chromium: nothing on the PATH, and Playwright installed none")
        yield found


@pytest.fixture
async def seen(inspection: Inspection, chromium: Any) -> AsyncIterator[Any]:
    """The page of an Inspector without servers, in a browser."""
    from seeing import looking

    async with looking(inspection, chromium) as found:
        yield found
