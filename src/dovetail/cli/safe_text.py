"""Text from a server, made safe to show.

A terminal acts on control characters, and bidirectional marks make a reader see something else than what is
there. Both are shown as the escapes that Python and JSON write, so nothing is hidden and nothing is done.
Specification: server/tools and client/elicitation, "Security Considerations".
"""

import unicodedata
from typing import Final

__all__ = ["one_line", "safe"]

_ALLOWED: Final = frozenset("\n\t\u200c\u200d")  # the joiners are parts of words and of emoji
_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_LONGEST_LINE: Final = 2000


def safe(text: str) -> str:
    r"""The text, its control, bidirectional and other invisible characters escaped; line breaks and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text.replace("\r\n", "\n")))


def one_line(text: str) -> str:
    """The text in one line, safe to show, cut where it is very long."""
    line = safe(" ".join(text.split()))
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}..."


def _shown(character: str) -> str:
    if character in _ALLOWED or unicodedata.category(character) not in _CATEGORIES:
        return character
    number = ord(character)
    return (
        f"\\x{number:02x}"
        if number < 0x100
        else f"\\u{number:04x}"
        if number < 0x10000
        else f"\\U{number:08x}"
    )
