"""One of several workers behind a proxy: ``python proxied_worker.py`` prints the port that it serves HTTP on."""

import asyncio
import os

from rounds_serving import serving

from dovetail import App, Context

app = App("proxied")


@app.tool
async def three(ctx: Context) -> str:
    """Three questions, each in a round, and who ran each of the steps between."""
    ran = []
    for number in range(3):
        await ctx.elicit(f"Question {number}?", bool)
        ran.append(await ctx.step(f"step-{number}", os.getpid))
    return " ".join(str(each) for each in ran)


async def main() -> None:
    async with serving(app.asgi(sessions=False)) as url:
        print(url.split(":")[2].split("/")[0], flush=True)  # noqa: T201 - the test reads it
        await asyncio.Event().wait()


asyncio.run(main())
