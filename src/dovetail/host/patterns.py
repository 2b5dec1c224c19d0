"""Patterns of names, of arguments and of scopes, as policies and remembered decisions have them.

Theory of operation. ``*``, ``?`` and ``[...]`` as in a shell, by letter. An argument that a pattern names has to be a
text. A text with a step ``..`` may lead anywhere, whatever it begins with: whether it fits is in doubt, and whoever
asks says what doubt means: an approval does not hold, a prohibition does.

Specification: none.
"""

import re
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

__all__ = ["arguments_fit", "name_fits", "scopes_fit"]

_CLIMBS: Final = re.compile(r"(?:^|[/\\]|%2f|%5c)(?:\.|%2e){2}(?:$|[/\\]|%2f|%5c)", re.IGNORECASE)


def name_fits(pattern: str, name: str) -> bool:
    """Whether a name fits."""
    return fnmatchcase(name, pattern)


def arguments_fit(
    patterns: Mapping[str, str], arguments: Mapping[str, Any] | None, *, in_doubt: bool
) -> bool:
    """Whether all arguments that patterns name are there and fit."""
    given = arguments or {}
    return all(_fits(pattern, given.get(name), in_doubt=in_doubt) for name, pattern in patterns.items())


def scopes_fit(patterns: Collection[str], scopes: Collection[str] | None, *, every: bool) -> bool:
    """Whether scopes fit a pattern: any of them, or all of those that there are (``every``). Where nobody knows them,
    any may be there, and none is for sure.
    """
    if scopes is None:
        return not every
    fitting = [any(name_fits(pattern, scope) for pattern in patterns) for scope in scopes]
    return bool(fitting) and all(fitting) if every else any(fitting)


def _fits(pattern: str, value: Any, *, in_doubt: bool) -> bool:
    if not isinstance(value, str):
        return in_doubt and value is not None
    return in_doubt if _CLIMBS.search(value) else fnmatchcase(value, pattern)
