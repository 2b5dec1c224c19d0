"""Code below a function that is served finds the context of its call, and nobody else's."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Annotated

import pytest

from dovetail import App, Client, Depends, NoContext, current_context
from dovetail.protocol.revisions import REVISIONS
from dovetail.runtime import tap
from dovetail.server.running import AMBIENCE

EVERY = pytest.mark.parametrize("revision", REVISIONS)


@pytest.fixture(autouse=True)
def somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a program that imports it; another test may have put it as in one that does not."""
    monkeypatch.setattr(AMBIENCE, "used", True)


async def deep() -> str:
    await asyncio.sleep(0)
    return f"{current_context().request_id} in {current_context().revision}"


def make_app() -> App:
    app = App("ambient")

    @app.tool
    async def plain() -> str:
        return await deep()

    @app.tool
    def in_thread() -> str:
        return f"{current_context().request_id} in {current_context().revision}"

    @app.tool(timeout=5)
    async def in_time() -> str:
        return await deep()

    @app.tool
    async def in_tasks() -> str:
        first, second = await asyncio.gather(deep(), deep())
        assert first == second
        return await asyncio.create_task(deep())

    @app.resource("ambient://{name}")
    async def read(name: str) -> str:
        return await deep()

    @app.prompt
    def written(x: str = "") -> str:
        return current_context().revision + x

    @app.completion("written", "x")
    async def completed(typed: str) -> list[str]:
        return [await deep()]

    @app.method("org.example/mine")
    async def mine() -> dict[str, str]:
        return {"found": await deep()}

    return app


@EVERY
@pytest.mark.parametrize("name", ["plain", "in_thread", "in_time", "in_tasks"])
async def test_a_tool_finds_its_own_call(name: str, revision: str) -> None:
    async with Client(make_app(), revision=revision) as client:
        found = [result.text for result in await asyncio.gather(*(client.call_tool(name) for _ in range(5)))]
    assert len(set(found)) == 5, "each call has an id of its own"
    assert all(text.endswith(f"in {revision}") for text in found)


@EVERY
async def test_all_that_is_served_finds_its_call(revision: str) -> None:
    async with Client(make_app(), revision=revision) as client:
        assert revision in str((await client.read("ambient://x")).contents[0].text)
        assert revision in str((await client.get_prompt("written")).messages[0].content)
        if revision >= REVISIONS[2]:
            assert revision in (await client.complete("written", "x")).values[0]


@EVERY
async def test_a_method_of_ones_own_finds_its_call(revision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap, "listeners", [])  # the oracle knows the methods of the specification alone
    async with Client(make_app(), revision=revision) as client:
        assert revision in (await client.request("org.example/mine"))["found"]


async def test_dependencies_find_it_too() -> None:
    async def provided() -> str:
        return await deep()

    app = App("dependent")

    @app.tool
    async def asked(value: Annotated[str, Depends(provided)]) -> bool:
        return value == await deep()

    async with Client(app) as client:
        assert (await client.call_tool("asked")).value is True


@pytest.mark.parametrize("revision", REVISIONS[2:])
async def test_what_is_asked_below_a_plain_tool_is_asked(revision: str) -> None:
    async def sure() -> bool:
        return await current_context().elicit("Sure?", bool)

    app = App("asking")

    @app.tool
    async def drop() -> str:
        return "dropped" if await sure() else "kept"

    def answer(question: object) -> dict[str, bool]:
        return {"value": True}

    async with Client(app, revision=revision, elicitation=answer) as client:
        assert (await client.call_tool("drop")).text == "dropped"


async def test_a_task_that_outlives_its_call_is_told_so() -> None:
    go_on = asyncio.Event()
    left: list[asyncio.Task[str]] = []

    async def later() -> str:
        await go_on.wait()
        return await deep()

    app = App("leaving")

    @app.tool
    async def leave() -> str:
        left.append(asyncio.create_task(later()))
        return await deep()

    async with Client(app) as client:
        await client.call_tool("leave")
        go_on.set()
        with pytest.raises(NoContext, match="the call that started this task has ended"):
            await left[0]


async def test_outside_of_calls_there_is_none() -> None:
    with pytest.raises(NoContext, match="no call runs here"):
        current_context()
    found: list[BaseException] = []

    async def through(call: object, channel: object, handler: Callable[..., Awaitable[object]]) -> object:
        result = await handler(call, channel)
        try:
            current_context()
        except NoContext as problem:
            found.append(problem)
        return result

    app = make_app()
    around = App("around", middleware=[through])  # type: ignore[list-item] # of no types of its own
    around.add_tool(deep)
    async with Client(around) as client:
        assert (await client.call_tool("deep")).text
    async with Client(app) as client:
        assert (await client.call_tool("plain")).text
    assert found


async def test_a_thread_of_ones_own_needs_the_variables_of_the_call() -> None:
    app = App("threads")

    @app.tool
    def started() -> str:
        problems: list[Exception] = []

        def run() -> None:
            try:
                current_context()
            except NoContext as problem:
                problems.append(problem)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        return str(problems[0]) if problems else "inherited"

    async with Client(app) as client:
        said = (await client.call_tool("started")).text
    assert "copy_context().run" in said or (said == "inherited" and sys.version_info >= (3, 14))


LATE = """
import asyncio
from dovetail import App, Client
from dovetail.runtime import tap
from dovetail.server.running import AMBIENCE

app = App("late", mask_errors=False)

@app.tool
async def late() -> str:
    import dovetail
    return dovetail.current_context().revision

async def main():
    assert not AMBIENCE.used
    async with Client(app) as client:
        print((await client.call_tool("late")).text)
        print((await client.call_tool("late")).text)

asyncio.run(main())
"""


def test_nothing_is_noted_before_anybody_asks_and_then_the_next_call_is() -> None:
    """In a process of its own, where nobody has asked yet."""
    ran = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, check=True)
    first, second = ran.stdout.splitlines()
    assert "this call began before current_context was there" in first
    assert second == REVISIONS[-1]
