"""What a client can be pointed at, and the race between an answer and giving up."""

import asyncio
import random
import shlex
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from dovetail import App
from dovetail.client import Client
from dovetail.client.options import Options
from dovetail.client.targets import place_of
from dovetail.protocol.errors import ConnectFailed, LocalProtocolError, RequestTimeout
from dovetail.protocol.revisions import REVISIONS

Command = Callable[..., list[str]]


@pytest.fixture
async def app() -> AsyncIterator[App]:
    made = App("mine", version="3")

    @made.tool
    async def add(a: int, b: int) -> int:
        return a + b

    @made.tool
    async def nap(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "rested"

    yield made
    await made.service.stop()


@pytest.mark.parametrize("revision", ["auto", *REVISIONS])
async def test_an_app_in_every_revision(app: App, revision: str) -> None:
    async with Client(app, revision=revision) as client:
        assert client.revision == (REVISIONS[-1] if revision == "auto" else revision)
        assert await client.call_tool("add", {"a": 1, "b": 2}, into=int) == 3
        assert client.server_info is not None
        assert client.server_info.name == "mine"


@pytest.mark.requirement("R2511-TRANSPORT-STDIO-004")
async def test_a_command_line_and_a_script(stateful: Command, tmp_path: Path) -> None:
    async with Client(shlex.join(stateful("2025-06-18"))) as client:
        assert client.revision == "2025-06-18"
    script = tmp_path / "server.py"
    script.write_text("from dovetail import App\napp = App('script')\napp.run()\n")
    for target in (script, str(script)):
        async with Client(target) as client:
            assert client.server_info is not None
            assert client.server_info.name == "script"


async def test_an_app_in_a_file_that_does_not_run_it(tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    script.write_text("from dovetail import App\napp = App('found')\n")
    async with Client(script) as client:
        assert client.server_info is not None
        assert client.server_info.name == "found"


async def test_lines_over_a_unix_socket(stateless: Command, tmp_path: Path) -> None:
    path = tmp_path / "server.sock"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*stateless(), stdin=pipe, stdout=pipe)
        assert process.stdin is not None
        assert process.stdout is not None
        while line := await reader.readline():
            process.stdin.write(line)
            writer.write(await process.stdout.readline())
        process.stdin.close()
        await process.wait()
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    async with server, Client(f"unix:{path}") as client:
        assert (await client.call_tool("echo", {"text": "x"})).text == "x"


def test_targets_that_mean_nothing() -> None:
    for target in (5, None, [], "", "http+unix://nothing", "'unclosed"):
        with pytest.raises((LocalProtocolError, ConnectFailed)):
            place_of(target, Options()).make()
    with pytest.raises(ConnectFailed):
        Client("nothing_here.py")
    with pytest.raises(ConnectFailed):
        Client(Path("nothing_here.py"))


@pytest.mark.requirement("R2511-CANCELLATION-007", "R2607-CANCELLATION-016")
@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
async def test_giving_up_races_with_the_answer(app: App, revision: str) -> None:
    dice = random.Random(7)
    async with Client(app, revision=revision) as client:
        for _ in range(300):
            call = asyncio.create_task(client.call_tool("nap", {"seconds": 0.001 * dice.random()}, timeout=5))
            for _ in range(dice.randrange(12)):
                await asyncio.sleep(0)
            if dice.random() < 0.5:
                await asyncio.sleep(0.001 * dice.random())
            call.cancel()
            try:
                assert (await call).text == "rested"
            except asyncio.CancelledError:
                assert call.cancelled()
        for _ in range(100):
            try:
                result = await client.call_tool(
                    "nap", {"seconds": 0.001}, timeout=0.0005 + 0.002 * dice.random()
                )
                assert result.text == "rested"
            except RequestTimeout:
                pass
        assert not client._connection.link._timeouts
        assert await client.call_tool("add", {"a": 1, "b": 2}, into=int) == 3
