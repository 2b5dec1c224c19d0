"""A request that answers before it was asked: named questions take the answer, numbered ones do not."""

from typing import Any

import pytest

from dovetail import App, Context
from dovetail.protocol.revisions import STATELESS
from wire_of_server import Wire

FORMS = {"elicitation": {"form": {}}}
ADA = {"action": "accept", "content": {"value": "Ada"}}


def make_app() -> App:
    app = App("answered")

    @app.tool
    async def greet(ctx: Context) -> str:
        """Greet a person, asked for by name."""
        name = await ctx.elicit("What is your name?", str, key="name")
        place = await ctx.elicit("Where are you?", str, key="place")
        return f"Hello, {name} in {place}!"

    @app.tool
    async def numbered(ctx: Context) -> str:
        """Greet a person, asked for by position."""
        return f"Hello, {await ctx.elicit('What is your name?', str)}!"

    return app


async def call(wire: Wire, tool: str, responses: Any, **more: Any) -> dict[str, Any]:
    params = {"name": tool, "arguments": {}, "inputResponses": responses, **more}
    return await wire.result("tools/call", params)


@pytest.mark.parametrize("revision", STATELESS)
class TestAnswersWithoutState:
    @pytest.mark.requirement("R2607-MRTR-030")
    async def test_named_questions_take_them_and_strangers_are_ignored(self, revision: str) -> None:
        wire = Wire(make_app(), revision, FORMS)
        oslo = {"action": "accept", "content": {"value": "Oslo"}}
        result = await call(wire, "greet", {"name": ADA, "place": oslo, "stranger": {"action": "accept"}})
        assert result["content"][0]["text"] == "Hello, Ada in Oslo!"
        await wire.close()

    @pytest.mark.requirement("R2607-MRTR-031")
    async def test_they_are_kept_for_the_rounds_that_follow(self, revision: str) -> None:
        wire = Wire(make_app(), revision, FORMS)
        asked = await call(wire, "greet", {"name": ADA})
        assert set(asked["inputRequests"]) == {"place"}
        oslo = {"action": "accept", "content": {"value": "Oslo"}}
        result = await call(wire, "greet", {"place": oslo}, requestState=asked["requestState"])
        assert result["content"][0]["text"] == "Hello, Ada in Oslo!"
        await wire.close()

    async def test_a_numbered_question_is_asked_all_the_same(self, revision: str) -> None:
        wire = Wire(make_app(), revision, FORMS)
        asked = await call(wire, "numbered", {"question-1": ADA})
        assert asked["resultType"] == "input_required"
        await wire.close()

    @pytest.mark.hostile
    @pytest.mark.requirement("R2607-MRTR-028")
    @pytest.mark.parametrize("answer", [12345, None, {"action": "accept", "content": {"value": 5}}])
    async def test_one_that_does_not_fit_is_asked_for(self, revision: str, answer: Any) -> None:
        wire = Wire(make_app(), revision, FORMS)
        asked = await call(wire, "greet", {"name": answer})
        assert set(asked["inputRequests"]) == {"name"}
        await wire.close()

    async def test_with_state_only_what_was_asked_counts(self, revision: str) -> None:
        wire = Wire(make_app(), revision, FORMS)
        asked = await call(wire, "greet", {})
        early = {"name": ADA, "place": ADA}
        again = await call(wire, "greet", early, requestState=asked["requestState"])
        assert set(again["inputRequests"]) == {"place"}
        await wire.close()
