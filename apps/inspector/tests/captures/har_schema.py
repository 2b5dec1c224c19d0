"""HTTP Archive 1.2 as a JSON Schema: its objects are closed, but for members that begin with an underscore."""

from __future__ import annotations

from typing import Any

__all__ = ["HAR"]

TEXT, NUMBER, WHOLE = {"type": "string"}, {"type": "number"}, {"type": "integer"}


def one(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """An object of the format."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **optional, "comment": TEXT},
        "patternProperties": {"^_": True},
        "additionalProperties": False,
    }


def many(items: dict[str, Any]) -> dict[str, Any]:
    """A list."""
    return {"type": "array", "items": items}


PAIRS = many(one({"name": TEXT, "value": TEXT}))
COOKIES = many(
    one(
        {"name": TEXT, "value": TEXT},
        path=TEXT,
        domain=TEXT,
        expires=TEXT,
        httpOnly={"type": "boolean"},
        secure={"type": "boolean"},
    )
)
MOMENT = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"}
TIME = {"type": "number", "minimum": 0}
TIME_OR_NONE = {"type": "number", "minimum": -1}
MESSAGE = {
    "httpVersion": TEXT,
    "cookies": COOKIES,
    "headers": PAIRS,
    "headersSize": WHOLE,
    "bodySize": WHOLE,
}
REQUEST = one(
    {"method": TEXT, "url": {"type": "string", "format": "uri"}, **MESSAGE, "queryString": PAIRS},
    postData=one({"mimeType": TEXT, "params": many(one({"name": TEXT})), "text": TEXT}),
)
RESPONSE = one(
    {
        "status": WHOLE,
        "statusText": TEXT,
        **MESSAGE,
        "redirectURL": TEXT,
        "content": one({"size": WHOLE, "mimeType": TEXT}, compression=WHOLE, text=TEXT, encoding=TEXT),
    }
)
ENTRY = one(
    {
        "startedDateTime": MOMENT,
        "time": TIME,
        "request": REQUEST,
        "response": RESPONSE,
        "cache": one({}),
        "timings": one(
            {"send": TIME, "wait": TIME, "receive": TIME},
            blocked=TIME_OR_NONE,
            dns=TIME_OR_NONE,
            connect=TIME_OR_NONE,
            ssl=TIME_OR_NONE,
        ),
    },
    pageref=TEXT,
    serverIPAddress=TEXT,
    connection=TEXT,
)
HAR = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    **one(
        {
            "log": one(
                {
                    "version": {"const": "1.2"},
                    "creator": one({"name": TEXT, "version": TEXT}),
                    "entries": many(ENTRY),
                }
            )
        }
    ),
}
