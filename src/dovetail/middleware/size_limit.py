"""How large an answer may be.

Theory of operation. What a model reads has a price, and a tool that gives a whole table instead of a row is found out
late. The size is that of the result as JSON. Of a result whose size is plain from its texts, nothing is encoded for it.

Specification: server/tools, "Security Considerations" (validate results before they are passed on).
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final, Literal

from msgspec import UNSET

from dovetail.errors import InternalError
from dovetail.extensions import Call, Channel, Encoded, Handler, Result
from dovetail.types import (
    CallToolParams,
    CallToolResult,
    ContentBlock,
    GetPromptParams,
    InputRequired,
    ReadResourceParams,
    TextContent,
    encode,
)

from .results import methods_with
from .serving import AppMiddleware

__all__ = ["SizeLimit"]

#: Bytes that a character may take in JSON (``\\u0001``), and those around a block of text.
_CHARACTER: Final = 6
_AROUND: Final = 200


class SizeLimit(AppMiddleware):
    """Bounds the results of tools, resources and prompts: ``App(middleware=[SizeLimit(100_000)])``.

    ``most``: bytes of the result as JSON. ``beyond``: "refuse" (default): the model reads how large the answer would
    have been and that it has to ask for less; "cut": it reads the beginning of the texts, and what was left out. A tool
    with an output schema is never cut, since half of its answer would not be what it promises. Nor are resources and
    prompts: they are answered with an error. Questions to the client have no limit here. Raises ValueError.
    """

    methods = methods_with(CallToolParams, ReadResourceParams, GetPromptParams)

    def __init__(self, most: int, *, beyond: Literal["refuse", "cut"] = "refuse") -> None:
        super().__init__()
        if most < 1024 or beyond not in ("refuse", "cut"):
            raise ValueError('a SizeLimit has at least 1024 bytes, and beyond them "refuse" or "cut"')
        self._most = most
        self._cuts = beyond == "cut"

    def __call__(self, call: Call, channel: Channel, handler: Handler) -> Awaitable[Result | Encoded]:
        """See `Middleware`."""
        params = call.params
        named = getattr(params, "name", "") or getattr(params, "uri", "")
        return self._limited(call, channel, handler, str(named)[:128])

    async def _limited(self, call: Call, channel: Channel, handler: Handler, name: str) -> Result | Encoded:
        result = await handler(call, channel)
        if isinstance(result, InputRequired) or self._is_plainly_small(result):
            return result
        size = len(result if isinstance(result, bytes) else encode(result))
        if size <= self._most:
            return result
        told = (
            f"the answer of {name!r} would have {size:,} bytes, and at most {self._most:,} are allowed here"
        )
        if not isinstance(result, CallToolResult):
            raise InternalError(f"{told}; ask for less at once")
        if self._cuts and not self._promises(call, result):
            return self._cut(result, size)
        text = TextContent(
            text=f"{told[0].upper()}{told[1:]}. Ask for less at once, with narrower arguments."
        )
        return CallToolResult(content=[text], is_error=True)

    def _is_plainly_small(self, result: Result | Encoded) -> bool:
        """Whether the size need not be counted: nothing but texts, which fit however they are written."""
        if not isinstance(result, CallToolResult) or result.structured_content is not UNSET or result.meta:
            return False
        size = 0
        for block in result.content:
            if not isinstance(block, TextContent) or block.annotations or block.meta or block.extra:
                return False
            size += len(block.text) * _CHARACTER + _AROUND
        return size < self._most and not result.extra

    def _promises(self, call: Call, result: CallToolResult) -> bool:
        """Whether the tool says what its answer looks like; of one that has to be asked for, its answer tells."""
        params = call.params
        if self.serving is None or not isinstance(params, CallToolParams):
            return False
        served = self.serving.find_tool(params.name)
        if served is None:
            return result.structured_content is not UNSET
        return served.tool.output_schema is not None

    def _cut(self, result: CallToolResult, size: int) -> CallToolResult:
        """As much of the texts, in their order, as there is room for; and what is left out."""
        room = self._most - 2 * _AROUND
        kept: list[ContentBlock] = []
        left_out = 0
        for block in result.content:
            taken = len(encode(block)) + 1
            if taken <= room and not left_out:
                kept.append(block)
                room -= taken
            elif isinstance(block, TextContent) and not left_out and room > _AROUND:
                kept.append(TextContent(text=_beginning(block.text, room - _AROUND)))  # nothing beside it
                left_out, room = left_out + 1, 0
            else:
                left_out += 1
        note = f"[Cut: the whole answer has {size:,} bytes, and at most {self._most:,} are allowed here.]"
        return CallToolResult(content=[*kept, TextContent(text=note)], is_error=result.is_error)


def _beginning(text: str, room: int) -> str:
    """As much of a text as has no more than so many bytes as JSON."""
    least, most = 0, min(len(text), room)
    while least < most:
        middle = (least + most + 1) // 2
        if len(encode(text[:middle])) <= room:
            least = middle
        else:
            most = middle - 1
    return text[:least]
