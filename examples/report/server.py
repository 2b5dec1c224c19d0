"""A report that takes a minute, asks one question, and survives a kill.

    python examples/report/server.py reports.db --http 8000
    python examples/report/server.py reports.db --http 8000 --seconds 5      in a hurry

The tool is a task: it is answered at once, its steps are recorded as they end, and while it waits for the person there
is nothing but its record in the file. Whoever starts the server again on the same file goes on with it.
"""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from dovetail import App, Context, Range
from dovetail.extensions.tasks import TaskOptions, tasks
from dovetail.stores import SQLiteStore

CHAPTERS = ("harvest", "mill", "bakery", "market")


@dataclass
class Chapter:
    """What is found about one part of the village."""

    title: str
    sacks: int


def reports(path: str, *, seconds: float = 60.0) -> App:
    """The server, with its tasks in a SQLite file. ``seconds``: how long a report takes, without the person."""
    app = App("reports", store=SQLiteStore(path), extensions=[tasks(lease=1)])

    @app.tool(task=TaskOptions(support="required", poll=1), timeout=600)
    async def village_report(ctx: Context, year: Annotated[int, Range(1800, 2100)]) -> str:
        """Write the report on the village: chapter by chapter, then in the form that the reader wants."""
        chapters: list[Chapter] = []
        for number, title in enumerate(CHAPTERS, 1):
            chapters.append(await ctx.step(title, research(title, year)))
            await ctx.progress(number, len(CHAPTERS), f"the {title} is done")
        total = sum(each.sacks for each in chapters)
        form = await ctx.elicit(
            f"{total} sacks were counted. How long shall the report be?", Literal["line", "page"]
        )
        if form == "line":
            return f"{year}: {total} sacks"
        return "\n".join(
            [f"The village in {year}", *(f"{each.title}: {each.sacks} sacks" for each in chapters)]
        )

    def research(title: str, year: int) -> Callable[[], Awaitable[Chapter]]:
        async def research_chapter() -> Chapter:
            await asyncio.sleep(seconds / len(CHAPTERS))
            print(f"researched: {title}", flush=True)
            return Chapter(title, year % (10 + len(title)) + 1)

        return research_chapter

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve reports.")
    parser.add_argument("file", nargs="?", default="reports.db")
    parser.add_argument("--http", type=int, default=8000, metavar="PORT")
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    reports(given.file, seconds=given.seconds).run("http", port=given.http)
