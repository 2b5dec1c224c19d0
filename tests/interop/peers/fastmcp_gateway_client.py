"""FastMCP as a client of many servers; the command line is that of `mcp_gateway_client.py`.

Follows: no page of the specification.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

import mcp_types as types
from fastmcp import Client
from fastmcp.client import StdioTransport


async def main() -> None:
    """Do it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--command", type=json.loads)
    parser.add_argument("--calls", type=json.loads)
    parser.add_argument("--probe", action="store_true")
    given = parser.parse_args()
    transport = StdioTransport(given.command[0], given.command[1:], keep_alive=False)
    came: dict[str, Any] = {"texts": {}}
    async with Client(transport, mode="auto" if given.probe else "legacy") as client:
        came["revision"] = client.protocol_version
        came["tools"] = [tool.name for tool in await client.list_tools()]
        for tool, arguments in given.calls:
            result = await client.call_tool(tool, arguments, raise_on_error=False)
            texts = [block.text for block in result.content if isinstance(block, types.TextContent)]
            came["texts"][tool] = "\n".join(texts)
    sys.stdout.write(f"{json.dumps(came)}\n")


if __name__ == "__main__":
    asyncio.run(main())
