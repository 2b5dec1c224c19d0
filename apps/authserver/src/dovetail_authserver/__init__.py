"""A small authorization server, for development, for tests, and for small self-hosted use.

Theory of operation
-------------------
`AuthServer` is an ASGI application; see `server`. Read on in this order: `redirects` and `scopes` (what is allowed),
`clients`, `documents` and `registration` (who asks), `login`, `authorizing` and `pages` (the part with a browser),
`grants`, `tokens` and `key_store` (what is kept), `client_authentication`, `assertions` and `granting` (the token
endpoint), `revocation` (revocation and introspection). `testing` serves one for the length of a test, and `command` is
``dovetail authserver``.

It is an application: what it imports of Dovetail are public names.

Specification: basic/authorization; OAuth 2.1.
"""

from __future__ import annotations

from importlib import import_module

# pyright: reportUnsupportedDunderAll=false
# `__getattr__` loads the names; the stub beside this file says where they are.
__all__ = [
    "AuthServer",
    "Bounds",
    "Lifetimes",
    "LoginRequest",
    "Page",
    "RegisteredClient",
    "TrustedIssuer",
    "User",
    "form_login",
    "pick_user",
    "single_user",
]

_HOMES = {
    "AuthServer": "server",
    "Bounds": "settings",
    "Lifetimes": "settings",
    "LoginRequest": "login",
    "Page": "login",
    "RegisteredClient": "clients",
    "TrustedIssuer": "assertions",
    "User": "login",
    "form_login": "login",
    "pick_user": "login",
    "single_user": "login",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
