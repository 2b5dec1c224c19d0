"""The measured server, with the official SDK's `MCPServer`. For the words see `benchmarks.contestants`.

With BENCH_UVLOOP it is served by uvicorn itself, which takes uvloop and httptools where they are installed;
without, by the server's own `run`, as `pip install` leaves it.
"""

from __future__ import annotations

import os
import sys

from mcp.server import MCPServer

server = MCPServer("measured", version="1", log_level="WARNING")
LIMIT = 16 * 1024 * 1024


def offer(kit: str, tools: int) -> None:
    """Register the tools."""
    if kit != "calls":
        from mcp_kits import register

        register(server, kit)
        return

    @server.tool()
    async def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    async def other(a: int, b: int) -> int:
        """Do something else with two numbers, which nobody will ask for."""
        return a - b

    for number in range(1, tools):
        server.add_tool(other, name=f"tool_{number:05}")


def options(mode: str) -> dict[str, object]:
    """What a mode means here."""
    match mode:
        case "plain":
            return {"stateless_http": True, "json_response": True}
        case "json":
            return {"json_response": True}
        case "sse":
            from mcp_kits import EventLog

            return {"event_store": EventLog()}
        case _:
            return {"max_request_body_size": LIMIT}


def app():
    """The application for uvicorn, when it makes workers."""
    offer(os.environ["BENCH_KIT"], int(os.environ["BENCH_TOOLS"]))
    return server.streamable_http_app(stateless_http=True)


def main() -> None:
    """Serve."""
    transport, kit, mode = sys.argv[1:4]
    tools, port, workers = map(int, sys.argv[4:7])
    if workers > 1:
        import uvicorn

        os.environ |= {"BENCH_KIT": kit, "BENCH_TOOLS": str(tools)}
        uvicorn.run("mcp_server:app", factory=True, port=port, workers=workers, log_level="warning")
        return
    offer(kit, tools)
    if transport == "stdio":
        server.run()
    elif os.environ.get("BENCH_UVLOOP"):
        import uvicorn

        uvicorn.run(server.streamable_http_app(**options(mode)), port=port, log_level="warning")
    else:
        server.run("streamable-http", port=port, **options(mode))


if __name__ == "__main__":
    main()
