"""The steps of a login, as values that are shown: who was asked what, what came back, and what followed from it.

Theory of operation. A step holds nothing that lets anybody in. What is secret by its name (codes, tokens, verifiers,
assertions, passwords of clients) stands in it by its first characters and its length, enough to tell two of them apart;
a `SecretKeeper` remembers each of these values and takes it out of all texts that come later as well, since servers
repeat what they are told.

Specification: basic/authorization; RFC 6749 section 10.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, cast
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from msgspec import Struct

from ..metadata import MAX_DOCUMENT
from ..strict_json import NotAnObject, read_object

__all__ = ["LoginExchange", "LoginStep", "LoginStepKind", "LoginStepOutcome", "SecretKeeper"]

LoginStepKind = Literal[
    "challenge",
    "loaded",
    "resource-metadata",
    "server-chosen",
    "server-metadata",
    "scopes",
    "resource",
    "proof-key",
    "code-challenge",
    "registration",
    "authorization",
    "redirect",
    "assertion",
    "token",
    "refresh",
    "kept",
    "failed",
]
"""What happened in a step: docs/logging-in.md, "Step by step", has a line for each."""

LoginStepOutcome = Literal["done", "missing", "refused", "failed"]
"""How a step went: as it should; nothing was there, so that the next place is tried; something was there that is not
used, or somebody said no; the login ended.
"""

_NAMES: Final = re.compile(
    r"(?:.*[_-])?(?:token|secret|assertion|password|passphrase|private_?key)|code|(?:device|user)_code|code_verifier"
    r"|state|authorization|proxy-authorization|dpop|cookie|set-cookie"
)
_LOOKS: Final = re.compile(
    r"(?i)(?:token|secret|assertion|code|verifier)[\"']?\s{0,4}[:=]\s{0,4}[\"']?([^\s\"'&<>,;]+)"
)
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "k"})  # of a JWK
_SHORTEST: Final = 6  # characters; anything shorter is found in every text
_SHOWN: Final = 24  # from this length on the first characters give nothing away
_MOST: Final = 500
_MAX_TEXT: Final = 16 * 1024


class LoginExchange(Struct, frozen=True, kw_only=True):
    """One request to an authorization server, or for a document, and its answer.

    ``sent``: the form, query or JSON that went out, None for nothing. ``status``: of HTTP, 0 where no answer came.
    ``headers`` and ``answered``: those sent and those of the answer, by lower-case name. ``document``: the answer as
    JSON, or as text where it is no JSON object.
    """

    method: str
    url: str
    headers: Mapping[str, str] = {}
    sent: Any = None
    status: int = 0
    answered: Mapping[str, str] = {}
    document: Any = None


class LoginStep(Struct, frozen=True, kw_only=True):
    """One step of a login. ``decision``: in a sentence, what followed and why. ``requirement``: the row of the list of
    requirements (tests/requirements.csv) that decided it, "" where none did. ``exchange``: what was sent and got, if
    anything was. ``values``: what was decided with, such as scopes or an issuer.
    """

    kind: LoginStepKind
    outcome: LoginStepOutcome
    decision: str
    requirement: str = ""
    exchange: LoginExchange | None = None
    values: Mapping[str, Any] = {}


class SecretKeeper:
    """Knows the secrets of a login, and keeps them out of what is shown."""

    def __init__(self) -> None:
        self._known: dict[str, None] = {}

    def learn(self, *secrets: str | None) -> None:
        """These are secret from now on, as they are and as they stand in an address."""
        for secret in secrets:
            if secret and len(secret) >= _SHORTEST:
                self._known.update(dict.fromkeys((secret, quote(secret, safe=""))))
        while len(self._known) > _MOST:
            del self._known[next(iter(self._known))]

    def text(self, text: str) -> str:
        """A text without what is known to be secret."""
        for secret in sorted(self._known, key=len, reverse=True):
            text = text.replace(secret, shortened(secret))
        return text

    def url(self, url: str) -> str:
        """An address, the secrets of its query shortened."""
        parts = urlsplit(url)
        if not parts.query:
            return self.text(url)
        pairs = [(name, str(self.value(value, name))) for name, value in _pairs(parts.query)]
        return self.text(parts._replace(query=urlencode(pairs, safe=":/()")).geturl())

    def value(self, value: Any, name: str = "") -> Any:
        """Any value of JSON, as it may be shown; ``name``: of the member that it stands under."""
        self._find(value, name)
        return self._without(value, name)

    def document(self, body: bytes) -> Any:
        """What an answer holds: JSON, or else text; None for nothing."""
        try:
            return self.value(read_object(body, MAX_DOCUMENT))
        except NotAnObject:
            text = body[:_MAX_TEXT].decode("utf-8", "replace")
            # What nobody could read as JSON may still hold what was meant as a token.
            self.learn(*_LOOKS.findall(text))
            return self.text(text) or None

    def _find(self, value: Any, name: str) -> None:
        if isinstance(value, str):
            if _is_secret(name):
                self.learn(value, *(each for each in value.split(" ")[1:] if name.endswith("authorization")))
        elif isinstance(value, Mapping):
            members = cast("Mapping[str, Any]", value)
            for each in members:
                private = "kty" in members and each in _PRIVATE
                self._find(members[each], "secret" if private else each)
        elif isinstance(value, Sequence):
            for each in cast("Sequence[Any]", value):
                self._find(each, name)

    def _without(self, value: Any, name: str) -> Any:
        if isinstance(value, str):
            if _is_secret(name):
                scheme, space, rest = value.partition(" ")
                bare = not space or not name.endswith("authorization")
                return shortened(value) if bare else f"{scheme} {shortened(rest)}"
            return self.text(value)
        if isinstance(value, Mapping):
            members = cast("Mapping[str, Any]", value)
            return {
                self.text(each): self._without(
                    members[each], "secret" if "kty" in members and each in _PRIVATE else each
                )
                for each in members
            }
        if isinstance(value, Sequence):
            return [self._without(each, name) for each in cast("Sequence[Any]", value)]
        return value


def shortened(secret: str) -> str:
    """What stands for a secret."""
    shown = secret[:4] if len(secret) >= _SHOWN and secret.isprintable() else ""
    return f"{shown}...({len(secret)} characters)"


def described(scopes: Iterable[str]) -> str:
    """Scopes in a sentence."""
    return " ".join(scopes) or "none"


def _is_secret(name: str) -> bool:
    return _NAMES.fullmatch(name.lower()) is not None


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=64)
    except ValueError:
        return []
