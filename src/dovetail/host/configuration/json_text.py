"""JSON that people write, changed where it has to change: every other character stays as it is.

Theory of operation. Comments, and commas before a closing bracket, are first overwritten with spaces, one for each
character. What is left is plain JSON with the same positions, so that the standard library reads it, and says where it
is wrong, and the places of its parts are places in the file. A change replaces the smallest part that differs; comments
around it, order, indentation, line ends and unusual numbers are never touched. After a change the text is read again
and has to say what was meant.

Specification: none; RFC 8259, and the comments of "JSON with comments".
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, cast

from .errors import ConfigurationError, ConfigurationUnreadable

__all__ = ["JSONText"]

_COMMENT: Final = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n\r]*|/\*.*?\*/|/\*', re.DOTALL)
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+', re.DOTALL)
_TRAILING: Final = re.compile(r'"(?:[^"\\\n]|\\.)*"|,(?=[ \t\r\n]*[}\]])', re.DOTALL)
_BLANKS: Final = " \t\r\n"
_BOM: Final = "\ufeff"


class _Placed(NamedTuple):
    """A member of an object, or an item of an array (its name is its number): where its name and its value stand."""

    name: str | int
    at: int
    start: int
    end: int


class JSONText:
    """A text of JSON whose root is an object. ``comments``: whether they, and trailing commas, are allowed; where they
    are not, one is refused with its line, since the program that reads the file would refuse it, too.

    Raises `ConfigurationUnreadable`.
    """

    def __init__(self, text: str, *, comments: bool = False, where: str = "the text") -> None:
        self.text = text
        self._comments = comments
        self._where = where
        body = text.removeprefix(_BOM)
        self._first = len(text) - len(body)
        if not body.strip():
            self.text = body = "{}\n"
            self._first = 0
        if comments:
            body = _TRAILING.sub(_blank_comma, _COMMENT.sub(self._blank, body))
        else:
            _COMMENT.sub(self._refuse, body)
        self._plain = " " * self._first + body
        self.value: dict[str, Any] = self._read()

    def get(self, path: Sequence[str]) -> Any:
        """What stands at a path, None where nothing does."""
        found: Any = self.value
        for name in path:
            found = cast("dict[str, Any]", found).get(name) if isinstance(found, dict) else None
        return found

    def set(self, path: Sequence[str], value: Any) -> "JSONText":
        """The text with this value at a path, whose missing objects are made. Where objects stand on both sides, only
        the members that differ are touched. Raises `ConfigurationError` where something on the way is no object.
        """
        if not path:
            raise ConfigurationError(f"{self._where}: the whole of it can't be replaced")
        place, depth = self._root(), 0
        for depth, name in enumerate(path):
            member = self._member(place, name)
            if member is None:
                break
            if depth == len(path) - 1:
                return self._replaced(path, member, value)
            if self._plain[member.start] != "{":
                shown = ".".join(path[: depth + 1])
                raise ConfigurationError(f"{self._where}: {shown!r} is no object; mend it first")
            place = member.start
        for name in reversed(path[depth + 1 :]):
            value = {name: value}
        return self._inserted(place, value, name=path[depth])

    def append(self, path: Sequence[str], value: Any) -> "JSONText":
        """The text with a value more in the array at a path, which is made where it is missing."""
        if self.get(path) is None:
            return self.set(path, [value])
        place = self._root()
        for name in path:
            member = self._member(place, name)
            place = place if member is None else member.start
        if self._plain[place] != "[":
            raise ConfigurationError(f"{self._where}: {'.'.join(path)!r} is no array; mend it first")
        return self._inserted(place, value, name=None)

    def remove(self, path: Sequence[str]) -> "JSONText":
        """The text without what stands at a path; itself where nothing does. Comments stay."""
        place = self._root()
        for depth, name in enumerate(path):
            member = self._member(place, name)
            if member is None:
                return self
            if depth == len(path) - 1:
                return self._without(place, member)
            place = member.start
            if self._plain[place] != "{":
                return self
        return self

    def _blank(self, found: re.Match[str]) -> str:
        text = found[0]
        if text.startswith('"'):
            return text
        if text == "/*":
            raise self._wrong(found.start(), "a comment does not end")
        return re.sub(r"[^\r\n]", " ", text)

    def _refuse(self, found: re.Match[str]) -> str:
        if not found[0].startswith('"'):
            raise self._wrong(
                found.start(),
                "there is a comment, which the program that reads this file refuses; take it out",
            )
        return found[0]

    def _wrong(self, at: int, what: str) -> ConfigurationUnreadable:
        line = self.text.count("\n", 0, at + self._first) + 1
        return ConfigurationUnreadable(f"{self._where}, line {line}: {what}")

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(
                self._plain[self._first :], object_pairs_hook=_object, parse_constant=_constant
            )
        except json.JSONDecodeError as problem:
            raise self._wrong(problem.pos, f"it is no JSON: {problem.msg}") from None
        except (ValueError, RecursionError) as problem:
            raise ConfigurationUnreadable(f"{self._where} is no JSON that can be used: {problem}") from None
        if not isinstance(found, dict):
            raise ConfigurationUnreadable(f"{self._where} is no JSON object")
        return cast("dict[str, Any]", found)

    def _root(self) -> int:
        at = self._first
        while self._plain[at] in _BLANKS:
            at += 1
        return at

    def _member(self, place: int, name: str) -> _Placed | None:
        return next((each for each in self._members(place) if each.name == name), None)

    def _members(self, place: int) -> Iterator[_Placed]:
        """What the object or array at a place holds."""
        array = self._plain[place] == "["
        depth, name, at, count = 0, "", -1, 0
        start = end = -1
        for token in _TOKEN.finditer(self._plain, place):
            sign = token[0]
            if depth == 1 and sign in ",]}":
                if start >= 0:
                    yield _Placed(count if array else name, start if array else at, start, end)
                    count += 1
                start = -1
            elif depth == 1 and sign == ":":
                start = -1
            elif depth == 1:
                if not array and at < 0:
                    at, name = token.start(), str(json.loads(sign))
                    continue
                start, end = token.start(), token.end()
            if sign in "{[":
                depth += 1
            elif sign in "}]":
                depth -= 1
                end = token.end()
                if not depth:
                    return
            if depth == 1 and sign == ",":
                at = -1

    def _replaced(self, path: Sequence[str], member: _Placed, value: Any) -> "JSONText":
        old = self.get(path)
        if _same(old, value):
            return self
        if isinstance(old, dict) and isinstance(value, dict) and old and value:
            changed = self
            before, after = cast("dict[str, Any]", old), cast("dict[str, Any]", value)
            for name in before.keys() - after.keys():
                changed = changed.remove([*path, name])
            for name, each in after.items():
                changed = changed.set([*path, name], each)
            return changed
        rendered = self._rendered(value, self._margin(member.at))
        return self._with(member.start, member.end, rendered)

    def _inserted(self, place: int, value: Any, *, name: str | None) -> "JSONText":
        members = list(self._members(place))
        label = "" if name is None else f"{_dumped(name)}: "
        close = self._end(place) - 1
        if members:
            last = members[-1]
            margin = self._margin(last.at)
            comma = self._raw_comma(last.end)
            if margin is None:  # all in one line
                new, at = f"{label}{_dumped(value)}", last.end
                return (
                    self._with(at, at, f", {new}")
                    if comma is None
                    else self._with(comma, comma + 1, f", {new},")
                )
            line = f"{self._line_end()}{margin}{label}{self._rendered(value, margin)}"
            if comma is None:
                return self._after(last.end, ",", line)
            return self._after(comma + 1, "", f"{line},")
        outer = self._margin(place, of_line=True) or ""
        margin = outer + self._unit()
        line = f"{self._line_end()}{margin}{label}{self._rendered(value, margin)}{self._line_end()}{outer}"
        inside = self.text[place + 1 : close]
        if not inside.strip():
            return self._with(place + 1, close, line)
        return self._with(place + 1, place + 1, line.removesuffix(outer).removesuffix(self._line_end()))

    def _after(self, at: int, sign: str, line: str) -> "JSONText":
        """A sign at once, and a line behind what else stands in this one: a comment there is of what is before it."""
        found = re.compile(r"\r?\n").search(self.text, at)
        if found is None or self._plain[at : found.start()].strip() or self._in_comment(found.start()):
            return self._with(at, at, sign + line)
        return self._again(
            f"{self.text[:at]}{sign}{self.text[at : found.start()]}{line}{self.text[found.start() :]}"
        )

    def _without(self, place: int, member: _Placed) -> "JSONText":
        """Cut a member, with its comma, and its line where it had one to itself."""
        start, end = member.at, member.end
        comma = self._raw_comma(end)
        text = self.text
        if comma is not None and not text[end:comma].strip():
            end, comma = comma + 1, None
        line = text.rfind("\n", 0, start) + 1
        blanks = end + len(text[end:]) - len(text[end:].lstrip(" \t"))
        stop = blanks + (2 if text[blanks : blanks + 2] == "\r\n" else text[blanks : blanks + 1] == "\n")
        alone = not text[line:start].strip()
        if alone and stop > blanks:
            start, end = line, stop
        elif stop == blanks:
            start, end = (line if alone and text[stop : stop + 1] in ("}", "]") else start), stop
        cuts = [(start, end)]
        if comma is not None:  # a comment stands before the comma
            cuts.append((comma, comma + 1))
        before = [each for each in self._members(place) if each.at < member.at]
        follows = any(each.at > member.at for each in self._members(place))
        if before and not follows:
            last = self._raw_comma(before[-1].end)
            if last is not None:
                cuts.append((last, last + 1))
        for first, after in sorted(cuts, reverse=True):
            text = text[:first] + text[after:]
        return self._again(text)

    def _raw_comma(self, at: int) -> int | None:
        """Where the comma behind a value is, also one that is before a closing bracket; None if there is none."""
        while at < len(self._plain) and self._plain[at] in _BLANKS:
            if self.text[at] == "," and not self._in_comment(at):
                return at
            at += 1
        return at if at < len(self._plain) and self._plain[at] == "," else None

    def _in_comment(self, at: int) -> bool:
        body = self.text[self._first :]
        return any(
            not each[0].startswith('"') and each.start() <= at - self._first < each.end()
            for each in _COMMENT.finditer(body)
        )

    def _end(self, place: int) -> int:
        depth = 0
        for token in _TOKEN.finditer(self._plain, place):
            depth += (token[0] in "{[") - (token[0] in "}]")
            if not depth:
                return token.end()
        raise ConfigurationError(f"{self._where}: an object does not end")  # it was read, so it does

    def _margin(self, at: int, *, of_line: bool = False) -> str | None:
        """The blanks before what begins its line; None for what does not. ``of_line``: those of its line in any
        case.
        """
        line = self.text.rfind("\n", 0, at) + 1
        before = self.text[line:at].removeprefix(_BOM)
        if not before.strip() and (line or of_line):
            return before
        return before[: len(before) - len(before.lstrip())] if of_line else None

    def _unit(self) -> str:
        """What one step of indentation is in this file."""
        for each in self._members(self._root()):
            return self._margin(each.at) or "  "
        return "  "

    def _line_end(self) -> str:
        return "\r\n" if "\r\n" in self.text else "\n"

    def _rendered(self, value: Any, margin: str | None) -> str:
        if margin is None:
            return _dumped(value)
        lines = _dumped(value, indent=self._unit()).split("\n")
        return f"{self._line_end()}{margin}".join(lines)

    def _with(self, start: int, end: int, new: str) -> "JSONText":
        return self._again(self.text[:start] + new + self.text[end:])

    def _again(self, text: str) -> "JSONText":
        return JSONText(text, comments=self._comments, where=self._where)


def _blank_comma(found: re.Match[str]) -> str:
    return " " if found[0] == "," else found[0]


def _dumped(value: Any, *, indent: str | None = None) -> str:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return text if _encodes(text) else json.dumps(value, indent=indent)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a pair, which JSON can say and UTF-8 can't
        return False
    return True


def _same(one: Any, other: Any) -> bool:
    """Whether two values are the same to every reader: 1, 1.0 and true are not."""
    return json.dumps(one) == json.dumps(other)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands twice in one object, and readers differ in which one they take")
    return found


def _constant(word: str) -> Any:
    raise ValueError(f"{word} is no number of JSON")
