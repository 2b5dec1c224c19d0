"""Who is measured, and how each is started.

Every server, ours and theirs, is one script that takes the same words: transport, kit, mode, tools, port,
workers.

* transport: ``stdio`` or ``http``
* kit: which tools there are. ``calls``: ``add`` and as many more as make ``tools``; ``nested``: the sum of
  a hundred items, once for each way to write their type; ``large``: ``make`` and ``take`` texts of any size;
  ``streams``: ``add``, and what reports, asks and tells of changes;
  ``tasks``: ``add``, ``late``, ``last`` and ``ask`` as tasks; ``text``: ``add``, whose result is text alone;
  ``proxy``: those of the server that ``BENCH_UPSTREAM`` names, a URL or a command, as JSON; ``gateway``: those of
  several, by their names
* mode (HTTP): ``default``; for revision 2025-11-25 ``plain`` (no session, JSON), ``json`` (session, JSON),
  ``sse`` (session, event streams with a priming event and an event log), ``sessions`` (with no option set);
  ``crowd``: as default, with room for 10,000 sessions of one caller; ``waiting``: the same for tasks
* workers: processes

Those that have a choice are told by ``BENCH_STORE`` which store to take.

The peers are written as their documentation teaches; what they log goes nowhere. One thing is set for them
that is no default: bodies of 16 MiB, where there is an option for it, as ours takes them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from .installing import CACHE, ROOT, Environments
from .machine import Cores
from .processes import Process, free_port

HERE = Path(__file__).resolve().parent

OURS = "dovetail"
MCP = "mcp"
MCP_FAST = "mcp+"
FASTMCP = "fastmcp"
TYPESCRIPT = "typescript"
FLOOR = "floor"
EVERYONE = (OURS, MCP, MCP_FAST, FASTMCP, TYPESCRIPT, FLOOR)
TITLES = {
    OURS: "dovetail",
    MCP: "mcp",
    MCP_FAST: "mcp with httptools and uvloop",
    FASTMCP: "fastmcp",
    TYPESCRIPT: "TypeScript SDK",
    FLOOR: "floor",
}


class Cannot(Exception):
    """A contestant cannot do what a measure asks; the text says why."""


@dataclass(frozen=True)
class Pace:
    """How long things take. ``warm`` and ``run``: seconds of load before and while it is measured; ``spawns``: how
    often a start is repeated in a round; ``streams``, ``sessions``: how many are opened to be weighed; ``listeners``:
    those of a change on three workers; ``crowd_sessions``, ``crowd_streams``: how many are there and do nothing;
    ``told``: tasks whose end somebody waits for, at least; ``waiting``: those that wait for an answer.
    """

    warm: float = 0.6
    run: float = 1.0
    spawns: int = 3
    streams: int = 400
    sessions: int = 650
    listeners: int = 1000
    crowd_sessions: int = 5000
    crowd_streams: int = 1000
    told: int = 200
    waiting: int = 10_000


@dataclass(frozen=True)
class Contestant:
    """One of those who are measured: its name, its commands, and where its processes run."""

    name: str
    server: Mapping[str, tuple[Path, Path]]
    client: tuple[Path, Path] | None
    module: str | None
    cores: Cores
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    def serve_http(
        self,
        kit: str = "calls",
        mode: str = "default",
        *,
        tools: int = 5,
        workers: int = 1,
        spread: bool = False,
    ) -> tuple[Process, int]:
        """A server over HTTP that listens, and its port. ``spread``: on all cores."""
        port = free_port()
        process = self._start(
            ("http", kit, mode, tools, port, workers), cores=self.cores.every if spread else self.cores.server
        )
        try:
            process.wait_for_port(port)
        except BaseException:
            process.end()
            raise
        return process, port

    def serve_stdio(self, kit: str = "calls") -> Process:
        """A server on stdio, just started."""
        return self._start(("stdio", kit, "default", 5, 0, 1), cores=self.cores.server, piped=True)

    def stdio_command(self, kit: str) -> list[str]:
        """How somebody else starts its server on stdio: with its variables, on cores of their own."""
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        command = (*self.server["stdio"], "stdio", kit, "default", "5", "0", "1")
        return ["/usr/bin/env", *variables, *map(str, command)]

    def before(self, upstream: str | Sequence[str] | Mapping[str, object]) -> Contestant:
        """The same, for the kits that have other servers behind them: these."""
        return replace(self, environment={**self.environment, "BENCH_UPSTREAM": json.dumps(upstream)})

    def call(self, *words: str | int, spread: bool = False) -> Process:
        """A client, just started; its output is a pipe to us. ``spread``: on all cores."""
        if self.client is None:
            raise Cannot("it has no client")
        command = (*self.client, *map(str, words))
        cores = self.cores.every if spread else self.cores.load
        return Process(
            command, environment=self._variables(), cores=cores, log=self._log("client"), piped=True
        )

    def import_of(self, what: str | None) -> Process:
        """An interpreter that does one import, or none, and ends."""
        python = next(iter(self.server.values()))[0]
        command = (python, "-c", f"import {what}" if what else "pass")
        return Process(
            command,
            environment=self._variables(),
            cores=self.cores.server,
            log=self._log("import"),
            piped=True,
        )

    def _start(
        self, words: tuple[object, ...], *, cores: frozenset[int] | None, piped: bool = False
    ) -> Process:
        found = self.server.get(str(words[0]))
        if found is None:
            raise Cannot(f"it does not serve {words[0]}")
        command = (*found, *map(str, words))
        log = self._log("-".join(map(str, words[:3])))
        return Process(command, environment=self._variables(), cores=cores, log=log, piped=piped)

    def _variables(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        return kept | dict(self.environment)

    def _log(self, name: str) -> Path:
        return CACHE / "logs" / f"{self.name}-{name}.log"


def contestants(environments: Environments, cores: Cores) -> dict[str, Contestant]:
    """All of them, by name."""
    pythons = environments.pythons
    peers, servers = HERE / "peers", HERE / "servers"
    in_tree = {"PYTHONPATH": str(ROOT / "src")}

    def python_peer(name: str, environment: str, script: str, **variables: str) -> Contestant:
        python = pythons[environment]
        server = (python, peers / f"{script}_server.py")
        client = (python, peers / f"{script}_client.py")
        return Contestant(name, {"stdio": server, "http": server}, client, script, cores, variables)

    ours = (pythons["ours"], servers / "ours.py")
    node = (environments.node, environments.modules / "typescript_server.mjs")
    node_client = (environments.node, environments.modules / "typescript_client.mjs")
    floor = {
        "http": (pythons["ours"], servers / "floor_http.py"),
        "stdio": (pythons["ours"], servers / "floor_stdio.py"),
    }
    clients = HERE / "clients"
    found = (
        Contestant(
            OURS,
            {"stdio": ours, "http": ours},
            (pythons["ours"], clients / "ours.py"),
            "dovetail",
            cores,
            in_tree,
        ),
        python_peer(MCP, "mcp", "mcp"),
        python_peer(MCP_FAST, "mcp-fast", "mcp", BENCH_UVLOOP="1"),
        python_peer(FASTMCP, "fastmcp", "fastmcp"),
        Contestant(TYPESCRIPT, {"stdio": node, "http": node}, node_client, None, cores),
        Contestant(FLOOR, floor, (pythons["ours"], clients / "floor.py"), None, cores),
    )
    return {each.name: each for each in found}
