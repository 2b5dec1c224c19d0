"""A server with one of everything that the page shows, and with what a hostile one would say.

python showcase.py         on standard input and output
python showcase.py 10000   one of so many tools instead
"""

from __future__ import annotations

import asyncio
import struct
import sys
import zlib
from typing import Any

from dovetail import (
    App,
    Audio,
    CompletionContext,
    Context,
    Image,
    PromptMessage,
    ResourceLink,
    ToolAnnotations,
    assistant,
    user,
)

HOSTILE = (
    '<script>window.ran = 1</script><img src=x onerror="window.ran = 2">[go](javascript:window.ran=3) '
    "https://user@evil.example/a?b=<b>&c. \x1b[31m\u202e"
)
SVG = "<svg xmlns='http://www.w3.org/2000/svg' onload='window.ran = 4'><script>window.ran = 5</script></svg>"

app = App(
    "showcase",
    version="1.2.3",
    title="A showcase",
    instructions="Look at everything. The rest is at https://example.com/docs.",
)


def picture(side: int = 48) -> bytes:
    """A PNG of a few colours."""
    rows = b"".join(
        b"\0" + b"".join(bytes((x * 5 % 256, y * 5 % 256, 140)) for x in range(side)) for y in range(side)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def sound() -> bytes:
    """A tenth of a second of silence, as WAV."""
    samples = b"\x80" * 800
    return (
        b"RIFF"
        + struct.pack("<I", 36 + len(samples))
        + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
        + b"data"
        + struct.pack("<I", len(samples))
        + samples
    )


ORDER: dict[str, Any] = {
    "type": "object",
    "required": ["customer", "items", "delivery"],
    "properties": {
        "customer": {"$ref": "#/$defs/person"},
        "items": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["sku"],
                "properties": {
                    "sku": {
                        "type": "string",
                        "pattern": "^[A-Z]{2}-[0-9]+$",
                        "description": "Such as AB-12.",
                    },
                    "count": {"type": "integer", "minimum": 1, "maximum": 99, "default": 1},
                },
            },
        },
        "delivery": {
            "oneOf": [
                {
                    "title": "By post",
                    "type": "object",
                    "required": ["kind", "street"],
                    "properties": {"kind": {"const": "post"}, "street": {"type": "string"}},
                },
                {
                    "title": "Picked up",
                    "type": "object",
                    "required": ["kind"],
                    "properties": {
                        "kind": {"const": "pick-up"},
                        "at": {"type": "string", "format": "date-time"},
                    },
                },
            ]
        },
        "wrapping": {"enum": ["none", "paper", "box"], "default": "none"},
        "tags": {"type": "array", "items": {"enum": ["gift", "fragile", "urgent"]}, "uniqueItems": True},
        "note": {"type": ["string", "null"]},
        "photo": {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"},
        "extra": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "$defs": {
        "person": {
            "type": "object",
            "title": "Who orders",
            "required": ["name"],
            "properties": {
                "name": {"type": "string", "minLength": 2},
                "email": {"type": "string", "format": "email"},
                "friends": {"type": "array", "items": {"$ref": "#/$defs/person"}},
            },
        }
    },
}


def order(given: dict[str, Any]) -> dict[str, Any]:
    """Take an order, and say what it was.

    The form of it has everything: see https://example.com/orders.
    """
    return {"taken": given, "positions": len(given["items"])}


app.add_tool(
    order,
    name="order",
    title="Order something",
    input_schema=ORDER,
    output_schema={
        "type": "object",
        "required": ["taken", "positions"],
        "properties": {"taken": {"type": "object"}, "positions": {"type": "integer"}},
    },
    annotations=ToolAnnotations(destructive_hint=True, read_only_hint=False),
)


@app.tool(annotations=ToolAnnotations(read_only_hint=True, idempotent_hint=True))
def echo(text: str = "hello") -> str:
    """Give a text back."""
    return text


@app.tool
def show():  # no annotation: what it gives has content of its own, and no schema
    """Show a picture, a sound and a link."""
    return [
        "Here they are: https://example.com/a.",
        Image(picture()),
        Audio(sound(), mime_type="audio/wav"),
        ResourceLink(uri="note://today", name="today", title="What is on today", mime_type="text/plain"),
        '{"a": [1, 2, {"b": null}]}',
    ]


@app.tool
async def count(ctx: Context, to: int = 5, seconds: float = 0.02) -> str:
    """Count, and tell how far it is."""
    for step in range(1, to + 1):
        await asyncio.sleep(seconds)
        await ctx.progress(step, to, f"at {step}")
    return f"counted to {to}"


@app.tool
async def wait() -> str:
    """Wait for ever: to be cancelled."""
    await asyncio.sleep(3600)
    return "never"


@app.tool
async def greet(ctx: Context) -> str:
    """Ask for a name, then say hello."""
    name = await ctx.elicit(
        "Who are you?",
        {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string", "title": "Your name", "minLength": 1},
                "mood": {"type": "string", "enum": ["fine", "tired"], "default": "fine"},
            },
        },
    )
    return f"hello {name}"


@app.tool
async def think(ctx: Context, about: str = "boats") -> str:
    """Ask the client's model."""
    said = await ctx.sample(f"A word about {about}?", max_tokens=20)
    return f"the model says {said.text}"


@app.tool
async def enter(ctx: Context) -> str:
    """Send the person to an address that looks like another one."""
    await ctx.elicit_url("Sign in to go on", "https://xn--pple-43d.example/sign-in?a=1")
    return "entered"


@app.tool
def change(text: str = "changed") -> str:
    """Change the note that can be watched."""
    state["note"] = text
    app.resource_updated("note://today")
    return "done"


@app.tool(description=HOSTILE, title=HOSTILE)
def hostile():  # no annotation, as above
    """Say everything that a page must not believe."""
    return [
        HOSTILE,
        Image(SVG.encode(), mime_type="image/svg+xml"),
        Image(b"<html><script>window.ran = 6</script>", mime_type="text/html"),
        ResourceLink(uri="javascript:window.ran=7", name=HOSTILE),
    ]


state = {"note": "nothing yet"}


@app.resource("note://today", title="What is on today", mime_type="text/plain")
def today() -> str:
    """A note that changes."""
    return state["note"]


@app.resource("picture://small", mime_type="image/png")
def small() -> bytes:
    """A picture."""
    return picture(16)


@app.resource("doc://{folder}/{name}")
def document(folder: str, name: str) -> str:
    """A document of a folder."""
    return f"{name} of {folder}"


FOLDERS = {"letters": ["ann", "bob"], "lists": ["food", "tools"]}


@app.completion("doc://{folder}/{name}", "folder")
def folders(value: str) -> list[str]:
    """Folders that begin so."""
    return [each for each in FOLDERS if each.startswith(value)]


@app.completion("doc://{folder}/{name}", "name")
def names(value: str, context: CompletionContext | None) -> list[str]:
    """Documents of the folder that was chosen."""
    settled = (context and context.arguments) or {}
    return [each for each in FOLDERS.get(settled.get("folder", ""), []) if each.startswith(value)]


@app.prompt(title="Explain something")
def explain(topic: str, tone: str = "plain") -> list[PromptMessage]:
    """Explain a topic in a tone."""
    return [
        user(f"Explain {topic} in a {tone} tone."),
        assistant("Gladly."),
        user(Image(picture(24))),
    ]


@app.completion("explain", "tone")
def tones(value: str) -> list[str]:
    """Tones that begin so."""
    return [each for each in ("plain", "poetic", "pirate") if each.startswith(value)]


def crowd(number: int) -> App:
    """An app of many tools."""
    many = App("crowd")
    for each in range(number):
        many.add_tool(lambda: "here", name=f"tool_{each}", description=f"This is tool {each} of many.")
    return many


if __name__ == "__main__":
    if len(sys.argv) > 1:
        app = crowd(int(sys.argv[1]))
    app.run()
