"""Dependencies of a call and of the app, in everything that an author's function can be."""

import asyncio
import contextvars
import logging
from typing import Annotated, Any

import pytest
from playing import capabilities

from dovetail import App, Ask, Client, Context, Depends, Principal, RegistrationError
from dovetail.protocol.revisions import REVISIONS
from dovetail.server.app_scope import AppScope
from dovetail.testing import connected

EVERY = pytest.mark.parametrize("revision", REVISIONS)
seen: list[str] = []


@pytest.fixture(autouse=True)
def forget() -> None:
    seen.clear()


async def pool() -> Any:
    seen.append("pool in")
    yield "pool"
    seen.append("pool out")


def engine(it: Annotated[str, Depends(pool, scope="app")]) -> Any:
    seen.append("engine in")
    yield f"engine of {it}"
    seen.append("engine out")


async def session(it: Annotated[str, Depends(engine, scope="app")], who: Principal, ctx: Context) -> Any:
    seen.append("session in")
    try:
        yield f"session of {it} for {'nobody' if who.is_anonymous else who.subject} by {ctx.transport}"
    finally:
        seen.append("session out")


Session = Annotated[str, Depends(session)]
WANTED = "session of engine of pool for nobody by memory"


def make_app() -> App:
    app = App("depending")

    @app.tool
    async def tool(it: Session, again: Session) -> str:
        assert it is again
        return it

    @app.tool
    def sync_tool(it: Session) -> str:
        return it

    @app.resource("it://{name}")
    async def resource(name: str, it: Session) -> str:
        return it

    @app.prompt
    async def prompt(it: Session) -> str:
        return it

    @app.completion("it://{name}", "name")
    async def complete(typed: str, it: Session) -> list[str]:
        return [it]

    return app


@EVERY
async def test_everywhere_and_one_for_the_app(revision: str) -> None:
    async with Client(make_app(), revision=revision) as client:
        assert (await client.call_tool("tool")).text == WANTED
        assert (await client.call_tool("sync_tool")).text == WANTED
        assert (await client.read("it://x")).contents[0].text == WANTED
        assert getattr((await client.get_prompt("prompt")).messages[0].content, "text", None) == WANTED
        assert (await client.complete("it://{name}", "name", "x")).values == [WANTED]
    assert sorted(seen[2:-2]) == ["session in"] * 5 + ["session out"] * 5
    assert seen[:2] == ["pool in", "engine in"]
    assert seen[-2:] == ["engine out", "pool out"]


@pytest.mark.parametrize("transport", ["memory", "http"])
@EVERY
async def test_clean_up_follows_the_response(revision: str, transport: Any) -> None:
    app = App("after")
    answered, cleaned = asyncio.Event(), asyncio.Event()
    failures: list[str] = []

    async def session() -> Any:
        entered = asyncio.current_task()
        try:
            yield "session"
        except LookupError:
            failures.append("rolled back")
            raise
        await answered.wait()  # would never come if the response waited for the clean-up
        assert asyncio.current_task() is entered
        cleaned.set()

    @app.tool
    async def tool(it: Annotated[str, Depends(session)], *, fail: bool = False) -> str:
        if fail:
            raise LookupError
        return it

    async with connected(app, transport=transport, revision=revision) as client:
        assert (await client.call_tool("tool", {"fail": True})).is_error
        assert failures == ["rolled back"]
        assert (await client.call_tool("tool", timeout=10)).text == "session"
        assert not cleaned.is_set()
        answered.set()
        await asyncio.wait_for(cleaned.wait(), 10)


async def test_overrides_reach_both_scopes() -> None:
    app = make_app()
    app.overrides[pool] = lambda: "puddle"
    async with Client(app) as client:
        assert "puddle" in (await client.call_tool("tool")).text
    assert "pool in" not in seen


async def test_calls_at_once_share_the_one_that_is_being_made() -> None:
    app = App("at once")
    made: list[int] = []
    begun, gate = asyncio.Event(), asyncio.Event()
    variable = contextvars.ContextVar("variable", default="none")

    async def slow() -> str:
        made.append(1)
        begun.set()
        await gate.wait()
        return variable.get()

    @app.tool
    async def tool(it: Annotated[str, Depends(slow, scope="app")]) -> str:
        return it

    async with Client(app) as client:
        variable.set("of a call")
        calls = [asyncio.create_task(client.call_tool("tool")) for _ in range(5)]
        await asyncio.wait_for(begun.wait(), 5)
        calls[0].cancel()  # a call that goes away takes nothing with it
        gate.set()
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert [each.text for each in found[1:] if not isinstance(each, BaseException)] == ["none"] * 4
    assert made == [1]


async def test_one_that_fails_is_tried_again(caplog: Any) -> None:
    app = App("failing")
    tries: list[int] = []

    def fragile() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise OSError("not yet")
        return "there"

    @app.tool
    async def tool(it: Annotated[str, Depends(fragile, scope="app")]) -> str:
        return it

    async with Client(app) as client:
        with caplog.at_level(logging.CRITICAL, "dovetail.server"):
            assert (await client.call_tool("tool")).is_error
        assert (await client.call_tool("tool")).text == "there"


def test_what_lives_as_long_as_the_app_cant_have_what_belongs_to_a_call() -> None:
    app = App("refusing")

    def of_call(ctx: Context) -> str:
        return ctx.transport

    def nested(it: Annotated[str, Depends(pool)]) -> str:
        return it

    for provider in (of_call, nested):

        async def tool(it: Annotated[str, Depends(provider, scope="app")]) -> str:
            return it

        with pytest.raises(RegistrationError, match="lives as long as the app"):
            app.add_tool(tool)


def test_a_question_that_cant_be_asked_is_refused_at_registration() -> None:
    app = App("refusing")

    async def no_form(it: Annotated[dict[str, list[int]], Ask("What?")]) -> str:
        return str(it)

    async def no_argument(what: str, it: Annotated[bool, Ask("Really {where}?")]) -> str:
        return f"{what} {it}"

    async def no_text(it: Annotated[bool, Ask("Really {?")]) -> str:
        return str(it)

    for fn, told in (
        (no_form, "can't be asked"),
        (no_argument, "no such argument"),
        (no_text, "can't be asked"),
    ):
        with pytest.raises(RegistrationError, match=told):
            app.add_tool(fn)


@pytest.mark.parametrize("revision", [each for each in REVISIONS if each >= "2025-06-18"])
async def test_a_dependency_may_ask(revision: str, connect: Any) -> None:
    from playing import by_message, play

    app = App("asking")

    async def sure(ctx: Context) -> Any:
        seen.append("in")
        try:
            yield await ctx.elicit("Sure?", bool)
        finally:
            seen.append("out")

    @app.tool
    async def tool(it: Annotated[bool, Depends(sure)]) -> str:
        return str(it)

    played = await play(
        await connect(app, revision, capabilities(revision)), "tool", by_message({"Sure?": True})
    )
    assert played.text == "True"
    assert seen.count("in") == seen.count("out")


def test_a_loop_that_is_gone_takes_what_was_kept_with_it() -> None:
    """Python collects the lifespan's task where no loop runs any more: nothing fails there."""
    scope = AppScope()

    async def use() -> Any:
        async def make(_: Any) -> str:
            return "made"

        return await scope.value("provider", make)

    assert asyncio.run(use()) == "made"
    closing = scope.close()
    with pytest.raises(StopIteration):
        closing.send(None)
