"""The authorization server that `soak` attacks: a process of its own, which says what it holds at ``/held``.

It believes the proxy that its callers pretend to be. Its one argument is not used. It prints its port.
"""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any, Final

import uvicorn
from soak_kinds import LOGIN
from soak_watching import Watching, tell

from dovetail.stores import MemoryStore
from dovetail_authserver import AuthServer, RegisteredClient, User, form_login

watching: Final = Watching()
store: Final = MemoryStore(clock=watching.clock)
sock: Final = socket.create_server(("127.0.0.1", 0))
URL: Final = f"http://127.0.0.1:{sock.getsockname()[1]}"
authority: Final = AuthServer(
    URL,
    login=form_login(lambda name, password: User(name) if (name, password) == ("ann", "right") else None),
    store=store,
    resources=["http://127.0.0.1/mcp"],
    clients=[RegisteredClient(id=LOGIN["client_id"], redirect_uris=[LOGIN["redirect_uri"]])],
    documents="off",
)
underway: Final[set[object]] = set()


def held() -> dict[str, int]:
    """What goes on, and what is kept for a time."""
    return {
        "requests": len(underway),
        "values kept": len(store.kv._entries),
        "failures known": len(authority._parts.gate._limiter),
        "addresses shut out": len(authority._parts.gate._shut),
        "tasks": len(asyncio.all_tasks()),
    }


LOOKS: Final[dict[str, Any]] = {
    "/held": held,
    "/later": watching.skip,
    "/turns": watching.take_turns,
    "/tidy": watching.tidy,
}


async def serve(scope: Any, receive: Any, send: Any) -> None:
    """The authorization server, and looks at it."""
    if scope["type"] != "http":
        await authority(scope, receive, send)
    elif scope["path"] in LOOKS:
        body = json.dumps(LOOKS[scope["path"]]()).encode()
        head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})
    else:
        underway.add(one := object())
        try:
            await authority(scope, receive, send)
        finally:
            underway.discard(one)


async def main() -> None:
    """Serve until a signal ends it."""
    options: dict[str, Any] = {"proxy_headers": True, "forwarded_allow_ips": ["127.0.0.1"]}
    server = uvicorn.Server(uvicorn.Config(serve, log_level="warning", **options))
    tell(f"{URL}/", watching)
    await server.serve(sockets=[sock])


if __name__ == "__main__":
    asyncio.run(main())
