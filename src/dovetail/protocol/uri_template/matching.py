"""Matching URIs against templates; the rules are told in ``template``.

Theory of operation. The template becomes a `Row` of texts and captures in turn (texts may be empty
only at the ends), and a `Tail` of query names. A URI is cut where its query tail starts, then the
row is laid over the rest with one search for each text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias
from urllib.parse import unquote

from msgspec import Struct, field

from .syntax import RULES, Expression, Part, TemplateError, VarSpec

__all__ = ["Matcher", "Values", "build_matcher", "traverses"]

Values: TypeAlias = dict[str, str | list[str]]

_QUERY: Final = ("?", "&")
_DRIVE: Final = re.compile(r"[A-Za-z]:")


class _VariableMatch(Struct, frozen=True):
    """One hole in a row. ``stops``: characters it cannot hold. ``cut``: separator of an exploded value."""

    name: str
    stops: str
    spans: bool
    cut: str
    prefix: int
    offset: int


class _Segments(Struct):
    """Texts around captures: one more text than captures, the first and last possibly empty."""

    texts: list[str] = field(default_factory=lambda: [""])
    captures: list[_VariableMatch] = field(default_factory=list[_VariableMatch])
    spans: bool = False
    in_query: bool = False

    def add_text(self, text: str) -> None:
        self.texts[-1] += text
        self.in_query = self.in_query or "?" in text

    def add_capture(self, template: str, capture: _VariableMatch) -> None:
        if self.captures and not self.texts[-1]:
            raise _unmatchable(
                template,
                capture.offset,
                f"nothing separates {self.captures[-1].name} from {capture.name}; put a literal between them",
            )
        if capture.spans and self.spans:
            raise _unmatchable(
                template,
                capture.offset,
                f"{capture.name} is the second variable that may span segments; only one can",
            )
        self.spans = self.spans or capture.spans
        self.captures.append(capture)
        self.texts.append("")


def _unmatchable(template: str, offset: int, what: str) -> TemplateError:
    return TemplateError(f"URI template {template[:200]!r}, offset {offset}: {what}")


def build_matcher(template: str, parts: Iterable[Part]) -> Matcher:
    """Prepare matching. Raises TemplateError for a template that could match in more than one way."""
    row, fragment = _Segments(), None
    query: list[VarSpec] | None = None
    pinned = 0
    for part in parts:
        if isinstance(part, Expression) and part.operator in _QUERY and fragment is None:
            if query is None:
                query, pinned = [], _ampersands(template, row, part)
            query.extend(part.specs)
        elif query is not None and fragment is None:
            if not (part.startswith("#") if isinstance(part, str) else part.operator == "#"):
                offset = part.offset if isinstance(part, Expression) else template.find(part)
                raise _unmatchable(template, offset, "only a fragment may follow query variables")
            fragment = _Segments()
            _add(template, fragment, part)
        else:
            _add(template, row if fragment is None else fragment, part)
    _refuse_repeats(template, row, query, fragment)
    return Matcher(row, query, pinned, fragment)


def _refuse_repeats(
    template: str, row: _Segments, query: list[VarSpec] | None, fragment: _Segments | None
) -> None:
    seen: set[str] = set()
    captures = row.captures + (fragment.captures if fragment is not None else [])
    for name in [*(capture.name for capture in captures), *(spec.name for spec in query or ())]:
        if name in seen:
            raise _unmatchable(
                template, template.find(name), f"the variable {name} occurs twice; use it once"
            )
        seen.add(name)


def _ampersands(template: str, row: _Segments, part: Expression) -> int:
    """How many ``&`` of the URI belong to the row before the query tail; -1 when the tail starts at ``?``."""
    if part.operator == "?":
        return -1
    text = "".join(row.texts)
    if "?" not in text:
        raise _unmatchable(
            template, part.offset, "{&...} continues a query, but no literal before it starts one"
        )
    return text[text.index("?") :].count("&")


def _add(template: str, row: _Segments, part: Part) -> None:
    """Append a literal, or the texts and captures that an expression amounts to."""
    if isinstance(part, str):
        row.add_text(part)
        return
    rule = RULES[part.operator]
    stops = "/?#&" if row.in_query else "/?#"
    for index, spec in enumerate(part.specs):
        spans = part.operator in ("+", "#") or (part.operator == "/" and spec.explode)
        lead = rule.between if index else rule.first
        if rule.named:
            lead += spec.name + "="
        cut = (lead if rule.named else rule.between) if spec.explode else ""
        row.add_text(lead)
        own_stops = "" if spans else stops
        row.add_capture(template, _VariableMatch(spec.name, own_stops, spans, cut, spec.prefix, part.offset))


class Matcher(Struct, frozen=True):
    """A prepared template. ``query`` is None without a query tail."""

    row: _Segments
    query: list[VarSpec] | None
    pinned: int
    fragment: _Segments | None

    @property
    def query_names(self) -> frozenset[str]:
        """Names that take their value from the query."""
        return frozenset(spec.name for spec in self.query or ())

    def match(self, uri: str) -> Values | None:
        """Values for a normalised URI, or None."""
        values: Values = {}
        head = uri
        if self.query is not None:
            head, hash_sign, fragment = uri.partition("#")
            if self.fragment is not None:
                if not _lay(self.fragment, hash_sign + fragment, values):
                    return None
            elif hash_sign:
                return None
            head, query = self._cut_query(head)
            if not _read_query(self.query, query, values):
                return None
        return values if _lay(self.row, head, values) else None

    def _cut_query(self, uri: str) -> tuple[str, str]:
        """Cut a URI where the query tail starts."""
        question = uri.find("?")
        if question < 0:
            return uri, ""
        if self.pinned < 0:
            return uri[:question], uri[question + 1 :]
        cuts = uri[question:].split("&", self.pinned + 1)
        tail = cuts.pop() if len(cuts) > self.pinned + 1 else ""
        return uri[:question] + "&".join(cuts), tail


def _lay(row: _Segments, text: str, values: Values) -> bool:
    """Lay a row over a text; put what the captures hold into ``values``."""
    texts, captures = row.texts, row.captures
    if not captures:
        return text == texts[0]
    start, end = len(texts[0]), len(text) - len(texts[-1])
    if start >= end or not text.startswith(texts[0]) or not text.endswith(texts[-1]):
        return False
    spanning = next((index for index, capture in enumerate(captures) if capture.spans), len(captures) - 1)
    for index in range(spanning):
        found = text.find(texts[index + 1], start + 1, end)
        if found < 0 or not _take(captures[index], text[start:found], values):
            return False
        start = found + len(texts[index + 1])
    for index in range(len(captures) - 1, spanning, -1):
        found = text.rfind(texts[index], start, end - 1)
        after = found + len(texts[index])
        if found < 0 or not _take(captures[index], text[after:end], values):
            return False
        end = found
    return start < end and _take(captures[spanning], text[start:end], values)


def _take(capture: _VariableMatch, raw: str, values: Values) -> bool:
    if any(stop in raw for stop in capture.stops):
        return False
    pieces = raw.split(capture.cut) if capture.cut else [raw]
    decoded = [_decode(piece) for piece in pieces]
    plain = [piece for piece in decoded if piece is not None]
    if len(plain) != len(decoded) or (capture.prefix and len(plain[0]) > capture.prefix):
        return False
    values[capture.name] = plain if capture.cut else plain[0]
    return True


def _decode(raw: str) -> str | None:
    if "%" not in raw:
        return raw
    try:
        return unquote(raw, errors="strict")
    except UnicodeDecodeError:
        return None


def _read_query(specs: list[VarSpec], query: str, values: Values) -> bool:
    """Read the query tail, in any order; a name that is foreign, or twice without ``*``, is no match."""
    known = {spec.name: spec for spec in specs}
    for pair in query.split("&") if query else ():
        name, _, raw = pair.partition("=")
        spec = known.get(name)
        value = _decode(raw)
        if spec is None or value is None or (spec.prefix and len(value) > spec.prefix):
            return False
        if spec.explode:
            earlier = values.setdefault(name, [])
            if isinstance(earlier, list):
                earlier.append(value)
        elif name in values:
            return False
        else:
            values[name] = value
    return True


def traverses(values: Mapping[str, str | list[str]], query_names: frozenset[str]) -> bool:
    """Whether a value could lead a handler out of its directory.

    True for NUL, a backslash, a ``..`` segment, and, outside the query, an absolute start: ``/``
    or a drive letter, also as an empty first item of a list.
    """
    for name, value in values.items():
        path = "/".join(value) if isinstance(value, list) else value
        if "\0" in path or "\\" in path or ".." in path.split("/"):
            return True
        if name not in query_names and (path.startswith("/") or _DRIVE.match(path)):
            return True
    return False
