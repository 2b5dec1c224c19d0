"""Two worker processes behind a plain proxy that sends each connection to the next: every retry meets the other one."""

import asyncio
import contextlib
import itertools
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dovetail import Client, InvalidParams
from dovetail.protocol.revisions import STATELESS

HERE = Path(__file__).parent


@contextlib.asynccontextmanager
async def worker(**environment: str) -> AsyncIterator[tuple[int, int]]:
    """A worker; gives its process id and port."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(HERE / "proxied_worker.py")),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    assert process.stdout is not None
    try:
        yield process.pid, int(await asyncio.wait_for(process.stdout.readline(), 20))
    finally:
        process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def proxy(ports: list[int]) -> AsyncIterator[tuple[str, list[int]]]:
    """A proxy that gives each request, by a connection of its own, to the next worker; gives URL and turns."""
    turn, went = itertools.cycle(ports), list[int]()

    async def head_and_body(reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length")
            ),
            0,
        )
        return head + await reader.readexactly(length)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                request = await head_and_body(reader)
                port = next(turn)
                if b'"tools/call"' in request:
                    went.append(port)
                there, back = await asyncio.open_connection("127.0.0.1", port)
                back.write(request)
                writer.write(await head_and_body(there))
                back.close()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp", went
        server.close()


async def test_every_retry_on_the_other_worker() -> None:
    keys = {"DOVETAIL_KEYS": "k" * 40}
    async with worker(**keys) as first, worker(**keys) as second:
        async with (
            proxy([first[1], second[1]]) as (url, went),
            Client(url, revision=STATELESS[-1], elicitation=lambda _: True) as client,
        ):
            result = await client.call_tool("three")
        assert len(went) == 4
        assert all(one != other for one, other in itertools.pairwise(went))
        ran = [int(each) for each in result.text.split()]
        assert set(ran) == {first[0], second[0]}
        assert ran[0] != ran[1] != ran[2]


async def test_workers_with_keys_of_their_own_refuse_each_others_state() -> None:
    async with (
        worker(DOVETAIL_KEYS="k" * 40) as first,
        worker(DOVETAIL_KEYS="o" * 40) as second,
        proxy([first[1], second[1]]) as (url, _),
        Client(url, revision=STATELESS[-1], elicitation=lambda _: True) as client,
    ):
        with pytest.raises(InvalidParams, match="not valid for this request"):
            await client.call_tool("three")
