"""The contract between a transport and whoever checks credentials.

Theory of operation. A transport hands over what the request shows and gets a `Principal`, or an
`AuthenticationFailed` that holds the whole answer: the status and the challenge headers. It never looks into
tokens itself. Neither type shows a credential in its ``repr``.

A `Gatekeeper` is an authenticator that also describes the resource to clients, and says how to ask for more when a
call turns out to need scopes that its token does not have (`InsufficientScope`). A `Protection` makes one for each
endpoint: it is what an app is given.

Specification: basic/authorization, "Token Handling", "Error Handling".
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec

from ..protocol.errors import DovetailError, RPCError
from ..stores.contracts import Store
from .key_ring import KeyRing
from .principal import Principal

__all__ = [
    "AuthenticationFailed",
    "Authenticator",
    "Credentials",
    "Gatekeeper",
    "InsufficientScope",
    "Protection",
]

INSUFFICIENT_SCOPE: Final = -31403
"""The code of `InsufficientScope`: beyond those that JSON-RPC and the specification keep for themselves."""


class Credentials(msgspec.Struct, frozen=True):
    """What one request shows.

    ``authorization``: the values of all Authorization headers, for more than one is already wrong; ``method``
    and ``url`` (proofs of possession sign them); ``headers``, names in lower case. ``mount``: the prefix below which
    the endpoint is mounted, empty without one. ``remote``: the address of the peer, empty where it is not known.
    """

    authorization: tuple[str, ...]
    method: str
    url: str
    headers: Mapping[str, str]
    mount: str = ""
    remote: str = ""

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


class InsufficientScope(RPCError):
    """The caller's token does not have the scopes that this needs: all of ``scopes``. Over HTTP the answer has status
    403 and a challenge that names them, unless it has begun already; then it is this error, with
    ``data.requiredScopes``.
    """

    default_code = INSUFFICIENT_SCOPE

    def __init__(self, scopes: Sequence[str]) -> None:
        self.scopes = tuple(dict.fromkeys(scopes))
        super().__init__(
            f"this needs a token with the scope {' '.join(self.scopes)}",
            data={"requiredScopes": list(self.scopes)},
        )


class Authenticator(Protocol):
    """Checks credentials. Must be safe to call from many requests at once, and bounded in time.

    The credentials of whoever reads a stream are judged again while it is open. Where some of them count only once,
    give the authenticator a method ``authenticate_again`` as well, like `authenticate` but without looking at those.
    """

    async def authenticate(self, request: Credentials) -> Principal:
        """The caller, `ANONYMOUS` where that is allowed. Raises `AuthenticationFailed`."""
        ...


class Gatekeeper(Authenticator, Protocol):
    """An authenticator that can say what protects the endpoint."""

    def document(self, path: str, mount: str) -> bytes | None:
        """The document (JSON) that describes the resource, if it is to be found at this path (decoded, as ASGI has
        it); None for any other path.
        """
        ...

    def insufficient(self, request: Credentials, scopes: Sequence[str]) -> AuthenticationFailed:
        """The answer to a request whose token lacks some of ``scopes``."""
        ...


class Protection(Protocol):
    """How an app is protected. It may have an attribute ``shares_proofs``: True where what callers show may be used
    once, so that all workers have to share the store that says so.
    """

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names that the resource is reached by, for the check of the Host header."""
        ...

    def gate(self, *, path: str, store: Store, keys: KeyRing | None = None) -> Gatekeeper:
        """The gatekeeper of one endpoint. ``path``: where it is; ``store`` and ``keys``: what all its workers share."""
        ...
