"""Tools, calls and results in the words of each API: golden values, and nothing lost on the way.

That the types of the APIs' own packages take the same is in `tests/interop/test_model_peers.py`.
"""

import json
from typing import Any

import pytest
from conversations import (
    API_FORMATS,
    CALLS,
    FAILED,
    FOUND,
    ODD,
    PDF,
    PNG,
    PNG_TEXT,
    RESPONSES,
    WAV,
    Offered,
    as_objects,
    blob,
)

from dovetail import LocalProtocolError
from dovetail.models import CallAnswer, ModelCall, bound_tools, calls_of, messages_of, tool_definitions
from dovetail.models.anthropic import MAX_IMAGE
from dovetail.models.openai_chat import MAX_DESCRIPTION

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {"what": {"type": "string"}},
    "required": ["what"],
}
PLAIN = {"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]}


@pytest.mark.parametrize(
    "format, told",
    [
        (
            "openai-chat",
            {
                "type": "function",
                "function": {"name": "shed__fetch", "description": "Fetch.", "parameters": PLAIN},
            },
        ),
        (
            "openai-responses",
            {
                "type": "function",
                "name": "shed__fetch",
                "description": "Fetch.",
                "parameters": PLAIN,
                "strict": False,
            },
        ),
        ("anthropic", {"name": "shed__fetch", "description": "Fetch.", "input_schema": PLAIN}),
        (
            "gemini",
            {
                "functionDeclarations": [
                    {"name": "shed__fetch", "description": "Fetch.", "parametersJsonSchema": PLAIN}
                ]
            },
        ),
    ],
)
def test_a_tool_is_told_as_the_api_has_it(format: Any, told: dict[str, Any]) -> None:
    assert tool_definitions(format, [Offered("shed__fetch", "Fetch.", SCHEMA)]) == [told]
    assert tool_definitions(format, []) == []


@pytest.mark.parametrize("format", API_FORMATS)
@pytest.mark.parametrize("spelled", [lambda each: each, as_objects], ids=["json", "objects"])
def test_calls_are_found_in_what_a_model_answered(format: Any, spelled: Any) -> None:
    assert calls_of(format, spelled(RESPONSES[format])) == CALLS


def test_calls_are_found_in_the_inner_parts_of_a_response() -> None:
    assert calls_of("openai-chat", RESPONSES["openai-chat"]["choices"][0]["message"]) == CALLS
    assert calls_of("openai-responses", RESPONSES["openai-responses"]["output"]) == CALLS
    assert calls_of("anthropic", RESPONSES["anthropic"]["content"]) == CALLS
    assert calls_of("gemini", RESPONSES["gemini"]["candidates"][0]["content"]) == CALLS


@pytest.mark.parametrize("format", API_FORMATS)
def test_there_are_no_calls_where_a_model_only_speaks(format: Any) -> None:
    spoken = {
        "openai-chat": {"choices": [{"message": {"role": "assistant", "content": "Hello."}}]},
        "openai-responses": {"output": [{"type": "message", "content": []}]},
        "anthropic": {"content": [{"type": "text", "text": "Hello."}]},
        "gemini": {"candidates": [{"content": {"parts": [{"text": "Hello."}]}}]},
    }
    assert calls_of(format, spoken[format]) == []
    assert messages_of(format, []) == []


@pytest.mark.parametrize("arguments", ['{"what": ', "[1]", '"x"', "7"])
def test_arguments_that_are_no_object_are_the_model_s_to_mend(arguments: str) -> None:
    message = {"tool_calls": [{"id": "c1", "function": {"name": "a", "arguments": arguments}}]}
    (call,) = calls_of("openai-chat", message)
    assert call.arguments == {}
    assert call.problem.startswith("the arguments ")


def test_openai_chat_has_media_after_the_answers_to_all_calls() -> None:
    found, failed, shown = messages_of("openai-chat", [(CALLS[0], FOUND), (CALLS[1], FAILED)])
    assert found == {
        "role": "tool",
        "tool_call_id": "c1",
        "content": "before\n[image_url: in the message after the results]\nafter",
    }
    assert failed == {
        "role": "tool",
        "tool_call_id": "c2",
        "content": "The call failed: there is no rake",
    }
    assert shown == {
        "role": "user",
        "content": [
            {"type": "text", "text": "From the result of shed__fetch (c1):"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG_TEXT}"}},
        ],
    }


def test_openai_responses_has_media_in_the_answer() -> None:
    found, failed = messages_of("openai-responses", [(CALLS[0], FOUND), (CALLS[1], FAILED)])
    assert found == {
        "type": "function_call_output",
        "call_id": "c1",
        "output": [
            {"type": "input_text", "text": "before"},
            {"type": "input_image", "image_url": f"data:image/png;base64,{PNG_TEXT}", "detail": "auto"},
            {"type": "input_text", "text": "after"},
        ],
    }
    assert failed == {
        "type": "function_call_output",
        "call_id": "c2",
        "output": "The call failed:\nthere is no rake",
    }


def test_anthropic_has_all_answers_in_one_message() -> None:
    (message,) = messages_of("anthropic", [(CALLS[0], FOUND), (CALLS[1], FAILED)])
    assert message == {
        "role": "user",
        "content": [
            {
                "type": "tool_result",
                "tool_use_id": "c1",
                "content": [
                    {"type": "text", "text": "before"},
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": PNG_TEXT},
                    },
                    {"type": "text", "text": "after"},
                ],
            },
            {
                "type": "tool_result",
                "tool_use_id": "c2",
                "content": [{"type": "text", "text": "there is no rake"}],
                "is_error": True,
            },
        ],
    }


def test_gemini_has_media_beside_what_came_of_the_call() -> None:
    (message,) = messages_of("gemini", [(CALLS[0], FOUND), (CALLS[1], FAILED)])
    assert message == {
        "role": "user",
        "parts": [
            {
                "functionResponse": {
                    "name": "shed__fetch",
                    "response": {"output": "before\n[image/png: part 1 of this result]\nafter"},
                    "id": "c1",
                    "parts": [{"inlineData": {"mimeType": "image/png", "data": PNG_TEXT}}],
                }
            },
            {
                "functionResponse": {
                    "name": "shed__list",
                    "response": {"error": "there is no rake"},
                    "id": "c2",
                }
            },
        ],
    }


def test_a_name_that_begins_with_a_digit_goes_to_gemini_and_back() -> None:
    (tool,) = tool_definitions("gemini", [Offered("7zip__open")])
    assert tool["functionDeclarations"][0]["name"] == "_7zip__open"
    (call,) = calls_of("gemini", {"parts": [{"functionCall": {"name": "_7zip__open"}}]})
    assert call == ModelCall(id="", name="7zip__open")
    (message,) = messages_of("gemini", [(call, FAILED)])
    assert message["parts"][0]["functionResponse"]["name"] == "_7zip__open"
    with pytest.raises(LocalProtocolError, match="begins with a letter"):
        tool_definitions("gemini", [Offered("7" * 64)])


@pytest.mark.parametrize("format", API_FORMATS)
def test_what_has_no_place_is_named(format: Any) -> None:
    answer = CallAnswer(parts=(blob(ODD, "application/x-odd", "resource"),))
    text = json.dumps(messages_of(format, [(CALLS[0], answer)]))
    assert "[resource, application/x-odd, 3 bytes, which can't be shown to this model]" in text


@pytest.mark.parametrize("format", API_FORMATS)
def test_media_are_what_their_bytes_say_and_not_what_the_server_says(format: Any) -> None:
    """A conversation with an image that is none would be refused from then on."""
    lie = CallAnswer(parts=(blob(b"<svg/>", "image/png"), blob(PNG, "image/jpeg")))
    text = json.dumps(messages_of(format, [(CALLS[0], lie)]))
    assert "image, image/png, 6 bytes, which can't be shown" in text
    assert PNG_TEXT in text
    assert "image/jpeg" not in text


def test_sounds_and_documents_where_there_is_a_place() -> None:
    answer = CallAnswer(parts=(blob(WAV, "audio/x-wav", "audio"), blob(PDF, "text/plain", "resource")))
    kinds = {format: json.dumps(messages_of(format, [(CALLS[0], answer)])) for format in API_FORMATS}
    assert '"input_audio": {"data"' in kinds["openai-chat"]
    assert '"format": "wav"' in kinds["openai-chat"]
    assert all("[audio, audio/x-wav" in text for name, text in kinds.items() if name != "openai-chat")
    assert '"file_data": "data:application/pdf;base64,' in kinds["openai-chat"]
    assert '"type": "input_file"' in kinds["openai-responses"]
    assert '"type": "document"' in kinds["anthropic"]
    assert '"mimeType": "application/pdf"' in kinds["gemini"]


def test_an_image_that_anthropic_refuses_is_named() -> None:
    large = CallAnswer(parts=(blob(PNG + bytes(MAX_IMAGE * 3 // 4)),))
    (message,) = messages_of("anthropic", [(CALLS[0], large)])
    (shown,) = message["content"][0]["content"]
    assert shown["type"] == "text"


@pytest.mark.parametrize("format", API_FORMATS)
@pytest.mark.parametrize("failed", [False, True])
def test_an_empty_result_is_said_in_words(format: Any, failed: bool) -> None:
    text = json.dumps(messages_of(format, [(CALLS[0], CallAnswer(parts=("",), is_error=failed))]))
    assert ("did not say why" if failed else "gave no content") in text


def test_formats_that_are_not_there_are_said() -> None:
    unknown: Any = "openai"
    with pytest.raises(LocalProtocolError, match="there are: openai-chat, openai-responses, anthropic"):
        tool_definitions(unknown, [])
    with pytest.raises(LocalProtocolError, match="objects that call themselves"):
        calls_of("langchain", {})

    async def call(_name: str, _arguments: dict[str, Any]) -> CallAnswer:
        return FOUND

    with pytest.raises(LocalProtocolError, match="use tool_definitions"):
        bound_tools("anthropic", [], call)


@pytest.mark.parametrize(
    "format, package", [("langchain", "langchain-core"), ("pydantic-ai", "pydantic-ai-slim")]
)
def test_a_framework_that_is_not_installed_is_named(
    format: Any, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "langchain_core.tools", None)
    monkeypatch.setitem(__import__("sys").modules, "pydantic_ai", None)

    async def call(_name: str, _arguments: dict[str, Any]) -> CallAnswer:
        return FOUND

    with pytest.raises(ImportError, match=f"pip install {package}"):
        bound_tools(format, [Offered("a")], call)


@pytest.mark.parametrize("own", ["", "Of the shed."])
def test_a_description_that_openai_refuses_goes_on_in_the_parameters(own: str) -> None:
    """Nothing of it is lost."""
    whole = " ".join(f"word{number}" for number in range(400))
    schema = {**PLAIN, **({"description": own} if own else {})}
    for format in ("openai-chat", "openai-responses"):
        (tool,) = tool_definitions(format, [Offered("a", whole, schema)])
        told = tool.get("function", tool)
        assert len(told["description"]) == MAX_DESCRIPTION
        begun = told["description"].removesuffix(" [goes on in the description of the parameters]")
        rest = told["parameters"]["description"]
        assert begun + rest == whole + (f"\n\n{own}" if own else "")
    (short,) = tool_definitions("openai-chat", [Offered("a", whole[:MAX_DESCRIPTION], PLAIN)])
    assert short["function"]["description"] == whole[:MAX_DESCRIPTION]
    assert short["function"]["parameters"] == PLAIN
