"""The contract between a transport and whoever checks credentials.

Theory of operation. A transport hands over what the request shows and gets a `Principal`, or an
`AuthenticationFailed` that holds the whole answer: the status and the challenge headers. It never looks into
tokens itself. Neither type shows a credential in its ``repr``.

Specification: basic/authorization, "Token Handling", "Error Handling".
"""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from ..protocol.errors import DovetailError
from .principal import Principal

__all__ = ["AuthenticationFailed", "Authenticator", "Credentials"]


class Credentials(msgspec.Struct, frozen=True):
    """What one request shows.

    ``authorization``: the values of all Authorization headers, for more than one is already wrong; ``method``
    and ``url`` (proofs of possession sign them); ``headers``, names in lower case.
    """

    authorization: tuple[str, ...]
    method: str
    url: str
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        shown = "absent" if not self.authorization else "present"
        return f"Credentials({self.method[:16]!r}, authorization {shown})"


class AuthenticationFailed(DovetailError):
    """The request is refused before anything looked at its body.

    ``status`` is 401 (who are you?), 403 (not with that scope) or 400 (malformed), ``headers`` what the
    answer carries, WWW-Authenticate above all. The message goes to the log and, shortened by nobody, must not
    hold credentials. Raises `ValueError` for a status that is no refusal or a header that would break out of
    its line.
    """

    retry_safe = True

    def __init__(self, message: str, *, status: int = 401, headers: tuple[tuple[str, str], ...] = ()) -> None:
        if not 400 <= status <= 599:
            raise ValueError(f"status {status} does not refuse a request")
        if any(not part.isascii() or not part.isprintable() for header in headers for part in header):
            raise ValueError("a header of a refusal has characters that a header cannot hold")
        super().__init__(message)
        self.status = status
        self.headers = headers


class Authenticator(Protocol):
    """Checks credentials. Must be safe to call from many requests at once, and bounded in time."""

    async def authenticate(self, request: Credentials) -> Principal:
        """The caller, `ANONYMOUS` where that is allowed. Raises `AuthenticationFailed`."""
        ...
