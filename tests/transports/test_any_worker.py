"""Nothing that a client is given belongs to one process: what one worker gave out, another takes.

The workers are real processes, each with hash seeds of its own. What makes them one is told where it is needed: shared
keys for what is sealed, a shared store for what is kept. For the rest nothing is. Specification: server/utilities/
pagination; basic/patterns/mrtr, "Server Requirements"; 2025-11-25 basic/transports, "Resumability and Redelivery".
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from ending_peers import Process, port_of
from http_serving import META, Answer, Prober

from dovetail import App, Client, Context, InvalidParams
from dovetail.protocol import names
from dovetail.protocol.revisions import STATELESS

WORKER = Path(__file__).with_name("any_worker.py")
LISTS = {
    names.TOOLS_LIST: "tools",
    names.RESOURCES_LIST: "resources",
    names.RESOURCES_TEMPLATES_LIST: "resourceTemplates",
    names.PROMPTS_LIST: "prompts",
}
ASKED: list[tuple[str, dict[str, Any]]] = [
    (names.DISCOVER, {}),
    *((method, {}) for method in LISTS),
    (names.TOOLS_CALL, {"name": "one-0"}),
    (names.TOOLS_CALL, {"name": "greet", "arguments": {"nome": 1, "extra": 2, "other": 3}}),
    (names.TOOLS_CALL, {"name": "absent"}),
    (names.RESOURCES_READ, {"uri": "note://one-0"}),
    (names.RESOURCES_READ, {"uri": "absent://x"}),
    (names.PROMPTS_GET, {"name": "one-0"}),
    (
        names.COMPLETION_COMPLETE,
        {"ref": {"type": "ref/prompt", "name": "one-0"}, "argument": {"name": "word", "value": "a"}},
    ),
    ("no/such", {}),
]


@contextlib.asynccontextmanager
async def workers(*words: str, **environment: str) -> AsyncIterator[list[Prober]]:
    """Two workers; gives a client of each."""
    async with contextlib.AsyncExitStack() as stack:
        probers = []
        for seed in ("1", "2"):
            pipe = asyncio.subprocess.PIPE
            plain = {name: value for name, value in os.environ.items() if name != "DOVETAIL_KEYS"}
            started = await asyncio.create_subprocess_exec(
                *(sys.executable, str(WORKER), *words),
                stderr=pipe,
                env={**plain, "PYTHONHASHSEED": seed, **environment},
            )
            process = Process(started)
            stack.push_async_callback(_ended, process)
            probers.append(Prober(await port_of(process)))
        yield probers
        for prober in probers:
            for connection in prober.opened:
                await connection.close()


async def _ended(process: Process) -> None:
    process.process.kill()
    await process.process.wait()
    await process.reading


@pytest.mark.requirement("R2607-PAGINATION-003")
@pytest.mark.parametrize("keys", [{}, {"DOVETAIL_KEYS": "k" * 40}], ids=["no keys", "shared keys"])
async def test_each_page_of_a_list_from_another_worker(keys: dict[str, str]) -> None:
    async with workers(**keys) as probers:
        for method, member in LISTS.items():
            for opened in (False, True):
                found: list[str] = []
                cursor: dict[str, str] = {}
                for turn in range(5):
                    prober = probers[turn % 2]
                    if opened:
                        prober.revision = "2025-11-25"
                        answer = await prober.call(method, cursor)
                        prober.revision = None
                    else:
                        answer = await prober.ask(method, cursor)
                    result = answer.json["result"]
                    found += [each["name"] for each in result[member]]
                    if "nextCursor" not in result:
                        break
                    cursor = {"cursor": result["nextCursor"]}
                assert found[:7] == ["one-0", "two-1", "three-2", "four-3", "five-4", "six-5", "seven-6"]


@pytest.mark.requirement("R2607-LIFECYCLE-043", "R2607-TOOLS-008")
async def test_workers_say_the_same_to_the_letter() -> None:
    async with workers() as (one, two):
        for method, params in ASKED:
            answers: list[Answer] = []
            for prober in (one, two):
                prober.ids = 0
                answers.append(await prober.ask(method, params))
            assert answers[0].body == answers[1].body, method


async def test_state_of_a_round_opens_in_every_app_with_the_same_keys(
    connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two apps in one process, with keys from the environment."""
    monkeypatch.setenv("DOVETAIL_KEYS", "k" * 40)
    wires = []
    for _ in range(2):
        app = App("twin")

        @app.tool
        async def greet(ctx: Context) -> str:
            return await ctx.elicit("Who?", str, key="who")

        wires.append(await connect(app, STATELESS[-1], {"elicitation": {"form": {}}}))
    one, two = wires
    asked = await one.result(names.TOOLS_CALL, {"name": "greet"})
    answer = {"who": {"action": "accept", "content": {"value": "Ada"}}}
    again = {"name": "greet", "requestState": asked["requestState"], "inputResponses": answer}
    assert (await two.result(names.TOOLS_CALL, again))["content"][0]["text"] == "Ada"


@pytest.mark.requirement("R2607-LIFECYCLE-025")
async def test_a_round_begun_at_one_worker_ends_at_another() -> None:
    async with workers(DOVETAIL_KEYS="k" * 40) as (one, two):
        meta = {**META, names.META_CLIENT_CAPABILITIES: {"elicitation": {"form": {}}}}
        asked = (await one.ask(names.TOOLS_CALL, {"name": "greet"}, meta=meta)).json["result"]
        (key,) = asked["inputRequests"]
        answered = {
            "name": "greet",
            "requestState": asked["requestState"],
            "inputResponses": {key: {"action": "accept", "content": {"name": "Ada", "value": "Ada"}}},
        }
        result = (await two.ask(names.TOOLS_CALL, answered, meta=meta)).json["result"]
        assert result["content"][0]["text"] == "hello Ada"


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-039")
async def test_a_session_and_what_its_streams_said_are_there_on_every_worker(tmp_path: Path) -> None:
    async with workers(str(tmp_path / "store.db")) as (one, two):
        await one.ready()
        two.session, two.revision, two.ids = one.session, one.revision, 100
        assert (await two.tool("one-0")).status == 200
        message = one.message(names.TOOLS_CALL, {"name": "talk", "_meta": {"progressToken": "p"}}, id="talk")
        stream = await one.stream("POST", message)
        events = await stream.rest()
        assert len(events) >= 2
        again = await two.stream("GET", headers={"Last-Event-ID": events[0].id or ""})
        assert [(await again.next()) for _ in events[1:]] == events[1:]


def nothing() -> None:
    """A tool."""


async def test_apps_of_another_name_keep_their_cursors() -> None:
    """A cursor says which app it is of; those of the same name are one, though neither has keys."""
    apps = []
    for name in ("one", "one", "two"):
        app = App(name, page_size=1)
        for tool in ("a", "b"):
            app.add_tool(nothing, name=tool)
        apps.append(app)
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(app, revision=STATELESS[-1])) for app in apps]
        cursor = (await clients[0].list_tools()).next_cursor
        assert cursor is not None
        assert [tool.name for tool in (await clients[1].list_tools(cursor)).tools] == ["b"]
        with pytest.raises(InvalidParams, match="cursor"):
            await clients[2].list_tools(cursor)
