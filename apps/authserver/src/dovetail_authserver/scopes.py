"""Which scopes there are, what they mean to people, and which of them imply others.

Theory of operation. Scopes are a list that the operator writes, each with words for the consent page. A request for an
unknown one is refused by name. A hook may say that one implies others (``files`` implies ``files:read``): then a token
with the broader one may be narrowed to the other, and a client that may have the broader one may ask for it.
``offline_access`` is always known: it asks for a refresh token and never stands in an access token.

Specification: RFC 6749 section 3.3; basic/authorization, "Scope Selection Strategy", "Refresh Tokens".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final, cast

from .refusals import OAuthError

__all__ = ["OFFLINE", "Scopes"]

OFFLINE: Final = "offline_access"
_OFFLINE_WORDS: Final = "stay connected while you are away"
_TOKEN: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,128}")
_MAX_ASKED: Final = 64

Implies = Callable[[str], Iterable[str]]


class Scopes:
    """The scopes of one server: `words` by name, those asked for by `default`, and what each `implies`."""

    def __init__(
        self,
        words: Mapping[str, str] | Iterable[str],
        default: Iterable[str] = (),
        implies: Implies | None = None,
    ) -> None:
        self.words = _worded(words)
        self.default = tuple(default)
        self._implies = implies
        for name in self.words:
            if not _TOKEN.fullmatch(name):
                raise ValueError(f"{name!r} can't be a scope: a scope has no spaces, quotes or backslashes.")
        if unknown := [name for name in self.default if name not in self.words]:
            raise ValueError(f"default_scopes has {unknown}, which scopes does not list.")
        self.words.setdefault(OFFLINE, _OFFLINE_WORDS)

    def asked(self, text: str | None) -> tuple[str, ...]:
        """The scopes that a request asks for, in order and once each; the default for None. Raises `OAuthError`."""
        if text is None:
            return self.default
        found = tuple(dict.fromkeys(text.split(" ")))
        if len(found) > _MAX_ASKED or not all(_TOKEN.fullmatch(name) for name in found):
            raise OAuthError(
                "invalid_scope", "scope is a list of names, each followed by one space, but the last."
            )
        if unknown := [name for name in found if name not in self.words]:
            raise OAuthError("invalid_scope", f"Unknown here: {' '.join(unknown)[:300]}.")
        return found

    def covers(self, granted: Iterable[str], asked: Iterable[str]) -> bool:
        """Whether everything asked is granted, by itself or by what a granted scope implies."""
        return self.closure(granted).issuperset(asked)

    def closure(self, granted: Iterable[str]) -> frozenset[str]:
        """The granted scopes and all that they imply, directly or not."""
        found: set[str] = set()
        waiting = list(granted)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                if self._implies is not None:
                    waiting.extend(self._implies(name))
        return frozenset(found)

    def within(self, asked: Iterable[str], allowed: Iterable[str] | None) -> tuple[str, ...]:
        """Those of the asked scopes that `allowed` covers (None: all)."""
        if allowed is None:
            return tuple(asked)
        covered = self.closure(allowed)
        return tuple(name for name in asked if name in covered)


def _worded(words: Mapping[str, str] | Iterable[str]) -> dict[str, str]:
    if isinstance(words, Mapping):
        return dict(cast("Mapping[str, str]", words))
    return {name: name for name in words}


def scope_text(names: Iterable[str]) -> str:
    """The scopes as tokens and answers spell them."""
    return " ".join(name for name in names if name != OFFLINE)
