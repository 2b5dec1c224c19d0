"""YAML as OpenAPI documents are written in it: values of JSON, by the rules of YAML 1.2, with bounds.

Theory of operation. PyYAML's parser (libyaml where it is there) makes events of the text; values are made of them here,
for three reasons. PyYAML's own rules are those of YAML 1.1, by which ``NO`` is false and ``2024-01-01`` a date. It goes
down a level of its stack for each level of the text. And an alias is a reference to the same value there: ten lines of
them unfold to billions of values. Here each value knows how many it has in it, unfolded, and too many are refused.

Only what JSON has is taken: keys become texts (``200:`` is "200"), a tag of any other kind is refused.

Specification: OpenAPI 3.1.1, section 4.3 "Format"; YAML 1.2.2, section 10.3 "Core Schema".
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeAlias, cast

from .errors import DocumentInvalid

__all__ = ["read_yaml"]

_TAG: Final = "tag:yaml.org,2002:"
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE: Final = frozenset({"true", "True", "TRUE"})
_FALSE: Final = frozenset({"false", "False", "FALSE"})
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,300}")
_OCTAL: Final = re.compile(r"0o[0-7]{1,100}")
_HEX: Final = re.compile(r"0x[0-9a-fA-F]{1,100}")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_MERGE: Final = "<<"

Scalar: TypeAlias = str | int | float | bool | None


class _OpenNode:
    """A mapping or sequence whose end has not come."""

    __slots__ = ("anchor", "depth", "key", "size", "value", "waits")

    def __init__(self, value: dict[str, Any] | list[Any], anchor: str | None) -> None:
        self.value = value
        self.anchor = anchor
        self.key = ""
        #: Whether what comes next is the value of ``key``.
        self.waits = False
        self.size = 1
        self.depth = 1


def read_yaml(document: bytes, *, most_values: int, most_levels: int) -> Any:
    """The value that a YAML text of anybody's has, as JSON would have it, by the rules of YAML 1.2: ``no`` is a text,
    and so is ``2024-01-01``. There must be one document in it.

    ``most_values``: how many values it may have when all aliases are unfolded. ``most_levels``: how deep it may be.
    Raises `DocumentInvalid` for what is no such text, for a tag that JSON has nothing for, and beyond the bounds; and
    ImportError, which names the extra, without PyYAML.
    Specification: YAML 1.2.2, section 10.3 "Core Schema".
    """
    try:
        import yaml
    except ImportError:
        raise ImportError("reading YAML needs PyYAML: pip install 'dovetail[openapi]'") from None
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    reader = _YAMLReader(most_values, most_levels)
    try:
        for event in cast("Any", yaml.parse)(document, Loader=loader):
            reader.take(event)
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise DocumentInvalid(f"the document is not YAML: {' '.join(str(problem).split())[:300]}") from None
    if reader.documents != 1:
        raise DocumentInvalid(f"the YAML text has {reader.documents} documents; there must be one")
    return reader.result


class _YAMLReader:
    """Makes values of events."""

    def __init__(self, most_values: int, most_levels: int) -> None:
        self.documents = 0
        self.result: Any = None
        self._most_values = most_values
        self._most_levels = most_levels
        self._open: list[_OpenNode] = []
        self._named: dict[str, tuple[Any, int, int]] = {}

    def take(self, event: Any) -> None:
        """Take the next event."""
        kind = type(event).__name__
        if kind == "ScalarEvent":
            self._scalar(event)
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            self._begin({} if kind[0] == "M" else [], event)
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            self._end()
        elif kind == "AliasEvent":
            found = self._named.get(event.anchor)
            if found is None:
                raise DocumentInvalid(
                    f"the alias *{event.anchor} in {_place(event)} refers to what has not ended"
                )
            self._put(*found, event)
        elif kind == "DocumentStartEvent":
            self.documents += 1
            self._named.clear()

    def _begin(self, value: dict[str, Any] | list[Any], event: Any) -> None:
        if event.tag not in (None, "!", f"{_TAG}map", f"{_TAG}seq"):
            raise DocumentInvalid(f"the tag {event.tag} in {_place(event)} is none of JSON's kinds")
        if self._open and self._is_key():
            raise DocumentInvalid(f"a key in {_place(event)} is no text")
        if len(self._open) >= self._most_levels:
            raise DocumentInvalid(
                f"the document is deeper than {self._most_levels} levels in {_place(event)}"
            )
        self._open.append(_OpenNode(value, event.anchor))

    def _end(self) -> None:
        ended = self._open.pop()
        if ended.anchor is not None:
            self._named[ended.anchor] = (ended.value, ended.size, ended.depth)
        self._put(ended.value, ended.size, ended.depth, None)

    def _scalar(self, event: Any) -> None:
        plain = event.tag is None and event.implicit[0]
        if self._open and self._is_key():
            here = self._open[-1]
            here.key, here.waits = event.value if plain or event.value != _MERGE else "\x00<<", True
            if event.anchor is not None:
                self._named[event.anchor] = (event.value, 1, 0)
            return
        value = _plain(event.value) if plain else _tagged(event)
        if event.anchor is not None:
            self._named[event.anchor] = (value, 1, 0)
        self._put(value, 1, 0, event)

    def _is_key(self) -> bool:
        here = self._open[-1]
        return isinstance(here.value, dict) and not here.waits

    def _put(self, value: Any, size: int, depth: int, event: Any) -> None:
        """Put a whole value where it belongs."""
        if not self._open:
            self.result = value
            return
        here = self._open[-1]
        here.size += size
        if here.size > self._most_values:
            raise DocumentInvalid(
                f"the document has more than {self._most_values} values, its aliases unfolded"
            )
        here.depth = max(here.depth, depth + 1)
        if here.depth > self._most_levels:
            raise DocumentInvalid(
                f"the document is deeper than {self._most_levels} levels, its aliases unfolded"
            )
        if isinstance(here.value, list):
            here.value.append(value)
        elif not here.waits:  # an alias in the place of a key
            if not isinstance(value, str):
                raise DocumentInvalid(f"a key in {_place(event)} is no text")
            here.key, here.waits = value, True
        else:
            here.waits = False
            if here.key == _MERGE:
                _merge(here.value, value)
            else:
                here.value[here.key.replace("\x00<<", _MERGE)] = value


def _merge(into: dict[str, Any], value: Any) -> None:
    """YAML 1.1's merge key, which many documents use: what is there already stays."""
    for each in cast("list[Any]", value) if isinstance(value, list) else [value]:
        if not isinstance(each, dict):
            raise DocumentInvalid("what stands at the key << is no mapping")
        for key, member in cast("dict[str, Any]", each).items():
            into.setdefault(key, member)


def _plain(value: str) -> Scalar:
    """A scalar without quotes or tag, by the core schema."""
    if value in _NULL:
        return None
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    if value[0] not in "0123456789+-.":
        return value
    if _INTEGER.fullmatch(value):
        return int(value)
    if _OCTAL.fullmatch(value):
        return int(value[2:], 8)
    if _HEX.fullmatch(value):
        return int(value[2:], 16)
    return float(value) if len(value) <= 300 and _FLOAT.fullmatch(value) else value


def _tagged(event: Any) -> Scalar:
    """A scalar with quotes, or with a tag."""
    kind, value = event.tag, str(event.value)
    if kind in (None, "!", f"{_TAG}str"):
        return value
    found = _plain(value)
    if kind == f"{_TAG}float" and isinstance(found, int) and not isinstance(found, bool):
        return float(found)
    expected = {"null": type(None), "bool": bool, "int": int, "float": float}.get(kind.removeprefix(_TAG))
    if expected is None or type(found) is not expected:
        raise DocumentInvalid(f"the tag {kind} in {_place(event)} is none of JSON's kinds, or does not fit")
    return found


def _place(event: Any) -> str:
    return f"line {event.start_mark.line + 1}"
