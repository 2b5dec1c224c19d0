"""Patterns of names, of arguments and of scopes, as policies and remembered decisions have them.

Theory of operation. ``*``, ``?`` and ``[...]`` as in a shell, by letter. An argument that a pattern names has to be a
text. A text with a step ``..`` may lead anywhere, whatever it begins with: whether it fits is in doubt, and whoever
asks says what doubt means: an approval does not hold, a prohibition does.

A URI has many spellings, and which of them a server takes for the same nobody knows: percent escapes, letters of a
scheme and a host, empty steps and those of a dot. A pattern of URIs is compared with all of them; where only some fit,
that is a doubt, too.

Specification: none.
"""

import re
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import unquote

__all__ = ["arguments_fit", "name_fits", "scopes_fit", "uri_fits"]

_CLIMBS: Final = re.compile(r"(?:^|[/\\]|%2f|%5c)(?:\.|%2e){2}(?:$|[/\\]|%2f|%5c)", re.IGNORECASE)
_EMPTY_STEPS: Final = re.compile(r"/(?:\.?/)+")
_DECODED: Final = 3  # times: whoever decodes twice would read what was escaped twice


def name_fits(pattern: str, name: str) -> bool:
    """Whether a name fits."""
    return fnmatchcase(name, pattern)


def uri_fits(pattern: str, uri: str, *, in_doubt: bool) -> bool:
    """Whether a URI fits, in whatever spelling."""
    patterns = _spellings(pattern)
    if _CLIMBS.search(uri):  # it may lead anywhere below its scheme
        scheme, colon, _ = patterns[1].partition(":")
        if not in_doubt or (colon and fnmatchcase(_spellings(uri)[1], f"{scheme}:*")):
            return in_doubt
    fitting = [any(fnmatchcase(each, known) for known in patterns) for each in _spellings(uri)]
    return any(fitting) if in_doubt else all(fitting)


def _spellings(uri: str) -> tuple[str, ...]:
    """The URI as it is, and in the plainest spelling that means the same to many."""
    plain = uri
    for _ in range(_DECODED):
        plain = unquote(plain)
    scheme, colon, rest = plain.replace("\\", "/").partition(":")
    slashes = "//" if rest.startswith("//") else ""
    host, slash, path = rest.removeprefix(slashes).partition("/") if slashes else ("", "", rest)
    path, mark, query = path.partition("?")
    path = _EMPTY_STEPS.sub("/", f"{slash}{path}")
    return uri, f"{scheme.lower()}{colon}{slashes}{host.lower()}{path}{mark}{query}"


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
