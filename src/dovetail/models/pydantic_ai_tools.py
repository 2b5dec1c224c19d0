"""Tools as pydantic-ai has them: `Tool`, which an agent calls itself.

Theory of operation. Texts are given as they are, media as `BinaryContent`
beside the texts, in order. A failure is raised as `ToolFailed`: the model reads it and may call otherwise, and it is no
fault that the agent's ``retries`` count.

Specification: server/tools, "Tool Result". Needs pydantic-ai-slim 2.68.
"""

from collections.abc import Iterable
from importlib import import_module
from typing import Any, cast

from .answers import CallAnswer, MediaPart, OfferedTool, label, pieces
from .formats import ToolCaller
from .media import kind_of
from .parameters import parameters_of

__all__ = ["tools"]


def tools(offered: Iterable[OfferedTool], call: ToolCaller) -> list[Any]:
    """Each tool as a `Tool`. Raises ImportError without pydantic-ai."""
    try:
        library: Any = import_module("pydantic_ai")
    except ImportError:
        raise ImportError("tools for pydantic-ai need it: pip install pydantic-ai-slim") from None
    return [_tool(library, each, call) for each in offered]


def _tool(library: Any, offered: OfferedTool, call: ToolCaller) -> Any:
    told = offered.definition()
    schema, rest = parameters_of(told["input_schema"])

    async def run(**arguments: Any) -> Any:
        answer = await call(told["name"], arguments)
        if answer.is_error:
            raise library.ToolFailed("\n".join(cast("Iterable[str]", pieces(answer, lambda _: None))))
        return _value(library, answer)

    return library.Tool.from_schema(
        run,
        name=told["name"],
        description="\n\n".join(each for each in (told.get("description", ""), rest) if each),
        json_schema=schema,
    )


def _value(library: Any, answer: CallAnswer) -> Any:
    """A text, or a list of texts and media."""
    found = [part if isinstance(part, str) else _media(library, part) for part in answer.parts]
    if all(isinstance(each, str) for each in found):
        return "\n".join(cast("list[str]", list(pieces(answer, lambda _: None))))
    return found


def _media(library: Any, part: MediaPart) -> Any:
    kind = kind_of(part)
    return library.BinaryContent(data=part.data, media_type=kind) if kind else label(part)
