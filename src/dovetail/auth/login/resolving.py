"""From what was given as ``auth=`` to a `ClientAuth`.

Theory of operation. The word "oauth" means `OAuth` with all its defaults; a setting makes its `ClientAuth` for the URL;
a `ClientAuth` is one already. Any other text is refused: it may be a token, but it may as well be a mistyped word.

Specification: none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from ...protocol.errors import LocalProtocolError
from ...security.client_auth import ClientAuth
from .storage import TokenStore

__all__ = ["resolve"]


def resolve(
    auth: Any, url: str, options: Any = None, *, tokens: Callable[[], TokenStore] | None = None
) -> ClientAuth:
    """The `ClientAuth` for the MCP server at ``url``.

    ``options``: of the client; its ``approve_login`` is shown the login address. ``tokens``: gives the place of tokens,
    for a setting that names none.
    Raises `LocalProtocolError` for what nothing can be made of.
    """
    if auth == "oauth":
        from .settings import OAuth

        auth = OAuth()
    if isinstance(auth, str):
        raise LocalProtocolError('auth is "oauth" or an object; for a token of your own, Bearer("...")')
    other = getattr(auth, "with_tokens", None)
    if tokens is not None and callable(other) and not isinstance(auth, type):
        auth = other(tokens())
    make = getattr(auth, "client_auth", None)
    if callable(make) and not isinstance(auth, type):
        return cast("ClientAuth", make(url, approve=getattr(options, "approve_login", None)))
    if isinstance(auth, ClientAuth) and not isinstance(auth, type):
        return auth
    raise LocalProtocolError(
        f'auth is "oauth", OAuth(...), Bearer(...) or another of dovetail.auth, not a {type(auth).__name__}'
    )
