"""Tools as LangChain has them: `BaseTool` of langchain-core, which calls the tool itself.

Theory of operation. Content is LangChain's standard blocks, in order; the structured content is the artifact of the
message. A failure is raised as a `ToolException`, which LangChain makes a message with the status "error" of; its text
is all that is left of it there, so media in it are named.

Specification: server/tools, "Tool Result". Needs langchain-core, 1.0 or newer.
"""

from collections.abc import Iterable
from functools import partial
from importlib import import_module
from typing import Any

from msgspec import UNSET

from .answers import CallAnswer, MediaPart, OfferedTool, pieces
from .formats import ToolCaller
from .media import encoded, kind_of
from .parameters import parameters_of

__all__ = ["tools"]


def tools(offered: Iterable[OfferedTool], call: ToolCaller) -> list[Any]:
    """Each tool as a `BaseTool`. Raises ImportError without langchain-core."""
    try:
        library: Any = import_module("langchain_core.tools")
    except ImportError:
        raise ImportError("tools for LangChain need langchain-core: pip install langchain-core") from None

    class HostedTool(library.BaseTool):
        """A tool of a host. It takes no parameters of LangChain's own, which would hide the tool's of these names."""

        use: Any

        def _run(self, /, **arguments: Any) -> Any:
            # LangChain's own word for a tool that has no synchronous half.
            raise NotImplementedError(f"{self.name} is asynchronous: use ainvoke")

        async def _arun(self, /, **arguments: Any) -> tuple[list[dict[str, Any]], Any]:
            answer: CallAnswer = await self.use(arguments)
            if answer.is_error:
                raise library.ToolException("\n".join(str(each) for each in pieces(answer, lambda _: None)))
            return _content(answer), None if answer.structured is UNSET else answer.structured

    found: list[Any] = []
    for each in offered:
        told = each.definition()
        schema, rest = parameters_of(told["input_schema"])
        found.append(
            HostedTool(
                name=told["name"],
                description="\n\n".join(text for text in (told.get("description", ""), rest) if text)
                or told["name"],
                args_schema=schema,
                response_format="content_and_artifact",
                handle_tool_error=True,
                use=partial(call, told["name"]),
            )
        )
    return found


def _content(answer: CallAnswer) -> list[dict[str, Any]]:
    return [
        {"type": "text", "text": each} if isinstance(each, str) else each for each in pieces(answer, _block)
    ]


def _block(part: MediaPart) -> dict[str, Any] | None:
    kind = kind_of(part)
    if not kind:
        return None
    name = kind.partition("/")[0]
    return {
        "type": name if name in ("image", "audio") else "file",
        "base64": encoded(part),
        "mime_type": kind,
    }
