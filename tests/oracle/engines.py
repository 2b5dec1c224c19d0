"""Two JSON Schema engines over the schemas of `closing`: a compiled one judges, a slow one explains.

jsonschema-rs decides in microseconds; jsonschema, in pure Python, is asked only about a message that
failed, for the most telling of its errors, and by the tests, to check the first.

Follows: JSON Schema 2020-12, Core and Validation; RFC 4648, section 4, for the format `byte`.
"""

from __future__ import annotations

import base64
import binascii
import json
from functools import cache
from typing import Any, Final

import jsonschema
import jsonschema_rs
from jsonschema.exceptions import best_match

from oracle import closing

ENVELOPE: Final = "(envelope)"
"""Stands for a definition where only the envelope of a message is checked."""


@cache
def validator(revision: str, definition: str, *, closed: bool) -> jsonschema_rs.Draft202012Validator:
    """The compiled schema of a whole message. Formats bind our own messages only."""
    return jsonschema_rs.Draft202012Validator(
        _schema(revision, definition, closed=closed),
        validate_formats=closed,
        formats={"byte": is_base64} if closed else None,
        offline=True,
    )


@cache
def reference_validator(revision: str, definition: str, *, closed: bool) -> jsonschema.Draft202012Validator:
    """The same schema in pure Python: explains faults, and in `test_oracle` checks the compiled one."""
    checker = jsonschema.FormatChecker(formats=())
    checker.checks("byte")(is_base64)
    return jsonschema.Draft202012Validator(
        _schema(revision, definition, closed=closed), format_checker=checker if closed else None
    )


def _schema(revision: str, definition: str, *, closed: bool) -> dict[str, Any]:
    if definition != ENVELOPE:
        return closing.message_schema(revision, definition, closed=closed)
    return closing.value_schema(revision, "JSONRPCMessage", closed=False)


def is_base64(value: object) -> bool:
    """Whether a string is base64 as RFC 4648, section 4, has it, padding included."""
    if not isinstance(value, str):
        return True
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def explain(revision: str, definition: str, message: Any, *, closed: bool) -> tuple[str, str] | None:
    """Path and reason of what is wrong with a message, or None if it is right."""
    compiled = validator(revision, definition, closed=closed)
    try:
        if compiled.is_valid(message):
            return None
        worst = best_match(reference_validator(revision, definition, closed=closed).iter_errors(message))
        if worst is not None:
            return worst.json_path, shortened(worst.message)
        first = next(compiled.iter_errors(message))
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        return "$", f"cannot be judged: {type(error).__name__}: {shortened(str(error))}"
    return "$" + "".join(f"[{step!r}]" for step in first.instance_path), shortened(first.message)


def repr_json(value: object) -> str:
    """A value as JSON for the eye, whatever it holds."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, TypeError, RecursionError):
        return f"<{type(value).__name__} that has no JSON>"


def shortened(text: str, limit: int = 300) -> str:
    """The text, cut to a length that a report can bear."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
