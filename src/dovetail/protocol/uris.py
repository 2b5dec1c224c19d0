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
from urllib.parse import quote, urlsplit

from .errors import LocalProtocolError

__all__ = ["MAX_VISIT", "ascii_uri", "legal_uri", "visit_host"]

MAX_VISIT: Final = 8192
"""Characters of an address that a person is sent to."""

_ASCII: Final = "".join(map(chr, range(128)))
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
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


def visit_host(url: str) -> str:
    """The host of an address that a person may be sent to, as it is looked up. Raises ValueError that says why not.

    Only https, and http on the machine itself; no user name, no control characters or spaces. Specification:
    client/elicitation, "URL Mode".
    """
    if not 1 <= len(url) <= MAX_VISIT:
        raise ValueError(
            f"it has {len(url)} characters; write 1 to {MAX_VISIT}, as https://example.com/login"
        )
    if any(character <= " " or character == "\\" or not character.isprintable() for character in url):
        raise ValueError(
            "it holds spaces, backslashes or control characters; percent-encode what belongs to it"
        )
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna" if not url.isascii() else "ascii").decode("ascii")
        _ = parts.port
    except ValueError:
        raise ValueError("it is no URL; write one as https://example.com/login") from None
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        raise ValueError(
            "it has to begin with https:// (http:// on this machine alone, for instance http://localhost:8000/)"
        )
    if not host or "@" in parts.netloc:
        raise ValueError("it has to name a host and no user; write one as https://example.com/login")
    return host
