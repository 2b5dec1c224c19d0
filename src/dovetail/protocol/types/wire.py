"""What all wire values share.

`Wire` is the common configuration: frozen, camelCase on the wire, absent when default. `Open` is for the
values that a gateway or an inspector must be able to hand on unchanged: the members that this version does
not know are kept in ``extra`` (see `dovetail.protocol.codec`). `to_wire` shows a value as the JSON that it
stands for, with those members in their places.
"""

from functools import lru_cache
from typing import Any, Final, cast

import msgspec
from msgspec import Struct, field

# A key from Unicode's private use area, which no peer means by accident. The encoder never lets it out: see
# codec.
EXTRA_KEY = "\ue000extra"

_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder()


class Wire(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A value of the protocol. Fields are snake_case here and camelCase on the wire; a default is not sent."""

    def to_wire(self) -> dict[str, Any]:
        """The value as plain JSON values (dict, list, str, int, float, bool, None), as it goes over the wire.

        Names are those of the protocol; members that this version does not know are in their places. Raises
        TypeError where the value holds something that is no JSON.
        """
        return _decoder.decode(_encoder.encode(tree(self)))


class Open(Wire, frozen=True, kw_only=True):
    """A value that keeps what it does not know.

    ``extra`` holds the members of the received object that no field names, by wire name, or None. They are
    sent back unchanged when the value is sent again; a known member always wins over one in ``extra``.
    """

    extra: dict[str, Any] | None = field(default=None, name=EXTRA_KEY)


class Verbatim(Open, frozen=True, kw_only=True):
    """A value that is sent exactly as it came: ``members`` is the whole object."""

    members: dict[str, Any]


Meta = dict[str, Any]
"""A ``_meta`` object: open by definition, keys by the grammar in basic/index, "_meta"."""


def tree(value: Any) -> Any:
    """A value as dicts and lists, ``extra`` members in their places and unknown content as it came."""
    if isinstance(value, Verbatim):
        return value.members
    if isinstance(value, Struct):
        return struct_members(value)
    if isinstance(value, dict):
        return {key: tree(item) for key, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [tree(item) for item in cast("list[Any]", value)]
    return value


def struct_members(value: Struct, *, deep: bool = True) -> dict[str, Any]:
    """The members of a Struct as they go over the wire: one level as a dict, deeper levels by `tree` if
    ``deep``.
    """
    out: dict[str, Any] = {}
    config = value.__struct_config__
    if config.tag_field is not None:
        out[config.tag_field] = config.tag
    extra: dict[str, Any] | None = None
    for member in fields(type(value)):
        item = getattr(value, member.name)
        if member.encode_name == EXTRA_KEY:
            extra = item
        elif item is not msgspec.UNSET and not (config.omit_defaults and item is member.default):
            out[member.encode_name] = tree(item) if deep else item
    if extra:
        for key, item in extra.items():
            out.setdefault(key, item)
    return out


@lru_cache(maxsize=1024)
def fields(type: type[Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """The fields of a Struct type (cached)."""
    return msgspec.structs.fields(type)
