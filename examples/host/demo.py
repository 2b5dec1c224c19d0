"""A host with five servers, two of which are no use: part of what `make demo` runs.

Ends with 0 if the transcript is the one at the end of this file, else with 1 and the difference.
"""

import asyncio
import contextlib
import difflib
import io
import os
import signal
import sys
from pathlib import Path
from typing import Any

from assistant import host_of

from dovetail import App, Context
from dovetail.host import ConsentRefused, Host
from dovetail.testing import served

HERE = Path(__file__).resolve().parent
PATIENCE = 30.0

pantry, gate = App("pantry"), App("gate")


@pantry.tool
async def fetch(what: str, ctx: Context) -> str:
    """Fetch something."""
    colour = await ctx.elicit(f"Which colour of {what}?", str)
    return f"{colour} {what}"


@gate.tool
async def burn() -> str:
    """Light a fire."""
    raise AssertionError("nobody allowed this")


async def locked(scope: Any, _receive: Any, send: Any) -> None:
    """A server over HTTP that wants a login."""
    if scope["type"] == "http":
        challenge = [(b"www-authenticate", b'Bearer realm="safe"')]
        await send({"type": "http.response.start", "status": 401, "headers": challenge})
        await send({"type": "http.response.body", "body": b""})


async def play(host: Host) -> None:
    """The scenes."""
    for name in ("oven", "pantry", "gate", "safe"):
        await host.server(name).wait_for("ready", "needs_login", timeout=PATIENCE)
    print("states:", *(f"{name} {server.state}" for name, server in host.servers.items()))
    print("tools:", *(tool.name for tool in await host.tools()))
    print("result:", (await host.call("oven__bake", {"loaves": 2})).text)
    print("result:", (await host.call("pantry__fetch", {"what": "apples"})).text)
    try:
        await host.call("gate__burn")
    except ConsentRefused as refusal:
        print(refusal)
    first = int((await host.call("oven__process")).text)
    os.kill(first, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
    await host.server("oven").wait_for("degraded", timeout=PATIENCE)
    print("the oven was killed")
    await host.server("oven").wait_for("ready", timeout=PATIENCE)
    print("result:", (await host.call("oven__bake", {"loaves": 1})).text)
    print("another process:", int((await host.call("oven__process")).text) != first)


async def main() -> int:
    """Play it, and give the exit code."""
    told = io.StringIO()
    async with served(gate.asgi()) as url, served(locked) as other, asyncio.timeout(4 * PATIENCE):
        servers = {
            "oven": [sys.executable, str(HERE / "oven.py")],
            "pantry": pantry,
            "gate": url,
            "mute": [sys.executable, "-c", "import sys; sys.stdin.read()"],
            "safe": other,
        }
        with contextlib.redirect_stdout(told):
            async with host_of(servers) as host:
                await play(host)
    lines = told.getvalue().splitlines()
    print("\nA host: five servers, of which one never answers and one wants a login.\n")
    print("\n".join(f"  {line}" for line in lines))
    wrong = list(difflib.unified_diff(TRANSCRIPT.strip().splitlines(), lines, "expected", "was", lineterm=""))
    print("\n".join(["", *wrong]) if wrong else "\nThe host: all as expected.")
    return 1 if wrong else 0


TRANSCRIPT = """
states: oven ready pantry ready gate ready mute connecting safe needs_login
tools: oven__bake oven__process pantry__fetch gate__burn
The model wants to call oven__bake of the server oven.
  it says of itself: Bake bread.
  with: {"loaves": 2}
oven: 1 of 2
oven: 2 of 2
result: 2 loaves
The model wants to call pantry__fetch of the server pantry.
  it says of itself: Fetch something.
  with: {"what": "apples"}
  results in the conversation: oven
pantry asks: Which colour of apples?
result: green apples
The model wants to call gate__burn of the server gate.
  it says of itself: Light a fire.
  with: {}
  results in the conversation: oven, pantry
tool gate__burn of the server 'gate' was refused: no fires in this house
The model wants to call oven__process of the server oven.
  it says of itself: The process of the oven.
  with: {}
  results in the conversation: oven, pantry
the oven was killed
oven: 1 of 1
result: 1 loaves
another process: True
"""

if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
