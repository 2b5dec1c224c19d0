"""Servers ask the client's model, and a model behind a URL answers: words, images, tools and their results."""

import json
from typing import Any

import pytest
from conversations import PNG, PNG_TEXT
from model_server import model_server, says, wants

from dovetail import App, Client, Context
from dovetail.host import Host, HostPolicy
from dovetail.models import ChatModel, sampling_with
from dovetail.types import (
    CreateMessageParams,
    EmbeddedResource,
    ImageContent,
    ModelHint,
    ModelPreferences,
    ResourceContents,
    SamplingMessage,
    TextContent,
    Tool,
    ToolChoice,
    ToolResultContent,
    ToolUseContent,
)

WEATHER = Tool(name="weather.now", description="The weather.", input_schema={"type": "object"})
OTHER = Tool(name="weather_now", description="Another.", input_schema={"type": "object"})


def asks(*messages: SamplingMessage, **members: Any) -> CreateMessageParams:
    """What a server may ask."""
    return CreateMessageParams(messages=list(messages), max_tokens=50, **members)


def user(*content: Any) -> SamplingMessage:
    return SamplingMessage(role="user", content=list(content))


async def answered(params: CreateMessageParams, step: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The result, and what the model was asked."""
    with model_server(step) as server:
        async with ChatModel(server.url, "scripted") as model:
            result = await sampling_with(model)(params)
    return result, server.asked[0]


async def test_a_question_with_all_that_may_be_said() -> None:
    params = asks(
        user(TextContent(text="What is this?"), ImageContent.of(PNG)),
        system_prompt="Be brief.",
        temperature=0.5,
        stop_sequences=["\n"],
    )
    result, asked = await answered(params, says("A pixel", "length"))
    assert (result.text, result.model, result.stop_reason) == ("A pixel", "scripted-1", "maxTokens")
    assert asked == {
        "model": "scripted",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG_TEXT}"}},
                ],
            },
        ],
        "max_tokens": 50,
        "temperature": 0.5,
        "stop": ["\n"],
    }


@pytest.mark.requirement(
    "R2607-SAMPLING-040",
    "R2511-SAMPLING-034",
    "R2511-SAMPLING-015",
    "R2511-SAMPLING-036",
    "R2607-SAMPLING-021",
    "R2607-SAMPLING-042",
)
@pytest.mark.parametrize(
    "hints,answers",
    [
        (["claude", "gpt"], "gpt-mini"),
        (["LARGE", "gpt"], "llama-large"),
        (["llama"], "llama-small"),
        (["nobody", "", "large"], "llama-large"),
        (["nobody"], "llama-small"),
        ([], "llama-small"),
    ],
)
async def test_the_first_hint_that_fits_a_model_chooses_it(hints: list[str], answers: str) -> None:
    with model_server(says("done")) as server:
        models = [ChatModel(server.url, name) for name in ("llama-small", "llama-large", "gpt-mini")]
        try:
            wanted = ModelPreferences(hints=[ModelHint(name=name) for name in hints])
            await sampling_with(*models)(asks(user(TextContent(text="Hello")), model_preferences=wanted))
        finally:
            for model in models:
                await model.close()
    assert server.asked[0]["model"] == answers


async def test_tools_by_names_that_the_api_takes() -> None:
    """Two names become one there, and both are found again."""
    params = asks(user(TextContent(text="And?")), tools=[WEATHER, OTHER], tool_choice=ToolChoice(mode="auto"))
    step = wants(("weather_now_2", {"where": "Oslo"}), ("weather_now", {}))
    result, asked = await answered(params, step)
    assert [each["function"]["name"] for each in asked["tools"]] == ["weather_now_2", "weather_now"]
    assert asked["tool_choice"] == "auto"
    assert [(each.name, each.input) for each in result.content] == [
        ("weather.now", {"where": "Oslo"}),
        ("weather_now", {}),
    ]
    assert result.stop_reason == "toolUse"


async def test_results_of_tools_are_messages_of_their_own() -> None:
    params = asks(
        user(TextContent(text="And?")),
        SamplingMessage(
            role="assistant",
            content=[
                TextContent(text="I look."),
                ToolUseContent(id="1", name="weather.now", input={"where": "Oslo"}),
                ToolUseContent(id="2", name="weather.now", input={}),
            ],
        ),
        user(
            ToolResultContent(tool_use_id="1", content=[TextContent(text="rain")]),
            ToolResultContent(tool_use_id="2", content=[TextContent(text="where?")], is_error=True),
        ),
        tools=[WEATHER],
    )
    _, asked = await answered(params, says("Rain."))
    called = asked["messages"][1]
    assert called["content"] == "I look."
    assert [each["function"]["name"] for each in called["tool_calls"]] == ["weather_now"] * 2
    assert json.loads(called["tool_calls"][0]["function"]["arguments"]) == {"where": "Oslo"}
    assert asked["messages"][2:] == [
        {"role": "tool", "tool_call_id": "1", "content": "rain"},
        {"role": "tool", "tool_call_id": "2", "content": "The call failed: where?"},
    ]


@pytest.mark.parametrize("through", ["client", "host"])
async def test_a_tool_that_asks_the_model(through: str) -> None:
    app = App("poet")

    @app.tool
    async def rhyme(word: str, ctx: Context) -> str:
        return (await ctx.sample(f"What rhymes with {word}?", max_tokens=20)).text

    with model_server(says("house")) as server:
        async with ChatModel(server.url, "scripted") as model:
            handler = sampling_with(model)
            if through == "client":
                async with Client(app, sampling=handler) as client:
                    text = (await client.call_tool("rhyme", {"word": "mouse"})).text
            else:
                async with Host({"poet": app}, sampling=handler, policy=HostPolicy(default="allow")) as host:
                    text = (await host.call("poet__rhyme", {"word": "mouse"})).text
    assert text == "house"
    assert "mouse" in json.dumps(server.asked[0]["messages"])


async def test_prompts_hold_what_messages_of_a_model_do_not() -> None:
    from dovetail.models import chat_messages
    from dovetail.types import PromptMessage

    contents = ResourceContents(uri="file:///a", text="inside", mime_type="text/plain")
    found = chat_messages(
        [
            PromptMessage(role="user", content=EmbeddedResource(resource=contents)),
            PromptMessage(role="assistant", content=ImageContent.of(PNG)),
            PromptMessage(role="user", content=ImageContent(data="?", mime_type="image/png")),
        ]
    )
    assert found[0] == {"role": "user", "content": "inside"}
    assert found[1]["content"].startswith("[image, image/png, ")
    assert found[2] == {"role": "user", "content": "[image, image/png, which is no Base64]"}
