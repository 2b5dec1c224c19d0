"""Credentials for an API: what its author of ours gave, put where the document's security schemes want it.

Theory of operation. The author gives a credential by the name of its scheme: a text, or a function that is asked at
each call and told who is calling. Of the alternatives that an operation has, the first is taken all of whose schemes
have something. What a caller of ours showed us (its token) is for us alone: nothing here can see it, so it is never
passed on.

Specification: OpenAPI 3.0.4 and 3.1.1, "Security Scheme Object" and "Security Requirement Object"; "Security Best
Practices", Token Passthrough.
"""

from __future__ import annotations

import base64
import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from dovetail.errors import ToolError
from dovetail.extensions import Principal

from .documents import Document
from .operations import APIOperation, OperationParameter
from .plain import mapping, text

__all__ = ["Credential", "APICredentials", "CredentialSource"]

CredentialSource: TypeAlias = str | Callable[[Principal], str | Awaitable[str]]
"""A credential, or a function of who is calling that gives one: the value of an API key, a token, or ``user:password``
for the scheme "basic".
"""

_PLAIN: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class Credential(NamedTuple):
    """A credential in its place: ``header``, ``query`` or ``cookie``; its name there, and its value."""

    place: str
    name: str
    value: str


class _Scheme(NamedTuple):
    """Where a scheme's credential goes, and what stands before it. ``basic``: it is a name and a password."""

    place: str
    name: str
    before: str = ""
    basic: bool = False


class APICredentials:
    """What the author gave for the schemes of a document."""

    def __init__(self, document: Document, given: Mapping[str, CredentialSource]) -> None:
        """Raises ValueError for a scheme that the document does not have, or that can't be used."""
        components = mapping(document.content.get("components"))
        declared = mapping(components.get("securitySchemes"))
        self._given = dict(given)
        self._schemes: dict[str, _Scheme] = {}
        for name in given:
            if name not in declared:
                known = ", ".join(sorted(declared)) or "none"
                raise ValueError(f"auth=: the document has no security scheme {name!r}; it has {known}"[:500])
            self._schemes[name] = _scheme(name, document.followed(declared[name]))

    def parameters(self, operation: APIOperation) -> list[OperationParameter]:
        """The parameters of an operation that a credential fills in, so that no model has to."""
        chosen = self._chosen(operation)
        places = {(self._schemes[name].place, self._schemes[name].name.lower()) for name in chosen}
        return [each for each in operation.parameters if (each.place, each.name.lower()) in places]

    def lacks(self, operation: APIOperation) -> tuple[str, ...]:
        """The schemes of an operation's first alternative, where none can be met; else nothing."""
        if not operation.security or () in operation.security or self._chosen(operation):
            return ()
        return operation.security[0]

    async def of_call(self, operation: APIOperation, principal: Principal) -> list[Credential]:
        """What to send with a call. Raises `ToolError` where the author's function gives nothing that can be sent."""
        return [await self._one(name, principal) for name in self._chosen(operation)]

    def _chosen(self, operation: APIOperation) -> tuple[str, ...]:
        for names in operation.security:
            if names and all(name in self._schemes for name in names):
                return names
        return ()

    async def _one(self, name: str, principal: Principal) -> Credential:
        scheme, source = self._schemes[name], self._given[name]
        value: Any = source if isinstance(source, str) else source(principal)
        if inspect.isawaitable(value):
            value = await value
        if not isinstance(value, str) or not _PLAIN.fullmatch(value):
            raise ToolError(f"there is no credential {name!r} for this caller")
        if scheme.basic:
            value = base64.b64encode(value.encode()).decode()
        return Credential(scheme.place, scheme.name, scheme.before + value)


def _scheme(name: str, said: dict[str, Any]) -> _Scheme:
    """Raises ValueError."""
    kind, place, key = (text(said.get(name)) for name in ("type", "in", "name"))
    if kind == "apiKey" and place in ("header", "query", "cookie") and key:
        if place != "query" and not _TOKEN.fullmatch(key):
            raise ValueError(
                f"auth=: the document has {key[:60]!r} for the {place} of {name!r}, which is no name of one"
            )
        return _Scheme(place, key)
    if kind == "http":
        scheme = text(said.get("scheme")).lower()
        if scheme == "basic":
            return _Scheme("header", "Authorization", "Basic ", basic=True)
        if scheme == "bearer":
            return _Scheme("header", "Authorization", "Bearer ")
        if _TOKEN.fullmatch(scheme):
            return _Scheme("header", "Authorization", f"{text(said.get('scheme'))} ")
    if kind in ("oauth2", "openIdConnect"):
        return _Scheme("header", "Authorization", "Bearer ")
    raise ValueError(
        f"auth=: the security scheme {name!r} is of type {kind[:40]!r}, for which there is no text to give"
    )
