"""What callers and the log are told of an upstream that gives no answer: which one, why, and what to do."""

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dovetail import App, Client, InternalError, ToolError
from dovetail.middleware import ErrorTable
from dovetail.providers import rename
from dovetail.proxy import ProxyProvider, UpstreamFailed
from dovetail.testing.serving import served

NEW, OLD = "2026-07-28", "2025-11-25"
SECRET = "hunter2"


def mounted(prefix: str | None, *args: Any, **options: Any) -> App:
    app = App("front")
    app.mount(prefix, ProxyProvider(*args, **options))
    return app


async def failure(app: App, tool: str = "any") -> str:
    """What a caller of a tool is told."""
    async with Client(app, revision=NEW) as client:
        with pytest.raises(InternalError) as caught:
            await client.call_tool(tool)
    return caught.value.message


async def closed_port() -> int:
    """A port at which nobody listens."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


@asynccontextmanager
async def answering(answer: bytes) -> AsyncGenerator[str]:
    """A server that answers every request so, and the URL for it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"


async def test_of_a_server_that_is_not_there_is_told_what_was_tried(caplog: pytest.LogCaptureFixture) -> None:
    """The place without its secrets, the reason and what to do, to callers and in the log."""
    port = await closed_port()
    url = f"http://127.0.0.1:{port}/mcp?key={SECRET}"
    told = await failure(mounted("weather", url), "weather_any")
    assert told.startswith(f"weather: it can't be reached: cannot connect to http://127.0.0.1:{port}")
    assert told.endswith("nothing was done there, so try again")
    for record in caplog.records:
        assert record.getMessage().startswith("weather"), record.getMessage()
    assert "weather is not there yet" in caplog.text
    assert SECRET not in told + caplog.text


@pytest.mark.parametrize(
    "prefix, options, name",
    [
        ("weather", {"name": "the weather service"}, "the weather service"),
        ("weather", {}, "weather"),
        (None, {}, "'no-such-program-here' (with 1 argument)"),
    ],
)
async def test_it_is_known_by_its_name_or_its_prefix_or_its_target(
    prefix: str | None, options: dict[str, Any], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = mounted(prefix, ["no-such-program-here", f"--key={SECRET}"], **options)
    told = await failure(app, "weather_any")
    assert told.startswith(f"{name}: it can't be reached: there is no program 'no-such-program-here'")
    assert "install it" in told
    assert f"{name} is not there yet" in caplog.text
    assert SECRET not in told + caplog.text


async def test_a_prefix_is_known_through_transforms_and_an_app_that_is_mounted() -> None:
    inner, outer = App("inner"), App("outer")
    inner.mount("weather", ProxyProvider(["no-such-program-here"]).transformed(rename({"a": "b"})))
    outer.mount("all", inner)
    assert (await failure(outer, "all_weather_b")).startswith("weather: it can't be reached")


async def test_a_server_that_is_there_is_known_by_what_it_calls_itself() -> None:
    upstream = App("upstream", title="The weather")
    provider = ProxyProvider(upstream)
    app = App("front")
    app.mount(None, provider)
    assert provider.label == "an app in this process"
    async with Client(app):
        assert provider.label == "The weather"


async def test_a_process_that_ends_says_why_in_the_log_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "broken.py"
    path.write_text(f"import sys\nsys.exit('no key: {SECRET}')\n")
    told = await failure(mounted("weather", [sys.executable, str(path)], on_stderr=None), "weather_any")
    assert told == "weather: its process has ended (exit status 1); nothing was done there, so try again"
    assert SECRET in caplog.text


async def test_a_process_that_ends_during_a_call_may_have_done_it(tmp_path: Path) -> None:
    path = tmp_path / "mortal.py"
    path.write_text(
        "import os\nfrom dovetail import App\napp = App('mortal')\n\n@app.tool\nasync def die() -> None:\n"
        "    os._exit(7)\n\n\napp.run()\n"
    )
    told = await failure(mounted("far", [sys.executable, str(path)]), "far_die")
    assert told.startswith("far: its process has ended (exit status 7); part of the work may be done")


@pytest.mark.hostile
@pytest.mark.parametrize(
    "answer, reason",
    [
        (
            b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
            "it refused the credentials of the proxy (HTTP 401)",
        ),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 7\r\n\r\nhunter2", "it answered HTTP 500"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\nhunter2",
            "does not know server/discover",
        ),
    ],
)
async def test_what_an_http_server_says_instead_is_not_passed_on(answer: bytes, reason: str) -> None:
    async with answering(answer) as url:
        told = await failure(mounted("far", url, revision=NEW), "far_any")
    assert told.startswith("far: ")
    assert reason in told
    assert SECRET not in told


async def test_an_upstream_that_takes_too_long_is_named() -> None:
    upstream = App("slow")

    @upstream.tool
    async def hang() -> None:
        await asyncio.Event().wait()

    async with served(upstream.asgi()) as url:
        told = await failure(mounted("slow", url, timeout=0.3), "slow_hang")
    assert told.startswith("slow: it did not answer in time; part of the work may be done")


async def test_callers_of_python_can_tell_such_failures_and_retries_apart() -> None:
    """Its class is one that middleware knows, and says whether a retry is safe."""
    seen: list[UpstreamFailed] = []

    def told(problem: Exception) -> ToolError:
        assert isinstance(problem, UpstreamFailed)
        seen.append(problem)
        return ToolError("The weather is not there.")

    app = App("front", middleware=[ErrorTable({UpstreamFailed: told})])
    app.mount("far", ProxyProvider(["no-such-program-here"]))
    async with Client(app) as client:
        assert (await client.call_tool("far_any")).text == "The weather is not there."
    (problem,) = seen
    assert problem.retry_safe


async def test_many_failures_are_told_the_log_seldom(caplog: pytest.LogCaptureFixture) -> None:
    app = mounted("far", ["no-such-program-here"])
    async with Client(app) as client:
        for _ in range(50):
            with pytest.raises(InternalError, match="far: it can't be reached"):
                await client.call_tool("far_any")
    told = [each for each in caplog.records if each.name == "dovetail.proxy" and each.levelno >= logging.INFO]
    assert 1 <= len(told) <= 3


async def test_too_many_connections_are_said_of_the_upstream_that_has_them() -> None:
    begun, end = asyncio.Event(), asyncio.Event()
    upstream = App("busy")

    @upstream.tool
    async def hang() -> str:
        begun.set()
        await end.wait()
        return "done"

    app = mounted("busy", upstream, revision=OLD, max_connections=2)
    async with Client(app, revision=OLD) as first, Client(app, revision=OLD) as second:
        waiting = asyncio.create_task(first.call_tool("busy_hang"))
        await begun.wait()
        with pytest.raises(InternalError, match="busy: all 2 connections to it are in use; try again later"):
            await second.call_tool("busy_hang")
        end.set()
        assert (await waiting).text == "done"
