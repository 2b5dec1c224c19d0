"""The tools of the measured server with the official SDK, but for the plainest, and an event log in memory."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Annotated, Literal

from mcp.server.mcpserver import Context, Elicit, MCPServer, Resolve
from mcp.server.streamable_http import EventMessage, EventStore
from pydantic import BaseModel


@dataclass
class ItemDataclass:
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


class ItemModel(BaseModel):
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


class Person(BaseModel):
    """What is asked for."""

    name: str


async def nested_dataclass(items: list[ItemDataclass]) -> int:
    """Sum the quantities."""
    return sum(item.quantity for item in items)


async def nested_model(items: list[ItemModel]) -> int:
    """Sum the quantities."""
    return sum(item.quantity for item in items)


async def make(size: int) -> str:
    """Make a text of so many letters."""
    return "x" * size


async def take(text: str) -> int:
    """Count the letters of a text."""
    return len(text)


async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def report(ctx: Context) -> str:
    """Report progress a hundred times."""
    for done in range(1, 101):
        await ctx.report_progress(done, 100)
    return "done"


def ask_name() -> Elicit[Person]:
    """The question."""
    return Elicit("What is your name?", Person)


async def ask(person: Annotated[Person, Resolve(ask_name)]) -> str:
    """Greet whoever answers."""
    return f"Hello, {person.name}"


async def touch(ctx: Context) -> str:
    """Say that the note was updated."""
    await ctx.notify_resource_updated("note://a")
    return "touched"


def note() -> str:
    """A note."""
    return "first note"


def register(server: MCPServer, kit: str) -> None:
    """Offer the tools of a kit."""
    if kit == "streams":
        server.resource("note://a")(note)
    kits = {
        "nested": (nested_dataclass, nested_model),
        "large": (make, take),
        "streams": (add, report, ask, touch),
    }
    for tool in kits[kit]:
        server.add_tool(tool)


class EventLog(EventStore):
    """The last thousand events of each stream, in memory: the package has the contract and no implementation."""

    def __init__(self) -> None:
        self._streams = {}
        self._owner = {}
        self._last = 0

    async def store_event(self, stream_id, message):
        """Keep an event, and give its id."""
        self._last += 1
        event = str(self._last)
        kept = self._streams.get(stream_id)
        if kept is None:
            kept = self._streams[stream_id] = deque(maxlen=1000)
            if len(self._streams) > 1000:
                for old, _ in self._streams.pop(next(iter(self._streams))):
                    self._owner.pop(old, None)
        kept.append((event, message))
        self._owner[event] = stream_id
        return event

    async def replay_events_after(self, last_event_id, send_callback):
        """Send what came after."""
        stream = self._owner.get(last_event_id)
        for event, message in self._streams.get(stream, ()):
            if int(event) > int(last_event_id) and message is not None:
                await send_callback(EventMessage(message, event))
        return stream
