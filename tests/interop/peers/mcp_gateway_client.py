"""The official Python SDK as a client of many servers: lists, makes the calls it is told, prints what came as JSON.

    --command JSON  the server; --calls JSON  a list of [tool, arguments]; --probe  ask about the era first

Follows: no page of the specification.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

import mcp_types as types
from mcp import Client, StdioServerParameters


async def main() -> None:
    """Do it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--command", type=json.loads)
    parser.add_argument("--calls", type=json.loads)
    parser.add_argument("--probe", action="store_true")
    given = parser.parse_args()
    server = StdioServerParameters(command=given.command[0], args=given.command[1:])
    came: dict[str, Any] = {"texts": {}}
    async with Client(server, mode="auto" if given.probe else "legacy") as client:
        came["revision"] = client.protocol_version
        came["tools"] = [tool.name for tool in (await client.list_tools()).tools]
        for tool, arguments in given.calls:
            result = await client.call_tool(tool, arguments)
            texts = [block.text for block in result.content if isinstance(block, types.TextContent)]
            came["texts"][tool] = "\n".join(texts)
    sys.stdout.write(f"{json.dumps(came)}\n")


if __name__ == "__main__":
    asyncio.run(main())
