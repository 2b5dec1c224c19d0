"""Typed messages for the floors: what is decoded and encoded, and what the tools answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec


class Request(msgspec.Struct):
    """A request or notification, its params not read yet."""

    method: str
    jsonrpc: str = "2.0"
    id: int | str | None = None
    params: msgspec.Raw = msgspec.Raw(b"{}")


class Meta(msgspec.Struct, rename={"progress_token": "progressToken"}):
    """What stands in `_meta` and matters here."""

    progress_token: int | str | None = None


class CallParams(msgspec.Struct, rename={"meta": "_meta"}):
    """The params of tools/call, the arguments not read yet."""

    name: str
    arguments: msgspec.Raw = msgspec.Raw(b"{}")
    meta: Meta = msgspec.field(default_factory=Meta)


class Add(msgspec.Struct):
    """Arguments of `add`."""

    a: int
    b: int


class Make(msgspec.Struct):
    """Arguments of `make`."""

    size: int


class Take(msgspec.Struct):
    """Arguments of `take`."""

    text: str


class Item(msgspec.Struct):
    """An item of ten fields."""

    id: int
    name: str
    price: float
    quantity: int
    active: bool
    kind: Literal["small", "large"]
    tags: list[str]
    ratio: float
    note: str | None = None
    code: str = ""


class Nested(msgspec.Struct):
    """Arguments of `nested_struct`."""

    items: list[Item]


class Text(msgspec.Struct):
    """A block of content."""

    text: str
    type: str = "text"


class CallResult(msgspec.Struct, rename="camel", omit_defaults=True):
    """The result of tools/call."""

    content: list[Text]
    structured_content: dict[str, Any] | None = None
    result_type: str = ""


class Tool(msgspec.Struct, rename="camel"):
    """A tool, as listed."""

    name: str
    description: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]


class Result(msgspec.Struct):
    """An answer."""

    id: int | str
    result: Any
    jsonrpc: str = "2.0"


class Notification(msgspec.Struct):
    """A notification."""

    method: str
    params: dict[str, Any]
    jsonrpc: str = "2.0"


encode = msgspec.json.encode
params_of = msgspec.json.Decoder(CallParams).decode
read_add = msgspec.json.Decoder(Add).decode
read_make = msgspec.json.Decoder(Make).decode
read_take = msgspec.json.Decoder(Take).decode
read_nested = msgspec.json.Decoder(Nested).decode


def value_of(number: int) -> CallResult:
    """The result that is a number."""
    return CallResult([Text(str(number))], {"result": number}, "complete")


def text_of(text: str) -> CallResult:
    """The result that is a text."""
    return CallResult([Text(text)], None, "complete")


def _add(arguments: msgspec.Raw) -> CallResult:
    given = read_add(arguments)
    return value_of(given.a + given.b)


def _nested(arguments: msgspec.Raw) -> CallResult:
    return value_of(sum(item.quantity for item in read_nested(arguments).items))


TOOLS: dict[str, Callable[[msgspec.Raw], CallResult]] = {
    "add": _add,
    "nested_struct": _nested,
    "make": lambda arguments: text_of("x" * read_make(arguments).size),
    "take": lambda arguments: value_of(len(read_take(arguments).text)),
    "touch": lambda _: text_of("touched"),
}
NUMBER = {"type": "integer"}
INPUT = {"type": "object", "properties": {"a": NUMBER, "b": NUMBER}, "required": ["a", "b"]}
OUTPUT = {"type": "object", "properties": {"result": NUMBER}, "required": ["result"]}
LISTED: list[Tool] = []


def offer(count: int) -> None:
    """List so many tools."""
    words = "Do something else with two numbers, which nobody will ask for."
    LISTED[:] = [Tool(f"tool_{number:05}", words, INPUT, OUTPUT) for number in range(count)]


def notification(method: str, params: dict[str, Any]) -> bytes:
    """A notification, encoded."""
    return encode(Notification(method, params))


def result_of(request: Request, result: Any) -> Result:
    """The answer with a result."""
    assert request.id is not None
    return Result(request.id, result)


def answer_to_call(request: Request, params: CallParams) -> bytes:
    """The answer to a call whose params are read."""
    return encode(result_of(request, TOOLS[params.name](params.arguments)))


def answer_to(request: Request) -> bytes:
    """The answer to a request, encoded."""
    if request.method == "tools/call":
        return answer_to_call(request, params_of(request.params))
    if request.method == "tools/list":
        listed = {"tools": LISTED, "resultType": "complete", "ttlMs": 60000, "cacheScope": "public"}
        return encode(result_of(request, listed))
    if request.method == "initialize":
        return encode(
            result_of(
                request,
                {
                    "protocolVersion": "2025-11-25",
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "floor", "version": "1"},
                },
            )
        )
    return encode(result_of(request, {}))
