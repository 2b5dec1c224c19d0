"""Reading docstrings: the text, and what is said about each parameter.

Theory of operation. One pass over the lines, each looked at once, for the usual manners: Google (a line ``Args:`` and
entries indented below it), NumPy (``Parameters`` underlined with dashes), Sphinx (``:param x: ...``) and epytext
(``@param x: ...``). What is said about parameters and fields goes to these; what is about the code (what it returns,
yields, raises) is left out, as whoever calls a tool sees a schema of that. All else is the text, line by line as it
was written: when not to use a tool tends to stand in the second paragraph, in a note, or in an example. What stands
between the fences of a code block is no section. A docstring in no manner at all is all text; nothing here raises.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from typing import Final

from msgspec import Struct, field

__all__ = ["Docstring", "class_docstring", "parse_docstring"]

_MAX_LENGTH: Final = 64 * 1024
_PARAMETERS: Final = frozenset(
    {
        "args", "arguments", "attributes", "keyword args", "keyword arguments", "other parameters",
        "parameters", "params",
    }
)  # fmt: skip
_OF_CODE: Final = frozenset(
    {
        "except", "exceptions", "raise", "raises", "receives", "return", "returns", "warns", "yield",
        "yields",
    }
)  # fmt: skip
_GOOGLE: Final = re.compile(r"([A-Za-z][A-Za-z ]{0,30}):\s*$")
# No two loops that can take the same characters stand side by side: the text is linear to read.
_ENTRY: Final = re.compile(
    r"(?:[-*+] )?`{0,2}\*{0,2}(\w+)`{0,2}\s*(?:\([^()]*(?:\([^()]*\)[^()]*)*\)\s*)?:(?:\s+(.*)|$)"
)
_FIELD: Final = re.compile(
    r"[:@](?:param|parameter|arg|argument|key|keyword|kwarg|var|ivar|cvar)\s([^:]{0,200}):\s?(.*)"
)
_FIELD_OF_CODE: Final = re.compile(
    r"[:@](?:type|kwtype|vartype|returns?|rtype|raises?|except|exception|yields?|ytype|meta)\b[^:]{0,200}:"
)
_FENCE: Final = re.compile(r"\s{0,8}(`{3,}|~{3,})")


class Docstring(Struct):
    """``text``: all that is about no parameter and not about the code. ``parameters``: texts by name."""

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
    return Docstring(
        text="\n".join(found.text).strip(),
        parameters={name: joined for name, parts in found.parameters.items() if (joined := _joined(parts))},
    )


def class_docstring(kind: type) -> Docstring:
    """What an author wrote about a class; nothing where Python wrote the docstring, as for dataclasses."""
    doc = vars(kind).get("__doc__")
    if not isinstance(doc, str):
        return Docstring()
    made = doc.startswith(f"{kind.__name__}(") and doc.endswith(")") and "\n" not in doc
    return Docstring() if made or doc == "An enumeration." else parse_docstring(doc)


class _Reading:
    """What has been read so far."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.parameters: dict[str, list[str]] = {}
        self._seam = False

    def take(self, lines: list[str], index: int) -> int:
        """Read the section that starts at a line, or the line; gives where to go on."""
        line = lines[index]
        if fence := _FENCE.match(line):
            end = _fence_end(lines, index + 1, fence[1])
            self._keep(lines[index:end])
            return end
        if named := _FIELD.match(line):
            end = _block_end(lines, index + 1, 0)
            name = named[1].split()[-1].lstrip("*") if named[1].split() else ""
            self.parameters[name] = [named[2], *lines[index + 1 : end]]
            return self._leave_out(end)
        if _FIELD_OF_CODE.match(line):
            return self._leave_out(_block_end(lines, index + 1, 0))
        title = line.strip().lower()
        if (title in _PARAMETERS or title in _OF_CODE) and _is_rule(lines, index + 1):
            end = _numpy_end(lines, index + 2)
            if title in _OF_CODE or self._numpy(lines[index + 2 : end]):
                return self._leave_out(end)
        google = _GOOGLE.match(line)
        title = google[1].lower() if google else ""
        if (title in _PARAMETERS or title in _OF_CODE) and _indented(lines, index + 1):
            end = _block_end(lines, index + 1, 0)
            if title in _OF_CODE or self._google(lines[index + 1 : end]):
                return self._leave_out(end)
        self._keep([line])
        return index + 1

    def _keep(self, lines: list[str]) -> None:
        if not self._seam or lines[0].strip():
            self.text += lines
            self._seam = False

    def _leave_out(self, end: int) -> int:
        """Close the gap of a section that is not part of the text: one empty line stays."""
        while self.text and not self.text[-1].strip():
            self.text.pop()
        if self.text:
            self.text.append("")
        self._seam = True
        return end

    def _google(self, block: list[str]) -> bool:
        """Read entries; whether there are any."""
        margin = min((_indent(line) for line in block if line.strip()), default=0)
        current: list[str] | None = None
        for line in block:
            entry = _ENTRY.match(line[margin:]) if _indent(line) == margin and line.strip() else None
            if entry:
                current = self.parameters.setdefault(entry[1], [])
                current.append(entry[2] or "")
            elif current is not None:
                current.append(line)
        return current is not None

    def _numpy(self, block: list[str]) -> bool:
        """Read entries; whether there are any."""
        current: list[list[str]] = []
        for line in block:
            if line.strip() and not line[0].isspace():
                named = line.split(":", 1)[0]
                current = [
                    self.parameters.setdefault(name, [])
                    for name in (part.strip(" *`") for part in named.split(","))
                    if name
                ]
            else:
                for each in current:
                    each.append(line)
        return bool(current)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _indented(lines: list[str], index: int) -> bool:
    return index < len(lines) and bool(lines[index].strip()) and lines[index][0].isspace()


def _is_rule(lines: list[str], index: int) -> bool:
    stripped = lines[index].strip() if index < len(lines) else ""
    return len(stripped) >= 3 and not stripped.strip("-")


def _block_end(lines: list[str], index: int, margin: int) -> int:
    """The first line from ``index`` on that is no further right than ``margin``."""
    while index < len(lines) and (not lines[index].strip() or _indent(lines[index]) > margin):
        index += 1
    return index


def _fence_end(lines: list[str], index: int, fence: str) -> int:
    """The line after the one that closes a code block; the next line where none does."""
    for place in range(index, len(lines)):
        line = lines[place].strip()
        if line.startswith(fence) and not line.strip(fence[0]):
            return place + 1
    return index


def _numpy_end(lines: list[str], index: int) -> int:
    """Where a NumPy section ends: at the next title with dashes below it."""
    while index < len(lines):
        if lines[index].strip() and _is_rule(lines, index + 1):
            return index
        index += 1
    return index


def _joined(parts: list[str]) -> str:
    """The text of a parameter: its lines as they were written, their common indentation left out."""
    first = parts[0].strip() if parts else ""
    return "\n".join([first, textwrap.dedent("\n".join(parts[1:]))]).strip()
