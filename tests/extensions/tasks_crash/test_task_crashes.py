"""A process dies before and after each write that a task makes, and others go on with it.

The task has two steps and a question between them; ``crash_process`` lets the processes die, here is read what became
of each task.

Follows: the extension io.modelcontextprotocol/tasks, "Task Creation", "Task Update Requests"; `App.add_tool`, ``once``.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "cluster"))

from machines import ENGINES, MissingEngine, environment_of, start_engine  # noqa: E402 - found where this file is

DEATHS = 24
"""At least so many of them are seen: a task makes a dozen writes, and one can die before and after each."""


@pytest.fixture(params=ENGINES)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[str, dict[str, str]]]:
    """The URL of a store, and the environment of who uses it."""
    try:
        engine = await start_engine(request.param, tmp_path)
    except MissingEngine as missing:
        pytest.skip(str(missing))
    try:
        yield engine.url, environment_of(engine, tmp_path)
    finally:
        await asyncio.to_thread(engine.remove)


class Told:
    """What one file tells."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.lines = path.read_text().splitlines()
        self.keys = self.of("calls (.*)")
        (self.id,) = set(self.of("task ([^ ]+) ")) or {""}

    def of(self, pattern: str) -> list[str]:
        return [
            found[1]
            for line in self.lines
            if (found := re.fullmatch(pattern, line) or re.match(pattern, line))
        ]

    def place(self, pattern: str) -> int:
        """Where the first such line is; behind all, if there is none."""
        return next((at for at, line in enumerate(self.lines) if re.match(pattern, line)), len(self.lines))

    def text(self) -> str:
        """What the task came to."""
        (ended,) = set(self.of("ended completed (.*)"))
        return json.loads(ended)["content"][0]["text"]

    def check(self, most_begun: int, unsure: tuple[str, ...] = (), *, asks: bool = True) -> None:
        """What holds wherever a process dies. ``unsure``: how a task may have ended of which its client never heard,
        and which nobody answered. ``asks``: it came as far as its question.
        """
        keys = ["where"] if asks else []
        whole = "\n".join([self.name, *self.lines])
        assert "stuck" not in self.lines, whole
        assert len(set(self.of("ended (.*)"))) == 1, "it ended once: " + whole
        kept = {line.split()[-1]: line.split() for line in self.lines if line.startswith("kept ")}
        assert kept[self.id][1] == "completed", whole
        assert json.loads(kept[self.id][2]) == keys, "one question, under one key: " + whole
        assert set(self.of("asked (.*)")) == {json.dumps([each]) for each in keys}, whole
        answered = self.place(f"wrote tasks.update '{self.id}' working")
        assert not any(line.startswith("asked") for line in self.lines[answered:]), "asked again: " + whole
        for key in self.keys:
            for step in ("pack", "go"):
                begun = self.lines.count(f"begun {step} {key}")
                assert begun <= most_begun, whole
        for step in ("pack", "go"):
            recorded = self.place(f"wrote tasks.record '{self.id}' '{step}'")
            again = f"begun {step} {self.keys[-1]}"
            assert again not in self.lines[recorded:], "repeated, though its result was kept: " + whole
        orphans = [line for id, line in kept.items() if id != self.id]
        assert all(line[1] in ("working", "input_required", *unsure) for line in orphans), whole
        created = len(self.of("wrote tasks.create (.*)"))
        assert len(kept) >= created, "what was created is there: " + whole


async def told_of(place: tuple[str, dict[str, str]], folder: Path, tool: str) -> list[Told]:
    """Let processes die at each write; gives what was told of each."""
    url, environment = place
    folder = folder / "told"
    folder.mkdir()
    command = (sys.executable, str(HERE / "crash_process.py"), url, str(folder), tool)
    process = await asyncio.create_subprocess_exec(*command, env=environment, start_new_session=True)
    assert await process.wait() == 0
    told = [Told(path) for path in sorted(folder.iterdir())]
    assert sum("died" in each.lines for each in told) >= DEATHS
    return told


@pytest.mark.timeout(180)
async def test_a_task_ends_once_wherever_its_process_dies(
    place: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    for told in await told_of(place, tmp_path, "travel"):
        told.check(most_begun=2)
        assert told.text() == "pack go sea", told.lines


@pytest.mark.timeout(180)
@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
async def test_a_step_that_runs_once_is_never_begun_again(
    place: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    """Where nobody knows whether a step came to its end, its caller is told just that."""
    unknown = 0
    for told in await told_of(place, tmp_path, "travel_once"):
        text = told.text()
        step = re.match("the outcome of the step '(.*)' is unknown", text)
        told.check(most_begun=1, unsure=("completed",), asks=step is None or step[1] == "go")
        if step is None:
            assert text == "pack go sea", told.lines
        else:
            unknown += 1
            never = len(told.lines)  # told of: another write killed the process while this one was made
            begun = told.place(f"wrote tasks.record '{told.id}' '.x01{step[1]}'")
            ended = told.place(f"wrote tasks.record '{told.id}' '{step[1]}'")
            assert begun in (never, min(begun, told.lines.index("died"))), "\n".join(told.lines)
            assert ended == never, "\n".join(told.lines)
    assert unknown, "it died when the step was begun, or when what came of it was to be recorded"
