"""What a server card has to be, as a JSON schema in our words.

Specification: SEP-2127, "ServerCard" and the types below it; family v1 of its schema.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["CARD_SCHEMA", "SCHEMA_ADDRESS"]

SCHEMA_ADDRESS: Final = "https://static.modelcontextprotocol.io/schemas/v1/server-card.schema.json"

_TEXT: Final[dict[str, Any]] = {"type": "string"}
_SWITCH: Final[dict[str, Any]] = {"type": "boolean"}
_TEXTS: Final[dict[str, Any]] = {"type": "array", "items": _TEXT}
_SHORT: Final[dict[str, Any]] = {"type": "string", "minLength": 1, "maxLength": 100}
_ADDRESS: Final[dict[str, Any]] = {"type": "string", "pattern": "^[a-zA-Z][a-zA-Z0-9+.-]*:[^ ]+$"}
_INPUT: Final[dict[str, Any]] = {
    "description": _TEXT,
    "isRequired": _SWITCH,
    "isSecret": _SWITCH,
    "format": {"enum": ["string", "number", "boolean", "filepath"]},
    "default": _TEXT,
    "placeholder": _TEXT,
    "value": _TEXT,
    "choices": _TEXTS,
}
_VARIABLES: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": {"type": "object", "properties": _INPUT},
}
_REMOTE: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type", "url"],
    "properties": {
        "type": {"enum": ["streamable-http", "sse"]},
        "url": {"type": "string", "pattern": r"^(https?://\S+|\{[a-zA-Z_][a-zA-Z0-9_]*\}\S*)$"},
        "headers": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {**_INPUT, "name": _TEXT, "variables": _VARIABLES},
            },
        },
        "variables": _VARIABLES,
        "supportedProtocolVersions": _TEXTS,
    },
}
_ICON: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["src"],
    "properties": {
        "src": _ADDRESS,
        "mimeType": _TEXT,
        "sizes": _TEXTS,
        "theme": {"enum": ["light", "dark"]},
    },
}

CARD_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["$schema", "name", "version", "description"],
    "properties": {
        "$schema": {"const": SCHEMA_ADDRESS},
        "name": {
            "type": "string",
            "minLength": 3,
            "maxLength": 200,
            "pattern": "^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$",
        },
        "version": {"type": "string", "maxLength": 255},
        "description": _SHORT,
        "title": _SHORT,
        "websiteUrl": _ADDRESS,
        "repository": {
            "type": "object",
            "required": ["url", "source"],
            "properties": {"url": _ADDRESS, "source": _TEXT, "subfolder": _TEXT, "id": _TEXT},
        },
        "icons": {"type": "array", "items": _ICON},
        "remotes": {"type": "array", "items": _REMOTE},
        "_meta": {"type": "object"},
    },
}
"""Open, as the published one: further members are no mistake."""
