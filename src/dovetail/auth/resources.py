"""Addresses in authorization: what names a resource or an issuer, and where their metadata stands.

Theory of operation. A resource is named by a URL that both sides write alike: scheme and host in lower case, no
default port, no lone slash at the end of the host. An issuer is never rewritten: it is compared character by
character, as it was given. Everything here is text in, text out.

Specification: basic/authorization, "Canonical Server URI"; basic/authorization/authorization-server-discovery;
RFC 8414, section 3.1; RFC 8707, section 2; RFC 9728, section 3.1; OpenID Connect Discovery 1.0, section 4.1.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from ..protocol import names

__all__ = [
    "authorization_server_urls",
    "canonical_resource",
    "origin_of",
    "protected_resource_urls",
    "same_issuer",
]

_MAX_URL: Final = 4096
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def canonical_resource(url: str) -> str:
    """The name of the resource at a URL. Raises ValueError for what is no absolute http(s) URL, or has a fragment or
    user information.

    The query stays, for where one tells resources apart; a path keeps its slash at the end.
    """
    parts = _split(url)
    path = "" if parts.path == "/" and not parts.query else parts.path
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL, as `canonical_resource` writes them. Raises ValueError."""
    parts = _split(url)
    return f"{parts.scheme}://{parts.netloc}"


def protected_resource_urls(url: str) -> list[str]:
    """Where the metadata of a resource can be, in the order to try: below its path, then at the root. Raises
    ValueError.
    """
    parts = _split(url)
    path = parts.path.removesuffix("/") if parts.path == "/" else parts.path
    root = urlunsplit((parts.scheme, parts.netloc, names.WELL_KNOWN_RESOURCE, "", ""))
    own = urlunsplit((parts.scheme, parts.netloc, names.WELL_KNOWN_RESOURCE + path, parts.query, ""))
    return [root] if own == root else [own, root]


def authorization_server_urls(issuer: str) -> list[str]:
    """Where the metadata of an issuer can be, in the order to try. Raises ValueError for what can't be an issuer."""
    parts = _split(issuer)
    if parts.query or "?" in issuer:
        raise ValueError("an issuer has no query")
    if any(unquote(each) in (".", "..") for each in parts.path.split("/")):
        raise ValueError("an issuer has no dots for a part of its path")
    path = parts.path.rstrip("/")
    paths = [f"{names.WELL_KNOWN_OAUTH}{path}", f"{names.WELL_KNOWN_OPENID}{path}"]
    if path:
        paths.append(f"{path}{names.WELL_KNOWN_OPENID}")
    return [urlunsplit((parts.scheme, parts.netloc, each, "", "")) for each in paths]


def same_issuer(a: str, b: str) -> bool:
    """Whether two texts name one issuer: if they are equal, and not otherwise."""
    return a == b


def _split(url: str) -> SplitResult:
    """The parts of a URL, scheme and host in lower case, the default port left out."""
    if len(url) > _MAX_URL:
        raise ValueError(f"the URL has more than {_MAX_URL} characters")
    if not url.isprintable() or any(character in url for character in ' \\"<>`'):
        raise ValueError("the URL has characters that URLs don't have")
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError("it must be an absolute URL with https (or http), such as https://example.com/mcp")
    if "#" in url:
        raise ValueError("the URL must not have a fragment")
    if "@" in parts.netloc:
        raise ValueError("the URL must not name a user or password")
    host = parts.hostname
    if not host.isascii():
        plain = host.encode("idna").decode("ascii")  # its error is a ValueError
        if plain.encode("ascii").decode("idna") != host:
            # Two readers may take such a name for two hosts: "straße" is "strasse" to the one alone.
            raise ValueError(
                "the host has letters that stand for others; write it as it is looked up (xn--...)"
            )
        host = plain
    if "[" in parts.netloc:
        if ":" not in host:
            raise ValueError("the host in brackets is no IPv6 address")
        host = f"[{host}]"
    port = parts.port  # raises ValueError for what is no port
    netloc = host if port is None or port == _DEFAULT_PORTS[parts.scheme] else f"{host}:{port}"
    return SplitResult(parts.scheme, netloc, parts.path, parts.query, "")
