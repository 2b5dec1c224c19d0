"""What a tool returns to show something: an image, a sound or a file, from bytes or from a path.

Theory of operation. A path is read when the result is written, not when the value is made; what is read is
bounded. The media type comes from the name of the file unless it is given.

Specification: server/tools, "Tool Result".
"""

from __future__ import annotations

import base64
import os
from typing import Any, Final

from msgspec import Struct

from ..protocol.types.content import AudioContent, EmbeddedResource, ImageContent
from ..protocol.types.metadata import Annotations
from ..protocol.types.resources import ResourceContents

__all__ = ["MAX_MEDIA_BYTES", "Audio", "File", "Image", "MediaTooLarge"]

MAX_MEDIA_BYTES: Final = 32 * 1024 * 1024
"""The largest file that is read into a result, in bytes."""

_TEXTUAL: Final = frozenset(
    {"application/json", "application/xml", "application/yaml", "application/javascript"}
)


class MediaTooLarge(ValueError):
    """A file or value is larger than `MAX_MEDIA_BYTES`; serve it as a resource and return a link to it."""


class _Media(Struct, frozen=True):
    """``data`` (bytes) or ``path``: exactly one of them.

    ``mime_type``: guessed from the path where it is None.
    """

    data: bytes | None = None
    path: str | os.PathLike[str] | None = None
    mime_type: str | None = None
    annotations: Annotations | None = None
    meta: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if (self.data is None) == (self.path is None):
            raise ValueError(f"{type(self).__name__} needs either data or path")

    def read(self) -> bytes:
        """The bytes. Raises OSError, or `MediaTooLarge` beyond 32 MiB."""
        if self.data is not None:
            found = self.data
        else:
            from pathlib import Path  # which a server without media starts without

            with Path(str(self.path)).open("rb") as file:
                found = file.read(MAX_MEDIA_BYTES + 1)
        if len(found) > MAX_MEDIA_BYTES:
            raise MediaTooLarge(
                f"{type(self).__name__}: more than {MAX_MEDIA_BYTES} bytes; serve it as a resource instead"
            )
        return found

    def _type(self, default: str) -> str:
        if self.mime_type or self.path is None:
            return self.mime_type or default
        import mimetypes

        return mimetypes.guess_type(str(self.path))[0] or default


def _ending(kind: str) -> str:
    """How names of files of a type end, such as ".csv"; "" where that is not known."""
    import mimetypes

    return mimetypes.guess_extension(kind.partition(";")[0].strip()) or ""


class Image(_Media, frozen=True):
    """An image. ``mime_type`` is "image/png" where nothing else is known."""

    def block(self) -> ImageContent:
        """The content block."""
        return ImageContent.of(
            self.read(), self._type("image/png"), annotations=self.annotations, meta=self.meta
        )


class Audio(_Media, frozen=True):
    """A sound. ``mime_type`` is "audio/wav" where nothing else is known."""

    def block(self) -> AudioContent:
        """The content block."""
        return AudioContent.of(
            self.read(), self._type("audio/wav"), annotations=self.annotations, meta=self.meta
        )


class File(_Media, frozen=True):
    """A file, embedded as a resource: as text if its type says text and it is UTF-8, else as bytes.

    ``uri``: the address of the resource; the path's ``file:`` address, or ``file:///<name>``, where it is
    None. ``name``: "file" with the usual ending of its type where it is None.
    """

    uri: str | None = None
    name: str | None = None

    def block(self) -> EmbeddedResource:
        """The content block."""
        data, kind = self.read(), self._type("application/octet-stream")
        uri = self.uri
        if uri is None:
            from pathlib import Path

            name = Path("/") / (self.name or f"file{_ending(kind)}")
            uri = (name if self.path is None else Path(str(self.path)).absolute()).as_uri()
        text: str | None = None
        if kind.startswith("text/") or kind in _TEXTUAL or kind.endswith(("+json", "+xml")):
            try:
                text = data.decode()
            except UnicodeDecodeError:
                text = None
        blob = base64.b64encode(data).decode() if text is None else None
        contents = ResourceContents(uri=uri, mime_type=kind, text=text, blob=blob)
        return EmbeddedResource(resource=contents, annotations=self.annotations, meta=self.meta)
