"""A token that the caller has already, or knows how to get.

Theory of operation. The token goes to one origin and nowhere else. A function is asked whenever a request is made, and
once more when the server refuses what it gave; if it then gives the same again, the refusal stands.

Specification: RFC 6750 section 2.1; basic/authorization "Access Token Usage".
"""

from __future__ import annotations

import hashlib
import inspect
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

from ...protocol.errors import LocalProtocolError
from ...security.client_auth import ClientAuth, Refusal
from ...security.fetching import FetchRefused, parse_url
from ..resources import origin_of

__all__ = ["Bearer", "BearerCredentials"]

_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,65536}")


class Bearer:
    """``auth=Bearer("...")``: a token, or a function (plain or async) that gives the one that is good now. A plain one
    is asked as well before a kept list is used, so that what one token got is not shown for another; with an async
    one, private results are not kept.

    ``allow_http``: send it over plain http to other machines too, where anybody on the way can read it.
    """

    def __init__(self, token: str | Callable[[], Any], *, allow_http: bool = False) -> None:
        if not callable(token):
            _checked(token)
        self._token = token
        self._allow_http = allow_http

    def client_auth(self, url: str, *, approve: Any = None) -> ClientAuth:
        """The `ClientAuth` for the server at ``url``. Raises `LocalProtocolError`."""
        return BearerCredentials(url, self._token, allow_http=self._allow_http)

    def __repr__(self) -> str:
        return "Bearer(...)"


class BearerCredentials:
    """The `ClientAuth` of a `Bearer`. ``account`` stands for the token, if it is always the same."""

    def __init__(self, url: str, token: str | Callable[[], Any], *, allow_http: bool = False) -> None:
        self._origin = _origin(url)
        if self._origin is not None and not allow_http:
            check_transport(url)
        self._token = token
        self.account = None if callable(token) else hashlib.sha256(_checked(token).encode()).hexdigest()

    async def headers(self, method: str, url: str) -> Mapping[str, str]:
        """The credentials for one request."""
        if self._origin is not None and _origin(url) != self._origin:
            return {}
        found: Any = self._token() if callable(self._token) else self._token
        if inspect.isawaitable(found):
            found = await found
        return {"authorization": f"Bearer {_checked(found)}"}

    async def refused(self, refusal: Refusal) -> bool:
        """Whether the function gives another token than the one that was refused."""
        if refusal.status != 401 or not callable(self._token) or refusal.attempt > 1:
            return False
        return (await self.headers(refusal.method, refusal.url)) != {
            "authorization": refusal.sent.get("authorization", "")
        }

    def answered(self, url: str, headers: Mapping[str, str]) -> None:
        """Nothing in responses matters here."""

    async def close(self) -> None:
        """Nothing is open."""

    def cache_scope(self) -> str:
        """What private results may be kept under: another token, another scope. The token is the one that would be
        sent now, not the one sent last, for a function may speak for several callers in turn; what an async one
        gives can't be known here, so nothing is found again.
        """
        found: Any = self._token() if callable(self._token) else self._token
        if inspect.isawaitable(found):
            if inspect.iscoroutine(found):
                found.close()
            return secrets.token_hex(12)
        return hashlib.sha256(_checked(found).encode()).hexdigest()[:24]

    def __repr__(self) -> str:
        return "<BearerCredentials>"


def check_transport(url: str) -> None:
    """Raise `LocalProtocolError` unless a URL is https, or http on this machine."""
    try:
        location = parse_url(url)
    except FetchRefused as problem:
        raise LocalProtocolError(f"no credentials can be sent there: {problem}") from None
    if location.scheme == "http" and not location.is_local_name:
        raise LocalProtocolError(
            f"credentials are not sent to http://{location.host}: anybody on the way could read them; use https"
        )


def _checked(token: object) -> str:
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise LocalProtocolError("a bearer token is a text of visible ASCII characters, without spaces")
    return token


def _origin(url: str) -> str | None:
    """The origin of an http(s) URL; None for what has none, such as a unix socket."""
    try:
        return origin_of(url)
    except ValueError:
        return None
