"""What is measured: the names, the attributes of each, and how many different ones there may be.

Theory of operation. Both backends of metrics (`opentelemetry`, `prometheus`) take names and attributes from here, so
a dashboard is the same for both. What OpenTelemetry's conventions define is called as they call it; the rest begins
with ``dovetail.``. The attributes of an operation are looked up by what tells it from others, in a table that is
bounded: once it is full, what is new counts under `OTHER`. Nothing in it is a peer's word: methods and tools are those
that are registered, and a client counts no more than `MAX_NAMES` tools of servers, and only codes that it knows.

Specification: OpenTelemetry, "Semantic conventions for Model Context Protocol (MCP)", "Metrics".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final

from ..protocol import errors, names
from ..runtime.observer import ObservedOperation

__all__ = [
    "BUCKETS",
    "CLIENT_DURATION",
    "CLIENT_SESSION",
    "DESCRIPTIONS",
    "FETCH_DURATION",
    "GAUGES",
    "GREATEST",
    "OTHER",
    "RECONNECTS",
    "REFUSALS",
    "SERVER_DURATION",
    "SERVER_SESSION",
    "STORE_DURATION",
    "AttributeTable",
    "session_attributes",
    "transport_attributes",
]

OTHER: Final = "_OTHER"
#: As the conventions advise, in seconds; and finer ones below, for work that takes no time at all.
BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)

SERVER_DURATION: Final = "mcp.server.operation.duration"
CLIENT_DURATION: Final = "mcp.client.operation.duration"
SERVER_SESSION: Final = "mcp.server.session.duration"
CLIENT_SESSION: Final = "mcp.client.session.duration"
STORE_DURATION: Final = "dovetail.store.operation.duration"
FETCH_DURATION: Final = "dovetail.fetch.duration"
REFUSALS: Final = "dovetail.server.refusals"
RECONNECTS: Final = "dovetail.client.reconnects"

DESCRIPTIONS: Final[Mapping[str, str]] = {
    SERVER_DURATION: "How long requests took that were answered here.",
    CLIENT_DURATION: "How long requests took that were made here, questions to clients among them.",
    SERVER_SESSION: "How long sessions lasted, as the server saw it.",
    CLIENT_SESSION: "How long sessions lasted, as the client saw it.",
    STORE_DURATION: "How long operations of the store took.",
    FETCH_DURATION: "How long outbound HTTP requests took, such as those for keys and tokens.",
    REFUSALS: "Messages that were refused before they became calls.",
    RECONNECTS: "Connections and sessions that were opened anew after a loss.",
}
GAUGES: Final[Mapping[str, tuple[str, str]]] = {
    "dovetail.server.requests.active": ("{request}", "Requests in progress."),
    "dovetail.server.streams.active": ("{stream}", "Event streams that are open."),
    "dovetail.server.sessions.active": ("{session}", "Sessions of which something runs in this process."),
    "dovetail.server.connections.active": ("{connection}", "Connections on pipes and unix sockets."),
    "dovetail.server.listeners": ("{listener}", "Who listens for changes."),
    "dovetail.server.held": ("By", "Bytes of large messages that are received or worked on."),
    "dovetail.server.queue.length": ("{message}", "Large messages that wait for their turn to be read."),
    "dovetail.server.queue.age": ("s", "How long the oldest of these has waited."),
    "dovetail.server.workers": ("{process}", "Processes that serve the endpoint, as it was told."),
}
"""Each with its unit and what it says."""

GREATEST: Final = ("dovetail.server.queue.age", "dovetail.server.workers")
"""Of these the greatest counts, and not the sum."""

#: Different sets of attributes; and tools and prompts that a client counts under their own names.
MAX_SETS: Final = 2_000
MAX_NAMES: Final = 200

_CODES: Final = frozenset(
    code for name in dir(errors) if isinstance(code := getattr(errors, name), int) and -32768 <= code < 0
) | frozenset(
    kind.default_code
    for name in dir(errors)
    if isinstance(kind := getattr(errors, name), type) and issubclass(kind, errors.RPCError)
)
_STATUSES: Final = frozenset(HTTPStatus)
_TRANSPORTS: Final[Mapping[str, Mapping[str, str]]] = {
    "http": {"network.transport": "tcp", "network.protocol.name": "http"},
    "stdio": {"network.transport": "pipe"},
    "unix": {"network.transport": "unix"},
}
_NOTHING: Final[Mapping[str, str]] = {}
_Key = tuple[str, ...]


def transport_attributes(transport: str) -> Mapping[str, str]:
    """How a transport is recorded; nothing for one in memory."""
    found = _TRANSPORTS.get(transport)
    return found if found is not None else _TRANSPORTS["http"] if transport.startswith("http") else _NOTHING


def session_attributes(revision: str, transport: str) -> dict[str, str]:
    """What is recorded with the length of a session."""
    return {**({"mcp.protocol.version": revision} if revision else {}), **transport_attributes(transport)}


class AttributeTable:
    """The attributes of operations, made once each."""

    def __init__(self, *, most: int = MAX_SETS, names_of_peers: int = MAX_NAMES) -> None:
        self._most = most
        self._most_names = names_of_peers
        self._known: dict[_Key, dict[str, str]] = {}
        self._others: dict[_Key, dict[str, str]] = {}
        self._names: set[str] = set()

    def of(self, operation: ObservedOperation) -> dict[str, str]:
        """The attributes of an operation that has ended; the same object for the same ones, so leave it as it is."""
        if operation.role == "store":
            key: _Key = ("store", operation.method, operation.backend, operation.error_type)
        elif operation.role == "fetch":
            key = ("fetch", operation.method, *_fetched(operation))
        else:
            target, problem = operation.target, operation.error_type
            if operation.role == "client":
                target, problem = self._bounded(target), self._code(operation, problem)
            key = (
                *(operation.role, operation.method, operation.kind, target, problem, operation.outcome),
                *(operation.revision, operation.transport),
            )
        found = self._known.get(key)
        if found is not None:
            return found
        if len(self._known) >= self._most:
            key = (operation.role, operation.outcome)
            return self._others.setdefault(key, _others(*key))
        found = self._known[key] = _MADE.get(key[0], _of_message)(*key[1:])
        return found

    def _bounded(self, name: str) -> str:
        if name and name not in self._names:
            if len(self._names) >= self._most_names or len(name) > 128:
                return OTHER
            self._names.add(name)
        return name

    @staticmethod
    def _code(operation: ObservedOperation, problem: str) -> str:
        return OTHER if operation.code is not None and operation.code not in _CODES else problem


def _others(role: str, outcome: str) -> dict[str, str]:
    if role == "store":
        return {"dovetail.store.operation": OTHER}
    if role == "fetch":
        return {"http.request.method": OTHER}
    return {"mcp.method.name": OTHER, "dovetail.outcome": outcome}


def _of_store(method: str, backend: str, problem: str) -> dict[str, str]:
    found = {"dovetail.store.operation": method, "dovetail.store.backend": backend}
    if problem:
        found["error.type"] = problem
    return found


def _of_message(
    method: str, kind: str, target: str, problem: str, outcome: str, revision: str, transport: str
) -> dict[str, str]:
    found = {
        "mcp.method.name": method,
        "dovetail.outcome": outcome,
        **session_attributes(revision, transport),
    }
    if target and kind in ("tool", "prompt"):
        found[f"gen_ai.{kind}.name"] = target
    if method == names.TOOLS_CALL:
        found["gen_ai.operation.name"] = "execute_tool"
    if problem:
        found["error.type"] = problem
        if problem.lstrip("-").isdecimal():
            found["rpc.response.status_code"] = problem
    return found


def _fetched(operation: ObservedOperation) -> tuple[str, str]:
    """The status of a fetch, and what went wrong with it: of statuses, those that HTTP knows."""
    status = "" if operation.code is None else str(operation.code) if operation.code in _STATUSES else OTHER
    return status, status if operation.code is not None and operation.error_type else operation.error_type


def _of_fetch(method: str, status: str, problem: str) -> dict[str, str]:
    found = {"http.request.method": method}
    if status:
        found["http.response.status_code"] = status
    if problem:
        found["error.type"] = problem
    return found


_MADE: Final[Mapping[str, Callable[..., dict[str, str]]]] = {"store": _of_store, "fetch": _of_fetch}
