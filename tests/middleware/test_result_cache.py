"""What a `ResultCache` keeps, for whom, how much of it, and when it asks again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from middleware_calls import CallerChannel, answer_to, person, text_of

from dovetail import App, Client, Context, InvalidParams, Principal, ToolAnnotations, ToolError
from dovetail.extensions.tasks import tasks
from dovetail.middleware import ResultCache
from dovetail.protocol.revisions import REVISIONS

BOTH = pytest.mark.parametrize("revision", [REVISIONS[-2], REVISIONS[-1]])
READS = ToolAnnotations(read_only_hint=True)


class Counting:
    """An app with a cache, which counts the runs of its tools."""

    def __init__(self, cache: ResultCache, **options: Any) -> None:
        self.runs = 0
        self.started: asyncio.Queue[int] = asyncio.Queue()
        self.gate: asyncio.Event | None = None
        self.app = App("cached", middleware=[cache], **options)
        self.app.add_tool(self.look, annotations=READS)
        self.app.add_tool(self.write)

    async def look(self, word: str, many: list[int] | None = None, *, who: Principal) -> str:
        """Look something up."""
        self.runs += 1
        self.started.put_nowait(self.runs)
        if self.gate is not None:
            await self.gate.wait()
        if word == "fail":
            raise ToolError("not today")
        return f"{word} for {who.subject or 'nobody'}, number {self.runs}"

    async def write(self, word: str) -> str:
        """Write something down."""
        self.runs += 1
        return f"{word}, number {self.runs}"


@BOTH
async def test_an_answer_is_given_again_to_the_same_caller(revision: str) -> None:
    counting = Counting(ResultCache(60))
    async with Client(counting.app, revision=revision) as client:
        first = (await client.call_tool("look", {"word": "a", "many": [1, 2]})).text
        assert (await client.call_tool("look", {"many": [1, 2], "word": "a"})).text == first, (
            "order is nothing"
        )
        assert (await client.call_tool("look", {"word": "a", "many": [2, 1]})).text != first
        assert counting.runs == 2
        assert (await client.call_tool("write", {"word": "a"})).text != (
            await client.call_tool("write", {"word": "a"})
        ).text, "only what says that it is read-only"
    async with Client(counting.app, revision=revision) as client:
        assert (await client.call_tool("look", {"word": "a", "many": [1, 2]})).text != first, (
            "somebody else's"
        )


async def test_nobody_gets_the_answer_of_somebody_else() -> None:
    counting = Counting(ResultCache(60, tools=["look"]))
    async with Client(counting.app):
        one, other = CallerChannel(person("ada")), CallerChannel(person("bob"))
        found = [
            text_of(await answer_to(counting.app, each, "look", {"word": "a"})) for each in (one, other, one)
        ]
        assert found == ["a for ada, number 1", "a for bob, number 2", "a for ada, number 1"]
        # The same person with a token that allows more, or says something else.
        await answer_to(counting.app, CallerChannel(person("ada", "more")), "look", {"word": "a"})
        await answer_to(counting.app, CallerChannel(person("ada", tenant="t")), "look", {"word": "a"})
        assert counting.runs == 4
        # Who can't be told from others has nothing kept.
        await answer_to(counting.app, CallerChannel(), "look", {"word": "a"})
        await answer_to(counting.app, CallerChannel(), "look", {"word": "a"})
        assert counting.runs == 6


async def test_what_is_public_is_everybodys() -> None:
    counting = Counting(ResultCache(60, public=["look"]))
    async with Client(counting.app):
        for each in (CallerChannel(), CallerChannel(person("ada")), CallerChannel(remote="198.51.100.7")):
            assert (
                text_of(await answer_to(counting.app, each, "look", {"word": "a"}))
                == "a for nobody, number 1"
            )
        await answer_to(counting.app, CallerChannel(), "look", {"word": "a"}, {"example.org/language": "de"})
        assert counting.runs == 2, "what the caller put into _meta may change the answer"
        await answer_to(counting.app, CallerChannel(), "look", {"word": "a"}, {"traceparent": "00-1-2-01"})
        assert counting.runs == 2


async def test_who_may_not_call_a_tool_gets_nothing_that_is_kept() -> None:
    cache = ResultCache(60, public=["secret"])
    app = App("guarded", middleware=[cache])
    allowed = {"ada"}

    @app.tool(scopes=["read"], allow=lambda who: who.subject in allowed)
    async def secret() -> str:
        return "the answer"

    ada, bob = CallerChannel(person("ada", "read")), CallerChannel(person("bob", "read"))
    async with Client(app):
        assert text_of(await answer_to(app, ada, "secret")) == "the answer"
        assert len(cache) == 1
        assert (await answer_to(app, bob, "secret"))["code"] == -32602, "it does not exist for him"
        assert "scope" in (await answer_to(app, CallerChannel(person("ada")), "secret"))["message"]
        allowed.clear()
        assert (await answer_to(app, ada, "secret"))["code"] == -32602, "not even for who got it before"


async def test_what_is_kept_has_its_time_and_its_tool() -> None:
    now = [0.0]
    cache = ResultCache(10, clock=lambda: now[0])
    counting = Counting(cache)
    async with Client(counting.app) as client:
        await client.call_tool("look", {"word": "a"})
        now[0] = 9.9
        await client.call_tool("look", {"word": "a"})
        assert counting.runs == 1
        now[0] = 10.0
        await client.call_tool("look", {"word": "a"})
        assert counting.runs == 2
        counting.app.add_tool(counting.look, annotations=READS, replace=True)
        await client.call_tool("look", {"word": "a"})
        assert counting.runs == 3, "another tool has the name now"
        cache.clear("look")
        assert len(cache) == 0
        await client.call_tool("look", {"word": "a"})
        assert counting.runs == 4


async def test_failures_and_questions_are_not_kept() -> None:
    counting = Counting(ResultCache(60, tools=["look", "sure"]))
    runs: list[bool] = []

    @counting.app.tool
    async def sure(ctx: Context) -> bool:
        runs.append(await ctx.elicit("Sure?", bool))
        return runs[-1]

    answers = [True, False]
    async with Client(counting.app, elicitation=lambda _: {"value": answers.pop(0)}) as client:
        for _ in range(2):
            assert (await client.call_tool("look", {"word": "fail"})).is_error
        assert counting.runs == 2
        found = [(await client.call_tool("sure")).text for _ in range(2)]
    assert found == ["true", "false"]


@BOTH
async def test_calls_for_the_same_wait_for_the_first(revision: str) -> None:
    counting = Counting(ResultCache(60))
    counting.gate = asyncio.Event()
    async with Client(counting.app, revision=revision) as client, asyncio.TaskGroup() as group:
        calls = [group.create_task(client.call_tool("look", {"word": "a"})) for _ in range(20)]
        await counting.started.get()
        counting.gate.set()
    assert {call.result().text for call in calls} == {"a for nobody, number 1"}
    assert counting.runs == 1


@BOTH
async def test_answers_of_mounted_tools_are_kept_too(revision: str) -> None:
    counting = Counting(ResultCache(60))
    town = App("town", middleware=[ResultCache(60)])
    inner = App("inner")
    inner.add_tool(counting.look, annotations=READS)
    town.mount("in", inner)
    async with Client(town, revision=revision) as client:
        first = (await client.call_tool("in_look", {"word": "a"})).text
        assert (await client.call_tool("in_look", {"word": "a"})).text == first
        inner.remove_tool("look")
        with pytest.raises(InvalidParams, match="there is no tool"):
            await client.call_tool("in_look", {"word": "a"})


async def test_whoever_takes_back_the_first_call_takes_nothing_from_the_others() -> None:
    counting = Counting(ResultCache(60))
    counting.gate = asyncio.Event()
    async with Client(counting.app) as client:
        first = asyncio.create_task(client.call_tool("look", {"word": "a"}))
        await counting.started.get()
        second = asyncio.create_task(client.call_tool("look", {"word": "a"}))
        await client.call_tool("write", {"word": "b"})  # the second is there by now
        first.cancel()
        await asyncio.wait((first,))
        await counting.started.get()
        counting.gate.set()
        assert (await second).text == "a for nobody, number 3"


async def test_whoever_waits_for_a_call_that_fails_makes_it_alone() -> None:
    counting = Counting(ResultCache(60))
    counting.gate = asyncio.Event()
    async with Client(counting.app) as client, asyncio.TaskGroup() as group:
        calls = [group.create_task(client.call_tool("look", {"word": "fail"})) for _ in range(3)]
        await counting.started.get()
        counting.gate.set()
    assert all(call.result().is_error for call in calls)
    assert counting.runs == 3


async def test_it_is_bounded_in_number_and_in_bytes() -> None:
    few, small = ResultCache(60, max_entries=3), ResultCache(60, max_bytes=1000)
    for cache in (few, small):
        counting = Counting(cache)
        async with Client(counting.app) as client:
            for number in range(20):
                await client.call_tool("look", {"word": f"{number}" + "x" * 100})
            assert 3 <= len(cache) <= 5
            runs = counting.runs
            await client.call_tool("look", {"word": "19" + "x" * 100})
            assert counting.runs == runs, "what was used last is still there"
            await client.call_tool("look", {"word": "y" * 2000})
            await client.call_tool("look", {"word": "y" * 2000})
            assert counting.runs == runs + (1 if cache is few else 2)


async def test_a_call_that_wants_a_task_gets_a_task() -> None:
    cache = ResultCache(60, tools=["look"])
    app = App("tasked", middleware=[cache], extensions=[tasks()])
    runs: list[str] = []

    @app.tool(task="optional")
    async def look(word: str) -> str:
        runs.append(word)
        return word

    async with Client(app, revision="2025-11-25") as client:
        await client.call_tool("look", {"word": "a"})
        await client.call_tool("look", {"word": "a"})
        assert runs == ["a"]
        made = await client.request("tools/call", {"name": "look", "arguments": {"word": "a"}, "task": {}})
        assert made["task"]["taskId"]
        await client.request("tasks/result", {"taskId": made["task"]["taskId"]})
        assert runs == ["a", "a"]


def test_what_can_not_be_is_refused() -> None:
    with pytest.raises(ValueError, match="above zero"):
        ResultCache(0)
    with pytest.raises(ValueError, match="lists of names"):
        ResultCache(1, tools="look")


async def test_a_cache_is_one_apps() -> None:
    cache = ResultCache(60)
    one, other = App("one", middleware=[cache]), App("other", middleware=[cache])
    async with Client(one):
        with pytest.raises(Exception, match="given to the apps 'one' and 'other'"):
            async with Client(other) as client:
                await client.call_tool("x")
