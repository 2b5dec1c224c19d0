"""Which scopes to ask for.

Theory of operation. What the challenge demands is needed for the request at hand and is taken as it is, without a look
at what the metadata lists. Without it, the resource's own list is asked for; without that, nothing is. What was asked
for before is asked for again, so that no permission is lost on the way.

Specification: 2026-07-28 basic/authorization "Scope Selection Strategy", "Step-Up Authorization Flow" and "Refresh
Tokens".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ..challenges import Challenge

__all__ = ["MAX_SCOPE", "OFFLINE", "demanded", "fits", "selected", "with_offline"]

OFFLINE: Final = "offline_access"
MAX_SCOPE: Final = 8192
"""Characters of the scopes that are asked for at once on a server's word."""


def demanded(challenges: Iterable[Challenge]) -> tuple[str, ...]:
    """The scopes that a refusal demands."""
    for challenge in challenges:
        if challenge.scheme in ("bearer", "dpop") and challenge.scopes:
            return challenge.scopes
    return ()


def fits(scopes: Iterable[str]) -> bool:
    """Whether scopes are not too many to be asked for at once."""
    return len(" ".join(scopes)) <= MAX_SCOPE


def selected(
    challenged: Sequence[str],
    supported: Sequence[str] | None,
    *,
    wanted: Sequence[str] = (),
    before: Sequence[str] = (),
) -> tuple[str, ...]:
    """The scopes to ask for: those of the challenge, else those of the metadata unless they are too many, with the
    caller's own (``wanted``) and those asked for before.
    """
    listed = supported if supported and fits(supported) else ()
    chosen: Sequence[str] = challenged or (() if wanted or before else listed)
    return tuple(dict.fromkeys([*before, *chosen, *wanted]))


def with_offline(scopes: tuple[str, ...], supported: Sequence[str] | None) -> tuple[str, ...]:
    """The same and ``offline_access``, if the authorization server knows it. Never alone: asking for nothing else
    would ask for less than the server's default.
    """
    if scopes and OFFLINE not in scopes and OFFLINE in (supported or ()):
        return (*scopes, OFFLINE)
    return scopes
