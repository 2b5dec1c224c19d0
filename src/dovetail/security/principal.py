"""Who is calling.

Theory of operation. A principal is what a checked token says, and nothing that a client says of itself.
Sessions, streams, cursors and request state are bound to its ``key``: a text that two different principals
never share, whatever characters their issuers allow in names, and that only the anonymous principal has for
itself.

Specification: basic/patterns/mrtr (state is bound to the principal); "Security Best Practices", "Session
Hijacking".
"""

import math
from typing import Any, Final

import msgspec

__all__ = ["ANONYMOUS", "MAX_CLAIMS", "Principal"]

MAX_CLAIMS: Final = 64 * 1024
"""Bytes that the claims of one principal may have as JSON."""

_LONG_KEY: Final = 256


class Principal(msgspec.Struct, frozen=True):
    """A verified caller.

    ``issuer`` vouches for it and ``subject`` is its name there; ``client_id`` is the program it uses (all
    empty for the anonymous principal). ``scopes`` is what it was granted. ``claims`` are the token's other
    statements, at most 64 KiB as JSON; treat them as read-only. ``expires``: until when what it showed is good, in
    seconds since the epoch; streams that it reads end then, and it comes back with something newer.

    Raises `ValueError` for an identity without an issuer, or with neither subject nor client, and for claims
    over the bound.
    """

    issuer: str
    subject: str
    client_id: str = ""
    scopes: frozenset[str] = frozenset()
    claims: dict[str, Any] = {}
    expires: float = math.inf

    def __post_init__(self) -> None:
        if not self.issuer and (self.subject or self.client_id or self.scopes or self.claims):
            raise ValueError("a principal without an issuer is anonymous and cannot have anything else")
        if self.issuer and not (self.subject or self.client_id):
            raise ValueError("a principal needs a subject or a client id; its issuer alone names nobody")
        if self.claims and len(msgspec.json.encode(self.claims)) > MAX_CLAIMS:
            raise ValueError(f"the claims have more than {MAX_CLAIMS} bytes")

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody vouched for the caller."""
        return not self.issuer

    @property
    def is_machine(self) -> bool:
        """Whether a program calls for itself, and no person stands behind it: a token of the client-credentials grant.

        That is what the token says: it names no subject, or the client itself as one, or its issuer marks it so.
        """
        if not self.client_id:
            return False
        if self.subject in ("", self.client_id, f"{self.client_id}@clients"):
            return True
        return bool(self.claims) and (
            self.claims.get("gty") == "client-credentials" or self.claims.get("idtyp") == "app"
        )

    @property
    def key(self) -> str:
        """ASCII text, at most 256 characters, that no other principal has: bind to this whatever belongs to
        it.
        """
        if not self.issuer:
            return "anonymous"
        # A JSON array is unambiguous: no name can contain the end of its own string. It begins with a
        # bracket, the digest that stands for a long one with "#": neither is ever the anonymous principal's
        # key.
        import json

        text = json.dumps((self.issuer, self.subject, self.client_id), separators=(",", ":"))
        if len(text) <= _LONG_KEY:
            return text
        import hashlib

        return "#" + hashlib.sha256(text.encode("ascii")).hexdigest()

    def __hash__(self) -> int:
        return hash((self.issuer, self.subject, self.client_id))

    def __repr__(self) -> str:
        if not self.issuer:
            return "Principal(anonymous)"
        return (
            f"Principal(issuer={self.issuer!r}, subject={self.subject!r}, client_id={self.client_id!r},"
            f" scopes={sorted(self.scopes)!r})"
        )


ANONYMOUS: Final = Principal("", "")
"""The principal of a caller that showed no credentials."""
