"""One input of a function, as it is registered: what reads it, how it is described, and whether its default is one.

Theory of operation. msgspec reads a parameter, unless its annotation, or a field of a class that it leads to, has
rules of pydantic's: then pydantic does, wherever it can. What neither can do is refused, so that a constraint is
either held or never promised.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ..protocol import names
from . import describing, hints, native, pydantic_models
from .defaults import FACTORIES, maker, widened
from .members import classes
from .pydantic_models import Adapted
from .signature import MISSING, Parameter, Plan
from .withheld import sensitive

__all__ = ["accepted", "comparable", "no_default", "property_of", "reader", "struct_field", "unenforced"]

_MAX_TEXT: Final = 300
_PLAIN: Final = (str, int, float, bool, Any)
"""What needs no looking at."""


def accepted(annotation: Any, default: Any) -> Any:
    """``x: T = None`` as ``T | None``, unless a header repeats the argument, which cannot be null."""
    marks = (meta for mark in hints.markers_of(annotation) for meta in native.metas(mark))
    if any(names.X_MCP_HEADER in (meta.extra_json_schema or {}) for meta in marks):
        return annotation
    return widened(annotation, default)


def reader(plan: Plan, parameter: Parameter) -> Any:
    """What reads a parameter: its annotation, for msgspec, or pydantic's adapter.

    Raises `RegistrationError`.
    """
    annotation = parameter.annotation
    if annotation in _PLAIN:
        return annotation
    if pydantic_models.only_pydantic(annotation):
        adapted = pydantic_models.adapt(annotation)
        if adapted is not None:
            return _describable(plan, parameter, adapted)
    try:
        describing.describe([annotation], output=False)
        native.decoder(native.prepare(annotation))
    except Exception as problem:
        adapted = None if isinstance(problem, NameError) else pydantic_models.adapt(annotation)
        if adapted is not None:
            return _describable(plan, parameter, adapted)
        raise plan.refuse(_unreadable(annotation, problem), parameter.name) from problem
    if (rule := pydantic_models.unread(annotation)) is not None:
        adapted = pydantic_models.adapt(annotation)
        if adapted is not None:
            return _describable(plan, parameter, adapted)
        raise plan.refuse(
            f"{_clip(repr(annotation), 120)}: the rule {_clip(repr(rule), 120)} is held by pydantic alone, which does"
            " not read this type; put the rule into a pydantic model, or check it in __post_init__",
            parameter.name,
        )
    return annotation


def _describable(plan: Plan, parameter: Parameter, adapted: Adapted) -> Adapted:
    try:
        describing.describe([adapted], output=False)
    except Exception as problem:
        raise plan.refuse(
            f"has no JSON Schema: {_clip(str(problem), _MAX_TEXT)}", parameter.name
        ) from problem
    return adapted


def _unreadable(annotation: Any, problem: Exception) -> str:
    reason = _clip(" ".join(str(problem).split()), _MAX_TEXT)
    if isinstance(problem, NameError):
        return f"{_clip(repr(annotation), 120)}: {reason} where that type is defined; define both in the module itself"
    advice = "use plain types, a dataclass, a TypedDict or a pydantic model"
    if "more than one" in reason:
        advice = "tell the members of the union apart with tagged msgspec Structs, or use pydantic models"
        if not pydantic_models.loaded():
            advice += "; or write `import pydantic` in the module: it reads this union as it is"
    return f"arguments of type {_clip(repr(annotation), 120)} cannot be read from JSON ({reason}); {advice}"


def unenforced(kind: Any) -> bool:
    """Whether the schema says more than what reads the type enforces."""
    if isinstance(kind, Adapted):
        return pydantic_models.unsaid(kind.annotation)
    models = (each for each in classes(kind) if pydantic_models.is_model(each))
    return native.unenforced(kind) or any(map(pydantic_models.unsaid, models))


def struct_field(index: int, parameter: Parameter, kind: Any) -> Any:
    """A field of the Struct: numbered, so that no parameter's name means anything to Python's classes."""
    name, default = f"field{index}", parameter.default
    if parameter.required:
        return (name, kind)
    if default is None or isinstance(default, bool | int | float | str | bytes):
        return (name, kind, default)
    factory = parameter.factory or maker(default) or (lambda: default)
    return (name, kind, msgspec.field(default_factory=factory))


def property_of(parameter: Parameter, kind: Any, schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of one argument, with what the author said about it."""
    text = parameter.description
    out = {"description": text} if text else {}
    out.update((key, item) for key, item in schema.items() if key not in ("description", "title", "default"))
    if not text and isinstance(schema.get("description"), str):
        out["description"] = schema["description"]
    default = parameter.value() if parameter.factory in FACTORIES else parameter.default
    if default is not MISSING and not schema.get("writeOnly") and not sensitive(parameter.name):
        try:
            plain = kind.plain(default) if isinstance(kind, Adapted) else native.to_plain(default)
            data = msgspec.json.encode(plain)
            (kind.read if isinstance(kind, Adapted) else native.decoder(native.prepare(kind)).decode)(data)
        except Exception:  # noqa: BLE001 - a default that is no value of the type is the author's, but no part of the schema
            return out
        out["default"] = plain
    return out


def no_default(parameter: Parameter, expected: str) -> str:
    """Why a default is refused; ``expected``: what the schema asks for, or "" where the type is wrong."""
    kind = getattr(parameter.annotation, "__name__", None) or repr(parameter.annotation)
    shown = "" if sensitive(parameter.name) else f" {_clip(repr(parameter.default), 80)}"
    wanted = f"{expected} is expected" if expected else f"it is no {_clip(kind, 120)}"
    return (
        f"the default{shown} does not fit the annotation: {wanted}; change one of them"
        " (for an argument that may be left out, `T | None = None`)"
    )


def comparable(kind: Any, default: Any) -> Any:
    """A default as JSON that can be held against the schema; MISSING where its JSON may be another on the way out."""
    try:
        plain = kind.plain(default) if isinstance(kind, Adapted) else native.to_plain(default)
    except Exception:  # noqa: BLE001 - what JSON cannot say, the schema cannot judge
        return MISSING
    if isinstance(kind, Adapted):
        return plain if type(plain) is type(default) and not isinstance(plain, dict | list) else MISSING
    return MISSING if any(map(pydantic_models.is_model, classes(kind))) else plain


def _clip(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
