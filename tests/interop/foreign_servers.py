"""The servers that nobody here wrote: which, from where, how they are started, and what must come of them.

Theory of operation: `foreign.toml` has an entry for each server: its package and exact version, its command, a call
that touches nothing but this machine, and what that must say. What fails has its reason, and the page of the
specification that asks for the failure. Packages for Python get an environment each, together with whatever else the
entry pins (servers of before 2026 mostly need the SDK they were written for); those for Node share one folder. All are
set up once and kept (see `installing`). None is asked for an account, and each call is one that needs no network.

Placeholders in commands, arguments, environments and expectations: `{folder}` is the cell's own folder, `{port}` a free
port, `{page}` a page served on this machine, `{node}` Node, `{script:NAME}` what a command of one of its packages runs.

Follows: no page of the specification; the entries name theirs.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interop.installing import CACHE, Say, filled, locked, node_binary, npm_installed

TABLE = Path(__file__).with_name("foreign.toml")
TRANSPORTS = ("stdio", "http", "sse")
#: Only so many at once: each set-up keeps a core busy.
AT_ONCE = 2


@dataclass(frozen=True)
class Wanted:
    """A call and what must come of it. ``error``: the tool says that it failed, or the server refuses the call."""

    tool: str
    arguments: Mapping[str, Any]
    says: str
    error: str = ""
    reason: str = ""
    page: str = ""


@dataclass(frozen=True)
class Foreign:
    """One server over one transport. ``pinned``: the revision that has to be asked for, ``because`` of something.
    ``breaches``: what of the schema it breaks, by definition, and how."""

    name: str
    registry: str
    package: str
    version: str
    also: tuple[str, ...]
    transport: str
    run: str
    arguments: tuple[str, ...]
    env: Mapping[str, str]
    path: str
    host: str
    revision: str
    pinned: str
    because: str
    page: str
    tools: int
    call: Wanted
    breaches: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name}-{self.transport}"


@dataclass(frozen=True)
class Installed:
    """Where everything is."""

    node: str
    modules: Path
    environments: Mapping[str, Path]

    def command(self, server: Foreign) -> list[str]:
        """The program that a server is started with."""
        if server.registry == "pypi":
            programs = self.environments[server.package] / "bin"
            return [
                str(programs / "python"),
                str(programs / server.run),
            ]  # its first line names where it was made
        return [self.node, self.script(server.run)]

    def script(self, name: str) -> str:
        """The file behind a command of a package for Node."""
        return str((self.modules / "node_modules" / ".bin" / name).resolve())


def servers(path: Path = TABLE) -> list[Foreign]:
    """The table as committed. Raises ValueError for an entry that leaves something unexplained."""
    found: list[Foreign] = []
    for entry in tomllib.loads(path.read_text("utf-8"))["servers"]:
        entry.setdefault("name", entry["package"])
        ways = {transport: entry[transport] for transport in TRANSPORTS if transport in entry}
        if not ways:
            raise ValueError(f"foreign.toml: {entry['name']}: names no transport")
        shared = {key: value for key, value in entry.items() if key not in TRANSPORTS}
        found += [_one(transport, {**shared, **way}) for transport, way in ways.items()]
    twice = {str(each) for each in found if [str(one) for one in found].count(str(each)) > 1}
    if twice:
        raise ValueError(f"foreign.toml: speaks twice of {', '.join(sorted(twice))}")
    return found


def _one(transport: str, entry: dict[str, Any]) -> Foreign:
    known = set(Foreign.__dataclass_fields__) | {"call"}
    strange = set(entry) - known
    if strange:
        raise ValueError(f"foreign.toml: {entry['name']}: what is {', '.join(sorted(strange))}?")
    call = Wanted(**{"arguments": {}, **entry["call"]})
    explained = (bool(call.reason), bool(call.page))
    if explained != (bool(call.error),) * 2:
        raise ValueError(
            f"foreign.toml: {entry['name']}: a failure needs its reason and its page, and nothing else does"
        )
    if call.error not in ("", "tool", "protocol"):
        raise ValueError(f"foreign.toml: {entry['name']}: an error is of the tool or of the protocol")
    if len({"pinned", "because", "page"} & set(entry)) not in (0, 3):
        raise ValueError(
            f"foreign.toml: {entry['name']}: a revision is asked for because of something, on a page"
        )
    return Foreign(
        name=entry["name"],
        registry=entry["registry"],
        package=entry["package"],
        version=entry["version"],
        also=tuple(entry.get("also", ())),
        transport=transport,
        run=entry.get("run", entry["package"]),
        arguments=tuple(entry.get("arguments", ())),
        env=entry.get("env", {}),
        path=entry.get("path", "/mcp" if transport == "http" else "/sse"),
        host=entry.get("host", "127.0.0.1"),
        revision=entry["revision"],
        pinned=entry.get("pinned", "auto"),
        because=entry.get("because", ""),
        page=entry.get("page", ""),
        tools=entry["tools"],
        call=call,
        breaches=entry.get("breaches", {}),
    )


def install_foreign(table: list[Foreign], say: Say) -> Installed:
    """Set up whatever is missing. Raises `SetUpFailed`."""
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    wanted = {
        one.package: [f"{one.package}=={one.version}", *one.also] for one in table if one.registry == "pypi"
    }
    npm = {one.package: one.version for one in table if one.registry == "npm"}
    with locked(CACHE / "foreign.lock"):
        with locked(CACHE / "lock"):  # the peers' Node is ours too
            node = node_binary(say)
        manifest = json.dumps({"private": True, "dependencies": dict(sorted(npm.items()))}, indent=1)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            modules = pool.submit(
                npm_installed, "foreign-npm", node, manifest, f"{len(npm)} servers from npm", say
            )
            made = {
                package: pool.submit(filled, f"foreign-{package}", pins, say)
                for package, pins in wanted.items()
            }
            return Installed(
                str(node), modules.result(), {package: each.result() for package, each in made.items()}
            )
