"""Twelve servers that nobody here wrote, at once, behind one gateway of ours: listed and called by clients of other
implementations, in both eras.

`make interop` runs it, with `--foreign`, as it does the servers one by one: the same packages, the same calls, and the
same words must come of them. Nothing that was started may be left.

Follows: no page of the specification; the entries of `foreign.toml` name theirs.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from interop.conversation import environment
from interop.foreign_servers import Installed, install_foreign, servers
from interop.foreign_ways import Place, at, left_behind
from interop.installing import Peers
from interop.steps import STATEFUL, STATELESS

TABLE = servers()
PACKAGES = (
    "mcp-server-time",
    "mcp-server-git",
    "mcp-server-fetch",
    "mcp-server-sqlite",
    "mcp-server-calculator",
    "mcp-shell-server",
    "mcp-alchemy",
    "@modelcontextprotocol/server-everything",
    "@modelcontextprotocol/server-filesystem",
    "@modelcontextprotocol/server-memory",
    "@modelcontextprotocol/server-sequential-thinking",
    "@modelcontextprotocol/server-pdf",
)
TWELVE = [each for each in TABLE if each.package in PACKAGES and each.transport == "stdio"]
#: Lists less to clients that can't be asked, as these can't: so many at least.
QUESTIONING, LEAST = "server-everything", 10
CLIENTS = ("mcp", "typescript", "fastmcp")


@pytest.fixture(scope="session")
def installed() -> Installed:
    """Everything that was set up when the run started."""
    return install_foreign(TABLE, lambda _text: None)


@pytest.fixture
def places(installed: Installed, tmp_path: Path) -> Iterator[dict[str, Place]]:
    """The servers by the names that they have in the gateway."""
    with ExitStack() as stack:
        found: dict[str, Place] = {}
        for each in TWELVE:
            folder = tmp_path / each.package.rpartition("/")[2]
            folder.mkdir()
            found[folder.name] = stack.enter_context(at(each, installed, folder))
        yield found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("era", [STATEFUL[-1], STATELESS])
@pytest.mark.parametrize("client", CLIENTS)
def test_twelve_servers_are_one(
    client: str, era: str, places: dict[str, Place], peers: Peers, tmp_path: Path
) -> None:
    """Each lists as many tools as alone, and each call says what it says alone."""
    configured = {
        name: {
            "command": str(place.target[0]),
            "args": list(place.target[1:]),
            "env": place.env,
            "cwd": str(place.folder),
        }
        for name, place in places.items()
    }
    path = tmp_path / "servers.json"
    path.write_text(json.dumps({"mcpServers": configured}))
    # Twelve processes start at once: a list of the ready ones alone would be right, and not what is asked here.
    gateway = [sys.executable, "-m", "dovetail", "gateway", str(path), "--patience", "50"]
    calls = [[f"{name}__{place.server.call.tool}", place.arguments] for name, place in places.items()]
    command = [*peers.command(client, "gateway_client"), "--command", json.dumps(gateway)]
    command += ["--calls", json.dumps(calls), *(["--probe"] if era == STATELESS else [])]
    done = subprocess.run(
        command,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    came = json.loads(done.stdout.splitlines()[-1])
    assert came["revision"] == era
    counts = {name: sum(tool.startswith(f"{name}__") for tool in came["tools"]) for name in places}
    said = {name: came["texts"][f"{name}__{place.server.call.tool}"] for name, place in places.items()}
    wanted = {name: place.server.tools for name, place in places.items()}
    assert counts.pop(QUESTIONING) in range(LEAST, wanted.pop(QUESTIONING) + 1)
    assert counts == wanted
    assert {name for name, place in places.items() if place.says not in said[name]} == set(), said
    assert [each for place in places.values() for each in left_behind(place.folder)] == []
