"""Names that are almost right: what was meant, and what there is.

A name that the server does not have is one and the same mistake, whichever way the server says so; whoever typed it
gets the nearest name, or the names themselves where there are few.
"""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, cast

from ..protocol.errors import FeatureUnavailable, InternalError, RPCError
from ..protocol.safe_text import one_line
from .coercion import Pair
from .exits import UnknownName, UsageError

__all__ = ["check_arguments", "check_names", "instead", "names_of", "nothing_named", "suggest", "unlisted"]

_FEW: Final = 8
_LONGEST: Final = 200


def instead(name: str, there: Iterable[str], *, kind: str = "") -> str:
    """What to write instead of a name: ``did you mean 'x'?``, or the few that there are. ``kind``: their plural, to
    say that there are none.
    """
    names = list(dict.fromkeys(there))
    folded = {each.casefold()[:_LONGEST]: each for each in reversed(names)}
    near = get_close_matches(name.casefold()[:_LONGEST], list(folded), n=1, cutoff=0.6)
    if near:
        return f"did you mean {one_line(folded[near[0]])!r}?"
    within = [each for each in names if len(name) > 2 and name.casefold() in each.casefold()]
    if len(within) == 1:
        return f"did you mean {one_line(within[0])!r}?"
    if 0 < len(names) <= _FEW:
        return f"there {'is' if len(names) == 1 else 'are'} {', '.join(map(one_line, names))}"
    return f"the server has no {kind}" if kind and not names else ""


def check_names(given: Iterable[str], known: Sequence[str], what: str) -> None:
    """Refuse a name that is not known. ``what``: "argument of 'send'". Raises `UsageError`."""
    for name in given:
        if name not in known:
            hint = instead(name, known)
            raise UsageError(f"{name!r} is no {what}{f'; {hint}' if hint else ''}")


def check_arguments(given: Iterable[Pair], schema: Mapping[str, Any], tool: str) -> None:
    """Refuse a misspelt argument of a tool, which many servers would silently ignore. What the schema leaves open and
    resembles no argument is let through, and ``--args`` sends anything. Raises `UsageError`.
    """
    properties: Any = schema.get("properties")
    if not isinstance(properties, dict) or schema.get("patternProperties"):
        return
    known = list(cast("dict[str, Any]", properties))
    more: Any = schema.get("additionalProperties")
    if not known and more is not False:
        return
    for pair in given:
        if pair.key in known or more is True or isinstance(more, dict):
            continue
        hint = instead(pair.key, known)
        if more is False or hint.startswith("did"):
            raise UsageError(
                f"{pair.key!r} is no argument of {tool!r}{f'; {hint}' if hint else ''}"
                f"{'' if more is False else ' (--args sends it all the same)'}"
            )


def nothing_named(kind: str, name: str, there: Sequence[str], said: str) -> UnknownName:
    """That there is no such thing, what was meant, and the server's words if they say more."""
    text = f"there is no {kind} {name!r}"
    hint = instead(name, there, kind=f"{kind}s")
    said = one_line(said)
    more = "" if said in ("", text) else f" (the server says: {said})"
    return UnknownName(f"{text}{f'; {hint}' if hint else ''}{more}")


def unlisted(kind: str, name: str, there: Sequence[str], problem: RPCError) -> Exception:
    """What to raise for an error about a name that is not listed: that there is no such thing. But where the server
    failed, and does not speak of that name, the name may be right and what is behind it away: then that comes first.
    """
    if _may_be_misspelt(problem, name):
        return nothing_named(kind, name, there, problem.message)
    problem.add_note(f"it lists no {kind} {name!r} now")
    return problem


def _may_be_misspelt(problem: RPCError, name: str) -> bool:
    return not isinstance(problem, InternalError) or name in problem.message


async def suggest(problem: RPCError, name: str, *sources: Any) -> None:
    """Add to an error what was meant, if the server has no such name, and did not fail over another matter.
    ``sources``: as for `names_of`.
    """
    if not _may_be_misspelt(problem, name):
        return
    names = await names_of(*sources)
    if name not in names and (hint := instead(name, names)):
        problem.add_note(hint)


async def names_of(*sources: Any) -> list[str]:
    """All names; none if the server can't list them. ``sources``: what to list, and the attribute that names it, in
    turn.
    """
    names: list[str] = []
    try:
        for items, attribute in zip(sources[::2], sources[1::2], strict=True):
            names += [getattr(each, attribute) async for each in items]
    except (RPCError, FeatureUnavailable):
        return []
    return names
