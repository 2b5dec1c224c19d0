"""The fields of a form as a person types them: what to show, and how a line becomes a value.

Specification: client/elicitation, "Requested Schema".
"""

from collections.abc import Mapping
from typing import Any, Final, cast

from ..client.form_fields import misformed
from ..protocol.safe_text import one_line, passage, safe
from ..protocol.schema.validator import compile_schema, explain
from .coercion import read_value

__all__ = ["TerminalField", "fields_of"]

_ABSENT: Final = object()


class TerminalField:
    """One field of a form. ``default`` and ``choices`` (value and title) are what the server suggests."""

    def __init__(self, name: str, schema: Mapping[str, Any], *, required: bool) -> None:
        self.name = name
        self.required = required
        self.default: Any = schema.get("default", _ABSENT)
        self.many = schema.get("type") == "array"
        items: Any = schema.get("items") if self.many else schema
        self.choices = _choices(cast("Mapping[str, Any]", items) if isinstance(items, dict) else {})
        self._schema = dict(schema)

    @property
    def has_default(self) -> bool:
        """Whether the server suggests a value."""
        return self.default is not _ABSENT

    @property
    def optional(self) -> bool:
        """Whether the field may be left out."""
        return not self.required

    @property
    def is_boolean(self) -> bool:
        """Whether this is a yes or no."""
        return self._schema.get("type") == "boolean"

    def title(self) -> str:
        """Its name for people, safe to show."""
        return one_line(str(self._schema.get("title") or self.name))

    def hint(self) -> str:
        """What may be typed, in brackets: type, bounds, default."""
        said = [
            "several of the numbers, separated by commas"
            if self.many
            else _kind(self._schema, bool(self.choices))
        ]
        said += [f"{word} {self._schema[key]}" for key, word in _BOUNDS if key in self._schema]
        if self.has_default:
            said.append(f"Enter for {_typed(self.default)}")
        elif self.optional:
            said.append("may be left empty")
        return one_line(", ".join(said))

    def description(self) -> str:
        """What the server says about it, safe to show."""
        return passage(str(self._schema.get("description") or ""), indent="  ").strip()

    def read(self, line: str) -> Any:
        """The value typed. Raises ValueError, which says what was expected."""
        line = line.strip()
        value = (
            [self._one(part.strip()) for part in line.split(",") if part.strip()]
            if self.many
            else self._one(line)
        )
        form = {"type": "object", "properties": {self.name: self._schema}}
        violations = compile_schema(form).check({self.name: value})
        if violations:
            raise ValueError(safe(explain(violations)))
        if (problem := misformed(self._schema, value)) is not None:
            raise ValueError(safe(problem))
        return value

    def _one(self, text: str) -> Any:
        if self.choices:
            return self._choice(text)
        if self.is_boolean and text.lower() in ("y", "n"):
            return text.lower() == "y"
        return read_value(text, self._schema)

    def _choice(self, text: str) -> Any:
        for value, title in self.choices:
            if text in (value, title):
                return value
        if text.isdecimal() and 1 <= int(text) <= len(self.choices):
            return self.choices[int(text) - 1][0]
        raise ValueError(f"expected a number from 1 to {len(self.choices)}, or the text of a choice")


_BOUNDS: Final = (
    ("minimum", "at least"),
    ("maximum", "at most"),
    ("minLength", "characters at least"),
    ("maxLength", "characters at most"),
    ("minItems", "choices at least"),
    ("maxItems", "choices at most"),
)


def fields_of(schema: Mapping[str, Any]) -> list[TerminalField]:
    """The fields of a form, in its order."""
    properties = cast("Mapping[str, Mapping[str, Any]]", schema.get("properties") or {})
    required = cast("list[str]", schema.get("required") or [])
    return [TerminalField(name, each, required=name in required) for name, each in properties.items()]


def _choices(schema: Mapping[str, Any]) -> list[tuple[str, str]]:
    for word in ("oneOf", "anyOf"):
        if isinstance(schema.get(word), list):
            listed = cast("list[Mapping[str, Any]]", schema[word])
            return [
                (str(each["const"]), str(each.get("title", each["const"])))
                for each in listed
                if "const" in each
            ]
    if isinstance(schema.get("enum"), list):
        values = [str(each) for each in cast("list[Any]", schema["enum"])]
        titles = [str(each) for each in cast("list[Any]", schema.get("enumNames") or [])]
        return list(zip(values, [*titles, *values[len(titles) :]], strict=False))
    return []


def _kind(schema: Mapping[str, Any], choice: bool) -> str:
    if choice:
        return "one of the numbers"
    if schema.get("type") == "boolean":
        return "y/n"
    return {"integer": "whole number"}.get(
        str(schema.get("type")),
        str(schema.get("format") or {"string": "text"}.get(str(schema.get("type")), "number")),
    )


def _typed(value: Any) -> str:
    if isinstance(value, bool):
        return "y" if value else "n"
    return ", ".join(map(str, cast("list[Any]", value))) if isinstance(value, list) else str(value)
