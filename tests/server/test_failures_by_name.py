"""What callers and authors are told when something of the author's fails, whatever kind of entry it was."""

import logging
from typing import Any

import pytest

from dovetail import App, Client, Context, InternalError, InvalidParams, RPCError, ToolError
from dovetail.protocol.revisions import STATEFUL, STATELESS

REVISIONS = [STATEFUL[-1], STATELESS[-1]]


def failing(**options: Any) -> App:
    app = App("mill", **options)

    @app.resource("mill://stone")
    def stone() -> str:
        raise RuntimeError("password hunter2")

    @app.resource("mill://sack/{number}")
    async def sack(number: int) -> str:
        raise RuntimeError("password hunter2")

    @app.prompt
    def recipe() -> str:
        raise RuntimeError("password hunter2")

    @app.prompt
    async def torn() -> str:
        raise ToolError("the page is torn")

    @app.prompt
    async def wrong() -> str:
        return 5  # type: ignore[return-value]  # a function that breaks its word

    return app


@pytest.mark.requirement(
    "R2511-PROMPTS-006", "R2511-RESOURCES-007", "R2607-PROMPTS-012", "R2607-RESOURCES-014"
)
@pytest.mark.parametrize("revision", REVISIONS)
async def test_a_failure_names_what_failed_and_nothing_of_why(
    revision: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Client(failing(), revision=revision) as client:
        for asked, name in (
            (client.read("mill://stone"), "resource 'mill://stone'"),
            (client.read("mill://sack/7"), "resource 'mill://sack/{number}'"),
            (client.get_prompt("recipe"), "prompt 'recipe'"),
            (client.get_prompt("wrong"), "prompt 'wrong'"),
        ):
            with pytest.raises(InternalError) as caught:
                await asked
            assert caught.value.message == f"The {name} failed."
            assert f"the {name} failed" in caplog.text
        with pytest.raises(InternalError, match="the page is torn"):
            await client.get_prompt("torn")
    assert "hunter2" in caplog.text


async def test_unmasked_errors_are_told_of_resources_and_prompts_too() -> None:
    async with Client(failing(mask_errors=False)) as client:
        for asked in (client.read("mill://stone"), client.read("mill://sack/7"), client.get_prompt("recipe")):
            with pytest.raises(InternalError) as caught:
                await asked
            assert caught.value.message == "RuntimeError: password hunter2"


async def test_what_an_author_can_do_is_told_to_the_author(caplog: pytest.LogCaptureFixture) -> None:
    app = App("mill")

    @app.tool
    async def remember(ctx: Context) -> None:
        await ctx.session.set("a", 1)

    @app.prompt
    async def remembered(ctx: Context) -> str:
        return str(await ctx.session.get("a"))

    async with Client(app, revision=STATELESS[-1]) as client:
        with caplog.at_level(logging.WARNING, "dovetail.server"):
            result = await client.call_tool("remember")
            assert result.text == f"this call has no session (revision {STATELESS[-1]}, memory)"
            with pytest.raises(RPCError) as caught:
                await client.get_prompt("remembered")
        assert caught.value.message == result.text
        assert caplog.text.count("ctx.session_id is None where there is no session") == 2


async def test_a_wrong_argument_of_a_prompt_is_named_once() -> None:
    app = App("mill")

    @app.prompt
    def sacks(count: int) -> str:
        return "sacks"

    async with Client(app) as client:
        with pytest.raises(InvalidParams) as caught:
            await client.get_prompt("sacks", {"count": "many"})
    assert caught.value.message == (
        "the argument 'count' is not valid: expected a value of type integer, got the string \"many\""
    )
