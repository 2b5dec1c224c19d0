"""The server that is tried everywhere: one of each thing a server can do, told apart and steered by tools.

A test sees what happens inside a handler by asking the same server: ``hang`` waits under a tag, ``begun`` answers
once it does, ``ended`` answers how it ended. So nothing here or in the tests waits for time to pass.

Run as a program it serves itself: ``everywhere_app.py TRANSPORT [OPTIONS]``, options as JSON with the keys "app"
(for `make_app`) and "run" (for `App.run`). Follows: no page of the specification.
"""

import asyncio
import json
import os
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import msgspec

from dovetail import (
    App,
    Ask,
    AudioContent,
    CallToolResult,
    Completion,
    CompletionContext,
    Context,
    Depends,
    Elicit,
    File,
    Form,
    Image,
    InvalidParams,
    Principal,
    PromptMessage,
    ResourceLink,
    Roots,
    Sample,
    TextContent,
    ToolAnnotations,
    ToolError,
    assistant,
    user,
)
from dovetail.protocol.types.content import UnknownContent

PIXEL = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
NOTE = "note://plain"
TEXTS = {
    "lines": "one\ntwo\r\nthree\rfour\n\n",
    "separators": "a\u2028b\u2029c\u0085d\x0be\x0cf",
    "scripts": "\u65e5\u672c\u8a9e \u0627\u0644\u0639\u0631\u0628\u064a\u0629 \U0001f600 e\u0301 \ufeff",
    "controls": "".join(map(chr, range(32))) + "\x7f",
    "event": "data: x\n\nevent: message\nid: 7\nretry: 1\n\n: c",
    "json": '{"jsonrpc":"2.0","id":1,"result":{}}\n',
    "escapes": "\\n \\u0000 \" ' </script>",
}


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Person(msgspec.Struct):
    """Who someone is."""

    name: str
    age: int = 7
    colour: Colour = Colour.RED


class Sum(msgspec.Struct):
    """What two numbers make."""

    total: int
    parts: list[int]


class Mark:
    """What is known of one running handler, and the way to steer it."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.ended = asyncio.Event()
        self.go = asyncio.Event()
        self.ticks: asyncio.Queue[float] = asyncio.Queue()
        self.how = ""


class Room:
    """Where callers wait for each other."""

    def __init__(self) -> None:
        self.inside = 0
        self.full = asyncio.Event()


def make_app(name: str = "everywhere", **options: Any) -> App:
    """The app. ``options`` go to `App`; pages are small, so that there are several."""

    @asynccontextmanager
    async def life(app: App) -> AsyncIterator[Any]:
        yield {"opened": True}

    app = App(
        name,
        version="1.2.3",
        title="Everywhere",
        instructions="Try everything.",
        lifespan=life,
        **{"page_size": 7, **options},
    )
    add_plain_tools(app)
    add_failing_tools(app)
    add_steered_tools(app)
    add_talking_tools(app)
    add_asking_tools(app)
    add_changing_tools(app)
    add_resources_and_prompts(app)
    add_keeping_tools(app)
    add_own_methods(app)
    return app


def add_plain_tools(app: App) -> None:
    @app.tool(title="Add", annotations=ToolAnnotations(read_only_hint=True))
    async def add(a: int, b: int) -> Sum:
        """Add two numbers.

        Args:
            a: one number
        """
        return Sum(a + b, [a, b])

    @app.tool(meta={"acme.example/kept": {"deep": [1, None]}})
    async def echo(text: str) -> str:
        """Give text back."""
        return text

    @app.tool
    def in_thread(text: str) -> str:
        return text.upper()

    @app.tool
    async def numbers(count: int) -> list[int]:
        return list(range(count))

    @app.tool
    async def nothing() -> None:
        return None

    @app.tool
    async def blocks(ctx: Context) -> CallToolResult:
        return CallToolResult(
            content=[
                TextContent(text="text"),
                Image(data=PIXEL, mime_type="image/png").block(),
                AudioContent.of(b"beep"),
                ResourceLink(uri=NOTE, name="note", description="a note"),
                File(data=b"inside", mime_type="text/plain").block(),
            ],
            meta={"acme.example/of": "result"},
        )


def add_failing_tools(app: App) -> None:
    @app.tool
    async def fail(text: str) -> str:
        raise ToolError(text)

    @app.tool
    async def crash(secret: str) -> str:
        raise RuntimeError(f"nobody may read {secret}")

    @app.tool
    async def refuse(text: str) -> str:
        raise InvalidParams(text, data={"why": "asked to"})

    @app.tool
    async def call_facts(ctx: Context) -> dict[str, Any]:
        return {
            "meta": ctx.meta,
            "revision": ctx.revision,
            "state": ctx.state,
            "client": None if ctx.client.info is None else ctx.client.info.name,
            "experimental": ctx.client.capabilities.experimental,
        }

    @app.tool
    async def unknown() -> CallToolResult:
        """What no revision knows; only servers that no oracle watches may say it."""
        return CallToolResult(
            content=[
                UnknownContent(members={"type": "hologram", "depth": 3, "parts": [{"a": None}]}),
                TextContent(text="text", extra={"vendorMember": {"kept": [1, 2]}}),
            ],
            extra={"vendorOuter": True},
        )

    @app.tool
    async def pid() -> int:
        return os.getpid()

    @app.tool
    def die(status: int, note: str = "", path: str = "") -> str:
        """Note in a file that the work was done, then end the process without an answer."""
        if path:
            with Path(path).open("a") as file:
                file.write(note + "\n")
        os._exit(status)


def add_steered_tools(app: App) -> None:
    marks: dict[str, Mark] = defaultdict(Mark)

    @app.tool
    async def hang(tag: str) -> str:
        """Wait until released, or cancelled."""
        mark = marks[tag]
        mark.began.set()
        mark.how = "cancelled"
        try:
            await mark.go.wait()
            mark.how = "released"
        finally:
            mark.ended.set()
        return f"{tag} was released"

    @app.tool
    async def ticker(tag: str, ctx: Context) -> str:
        """Report each tick as progress, until a tick below zero."""
        mark = marks[tag]
        mark.began.set()
        mark.how = "cancelled"
        try:
            while (tick := await mark.ticks.get()) >= 0:
                await ctx.progress(tick, message=f"tick {tick:g}")
            mark.how = "released"
        finally:
            mark.ended.set()
        return f"{tag} was released"

    @app.tool
    async def tick(tag: str, number: float) -> str:
        marks[tag].ticks.put_nowait(number)
        return "ticked"

    @app.tool
    async def begun(tag: str) -> str:
        await marks[tag].began.wait()
        return "begun"

    @app.tool
    async def ended(tag: str) -> str:
        await marks[tag].ended.wait()
        return marks[tag].how

    @app.tool
    async def state_of(tag: str) -> str:
        return "ended" if marks[tag].ended.is_set() else "running" if marks[tag].began.is_set() else "new"

    @app.tool
    async def release(tag: str) -> str:
        marks[tag].go.set()
        return "let go"


def add_talking_tools(app: App) -> None:
    rooms: dict[str, Room] = defaultdict(Room)

    @app.tool
    async def count(to: int, ctx: Context) -> int:
        """Report progress to a number, with the steps that must not be seen between."""
        for number in range(1, to + 1):
            await ctx.progress(number, to, f"step {number}")
            await ctx.progress(number - 1, to, "backwards is not said")
        return to

    @app.tool
    async def talk(words: list[str], ctx: Context) -> str:
        """Log each word at each of three levels."""
        for word in words:
            await ctx.log("debug", f"debug {word}")
            await ctx.log("warning", {"word": word}, logger="talk")
            await ctx.log("error", f"error {word}")
        return "said"

    @app.tool
    async def meet(room: str, size: int, secret: int, ctx: Context) -> int:
        """Come back once so many are here, all at the same time, each with its own secret."""
        place = rooms[room]
        place.inside += 1
        await ctx.progress(secret)
        if place.inside >= size:
            place.full.set()
        await place.full.wait()
        await ctx.progress(secret + 0.5)
        return secret

    @app.tool
    async def meet_asking(room: str, size: int, secret: str, ctx: Context) -> str:
        """As `meet`, and ask something that only the caller can know."""
        answer = await ctx.elicit(f"What goes with {secret}?", str)
        place = rooms[room]
        place.inside += 1
        if place.inside >= size:
            place.full.set()
        await place.full.wait()
        return f"{secret}={answer}"


def add_keeping_tools(app: App) -> None:
    @app.tool
    async def session_id(ctx: Context) -> str | None:
        return ctx.session_id

    @app.tool
    async def remember(key: str, person: Person, ctx: Context) -> str:
        await ctx.session.set(key, person)
        return "kept"

    @app.tool
    async def recall(key: str, ctx: Context) -> Person | None:
        return await ctx.session.get(key, into=Person)

    @app.tool
    async def forget(key: str, ctx: Context) -> bool:
        return await ctx.session.delete(key)

    @app.tool
    async def count_up(by: int, ctx: Context) -> int:
        return await ctx.session.update("count", lambda count: count + by, 0)


def add_own_methods(app: App) -> None:
    @app.method("com.example/sum")
    async def sum_of(a: int, ctx: Context, double: Annotated[bool, Depends(lambda: True)], b: int = 1) -> Sum:
        await ctx.progress(1)
        return Sum((a + b) * (2 if double else 1), [a, b])

    @app.method("com.example/person")
    def whole(params: Person, who: Principal) -> dict[str, Any]:
        return {"person": params, "anonymous": who.is_anonymous}

    @app.method("com.example/facts")
    async def facts(ctx: Context) -> dict[str, Any]:
        return {"revision": ctx.revision, "state": ctx.state, "meta": ctx.meta.get("acme.example/x")}

    @app.method("com.example/nothing")
    async def nothing() -> None:
        return None

    @app.method("com.example/ask")
    async def ask(ctx: Context) -> dict[str, str]:
        return {"name": await ctx.elicit("What is your name?", str)}

    @app.method("com.example/ask-softly")
    async def ask_softly(
        name: Annotated[str, Ask("What is your name?", otherwise="nobody")],
    ) -> dict[str, str]:
        return {"name": name}


def add_asking_tools(app: App) -> None:
    @app.tool
    async def sure_or_not(sure: Annotated[bool | None, Ask("Sure?", otherwise=None)]) -> str:
        return f"{sure}"

    @app.tool
    async def name_please(ctx: Context) -> str:
        return "Hello, " + await ctx.elicit("What is your name?", str)

    @app.tool
    async def survey(ctx: Context) -> Person:
        return await ctx.elicit("Who are you?", Person)

    @app.tool
    async def confirm(what: str, sure: Annotated[bool, Ask("Really {what}?")]) -> str:
        return f"{what}: {sure}"

    @app.tool
    async def two_questions(ctx: Context) -> str:
        first = await ctx.elicit("First?", str)
        second = await ctx.elicit(f"Second, after {first}?", int)
        return f"{first} then {second}"

    @app.tool
    async def think(about: str, ctx: Context) -> str:
        said = await ctx.sample(f"Think about {about}", max_tokens=50, system_prompt="Be short.")
        text = said.content.text if isinstance(said.content, TextContent) else "no text"
        return f"{said.model}: {text}"

    @app.tool
    async def folders(ctx: Context) -> list[str]:
        return [root.uri for root in await ctx.roots()]

    @app.tool
    async def three_at_once(ctx: Context) -> str:
        answers = await ctx.ask(
            name=Elicit("Your name?", Form.of(str)), thought=Sample("Think", max_tokens=5), where=Roots()
        )
        return f"{answers['name']} {answers['thought'].model} {len(answers['where'])}"

    @app.tool
    async def visit(ctx: Context) -> str:
        await ctx.elicit_url("Log in", "https://example.com/login?next=1")
        return "visited"

    @app.prompt
    async def personal(ctx: Context) -> str:
        """A prompt that asks before it is written."""
        return "Greet " + await ctx.elicit("Whom to greet?", str)

    @app.resource("asked://name")
    async def asked(ctx: Context) -> str:
        return "Name: " + await ctx.elicit("Whose name?", str)


def add_changing_tools(app: App) -> None:
    @app.tool
    async def touch(uri: str) -> str:
        app.resource_updated(uri)
        return "touched"

    @app.tool
    async def grow(name: str) -> str:
        async def grown() -> str:
            return f"I am {name}"

        app.add_tool(grown, name=name)
        return "grown"

    @app.tool
    async def shrink(name: str) -> str:
        app.remove_tool(name)
        return "gone"

    @app.tool
    async def grow_others(name: str) -> str:
        async def made() -> str:
            return name

        app.add_prompt(made, name=name)
        app.add_resource(made, f"made://{name}")
        return "grown"

    @app.tool
    async def shrink_others(name: str) -> str:
        app.remove_prompt(name)
        app.remove_resource(f"made://{name}")
        return "gone"


def add_resources_and_prompts(app: App) -> None:
    @app.resource(NOTE, name="plain", title="A note", mime_type="text/markdown", size=9)
    async def plain() -> str:
        """A note."""
        return "# A note\n"

    @app.resource("note://pixel", mime_type="image/png")
    async def pixel() -> bytes:
        return PIXEL

    @app.resource("note://structured")
    async def structured() -> dict[str, Any]:
        return {"a": [1, None, "\u00e9"]}

    @app.resource("note://broken")
    async def broken() -> str:
        raise RuntimeError("nobody may read this")

    for number in range(6):

        @app.resource(f"filler://{number}", name=f"filler-{number}")
        async def filler(number: int = number) -> str:
            return str(number)

    @app.resource("file:///{+path}")
    async def file(path: str) -> str:
        return f"contents of {path}"

    @app.resource("texts://{name}")
    async def text(name: str) -> str:
        return TEXTS[name]

    @app.prompt(title="Greet")
    async def greet(name: str, style: str = "plain") -> list[PromptMessage]:
        """Greet someone."""
        return [
            user(f"Greet {name} in the {style} style."),
            assistant("Of course."),
            user(Image(data=PIXEL, mime_type="image/png")),
        ]

    @app.completion("greet", "style")
    async def styles(value: str) -> list[str]:
        return [each for each in ("plain", "polite", "pompous") if each.startswith(value)]

    @app.completion("file:///{+path}", "path")
    async def paths(value: str, settled: CompletionContext) -> Completion:
        root = (settled.arguments or {}).get("root", "nowhere")
        return Completion(values=[f"{root}/{value}1", f"{root}/{value}2"], total=200, has_more=True)

    for number in range(8):

        @app.prompt(name=f"prompt-{number}")
        async def filling(number: int = 0) -> str:
            return str(number)


if __name__ == "__main__":
    kind: Any = sys.argv[1]
    given = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
    make_app(**given.get("app", {})).run(kind, **given.get("run", {}))
