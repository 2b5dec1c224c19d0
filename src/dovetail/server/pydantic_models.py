"""pydantic, where the author uses it; never imported from here.

Theory of operation. If the author's code has a pydantic model, pydantic is among the loaded modules already;
if it is not, nothing here does anything. Models inside of annotations that msgspec reads are handled by
hooks, one model at a time. What msgspec refuses, and what only pydantic understands (``Field``, validators in
``Annotated``, its own dataclasses), is read whole by a `TypeAdapter` straight from the JSON, by pydantic's
rules for JSON.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, cast

import msgspec

from . import hints

__all__ = [
    "Adapted",
    "adapt",
    "is_model",
    "only_pydantic",
    "problems",
    "schemas",
    "split_default",
    "to_plain",
]


@dataclass(frozen=True, slots=True, eq=False)
class Adapted:
    """An annotation that pydantic serves; ``adapter`` is its `TypeAdapter`."""

    adapter: Any

    def read(self, data: bytes | msgspec.Raw) -> Any:
        """The value of JSON. Raises pydantic's ValidationError, which is a ValueError."""
        return self.adapter.validate_json(bytes(data))

    def plain(self, value: Any) -> Any:
        """A value as plain JSON values."""
        return self.adapter.dump_python(value, mode="json", by_alias=True)


def _pydantic() -> Any | None:
    module = sys.modules.get("pydantic")
    return module if module is not None and hasattr(module, "TypeAdapter") else None


def is_model(kind: Any) -> bool:
    """Whether a type is a pydantic model."""
    pydantic = _pydantic()
    return pydantic is not None and isinstance(kind, type) and issubclass(kind, pydantic.BaseModel)


def only_pydantic(annotation: Any) -> bool:
    """Whether an annotation has parts that msgspec would read without the rules that pydantic gave them."""
    if _pydantic() is None:
        return False
    if is_model(annotation):
        return True
    return any(
        not is_model(part)
        and (hasattr(part, "__get_pydantic_core_schema__") or hasattr(part, "__is_pydantic_dataclass__"))
        for part in hints.leaves(annotation)
    ) or any(_is_field(part) for part in hints.leaves(annotation))


def split_default(annotation: Any, default: Any, missing: Any) -> tuple[Any, Any]:
    """``x: T = Field(...)`` as the annotation and the default that it means."""
    if not _is_field(default):
        return annotation, default
    value = missing if default.is_required() else default.get_default(call_default_factory=True)
    return Annotated[annotation, default], value


def adapt(annotation: Any) -> Adapted | None:
    """The annotation served by pydantic, or None where it is not loaded or refuses too."""
    pydantic = _pydantic()
    if pydantic is None:
        return None
    try:
        return Adapted(pydantic.TypeAdapter(hints.rebuild(annotation, lambda leaf: leaf, _marked)))
    except Exception:  # noqa: BLE001 - third-party types may raise anything while pydantic reads them
        return None


def schemas(
    subjects: Sequence[Adapted | type], *, output: bool, taken: Collection[str]
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """The schema of each subject, and their common definitions, whose names avoid those ``taken``."""
    pydantic = _pydantic()
    if pydantic is None or not subjects:
        return [], {}
    mode = "serialization" if output else "validation"
    asked = [
        (index, mode, each.adapter if isinstance(each, Adapted) else pydantic.TypeAdapter(each))
        for index, each in enumerate(subjects)
    ]
    found, common = pydantic.TypeAdapter.json_schemas(asked, ref_template="#/$defs/{model}")
    definitions = cast("dict[str, dict[str, Any]]", common.get("$defs", {}))
    renamed = _renamed(definitions, taken)
    bodies = {renamed[name]: _repoint(body, renamed) for name, body in definitions.items()}
    return [_repoint(found[(index, mode)], renamed) for index in range(len(subjects))], bodies


def to_plain(value: Any) -> Any:
    """A model instance, or a value of pydantic's own types (URLs, secrets), as plain JSON values.

    Raises TypeError for anything else.
    """
    pydantic = _pydantic()
    if pydantic is not None and isinstance(value, pydantic.BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if pydantic is not None and any(
        base.__module__.partition(".")[0] in ("pydantic", "pydantic_core") for base in type(value).__mro__
    ):
        return sys.modules["pydantic_core"].to_jsonable_python(value, by_alias=True)
    raise TypeError(f"a {type(value).__qualname__} cannot be written as JSON")


def problems(error: BaseException | None) -> list[tuple[tuple[str | int, ...], str]]:
    """Place and text of each problem in a pydantic ValidationError, the values themselves left out.

    Else nothing.
    """
    listing = getattr(error, "errors", None)
    if listing is None or not type(error).__module__.startswith("pydantic"):
        return []
    try:
        found = cast(
            "list[dict[str, Any]]", listing(include_input=False, include_url=False, include_context=False)
        )
    except TypeError:
        return []
    return [(tuple(each["loc"]), str(each["msg"])) for each in found]


def _is_field(mark: Any) -> bool:
    return type(mark).__name__ == "FieldInfo" and type(mark).__module__ == "pydantic.fields"


def _marked(inner: Any, marks: tuple[Any, ...]) -> Any:
    """Markers as pydantic understands them."""
    pydantic = _pydantic()
    out = [_as_field(pydantic, mark) if isinstance(mark, msgspec.Meta) else mark for mark in marks]
    return Annotated[(inner, *out)]


def _as_field(pydantic: Any, meta: msgspec.Meta) -> Any:
    names = (
        "gt",
        "ge",
        "lt",
        "le",
        "multiple_of",
        "pattern",
        "min_length",
        "max_length",
        "title",
        "description",
    )
    given = {name: item for name in names if (item := getattr(meta, name)) is not None}
    if meta.extra_json_schema:
        given["json_schema_extra"] = dict(meta.extra_json_schema)
    return pydantic.Field(**given)


def _renamed(definitions: Iterable[str], taken: Collection[str]) -> dict[str, str]:
    out: dict[str, str] = {}
    used = set(taken)
    for name in definitions:
        unique, number = name, 2
        while unique in used:
            unique, number = f"{name}_{number}", number + 1
        used.add(unique)
        out[name] = unique
    return out


def _repoint(node: Any, renamed: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        members = cast("dict[str, Any]", node)
        out = {key: _repoint(item, renamed) for key, item in members.items()}
        reference = members.get("$ref")
        if isinstance(reference, str) and reference.startswith("#/$defs/"):
            name = reference.removeprefix("#/$defs/")
            out["$ref"] = f"#/$defs/{renamed.get(name, name)}"
        return out
    if isinstance(node, list):
        return [_repoint(item, renamed) for item in cast("list[Any]", node)]
    return node
