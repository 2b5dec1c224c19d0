"""The library, end to end: what `make demo` runs. Ends with 0 if everything was as expected, else with 1.

Four acts: over stdio and over HTTP, each in the stateful and in the stateless era of the protocol. Every act
starts `server.py` as a process of its own, on a fresh copy of this project's documents, and plays the same
scenes with it.
"""

import asyncio
import contextlib
import re
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from scenes import SCENES, Play, Scene
from stage import Outcome, Report, Stage

from dovetail import Client, DovetailError
from dovetail.testing import Frame, watch_wire

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
ACTS = (("stdio", "2025-11-25"), ("stdio", "2026-07-28"), ("HTTP", "2025-11-25"), ("HTTP", "2026-07-28"))
CONNECT = "start and connect"
SCENE_SECONDS = 15.0


async def main() -> int:
    """Play all acts and give the exit code."""
    stage = Stage()
    began = time.perf_counter()
    stage.open(
        "The library: documents, indexed, searched, watched and discarded.",
        "One server, met by four clients: over stdio and over HTTP, each in both eras of the protocol.",
    )
    reports: list[Report] = []
    for number, (transport, revision) in enumerate(ACTS, 1):
        stage.act(number, f"{transport}, revision {revision}")
        with tempfile.TemporaryDirectory(prefix="library-") as folder:
            copy_documents(Path(folder))
            reports.append(await play_act(transport, revision, Path(folder), stage))
    stage.close(reports, time.perf_counter() - began)
    whole = all(len(report.outcomes) == len(SCENES) + 1 and not report.problems for report in reports)
    return 0 if whole else 1


async def play_act(transport: str, revision: str, folder: Path, stage: Stage) -> Report:
    """One act: connect, then scene by scene. A scene that fails does not end the act."""
    report = Report(f"{transport} {revision}")
    play = Play(folder, stage)
    deafen = watch_wire(lambda frame: count(report, frame))
    started = time.perf_counter()
    try:
        async with server(transport, folder) as target:
            client = play.client = Client(target, revision=revision, elicitation=play.answer)
            async with client:
                outcome = report.outcomes[CONNECT] = Outcome(time.perf_counter() - started)
                stage.scene(CONNECT, "from nothing to a server that answers", outcome)
                for title, scene in SCENES.items():
                    await play_scene(title, scene, play, report)
    except (DovetailError, OSError, TimeoutError) as error:
        outcome = report.outcomes[CONNECT] = Outcome(time.perf_counter() - started, said_by(error))
        stage.scene(CONNECT, "", outcome)
    finally:
        deafen()
    return report


async def play_scene(title: str, scene: Scene, play: Play, report: Report) -> None:
    """One scene, shown and noted, however it ends."""
    began = time.perf_counter()
    detail = problem = ""
    try:
        async with asyncio.timeout(SCENE_SECONDS):
            detail = await scene(play)
    except Exception as error:  # noqa: BLE001 - the demo goes on and says what happened
        problem = said_by(error)
    outcome = report.outcomes[title] = Outcome(time.perf_counter() - began, problem)
    play.stage.scene(title, detail, outcome)


def count(report: Report, frame: Frame) -> None:
    """Count a message."""
    if frame.sent:
        report.sent += 1
    else:
        report.received += 1


@asynccontextmanager
async def server(transport: str, folder: Path) -> AsyncGenerator[str | list[str]]:
    """What a client connects to: a command to start, or the address of a server that runs meanwhile."""
    command = [sys.executable, str(HERE / "server.py"), str(folder)]
    if transport == "stdio":
        yield command
        return
    process = await asyncio.create_subprocess_exec(*command, "--http", "0", stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    try:
        async with asyncio.timeout(SCENE_SECONDS):
            url = await address_in(process.stderr)
        reading = asyncio.create_task(process.stderr.read())
        yield url
        process.terminate()
        async with asyncio.timeout(SCENE_SECONDS):
            status = await process.wait()
            last = (await reading).decode().strip()
        if status != 0:
            raise OSError(f"the server ended with {status} when it was told to stop: {last[-300:]}")
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def address_in(stream: asyncio.StreamReader) -> str:
    """The address that a starting server prints."""
    said = ""
    while line := (await stream.readline()).decode():
        said += line
        if found := re.search(r"http://\S+", line):
            return found[0]
    raise OSError(f"the server did not start: {said.strip().rpartition(chr(10))[2] or 'it said nothing'}")


def said_by(error: Exception) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]


def copy_documents(folder: Path) -> None:
    """This project's own documents, to be changed at will."""
    for path in [*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md")]:
        target = folder / path.relative_to(PROJECT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
