"""One of several processes that serve the same app: ``python any_worker.py [store]`` says on standard error where it
serves HTTP. Follows: no page of the specification.
"""

import sys
from typing import Annotated

from dovetail import App, Ask, Context
from dovetail.stores import SQLiteStore

app = App("any worker", page_size=2, rate_limit=None)
NAMES = [
    f"{word}-{number}" for number, word in enumerate(("one", "two", "three", "four", "five", "six", "seven"))
]


def text() -> str:
    return "text"


def same(x: str) -> str:
    return x


def spoken(word: str = "text") -> str:
    return word


for each in NAMES:
    app.add_tool(text, name=each)
    app.resource(f"note://{each}", name=each)(text)
    app.resource(f"{each}://{{x}}", name=each)(same)
    app.prompt(name=each)(spoken)


@app.tool
async def greet(name: Annotated[str, Ask("What is your name?")]) -> str:
    """Greet."""
    return f"hello {name}"


@app.tool
async def talk(ctx: Context) -> str:
    """Say something on the way."""
    await ctx.progress(1)
    return "talked"


@app.completion("one-0", "word")
async def words(value: str) -> list[str]:
    return [value + each for each in NAMES]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        app.run("http", port=0, store=SQLiteStore(sys.argv[1]))
    else:
        app.run("http", port=0, sessions=False)
