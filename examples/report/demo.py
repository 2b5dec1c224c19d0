"""A task from beginning to end, over a kill: part of what `make demo` runs. Ends with 0 if everything was as expected.

A client starts a report and goes. In the middle of the work the server is killed. It is started again on the same file,
another client comes with the handle that the first one saved, answers the one question, and reads the report. Nothing
that was researched before the kill is researched again.
"""

import asyncio
import contextlib
import re
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from dovetail import Client
from dovetail.extensions.tasks import tasks

HERE = Path(__file__).resolve().parent
SECONDS = 2.0
"""How long the report takes here."""
PATIENCE = 30.0
CHAPTERS = 4


class Researched(list[str]):
    """What servers said that they did. ``half``: that is half of the work."""

    def __init__(self) -> None:
        super().__init__()
        self.half = asyncio.Event()

    def note(self, line: str) -> None:
        """Note one chapter."""
        self.append(line.strip().removeprefix("researched: "))
        if len(self) == CHAPTERS // 2:
            self.half.set()


async def main() -> int:
    """Play it, and give the exit code."""
    print("\nThe report: a task that asks one question and survives a kill.")
    began = time.perf_counter()
    researched = Researched()
    with tempfile.TemporaryDirectory(prefix="report-") as folder:
        file = str(Path(folder) / "reports.db")
        async with asyncio.timeout(PATIENCE):
            saved = await start(file, researched)
            text = await finish(file, researched, saved)
    print(f"  the report: {text}")
    whole = text == "1907: 16 sacks" and len(researched) <= CHAPTERS + 1
    print(
        f"  {'All went well' if whole else 'That was not as expected'}, in {time.perf_counter() - began:.1f} s."
    )
    return 0 if whole else 1


async def start(file: str, researched: Researched) -> str:
    """Start the report, leave, and have the server killed in the middle of it. Gives the handle."""
    async with server(file, researched, kill=True) as url:
        async with Client(url, extensions=[tasks()], elicitation=answer) as client:
            started = await client.start_tool("village_report", {"year": 1907})
            print(f"  started: {(await started.status()).status}; the client saves its handle, and goes")
        await researched.half.wait()
    print(f"  killed: when {len(researched)} of {CHAPTERS} chapters were done ({', '.join(researched)})")
    return started.save()


async def finish(file: str, researched: Researched, saved: str) -> str:
    """Start the server again, and wait for the report with another client."""

    async with (
        server(file, researched) as url,
        Client(url, extensions=[tasks()], elicitation=answer) as client,
    ):
        print("  started again, on the same file; another client comes with the handle")
        result = await client.reopen(saved).result(timeout=PATIENCE)
        return result.text


def answer(form: object) -> str:
    """What the person says when a task asks: it may ask what the client could show that started it."""
    print(f"  asked: {getattr(form, 'message', form)} The person says: a line")
    return "line"


@asynccontextmanager
async def server(file: str, researched: Researched, *, kill: bool = False) -> AsyncGenerator[str]:
    """The address of a server that runs meanwhile. ``researched`` gets what it says that it did."""
    words = [sys.executable, str(HERE / "server.py"), file, "--http", "0", "--seconds", str(SECONDS)]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, stdout=pipe, stderr=pipe)
    assert process.stdout is not None
    assert process.stderr is not None
    reading = asyncio.create_task(read(process.stdout, researched))
    try:
        url = await address_in(process.stderr)
        silent = asyncio.create_task(process.stderr.read())
        yield url
        process.kill() if kill else process.terminate()
        await asyncio.gather(process.wait(), reading, silent)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def read(stream: asyncio.StreamReader, researched: Researched) -> None:
    """Note what the server did."""
    while line := (await stream.readline()).decode():
        researched.note(line)


async def address_in(stream: asyncio.StreamReader) -> str:
    """The address that a starting server prints."""
    while line := (await stream.readline()).decode():
        if found := re.search(r"http://\S+", line):
            return found[0]
    raise OSError("the server did not start")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
