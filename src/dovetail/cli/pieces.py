"""What a result consists of, each thing once.

Theory of operation. A tool that returns data says it twice: as structured content, and as text for clients that know
no structured content. Implementations differ in how: the JSON of it, indented or not; the bare text of a value that
had to be wrapped in an object (``{"result": ...}``, or a member of another name); a block for each item of a list; the
content blocks themselves inside the data; Python's own notation. Each of these is found, and then shown in the form
that is easier to read: a text as text, anything else as indented JSON. What the text says differently is no twin, and
both are shown.

Specification: server/tools "Structured Content".
"""

import ast
import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, cast

from ..client import ToolResult
from ..protocol import codec
from ..protocol.errors import RemoteProtocolError
from ..protocol.revisions.projection import WRAPPED
from ..protocol.types import GetPromptResult, Resource, ResourceContents, TextContent
from ..protocol.types.content import content_type

__all__ = [
    "Binary",
    "Data",
    "Heading",
    "binary_of",
    "opened",
    "pieces_of_prompt",
    "pieces_of_result",
    "text_of",
]

_LONGEST_LITERAL: Final = 100_000


class Data(NamedTuple):
    """Structured content."""

    value: Any


class Heading(NamedTuple):
    """Who says what follows, in a prompt."""

    text: str


class Binary(NamedTuple):
    """Bytes of a result. ``kind``: their media type, "" if the server does not say."""

    data: bytes
    kind: str

    def __str__(self) -> str:
        return f"{self.kind or 'unknown type'}, {len(self.data):,} bytes"


def pieces_of_result(result: ToolResult) -> list[Any]:
    """What a tool gave: content blocks and at most one `Data`, in the order to show them."""
    blocks: list[Any] = list(result.content)
    if not result.has_structured:
        return blocks
    structured = result.structured
    for value, whole in _shapes(structured):
        if _is_the_blocks(value, blocks):
            return blocks
        said = _saying(blocks, value)
        if said is None:
            continue
        if isinstance(value, str):
            return blocks
        rest = [block for block in blocks if not isinstance(block, TextContent) or block not in said]
        return [Data(whole), *rest]
    return [Data(structured), *blocks]


def pieces_of_prompt(result: GetPromptResult) -> list[Any]:
    """The messages of a prompt, each below its role."""
    return [piece for message in result.messages for piece in (Heading(f"{message.role}:"), message.content)]


def opened(piece: Any) -> Any:
    """What a piece holds, where it is one around the contents of a resource; any other as it is."""
    known = content_type(piece)
    return piece if known is None or not known.contents else getattr(piece, known.contents)


def binary_of(piece: Any) -> Binary | None:
    """The bytes of a piece; None for text, links and data. Raises `RemoteProtocolError` for what is not Base64."""
    piece = opened(piece)
    known = content_type(piece)
    if known is not None and known.base64:
        return Binary(_decoded(getattr(piece, known.base64), f"content ({known.label})"), piece.mime_type)
    if isinstance(piece, ResourceContents) and piece.text is None:
        return Binary(_decoded(piece.blob or "", f"the contents of {piece.uri}"), piece.mime_type or "")
    return None


def text_of(piece: Any) -> str:
    """A piece that is not binary, as text for a file: nothing escaped."""
    piece = opened(piece)
    known = content_type(piece)
    if known is not None and known.text:
        return str(getattr(piece, known.text))
    if isinstance(piece, Heading):
        return piece.text
    if isinstance(piece, ResourceContents):
        return piece.text or ""
    if isinstance(piece, Resource):
        return piece.uri
    value = piece.value if isinstance(piece, Data) else codec.tree(piece)
    return json.dumps(codec.tree(value), ensure_ascii=False, indent=2)


def _decoded(text: str, what: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise RemoteProtocolError(f"the server sent {what} that is not Base64") from None


def _shapes(structured: Any) -> list[tuple[Any, Any]]:
    """The values that a text may stand for, each with what to show for it. A wrapped value is shown without its
    wrapping; the only member of another object is not, for its name says something, unless it is a text.
    """
    shapes = [(structured, structured)]
    if isinstance(structured, dict):
        members = cast("dict[str, Any]", structured)
        if len(members) == 1:
            name, value = next(iter(members.items()))
            shapes.append((value, value if name == WRAPPED else members))
    return shapes


def _is_the_blocks(value: Any, blocks: Sequence[Any]) -> bool:
    return bool(blocks) and value in ([codec.tree(block) for block in blocks], codec.tree(blocks[0]))


def _saying(blocks: Sequence[Any], value: Any) -> list[Any] | None:
    """The text blocks that say a value; None if none do."""
    texts = [block for block in blocks if isinstance(block, TextContent)]
    for block in texts:
        if _says(block.text, value):
            return [block]
    if len(texts) > 1:
        if isinstance(value, str) and value in ("\n".join(each.text for each in texts), _joined(texts)):
            return texts
        if isinstance(value, list):
            items = cast("list[Any]", value)
            if len(items) == len(texts) and all(
                _says(block.text, item) for block, item in zip(texts, items, strict=True)
            ):
                return texts
    return None


def _joined(texts: Sequence[TextContent]) -> str:
    return "".join(each.text for each in texts)


def _says(text: str, value: Any) -> bool:
    """Whether a text is a value: itself, as JSON, or as Python writes it."""
    if isinstance(value, str) and text == value:
        return True
    try:
        return json.loads(text) == value
    except (ValueError, RecursionError):
        pass
    if isinstance(value, str) or len(text) > _LONGEST_LITERAL:
        return False
    try:
        return ast.literal_eval(text.strip()) == value
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False
