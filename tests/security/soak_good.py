"""The good callers of `soak`: each way to call well, again and again, on one connection.

``python soak_good.py`` is one of them: its argument is JSON (port, way, headers). It calls until standard input ends,
and prints the seconds that calls took, and how many failed.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

HERE: Final = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

from soak_kinds import FORM, LOGIN, login_of  # noqa: E402 - found where this file is
from soak_talk import STATEFUL, Talk, initialize, message, modern  # noqa: E402 - as above

#: Seconds between two calls.
PACE: Final = 0.025
#: Seconds that a call may take.
PATIENCE: Final = 10.0

#: Makes one call; gives its status.
Call = Callable[[Talk], Awaitable[int]]


async def call(port: int, headers: Mapping[str, str]) -> Call:
    """Of the stateless era."""
    body, named = modern("tools/call", {"name": "echo", "arguments": {"text": "hello"}})

    async def once(talk: Talk) -> int:
        await talk.send(body, {**named, **headers})
        return (await talk.answer())[0]

    return once


async def session(port: int, headers: Mapping[str, str]) -> Call:
    """In one session, which has to last."""
    talk = await Talk.open(port)
    await talk.send(initialize({}), headers)
    _, found, _ = await talk.answer()
    mine = {"mcp-session-id": found["mcp-session-id"], "mcp-protocol-version": STATEFUL, **headers}
    await talk.send(message("notifications/initialized"), mine)
    await talk.answer()
    talk.drop()
    body = message("tools/call", {"name": "echo", "arguments": {"text": "hello"}}, id=1)

    async def once(talk: Talk) -> int:
        await talk.send(body, mine)
        return (await talk.answer())[0]

    return once


async def login(port: int, headers: Mapping[str, str]) -> Call:
    """Of a person with the right password."""
    talk = await Talk.open(port)
    await talk.send(b"", headers, method="GET", path=f"/authorize?{urlencode(LOGIN)}")
    _, found, page = await talk.answer()
    talk.drop()
    path, cookie = login_of(found, page)
    body = urlencode({"name": "ann", "password": "right"}).encode()

    async def once(talk: Talk) -> int:
        await talk.send(body, {**headers, "cookie": cookie, "content-type": FORM}, path=path)
        status, _, page = await talk.answer()
        return status if b"allow" in page else 0

    return once


WAYS: Final[Mapping[str, Callable[[int, Mapping[str, str]], Awaitable[Call]]]] = {
    "call": call,
    "session": session,
    "login": login,
}


async def call_well(port: int, way: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """Be a good caller until standard input ends: a call every few milliseconds."""
    once = await WAYS[way](port, headers)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    gc.disable()
    times: list[float] = []
    failed = 0
    over = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    talk: Talk | None = None
    while not over.done():
        began = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE):
                talk = talk or await Talk.open(port)
                status = await once(talk)
        except (OSError, asyncio.IncompleteReadError):  # of which a timeout is one
            status, talk = 0, None
        if status == 200:
            times.append(time.perf_counter() - began)
        else:
            failed += 1
        await asyncio.wait((over,), timeout=PACE)
    return {"times": times, "failed": failed}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(call_well(**json.loads(sys.argv[1])))))
