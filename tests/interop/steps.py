"""What is tried, with whom, over what: the steps and the cells of the matrix.

Every server offers the same: the tools `add(a, b)`, `fail` (an error the model can read), `slow(key)`
(reports 1, 2 and 3, then goes on until it is cancelled), `was_cancelled(key)` (tells of an earlier `slow`,
and waits up to three seconds for its end), `tell` (logs a warning), `ask` (asks for a name and greets),
`think` (asks the client's model), `both` (asks the person and then, in the same body, the model), `where`
(asks for the client's roots), `touch` (says that the tools have changed and that `note://a` was updated);
the resource `note://a`, the template `note://by/{name}` and the prompt `greet(name)`, whose argument can be
completed. Only `server-everything`, which we did not write, has tools of its own: `our_client.py` names
them.

The steps, in the order in which they are taken over one connection:

* connect: open it, and end up in the revision that the cell names.
* lists: tools, resources, templates and prompts name what is offered.
* read: the resource and one of the template's. prompt: `greet`. complete: its argument, begun with "A".
* call: `add`. tool_error: `fail`. protocol_error: reading a resource that is not there, -32602 or -32002.
* progress: `slow` reports 1, 2, 3 in this order. cancel: a call of `slow` is given up, and the server
  notices.
* log: the warning of `tell` arrives, after the client asked for messages from "info" on.
* ask: the person is asked for a name, and `Hello, Ada` comes back. sample: the same with the client's
  model. both: `Ada hears four`, after a round for each of the two questions. roots: and its roots.
* list_changed: after `touch`, the client hears of it; in the stateless era because it listens.
* updated: the same for `note://a`, which it subscribed to.
* close: the client closes, and nothing that was started is left.

A cell is one peer in one role over one transport in one revision. Roles: "server" (our client talks to it),
"client" (it talks to our server), "alone" (to itself: this shows that our scripts are right, and that what
a peer cannot do is not our doing). Revisions: our client asks for an old one, our server offers no other;
the stateless one is never pinned: the client has to find it out. "fallback" is a client that asks first,
and a server of ours that speaks all revisions but the stateless.

Follows: no page of the specification; each step's own tests name theirs.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STEPS = (
    "connect",
    "lists",
    "read",
    "prompt",
    "complete",
    "call",
    "tool_error",
    "protocol_error",
    "progress",
    "cancel",
    "log",
    "ask",
    "sample",
    "both",
    "roots",
    "list_changed",
    "updated",
    "close",
)
WORKS = "works"
STATEFUL = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
STATELESS = "2026-07-28"
FALLBACK = "fallback"
ALL_ROLES = ("server", "client", "alone")
ROLES = {"mcp": ALL_ROLES, "fastmcp": ALL_ROLES, "typescript": ALL_ROLES, "everything": ("server",)}
EXPECTED = Path(__file__).with_name("expected.toml")


@dataclass(frozen=True, order=True)
class Cell:
    """One conversation."""

    peer: str
    role: str
    transport: str
    revision: str

    def __str__(self) -> str:
        return f"{self.peer}-{self.role}-{self.transport}-{self.revision}"

    @property
    def negotiated(self) -> str:
        """The revision that has to come of it."""
        return STATEFUL[-1] if self.revision == FALLBACK else self.revision

    @property
    def probe(self) -> bool:
        """Whether the client has to find out what the server speaks."""
        return self.revision in (STATELESS, FALLBACK)

    @property
    def offered(self) -> tuple[str, ...]:
        """The revisions that our server speaks, in the role "client"."""
        if self.revision == FALLBACK:
            return STATEFUL
        return (*STATEFUL, STATELESS) if self.revision == STATELESS else (self.revision,)


@dataclass(frozen=True)
class Expectation:
    """What must come of a cell's steps, `WORKS` or why not; and what definitions the peer breaks, and how."""

    steps: Mapping[str, str]
    breaches: Mapping[str, str]


def cells() -> Iterator[Cell]:
    """All cells: each peer's roles, and for each the transports with their revisions."""
    newest = (STATEFUL[-1], STATELESS)
    for peer, roles in ROLES.items():
        for role in roles:
            for transport in ("stdio", "http", "sse"):
                revisions: tuple[str, ...] = newest if role == "alone" else (*STATEFUL, STATELESS)
                if role == "client":
                    revisions = (*revisions, FALLBACK)
                if transport == "sse":
                    # Of the stateful era; the TypeScript SDK has no server for it any more.
                    old = (STATEFUL[-1],) if role == "alone" else (STATEFUL[0], STATEFUL[-1])
                    revisions = () if peer == "typescript" and role != "client" else old
                for revision in revisions:
                    yield Cell(peer, role, transport, revision)


def expectations(
    path: Path = EXPECTED, all_cells: Iterable[Cell] | None = None, steps: tuple[str, ...] = STEPS
) -> dict[Cell, Expectation]:
    """The table as committed; raises ValueError unless it says exactly one thing about each step of each cell."""
    table: dict[Cell, dict[str, str]] = {cell: {} for cell in all_cells or cells()}
    breaches: dict[Cell, dict[str, str]] = {}
    for entry in tomllib.loads(path.read_text("utf-8"))["cells"]:
        said = dict.fromkeys(entry.get("works", ()), WORKS) | cannot(entry)
        for cell in covered(entry):
            if cell not in table:
                raise ValueError(f"{path.name}: there is no cell {cell}")
            if table[cell]:
                raise ValueError(f"{path.name}: speaks of {cell} twice")
            if set(said) != set(steps):
                raise ValueError(f"{path.name}: {cell}: {sorted(set(said) ^ set(steps))} missing or unknown")
            table[cell] = said
            breaches[cell] = entry.get("breaches", {})
    missing = [str(cell) for cell, said in table.items() if not said]
    if missing:
        raise ValueError(f"{path.name}: says nothing about {', '.join(missing)}")
    return {cell: Expectation(said, breaches[cell]) for cell, said in table.items()}


def cannot(entry: Mapping[str, Any]) -> dict[str, str]:
    """The steps that cannot work, each with its reason."""
    found: dict[str, str] = {}
    for each in entry.get("cannot", ()):
        for step in each["steps"]:
            if step in found or step in entry.get("works", ()):
                raise ValueError(f"{entry['peer']}: says two things about {step}")
            found[step] = f"{each['reason']} ({each['evidence']})"
    return found


def covered(entry: Mapping[str, Any]) -> Iterator[Cell]:
    """The cells that an entry speaks of."""
    for role in entry["roles"]:
        for transport in entry["transports"]:
            for revision in entry["revisions"]:
                yield Cell(entry["peer"], role, transport, revision)
