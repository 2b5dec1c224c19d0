"""Names of a server as identifiers of Python: ASCII, no keyword, none twice.

What a server calls things is free text nearly everywhere. A name that is an identifier already stays as it is; of any
other the letters and digits stay. Where two names would become one, a number is put behind those that come later.
"""

import keyword
import re
from collections.abc import Iterable
from typing import Final
from unicodedata import normalize

__all__ = ["LONGEST", "Names", "is_identifier", "plain_identifier", "type_name"]

LONGEST: Final = 38
"""Characters that an identifier has at most, so that a line of the module holds one with its type."""
_FOREIGN: Final = re.compile(r"[^A-Za-z0-9]+")
_IDENTIFIER: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def is_identifier(name: str) -> bool:
    """Whether a name can stay as it is: ASCII, no keyword, without an underscore in front, and not long."""
    return len(name) <= LONGEST and _IDENTIFIER.fullmatch(name) is not None and not keyword.iskeyword(name)


def plain_identifier(name: str, otherwise: str) -> str:
    """An identifier for a function or argument. ``otherwise``: what it is called if nothing of the name is left, or
    put in front of a digit.
    """
    if is_identifier(name):
        return name
    word = "_".join(_words(name)) or otherwise
    if word[0].isdigit():
        word = f"{otherwise}_{word}"
    word = word[:LONGEST].rstrip("_")
    return f"{word}_" if keyword.iskeyword(word) else word


def type_name(*names: str) -> str:
    """An identifier for a type: the names one after the other, each word with a capital."""
    words = [word for name in names for word in _words(name)]
    found = "".join(word[0].upper() + word[1:] for word in words)[:LONGEST]
    return found if found and not found[0].isdigit() else f"Type{found}"[:LONGEST]


def _words(name: str) -> list[str]:
    ascii_only = normalize("NFKD", name[:512]).encode("ascii", "ignore").decode()
    return [word for word in _FOREIGN.split(ascii_only) if word]


class Names:
    """Identifiers of one scope, each given out once. ``taken``: those that it has already."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._next: dict[str, int] = {}

    def free(self, name: str) -> str:
        """The name, or, if somebody has it, the same with an underscore, or with a number behind it."""
        if name not in self._taken:
            return self._take(name)
        if keyword.iskeyword(name) or (name in _SHADOWED and f"{name}_" not in self._taken):
            return self._take(f"{name}_")
        stem = name[: LONGEST - 5].rstrip("_")
        number = self._next.get(stem, 2)
        while (found := f"{stem}_{number}") in self._taken:
            number += 1
        self._next[stem] = number + 1
        return self._take(found)

    def is_free(self, name: str) -> bool:
        """Whether nobody has a name."""
        return name not in self._taken

    def all(self) -> frozenset[str]:
        """The names that are taken."""
        return frozenset(self._taken)

    def give_back(self, name: str) -> None:
        """Let go of a name that was not used after all."""
        self._taken.discard(name)

    def _take(self, name: str) -> str:
        self._taken.add(name)
        return name


_SHADOWED: Final = frozenset(
    {"bool", "dict", "float", "int", "list", "str", "tuple", "self", "open", "close", "client", "changed"}
)
