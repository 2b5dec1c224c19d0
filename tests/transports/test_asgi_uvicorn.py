"""The uvicorn runner, as processes: addresses, socket files, signals, workers."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from http_serving import Connection, Prober, head_bytes

from dovetail.transports.http1.server import runner as uvicorn_runner
from dovetail.transports.http1.server import uvicorn_server
from dovetail.transports.http1.server.runner import AddressUnavailable, address_of, bind, bind_unix

WORKER = Path(__file__).parent / "http_worker.py"


@dataclass
class Served:
    process: asyncio.subprocess.Process
    line: str
    port: int

    async def ended(self) -> int:
        async with asyncio.timeout(15):
            return await self.process.wait()


ENDS = ("own", "uvicorn")


@contextlib.asynccontextmanager
async def worker(**given) -> AsyncIterator[Served]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(WORKER), json.dumps({"port": 0, **given}), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(20):
            line = (await process.stderr.readline()).decode()
        found = re.search(r":(\d+)/", line)
        yield Served(process, line, int(found[1]) if found else 0)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def closed(prober: Prober) -> None:
    for connection in prober.opened:
        await connection.close()


@pytest.mark.requirement("R2607-SECURITY-004", "R2511-SECURITY-004")
@pytest.mark.parametrize("connections", ENDS)
async def test_f67_a_signal_ends_streams_and_finishes_calls(connections: str):
    async with worker(connections=connections) as served:
        assert re.fullmatch(r"dovetail: serving on http://127\.0\.0\.1:\d+/mcp\n", served.line)
        prober = Prober(served.port)
        await prober.ready()
        standing = await prober.stream("GET")
        await standing.next()
        body, headers = prober.modern("subscriptions/listen", {"notifications": {}}, id=3)
        listening = await prober.stream("POST", body, {**headers, "Mcp-Session-Id": ""})
        await listening.next()
        served.process.send_signal(signal.SIGTERM)
        assert [json.loads(event.data)["id"] for event in await listening.rest()] == [3]
        assert await standing.rest() == []
        assert await served.ended() == 0
        await closed(prober)


@pytest.mark.parametrize("connections", ENDS)
async def test_f67_a_second_signal_ends_now(connections: str):
    async with worker(app={"drain": 60.0}, connections=connections) as served:
        prober = Prober(served.port)
        await prober.ready()
        working = await prober.tool_stream("wait", key="a")
        await working.next()
        served.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            while True:
                try:
                    await (await Connection.open(served.port)).close()
                except ConnectionError:
                    break
        served.process.send_signal(signal.SIGTERM)
        await served.ended()
        await closed(prober)


async def test_f30_a_head_that_drips_is_given_up():
    async with worker(header_timeout=0.2) as served:
        connection = await Connection.open(served.port)
        await connection.send(b"POST /mcp HTTP/1.1\r\nhost: loc")
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError):
                assert await connection.reader.read() == b""
        await connection.close()
        idle = await Connection.open(served.port)
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError):
                assert await idle.reader.read() == b""
        await idle.close()
        prober = Prober(served.port)
        assert (await prober.ask("server/discover")).status == 200
        await closed(prober)


@pytest.mark.parametrize("connections", ENDS)
async def test_a_unix_socket_replaces_a_stale_file(connections: str):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "s")
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(path)
        stale.close()
        async with worker(uds=path, connections=connections) as served:
            assert served.line == f"dovetail: serving on unix:{path}\n"
            assert os.stat(path).st_mode & 0o077 == 0
            with pytest.raises(AddressUnavailable, match="already"):
                bind_unix(path)
            body, headers = Prober(0).modern("server/discover")
            fields = {
                "host": "localhost",
                "content-type": "application/json",
                "content-length": str(len(body)),
            }
            connection = Connection(*await asyncio.open_unix_connection(path))
            await connection.send(head_bytes("POST", "/mcp", {**fields, **headers}) + body)
            assert (await connection.answer()).status == 200
            await connection.close()
            served.process.send_signal(signal.SIGTERM)
            assert await served.ended() == 0
        assert os.listdir(folder) == []


def test_a_file_that_is_no_socket_is_never_replaced(tmp_path):
    path = tmp_path / "precious"
    path.write_text("mine")
    with pytest.raises(AddressUnavailable, match="not a socket"):
        bind_unix(str(path))
    assert path.read_text() == "mine"


def test_a_port_in_use_is_named():
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(AddressUnavailable, match=f"port {port}: it is in use"):
            bind("127.0.0.1", port)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_r38_other_machines_are_let_in_only_when_asked_for(host):
    with pytest.raises(ValueError, match="allow_remote"):
        bind(host, 0)


def test_r38_letting_them_in_is_noted(caplog):
    with bind("0.0.0.0", 0, allow_remote=True):
        assert "other machines" in caplog.text


@pytest.mark.parametrize("host,port", [("no such host", 1), ("127.0.0.1", 70000), ("\udc80", 1)])
def test_addresses_that_mean_nothing(host, port):
    with pytest.raises(AddressUnavailable):
        bind(host, port)


def test_urls_of_sockets():
    with bind("127.0.0.1", 0) as sock:
        assert address_of(sock, "/mcp") == f"http://127.0.0.1:{sock.getsockname()[1]}/mcp"


def test_without_uvicorn_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"dovetail\[server\]"):
        uvicorn_runner.serve(None)  # pyright: ignore[reportArgumentType] - it never gets that far


def test_importing_the_application_loads_no_extra():
    code = (
        "import sys, dovetail.transports.http_server.asgi, dovetail.transports.http1.server.runner; "
        "print('uvicorn' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("connections", ENDS)
async def test_workers_share_the_address(connections: str):
    async with worker(workers=2, connections=connections) as served:
        prober = Prober(served.port)
        for _ in range(20):
            assert (await prober.ask("server/discover")).status == 200
        served.process.send_signal(signal.SIGTERM)
        assert await served.ended() == 0
        await closed(prober)


@pytest.mark.parametrize(
    "version, own", [("0.54.7", True), ("0.53.0", True), ("0.52.9", False), ("1.0.0", False)]
)
def test_connections_of_ours_serve_with_the_versions_they_were_tried_with(
    version: str, own: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("uvicorn.__version__", version)
    assert (uvicorn_server.choose(1.0) is not None) is own
    assert (f"uvicorn {version} is not one" in caplog.text) is not own
    assert uvicorn_server.choose(1.0, "own") is not None
    assert uvicorn_server.choose(1.0, "uvicorn") is None


def test_the_versions_are_those_that_can_be_installed() -> None:
    """Whoever raises the bound tries the version, and says so."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    wanted = next(each for each in project["project"]["optional-dependencies"]["server"] if "uvicorn" in each)
    found = re.fullmatch(r"uvicorn>=0\.(\d+),<0\.(\d+)", wanted)
    assert found is not None, wanted
    assert {f"0.{minor}" for minor in range(int(found[1]), int(found[2]))} == uvicorn_server.TRIED


async def test_a_process_with_another_uvicorn_serves_and_says_so() -> None:
    async with worker(pretended="9.9.9") as served:
        assert "uvicorn 9.9.9 is not one that connections of ours were tried with" in served.line
        assert served.process.stderr is not None
        found = re.search(rb":(\d+)/", await served.process.stderr.readline())
        assert found is not None
        prober = Prober(int(found[1]))
        await prober.ready()
        served.process.send_signal(signal.SIGTERM)
        assert await served.ended() == 0
        await closed(prober)


def test_connections_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match='"own" or "uvicorn"'):
        uvicorn_runner.serve(None, port=0, connections="h11")  # type: ignore[arg-type] - what has no types says it
