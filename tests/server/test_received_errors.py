"""Errors that an author's function receives from somebody else: from a server that it calls, from the client it asks.

Their codes are about its own requests. A caller is told of them in words, and never given them as answers to its call.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dovetail import (
    App,
    Client,
    Context,
    InternalError,
    InvalidParams,
    ResourceNotFound,
    RPCError,
)
from dovetail.client import Decline
from dovetail.errors import UserRejected
from dovetail.middleware import ErrorTable
from dovetail.proxy import ProxyProvider
from dovetail.revisions import REVISIONS, STATEFUL, STATELESS
from dovetail.runtime import tap
from dovetail.testing.serving import served
from wires import Connect

EVERY = pytest.mark.parametrize("revision", REVISIONS)
BOTH = pytest.mark.parametrize("revision", [STATEFUL[-1], STATELESS[-1]])
ABSENT = "there is no tool 'absent'"


def mill(**options: Any) -> App:
    """An app whose functions call another server, which refuses what they ask of it."""
    inner = App("quarry")
    app = App("mill", **options)

    @inner.tool
    async def here() -> str:
        return "here"

    @inner.resource("quarry://stone")
    async def rock() -> str:
        return "rock"

    async def refused(revision: str) -> str:
        async with Client(inner, revision=revision) as client:
            return (await client.call_tool("absent")).text

    @app.tool
    async def grind(revision: str) -> str:
        return await refused(revision)

    @app.tool
    async def grind_two(revision: str) -> str:
        await asyncio.gather(refused(revision), refused(revision))
        return "ground"

    @app.tool(timeout=60)
    def grind_in_a_thread(revision: str) -> str:
        return asyncio.run(refused(revision))

    @app.tool
    async def unknown_method(revision: str) -> str:
        async with Client(inner, revision=revision) as client:
            return str(await client.request("com.example/absent", {}))

    @app.tool
    async def own_refusal() -> str:
        raise InvalidParams("a mill has two stones")

    @app.tool
    async def own_words(revision: str) -> str:
        try:
            return await refused(revision)
        except InvalidParams as problem:
            raise RPCError("the quarry is closed", code=-31001) from problem

    add_others(app, inner, refused)
    return app


def add_others(app: App, inner: App, refused: Callable[[str], Awaitable[str]]) -> None:
    """What is no tool, and fails alike."""

    @app.resource("mill://stone/{revision}")
    async def stone(revision: str) -> str:
        return await refused(revision)

    @app.resource("mill://lost/{revision}")
    async def lost(revision: str) -> str:
        async with Client(inner, revision=revision) as client:
            return str(await client.read("quarry://absent"))

    @app.prompt
    async def recipe(revision: str) -> str:
        return await refused(revision)

    @app.completion("recipe", "revision")
    async def complete(typed: str) -> list[str]:
        return [await refused(REVISIONS[-1])]

    @app.method("com.example/grind")
    async def method(revision: str) -> dict[str, str]:
        return {"text": await refused(revision)}


@pytest.mark.requirement("R2511-TOOLS-022", "R2607-TOOLS-044")
@pytest.mark.parametrize("tool", ["grind", "grind_two", "grind_in_a_thread"])
@EVERY
async def test_a_server_that_refuses_a_tool_is_told_to_the_model(revision: str, tool: str) -> None:
    async with Client(mill(), revision=revision) as client:
        result = await client.call_tool(tool, {"revision": revision})
    assert result.is_error
    assert result.text == f"The tool {tool!r} failed: tools/call was answered with: {ABSENT} (code -32602)"


@pytest.mark.requirement("R2511-TOOLS-022", "R2607-TOOLS-044")
@BOTH
async def test_a_method_that_the_other_server_lacks_is_none_that_this_one_lacks(
    revision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tap, "listeners", [])  # the oracle knows the methods of the specification alone
    async with served(mill()) as url, Client(url, revision=revision) as client:
        result = await client.call_tool("unknown_method", {"revision": revision})
    assert result.is_error
    assert "com.example/absent" in result.text
    assert "(code -32601)" in result.text


@BOTH
async def test_an_error_of_the_author_s_own_stays_one_of_the_protocol(revision: str) -> None:
    async with Client(mill(), revision=revision) as client:
        with pytest.raises(InvalidParams, match="a mill has two stones"):
            await client.call_tool("own_refusal")
        with pytest.raises(RPCError, match="the quarry is closed") as caught:
            await client.call_tool("own_words", {"revision": revision})
        assert caught.value.code == -31001


@BOTH
async def test_unmasked_errors_say_which_server_it_was(revision: str) -> None:
    async with Client(mill(mask_errors=False), revision=revision) as client:
        result = await client.call_tool("grind", {"revision": revision})
        assert result.text.endswith(f"{ABSENT} (code -32602; tools/call to quarry (an app in this process))")
    async with Client(mill(), revision=revision) as client:
        assert "quarry" not in (await client.call_tool("grind", {"revision": revision})).text


@BOTH
async def test_all_that_is_no_tool_fails_by_an_internal_error(
    revision: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tap, "listeners", [])  # as above
    async with Client(mill(), revision=revision) as client:
        for asked, name in (
            (client.read(f"mill://stone/{revision}"), "resource 'mill://stone/{revision}'"),
            (client.get_prompt("recipe", {"revision": revision}), "prompt 'recipe'"),
            (client.complete("recipe", "revision", "2"), "completion of 'revision'"),
            (client.request("com.example/grind", {"revision": revision}), "method 'com.example/grind'"),
        ):
            with pytest.raises(InternalError) as caught:
                await asked
            assert caught.value.message == (
                f"The {name} failed: tools/call was answered with: {ABSENT} (code -32602)"
            )
            assert f"the {name} failed: {ABSENT}" in caplog.text
        with pytest.raises(RPCError) as not_found:
            await client.read(f"mill://lost/{revision}")
        assert (not_found.value.code, not_found.value.data) == (-32603, None)


@BOTH
async def test_middleware_says_first_what_an_error_means(revision: str) -> None:
    table = ErrorTable({InvalidParams: lambda problem: ResourceNotFound("no stone")})
    app = mill(middleware=[table])
    async with Client(app, revision=revision) as client:
        with pytest.raises(RPCError, match="no stone"):
            await client.call_tool("grind", {"revision": revision})


@BOTH
async def test_what_is_passed_on_keeps_its_code(revision: str) -> None:
    app = App("front")
    app.mount("back", ProxyProvider(mill()))
    async with Client(app, revision=revision) as client:
        with pytest.raises(InvalidParams, match="a mill has two stones"):
            await client.call_tool("back_own_refusal")
        assert (await client.call_tool("back_grind", {"revision": revision})).is_error


@pytest.mark.requirement("R2511-TOOLS-022")
@pytest.mark.parametrize("revision", STATEFUL)
async def test_a_client_that_refuses_a_question_is_told_to_the_model(revision: str) -> None:
    app = App("mill")

    @app.tool
    async def think(ctx: Context) -> str:
        return str((await ctx.sample("grind?")).content)

    @app.prompt
    async def thought(ctx: Context) -> str:
        return str((await ctx.sample("grind?")).content)

    def refuse(params: Any) -> Any:
        raise UserRejected("not this one")

    async with Client(app, revision=revision, sampling=refuse) as client:
        result = await client.call_tool("think")
        assert result.is_error
        assert result.text == (
            "The tool 'think' failed: sampling/createMessage was answered with: not this one (code -1)"
        )
        with pytest.raises(InternalError, match="not this one"):
            await client.get_prompt("thought")


@pytest.mark.hostile
@pytest.mark.requirement("R2511-TOOLS-022")
async def test_an_answer_that_can_not_be_read_is_told_to_the_model(connect: Connect) -> None:
    app = App("mill")

    @app.tool
    async def think(ctx: Context) -> str:
        return str((await ctx.sample("grind?")).content)

    wire = await connect(app, "2025-11-25", {"sampling": {}})
    answer = await wire.start("think", "tools/call", {"name": "think", "arguments": {}})
    asked = await wire.inbox.get()
    await wire.send({"jsonrpc": "2.0", "id": asked["id"], "result": {}, "error": {"code": 1, "message": "?"}})
    result = (await asyncio.wait_for(answer, 10))["result"]
    assert result["isError"]
    assert "sampling/createMessage was answered with: the client's answer" in result["content"][0]["text"]


async def test_what_a_person_declines_is_told_as_it_was() -> None:
    app = App("mill")

    @app.tool
    async def ask(ctx: Context) -> str:
        return await ctx.elicit("grind?", str)

    async with Client(app, revision="2025-11-25", elicitation=lambda form: Decline()) as client:
        assert (await client.call_tool("ask")).text == "the person declined: grind?"
