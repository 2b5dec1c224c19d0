"""What servers ask of the client's model, answered by a `ChatModel`.

Theory of operation. The request is put in the words of the API and the answer back in those of the protocol, tools and
their results among them. A server calls its tools as it likes, and the API takes few names, so a name that it refuses
is another in the conversation. Which models may answer is the host's to say; among them a server's hints choose, in
their order. That a person agrees, and what a server may use, is looked after by the host
(`dovetail.host.SamplingBudget`).

Deprecated since 2026-07-28 (SEP-2577), in favour of servers calling a model themselves.
Specification: client/sampling, "Model Preferences".
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from ..types import CreateMessageParams, CreateMessageResult, TextContent, Tool, ToolUseContent
from .answers import ModelCall
from .chat_content import chat_messages
from .chat_model import ChatModel, ChatReply, ModelFailed
from .openai_chat import tools

__all__ = ["sampling_with"]

_TAKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_REFUSED: Final = re.compile(r"[^A-Za-z0-9_-]")
_REASONS: Final[Mapping[str, str]] = {"stop": "endTurn", "length": "maxTokens", "tool_calls": "toolUse"}


def sampling_with(
    model: ChatModel, *others: ChatModel
) -> Callable[[CreateMessageParams], Awaitable[CreateMessageResult]]:
    """A handler for ``sampling=`` of a `Client` or a `dovetail.host.Host` that asks this model, or one of the
    ``others`` where a server hints at it.

    A hint is a part of a model's name, in letters of either size; the first that fits one of the models counts. Without
    one that fits, ``model`` answers. What servers may ask, tools included, is asked as they say it: the system prompt,
    the limit of tokens, the temperature and where to stop. `include_context` and priorities are not followed: nobody
    knows here what a model costs. The handler raises as `ChatModel.ask` does.
    """
    models = (model, *others)

    async def handler(params: CreateMessageParams) -> CreateMessageResult:
        offered = params.tools or []
        names = _names(offered)
        messages = chat_messages(params.messages, lambda name: names.get(name, _REFUSED.sub("_", name)[:64]))
        if params.system_prompt:
            messages.insert(0, {"role": "system", "content": params.system_prompt})
        choice = params.tool_choice.mode if params.tool_choice is not None else None
        reply = await _hinted_at(models, params).ask(
            messages,
            tools=tools([_Named(names[each.name], each) for each in offered]),
            max_tokens=params.max_tokens,
            temperature=params.temperature,
            stop=params.stop_sequences or (),
            tool_choice=choice,
        )
        return _result(reply, {written: own for own, written in names.items()})

    return handler


def _hinted_at(models: Sequence[ChatModel], params: CreateMessageParams) -> ChatModel:
    """The model that a server would like best, of those there are: the first where it has no wish that fits."""
    preferences = params.model_preferences
    for hint in (preferences and preferences.hints) or ():
        if hint.name:
            for each in models:
                if hint.name.casefold() in each.model.casefold():
                    return each
    return models[0]


class _Named:
    """A tool under the name that it has in the conversation."""

    def __init__(self, name: str, tool: Tool) -> None:
        self._name = name
        self._tool = tool

    def definition(self) -> dict[str, Any]:
        """What the model is told."""
        return {
            "name": self._name,
            "description": self._tool.description or self._tool.title or "",
            "input_schema": self._tool.input_schema,
        }


def _names(offered: Sequence[Tool]) -> dict[str, str]:
    """What each tool is called in the conversation: its own name, where the API takes it."""
    plain = {each.name for each in offered if _TAKEN.fullmatch(each.name)}
    names: dict[str, str] = {name: name for name in plain}
    for each in offered:
        written = _REFUSED.sub("_", each.name)[:60]
        number = 1
        while each.name not in names:
            wanted = written if number == 1 else f"{written}_{number}"
            number += 1
            if wanted not in plain:
                plain.add(wanted)
                names[each.name] = wanted
    return names


def _result(reply: ChatReply, own: Mapping[str, str]) -> CreateMessageResult:
    content: list[Any] = [TextContent(text=reply.text)] if reply.text or not reply.calls else []
    content += [_use(each, own) for each in reply.calls]
    return CreateMessageResult(
        role="assistant",
        content=content[0] if len(content) == 1 else content,
        model=reply.model,
        stop_reason="toolUse" if reply.calls else _REASONS.get(reply.finish, reply.finish or None),
    )


def _use(call: ModelCall, own: Mapping[str, str]) -> ToolUseContent:
    if call.problem:
        raise ModelFailed(f"the model wants {call.name!r} called, but {call.problem}", status=200)
    return ToolUseContent(id=call.id, name=own.get(call.name, call.name), input=call.arguments)
