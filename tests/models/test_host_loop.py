"""The loop that hosts write: tools for a model, its calls, and an answer to each of them whatever becomes of it."""

import asyncio
import json
from typing import Any

import pytest
from conversations import API_FORMATS, PNG, PNG_TEXT

from dovetail import App, Closed, LocalProtocolError, ToolError
from dovetail.host import ConsentRequest, Host, HostPolicy, ResultLimits
from dovetail.models import ModelCall, calls_of
from dovetail.types import ImageContent, TextContent

ALLOWED = HostPolicy(default="allow")
shed = App("shed")


@shed.tool
async def photo(what: str) -> list[TextContent | ImageContent]:
    """Take a photo."""
    return [TextContent(text=f"A {what}:"), ImageContent.of(PNG), TextContent(text="It is red.")]


@shed.tool
async def lend(what: str) -> str:
    """Lend a tool."""
    raise ToolError(f"there is no {what}")


@shed.tool
async def weigh() -> dict[str, float]:
    """Weigh everything."""
    return {"rake": 1.5}


def anthropic(*calls: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """A response with calls."""
    blocks = [
        {"type": "tool_use", "id": f"c{number}", "name": name, "input": arguments}
        for number, (name, arguments) in enumerate(calls)
    ]
    return {"role": "assistant", "content": blocks}


def results(messages: list[dict[str, Any]]) -> list[tuple[bool, str]]:
    """Whether each call failed, and what of its answer is text."""
    return [
        (each.get("is_error", False), "".join(block.get("text", "#") for block in each["content"]))
        for each in messages[0]["content"]
    ]


@pytest.mark.parametrize("format", API_FORMATS)
async def test_tools_of_all_servers_are_told(format: Any) -> None:
    async with Host({"shed": shed, "other": shed}, policy=ALLOWED) as host:
        text = json.dumps(await host.tools_for(format))
    assert all(f'"{server}__{tool}"' in text for server in ("shed", "other") for tool in ("photo", "lend"))
    assert "Take a photo." in text


@pytest.mark.parametrize("format", API_FORMATS)
async def test_content_stays_in_its_order(format: Any) -> None:
    async with Host({"shed": shed}, policy=ALLOWED) as host:
        call = ModelCall(id="c1", name="shed__photo", arguments={"what": "rake"})
        text = json.dumps(await host.run_tool_call(format, call))
    assert text.index("A rake:") < text.index("It is red.")
    assert PNG_TEXT in text
    if format in ("anthropic", "openai-responses"):
        assert text.index("A rake:") < text.index(PNG_TEXT) < text.index("It is red.")


async def test_a_model_that_calls_until_it_knows() -> None:
    """The whole loop, with a model that is a list of responses."""
    said = [
        anthropic(("shed__lend", {"what": "rake"}), ("shed__weigh", {})),
        anthropic(("shed__photo", {"what": "rake"})),
        {"role": "assistant", "content": [{"type": "text", "text": "It is red."}]},
    ]
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Which colour has the rake?"}]
    async with Host({"shed": shed}, policy=ALLOWED) as host:
        for response in said:
            messages.append(response)
            answers = await host.run_tool_calls("anthropic", response)
            if not answers:
                break
            messages += answers
    assert [each["role"] for each in messages] == ["user", *["assistant", "user"] * 2, "assistant"]
    assert results(messages[2:3]) == [(True, "there is no rake"), (False, '{"rake":1.5}')]
    assert results(messages[4:5]) == [(False, "A rake:#It is red.")]


async def test_every_call_is_answered_whatever_becomes_of_it() -> None:
    async def no(request: ConsentRequest) -> bool:
        return False

    servers = {"shed": shed, "gone": "no-such-program"}
    async with Host(servers, consent=no, patience=0.5) as host:
        await host.settled(timeout=20)
        response = {
            "tool_calls": [
                {"id": str(number), "function": {"name": name, "arguments": arguments}}
                for number, (name, arguments) in enumerate(
                    [
                        ("shed__weigh", "{}"),
                        ("gone__tool", "{}"),
                        ("shed__none", "{}"),
                        ("nothing", "{}"),
                        ("shed__weigh", "{"),
                    ]
                )
            ]
        }
        answers = await host.run_tool_calls("openai-chat", response)
    assert [each["tool_call_id"] for each in answers] == list("01234")
    texts = [each["content"] for each in answers]
    assert all(each.startswith("The call failed: ") for each in texts)
    assert "the person said no" in texts[0]
    assert "can't be used now" in texts[1]
    assert "has no tool" in texts[2]
    assert "there is no tool 'nothing'" in texts[3]
    assert "was not called: the arguments are no JSON" in texts[4]


async def test_a_call_whose_fate_nobody_knows_says_so() -> None:
    began = asyncio.Event()
    slow = App("slow")

    @slow.tool
    async def wait() -> str:
        began.set()
        await asyncio.sleep(3600)
        return ""

    limits = ResultLimits(seconds=0.3)
    async with Host({"slow": slow}, policy=ALLOWED, limits=limits) as host:
        messages = await host.run_tool_calls("anthropic", anthropic(("slow__wait", {})))
    assert began.is_set()
    ((failed, text),) = results(messages)
    assert failed
    assert "Nobody knows whether it was carried out" in text


async def test_calls_of_one_turn_are_made_side_by_side() -> None:
    together = asyncio.Barrier(2)
    app = App("app")

    @app.tool
    async def meet() -> str:
        await together.wait()
        return "met"

    async with Host({"app": app}, policy=ALLOWED) as host:
        response = anthropic(("app__meet", {}), ("app__meet", {}))
        assert len(calls_of("anthropic", response)) == 2
        assert results(await host.run_tool_calls("anthropic", response)) == [(False, "met")] * 2


async def test_text_is_cut_at_the_limit_in_every_part() -> None:
    app = App("app")

    @app.tool
    async def tell() -> list[TextContent | ImageContent]:
        return [TextContent(text="a" * 8), ImageContent.of(PNG), TextContent(text="b" * 80)]

    async with Host({"app": app}, policy=ALLOWED, limits=ResultLimits(text=12)) as host:
        ((_, text),) = results(await host.run_tool_calls("anthropic", anthropic(("app__tell", {}))))
    shown, _, rest = text.partition("[cut: ")
    assert shown == "a" * 8 + "#" + "b" * 3
    assert "of which 12 are shown" in rest


async def test_a_host_that_is_closed_and_a_format_that_is_none_are_raised() -> None:
    async with Host({"shed": shed}, policy=ALLOWED) as host:
        unknown: Any = "openai"
        call = ModelCall(id="c", name="shed__weigh")
        with pytest.raises(LocalProtocolError, match="no format"):
            await host.run_tool_call(unknown, call)
    with pytest.raises(Closed):
        await host.run_tool_call("anthropic", call)
