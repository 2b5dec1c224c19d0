"""Text that somebody else wrote, made safe to show.

A terminal acts on control characters, and bidirectional marks make a reader see something else than what is there; a
line break makes one line of a log look like two. All of these are shown as the escapes that Python and JSON write, so
nothing is hidden and nothing is done. Whatever a peer said passes `safe`, or what is built on it here, before it is
logged or shown; on the wire it stays as it is.

Specification: server/tools and client/elicitation, "Security Considerations".
"""

from typing import Final

__all__ = ["in_place", "one_line", "passage", "safe"]

_ALLOWED: Final = frozenset("\n\t\u200c\u200d")  # the joiners are parts of words and of emoji
_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_LONGEST_LINE: Final = 2000


def safe(text: str) -> str:
    r"""The text, its control, bidirectional and other invisible characters escaped; line breaks and tabs stay.

    Only the characters that occur are judged, once each, so ten megabytes take no longer than a copy or two.
    """
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n")
    escapes = {ord(each): _escape(each) for each in set(text) if _acts(each)}
    return text.translate(escapes) if escapes else text


def one_line(text: str) -> str:
    """The text in one line, safe to show, cut where it is very long."""
    if len(text) <= _LONGEST_LINE and text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    line = safe(" ".join(text[: 8 * _LONGEST_LINE].split()))
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}..."


def in_place(text: str) -> str:
    """The text for a place of its own, as a name has one in a table: whole, its line breaks and tabs escaped, too."""
    return safe(text).replace("\n", "\\n").replace("\t", "\\t")


def passage(text: str, *, indent: str = "") -> str:
    """The text with its line breaks, safe to show; blank lines at its ends are gone.

    ``indent`` stands before each line, so that no line of a server's can pass for one of ours.
    """
    lines = safe(text.strip("\r\n")).split("\n")
    return "\n".join(f"{indent}{line}".rstrip() for line in lines)


def _acts(character: str) -> bool:
    from unicodedata import category  # only text that is not plain ASCII needs the tables

    return character not in _ALLOWED and category(character) in _CATEGORIES


def _escape(character: str) -> str:
    number = ord(character)
    return (
        f"\\x{number:02x}"
        if number < 0x100
        else f"\\u{number:04x}"
        if number < 0x10000
        else f"\\U{number:08x}"
    )
