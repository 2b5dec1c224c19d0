"""What is tried about tasks, with whom, over what: the steps and the cells of their matrix.

Every server offers the same tools, those that take long as tasks: `work(key)` says "half way", goes on once
`release(key)`, a plain tool, was called, and gives "done" and the key; `fail` (an error the model can read), `refuse`
(an error of the protocol, -31050), `ask` (asks for a name and greets), `endless(key)` (says "begun", and goes on until
it is cancelled), `was_cancelled(key)` (tells of an earlier `endless`, and waits up to three seconds for its end).
Servers of 2025-11-25 that nobody here wrote have `put_off`, which asks for a name by a task of the client's. Only
`server-everything` has tools of its own: `our_task_client.py` names them.

The steps, in the order in which they are taken over one connection:

* connect: open it, and end up in the revision that the cell names.
* call: `work`, called as any tool is, gives its result, whether a task was made of it or not.
* start: the call is started as a task, which says "half way" while it works; released, its result is fetched, and it is
  told completed.
* progress: while the result is waited for, "half way" is told as the progress of the call.
* error: what `fail` says comes as the result. failed: what `refuse` raises comes as an error of the protocol.
* ask: a task asks for a name in its middle, and `Hello, Ada` comes back.
* question: the server has the client answer as a task, asks how that is, and fetches the answer (2025-11-25).
* cancel: `endless` is cancelled, told so, and its body noticed.
* unknown: a task that never was, -32602. listed: a task is in the server's list of them (2025-11-25).
* close: the client closes, and nothing that was started is left.

Cells are those of `steps.py`. "typescript1" and "mcp1" are the first versions of the official SDKs, whose tasks are
those of 2025-11-25; their second versions have none (both say so in their notes on migration). "typescript_ext" is the
client that the extension's authors give to the second one for TypeScript, for both kinds of tasks; those of the
extension it leaves to its host to send, and ours does that over HTTP. FastMCP 4 has those of the extension, "fastmcp3"
those of before.

Follows: no page of the specification; each step's own tests name theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from interop.steps import STATEFUL, STATELESS, Cell

TASK_STEPS = (
    "connect",
    "call",
    "start",
    "progress",
    "error",
    "failed",
    "ask",
    "question",
    "cancel",
    "unknown",
    "listed",
    "close",
)
TASKS_EXPECTED = Path(__file__).with_name("task_expected.toml")
STATEFUL_TASKS = STATEFUL[-1]
ALL_ROLES = ("server", "client", "alone")
TASK_ROLES = (
    ("fastmcp", STATELESS, ALL_ROLES),
    ("fastmcp3", STATEFUL_TASKS, ("server",)),
    ("mcp1", STATEFUL_TASKS, ALL_ROLES),
    ("typescript1", STATEFUL_TASKS, ALL_ROLES),
    ("typescript_ext", STATEFUL_TASKS, ("client",)),
    ("typescript_ext", STATELESS, ("client",)),
    ("everything", STATEFUL_TASKS, ("server",)),
)


def task_cells() -> Iterator[Cell]:
    """All cells: each peer's roles over both transports; to itself it talks over one."""
    for peer, revision, roles in TASK_ROLES:
        for role in roles:
            for transport in ("stdio",) if role == "alone" else ("stdio", "http"):
                if (peer, revision, transport) != ("typescript_ext", STATELESS, "stdio"):
                    yield Cell(peer, role, transport, revision)
