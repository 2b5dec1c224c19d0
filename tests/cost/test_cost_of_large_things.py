"""What large and structured things cost: decodings, validations, copies, and the bytes of a list that answers share.

As in `test_cost_of_a_call`, each bound is a little above what is true today.
"""

from __future__ import annotations

import json
import os
import sys
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from test_cost_of_a_call import Wire, ready, small_app

from dovetail import App
from dovetail.protocol import names
from dovetail.protocol.revisions import STATELESS
from dovetail.runtime import tap
from dovetail.transports.stdio.descriptor_io import DescriptorReader

SIZE = 8_000_000
ITEMS = [{"id": n, "name": f"item {n}", "price": 1.5, "tags": ["a", "b"]} for n in range(100)]


class Struct(msgspec.Struct):
    id: int
    name: str
    price: float
    tags: list[str]


@dataclass
class Data:
    id: int
    name: str
    price: float
    tags: list[str]


@pytest.fixture(autouse=True)
def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap, "listeners", [])


def large_app() -> App:
    app = small_app()

    @app.tool
    async def make(size: int) -> str:
        return "x" * size

    @app.tool
    async def take(text: str) -> int:
        return len(text)

    @app.tool
    async def structs(items: list[Struct]) -> int:
        return len(items)

    @app.tool
    async def dataclasses(items: list[Data]) -> int:
        return len(items)

    @app.tool
    async def both(items: list[Struct]) -> list[Struct]:
        return items

    return app


class Codec:
    """Counts, while it is entered, what the codec and the validator do."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()

    def __enter__(self) -> Codec:
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, what: Any) -> None:
        if event == "c_call":
            owner = getattr(what, "__self__", None)
            if isinstance(
                owner, (msgspec.json.Decoder, msgspec.json.Encoder, jsonschema_rs.Draft202012Validator)
            ):
                self.done[what.__name__] += 1


@pytest.mark.parametrize(
    "tool,encodings,validations", [("structs", 2, 0), ("dataclasses", 2, 0), ("both", 2, 1)]
)
async def test_a_nested_argument_is_read_once(tool: str, encodings: int, validations: int) -> None:
    """Decoded twice, the second time straight into the author's types; what msgspec reads, no validator looks at again.
    A result is checked once, where its type could be something else than was promised, and encoded as text and as data.
    """
    app = large_app()
    _, use = await ready(app, "stateless")
    await use(tool, {"items": ITEMS})
    with Codec() as counted:
        answer = await use(tool, {"items": ITEMS})
    assert b'"isError"' not in answer
    assert counted.done == {
        name: count
        for name, count in (("decode", 2), ("encode", encodings), ("is_valid", validations))
        if count
    }
    await app.service.stop()


class Passed(list[dict[str, Any]]):
    """What a server was given to send, and has sent on: little of it is kept."""

    def append(self, event: dict[str, Any]) -> None:
        super().append({**event, "body": event.get("body", b"")[:1000]})


class Weighed(Wire):
    """Notes how many bytes more there were at once, while a message was answered, than before it."""

    most = 0

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, Passed() if name == "answers" else value)

    async def post(self, body: bytes, **headers: str) -> bytes:
        tracemalloc.start()
        try:
            await super().post(body, **headers)
            self.most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        return b"".join(event.get("body", b"") for event in self.answers)


@pytest.mark.parametrize(
    "tool,given,warm,copies",
    [
        # The author's text, and its message, for which the encoder takes half as much again until it is done.
        ("make", {"size": SIZE}, {"size": 1}, 2.6),
        # The author's text. The message that brought it is there before.
        ("take", {"text": "x" * SIZE}, {"text": ""}, 1.1),
    ],
    ids=["result", "argument"],
)
@pytest.mark.parametrize("era", ["stateless", "stateful"])
async def test_copies_of_large_texts(
    era: str, tool: str, given: dict[str, Any], warm: dict[str, Any], copies: float
) -> None:
    app = large_app()
    wire, use = await ready(app, era)
    await use(tool, warm)
    wire.__class__ = Weighed
    assert isinstance(wire, Weighed)
    assert str(SIZE).encode() in await use(tool, given) or tool == "make"
    assert wire.most / SIZE < copies, wire.most / SIZE
    await app.service.stop()


async def listing(app: App) -> AsyncIterator[list[bytes]]:
    """The parts of each answer to a request for the tools."""
    wire = Wire(app.asgi())
    meta = {names.META_PROTOCOL_VERSION: STATELESS[-1], names.META_CLIENT_CAPABILITIES: {}}
    id = 0
    while True:
        id += 1
        message = {"jsonrpc": "2.0", "id": id, "method": names.TOOLS_LIST, "params": {"_meta": meta}}
        body = json.dumps(message).encode()
        whole = await wire.post(body, mcp_protocol_version=STATELESS[-1], mcp_method=names.TOOLS_LIST)
        head = dict(wire.answers[0]["headers"])
        assert head[b"content-length"] == b"%d" % len(whole)
        assert json.loads(whole)["id"] == id
        yield [event["body"] for event in wire.answers[1:]]


async def test_answers_share_the_bytes_of_a_list() -> None:
    """All but the beginning of the answer is the same object each time, until the list changes."""
    app = small_app()

    async def other(a: int, b: int) -> int:
        """Do something else with two numbers."""
        return a - b

    for number in range(900):
        app.add_tool(other, name=f"tool_{number}")
    pages = listing(app)
    first, again = await anext(pages), await anext(pages)
    assert len(first) == len(again) == 2
    assert first[1] is again[1]
    assert len(first[0]) < 500
    assert len(first[1]) > 100_000
    app.add_tool(other, name="one_more")
    assert b'"one_more"' in (await anext(pages))[1]
    await app.service.stop()


async def test_a_short_list_is_one_part() -> None:
    app = small_app()
    pages = listing(app)
    for _ in range(2):
        assert len(await anext(pages)) == 1
    await app.service.stop()


async def test_the_rest_of_a_large_message_is_read_in_large_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes in drops in between does not make the pieces small again; the end of the message does."""
    ours, theirs = os.pipe()
    asked: list[int] = []
    read = os.read

    def noting(descriptor: int, size: int) -> bytes:
        asked.append(size)
        return read(descriptor, size)

    monkeypatch.setattr(os, "read", noting)
    reader = DescriptorReader(ours)
    try:
        for piece in (b"x" * 64 * 1024, b"drop", b"drop", b"end\n", b"next\n"):
            os.write(theirs, piece)
            assert await reader.read() == piece
    finally:
        reader.stop()
        os.close(ours)
        os.close(theirs)
    small, large = min(asked), max(asked)
    assert small < large
    assert asked == [small, large, large, large, small]
