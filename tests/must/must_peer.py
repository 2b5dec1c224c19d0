"""What these tests share: a server that is a function over raw JSON, a full app, and all that crossed the wire."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any

from dovetail import App, Context, user
from dovetail.protocol.revisions import REVISIONS, STATELESS
from dovetail.runtime import tap
from dovetail.transports.client_transport import Outgoing, ReceivedResponse, Receiver
from dovetail.transports.shared_channel import SharedChannel

PREFIX = "io.modelcontextprotocol/"
OFFERED = {
    "tools": {"listChanged": True},
    "resources": {"subscribe": True, "listChanged": True},
    "prompts": {"listChanged": True},
    "completions": {},
    "logging": {},
}
Answer = Callable[["RawPeer", dict[str, Any]], Any]


class RawPeer:
    """A client's transport to a server that is one function: it gets every message but those of the opening.

    ``seen`` holds all that the client sent. The function answers with `result`, `error` and `say`.
    """

    name = "memory"
    http = False
    shared = True

    def __init__(self, answer: Answer, *, revision: str = STATELESS[-1], **offered: Any) -> None:
        self.seen: list[dict[str, Any]] = []
        self.revision = revision
        self.offered = {**OFFERED, **offered}
        self.described: dict[str, Any] = {}  # other members of what describes it
        self._answer = answer
        self._channel: SharedChannel | None = None

    async def open(self, receiver: Receiver) -> None:
        self._channel = SharedChannel(self.name, self._take)
        self._channel.attach(receiver)

    async def request(self, out: Outgoing) -> ReceivedResponse:
        return await self._open().request(out)

    async def send(self, out: Outgoing) -> None:
        await self._open().send(out)

    async def listen(self) -> None:
        pass

    async def end_session(self) -> None:
        pass

    async def close(self) -> None:
        if self._channel is not None:
            self._channel.close()

    def describe(self) -> str:
        return "a raw peer"

    def say(self, **message: Any) -> None:
        """Send a message to the client."""
        self._open().accept(json.dumps({"jsonrpc": "2.0", **message}).encode())

    def result(self, id: Any, **members: Any) -> None:
        """Answer a request, marked as complete in the stateless era."""
        if self.revision in STATELESS:
            members.setdefault("resultType", "complete")
        self.say(id=id, result=members)

    def error(self, id: Any, code: int, message: str = "no", **more: Any) -> None:
        """Answer a request with an error."""
        self.say(id=id, error={"code": code, "message": message, **more})

    def sent(self, method: str) -> list[dict[str, Any]]:
        """The requests or notifications of a method that the client sent."""
        return [message for message in self.seen if message.get("method") == method]

    async def _take(self, data: bytes) -> None:
        message = json.loads(data)
        self.seen.append(message)
        method, id = message.get("method"), message.get("id")
        if method == "server/discover":
            if self.revision in STATELESS:
                hints = {"ttlMs": 0, "cacheScope": "private"}
                told = {"supportedVersions": [self.revision], "capabilities": self.offered, **hints}
                self.result(id, **{**told, **self.described})
            else:
                self.error(id, -32601)
        elif method == "initialize":
            info = {"name": "raw", "version": "1"}
            offered = {key: item for key, item in self.offered.items() if key != "completions"}
            self.result(id, protocolVersion=self.revision, capabilities=offered, serverInfo=info)
        elif method != "notifications/initialized":
            found = self._answer(self, message)
            if isinstance(found, Awaitable):
                await found

    def _open(self) -> SharedChannel:
        assert self._channel is not None
        return self._channel


@contextmanager
def frames() -> Generator[list[tap.Frame]]:
    """All frames that cross any wire meanwhile."""
    seen: list[tap.Frame] = []
    remove = tap.add(seen.append)
    try:
        yield seen
    finally:
        remove()


def parsed(seen: list[tap.Frame], role: str) -> list[dict[str, Any]]:
    """The messages that one side sent, batches taken apart."""
    out: list[dict[str, Any]] = []
    for frame in seen:
        if frame.role == role and frame.sent:
            message = json.loads(frame.data)
            out.extend(message if isinstance(message, list) else [message])
    return out


def all_capabilities(revision: str) -> dict[str, Any]:
    """What a client of the revision can declare."""
    if revision < "2025-06-18":
        return {"sampling": {}, "roots": {}}
    if revision < "2025-11-25":
        return {"elicitation": {}, "sampling": {}, "roots": {}}
    return {"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}}, "roots": {}}


def full_app(**options: Any) -> App:
    """An app that offers something of everything."""
    app = App("full", version="1", **options)

    @app.tool
    async def add(a: int, b: int) -> int:
        return a + b

    @app.tool
    async def talk(ctx: Context) -> str:
        for step in (1, 2, 3):
            await ctx.progress(step, 3)
        await ctx.log("error", "said")
        return "done"

    @app.tool
    async def name(ctx: Context) -> str:
        return await ctx.elicit("Your name?", str)

    @app.tool
    async def fail() -> str:
        raise RuntimeError("secret")

    @app.resource("note://today")
    async def today() -> str:
        return "rain"

    @app.resource("note://{day}/{part}")
    async def part(day: str, part: str) -> str:
        return f"{day} {part}"

    @app.prompt
    async def greet(name: str) -> Any:
        return user(f"hello {name}")

    @app.completion("greet", "name")
    def names(typed: str) -> list[str]:
        return [typed + "a"]

    return app


async def post(app: App, message: dict[str, Any], **headers: str) -> tuple[int, Any]:
    """POST one message of the stateless era to an app's own ASGI application: status and body."""
    body = json.dumps(message).encode()
    params = message.get("params", {})
    sent = {
        "host": "127.0.0.1",
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "content-length": str(len(body)),
        "mcp-protocol-version": params.get("_meta", {}).get(PREFIX + "protocolVersion", STATELESS[-1]),
        "mcp-method": message["method"],
        **{key.replace("_", "-"): value for key, value in headers.items()},
    }
    named = params.get("name") or params.get("uri")
    if isinstance(named, str):
        sent["mcp-name"] = named
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/mcp",
        "raw_path": b"/mcp",
        "query_string": b"",
        "root_path": "",
        "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", 80),
        "headers": [(key.encode(), value.encode()) for key, value in sent.items()],
    }
    events = [{"type": "http.request", "body": body, "more_body": False}]
    answers: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if events:
            return events.pop()
        await asyncio.Event().wait()
        raise AssertionError

    async def send(event: dict[str, Any]) -> None:
        answers.append(event)

    await app.asgi()(scope, receive, send)
    data = b"".join(event.get("body", b"") for event in answers[1:])
    return answers[0]["status"], json.loads(data) if data else None


__all__ = ["PREFIX", "REVISIONS", "RawPeer", "all_capabilities", "frames", "full_app", "parsed", "post"]
