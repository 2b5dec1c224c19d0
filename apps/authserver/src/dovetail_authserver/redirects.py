"""Where an authorization response may be sent.

Theory of operation. A redirect URI is either https, or http to this machine by one of its three names (``localhost``,
``127.0.0.1``, ``[::1]``); anything else, and anything that two parsers could read differently, is not registered at
all. What a request presents is then compared character by character with what was registered. The one exception is
RFC 8252's: where http to loopback is registered, the port may be any other, for a native client learns its port when
it starts; scheme, host, path and query still have to be equal.

Specification: basic/authorization/security-considerations, "Communication Security", "Open Redirection"; OAuth 2.1
section 2.3; RFC 8252 sections 7.3 and 8.4; OpenID Connect Dynamic Client Registration 1.0, ``application_type``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

__all__ = ["host_of", "is_loopback", "matches", "native", "origin_of", "problem_of"]

MAX_URI: Final = 2048
_PORT: Final = r"(?::(?P<port>[1-9][0-9]{0,4}))?"
_REST: Final = r"(?P<rest>(?:/[!$&-;=@-Z_a-z~%]*)?(?:\?[!$&-;=?@-Z_a-z~%]+)?)"
_LOOPBACK: Final = re.compile(rf"http://(?P<host>localhost|127\.0\.0\.1|\[::1\]){_PORT}{_REST}")
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SECURE: Final = re.compile(
    rf"https://(?P<host>{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]{{2,45}}\]){_PORT}{_REST}"
)
_LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")


def problem_of(uri: str, *, application_type: str = "native") -> str:
    """Why `uri` can't be registered; empty when it can."""
    if len(uri) > MAX_URI:
        return f"a redirect URI has more than {MAX_URI} characters"
    found = _read(uri)
    if found is None:
        return "a redirect URI must be https, or http to localhost, 127.0.0.1 or [::1], without user and fragment"
    if application_type == "web" and found["host"] in _LOCAL_NAMES:
        return (
            "a web application's redirect URIs are https and not on this machine; is it a native application?"
        )
    return ""


def matches(registered: Iterable[str], presented: str) -> bool:
    """Whether `presented` is one of the registered redirect URIs."""
    known = tuple(registered)
    if presented in known:
        return problem_of(presented) == ""
    local = _LOOPBACK.fullmatch(presented) if len(presented) <= MAX_URI else None
    if local is None or not _port_fits(local):
        return False
    others = (_LOOPBACK.fullmatch(each) for each in known)
    return any(
        other is not None and (other["host"], other["rest"]) == (local["host"], local["rest"])
        for other in others
    )


def native(uris: Iterable[str]) -> bool:
    """Whether any of them leads to this machine, as those of native applications do."""
    return any(is_loopback(each) for each in uris)


def is_loopback(uri: str) -> bool:
    """Whether a registered redirect URI leads to the user's own machine."""
    found = _read(uri)
    return found is not None and found["host"] in _LOCAL_NAMES


def host_of(uri: str) -> str:
    """The host (and port) that a registered redirect URI leads to, for people to read."""
    return uri.partition("://")[2].partition("/")[0].partition("?")[0]


def origin_of(uri: str) -> str:
    """Scheme, host and port of a registered redirect URI."""
    return f"{uri.partition('://')[0]}://{host_of(uri)}"


def _read(uri: str) -> re.Match[str] | None:
    found = _LOOPBACK.fullmatch(uri) or _SECURE.fullmatch(uri)
    return found if found is not None and _port_fits(found) else None


def _port_fits(found: re.Match[str]) -> bool:
    return found["port"] is None or int(found["port"]) <= 65535
