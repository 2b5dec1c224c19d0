"""The contract between an HTTP transport and whoever gets it credentials.

Theory of operation. A transport asks `ClientAuth` for headers before every request, shows it the headers of
every response, and asks it again when a request is refused for want of authorization. How credentials come to
be, how long they last, whether a person has to log in: all that is on the other side. The transport in turn
sees to it that credentials go to the one origin they are for, that no error or log shows them, that a message
is sent a bounded number of times, and that the time a person takes to log in is nobody's deadline.
Specification: basic/authorization "Access Token Usage", "Error Handling"; RFC 6750 section 3, RFC 9449
sections 7 and 9.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, runtime_checkable

from msgspec import Struct

__all__ = ["MAX_ATTEMPTS", "ClientAuth", "Refusal"]

MAX_ATTEMPTS: Final = 5
"""Times that one message is sent at most, whatever a `ClientAuth` says."""


class Refusal(Struct, frozen=True, kw_only=True):
    """One request that a server refused for want of authorization.

    ``status`` is 401, 403 with a challenge for more scopes, or 400 when the server wants a DPoP nonce. ``method``
    and ``url`` are those of the request; ``challenges`` are the values of WWW-Authenticate, each of which may hold
    several challenges.
    ``headers`` are those of the response, by lower-case name. ``sent`` are the headers that `ClientAuth` gave
    for the request, by lower-case name, so that it can tell a credential that has been replaced since;
    ``repr`` hides them. ``attempt`` counts the times this message has been refused, from 1.
    """

    status: int
    method: str
    url: str
    challenges: tuple[str, ...]
    headers: Mapping[str, str]
    sent: Mapping[str, str]
    attempt: int

    def __repr__(self) -> str:
        return (
            f"Refusal(status={self.status}, method={self.method!r}, challenges={len(self.challenges)},"
            f" sent=<{', '.join(self.sent)}>, attempt={self.attempt})"
        )


class AuthSetting(Protocol):
    """Says how to get credentials, for a server that is named later: `dovetail.auth.OAuth` and the others.

    It may have an attribute ``extensions``: identifiers of extensions of the protocol that this is, each with its
    settings. The client declares them.
    """

    def client_auth(self, url: str, *, approve: Callable[..., Any] | None = None) -> "ClientAuth":
        """What gets them for the server at ``url``. ``approve``: shown an address before a person is sent there, as
        that option of a client. Raises `LocalProtocolError` for a server that credentials can't be sent to.
        """
        ...


@runtime_checkable
class ClientAuth(Protocol):
    """Gives the credentials for the requests to one server. Used from one event loop, by many tasks at once.

    It may have an attribute ``account``, a text that differs where the credentials are somebody else's. With it, a
    client remembers of which era the server is; without, each client finds that out anew. It may have ``extensions``,
    as an `AuthSetting` may.
    """

    async def headers(self, method: str, url: str) -> Mapping[str, str]:
        """The credential headers for one request, asked for every time it is sent.

        May refresh a token, but never waits for a person. Raises a `DovetailError` if that fails; nothing is
        sent then. ``url`` has no user information and no fragment.
        """
        ...

    async def refused(self, refusal: Refusal) -> bool:
        """A request was refused: whether to ask for `headers` again and send the same message once more.

        May wait for a person: deadlines stand still meanwhile, but the caller may cancel. Several calls may be
        refused at once, with the same credential. A refused DELETE, which ends a session, is given a few
        seconds and is no occasion to ask anybody. False: the caller gets `LoginRequired`. Raises
        `LoginRequired`, or another `DovetailError`, to give up and say why.
        """
        ...

    def answered(self, url: str, headers: Mapping[str, str]) -> None:
        """The headers of a response, by lower-case name; of every one. Returns at once."""
        ...

    async def close(self) -> None:
        """Let go of connections and files. Idempotent."""
        ...
