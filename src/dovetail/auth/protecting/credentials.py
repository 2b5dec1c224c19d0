"""The one place where a token is read from: the Authorization header.

Theory of operation. One header, one scheme, one token; what is in the query or the body is never looked at. A request
that shows nothing, or something of another scheme, is asked who it is (401). One that shows several things at once,
or names a scheme and shows nothing, is malformed (400): which of them should count?

Specification: basic/authorization, "Token Requirements"; RFC 6750, sections 2.1 and 3.1; RFC 9449, section 7.1;
RFC 9110, section 11.1 (schemes in any case).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ...protocol.errors import DovetailError

__all__ = ["MAX_TOKEN", "CredentialsMalformed", "PresentedCredentials", "read_authorization"]

MAX_TOKEN: Final = 16 * 1024
"""Characters that a token may have."""

_SCHEMES: Final = ("bearer", "dpop")
_TOKEN: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")


class CredentialsMalformed(DovetailError):
    """The request shows its credentials in a form that can't be right. The message is fit for the answer."""


class PresentedCredentials(NamedTuple):
    """What a request shows: the scheme in lower case, and the token."""

    scheme: str
    token: str

    def __repr__(self) -> str:
        return f"Shown({self.scheme!r})"


def read_authorization(values: tuple[str, ...]) -> PresentedCredentials | None:
    """What the Authorization headers of a request show; None for nothing that is meant for us. Raises
    `CredentialsMalformed`.
    """
    if len(values) > 1:
        raise CredentialsMalformed("the request has more than one Authorization header")
    scheme, _, rest = "".join(values).strip(" \t").partition(" ")
    scheme = scheme.lower()
    if scheme not in _SCHEMES:
        return None
    token = rest.strip(" ")
    if not token:
        raise CredentialsMalformed("the Authorization header names a scheme and has no token")
    if " " in token or "," in token or "\t" in token:
        raise CredentialsMalformed("the Authorization header has more than one token")
    return PresentedCredentials(scheme, token)


def is_token(text: str) -> bool:
    """Whether a text can be a token at all."""
    return len(text) <= MAX_TOKEN and _TOKEN.fullmatch(text) is not None
