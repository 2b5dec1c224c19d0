"""Who may come in: the browser that was given the token of this launch, and nobody else on the machine or beyond.

Theory of operation. The address that is printed has a token in its fragment, which no browser sends anywhere. The page
hands it over once and gets a cookie for it (HttpOnly, SameSite=Strict), which every other request needs. A browser that
we open gets a ticket instead, which counts once: what a program is started with can be seen by everybody on the
machine. The Host of each request has to be an address of this machine with our port, so that no name that points here
from elsewhere (DNS rebinding) gets in; its Origin, where there is one, has to be the same; and what a browser says of
where a request comes from has to be this page. The page itself holds nothing secret and is given to whoever asks.

Specification: Fetch Metadata; RFC 6265bis; basic/transports, "Security Warning".
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

__all__ = ["COOKIE", "Access", "AccessRefused"]

COOKIE: Final = "dovetail-inspector"
_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")


class AccessRefused(Struct, frozen=True):
    """Why a request is not let in: a status and a sentence."""

    status: int
    reason: str


class Access:
    """The rule of one launch. ``port``: where it listens; ``names``: further names that lead there, for a tunnel."""

    def __init__(self, port: int, *, names: tuple[str, ...] = ()) -> None:
        self.port: Final = port
        self.token: Final = secrets.token_urlsafe(32)
        self._cookie: Final = secrets.token_urlsafe(32)
        self._tickets: Final[set[str]] = set()
        # Cookies know no ports: two Inspectors of one machine need two names.
        self.cookie_name: Final = f"{COOKIE}-{port}"
        self._hosts: Final = frozenset(
            host
            for name in (*_NAMES, *names)
            for host in ((f"{name}:{port}", name) if name in names else (f"{name}:{port}",))
        )

    def judge(self, headers: Mapping[str, str]) -> AccessRefused | None:
        """Whether a request may come in at all. ``headers``: names in lower case."""
        host = headers.get("host", "").lower()
        if host not in self._hosts:
            return AccessRefused(
                421, "this Inspector answers under its own address alone; open the one that it printed"
            )
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}"):
            return AccessRefused(403, "another page's requests are not answered")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return AccessRefused(403, "another page's requests are not answered")
        return None

    def admits(self, cookie: str | None) -> bool:
        """Whether a cookie is the one of this launch."""
        return cookie is not None and hmac.compare_digest(cookie.encode(), self._cookie.encode())

    def ticket(self) -> str:
        """A token that counts once."""
        made = secrets.token_urlsafe(32)
        self._tickets.add(made)
        return made

    def redeem(self, token: str) -> str | None:
        """The cookie for the token, or for a ticket that was not used; None for anything else."""
        given = token.encode()
        for each in tuple(self._tickets):
            if hmac.compare_digest(given, each.encode()):
                self._tickets.discard(each)
                return self._cookie
        return self._cookie if hmac.compare_digest(given, self.token.encode()) else None
