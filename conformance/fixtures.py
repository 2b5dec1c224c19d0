"""What the everything server shows: a picture, a sound, a schema and the forms that the scenarios ask for."""

from __future__ import annotations

import base64
import io
import wave
from dataclasses import dataclass
from typing import Any, Final, Literal

#: One red pixel.
PNG: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
)


def _silence() -> bytes:
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(8000)
        file.writeframes(b"\x80" * 8)
    return sound.getvalue()


#: A thousandth of a second of silence.
WAV: Final = _silence()

#: The schema that has to reach clients word for word (scenario json-schema-2020-12).
SCHEMA_2020_12: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


@dataclass
class Person:
    """A form with a text."""

    name: str


@dataclass
class Color:
    """Another form with a text."""

    color: str


@dataclass
class Confirmation:
    """A form with a check box."""

    ok: bool


@dataclass
class Deletion:
    """A form with a check box (scenario tasks-mrtr-input)."""

    confirm: bool


@dataclass
class PromptContext:
    """The form that a prompt asks for."""

    context: str


@dataclass
class Account:
    """A form with two fields that have to be filled in.

    Args:
        username: User's response
        email: User's email address
    """

    username: str
    email: str


@dataclass
class Suggested:
    """A form in which every kind of field has a suggestion (scenario elicitation-sep1034-defaults)."""

    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: Literal["active", "inactive", "pending"] = "active"
    verified: bool = True


def _titled(*titles: str) -> list[dict[str, str]]:
    return [{"const": f"value{number}", "title": title} for number, title in enumerate(titles, 1)]


#: A choice in each of its five spellings, the deprecated one included (scenario elicitation-sep1330-enums).
CHOICES: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
        "titledSingle": {"type": "string", "oneOf": _titled("First Option", "Second Option", "Third Option")},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {
            "type": "array",
            "items": {"type": "string", "enum": ["option1", "option2", "option3"]},
        },
        "titledMulti": {
            "type": "array",
            "items": {"anyOf": _titled("First Choice", "Second Choice", "Third Choice")},
        },
    },
    "required": [],
}
