"""The page on several machines does what it says: its app, its commands and its proxy's rules, with processes.

The containers are not built; what runs in them is: the commands of the Compose file, with its environment, the
addresses moved to this machine. The proxy is that of the tests, which knows what the page's needs (round robin, a check
of readiness, no repetition of what was sent). Where haproxy itself is installed, it judges its file.
"""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from machines import MissingEngine, WorkerProcess, environment_of, start_engine
from page_blocks import ROOT, blocks_of
from round_robin import RoundRobin

from dovetail import Client
from dovetail.errors import HTTPStatusError

PAGE = ROOT / "docs" / "machines.md"
FILES = {block.object: block.text for block in blocks_of(PAGE) if block.verb == "file"}
COMPOSE: dict[str, Any] = yaml.safe_load(FILES["compose.yaml"])
READY = re.search(r"httpchk GET (\S+)", FILES["haproxy.cfg"])


def command_of(service: str) -> list[str]:
    """What a machine runs, at a port of this one that is still to come."""
    words = shlex.split(COMPOSE["services"][service]["command"])
    at = words.index("--http")
    assert words[0] == "dovetail"
    assert words[at + 1] == "0.0.0.0:8000"
    return [sys.executable, "-m", *words[:at], *words[at + 2 :], "--http"]


def test_the_files_belong_together() -> None:
    services = COMPOSE["services"]
    servers = re.findall(r"^  server (\w+) (\w+):(\d+)$", FILES["haproxy.cfg"], re.MULTILINE)
    assert [(name, port) for name, _, port in servers] == [("one", "8000"), ("two", "8000")]
    assert all(host in services for _, host, _ in servers)
    assert services["one"] == services["two"]
    assert "store" in services["one"]["environment"]["DOVETAIL_STORE"]
    assert "balance roundrobin" in FILES["haproxy.cfg"]
    assert "retry-on conn-failure 503\n" in FILES["haproxy.cfg"], "and nothing else is sent again"
    assert "server.py" in FILES["Dockerfile"]
    said = shlex.split(services["store"]["command"])
    assert said[said.index("--maxmemory-policy") + 1] == "noeviction"
    network = COMPOSE["networks"]["inside"]["ipam"]["config"][0]["subnet"]
    assert network in services["one"]["command"]
    assert all("/" not in each["image"] for each in services.values() if "image" in each), (
        "no registry is named"
    )
    if haproxy := shutil.which("haproxy"):
        done = subprocess.run(
            [haproxy, "-c", "-f", "-"],
            input=FILES["haproxy.cfg"],
            text=True,
            capture_output=True,
            check=False,
        )
        assert "unknown keyword" not in done.stderr, done.stderr


@asynccontextmanager
async def two_machines(kind: str, folder: Path) -> AsyncIterator[tuple[list[WorkerProcess], RoundRobin, str]]:
    """The page's two machines, and where clients go."""
    (folder / "server.py").write_text(FILES["server.py"])
    engine = await start_engine(kind, folder)
    workers: list[WorkerProcess] = []
    assert READY is not None
    try:
        environment = {**environment_of(engine, folder), "DOVETAIL_STORE": engine.url}
        place = str(folder / "server.py")
        for number, service in enumerate(("one", "two")):
            command = [place if word == "server.py" else word for word in command_of(service)]
            workers.append(await WorkerProcess([*command], environment, number, "127.0.0.1:").start())
        proxy = RoundRobin(
            [("127.0.0.1", each.port) for each in workers], check=READY[1], elsewhere=True, keep=False
        )
        async with proxy.serving() as url:
            for worker in range(2):
                await seen_ready(proxy, worker)
            yield workers, proxy, url.replace("127.0.0.1", "localhost")
    finally:
        await asyncio.gather(*(each.kill() for each in workers))
        await asyncio.to_thread(engine.remove)


async def seen_ready(proxy: RoundRobin, worker: int) -> None:
    """Wait until the proxy has found out that a worker is ready."""
    async with asyncio.timeout(10):
        while not proxy.workers[worker].ready:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("kind", ["redis", "postgres"])
@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
async def test_the_page_runs(kind: str, revision: str, tmp_path: Path) -> None:
    """A session goes on over both machines, and over a new version of each. Of the calls of its client at most one
    fails for each machine that ends: the one that arrives at that very moment.
    """
    try:
        async with (
            two_machines(kind, tmp_path) as (workers, proxy, url),
            Client(url, revision=revision) as client,
        ):
            counts: list[int] = []
            answered: set[str] = set()
            rolled = asyncio.Event()
            failed: list[HTTPStatusError] = []

            async def once() -> None:
                for _ in range(2):  # with the call below three in a round, so that each goes to both machines
                    text = (await client.call_tool("next_tide", {"port": "Oslo"})).text
                    found = re.fullmatch(r"Oslo: 16:40, says (\S+)", text)
                    assert found is not None, text
                    answered.add(found[1])
                counts.append(int((await client.call_tool("visits")).text) if client.era == "stateful" else 0)

            async def call() -> None:
                after = 0
                while after < 10:
                    after += rolled.is_set()
                    try:
                        await once()
                    except HTTPStatusError as problem:
                        failed.append(problem)

            async def roll() -> None:
                for worker in workers:
                    assert await worker.stop() == 0
                    proxy.workers[worker.number].ready = False
                    await worker.start()
                    await seen_ready(proxy, worker.number)
                rolled.set()

            await asyncio.gather(call(), roll())
            assert len(answered) >= 3, "both machines, and at least one of them before and after"
            assert len(failed) <= len(workers), failed
            assert client.era == "stateless" or (
                counts == sorted(set(counts)) and counts[-1] - len(counts) <= len(failed)
            ), "what was counted stays counted"
    except MissingEngine as missing:
        pytest.skip(str(missing))
