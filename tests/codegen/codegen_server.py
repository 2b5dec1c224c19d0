"""One server that has a bit of everything, and its types: in a module that has a name of its own, as annotations that
are texts are looked up by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, NotRequired, TypedDict

import msgspec

from dovetail import App, Context, Doc, Image


@dataclass
class Point:
    """A point."""

    x: int
    y: int = 0


@dataclass
class Node:
    """A tree."""

    name: str
    children: list[Node]
    at: Point | None = None


Odd = TypedDict("Odd", {"from": int, "a-b": NotRequired[str]})


class Circle(msgspec.Struct, tag_field="kind", tag="circle"):
    """A circle."""

    center: Node


class Square(msgspec.Struct, tag_field="kind", tag="square"):
    """A square."""

    sides: tuple[int, int]


def post_office() -> App:
    """The server."""
    app = App("post office", version="2.0", instructions='Be kind.\nUse """ and \\ freely.')

    @app.tool
    async def send(
        to: Annotated[str, Doc('where to, "quoted", and \\n')],
        grams: int,
        speed: Literal["slow", "fast"] = "slow",
        timeout: float = 3,
    ) -> dict[str, float]:
        """What it costs to send a parcel."""
        return {"price": grams * (0.03 if speed == "fast" else 0.02), "timeout": timeout}

    @app.tool
    async def tree(node: Node, points: list[Point]) -> Node:
        return Node("root", [node], points[0])

    @app.tool
    async def odd(o: Odd) -> Odd:
        return o

    @app.tool
    async def shape(s: Circle | Square | None = None) -> Circle | Square | None:
        return s

    @app.tool(name="list")
    async def list_of(a: str | int | list[str]) -> list[str]:
        return [str(a)]

    @app.tool
    async def pair(a: tuple[int, str]) -> tuple[int, str]:
        return a

    @app.tool
    async def label(to: str) -> Image:
        return Image(data=b"\x89PNG\r\n\x1a\n" + to.encode())

    @app.tool
    async def slow(ctx: Context, steps: int = 2) -> int:
        for step in range(steps):
            await ctx.progress(step + 1, steps)
        return steps

    @app.tool
    async def fails() -> int:
        raise ValueError("no")

    add_others(app)
    return app


def add_others(app: App) -> None:
    """What it offers that is no tool."""

    @app.resource("parcel://{number}", mime_type="text/plain")
    async def parcel(number: int) -> str:
        """Where a parcel is."""
        return f"parcel {number}"

    @app.resource("stamp://{+path}{?size,colours*}", mime_type="image/png")
    async def stamp(path: str, size: int = 1, colours: list[str] | None = None) -> bytes:
        return f"{path} {size} {colours}".encode()

    @app.resource("about://post")
    async def about() -> str:
        return "a post office"

    @app.prompt
    async def complain(about: str, tone: str = "polite") -> str:
        """Write to the post office."""
        return f"a {tone} letter about {about}"
