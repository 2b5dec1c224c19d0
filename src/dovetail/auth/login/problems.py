"""What can go wrong on the way to a token.

Theory of operation. Every error says what happened and what to do, and none quotes a credential. What an authorization
server says of its own errors is a stranger's text: it is cut short and made printable, and a secret that it repeats
is cut out.

Specification: RFC 6749 sections 4.1.2.1 and 5.2; basic/authorization "Error Handling".
"""

from __future__ import annotations

from collections.abc import Iterable

from ...protocol.errors import DovetailError

__all__ = [
    "AuthorizationError",
    "AuthorizationUnavailable",
    "CredentialsUnbound",
    "DiscoveryFailed",
    "LoginDenied",
    "LoginFailed",
    "LoginTimeout",
    "RegistrationFailed",
    "ScopeRefused",
    "StorageUnsafe",
    "TokenRefused",
    "TokensChanged",
]

_MAX_TEXT = 200
_SECRET = 4  # characters; anything shorter is found in every text


class AuthorizationError(DovetailError):
    """No credential could be had. The request it was for did no work, so it may be made again."""

    retry_safe = True


class AuthorizationUnavailable(AuthorizationError):
    """Somebody who is needed for authorization can't be reached, or must not be; try again later, or see
    the address in the text.
    """


class TokensChanged(AuthorizationUnavailable):
    """Another process has renewed the tokens while this one stood still with their lock: those are the good ones."""


class DiscoveryFailed(AuthorizationError):
    """The server does not say, or not in a way that can be trusted, who gives out its tokens: name the
    ``issuer`` yourself, or ask those who run it.
    """


class RegistrationFailed(AuthorizationError):
    """The client is not known to the authorization server, and could not be made known: register it by
    hand, and give its ``client_id``.
    """


class CredentialsUnbound(AuthorizationError):
    """Credentials belong to one authorization server, and the server names another (or they name none):
    give those of that one.
    """


class LoginFailed(AuthorizationError):
    """Logging in did not lead to a token that the server takes; the text says why. It may be tried again."""


class LoginDenied(LoginFailed):
    """The person, or the authorization server, said no. ``error``: its code, such as "access_denied"."""

    def __init__(self, message: str, *, error: str = "") -> None:
        super().__init__(message)
        self.error = error


class LoginTimeout(LoginFailed):
    """Nobody logged in within the ``timeout`` of the settings; the next call asks again."""


class TokenRefused(AuthorizationError):
    """The token endpoint gave no token. ``error``: its code, such as "invalid_grant"; ``status``: of HTTP."""

    def __init__(self, message: str, *, error: str = "", status: int | None = None) -> None:
        super().__init__(message)
        self.error = error
        self.status = status


class ScopeRefused(AuthorizationError):
    """More scopes were asked for, and the server refuses the request all the same: this caller
    may not do it. Or more are wanted than are ever asked for; the text says which.
    """


class StorageUnsafe(AuthorizationError):
    """Tokens can't be kept at this place: others could read or replace them. Choose another, or
    mend its permissions.
    """

    retry_safe = False


def said(text: object, *, secrets: Iterable[str] = ()) -> str:
    """A stranger's text, fit for a message: printable, one line, short. What we sent in confidence (``secrets``) and
    hear back is left out.
    """
    if not isinstance(text, str):
        return ""
    for secret in secrets:
        if len(secret) >= _SECRET:
            text = text.replace(secret, "...")
    plain = "".join(character if character.isprintable() else " " for character in text[: 2 * _MAX_TEXT])
    return " ".join(plain.split())[:_MAX_TEXT]
