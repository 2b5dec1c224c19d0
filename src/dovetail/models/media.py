"""What bytes are, by how they begin.

Theory of operation. A server says what its bytes are, and may be wrong. An API that is sent an image that is none
refuses the whole conversation, then and whenever it is sent again; so what has a place in it is decided by the bytes.

Specification: none; the signatures are those of the formats.
"""

import base64
from typing import Final

from .answers import MediaPart

__all__ = ["encoded", "kind_of"]

_STARTS: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
)
_IN_RIFF: Final = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}


def kind_of(part: MediaPart) -> str:
    """The media type that the bytes show; empty for what is none of those that models take."""
    data = part.data
    for start, kind in _STARTS:
        if data.startswith(start):
            return kind
    if data[:4] == b"RIFF":
        return _IN_RIFF.get(data[8:12], "")
    if len(data) > 1 and data[0] == 0xFF and data[1] & 0xE6 == 0xE2:  # a frame of MPEG audio, layer 3
        return "audio/mpeg"
    return ""


def encoded(part: MediaPart) -> str:
    """The bytes as Base64."""
    return base64.b64encode(part.data).decode("ascii")
