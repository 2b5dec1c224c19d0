"""Tasks of FastMCP's servers that are kept in a Redis: waited for by other processes than started them, and after the
server was replaced.

The command line is asked, as a person does it; the server is the one of the matrix.

Follows: the extension io.modelcontextprotocol/tasks, "Task Polling".
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis_server import RedisServer, running_server

from interop.conversation import TASKS, Outcome, converse, environment, server_command, serving
from interop.installing import ROOT, Peers
from interop.judging import complaints, judge
from interop.steps import STATELESS, Cell, expectations
from interop.task_steps import TASK_STEPS, TASKS_EXPECTED, task_cells

CELL = Cell("fastmcp", "server", "http", STATELESS)
BACKEND = "FASTMCP_DOCKET_URL"


def dovetail(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of ours, and give what came of it."""
    return subprocess.run(
        [sys.executable, "-m", "dovetail", *words],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def redis(folder: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own."""
    yield from running_server(folder / "redis")


@contextmanager
def served(peers: Peers, folder: Path, backend: str) -> Iterator[str]:
    """FastMCP's server, with its tasks in a Redis; its URL."""
    folder.mkdir(exist_ok=True)
    command = server_command(CELL, peers, folder, TASKS)
    with serving(command, CELL, folder, Outcome(), {BACKEND: backend}) as port:
        yield f"http://127.0.0.1:{port}/mcp"


@pytest.mark.timeout(150)
def test_the_steps_at_a_server_that_keeps_its_tasks_in_a_redis(
    peers: Peers, folder: Path, redis: RedisServer
) -> None:
    expected = expectations(TASKS_EXPECTED, list(task_cells()), TASK_STEPS)[CELL]
    outcome = converse(CELL, peers, folder, TASKS, {BACKEND: redis.url})
    found = complaints(outcome, expected, judge(outcome, expected))
    assert not found, "\n".join((*found, outcome.said))


@pytest.mark.timeout(150)
def test_a_handle_is_good_for_other_processes_and_for_another_server(
    peers: Peers, folder: Path, redis: RedisServer
) -> None:
    with served(peers, folder / "first", redis.url) as url:
        released = dovetail("call", url, "release", "key=kept")
        started = dovetail("call", url, "work", "key=kept", "--detach", "--json")
        handle = json.loads(started.stdout)["handle"]
        asked = dovetail("call", url, "ask", "--detach", "-q").stdout.strip()
        assert dovetail("tasks", "wait", url, handle).stdout == "done kept\n"
    with served(peers, folder / "second", redis.url) as url:
        again = dovetail("tasks", "wait", url, handle)
        answered = dovetail("tasks", "wait", url, asked, "--answer", "name=Ada")
        shown = json.loads(dovetail("tasks", "show", url, asked, "--json").stdout)
    assert (released.returncode, started.returncode) == (0, 0)
    assert (again.returncode, again.stdout) == (0, "done kept\n"), again.stderr
    assert (answered.returncode, answered.stdout) == (0, "Hello, Ada\n"), answered.stderr
    assert shown["status"] == "completed"
