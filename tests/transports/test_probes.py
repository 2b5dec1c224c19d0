"""``/healthz`` and ``/readyz``: whether a server lives and is ready, to anyone, however its store fares.

Follows: no page of the specification.
"""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from http_serving import serving
from postgres_server import PostgresServer, needs_postgres
from redis_server import RedisServer, running_server
from test_rolling import served

from dovetail import App, Request
from dovetail.stores import RedisStore
from dovetail.transports.http_server import health


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    yield from running_server(tmp_path / "redis")


async def asked(
    port: int, path: str, *, method: str = "GET", host: str = "anything.example"
) -> tuple[int, bytes]:
    """Status and body of an answer to a request with that Host, over a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return int(head.split()[1]), body


async def test_they_answer_anyone_and_say_one_word() -> None:
    async with serving(App("probed").asgi(probes=True)) as port:
        assert await asked(port, "/healthz") == (200, b'{"status":"live"}')
        assert await asked(port, "/readyz") == (200, b'{"status":"ready"}')
        assert await asked(port, "/readyz", method="HEAD") == (200, b"")
        assert (await asked(port, "/readyz", method="POST"))[0] == 405
        assert (await asked(port, "/readyz/"))[0] == 403, "only these two; anything else is guarded"
        assert (await asked(port, "/health"))[0] == 403


async def test_an_endpoint_in_somebody_elses_server_has_none_unless_asked() -> None:
    async with serving(App("mounted").asgi()) as port:
        assert (await asked(port, "/readyz", host="127.0.0.1"))[0] == 404
    async with serving(App("mounted").asgi(probes=True, health="/health")) as port:
        for path in ("/health", "/health/live", "/healthz", "/readyz"):
            assert (await asked(port, path))[0] == 200


async def test_what_the_author_serves_there_is_the_authors() -> None:
    app = App("routed")

    @app.custom_route("/healthz")
    async def mine(request: Request) -> str:
        return "mine"

    async with serving(app.asgi(probes=True)) as port:
        assert await asked(port, "/healthz", host="127.0.0.1") == (200, b"mine")
        assert (await asked(port, "/healthz"))[0] == 403, "and guarded as it was"
        assert (await asked(port, "/readyz"))[0] == 200
    async with serving(App("there").asgi(probes=True, path="/readyz")) as port:
        assert (await asked(port, "/readyz", host="127.0.0.1"))[0] == 400, "the endpoint itself"


async def test_not_ready_while_it_drains_and_alive_all_the_same() -> None:
    app = App("draining")
    endpoint: Any = app.asgi(probes=True)
    async with serving(endpoint) as port:
        assert (await asked(port, "/readyz"))[0] == 200
        await endpoint.drain(0.1)
        assert await asked(port, "/readyz") == (503, b'{"status":"draining"}')
        assert (await asked(port, "/healthz"))[0] == 200


async def test_a_store_that_is_away_and_comes_back(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "REMEMBERED", 0.05)
    store = RedisStore(redis.url, timeout=0.5)
    async with serving(App("stored", store=store).asgi(probes=True)) as port:
        assert (await asked(port, "/readyz"))[0] == 200
        redis.kill()
        await asyncio.sleep(0.1)  # what was found holds for a moment
        assert await asked(port, "/readyz") == (503, b'{"status":"store"}')
        assert (await asked(port, "/healthz"))[0] == 200
        redis.start()
        async with asyncio.timeout(20):
            while (await asked(port, "/readyz"))[0] != 200:
                pass
    await store.aclose()


async def test_a_store_that_stands_still_gathers_no_probes(
    redis: RedisServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "STORE_PATIENCE", 0.5)
    monkeypatch.setattr(health, "MAX_WAITING", 20)
    store = RedisStore(redis.url)
    loop = asyncio.get_running_loop()
    async with serving(App("stored", store=store).asgi(probes=True)) as port:
        redis.pause()
        began = loop.time()
        answers = await asyncio.gather(*(asked(port, "/readyz") for _ in range(60)))
        took = loop.time() - began
        assert {status for status, _ in answers} == {503}
        assert 0.4 < took < 2.0, "all of them wait for one check"
        assert caplog.text.count("the store does not answer") == 1
        began = loop.time()
        assert (await asked(port, "/readyz"))[0] == 503
        assert loop.time() - began < 0.4, "what was found is remembered"
        redis.resume()
        async with asyncio.timeout(20):
            while (await asked(port, "/readyz"))[0] != 200:
                pass
    await store.aclose()


def test_workers_answer_them_by_themselves(tmp_path: Path) -> None:
    with served(tmp_path) as (_, url):
        for path in ("/healthz", "/readyz"):
            with urllib.request.urlopen(url.replace("/mcp", path)) as answer:
                assert answer.status == 200


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_store_of_a_newer_version_is_refused(workers: str, tmp_path: Path) -> None:
    file, store = tmp_path / "app.py", tmp_path / "store.db"
    file.write_text("from dovetail import App\napp = App('a')\n")
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("CREATE TABLE dovetail_schema (version INTEGER PRIMARY KEY)")
        connection.execute("INSERT INTO dovetail_schema VALUES (9999)")
        connection.commit()
    done = refused(file, workers, str(store))
    assert "has schema 9999" in done.stderr
    assert "upgrade, or use another file" in done.stderr


@needs_postgres
def test_a_store_that_was_not_migrated_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "app.py"
    file.write_text("from dovetail import App\napp = App('a')\n")
    server = PostgresServer()
    try:
        server.start()
        done = refused(file, "2", server.url)
    finally:
        server.remove()
    assert "Run `dovetail store migrate URL` first" in done.stderr
    assert "correct" not in done.stderr


def refused(file: Path, workers: str, store: str) -> subprocess.CompletedProcess[str]:
    """What a server says that does not start."""
    words = [sys.executable, "-m", "dovetail", "run", str(file), "--http", "0", "--workers", workers]
    done = subprocess.run([*words, "--store", store], check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 3
    assert "serving on" not in done.stderr
    return done


def test_a_store_that_is_not_there_yet_is_waited_for(redis: RedisServer, tmp_path: Path) -> None:
    """The server starts, says so, and is not ready."""
    redis.kill()
    with served(tmp_path, "--store", redis.url) as (server, url):
        assert any("is not ready until it does" in line for line in server.said)
        ready = url.replace("/mcp", "/readyz")
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(ready)
        redis.start()
        until = time.monotonic() + 20  # what was found holds for a second, however often it is asked
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(ready):
                    return
            except urllib.error.HTTPError as problem:
                problem.close()
        pytest.fail("it did not become ready")
