"""Where an API is: the one server that its operations are sent to, and nowhere else.

Theory of operation. The author may name the server; else it is the first that the document names, its variables filled
in with what the author gives or their defaults, and a relative one starts at the URL that the document came from. A
model never has a say in it. What is sent goes to the origin found here, each time checked again, and its address is
judged by `dovetail.security.Fetcher` when the name has been resolved.

Specification: OpenAPI 3.0.4 and 3.1.1, "Server Object"; "Security Best Practices", Server-Side Request Forgery.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urljoin

from dovetail.errors import FetchRefused
from dovetail.security import parse_url

from .documents import Document
from .errors import DocumentInvalid
from .operations import APIOperation
from .plain import items, mapping, text

__all__ = ["server_of"]

_VARIABLE: Final = re.compile(r"\{([^{}]*)\}")


def server_of(
    document: Document, operation: APIOperation, *, server: str | None, variables: Mapping[str, str]
) -> str:
    """The URL that an operation's path is put after, without a slash at its end.

    Raises `DocumentInvalid` where the document names none that a request can be sent to.
    """
    given = {"url": server} if server is not None else next(iter(operation.servers), {"url": "/"})
    url = urljoin(document.url or "", _filled(given, variables))
    if not url.startswith(("http://", "https://")):
        raise DocumentInvalid(
            f"the server {text(given.get('url'))[:100]!r} is relative to where the document came from, and nobody"
            " said where: name the server with server="
        )
    try:
        location = parse_url(url)
    except FetchRefused as problem:
        raise DocumentInvalid(f"the document's server can't be used: {problem}") from None
    if location.query or "#" in url:
        raise DocumentInvalid(
            f"the server {url[:100]!r} has a query or a fragment; operations have a path to add"
        )
    return url.rstrip("/")


def _filled(given: dict[str, Any], variables: Mapping[str, str]) -> str:
    """The URL of a server with its variables in place. Raises `DocumentInvalid`."""
    declared = mapping(given.get("variables"))

    def value(match: re.Match[str]) -> str:
        name = match[1]
        said = mapping(declared.get(name))
        found = variables.get(name, said.get("default"))
        if not isinstance(found, (str, int)) or isinstance(found, bool):
            raise DocumentInvalid(f"the server variable {name[:60]!r} has no default: give it in variables=")
        allowed = items(said.get("enum"))
        if name in variables and allowed and found not in allowed:
            raise DocumentInvalid(
                f"variables=: {name} is one of {', '.join(str(each) for each in allowed)[:300]},"
                f" not {str(found)[:60]!r}"
            )
        return str(found)

    return _VARIABLE.sub(value, text(given.get("url")) or "/")
