"""Servers that nobody here wrote, listed and called in three ways, and held against what was expected.

`make interop` runs it, with `--foreign`; `make test` does not, since it installs a few dozen packages. All ways have to
tell the same. What works although it should not fails as well: then the table is out of date. Every frame of both
clients is held against its definition; what a server gets wrong there is named in its entry, with the page, or the
cell fails.

Follows: server/tools, basic/transports and basic/lifecycle of all revisions; entries of failures name their page.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from interop.conftest import FOREIGN
from interop.foreign_servers import Foreign, Installed, install_foreign, servers
from interop.foreign_ways import WAYS, Came, Place, at, left_behind
from oracle.checker import Fault, Oracle

TABLE = servers()


@pytest.fixture(scope="session")
def installed() -> Installed:
    """Everything that was set up when the run started."""
    return install_foreign(TABLE, lambda _text: None)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("server", TABLE, ids=str)
def test_foreign_server(
    server: Foreign,
    installed: Installed,
    tmp_path: Path,
    oracle: Oracle,
    record_property: Callable[[str, object], None],
) -> None:
    """Each way lists the tools and makes the call, and nothing that was started is left."""
    came: dict[str, Came] = {}
    marks: dict[str, str] = {}
    found: list[str] = []
    with at(server, installed, tmp_path) as place:
        for way, go in WAYS.items():
            came[way] = go(place)
            wrong = complaints(came[way], place, way)
            marks[way] = (
                "NO!" if wrong else {"": "yes", "tool": "refuses", "protocol": "refuses"}[server.call.error]
            )
            found += wrong
    found += differences(came) + breaches(oracle.take(), server)
    left = left_behind(tmp_path)
    found += [f"left behind: {each}" for each in left]
    record_property(FOREIGN, [str(server), row(server, marks, closed=not left)])
    log = tmp_path / "server.log"
    said = log.read_text(errors="replace")[-2000:] if log.exists() else ""
    assert not found, "\n".join((f"{server}:", *found, said))


def complaints(came: Came, place: Place, way: str) -> list[str]:
    """What did not come as expected of one way, a line each."""
    server = place.server
    if came.trouble:
        return [f"{way}: {came.trouble}"]
    found: list[str] = []
    if came.revision and came.revision != server.revision:
        found.append(f"{way}: speaks {came.revision}, not {server.revision}")
    if len(came.tools) != server.tools:
        found.append(f"{way}: lists {len(came.tools)} tools, not {server.tools}: {', '.join(came.tools)}")
    if came.error != server.call.error:
        wanted = server.call.reason or "it should work"
        found.append(f"{way}: {came.error or 'no'} error ({came.text[:300]!r}), although: {wanted}")
    if place.says not in came.text:
        found.append(f"{way}: does not say {place.says!r}: {came.text[:600]!r}")
    return found


def differences(came: dict[str, Came]) -> list[str]:
    """Where the ways tell different things."""
    reached = {way: each for way, each in came.items() if not each.trouble}
    lists = {each.tools for each in reached.values()}
    return [f"the ways list different tools: {sorted(lists)}"] if len(lists) > 1 else []


def breaches(faults: list[Fault], server: Foreign) -> list[str]:
    """What is wrong with the messages, but for what this server is known to get wrong."""
    received = {fault.definition for fault in faults if not fault.sent}
    unknown = [str(fault) for fault in faults if fault.sent or fault.definition not in server.breaches]
    return unknown + [
        f"{each} is in order, although foreign.toml says: {server.breaches[each]}"
        for each in server.breaches
        if each not in received
    ]


def row(server: Foreign, marks: dict[str, str], *, closed: bool) -> list[str]:
    """The cells of the table that is printed at the end."""
    reason = f"{server.call.reason} [{server.call.page}]" if server.call.error else ""
    pinned = f"asked for {server.pinned}: {server.because} [{server.page}]" if server.because else ""
    broken = "; ".join(f"{each}: {why}" for each, why in server.breaches.items())
    return [
        server.name,
        server.version,
        server.registry,
        server.transport,
        server.revision,
        str(server.tools),
        server.call.tool,
        *(marks[way] for way in WAYS),
        "yes" if closed else "NO!",
        "; ".join(filter(None, (reason, pinned, broken))),
    ]
