"""The measured server, with FastMCP. For the words see `benchmarks.contestants`."""

from __future__ import annotations

import os
import sys

from fastmcp import FastMCP

server = FastMCP("measured", version="1")


def proxy():
    """A proxy before the server that BENCH_UPSTREAM names."""
    import json

    from fastmcp.client.transports import StdioTransport
    from fastmcp.server import create_proxy

    target = json.loads(os.environ["BENCH_UPSTREAM"])
    if isinstance(target, list):
        target = StdioTransport(target[0], target[1:])
    return create_proxy(target, name="measured", version="1")


def offer(kit: str, tools: int) -> None:
    """Register the tools."""
    if kit != "calls":
        from fastmcp_kits import register

        register(server, kit)
        return

    @server.tool
    async def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    async def other(a: int, b: int) -> int:
        """Do something else with two numbers, which nobody will ask for."""
        return a - b

    for number in range(1, tools):
        server.tool(other, name=f"tool_{number:05}")


def app():
    """The application for uvicorn, when it makes workers."""
    offer(os.environ["BENCH_KIT"], int(os.environ["BENCH_TOOLS"]))
    return server.http_app(stateless_http=True)


MODES = {
    "default": {},
    "waiting": {},
    "sessions": {},
    "plain": {"stateless_http": True, "json_response": True},
    "json": {"json_response": True},
}


def main() -> None:
    """Serve."""
    transport, kit, mode = sys.argv[1:4]
    tools, port, workers = map(int, sys.argv[4:7])
    if workers > 1:
        import uvicorn

        os.environ |= {"BENCH_KIT": kit, "BENCH_TOOLS": str(tools)}
        uvicorn.run("fastmcp_server:app", factory=True, port=port, workers=workers, log_level="warning")
        return
    if kit == "proxy":
        where = {} if transport == "stdio" else {"port": port}
        proxy().run(transport, show_banner=False, log_level="WARNING", **where)
        return
    offer(kit, tools)
    if transport == "stdio":
        server.run("stdio", show_banner=False, log_level="WARNING")
    elif mode == "sse":
        import uvicorn
        from fastmcp.server.event_store import EventStore

        uvicorn.run(server.http_app(event_store=EventStore()), port=port, log_level="warning")
    else:
        server.run("http", show_banner=False, port=port, log_level="WARNING", **MODES[mode])


if __name__ == "__main__":
    main()
