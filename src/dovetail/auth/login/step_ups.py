"""Whether a login can still help with scopes that a server demands.

Theory of operation. What counts is a token that was really got by asking for these scopes, and refused for want of them
all the same: once for each login, however many requests meet it. A login that came to nothing counts for nothing here,
for nobody knows what the server would have said. A token that was refused at once is a clear answer; later on, one
more login is tried, since rights change. A login whose token is refused for the first time when it is no longer fresh
has served until then: what was refused before it is forgotten. How many logins a server can bring about in all, by ever
other scopes, is counted by `OAuthCredentials`.

Specification: 2026-07-28 basic/authorization "Step-Up Authorization Flow": a retry limit, and attempts that are
tracked.
"""

from __future__ import annotations

from typing import Final

from .problems import ScopeRefused, said
from .records import Tokens

__all__ = ["FRESH", "REMEMBERED", "STEPS", "StepUps"]

FRESH: Final = 30.0
"""Seconds in which a token that was just given must not be refused."""
STEPS: Final = 2
"""Logins for the same scopes, where the tokens that came of them are refused."""
REMEMBERED: Final = 86400.0
"""Seconds for which such a login is remembered."""


class StepUps:
    """The logins whose tokens the server at ``url`` refused for want of scopes that they were asked for with."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._refused: dict[str, tuple[float, frozenset[str]]] = {}

    def check(self, wanted: frozenset[str], before: Tokens | None, *, attempt: int, now: float) -> None:
        """Take note of a refusal that demands ``wanted``. ``before``: the tokens that were refused; ``attempt``: how
        often that message was, from 1; ``now``: seconds since 1970. Raises `ScopeRefused` where another login can't be
        expected to help.
        """
        if before is None or not wanted <= (asked := frozenset(before.scopes)):
            return
        fresh, known = 0 <= now - before.login_at < FRESH, before.login_id in self._refused
        served = not fresh and not known
        self._refused = {
            login: (when, scopes)
            for login, (when, scopes) in self._refused.items()
            if 0 <= now - when < REMEMBERED and not (served and wanted <= scopes)
        }
        self._refused.setdefault(before.login_id, (now, asked))
        times = sum(wanted <= scopes for _, scopes in self._refused.values())
        if times >= STEPS or (fresh and (known or attempt > 1)):
            raise ScopeRefused(self._why(wanted, before))

    def _why(self, wanted: frozenset[str], before: Tokens) -> str:
        names, missing = (
            said(" ".join(sorted(each))) for each in (wanted, wanted.difference(before.granted))
        )
        if missing:
            return (
                f"{said(self._url)} wants the scopes {names}; {said(before.issuer)} was asked for them, and gave a"
                f" token without {missing}"
            )
        return f"{said(self._url)} wants the scopes {names}, and refuses a token that was got with them"
