"""The formats by their names.

Theory of operation. Each format is a module of its own, imported when it is asked for. Four are JSON, and need nothing
installed: what goes to an API and what comes from it, plain or in the types of its SDK. Two are objects of a framework
that has a loop of its own, and calls the tools itself.

Specification: server/tools.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any, Final, Literal

from ..errors import LocalProtocolError
from .answers import CallAnswer, ModelCall, OfferedTool

__all__ = [
    "FRAMEWORKS",
    "FormatName",
    "ToolCaller",
    "bound_tools",
    "calls_of",
    "messages_of",
    "tool_definitions",
]

FormatName = Literal["openai-chat", "openai-responses", "anthropic", "gemini", "langchain", "pydantic-ai"]
ToolCaller = Callable[[str, dict[str, Any]], Awaitable[CallAnswer]]
"""Calls a tool by its name, with arguments."""

_JSON: Final[Mapping[str, str]] = {
    "openai-chat": ".openai_chat",
    "openai-responses": ".openai_responses",
    "anthropic": ".anthropic",
    "gemini": ".gemini",
}
_BOUND: Final[Mapping[str, str]] = {
    "langchain": ".langchain_tools",
    "pydantic-ai": ".pydantic_ai_tools",
}
FRAMEWORKS: Final = tuple(_BOUND)
"""The formats that are objects of a framework, which call the tools themselves."""


def tool_definitions(format: FormatName, tools: Iterable[OfferedTool]) -> list[dict[str, Any]]:
    """Tools as an API takes them in ``tools``. An input schema that APIs refuse is made plain at its top, and what it
    said there is told in the description.

    Raises `LocalProtocolError` for a format that is not known, or is a framework's.
    """
    return _module(format).tools(tools)


def calls_of(format: FormatName, response: Any) -> list[ModelCall]:
    """The calls in what a model answered: a response of the API, as JSON or as its SDK has it, or its message, content
    or items. Tools that the provider runs itself are not among them. Raises as `tool_definitions`.
    """
    return _module(format).calls(response)


def messages_of(format: FormatName, answers: Sequence[tuple[ModelCall, CallAnswer]]) -> list[dict[str, Any]]:
    """The messages, or items, that answer all calls of one response, to be appended after it; none for no calls.

    Text and media stay in their order, as far as the format has a place for them; the rest is named in words. A failure
    is marked, or said in words where there is no mark. Raises as `tool_definitions`.
    """
    return _module(format).answered(answers)


def bound_tools(format: FormatName, tools: Iterable[OfferedTool], call: ToolCaller) -> list[Any]:
    """Tools as objects of a framework ("langchain", "pydantic-ai"), which call ``call`` themselves.

    Raises ImportError, which names what is missing; `LocalProtocolError` for a format that has no such objects.
    """
    module = _BOUND.get(format)
    if module is None:
        raise LocalProtocolError(f"{_known(format)} has no objects that call tools; use tool_definitions")
    return import_module(module, __package__).tools(tools, call)


def _module(format: str) -> ModuleType:
    module = _JSON.get(_known(format))
    if module is None:
        raise LocalProtocolError(
            f"tools of {format!r} are objects that call themselves; give them to the framework, which does the rest"
        )
    return import_module(module, __package__)


def _known(format: str) -> str:
    if format in _JSON or format in _BOUND:
        return format
    known = ", ".join((*_JSON, *_BOUND))
    raise LocalProtocolError(f"there is no format {format!r} of tools for models; there are: {known}")
