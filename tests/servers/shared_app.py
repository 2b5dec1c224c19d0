"""An app whose workers share keys, by the environment, and a store. Follows: no page of the specification."""

import os

from dovetail import App, Context
from dovetail.stores import SQLiteStore

app = App("shared", store=SQLiteStore(os.environ["STORE"]))


@app.tool
async def which() -> int:
    """The process that answers."""
    return os.getpid()


@app.tool
async def ask(ctx: Context) -> str:
    """Asks the person."""
    return await ctx.elicit("Your name?", str)
