"""Texts of a server inside the source of a module: string literals, docstrings and comments, as ``ruff format`` leaves
them.

A text stands inside quotes or not at all. What acts on a terminal or misleads a reader (control characters, line
separators, bidirectional marks and other invisible ones) is an escape; lone surrogates are, too, since no file in UTF-8
can hold them.
"""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Final
from unicodedata import category

__all__ = ["LINE", "docstring", "one_line", "paragraphs", "quoted"]

LINE: Final = 110
"""Characters of a line, at most, as far as it can be broken."""
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_KNOWN: Final = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
_LONGEST: Final = 4_000
_WORDY: Final = 400


def quoted(text: str) -> str:
    """A string literal of one line."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    escapes = {ord(each): _escape(each) for each in set(text) if _unseen(each)}
    body = text.replace("\\", "\\\\").replace(quote, f"\\{quote}").translate(escapes)
    return f"{quote}{body}{quote}"


def one_line(text: str) -> str:
    """A text in one line, cut where it is long; for a place inside a docstring."""
    line = _visible(" ".join(text[: 4 * _WORDY].split()))
    return line if len(line) <= _WORDY else f"{line[:_WORDY].rstrip()} ..."


def paragraphs(text: str | None) -> list[str]:
    """The lines of a text, for a docstring: safe to see, none longer than a line of the module."""
    if not text:
        return []
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST].rstrip()} ..."
    lines: list[str] = []
    for line in textwrap.dedent(cut.replace("\r\n", "\n").replace("\t", "    ")).strip().split("\n"):
        shown = _visible(line).rstrip()
        indent = " " * min(len(shown) - len(shown.lstrip()), 24)
        lines += (
            textwrap.wrap(
                shown.lstrip(),
                LINE - 8,
                initial_indent=indent,
                subsequent_indent=indent,
                break_long_words=False,
                break_on_hyphens=False,
            )
            if shown
            else [""]
        )
    return [line for at, line in enumerate(lines) if line or (at and lines[at - 1])]


def docstring(lines: Iterable[str], indent: str) -> list[str]:
    """The lines of a docstring that holds these, in their place."""
    said = [line.replace("\\", "\\\\").replace('"""', "'''") for line in lines]
    while said and not said[-1]:
        said.pop()
    while said and not said[0].strip():
        said.pop(0)
    if not said:
        return []
    said[0] = said[0].lstrip()
    if said[0].startswith('"'):
        said[0] = f"'{said[0][1:]}"
    if said[-1].endswith('"'):
        said[-1] = f"{said[-1][:-1]}'"
    if len(said) == 1:  # however long it is: so formatters leave it
        return [f'{indent}"""{said[0]}"""']
    # Formatters take away what all later lines are indented by.
    later = textwrap.dedent("\n".join(said[1:])).split("\n")
    return [
        f'{indent}"""{said[0]}',
        *(f"{indent}{line}" if line else "" for line in later),
        f'{indent}"""',
    ]


def wrapped(first: str, text: str, indent: str) -> Sequence[str]:
    """A short paragraph for a docstring, whose later lines are indented."""
    return textwrap.wrap(
        f"{first}{text}",
        LINE - 8,
        initial_indent=indent,
        subsequent_indent=f"{indent}    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _visible(text: str) -> str:
    escapes = {ord(each): _escape(each) for each in set(text) if _unseen(each)}
    spaces = {ord(each): " " for each in set(text) if category(each) == "Zs"}
    return text.translate(escapes | spaces)


def _unseen(character: str) -> bool:
    return not (character.isascii() and character.isprintable()) and category(character) in _UNSEEN


def _escape(character: str) -> str:
    number = ord(character)
    if character in _KNOWN:
        return _KNOWN[character]
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
