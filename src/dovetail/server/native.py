"""Types that msgspec reads: made ready for it.

Theory of operation. An annotation is first *prepared*: markers, whichever library they come from, become msgspec's,
and constraints on ``T | None`` move to ``T``. This reaches as far as an annotation does. What stands on the fields of
a class is the class's own, and msgspec knows only its own markers there: others are *unenforced*, and whoever reads
the type has to ask its JSON Schema too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Final, Optional, cast

import msgspec

from . import hints, pydantic_models
from .members import classes, family, members

__all__ = [
    "CONSTRAINTS",
    "completion",
    "decode_hook",
    "decoder",
    "encode_hook",
    "metas",
    "prepare",
    "reader",
    "to_plain",
    "twin",
    "unenforced",
]

CONSTRAINTS: Final = (
    "gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length", "tz",
)  # fmt: skip
_FOREIGN: Final = ("gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length")


def prepare(annotation: Any) -> Any:
    """The annotation as msgspec should see it. Raises TypeError for constraints that it cannot hold."""
    return hints.rebuild(annotation, lambda kind: kind, _marked)


def metas(mark: Any) -> Iterator[msgspec.Meta]:
    """What a marker of any library says, in msgspec's words. Raises TypeError for what these cannot say."""
    if isinstance(meta := getattr(mark, "meta", mark), msgspec.Meta):
        yield meta
    elif pydantic_models.is_field(mark):
        for each in mark.metadata:
            yield from metas(each)
        extra = mark.json_schema_extra
        yield msgspec.Meta(
            title=mark.title,
            description=mark.description,
            examples=mark.examples,
            extra_json_schema=cast("dict[str, Any]", extra) if isinstance(extra, dict) else None,
        )
    elif text := hints.described([mark]):
        yield msgspec.Meta(description=text)
    elif type(mark).__module__.split(".")[0] in ("annotated_types", "pydantic"):
        given = {name: item for name in _FOREIGN if (item := getattr(mark, name, None)) is not None}
        if given:
            yield msgspec.Meta(**given)


def unenforced(annotation: Any) -> bool:
    """Whether classes that an annotation leads to have fields with constraints that msgspec does not see."""
    return any(
        _is_limit(meta)
        for kind in classes(annotation, into_pydantic=False)
        for member in members(kind)
        for part in hints.leaves(member.annotation)
        if not isinstance(part, type | msgspec.Meta)
        for meta in metas(part)
    )


def decoder(kind: Any, *, strict: bool = False) -> msgspec.json.Decoder[Any]:
    """A decoder; ``strict``: of pydantic's models too, which else take "5" for 5. Raises TypeError for what msgspec
    cannot read.
    """
    return msgspec.json.Decoder(kind, dec_hook=_strict_hook if strict else decode_hook)


def reader(kind: Any) -> Callable[[bytes | msgspec.Raw], Any]:
    """What reads a value of a type from JSON, whole. Raises TypeError for what msgspec cannot read."""
    decode, complete = decoder(kind).decode, completion([kind])
    if complete is None:
        return decode

    def read(data: bytes | msgspec.Raw) -> Any:
        value = decode(data)
        complete((value,))
        return value

    return read


def completion(annotations: Sequence[Any]) -> Callable[[Sequence[Any]], None] | None:
    """What gives values of these types, one for each, the defaults that msgspec left out; None where there are none."""
    if not any(family(kind) == "dataclass" for each in annotations for kind in classes(each)):
        return None
    from .class_defaults import completed  # for these alone

    return completed(annotations)


def twin(annotation: Any) -> tuple[Any, Callable[[Any], Any]] | None:
    """What is read faster in place of a type, and what makes the type's values of it; None where there is nothing."""
    if not any(family(kind) == "dataclass" for kind in classes(annotation)):
        return None
    from .struct_twins import twin  # for these alone

    return twin(annotation)


def decode_hook(kind: type, value: Any) -> Any:
    """Reads the models that msgspec meets inside of other types, by pydantic's rules for JSON."""
    return _of_model(kind, value, None)


def _strict_hook(kind: type, value: Any) -> Any:
    return _of_model(kind, value, True)


def _of_model(kind: type, value: Any, strict: bool | None) -> Any:
    if pydantic_models.is_model(kind):
        return pydantic_models.read_model(kind, msgspec.json.encode(value), strict)
    raise NotImplementedError(  # msgspec's contract for hooks: what to raise for a type that the hook does not know
        f"values of {kind!r} cannot be read from JSON"
    )


def encode_hook(value: Any) -> Any:
    """Writes what msgspec does not know: models as their JSON, paths and addresses as text."""
    if isinstance(value, os.PathLike):
        return os.fsdecode(cast("os.PathLike[str]", value))
    if type(value).__module__ == "ipaddress":
        return str(value)
    return pydantic_models.to_plain(value)


def to_plain(value: Any) -> Any:
    """A value as plain JSON values. Raises TypeError (or what a part of it raises) where that cannot be."""
    return msgspec.to_builtins(value, str_keys=True, enc_hook=encode_hook)


def _is_limit(meta: msgspec.Meta) -> bool:
    return any(getattr(meta, name) is not None for name in CONSTRAINTS)


def _marked(inner: Any, marks: tuple[Any, ...]) -> Any:
    """Markers as msgspec understands them; constraints on a type that may be None go to the type itself."""
    said = [meta for mark in marks for meta in metas(mark)]
    limits = [meta for meta in said if _is_limit(meta)]
    members = hints.union_members(inner)
    if limits and type(None) in members and len(members) == 2:
        value = next(each for each in members if each is not type(None))
        bounds = [msgspec.Meta(**{name: getattr(meta, name) for name in CONSTRAINTS}) for meta in limits]
        inner = Optional[Annotated[(value, *bounds)]]  # noqa: UP045 - the inner type is computed
        said = [
            msgspec.Meta(
                title=each.title, description=each.description, extra_json_schema=each.extra_json_schema
            )
            for each in said
        ]
    return Annotated[(inner, *said)] if said else inner
