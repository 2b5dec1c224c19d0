"""What models say and are told, in the words of each API: one response with calls per format, and parts of results."""

import base64
import json
import zlib
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from dovetail.host import HostBlob
from dovetail.models import CallAnswer, ModelCall


def png() -> bytes:
    """An image of one pixel that programs can open."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    head = chunk(b"IHDR", bytes([0, 0, 0, 1, 0, 0, 0, 1, 8, 2, 0, 0, 0]))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0\xff\0\0")) + chunk(b"IEND", b"")


PNG = png()
PNG_TEXT = base64.b64encode(PNG).decode()
WAV = b"RIFF\x24\0\0\0WAVEfmt " + bytes(20)
PDF = b"%PDF-1.4 nothing"
ODD = b"\0\1\2"

#: Two calls, the second without arguments that can be read, as each API has them.
RESPONSES: dict[str, Any] = {
    "openai-chat": {
        "choices": [
            {
                "message": {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "c1",
                            "type": "function",
                            "function": {"name": "shed__fetch", "arguments": '{"what": "rake"}'},
                        },
                        {
                            "id": "c2",
                            "type": "function",
                            "function": {"name": "shed__list", "arguments": ""},
                        },
                        {"id": "c3", "type": "custom", "custom": {"name": "own", "input": "x"}},
                    ],
                }
            }
        ]
    },
    "openai-responses": {
        "output": [
            {"type": "reasoning", "id": "r", "summary": []},
            {
                "type": "function_call",
                "id": "fc_1",
                "call_id": "c1",
                "name": "shed__fetch",
                "arguments": '{"what": "rake"}',
            },
            {
                "type": "function_call",
                "id": "fc_2",
                "call_id": "c2",
                "name": "shed__list",
                "arguments": "{}",
            },
        ]
    },
    "anthropic": {
        "role": "assistant",
        "content": [
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "c1", "name": "shed__fetch", "input": {"what": "rake"}},
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
            {"type": "tool_use", "id": "c2", "name": "shed__list", "input": {}},
        ],
    },
    "gemini": {
        "candidates": [
            {
                "content": {
                    "role": "model",
                    "parts": [
                        {"text": "I look."},
                        {"functionCall": {"id": "c1", "name": "shed__fetch", "args": {"what": "rake"}}},
                        {"functionCall": {"id": "c2", "name": "shed__list"}},
                    ],
                }
            }
        ]
    },
}
API_FORMATS: tuple[Any, ...] = tuple(RESPONSES)
CALLS = [
    ModelCall(id="c1", name="shed__fetch", arguments={"what": "rake"}),
    ModelCall(id="c2", name="shed__list"),
]


def blob(data: bytes, said: str = "image/png", kind: str = "image") -> HostBlob:
    """Media of a result."""
    return HostBlob(kind=kind, media_type=said, data=data)


FOUND = CallAnswer(parts=("before", blob(PNG), "after"))
FAILED = CallAnswer(parts=("there is no rake",), is_error=True)


class Offered:
    """A tool by what a model is told of it."""

    def __init__(self, name: str, description: str = "", schema: Mapping[str, Any] | None = None) -> None:
        self.told = {"name": name, "description": description, "input_schema": schema or {"type": "object"}}

    def definition(self) -> Mapping[str, Any]:
        return self.told


def as_objects(value: Any) -> Any:
    """The same in the way of an SDK: members are attributes, in Python's spelling."""
    if isinstance(value, dict):
        spelled = {"functionCall": "function_call"}
        loose: dict[str, Any] = json.loads(json.dumps(value))
        return SimpleNamespace(
            **{
                spelled.get(name, name): each if name in ("args", "input") else as_objects(each)
                for name, each in loose.items()
            }
        )
    return [as_objects(each) for each in value] if isinstance(value, list) else value
