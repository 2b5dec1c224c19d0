"""pydantic, where the author uses it; never imported from here.

Theory of operation. If the author's code has a pydantic model, pydantic is among the loaded modules already;
if it is not, nothing here does anything. Models inside of annotations that msgspec reads are handled by
hooks, one model at a time. What msgspec refuses, and what only pydantic understands (``Field``, validators in
``Annotated``, its own dataclasses), is read whole by a `TypeAdapter` straight from the JSON, by pydantic's
rules for JSON.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, cast, get_args, get_origin

import msgspec
from msgspec import Struct

from . import hints
from .docstrings import class_docstring
from .hints import MISSING
from .members import classes, family, members

__all__ = [
    "Adapted",
    "Edit",
    "Misread",
    "adapt",
    "described_by",
    "edits",
    "is_field",
    "is_model",
    "loaded",
    "only_pydantic",
    "problems",
    "read_model",
    "schemas",
    "to_plain",
    "unread",
    "unsaid",
]


class Misread(ValueError):
    """JSON that pydantic does not read. ``error``: what it says. ``data``: the JSON."""

    def __init__(self, error: Any, data: bytes) -> None:
        self.error = error
        self.data = data
        super().__init__(str(error))


class Adapted(Struct, frozen=True, eq=False):
    """An annotation that pydantic serves; ``adapter`` is its `TypeAdapter`."""

    adapter: Any
    annotation: Any

    def read(self, data: bytes | msgspec.Raw) -> Any:
        """The value of JSON, by pydantic's rules, which take "5" for 5. Raises `Misread`."""
        return _reading(self.adapter.validate_json, bytes(data), None)

    def read_strictly(self, data: bytes | msgspec.Raw) -> Any:
        """As `read`, with no type taken for another."""
        return _reading(self.adapter.validate_json, bytes(data), True)

    def plain(self, value: Any) -> Any:
        """A value as plain JSON values."""
        return self.adapter.dump_python(value, mode="json", by_alias=True)


class Edit(Struct, frozen=True, eq=False):
    """What to add to pydantic's description of a class. ``names``: of its fields. ``text``: its own, None to leave it
    as it is. ``texts``: those of fields by name; ``marked``: the fields that bear marks which pydantic does not know.
    """

    subject: Adapted
    names: tuple[str, ...]
    text: str | None
    texts: dict[str, str]
    marked: dict[str, Adapted]


_OWN: Final = ("value_error", "assertion_error")


def _pydantic() -> Any | None:
    module = sys.modules.get("pydantic")
    return module if module is not None and hasattr(module, "TypeAdapter") else None


def is_model(kind: Any) -> bool:
    """Whether a type is a pydantic model."""
    pydantic = _pydantic()
    # Asked of each model that is read in passing: `issubclass` would ask the metaclass, which takes its time.
    return pydantic is not None and isinstance(kind, type) and pydantic.BaseModel in kind.__mro__


def only_pydantic(annotation: Any) -> bool:
    """Whether an annotation has parts that msgspec would read without the rules that pydantic gave them.

    On fields of other classes too; models inside of these do not count.
    """
    if _pydantic() is None:
        return False
    if _all_models(annotation) or any(map(_is_foreign, hints.leaves(annotation))):
        return True
    return any(
        is_field(member.default) or any(map(_is_foreign, hints.leaves(member.annotation)))
        for kind in classes(annotation, into_pydantic=False)
        for member in members(kind)
    )


def _all_models(annotation: Any) -> bool:
    """Whether an annotation is a model, or a list or dict of them: read at once they take a third of the time that
    they take one by one.
    """
    while get_origin(annotation) in (list, dict):
        *keys, annotation = get_args(annotation)
        if keys not in ([], [str]):
            return False
    return is_model(annotation)


def unread(annotation: Any) -> Any:
    """A mark with a rule that only its own library holds, if an annotation or a field that it leads to has one."""
    found = [annotation]
    for kind in classes(annotation, into_pydantic=False):
        for member in members(kind):
            if is_field(member.default):
                return member.default
            found.append(member.annotation)
    for each in found:
        for part in hints.leaves(each):
            if _is_rule(part):
                return part
    return None


def loaded() -> bool:
    """Whether the author's program has imported pydantic: nobody else's business makes it read anything."""
    return _pydantic() is not None


def adapt(annotation: Any) -> Adapted | None:
    """The annotation served by pydantic, or None where it is not loaded or refuses too."""
    pydantic = _pydantic()
    if pydantic is None:
        return None
    try:
        rebuilt = hints.rebuild(annotation, lambda leaf: leaf, _marked)
        return Adapted(pydantic.TypeAdapter(rebuilt), annotation)
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


def read_model(kind: Any, data: bytes, strict: bool | None) -> Any:
    """A model from its JSON. Raises `Misread`."""
    return _reading(kind.model_validate_json, data, strict)


def problems(error: BaseException | None) -> list[tuple[tuple[str | int, ...], str]]:
    """Place and text of each problem of a `Misread`, the values themselves left out; else nothing.

    Of the alternatives of a union, pydantic tells all that is wrong with each, and puts its name into the place. Names
    are taken out, and where a rule of the author's was broken, that is told alone.
    """
    if not isinstance(error, Misread):
        return []
    value: Any = msgspec.json.decode(error.data)
    listed = error.error.errors(include_input=False, include_url=False, include_context=False)
    found = [(_place(tuple(each["loc"]), value), each) for each in listed]
    if any(place != tuple(each["loc"]) for place, each in found):
        own = [(place, each) for place, each in found if each["type"] in _OWN]
        found = own or found
    return [(place, str(each["msg"])) for place, each in found]


def _place(steps: tuple[str | int, ...], value: Any) -> tuple[str | int, ...]:
    """Those steps that lead to a place in a value, and a last one that is missing there."""
    out: list[str | int] = []
    for index, step in enumerate(steps):
        inner = _inside(value, step)
        if inner is MISSING and (index + 1 < len(steps) or not isinstance(value, dict)):
            continue
        value = inner
        out.append(step)
    return tuple(out)


def _inside(value: Any, step: str | int) -> Any:
    if isinstance(value, dict):
        return cast("dict[Any, Any]", value).get(step, MISSING)
    if isinstance(value, list) and isinstance(step, int):
        items = cast("list[Any]", value)
        return items[step] if step < len(items) else MISSING
    return MISSING


def _reading(read: Callable[..., Any], data: bytes, strict: bool | None) -> Any:
    try:
        return read(data, strict=strict)
    except ValueError as problem:
        if type(problem).__name__ == "ValidationError":
            raise Misread(problem, data) from problem
        raise


def is_field(mark: Any) -> bool:
    """Whether a mark is pydantic's ``Field(...)``."""
    return type(mark).__name__ == "FieldInfo" and type(mark).__module__ == "pydantic.fields"


def described_by(source: Any, meta: msgspec.Meta) -> Any:
    """A type with what a marker says about it in pydantic's words. pydantic has to be loaded."""
    return Annotated[source, _as_field(_pydantic(), meta)]


def edits(annotations: Iterable[Any]) -> list[Edit]:
    """What pydantic's description of the classes that annotations lead to should say besides."""
    found: dict[Any, Edit] = {}
    for kind in (kind for each in annotations for kind in classes(each)):
        origin: type = get_origin(kind) or kind
        if kind in found or _pydantic() is None:
            continue
        said = class_docstring(origin)
        written = vars(origin).get("__doc__")
        shown = (
            family(kind) != "namedtuple" and written is not None and said.text == inspect.cleandoc(written)
        )
        text = None if shown or not (written or said.text) else said.text
        texts = {
            each.wire: said.parameters[each.name] for each in members(kind) if each.name in said.parameters
        }
        marked = {
            each.wire: adapted
            for each in members(kind)
            if any(map(_is_strange, hints.leaves(each.annotation))) and (adapted := adapt(each.annotation))
        }
        if (text is not None or texts or marked) and (subject := adapt(kind)):
            found[kind] = Edit(subject, tuple(each.wire for each in members(kind)), text, texts, marked)
    return list(found.values())


def unsaid(annotation: Any) -> bool:
    """Whether classes that an annotation leads to have fields with constraints that pydantic does not see."""
    return any(
        isinstance(part, msgspec.Meta) and part != msgspec.Meta(**_texts(part))
        for kind in classes(annotation)
        for member in members(kind)
        for part in hints.leaves(member.annotation)
    )


def _texts(meta: msgspec.Meta) -> dict[str, Any]:
    return {
        name: getattr(meta, name)
        for name in ("title", "description", "examples", "extra_json_schema", "extra")
    }


def _is_strange(mark: Any) -> bool:
    """Whether a mark says something that pydantic does not see."""
    return isinstance(mark, msgspec.Meta | str) or (
        not isinstance(mark, type) and isinstance(getattr(mark, "documentation", None), str)
    )


def _is_foreign(part: Any) -> bool:
    """Whether a type or mark is to be read by pydantic; models are read by it anyway."""
    if isinstance(getattr(part, "meta", None), msgspec.Meta) or is_model(part):
        return False
    return (
        hasattr(part, "__get_pydantic_core_schema__")
        or hasattr(part, "__is_pydantic_dataclass__")
        or is_field(part)
    )


def _is_rule(part: Any) -> bool:
    if is_field(part):
        named = ("alias", "validation_alias", "discriminator", "default_factory")
        return any(getattr(part, name) is not None for name in named) or any(map(_is_rule, part.metadata))
    if type(part).__module__.split(".")[0] == "annotated_types":
        return type(part).__name__ in ("Predicate", "Not", "Timezone")
    if type(part).__name__ == "PydanticGeneralMetadata":
        return not set(cast("dict[str, Any]", vars(part))) <= {"pattern", "strict"}
    return _is_foreign(part)


def _marked(inner: Any, marks: tuple[Any, ...]) -> Any:
    """Markers as pydantic understands them."""
    pydantic = _pydantic()
    out: list[Any] = []
    for mark in marks:
        meta = getattr(mark, "meta", mark)
        if not isinstance(meta, msgspec.Meta) and not is_field(mark) and (text := hints.described([mark])):
            meta = msgspec.Meta(description=text)
        out.append(_as_field(pydantic, meta) if isinstance(meta, msgspec.Meta) else mark)
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
        "examples",
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
