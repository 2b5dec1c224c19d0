"""Bytes to values and back. All use of msgspec's JSON machinery with protocol types goes through here.

Three ways in, by what the reader needs:

* `Reader.read` is the fast one: strict and typed; what it does not know is dropped. Servers read params
  with it.
* Where strict reading fails, the same bytes are tried once more leniently: an integral float counts as an
  integer (JSON Schema says that 1.0 is one), and a content block of unknown type becomes an
  `UnknownContent`.
* `Reader.keep` also collects the members nobody knows into ``extra`` of each `Open` value, so that it can
  be handed on unchanged. It reads the document a second time, one level at a time and only where objects
  are open. Clients read results with it.

Out goes `encode`: the typed encoder, and a second, slower pass only for a value that carries ``extra`` or
unknown content.
"""

import types
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any, Final, Generic, TypeVar, Union, cast, get_args, get_origin

import msgspec
from msgspec import Raw, Struct

from .types.content import CONTENT_NAMES, UNKNOWN_TAG, UnknownContent
from .types.wire import EXTRA_KEY, Open, fields, struct_members, tree

__all__ = [
    "DECODE_ERRORS",
    "Reader",
    "decode",
    "encode",
    "fields",
    "fits",
    "no_number_in",
    "reader",
    "struct_members",
    "tree",
]

T = TypeVar("T")

_encoder: Final = msgspec.json.Encoder()
_members: Final = msgspec.json.Decoder(dict[str, Raw])
_items: Final = msgspec.json.Decoder(list[Raw])
_any: Final = msgspec.json.Decoder()
_EXTRA_MARK: Final = f'"{EXTRA_KEY}":'.encode()
_UNKNOWN_MARK: Final = f'"{UNKNOWN_TAG}"'.encode()
#: The first byte of the letter that both begin with. Hardly any text has it, and one byte is found at once.
_RARE: Final = UNKNOWN_TAG.encode()[0]

_NULL: Final = b"null"

#: Documents beyond this size are not encoded again just to see whether anything was dropped.
_LARGE: Final = 64 * 1024

#: What any of the decoders here may raise for bad input.
DECODE_ERRORS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError)


class Reader(Generic[T]):
    """Reads one type from JSON. Raises `DECODE_ERRORS`, whose text names the place (``$.content[0].text``)."""

    __slots__ = ("_decode", "_type")

    def __init__(self, type: type[T]) -> None:
        self._type = type
        self._decode = msgspec.json.Decoder(type).decode

    def read(self, data: bytes | Raw) -> T:
        """The value; members that the type does not name are dropped."""
        try:
            return self._decode(data)
        except msgspec.ValidationError as problem:
            return self._read_leniently(data, problem)

    def keep(self, data: bytes | Raw) -> T:
        """The value; members that the type does not name are in its ``extra``."""
        value = self.read(data)
        if len(data) > _LARGE or _encoder.encode(value) != bytes(data):  # else nothing was dropped
            _collect(value, data)
        return value

    def _read_leniently(self, data: bytes | Raw, problem: msgspec.ValidationError) -> T:
        tree = msgspec.json.Decoder(float_hook=_integral).decode(data)
        try:
            return msgspec.convert(_shelter(tree), self._type)
        except msgspec.ValidationError:
            raise problem from None


_readers: Final[dict[Any, Reader[Any]]] = {}


def reader(kind: type[T]) -> Reader[T]:
    """The (cached) reader of a type."""
    found = _readers.get(kind)
    if found is None:
        found = _readers[kind] = Reader(kind)
    return found


def no_number_in(value: Any, written: bytes) -> str | None:
    """Where plain JSON values have NaN or an infinity, and which, given what they were written as; None where all of
    them are in there. The encoder writes such a number as null: what has no null has none.
    """
    if _NULL not in written:
        return None
    from .no_number import no_number

    return no_number(value)


def encode(value: Any, write: Callable[[Any], bytes] = _encoder.encode) -> bytes:
    """A value as JSON, ``extra`` members included. ``write``: an encoder that knows more types."""
    data = write(value)
    if _RARE in data and (_EXTRA_MARK in data or _UNKNOWN_MARK in data):
        return write(tree(value))
    return data


def decode(data: bytes | Raw) -> Any:
    """Any JSON as plain Python values. Raises `DECODE_ERRORS`."""
    return _any.decode(data)


def fits(kind: Any, value: Any, name: str = "") -> bool:
    """Whether plain JSON values read as a type; ``name``: of the member that they are."""
    try:
        msgspec.convert(_integers(_shelter({name: value})[name]), kind)
    except DECODE_ERRORS:
        return False
    return True


@lru_cache(maxsize=1024)
def _layout(type: type[Struct]) -> tuple[frozenset[str], tuple[tuple[str, str], ...]]:
    """The members that a Struct type knows, and those of its fields that may hold Structs: names here and on the
    wire.
    """
    names = {field.encode_name for field in fields(type)}
    if type.__struct_config__.tag_field is not None:
        names.add(type.__struct_config__.tag_field)
    below = [(field.name, field.encode_name) for field in fields(type) if _holds_structs(field.type)]
    return frozenset(names), tuple(below)


def _holds_structs(kind: Any) -> bool:
    """Whether a value of a type can be a Struct or a list of them, which `_collect` goes into."""
    if isinstance(kind, type):
        return issubclass(kind, Struct)
    origin = get_origin(kind)
    if isinstance(origin, type) and issubclass(origin, Struct):
        return True
    if origin in (types.UnionType, Union, Annotated, list):
        return any(_holds_structs(part) for part in get_args(kind))
    return False


def _collect(value: Any, data: bytes | Raw) -> None:
    if isinstance(value, Struct):
        if isinstance(value, UnknownContent):
            return
        kind = type(value)
        known, below = _layout(kind)
        if not below and not isinstance(value, Open):
            return
        members = _members.decode(data)
        if isinstance(value, Open) and not known.issuperset(members):
            extra = {key: _any.decode(item) for key, item in members.items() if key not in known}
            msgspec.structs.force_setattr(value, "extra", extra)
        for name, encode_name in below:
            if encode_name in members:
                _collect(getattr(value, name), members[encode_name])
    elif isinstance(value, list):
        items = cast("list[Any]", value)
        if items and isinstance(items[0], Struct):
            for item, raw in zip(items, _items.decode(data), strict=True):
                _collect(item, raw)


def _shelter(tree: Any) -> Any:
    """Wrap content blocks of unknown type, wherever a member named "content" holds them, so that typed
    reading takes them.
    """
    if isinstance(tree, dict):
        members = cast("dict[str, Any]", tree)
        return {key: _block(item) if key == "content" else _shelter(item) for key, item in members.items()}
    if isinstance(tree, list):
        return [_shelter(item) for item in cast("list[Any]", tree)]
    return tree


def _block(item: Any) -> Any:
    if isinstance(item, list):
        return [_block(each) for each in cast("list[Any]", item)]
    if isinstance(item, dict):
        members = cast("dict[str, Any]", item)
        kind = members.get("type")
        if isinstance(kind, str) and kind not in CONTENT_NAMES:
            return {"type": UNKNOWN_TAG, "members": members}
    return _shelter(item)


def _integers(tree: Any) -> Any:
    """A tree whose integral floats are integers, as the lenient reader has them."""
    if isinstance(tree, float):
        return _integral(repr(tree))
    if isinstance(tree, dict):
        return {key: _integers(item) for key, item in cast("dict[str, Any]", tree).items()}
    if isinstance(tree, list):
        return [_integers(item) for item in cast("list[Any]", tree)]
    return tree


def _integral(text: str) -> float | int:
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < 2**63 else number
