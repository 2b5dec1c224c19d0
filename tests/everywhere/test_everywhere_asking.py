"""In every cell: forms, addresses, models and folders are asked for, answered, declined and dismissed."""

from typing import Any

import pytest
from everywhere_app import Colour, Person
from everywhere_cells import Cell
from everywhere_spots import Host, Spot

from dovetail import (
    Client,
    CreateMessageResult,
    InternalError,
    MissingCapability,
    TextContent,
)
from dovetail.client import Accept, Cancel, Decline
from dovetail.protocol.errors import UserRejected

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def cannot_be_asked(client: Client, cell: Cell, tool: str, **arguments: Any) -> None:
    """A tool asks what cannot be asked here: an error of the protocol where it has one, else one for the model."""
    if cell.stateless:
        with pytest.raises(MissingCapability):
            await client.call_tool(tool, arguments)
    else:
        result = await client.call_tool(tool, arguments)
        assert result.is_error
        assert "needs the client capability" in result.text


def asks_forms(cell: Cell) -> bool:
    return cell.has("elicitation") and cell.has("asks")


async def test_a_form_of_one_field(client: Client, cell: Cell, host: Host) -> None:
    if not asks_forms(cell):
        await cannot_be_asked(client, cell, "name_please")
        assert not host.forms
        return
    for answer in ("Ada", Accept({"value": "Ada"}), {"value": "Ada"}):
        host.fill = lambda request, answer=answer: answer
        assert (await client.call_tool("name_please")).text == "Hello, Ada"
    host.fill = lambda request: "Zo\u00eb\n\U0001f600"
    assert (await client.call_tool("name_please")).text == "Hello, Zo\u00eb\n\U0001f600"
    assert [request.message for request in host.forms] == ["What is your name?"] * 4
    assert "Everywhere" in host.forms[0].server or cell.revision < "2025-06-18"


async def test_a_form_of_several_fields(client: Client, cell: Cell, host: Host) -> None:
    if not asks_forms(cell):
        return
    host.fill = lambda request: {"name": "Ada", "age": 36, "colour": "blue"}
    assert await client.call_tool("survey", into=Person) == Person("Ada", 36, Colour.BLUE)
    (request,) = host.forms
    assert set(request.fields) == {"name", "age", "colour"}
    host.fill = lambda request: {"name": "Bob"}
    assert await client.call_tool("survey", into=Person) == Person("Bob", 7, Colour.RED)


async def test_no_is_an_answer(client: Client, cell: Cell, host: Host) -> None:
    if not asks_forms(cell):
        return
    for answer, said in ((Decline(), "declined"), (Cancel(), "did not answer"), (None, "did not answer")):
        host.fill = lambda request, answer=answer: answer
        for tool, arguments in (("name_please", {}), ("confirm", {"what": "go"}), ("two_questions", {})):
            result = await client.call_tool(tool, arguments)
            assert result.is_error
            assert said in result.text


async def test_asked_before_the_body(client: Client, cell: Cell, host: Host) -> None:
    if not asks_forms(cell):
        return
    host.fill = lambda request: True
    assert (await client.call_tool("confirm", {"what": "delete"})).text == "delete: True"
    host.fill = lambda request: False
    assert (await client.call_tool("confirm", {"what": "delete"})).text == "delete: False"
    assert [request.message for request in host.forms] == ["Really delete?"] * 2


async def test_two_questions_in_a_row(client: Client, cell: Cell, host: Host) -> None:
    if not asks_forms(cell):
        return
    host.fill = lambda request: "x" if request.message == "First?" else 2
    assert (await client.call_tool("two_questions")).text == "x then 2"
    assert [request.message for request in host.forms] == ["First?", "Second, after x?"]

    host.fill = lambda request: "x" if request.message == "First?" else Decline()
    assert (await client.call_tool("two_questions")).is_error


async def test_an_answer_that_does_not_fit_is_an_error_of_this_call(
    client: Client, cell: Cell, host: Host
) -> None:
    if not asks_forms(cell):
        return

    def fail(request: Any) -> None:
        raise RuntimeError("nobody may read this")

    for fill in (lambda request: 7, lambda request: {"other": "x"}, fail):
        host.fill = fill
        if cell.stateless:  # there is no error response to a question: the caller learns of it
            with pytest.raises(InternalError) as problem:
                await client.call_tool("name_please")
            said = str(problem.value)
        else:
            result = await client.call_tool("name_please")
            assert result.is_error
            said = result.text
            assert "elicitation/create was answered with: " in said
        assert "nobody may read this" not in said
    host.fill = lambda request: "Ada"
    assert (await client.call_tool("name_please")).text == "Hello, Ada"


async def test_the_model(client: Client, cell: Cell, host: Host) -> None:
    if not cell.has("asks"):
        await cannot_be_asked(client, cell, "think", about="x")
        return
    assert (await client.call_tool("think", {"about": "time\n\u00e9"})).text == "m-1: hm"
    (params,) = host.sampled
    assert (params.max_tokens, params.system_prompt) == (50, "Be short.")
    content = params.messages[0].content
    assert isinstance(content, TextContent)
    assert content.text == "Think about time\n\u00e9"
    host.think = lambda params: "just text"
    assert (await client.call_tool("think", {"about": "x"})).text == "unknown: just text"
    host.think = lambda params: CreateMessageResult(
        role="assistant", content=TextContent(text="\u00e9"), model="m-2", stop_reason="maxTokens"
    )
    assert (await client.call_tool("think", {"about": "x"})).text == "m-2: \u00e9"

    def reject(params: Any) -> Any:
        raise UserRejected("not this one")

    host.think = reject
    if cell.stateless:  # where the client answers a round, it is the client's own call that ends
        with pytest.raises(UserRejected, match="not this one"):
            await client.call_tool("think", {"about": "x"})
        return
    result = await client.call_tool("think", {"about": "x"})
    assert result.is_error
    assert "sampling/createMessage was answered with: not this one (code -1)" in result.text


async def test_the_folders(client: Client, cell: Cell) -> None:
    if not cell.has("asks"):
        await cannot_be_asked(client, cell, "folders")
        return
    found = await client.call_tool("folders", into=list[str])
    assert found == ["file:///home/ada", "file:///home/bob"]
    await client.roots_changed()


async def test_three_questions_at_once(client: Client, cell: Cell) -> None:
    if not asks_forms(cell):
        return
    assert (await client.call_tool("three_at_once")).text == "Ada m-1 2"


async def test_an_address(client: Client, cell: Cell, host: Host) -> None:
    if not (cell.has("visits") and cell.has("asks")):
        await cannot_be_asked(client, cell, "visit")
        assert not host.visits
        return
    assert (await client.call_tool("visit")).text == "visited"
    (visit,) = host.visits
    assert (visit.url, visit.host) == ("https://example.com/login?next=1", "example.com")
    for consent in (False, None):
        host.consent = consent
        assert (await client.call_tool("visit")).is_error


async def test_prompts_and_resources_ask_too(client: Client, cell: Cell, host: Host) -> None:
    if not asks_forms(cell):
        return
    message = (await client.get_prompt("personal")).messages[0].content
    assert isinstance(message, TextContent)
    assert message.text == "Greet Ada"
    (contents,) = (await client.read("asked://name")).contents
    assert contents.text == "Name: Ada"
    assert len(host.forms) == 2


async def test_what_a_parameter_is_where_nobody_can_be_asked(client: Client, cell: Cell, host: Host) -> None:
    """Not being able to ask is one thing, and an answer another: a no never becomes what stands in for it."""
    if not asks_forms(cell):
        assert (await client.call_tool("sure_or_not")).text == "None"
        return
    for answer, told in ((True, "True"), (False, "False")):
        host.fill = lambda request, answer=answer: answer
        assert (await client.call_tool("sure_or_not")).text == told
    for refusal, told in ((Decline(), "declined"), (Cancel(), "did not answer")):
        host.fill = lambda request, refusal=refusal: refusal
        result = await client.call_tool("sure_or_not")
        assert result.is_error
        assert told in result.text


async def test_who_offers_nothing_is_not_asked(spot: Spot) -> None:
    """A client without handlers declares nothing; nothing is sent to it, whatever the era."""
    if spot.cell.transport == "stdio":
        return  # a process for each revision; what stdio shares with unix lines is tried there
    async with spot.connect() as bare:
        for tool in ("name_please", "folders", "visit"):
            await cannot_be_asked(bare, spot.cell, tool)
        await cannot_be_asked(bare, spot.cell, "think", about="x")
        assert (await bare.call_tool("echo", {"text": "x"})).text == "x"
