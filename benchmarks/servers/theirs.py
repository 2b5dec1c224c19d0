"""The measured server, with the official SDK."""

from mcp.server import MCPServer

server = MCPServer("measured", version="1")


@server.tool()
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


if __name__ == "__main__":
    server.run()
