"""What is not written in a file of checks but put in when it runs: ``${name}`` and ``env:NAME``.

Theory of operation. ``${name}`` is what an earlier check kept; a text that is nothing else becomes the value itself, a
number for a number. A text ``env:NAME`` is a variable of the environment. Such values are secrets: `Environment` knows
those that were given out, and takes them out of every text that is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

__all__ = ["Environment", "EnvironmentMissing", "at_pointer", "filled", "names_in"]

_NAME: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_-]*)\}")
_ENV: Final = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")
_ABSENT: Final = object()


class EnvironmentMissing(ValueError):
    """A variable of the environment that a file of checks names is not set."""


class Environment:
    """The variables of the environment, and which of them were given out."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._given: dict[str, str] = {}

    def value(self, text: str) -> str:
        """A text, or what ``env:NAME`` stands for. Raises `EnvironmentMissing`."""
        matched = _ENV.fullmatch(text)
        if matched is None:
            return text
        found = self._variables.get(matched[1])
        if found is None:
            raise EnvironmentMissing(f"{text}: the environment has no {matched[1]}; set it before the run")
        if len(found) > 3:  # shorter ones are words that may stand anywhere
            self._given[found] = text
        return found

    def hide(self, text: str) -> str:
        """A text without what was given out."""
        for secret, name in self._given.items():
            text = text.replace(secret, name)
            text = text.replace(repr(secret)[1:-1], name)
        return text


def filled(value: Any, kept: Mapping[str, Any], environment: Environment) -> Any:
    """A value with its variables in place. Raises KeyError for one that was not kept, and `EnvironmentMissing`."""
    if isinstance(value, str):
        matched = _NAME.fullmatch(value)
        if matched is not None:
            return kept[matched[1]]
        return _NAME.sub(lambda each: _as_text(kept[each[1]]), environment.value(value))
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return {name: filled(item, kept, environment) for name, item in members.items()}
    if isinstance(value, list):
        return [filled(item, kept, environment) for item in cast("list[Any]", value)]
    return value


def names_in(value: Any) -> Iterator[str]:
    """The variables that a value has, each as often as it does."""
    if isinstance(value, str):
        yield from _NAME.findall(value)
    elif isinstance(value, dict):
        for item in cast("dict[str, Any]", value).values():
            yield from names_in(item)
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            yield from names_in(item)


def at_pointer(value: Any, pointer: str) -> tuple[Any, bool]:
    """What stands at a JSON pointer, and whether anything does."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = cast("dict[str, Any]", value).get(name, _ABSENT)
        elif isinstance(value, list):
            items = cast("list[Any]", value)
            value = items[int(name)] if name.isdecimal() and int(name) < len(items) else _ABSENT
        else:
            value = _ABSENT
        if value is _ABSENT:
            return None, False
    return value, True


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)
