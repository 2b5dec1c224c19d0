"""Our authorization server for the suite, and the person at the browser that the suite waits for.

Theory of operation: serves an authorization server on this machine, then runs the suite's command with its address,
with a client that the server knows and with a port for that client to listen on. The suite prints a URL and
waits for somebody to open it; that somebody is here too, reads the URL off the output and presses Allow. Everything the
suite prints is passed on, and its exit status is ours.

    python conformance/authserver.py COMMAND [ARGUMENT ...]
"""

from __future__ import annotations

import asyncio
import sys

import serving

from dovetail_authserver import RegisteredClient
from dovetail_authserver.testing import AuthorizationServer, authorization_server

CLIENT = RegisteredClient(id="conformance", name="The suite", redirect_uris=["http://127.0.0.1/callback"])


async def attend(authority: AuthorizationServer, output: asyncio.StreamReader) -> None:
    """Pass the output on; open each authorization URL in it and allow what it asks."""
    visits: list[asyncio.Task[str]] = []
    async for line in output:
        text = line.decode(errors="replace")
        print(text, end="", flush=True)
        if text.startswith(authority.server.urls.authorize):
            visits.append(asyncio.create_task(authority.approve(text.strip())))
    await asyncio.gather(*visits)


async def main(command: list[str]) -> int:
    """Serve, run the suite, and give its exit status."""
    async with authorization_server("http://127.0.0.1/mcp", clients=[CLIENT]) as authority:
        where = ["--url", authority.url, "--client-id", CLIENT.id, "--port", str(serving.free_port())]
        process = await asyncio.create_subprocess_exec(
            *command, *where, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        assert process.stdout is not None
        await attend(authority, process.stdout)
        return await process.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
