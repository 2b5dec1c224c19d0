"""An `App` is an ASGI application itself; what it can be told over HTTP is typed; and it serves in a running loop."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, assert_type

import pytest
from http_serving import Prober, serving, until

from dovetail import App, Client
from dovetail.runtime.service import LifespanFailed
from dovetail.server.options import Endpoint, EndpointOptions, HTTPOptions, StdioOptions, UnixOptions
from dovetail.transports.http1.server.runner import AddressUnavailable, serve, serve_here
from dovetail.transports.http_server.asgi import HTTPApp
from dovetail.transports.stdio.server import run_stdio
from dovetail.transports.unix.server import run_unix


class Life:
    """An app that notes what becomes of it."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.lines: asyncio.Queue[str] = asyncio.Queue()
        self.app = App("life", lifespan=self.span)
        self.begun = asyncio.Event()

        @self.app.tool
        async def hello() -> str:
            """Says hello."""
            return "hello"

        @self.app.tool
        async def forever() -> str:
            """Never ends."""
            self.begun.set()
            await asyncio.Event().wait()
            return "never"

    @asynccontextmanager
    async def span(self, app: App) -> AsyncIterator[None]:
        self.did.append("in")
        yield
        self.did.append("out")

    async def url(self) -> str:
        """Where it says that it is."""
        line = await self.lines.get()
        return line.removeprefix("dovetail: serving on ")


async def test_an_app_is_an_asgi_application() -> None:
    life = Life()
    async with serving(life.app) as port:
        assert life.did == ["in"], "it takes part in the lifespan of the server"
        async with Client(f"http://127.0.0.1:{port}/mcp") as client:
            assert (await client.call_tool("hello")).text == "hello"
    assert life.did == ["in", "out"]


async def test_an_app_that_cannot_be_served_says_so_when_the_server_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    monkeypatch.setattr("sys.argv", ["/usr/bin/uvicorn", "several:app"])
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(event: Any) -> None:
        sent.append(event)

    await App("several")({"type": "lifespan"}, receive, send)
    assert sent[0]["type"] == "lifespan.startup.failed"
    assert "3 workers are to serve together" in sent[0]["message"]


# Options


def parameters(function: Any, *without: str) -> set[str]:
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    found = inspect.signature(function).parameters
    return {name for name, each in found.items() if each.kind in named and name not in ("self", *without)}


def test_the_typed_options_are_those_that_there_are() -> None:
    assert_type(App("typed").asgi(path="/x", drain=1.0), Endpoint)
    given_to_app = {"auth", "probes", "metrics", "metrics_allow_ips"}
    endpoint = parameters(HTTPApp.__init__, "service", "protection", "routes") | given_to_app
    assert set(EndpointOptions.__annotations__) == endpoint
    assert set(HTTPOptions.__annotations__) == endpoint | parameters(serve, "app")
    assert parameters(serve, "app", "workers") == parameters(serve_here, "app")
    assert set(StdioOptions.__annotations__) == parameters(run_stdio, "service")
    assert set(UnixOptions.__annotations__) == parameters(run_unix, "service")


def test_an_option_that_does_not_exist_is_refused_by_name() -> None:
    app: Any = App("options")
    with pytest.raises(TypeError, match="no option 'prot' for the transport 'http'; did you mean 'port'"):
        app.run("http", prot=1)
    with pytest.raises(TypeError, match="no option 'port' for the transport 'stdio'"):
        app.run(port=1)
    with pytest.raises(TypeError, match="no option 'alowed_hosts'; did you mean 'allowed_hosts'"):
        app.asgi(alowed_hosts=("x",))
    with pytest.raises(TypeError, match=r"'port'; it is an option of App\.run"):
        app.asgi(port=1)
    with pytest.raises(ValueError, match="no transport 'https'"):
        app.run("https")


# In a loop that runs already


async def test_serving_in_a_running_loop_ends_in_order_when_cancelled() -> None:
    life = Life()
    before = signal.getsignal(signal.SIGTERM)
    task = asyncio.create_task(
        life.app.serve("http", port=0, announce=life.lines.put_nowait, drain=0.5, path="/here")
    )
    url = await life.url()
    assert url.endswith("/here")
    assert life.did == ["in"], "the line comes when the app has started"
    prober = Prober(int(url.split(":")[2].partition("/")[0]))
    prober.path = "/here"
    await prober.ready()
    stream = await prober.stream("GET")
    await stream.next()
    task.cancel()
    assert await stream.rest() == []
    with pytest.raises(asyncio.CancelledError):
        await task
    assert life.did == ["in", "out"]
    assert signal.getsignal(signal.SIGTERM) == before
    for connection in prober.opened:
        await connection.close()


async def test_serving_in_a_running_loop_hears_signals() -> None:
    """Two at a time both hear the same; afterwards the program goes on."""
    lives = [Life(), Life()]
    tasks = [
        asyncio.create_task(life.app.serve("http", port=0, announce=life.lines.put_nowait)) for life in lives
    ]
    for life in lives:
        async with Client(await life.url()) as client:
            assert (await client.call_tool("hello")).text == "hello"
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(10):
        await asyncio.gather(*tasks)
    assert [life.did for life in lives] == [["in", "out"]] * 2


async def test_serving_in_a_running_loop_has_one_process() -> None:
    with pytest.raises(ValueError, match=r"App\.run"):
        await App("one").serve("http", workers=2)


async def test_serving_a_unix_socket_in_a_running_loop(tmp_path: Path) -> None:
    life = Life()
    path = tmp_path / "s"
    task = asyncio.create_task(life.app.serve("unix", path=path))
    await until(path.exists)
    async with Client(f"unix:{path}") as client:
        assert (await client.call_tool("hello")).text == "hello"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert life.did == ["in", "out"]


async def test_serving_stdio_in_a_running_loop(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            """
            import asyncio, sys
            from dovetail import App

            app = App("inside")

            @app.tool
            async def hello() -> str:
                return "hello"

            async def main():
                await app.serve()
                sys.stderr.write("went on\\n")

            asyncio.run(main())
            """
        )
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(program),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    ping = b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n'
    out, err = await process.communicate(ping)
    assert b'"id":1' in out
    assert err == b"went on\n"
    assert process.returncode == 0


# A lifespan that fails


@asynccontextmanager
async def open_database(app: App) -> AsyncIterator[None]:
    raise OSError("no such host")
    yield


async def test_a_lifespan_that_fails_is_told_before_any_address() -> None:
    lines: list[str] = []
    app = App("failing", lifespan=open_database)
    with pytest.raises(LifespanFailed, match=r"open_database\(\) of 'failing' .*no such host"):
        await app.serve("http", port=0, announce=lines.append)
    assert lines == []


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_process_whose_lifespan_fails_names_it_and_no_address(workers: int, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            f"""
            from contextlib import asynccontextmanager
            from dovetail import App

            @asynccontextmanager
            async def open_database(app):
                raise OSError("no such host")
                yield

            App("failing", lifespan=open_database).run("http", port=0, workers={workers}, sessions=False)
            """
        )
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(program), stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(30):
        _, err = await process.communicate()
    said = err.decode()
    assert process.returncode == 1
    assert "serving on" not in said
    assert "the lifespan open_database() of 'failing'" in said
    assert "program.py:" in said
    assert "OSError: no such host" in said


async def test_a_port_that_is_taken_is_told_before_the_lifespan_is_entered() -> None:
    life = Life()
    async with serving(life.app) as port:
        other = Life()
        with pytest.raises(AddressUnavailable, match="in use"):
            await other.app.serve("http", port=port)
        assert other.did == []
