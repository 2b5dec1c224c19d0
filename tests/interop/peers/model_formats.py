"""Run in an environment that has the packages of model APIs and frameworks: their own types read what we make, and what
they make we read. Writes one JSON object to standard output: for each format what was found.

Follows: server/tools.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from conversations import CALLS, FAILED, FOUND, PDF, RESPONSES, WAV, blob
from pydantic import TypeAdapter

from dovetail import App, ToolError
from dovetail.host import Host, HostPolicy, HostTool
from dovetail.models import CallAnswer, calls_of, messages_of, tool_definitions
from dovetail.types import ImageContent, TextContent, Tool

MORE = CallAnswer(parts=("x", blob(WAV, "audio/wav", "audio"), blob(PDF, "application/pdf", "resource")))
ANSWERS = [(CALLS[0], FOUND), (CALLS[1], FAILED), (CALLS[0], MORE)]
TOOLS = [
    HostTool(
        name="shed__fetch",
        server="shed",
        tool=Tool(
            name="fetch",
            description="Fetch.",
            input_schema={"type": "object", "properties": {"what": {"type": "string"}}, "oneOf": [{}]},
        ),
    )
]


def lost(kind: Any, value: Any) -> list[str]:
    """What the type of a package does not have of a value; raises where the value is none of the type."""
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    return sorted(missing(value, read_out(adapter.validate_python(value)), ""))


def read_out(value: Any) -> Any:
    """What was validated, with its iterables read to the end: they validate as they are read."""
    if isinstance(value, dict):
        return {name: read_out(each) for name, each in value.items()}
    if hasattr(value, "__iter__") and not isinstance(value, str):
        return [read_out(each) for each in value]
    return value


def missing(given: Any, kept: Any, where: str) -> set[str]:
    """Members that are not there any more."""
    if isinstance(given, dict):
        if not isinstance(kept, dict):
            return {where}
        found = {f"{where}.{name}" for name in given if name not in kept}
        return found.union(
            *(missing(given[name], kept[name], f"{where}.{name}") for name in given.keys() & kept)
        )
    if isinstance(given, list):
        return set().union(*(missing(one, other, where) for one, other in zip(given, kept, strict=True)))
    return set() if given == kept else {where}


def read(format: Any, response: Any) -> list[Any]:
    """The calls in what a package made of a response."""
    return [[each.id, each.name, each.arguments] for each in calls_of(format, response)]


def openai_chat() -> dict[str, Any]:
    from openai.types.chat import ChatCompletion, ChatCompletionMessageParam, ChatCompletionToolParam

    response = ChatCompletion.model_validate(
        {"id": "1", "created": 1, "model": "m", "object": "chat.completion", **RESPONSES["openai-chat"]}
        | {"choices": [{"index": 0, "finish_reason": "tool_calls", **RESPONSES["openai-chat"]["choices"][0]}]}
    )
    return {
        "tools": lost(list[ChatCompletionToolParam], tool_definitions("openai-chat", TOOLS)),
        "messages": lost(list[ChatCompletionMessageParam], messages_of("openai-chat", ANSWERS)),
        "calls": read("openai-chat", response),
    }


def openai_responses() -> dict[str, Any]:
    from openai.types.responses import FunctionToolParam, Response
    from openai.types.responses.response_input_item_param import ResponseInputItemParam

    response = Response.model_validate(
        {
            "id": "1",
            "created_at": 1,
            "model": "m",
            "object": "response",
            "tools": [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            **RESPONSES["openai-responses"],
        }
    )
    return {
        "tools": lost(list[FunctionToolParam], tool_definitions("openai-responses", TOOLS)),
        "messages": lost(list[ResponseInputItemParam], messages_of("openai-responses", ANSWERS)),
        "calls": read("openai-responses", response),
    }


def anthropic() -> dict[str, Any]:
    from anthropic.types import Message, MessageParam, ToolParam

    response = Message.model_validate(
        {
            "id": "1",
            "model": "m",
            "type": "message",
            "stop_reason": "tool_use",
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
            **RESPONSES["anthropic"],
        }
    )
    return {
        "tools": lost(list[ToolParam], tool_definitions("anthropic", TOOLS)),
        "messages": lost(list[MessageParam], messages_of("anthropic", ANSWERS)),
        "calls": read("anthropic", response),
    }


def gemini() -> dict[str, Any]:
    from google.genai import types

    tools = [types.Tool.model_validate(each) for each in tool_definitions("gemini", TOOLS)]
    (given,) = messages_of("gemini", ANSWERS)
    content = types.Content.model_validate_json(json.dumps(given))
    kept = json.loads(content.model_dump_json(by_alias=True, exclude_none=True))
    image = content.parts[0].function_response.parts[0].inline_data
    return {
        "tools": sorted(
            missing(
                tool_definitions("gemini", TOOLS),
                [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in tools],
                "",
            )
        ),
        "messages": sorted(missing(given, kept, "")),
        "image": image.data == FOUND.parts[1].data,
        "calls": read("gemini", types.GenerateContentResponse.model_validate(RESPONSES["gemini"])),
    }


shed = App("shed")


@shed.tool
async def fetch(
    what: str, config: str = "none", run_manager: str = "", self: str = ""
) -> list[TextContent | ImageContent]:
    """Fetch a tool."""
    if what != "rake":
        raise ToolError(f"there is no {what}")
    return [
        TextContent(text=f"a {what}, {config} {run_manager} {self}"),
        ImageContent.of(FOUND.parts[1].data),
    ]


async def langchain(host: Host) -> dict[str, Any]:
    (tool,) = await host.tools_for("langchain")
    found: list[Any] = []
    for what in ("rake", "spade"):
        call = {
            "name": tool.name,
            "args": {"what": what, "config": "c", "run_manager": "r", "self": "s"},
            "id": "1",
            "type": "tool_call",
        }
        message = await tool.ainvoke(call)
        found.append([message.status, message.tool_call_id, message.content])
    return {
        "schema": tool.tool_call_schema,
        "kinds": [block["type"] for block in found[0][2]],
        "text": found[0][2][0]["text"],
        "image": found[0][2][1].get("mime_type"),
        "failed": found[1],
        "status": found[0][0],
    }


async def pydantic_ai(host: Host) -> dict[str, Any]:
    from pydantic_ai import Agent, BinaryContent
    from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart, ToolReturnPart
    from pydantic_ai.models.function import FunctionModel

    told: list[Any] = []
    returned: list[Any] = []
    wanted = ["spade", "rake"]

    async def model(messages: list[Any], info: Any) -> Any:
        told[:] = info.function_tools
        for part in messages[-1].parts:
            if isinstance(part, ToolReturnPart):
                content = part.content if isinstance(part.content, list) else [part.content]
                returned.append(
                    [
                        part.outcome,
                        [each.media_type if isinstance(each, BinaryContent) else each for each in content],
                    ]
                )
        if not wanted:
            return ModelResponse(parts=[TextPart("done")])
        return ModelResponse(parts=[ToolCallPart("shed__fetch", {"what": wanted.pop(0)})])

    agent: Any = Agent(FunctionModel(model), tools=await host.tools_for("pydantic-ai"))
    result = await agent.run("Fetch.")
    return {
        "output": result.output,
        "schema": told[0].parameters_json_schema,
        "description": told[0].description,
        "returned": returned,
    }


async def main() -> dict[str, Any]:
    """All of it."""
    found: dict[str, Any] = {
        "openai-chat": openai_chat(),
        "openai-responses": openai_responses(),
        "anthropic": anthropic(),
        "gemini": gemini(),
    }
    async with Host({"shed": shed}, policy=HostPolicy(default="allow")) as host:
        found["langchain"] = await langchain(host)
        found["pydantic-ai"] = await pydantic_ai(host)
    return found


json.dump(asyncio.run(main()), sys.stdout)
