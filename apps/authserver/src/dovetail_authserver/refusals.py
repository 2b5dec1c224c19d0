"""What is answered when a request can't be granted.

Theory of operation. An `OAuthError` is an answer that a program reads: a code that the specifications name and a
sentence that says what to do. A `PageRefusal` is one that a person reads in a browser, where no client could be told
safely. Neither ever quotes a token, a code, a secret or a verifier.

Specification: OAuth 2.1 sections 3.2.4 and 4.1.2.1; RFC 8707 section 2; RFC 7591 section 3.2.2; RFC 9449 section 8.
"""

from __future__ import annotations

from dovetail import DovetailError

__all__ = [
    "OAuthError",
    "PageRefusal",
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_target",
]

Headers = tuple[tuple[str, str], ...]


class OAuthError(DovetailError):
    """An error of OAuth: `code` and `description` go into the answer, with `status` and `headers`.

    `failure`: whether it counts as a failed try of whoever sent it (see `AttemptGate`).
    """

    def __init__(
        self, code: str, description: str, *, status: int = 400, headers: Headers = (), failure: bool = False
    ) -> None:
        super().__init__(f"{code}: {description}")
        self.code = code
        self.description = description
        self.status = status
        self.headers = headers
        self.failure = failure


class PageRefusal(DovetailError):
    """A refusal for the person at the browser: `title`, `text`, and the HTTP `status`."""

    def __init__(self, title: str, text: str, *, status: int = 400, headers: Headers = ()) -> None:
        super().__init__(f"{title}: {text}")
        self.title = title
        self.text = text
        self.status = status
        self.headers = headers


def invalid_request(description: str) -> OAuthError:
    """The request lacks something, has it twice, or is otherwise malformed."""
    return OAuthError("invalid_request", description)


def invalid_grant(description: str, *, failure: bool = True) -> OAuthError:
    """A code, refresh token or assertion is unknown, over, used, or somebody else's: all of them read alike."""
    return OAuthError("invalid_grant", description, failure=failure)


def invalid_target(description: str) -> OAuthError:
    """The resource is none that tokens are issued for."""
    return OAuthError("invalid_target", description)


def invalid_client(description: str, *, challenge: bool = False) -> OAuthError:
    """The client is unknown or did not prove who it is. `challenge`: it tried with an Authorization header."""
    headers = (("www-authenticate", 'Basic realm="authorization server"'),) if challenge else ()
    return OAuthError("invalid_client", description, status=401, headers=headers, failure=True)
