"""A server for the tests of the command line: every kind of thing that a command shows, asks or fails with."""

import asyncio
import enum
import sys
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from dovetail import App, Context, Doc, ElicitURL, Range, ResourceNotFound, ToolError, visit_first

app = App("target", version="3.2.1", title="Target server", instructions="Aim well.")
print("printed while it was imported")  # noqa: T201 - shows that it does not reach the wire


class Color(enum.Enum):
    """A choice."""

    RED = "red"
    BLUE = "blue"


@dataclass
class Trip:
    """A form of several fields."""

    city: str
    days: Annotated[int, Range(1, 14)] = 3
    color: Color = Color.RED
    insured: bool = False


@app.tool
def add(a: int, b: float = 0.5) -> float:
    """Add."""
    return a + b


@app.tool
def complain() -> str:
    """Write to standard error."""
    sys.stderr.write("    indented, \x1b[31mred\x1b[0m\x1b]0;title\x07\n")
    return "complained"


@app.tool
def echo(
    text: Annotated[str, Doc("any text")] = "",
    number: int | None = None,
    flag: bool = False,
    words: list[str] = [],  # noqa: B006 - the schema shows it
    sizes: list[int] | None = None,
    mode: Literal["fast", "slow"] = "fast",
    extra: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Give back what came."""
    return {
        "text": text,
        "number": number,
        "flag": flag,
        "words": words,
        "sizes": sizes,
        "mode": mode,
        "extra": extra,
    }


@app.tool
def size(data: bytes) -> int:
    """How many bytes there are."""
    return len(data)


@app.tool
def modules() -> list[str]:
    """What this process has imported."""
    return sorted(sys.modules)


@app.tool
def arguments() -> list[str]:
    """The words the file was given."""
    return sys.argv[1:]


@app.tool
def fail() -> str:
    """Fail."""
    raise ToolError("it went\nwrong")


@app.tool
def evil() -> str:
    """Text that would act on a terminal, and [red]markup[/red]."""
    return "\x1b[31mred\x1b[0m \u202egnp.exe\u202c \x07 [bold]no markup[/bold]\nsecond line"


@app.tool
async def wait(ctx: Context) -> str:
    """Report once, then wait for ever."""
    await ctx.progress(1, 2, "waiting")
    await ctx.log("warning", "now it waits")
    await asyncio.Event().wait()
    return ""


@app.tool
async def book(ctx: Context) -> str:
    """Ask for a form."""
    trip = await ctx.elicit("Where \x1b[2Jto?", Trip)
    return f"{trip.city} {trip.days} {trip.color.value} {trip.insured}"


@app.tool
async def confirm(ctx: Context) -> str:
    """Ask for a yes."""
    return "yes" if await ctx.elicit("Sure?", bool) else "no"


@app.tool
async def visit(ctx: Context) -> str:
    """Send the person somewhere."""
    await ctx.elicit_url("Please sign in.", "https://example.com/login?next=%2Fhome&long=true")
    return "visited"


been: list[str] = []


@app.tool
async def gate() -> str:
    """Let nobody in who has not been elsewhere."""
    if not been:
        been.append("here")
        raise visit_first(ElicitURL("Please pay.", "https://example.com/pay"))
    return "welcome"


@app.tool
async def speak(ctx: Context) -> str:
    """Log at two levels."""
    await ctx.log("debug", "a detail")
    await ctx.log("error", {"what": "a fault"})
    return "spoken"


@app.resource("text://{name}", mime_type="text/plain")
def text(name: str) -> str:
    """Some text."""
    if name == "missing":
        raise ResourceNotFound("there is no such text", uri="text://missing")
    return f"text of {name}\x1b[0m"


@app.resource("data://bytes", mime_type="application/octet-stream", size=4)
def data() -> bytes:
    """Some bytes."""
    return b"\x00\xff\n\x00"


@app.prompt
def review(code: str, tone: str = "kind") -> str:
    """Review code."""
    return f"Review {code}, be {tone}"


@app.completion("review", "code")
def suggest(typed: str) -> list[str]:
    """Suggestions."""
    return [word for word in ("alpha", "alpine", "beta") if word.startswith(typed)]
