"""The floor over HTTP: bare ASGI on uvicorn with httptools and uvloop, typed messages in and out, no more.

It decodes the request in the slices that typed arguments need, calls a function and encodes the answer. It
checks no header, no origin and no limit, knows no era and keeps nothing. For the words see `benchmarks.contestants`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import uvicorn
from floor_messages import (
    Request,
    answer_to,
    answer_to_call,
    notification,
    offer,
    params_of,
    result_of,
    text_of,
)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

JSON_HEAD = (b"content-type", b"application/json")
SSE_HEAD = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]
SSE = len(sys.argv) > 3 and sys.argv[3] == "sse"
decode = msgspec.json.Decoder(Request).decode
encode = msgspec.json.encode
listeners: dict[int, Send] = {}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """The endpoint."""
    if scope["type"] != "http":
        return
    message = await receive()
    body = message["body"]
    if message.get("more_body"):
        parts = [body]
        while message.get("more_body"):
            message = await receive()
            parts.append(message["body"])
        body = b"".join(parts)
    request = decode(body)
    if request.id is None:
        await respond(send, b"", 202)
    elif request.method == "tools/call":
        await call(request, send)
    elif request.method == "subscriptions/listen":
        await listen(receive, send)
    else:
        await respond(send, answer_to(request))


async def call(request: Request, send: Send) -> None:
    """One tools/call."""
    params = params_of(request.params)
    if params.name == "report":
        await report(request, params.meta.progress_token, send)
        return
    if params.name == "touch":
        for listener in tuple(listeners.values()):
            await tell(listener)
    answer = answer_to_call(request, params)
    if not SSE:
        await respond(send, answer)
        return
    await send({"type": "http.response.start", "status": 200, "headers": SSE_HEAD})
    await send({"type": "http.response.body", "body": b"id: 0\ndata: \n\n", "more_body": True})
    await send({"type": "http.response.body", "body": b"id: 1\nevent: message\ndata: %b\n\n" % answer})


async def respond(send: Send, body: bytes, status: int = 200) -> None:
    """One body."""
    head = [JSON_HEAD, (b"content-length", b"%d" % len(body)), (b"mcp-session-id", b"floor")]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def report(request: Request, token: int | str | None, send: Send) -> None:
    """A hundred notifications, then the result."""
    await send({"type": "http.response.start", "status": 200, "headers": SSE_HEAD})
    for done in range(1, 101):
        said = notification(
            "notifications/progress", {"progressToken": token, "progress": done, "total": 100}
        )
        event = b"event: message\ndata: %b\n\n" % said
        await send({"type": "http.response.body", "body": event, "more_body": True})
    event = b"event: message\ndata: %b\n\n" % encode(result_of(request, text_of("done")))
    await send({"type": "http.response.body", "body": event})


async def listen(receive: Receive, send: Send) -> None:
    """A stream that stays open until its client goes."""
    await send({"type": "http.response.start", "status": 200, "headers": SSE_HEAD})
    said = notification("notifications/subscriptions/acknowledged", {"notifications": {}})
    await send({"type": "http.response.body", "body": b"data: %b\n\n" % said, "more_body": True})
    listeners[id(send)] = send
    try:
        while (await receive())["type"] != "http.disconnect":
            pass
    finally:
        del listeners[id(send)]


async def tell(send: Send) -> None:
    """One change to one listener."""
    said = notification("notifications/resources/updated", {"uri": "note://a"})
    await send(
        {"type": "http.response.body", "body": b"event: message\ndata: %b\n\n" % said, "more_body": True}
    )


if __name__ == "__main__":
    tools, port, workers = map(int, sys.argv[4:7])
    offer(tools)
    config = uvicorn.Config(
        app, port=port, log_level="warning", access_log=False, http="httptools", loop="uvloop"
    )
    sock = config.bind_socket()
    sock.listen(2048)
    for _ in range(workers - 1):
        if os.fork() == 0:
            break
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(uvicorn.Server(config).serve(sockets=[sock]))
