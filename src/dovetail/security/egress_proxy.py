"""A proxy that requests go out through, where somebody said so.

Theory of operation. Its URL may hold a user and a password. They are taken out at once and stand in one header, which
the proxy alone gets; no message, log or repr shows them, nor what the proxy says of them. The proxy is chosen by who
runs the program, so its own address is free; where it connects to is what it resolves.

Specification: RFC 9110 sections 9.3.6 and 11.7; "Security Best Practices", Server-Side Request Forgery.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

__all__ = ["EgressProxy"]

_WRONG: Final = (
    "proxy is the http or https URL of a proxy, without a path, such as http://proxy.example.com:3128; a user and a"
    " password in it are escaped as in any URL"
)


class EgressProxy:
    """The proxy at ``url``. ``address``: its URL without user and password; ``headers``: what it alone is sent.

    Raises ValueError, which shows nothing of it, for what is no such URL.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            port, host = parts.port, parts.hostname or ""
        except ValueError:
            raise ValueError(_WRONG) from None
        further = parts.path not in ("", "/") or "?" in url or "#" in url
        plain = url.isascii() and url.isprintable() and not set(url) & set(' "<>\\^`{|}')
        if parts.scheme not in ("http", "https") or not host or port == 0 or further or not plain:
            raise ValueError(_WRONG)
        name = f"[{host}]" if ":" in host else host
        self.address: Final = f"{parts.scheme}://{name}" + ("" if port is None else f":{port}")
        self.headers: Final[Mapping[str, str]] = _authorization(parts.username, parts.password)

    def __repr__(self) -> str:
        return f"<EgressProxy {self.address}>"


def _authorization(user: str | None, password: str | None) -> dict[str, str]:
    if user is None:
        return {}
    pair = f"{unquote(user)}:{unquote(password or '')}".encode()
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair).decode("ascii")}
