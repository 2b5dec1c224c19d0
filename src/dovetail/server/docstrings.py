"""Reading docstrings: the summary, the text, and what is said about each parameter.

Theory of operation. One pass over the lines, each looked at once, for the three usual manners: Google (a line
``Args:`` and entries indented below it), NumPy (``Parameters`` underlined with dashes) and Sphinx (``:param
x: ...``). What belongs to no known section is the text. A docstring in no manner at all is all text; nothing
here raises.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

__all__ = ["Docstring", "parse_docstring"]

_MAX_LENGTH: Final = 64 * 1024
_PARAMETERS: Final = frozenset(
    {"args", "arguments", "parameters", "params", "other parameters", "keyword args"}
)
_SECTIONS: Final = _PARAMETERS | {
    "attributes", "example", "examples", "keyword arguments", "note", "notes", "raises", "references",
    "return", "returns", "see also", "todo", "warning", "warnings", "warns", "yield", "yields",
}  # fmt: skip
_GOOGLE: Final = re.compile(r"([A-Za-z][A-Za-z ]{0,30}):\s*$")
# No two loops that can take the same characters stand side by side: the text is linear to read.
_ENTRY: Final = re.compile(r"\*{0,2}(\w+)\s*(?:\([^()]*(?:\([^()]*\)[^()]*)*\)\s*)?:(?:\s+(.*)|$)")
_SPHINX: Final = re.compile(r":(param|parameter|arg|argument|key|keyword)\s([^:]{0,200}):\s?(.*)")
_SPHINX_OTHER: Final = re.compile(r":(?:type|returns?|rtype|raises?|yields?|var|ivar|cvar)\b[^:]{0,200}:")


@dataclass(slots=True)
class Docstring:
    """``summary``: the first paragraph on one line. ``text``: all that is about no parameter.

    ``parameters``: by name.
    """

    summary: str = ""
    text: str = ""
    parameters: dict[str, str] = field(default_factory=dict[str, str])


def parse_docstring(doc: str | None) -> Docstring:
    """Read a docstring; None and "" give an empty one. Beyond 64 KiB nothing is read."""
    if not doc:
        return Docstring()
    lines = inspect.cleandoc(doc[:_MAX_LENGTH]).splitlines()
    found = _Reading()
    index = 0
    while index < len(lines):
        index = found.take(lines, index)
    text = "\n".join(found.text).strip()
    paragraph = text.split("\n\n", 1)[0]
    return Docstring(
        summary=" ".join(paragraph.split()),
        text=text,
        parameters={name: joined for name, parts in found.parameters.items() if (joined := _join(parts))},
    )


class _Reading:
    """What has been read so far."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.parameters: dict[str, list[str]] = {}

    def take(self, lines: list[str], index: int) -> int:
        """Read the section that starts at a line, or the line; gives where to go on."""
        line = lines[index]
        if sphinx := _SPHINX.match(line):
            end = _block_end(lines, index + 1, 0)
            name = sphinx[2].split()[-1].lstrip("*") if sphinx[2].split() else ""
            self.parameters[name] = [sphinx[3], *lines[index + 1 : end]]
            return end
        if _SPHINX_OTHER.match(line):
            return _block_end(lines, index + 1, 0)
        title = line.strip().lower()
        if title in _SECTIONS and index + 1 < len(lines) and _is_rule(lines[index + 1]):
            end = _numpy_end(lines, index + 2)
            if title in _PARAMETERS:
                self._numpy(lines[index + 2 : end])
            return end
        google = _GOOGLE.match(line)
        if google and google[1].lower() in _SECTIONS and _indented(lines, index + 1):
            end = _block_end(lines, index + 1, 0)
            name = google[1].lower()
            if name in _PARAMETERS or name == "keyword arguments":
                self._google(lines[index + 1 : end])
            return end
        self.text.append(line)
        return index + 1

    def _google(self, block: list[str]) -> None:
        margin = min((_indent(line) for line in block if line.strip()), default=0)
        current: list[str] | None = None
        for line in block:
            entry = _ENTRY.match(line[margin:]) if _indent(line) == margin and line.strip() else None
            if entry:
                current = self.parameters.setdefault(entry[1], [])
                current.append(entry[2] or "")
            elif current is not None:
                current.append(line)

    def _numpy(self, block: list[str]) -> None:
        current: list[list[str]] = []
        for line in block:
            if line.strip() and not line[0].isspace():
                named = line.split(":", 1)[0]
                current = [
                    self.parameters.setdefault(name, [])
                    for name in (part.strip(" *") for part in named.split(","))
                    if name
                ]
            else:
                for each in current:
                    each.append(line)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _indented(lines: list[str], index: int) -> bool:
    return index < len(lines) and bool(lines[index].strip()) and lines[index][0].isspace()


def _is_rule(line: str) -> bool:
    stripped = line.strip()
    return len(stripped) >= 3 and not stripped.strip("-")


def _block_end(lines: list[str], index: int, margin: int) -> int:
    """The first line from ``index`` on that is no further right than ``margin``."""
    while index < len(lines) and (not lines[index].strip() or _indent(lines[index]) > margin):
        index += 1
    return index


def _numpy_end(lines: list[str], index: int) -> int:
    """Where a NumPy section ends: at the next title with dashes below it."""
    while index < len(lines):
        if index + 1 < len(lines) and _is_rule(lines[index + 1]) and lines[index].strip():
            return index
        index += 1
    return index


def _paragraphs(parts: list[str]) -> Iterator[str]:
    words: list[str] = []
    for part in parts:
        if part.strip():
            words.extend(part.split())
        elif words:
            yield " ".join(words)
            words = []
    if words:
        yield " ".join(words)


def _join(parts: list[str]) -> str:
    return "\n\n".join(_paragraphs(parts))
