"""URIs as they travel: what RFC 3986 does not have is encoded or refused.

Theory of operation. People write URIs with letters of every script; on the wire these are percent-encoded
UTF-8, so that both sides, and the header that repeats a URI, compare the same text. Characters that are never
meant (spaces, control characters) are refused rather than encoded, since an encoded one names another
resource than the author of the text had in mind. The rest stays as it is: URIs are compared as text, and a
server's own oddities must find their way back to it.
Specification: RFC 3986 section 2, RFC 3987 section 3.1; server/resources "Common URI Schemes".
"""

import re
from typing import Final
from urllib.parse import quote

from .errors import LocalProtocolError

__all__ = ["ascii_uri", "legal_uri"]

_ASCII: Final = "".join(map(chr, range(128)))
_NEVER: Final = re.compile(r"[\x00-\x20\x7f-\x9f\ud800-\udfff]")


def ascii_uri(uri: str) -> str:
    """A URI with the characters beyond ASCII percent-encoded. Raises UnicodeEncodeError for a lone surrogate."""
    return uri if uri.isascii() else quote(uri, safe=_ASCII)


def legal_uri(uri: str) -> str:
    """The URI to send for one that a caller gave.

    Raises `LocalProtocolError` for one with a space, a control character or half of a character in it.
    """
    found = _NEVER.search(uri)
    if found is not None:
        raise LocalProtocolError(
            f"a URI holds no {found[0]!a} (at character {found.start()}); percent-encode what belongs to a name"
        )
    return ascii_uri(uri)
