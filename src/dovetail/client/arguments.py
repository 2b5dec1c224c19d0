"""What a caller gives, as JSON: what msgspec writes by itself, and what it has to be told.

Dataclasses, enums, dates, UUIDs, decimals, bytes (as Base64), sets and Structs are msgspec's own; paths, pydantic
models and URLs, other mappings and sequences are written here, the same way as our server writes them.
"""

import os
from collections.abc import Mapping, Sequence, Set
from typing import Any, Final, cast

import msgspec

from ..protocol import codec
from ..protocol.errors import LocalProtocolError

_UNFIT: Final = (TypeError, ValueError, RecursionError)


def as_json(what: str, value: Any) -> bytes:
    """A mapping as JSON. ``what`` names it. Raises `LocalProtocolError` for what can't be JSON."""
    if type(value) is not dict and not isinstance(value, Mapping):
        raise LocalProtocolError(
            f"{what} are given as a dict of names and values, not as a {type(value).__name__}"
        )
    try:
        written = codec.encode(dict(cast("Mapping[str, Any]", value)), _hooked)
    except _UNFIT as problem:
        raise LocalProtocolError(f"{what} can't be sent as JSON: {problem}") from None
    if (told := codec.no_number_in(value, written)) is not None:
        raise LocalProtocolError(
            f"{what} can't be sent as JSON, which has no such number: {told}; give None or a text"
        )
    return written


def as_plain(what: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping as plain JSON values. Raises `LocalProtocolError` for what can't be JSON."""
    return codec.decode(as_json(what, value))


def plain_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call as the JSON values that they are sent as: what msgspec writes, and paths, models and URLs
    of pydantic, other mappings and sequences. For those who look at a call before it is made: who shows it to a person,
    or holds it against rules. Raises `LocalProtocolError` for what can't be JSON.

    Specification: server/tools, "Calling Tools".
    """
    return as_plain("the arguments", arguments)


def as_texts(what: str, value: Mapping[str, Any]) -> dict[str, str]:
    """A mapping whose values are text: what is no text is written as JSON. Raises `LocalProtocolError`."""
    plain = as_plain(what, value)
    return {
        name: item if isinstance(item, str) else codec.encode(item).decode() for name, item in plain.items()
    }


def _hook(value: Any) -> Any:
    """Writes what msgspec does not know. Raises TypeError."""
    if isinstance(value, os.PathLike):
        return os.fsdecode(cast("os.PathLike[str]", value))
    kind = cast("type[Any]", type(value))
    dump = getattr(kind, "model_dump", None)
    if dump is not None:
        return dump(value, mode="json", by_alias=True)
    if isinstance(value, Mapping):
        return dict(cast("Mapping[Any, Any]", value))
    if isinstance(value, (Sequence, Set)):
        return list(cast("Sequence[Any]", value))
    if kind.__module__.partition(".")[0] in ("pydantic", "pydantic_core"):
        return str(value)  # URLs and the like; a secret shows its stars
    raise TypeError(f"a value of type {kind.__qualname__} is no JSON; give text, numbers, lists or dicts")


_hooked: Final = msgspec.json.Encoder(enc_hook=_hook).encode
