"""A lifespan is left in good order, by its own code after the ``yield``, whoever ran the loop and however it ended."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dovetail import App
from dovetail.runtime.service import LifespanFailed

PROGRAM = """
import asyncio, multiprocessing, sys
from contextlib import asynccontextmanager
from dovetail import App

@asynccontextmanager
async def life(app):
    yield
    await asyncio.sleep(0)
    print("closed", flush=True)

def work():
    loop = asyncio.new_event_loop()
    loop.run_until_complete(App("abandoned", lifespan=life).service.start())
    keep.append(loop)

keep = []
if __name__ == "__main__":
    if sys.argv[1] == "here":
        work()
    else:
        process = multiprocessing.get_context(sys.argv[1]).Process(target=work)
        process.start()
        process.join()
        sys.exit(process.exitcode)
"""


def test_a_loop_that_is_closed_leaves_the_lifespan_by_its_own_code() -> None:
    did: list[str] = []

    @asynccontextmanager
    async def life(app: App) -> AsyncIterator[None]:
        did.append("in")
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
            yield
            await asyncio.sleep(0)
            did.append("out")

    async def serve() -> None:
        await App("closed", lifespan=life).service.start()

    asyncio.run(serve())
    assert did == ["in", "out"]


@pytest.mark.parametrize("how", ["here", "fork", "spawn"])
def test_a_loop_that_nobody_runs_any_more_is_run_once_more(how: str, tmp_path: Path) -> None:
    """As granian leaves it, whose workers are processes of `multiprocessing`."""
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    done = subprocess.run(
        [sys.executable, str(program), how], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "closed\n", "")


async def test_a_lifespan_that_fails_is_named() -> None:
    @asynccontextmanager
    async def open_database(app: App) -> AsyncIterator[None]:
        raise OSError("no such host")
        yield

    with pytest.raises(LifespanFailed) as failed:
        await App("shop", lifespan=open_database).service.start()
    text = str(failed.value)
    assert "open_database() of 'shop'" in text
    assert f"{Path(__file__).name}:" in text
    assert text.endswith("failed to start: OSError: no such host")
    assert isinstance(failed.value.__cause__, OSError)
