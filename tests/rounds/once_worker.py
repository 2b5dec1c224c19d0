"""A server that dies in the middle of a step, for the tests of what a crash leaves behind.

``python once_worker.py STORE KEY LOG``: serves stdio; appends to LOG whenever the step runs; the first time, it is
killed before the result is recorded.
"""

import os
import signal
import sys
from pathlib import Path

from dovetail import App, Context
from dovetail.stores import SQLiteStore

store, key, log = sys.argv[1:4]
app = App("once", keys=[key], store=SQLiteStore(Path(store)))


def charge(idempotency: str) -> str:
    """Do what must not be done twice, and die on the way."""
    path = Path(log)
    before = path.read_text() if path.exists() else ""
    path.write_text(before + idempotency + "\n")
    os.kill(os.getpid(), signal.SIGKILL)
    return "charged"


@app.tool(once=True)
async def pay(ctx: Context) -> str:
    """Pay, once."""
    if not await ctx.elicit("Pay?", bool):
        return "not paid"
    return await ctx.step("charge", charge, ctx.step_key("charge"))


app.run()
