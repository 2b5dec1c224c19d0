"""The library of the town: an app that could run alone, and is mounted on the town's."""

from typing import Annotated

from dovetail import App, Context, Doc

app = App("library")

BOOKS = {"Emma": 1815, "Persuasion": 1817, "Sanditon": 1925}


@app.tool
async def find(word: Annotated[str, Doc("a part of the title")]) -> dict[str, int]:
    """Find books by their titles; gives the years in which they came out."""
    return {title: year for title, year in BOOKS.items() if word.lower() in title.lower()}


@app.tool
async def reserve(title: str, ctx: Context) -> str:
    """Reserve a book. The person is asked under which name."""
    if title not in BOOKS:
        return f"There is no {title} here."
    who = await ctx.elicit(f"Reserve {title} for whom?", str)
    return f"{title} waits for {who}."


@app.prompt
async def recommend(mood: str) -> str:
    """Ask for a book that suits a mood."""
    return f"Which book of {', '.join(BOOKS)} would you give to somebody who is {mood}?"
