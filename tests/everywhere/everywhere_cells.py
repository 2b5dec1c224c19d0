"""The matrix: which revision over which transport, what a cell can do, and why the other cells do not exist.

`CELLS` holds every cell that exists, `MISSING` the reason for every other one. What a cell lacks although its
revision has it stands in `LACKS`, with the reason; tests then ask for what happens instead, they do not skip.
Follows: basic/transports and basic/versioning of all revisions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

REVISIONS: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28")
STATELESS: Final = REVISIONS[-1]

#: Each transport of the matrix, and how its server is told to serve.
TRANSPORTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "memory": {},
    "stdio": {},
    "unix": {},
    "http": {},
    "http-json": {"responses": "json"},
    "http-sse": {"responses": "sse"},
    "http-sessionless": {"sessions": False},
    "http-uds": {},
    "sse-2024": {"http_sse": True},
}
HTTP: Final = tuple(name for name in TRANSPORTS if name.startswith(("http", "sse")))

MISSING: Final[Mapping[tuple[str, str], str]] = {
    (
        STATELESS,
        "sse-2024",
    ): "the routes of the old transport take no stateless requests: a POST to the stream's "
    "address is refused, and a GET opens a session of the stateful era",
}

#: What a transport lacks in the stateful era, where the revision itself has it.
STATEFUL_LACKS: Final[Mapping[str, Mapping[str, str]]] = {
    "http-json": {
        "talks": "one JSON document answers: there is no room for what is said on the way",
        "logs": "what is said on the way is not told, so logs are not offered",
        "asks": "a question needs an event stream to travel on",
    },
    "http-sessionless": {
        "asks": "without a session an answer could not find its question",
        "changes": "without a session there is no stream to hear of changes on",
        "cancels": "without a session a cancellation could not find its call",
        "logs": "without a session the level is not remembered, so logs are not offered",
        "introductions": "without a session what the client said of itself is not remembered",
        "session": "there is none, as the endpoint was told",
    },
}
#: The same in the stateless era, where nothing depends on sessions, and questions travel in results.
STATELESS_LACKS: Final[Mapping[str, Mapping[str, str]]] = {
    "http-json": {name: STATEFUL_LACKS["http-json"][name] for name in ("talks", "logs")},
}
#: Since when a revision has what older ones lack.
SINCE: Final[Mapping[str, str]] = {
    "audio": "2025-03-26",
    "progress_message": "2025-03-26",
    "structured": "2025-06-18",
    "elicitation": "2025-06-18",
    "resource_links": "2025-06-18",
    "titles": "2025-06-18",
    "completion_context": "2025-06-18",
    "visits": "2025-11-25",
    "any_structured": "2026-07-28",
}


@dataclass(frozen=True)
class Cell:
    """One revision over one transport."""

    revision: str
    transport: str

    def __str__(self) -> str:
        return f"{self.transport}-{self.revision}"

    @property
    def stateless(self) -> bool:
        """Whether the cell is of the stateless era."""
        return self.revision == STATELESS

    @property
    def http(self) -> bool:
        """Whether the bytes go over HTTP."""
        return self.transport in HTTP

    def lacks(self, what: str) -> str | None:
        """Why the transport takes something from the revision; None if it does not."""
        table = STATELESS_LACKS if self.stateless else STATEFUL_LACKS
        return table.get(self.transport, {}).get(what)

    def has(self, what: str) -> bool:
        """Whether revision and transport together have something (a key of `SINCE` or of the tables)."""
        return self.revision >= SINCE.get(what, "") and self.lacks(what) is None


CELLS: Final = tuple(
    Cell(revision, transport)
    for transport in TRANSPORTS
    for revision in REVISIONS
    if (revision, transport) not in MISSING
)


def table() -> list[str]:
    """The matrix as lines of text: "x" for a cell that is whole, what it lacks, or "-" where there is none."""
    width = max(map(len, TRANSPORTS))
    lines = [" " * width + "  " + "  ".join(REVISIONS)]
    for transport in TRANSPORTS:
        entries: list[str] = []
        for revision in REVISIONS:
            lacking = STATELESS_LACKS if revision == STATELESS else STATEFUL_LACKS
            missing = (revision, transport) in MISSING
            entries.append(
                "-" if missing else f"x-{len(lacking[transport])}" if transport in lacking else "x"
            )
        lines.append(f"{transport:<{width}}  " + "  ".join(f"{entry:^10}" for entry in entries).rstrip())
    return lines
