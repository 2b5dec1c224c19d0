"""What a tool gave, as a host hands it to a model: bounded text, and images, sounds and files as bytes.

Theory of operation. A model reads text, and pays for each word; so the text is cut at a limit, and says so. What is
Base64 on the wire is decoded once, up to a limit for all of it together; what does not fit, or is no Base64, is named
in the text instead of being there. A failure of the tool is a result like another: the model is to read it, and may
call otherwise.

Specification: server/tools, "Tool Result", "Error Handling".
"""

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from ..client import ToolResult
from ..types import Resource, ResourceContents, content_type

__all__ = ["HostBlob", "HostResult", "ResultLimits", "result_of"]

_DEFAULT: Final = "application/octet-stream"


class ResultLimits(Struct, frozen=True, kw_only=True):
    """``text``: characters of a result's text (100,000). ``blobs``: bytes of all that is not text (20 MiB).
    ``seconds``: that a call may take in all, whatever progress it makes (600; None: what its client allows).
    """

    text: int = 100_000
    blobs: int = 20 * 1024 * 1024
    seconds: float | None = 600.0


class HostBlob(Struct, frozen=True, kw_only=True):
    """Something in a result that is no text. ``kind``: "image", "audio" or "resource", with its ``uri``.

    ``media_type`` is what the server says that it is: untrusted, as the bytes are.
    """

    kind: str
    media_type: str
    data: bytes
    uri: str = ""


class HostResult(Struct, frozen=True, kw_only=True):
    """What a tool of a host gave. ``name``: by which it was called; ``server`` and ``tool``: what that stands for.

    ``text``: for the model, at most as long as the limits say; ``cut``: whether something of the result is missing from
    ``text`` and ``blobs``. ``parts``: the same texts and blobs in the order of the result, each once. ``raw`` has all
    of it. ``is_error``: the tool failed, and ``text`` says how.
    """

    name: str
    server: str
    tool: str
    text: str
    blobs: tuple[HostBlob, ...]
    cut: bool
    raw: ToolResult
    parts: tuple[str | HostBlob, ...] = ()

    @property
    def is_error(self) -> bool:
        """Whether the tool failed."""
        return self.raw.is_error

    @property
    def structured(self) -> Any:
        """The structured content, any JSON value; None if there is none."""
        return self.raw.structured


def result_of(name: str, server: str, raw: ToolResult, limits: ResultLimits) -> HostResult:
    """The result, within its limits."""
    texts: list[str] = []
    blobs: dict[int, HostBlob] = {}  # by the place of what stands for each in the texts
    left, cut = limits.blobs, False
    for kind, media_type, encoded, uri in _parts(raw, texts):
        size = len(encoded) * 3 // 4
        data = _decoded(encoded) if size <= left else None
        if data is None:
            cut = True
            why = "larger than allowed" if size > left else "no Base64"
            texts.append(f"[{kind}, {media_type}, about {size} bytes, left out: {why}]")
            continue
        left -= len(data)
        blobs[len(texts)] = HostBlob(kind=kind, media_type=media_type, data=data, uri=uri)
        texts.append(f"[{kind}, {media_type}, {len(data)} bytes]")
    text = "\n".join(texts)
    if not text and raw.has_structured:
        value: Any = raw.value
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        texts, blobs = [text], {}
    parts = _in_order(texts, blobs, limits.text)
    if len(text) > limits.text:
        cut = True
        said = f"[cut: {len(text)} characters, of which {limits.text} are shown]"
        text = f"{text[: limits.text]}\n{said}"
        parts.append(said)
    return HostResult(
        name=name,
        server=server,
        tool=raw.tool,
        text=text,
        blobs=tuple(blobs.values()),
        cut=cut,
        raw=raw,
        parts=tuple(parts),
    )


def _in_order(texts: list[str], blobs: dict[int, HostBlob], longest: int) -> list[str | HostBlob]:
    """Texts and blobs in their places, the texts no longer than ``longest`` in all."""
    parts: list[str | HostBlob] = []
    for place, text in enumerate(texts):
        if place in blobs:
            parts.append(blobs[place])
        elif text[:longest]:
            parts.append(text[:longest])
            longest -= len(text[:longest]) + 1
        longest = max(longest, 0)
    return parts


def _parts(raw: ToolResult, texts: list[str]) -> Iterator[tuple[str, str, str, str]]:
    """What is bytes: kind, media type, Base64, URI. What is text goes to ``texts``, in its place."""
    for block in raw.content:
        known = content_type(block)
        if known is None:
            texts.append("[content of a kind that is not known here]")
        elif known.text:
            texts.append(getattr(block, known.text))
        elif known.base64:
            yield known.label, getattr(block, "mime_type", _DEFAULT), getattr(block, known.base64), ""
        elif known.contents:
            held: ResourceContents = getattr(block, known.contents)
            if held.blob is None:
                texts.append(held.text or "")
            else:
                yield known.label, held.mime_type or _DEFAULT, held.blob, held.uri
        elif isinstance(block, Resource):
            texts.append(f"[{known.label}: {block.title or block.name}: {block.uri}]")
        else:
            texts.append(f"[{known.label}]")


def _decoded(encoded: str) -> bytes | None:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
