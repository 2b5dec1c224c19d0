"""A form in the terminal: the fields of a schema, and the same value as JSON.

Theory of operation. What is written in either way is carried to the other when it is switched; members that have no
field wait beside, so nothing is lost. A suggested value stands in its field from the beginning.

Specification: server/tools; client/elicitation, "Requested Schema".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, cast

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.suggester import Suggester
from textual.widget import Widget
from textual.widgets import Input, Select, SelectionList, Static, TextArea
from textual.widgets.selection_list import Selection

from .fields import FieldInvalid, FormField, fields_of, text_of, value_of
from .text import block, inline, json_text

__all__ = ["FormInvalid", "SchemaForm"]

_DESCRIPTION: Final = 600


class FormInvalid(ValueError):
    """A form that can't be sent as it is: the text has a line for each field that is wrong, safe to draw."""


class SchemaForm(Vertical):
    """The form of an object ``schema``. ``value``: what it holds at first, beside what the schema suggests.
    ``suggesters``: for fields of text, by name.
    """

    DEFAULT_CSS = """
    SchemaForm { height: 1fr; }
    SchemaForm > VerticalScroll { height: 1fr; scrollbar-size-vertical: 1; }
    SchemaForm .form--label { width: 1fr; padding: 0 1; }
    SchemaForm .form--description { width: 1fr; padding: 0 1; color: $text-muted; }
    SchemaForm Input, SchemaForm Select { width: 1fr; }
    SchemaForm TextArea { height: 5; }
    SchemaForm SelectionList { height: auto; max-height: 8; }
    SchemaForm > TextArea { height: 1fr; display: none; }
    SchemaForm.as-json > TextArea { display: block; }
    SchemaForm.as-json > VerticalScroll { display: none; }
    """

    def __init__(
        self,
        schema: Any,
        value: Mapping[str, Any] | None = None,
        *,
        suggesters: Mapping[str, Suggester] | None = None,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self.fields: Final = fields_of(schema)
        self._suggesters = suggesters or {}
        self._first = {each.name: each.default for each in self.fields if each.has_default} | dict(
            value or {}
        )
        names = {each.name for each in self.fields}
        self._beside = {each: self._first[each] for each in self._first if each not in names}

    @property
    def as_json(self) -> bool:
        """Whether it is written as JSON now."""
        return self.has_class("as-json")

    def compose(self) -> ComposeResult:
        """Called by Textual."""
        with VerticalScroll(can_focus=False):
            if not self.fields:
                yield Static(Content("No fields. F4 writes it as JSON."), classes="form--description")
            for at, field in enumerate(self.fields):
                yield from self._field(at, field)
        yield TextArea(json_text(self._first), id="whole", tab_behavior="focus", soft_wrap=True)

    def focus_first(self) -> None:
        """Begin to write."""
        if self.as_json or not self.fields:
            (self.query_one("#whole", TextArea) if self.as_json else self).focus()
        else:
            self._widget(0).focus()

    def value(self) -> dict[str, Any]:
        """What it holds. Raises `FormInvalid`."""
        if self.as_json:
            return self._from_json()
        found, problems = self._from_fields()
        if problems:
            raise FormInvalid("\n".join(problems))
        return found

    def toggle(self) -> None:
        """Write it the other way. Raises `FormInvalid` for JSON that no field can hold."""
        if self.as_json:
            self._fill(self._from_json())
            self.remove_class("as-json")
        else:
            self.query_one("#whole", TextArea).load_text(json_text(self._from_fields()[0]))
            self.add_class("as-json")
        self.focus_first()

    def put(self, name: str, value: Any) -> None:
        """Write into one field. Raises `LookupError` for one that there is not."""
        at = next((at for at, each in enumerate(self.fields) if each.name == name), None)
        if at is None:
            raise LookupError(f"there is no field {name}")
        self._put(at, value)

    def _field(self, at: int, field: FormField) -> ComposeResult:
        label = f"{inline(field.title or field.name, 80)}{' *' if field.required else ''}"
        named = f" ({inline(field.name, 80)})" if field.title and field.title != field.name else ""
        yield Static(
            Content.assemble((label, "bold"), (f"{named}  {_hint(field)}", "$text-muted")),
            classes="form--label",
        )
        if field.description:
            words = "\n".join(row[0][0] for row in block(field.description[:_DESCRIPTION]))
            yield Static(Content(words), classes="form--description")
        yield self._made(at, field)

    def _made(self, at: int, field: FormField) -> Widget:
        id = f"field-{at}"
        has = field.name in self._first
        first = self._first.get(field.name)
        match field.kind:
            case "choice":
                options = [
                    (Content(inline(title, 100)), str(n)) for n, (title, _) in enumerate(field.choices)
                ]
                chosen = _place(field, first) if has else None
                return Select(
                    options, value=Select.NULL if chosen is None else str(chosen), id=id, compact=True
                )
            case "choices":
                several = cast("list[Any]", first) if isinstance(first, list) else []
                return SelectionList[int](
                    *(
                        Selection(Content(inline(title, 100)), n, value in several)
                        for n, (title, value) in enumerate(field.choices)
                    ),
                    id=id,
                    compact=True,
                )
            case "json":
                return TextArea(
                    text_of(field, first) if has else "", id=id, tab_behavior="focus", soft_wrap=True
                )
            case _:
                text = text_of(field, first) if has else ""
                return Input(_editable(text), id=id, compact=True, suggester=self._suggesters.get(field.name))

    def _widget(self, at: int) -> Any:
        return self.query_one(f"#field-{at}")

    def _from_json(self) -> dict[str, Any]:
        text = self.query_one("#whole", TextArea).text
        try:
            found: Any = json.loads(text) if text.strip() else {}
        except (ValueError, RecursionError) as problem:
            raise FormInvalid(f"This is no JSON: {inline(str(problem))}") from None
        if not isinstance(found, dict):
            raise FormInvalid("This has to be an object: { ... }")
        return cast("dict[str, Any]", found)

    def _from_fields(self) -> tuple[dict[str, Any], list[str]]:
        found: dict[str, Any] = {}
        problems: list[str] = []
        for at, field in enumerate(self.fields):
            try:
                found[field.name] = self._read(at, field)
            except FieldInvalid as problem:
                problems.append(f"{inline(field.title or field.name, 80)} {inline(str(problem))}")
            except LookupError:
                continue  # left out
        return {**found, **self._beside}, problems

    def _read(self, at: int, field: FormField) -> Any:
        """Raises `FieldInvalid`, and `LookupError` for what is left out."""
        widget = self._widget(at)
        if isinstance(widget, SelectionList):
            chosen = sorted(cast("list[int]", widget.selected))
            if not chosen and not field.required:
                raise LookupError(field.name)
            return [field.choices[each][1] for each in chosen]
        if isinstance(widget, Select):
            place: Any = cast("Any", widget).value
            if isinstance(place, str):
                return field.choices[int(place)][1]
            if field.required:
                raise FieldInvalid("is needed: choose one")
            raise LookupError(field.name)
        text = widget.text if isinstance(widget, TextArea) else cast("Input", widget).value
        if text == _editable(text_of(field, self._first.get(field.name, ""))) and field.name in self._first:
            return self._first[field.name]  # untouched: as it was suggested, whatever stands in its place
        return value_of(field, text)

    def _fill(self, value: dict[str, Any]) -> None:
        names = {each.name for each in self.fields}
        misfits = [
            each.name for each in self.fields if each.name in value and not _holds(each, value[each.name])
        ]
        if misfits:
            names_of = ", ".join(inline(each, 80) for each in misfits)
            raise FormInvalid(f"The fields can't hold what stands there for {names_of}; it stays JSON.")
        self._beside = {each: value[each] for each in value if each not in names}
        self._first = {each: value[each] for each in value if each in names}
        for at, field in enumerate(self.fields):
            self._put(at, value.get(field.name), absent=field.name not in value)

    def _put(self, at: int, value: Any, *, absent: bool = False) -> None:
        field, widget = self.fields[at], self._widget(at)
        if isinstance(widget, SelectionList):
            chooser = cast("SelectionList[int]", widget)
            chooser.deselect_all()
            for n, (_, each) in enumerate(field.choices):
                if isinstance(value, list) and each in cast("list[Any]", value):
                    chooser.select(n)
        elif isinstance(widget, Select):
            place = None if absent else _place(field, value)
            cast("Any", widget).value = Select.NULL if place is None else str(place)
        elif isinstance(widget, TextArea):
            widget.load_text("" if absent else text_of(field, value))
        else:
            cast("Input", widget).value = "" if absent else _editable(text_of(field, value))


def _editable(text: str) -> str:
    """A text as it may stand in a line that is edited: escaped, where it could do something to the terminal."""
    return inline(text, len(text))


def _place(field: FormField, value: Any) -> int | None:
    """Which choice a value is; true is not 1."""
    return next(
        (n for n, (_, each) in enumerate(field.choices) if each == value and type(each) is type(value)), None
    )


def _holds(field: FormField, value: Any) -> bool:
    match field.kind:
        case "text":
            return isinstance(value, str)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case "choice":
            return _place(field, value) is not None
        case "choices":
            known = [each for _, each in field.choices]
            return isinstance(value, list) and all(each in known for each in cast("list[Any]", value))
        case "json":
            return True


def _hint(field: FormField) -> str:
    return {
        "text": "",
        "number": "number",
        "integer": "whole number",
        "choice": "choose",
        "choices": "choose any",
        "json": "JSON",
    }[field.kind]
