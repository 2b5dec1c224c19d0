"""What every test of this folder has: proof that it leaves nothing behind."""

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

# The HTTP tests' prober and scripted servers are used as they are.
sys.path.append(str(Path(__file__).parents[2] / "transports"))

from leak_oracle import Leaks

from dovetail.client import eras
from dovetail.runtime import tap


@pytest.fixture(autouse=True)
async def no_leaks() -> AsyncIterator[None]:
    """No task, thread, file descriptor or child process more than before."""
    eras.clear()
    leaks = Leaks()
    yield
    await leaks.check()


@pytest.fixture
def unwatched() -> Iterator[None]:
    """Without the schema oracle. It can't tell which request an answer is for when it reads the request otherwise, or
    not at all (names given twice, numbers that no decoder takes), and it takes its time over large messages.
    """
    listening, tap.listeners[:] = tap.listeners[:], []
    yield
    tap.listeners[:] = listening
