"""What can be taken of a result that does not fit its type.

Theory of operation. Reading is strict, and nearly always succeeds. Where it fails, the document is gone through by its
type, and only what does not fit is left out, as deep down as possible: an optional member with a value of the wrong
type, an item of a page, an item of a list that is optional itself. Each is told as a `Flaw`. What is left fits, or
there was nothing to be saved: a member that must be there, or one of those that change what the rest means
(``isError``, a question's state), is never left out. Of completions nothing has to be there: none are no suggestions.
Specification: server/{tools,resources,prompts}, the lists; server/utilities/completion, "Implementation
Considerations"; basic/index, "Responses".
"""

import types
from collections.abc import Mapping
from typing import Annotated, Any, Final, Union, cast, get_args, get_origin

from msgspec import Raw, Struct

from . import codec
from .types.prompts import CompleteResult, Completion
from .types.requests import PageResult

__all__ = ["MAX_FLAWS", "Flaw", "salvage"]

MAX_FLAWS: Final = 1_000
"""Flaws that one result may have before nothing of it is taken."""

_ALWAYS: Final = frozenset({"isError", "resultType", "inputRequests", "requestState"})
_NAMES: Final = ("name", "uri", "uriTemplate", "title")
_SHOWN: Final = 100
_BLOCKS: Final = "content"
_STRUCTURED: Final = "structuredContent"
_EMPTY: Final[dict[tuple[type[Struct], str], Any]] = {
    (CompleteResult, "completion"): {"values": []},
    (Completion, "values"): [],
}


class Flaw(Struct, frozen=True):
    """Something that was left out. ``subject``: the name of the item that it is, or is in, as its sender wrote it.
    ``whole``: whether that item is gone altogether.
    """

    path: str
    problem: str
    subject: str = ""
    whole: bool = False


class _Unfit(Exception):
    """Nothing can be taken."""


def salvage(kind: Any, data: bytes | Raw) -> tuple[bytes, list[Flaw]]:
    """The document without what does not fit, and what that was. Raises `DECODE_ERRORS` where nothing can be saved."""
    flaws: list[Flaw] = []
    try:
        kept = _Salvage(flaws).mend(kind, codec.decode(data), "", "")
    except _Unfit:
        raise ValueError("nothing of it can be taken") from None
    return codec.encode(kept), flaws


class _Salvage:
    def __init__(self, flaws: list[Flaw]) -> None:
        self._flaws = flaws

    def mend(self, kind: Any, value: Any, path: str, subject: str) -> Any:
        """The value without what does not fit. Raises `_Unfit`."""
        if codec.fits(kind, value):
            return value
        for candidate in _candidates(kind):
            if isinstance(value, dict) and isinstance(candidate, type) and issubclass(candidate, Struct):
                members = cast("dict[str, Any]", value)
                if _tagged(candidate, members):
                    return self._members(candidate, members, path, subject)
            elif isinstance(value, list) and get_origin(candidate) is list:
                return self._items(get_args(candidate)[0], cast("list[Any]", value), path, subject)
        raise _Unfit

    def _members(self, kind: type[Struct], value: dict[str, Any], path: str, subject: str) -> dict[str, Any]:
        kept = dict(value)
        for field in codec.fields(kind):
            name = field.encode_name
            if name == _BLOCKS and value.get(name) is None and _STRUCTURED in value:
                kept[name] = []
                self._note(name, "it is missing beside the structured content", subject)
                continue
            place = f"{path}.{name}" if path else name
            if name not in value:
                if (kind, name) in _EMPTY:
                    kept[name] = _EMPTY[kind, name]
                    self._note(place, "it is missing", subject)
                elif field.required:
                    raise _Unfit
                continue
            item = value[name]
            if codec.fits(field.type, item, name):
                continue
            if (kind, name) in _EMPTY:
                kept[name] = self._some(field.type, item, place, subject, _EMPTY[kind, name])
                continue
            paged = field.required and issubclass(kind, PageResult)
            if field.required and not paged:
                kept[name] = self._needed(field.type, name, item, place, subject)
                continue
            try:
                kept[name] = self.mend(field.type, item, place, subject)
            except _Unfit:
                if paged or name in _ALWAYS:
                    raise
                del kept[name]
                self._note(place, _wrong(item), subject)
        return kept

    def _some(self, kind: Any, item: Any, place: str, subject: str, empty: Any) -> Any:
        """What there is of a member that may as well be empty."""
        try:
            return self.mend(kind, item, place, subject)
        except _Unfit:
            self._note(place, _wrong(item), subject)
            return empty

    def _needed(self, kind: Any, name: str, item: Any, place: str, subject: str) -> Any:
        """A member that must be there. Without one of the items of a list it would say something else."""
        if get_origin(kind) is not list or not isinstance(item, list):
            return self.mend(kind, item, place, subject)
        inner = get_args(kind)[0]
        return [
            each
            if codec.fits(inner, each, name)
            else self.mend(inner, each, f"{place}[{number}]", subject or _name(each))
            for number, each in enumerate(cast("list[Any]", item))
        ]

    def _items(self, kind: Any, value: list[Any], path: str, subject: str) -> list[Any]:
        kept: list[Any] = []
        for number, item in enumerate(value):
            place, name = f"{path}[{number}]", _name(item)
            before = len(self._flaws)
            try:
                kept.append(self.mend(kind, item, place, subject or name))
            except _Unfit:
                del self._flaws[before:]
                whole = not subject
                self._note(place, _why(kind, item), subject or name, whole=whole)
        return kept

    def _note(self, path: str, problem: str, subject: str, *, whole: bool = False) -> None:
        if len(self._flaws) >= MAX_FLAWS:
            raise _Unfit
        self._flaws.append(Flaw(path, problem, subject, whole))


def _candidates(kind: Any) -> list[Any]:
    """The types that a value may be of."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _candidates(get_args(kind)[0])
    if origin in (Union, types.UnionType):
        return [each for part in get_args(kind) for each in _candidates(part)]
    return [kind]


def _tagged(kind: type[Struct], members: Mapping[str, Any]) -> bool:
    config = kind.__struct_config__
    return config.tag_field is None or members.get(config.tag_field) == config.tag


def _name(item: Any) -> str:
    """What an item calls itself."""
    if isinstance(item, dict):
        members = cast("dict[str, Any]", item)
        for key in _NAMES:
            if isinstance(members.get(key), str):
                return str(members[key])
    return ""


def _wrong(item: Any) -> str:
    shown = ascii(item)
    return f"a value of the wrong kind: {shown if len(shown) <= _SHOWN else shown[:_SHOWN] + '...'}"


def _why(kind: Any, item: Any) -> str:
    """Why an item can't be taken, in the words of the reader."""
    for candidate in _candidates(kind):
        if isinstance(candidate, type) and issubclass(candidate, Struct) and isinstance(item, dict):
            members = cast("dict[str, Any]", item)
            for field in codec.fields(candidate):
                if field.required and field.encode_name not in members:
                    return f"it lacks {field.encode_name!r}"
                if field.required and not codec.fits(
                    field.type, members[field.encode_name], field.encode_name
                ):
                    return f"{field.encode_name!r} is {_wrong(members[field.encode_name])}"
    return _wrong(item)
