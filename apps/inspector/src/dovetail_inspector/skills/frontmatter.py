"""The frontmatter of a ``SKILL.md``: the YAML between its first two lines of dashes.

Specification: Agent Skills, "Frontmatter"; Skills, "Frontmatter Verification".
"""

from __future__ import annotations

from typing import Any, Final, cast

__all__ = ["FrontmatterInvalid", "read_frontmatter", "same_json"]

_FENCE: Final = "---"
_LONGEST: Final = 64 * 1024
"""Characters of a frontmatter."""
_MOST_VALUES: Final = 10_000
_MOST_LEVELS: Final = 32
_MARK: Final = "\ufeff"


class FrontmatterInvalid(ValueError):
    """A text that begins with no frontmatter, or with one that can't be read; the text says why."""


def read_frontmatter(text: str) -> dict[str, Any]:
    """The frontmatter of a skill's text. Raises `FrontmatterInvalid`."""
    from dovetail.openapi import DocumentInvalid, read_yaml  # half a second, and only skills need it

    lines = text.removeprefix(_MARK)[:_LONGEST].replace("\r\n", "\n").split("\n")
    if not lines or lines[0].rstrip() != _FENCE:
        raise FrontmatterInvalid("it does not begin with a line of three dashes")
    end = next((at for at, line in enumerate(lines[1:], 1) if line.rstrip() == _FENCE), 0)
    if not end:
        raise FrontmatterInvalid("its frontmatter does not end with a line of three dashes")
    written = "\n".join(lines[1:end])
    try:
        value = read_yaml(written.encode(), most_values=_MOST_VALUES, most_levels=_MOST_LEVELS)
    except DocumentInvalid as problem:
        raise FrontmatterInvalid(f"its frontmatter can't be read: {problem}") from None
    if not isinstance(value, dict):
        raise FrontmatterInvalid("its frontmatter is no mapping")
    return cast("dict[str, Any]", value)


def same_json(a: Any, b: Any) -> bool:
    """Whether two values of JSON are the same: 1 is 1.0, and neither is true. Of any depth."""
    pairs: list[tuple[Any, Any]] = [(a, b)]
    while pairs:
        one, other = pairs.pop()
        if isinstance(one, dict) and isinstance(other, dict):
            left, right = cast("dict[str, Any]", one), cast("dict[str, Any]", other)
            if left.keys() != right.keys():
                return False
            pairs += [(left[name], right[name]) for name in left]
        elif isinstance(one, list) and isinstance(other, list):
            items, others = cast("list[Any]", one), cast("list[Any]", other)
            if len(items) != len(others):
                return False
            pairs += zip(items, others, strict=True)
        elif isinstance(one, bool) is not isinstance(other, bool) or one != other:
            return False
    return True
