"""What is remembered of the conversations so far, bounded in number and in bytes.

Theory of operation. A `HeardConversation` is a session where there are sessions, else a connection. What grows with
what is said (requests, tokens, tasks, tools, ...) is in tables of `Memory`, which all conversations share, so that no
stream, however hostile, makes it larger than their limits together. The least used goes first; where a request may have
been forgotten, nobody is blamed for an answer to it. Long ids are kept by their hash.

Specification: none.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from msgspec import Struct

from ..capture.lines import Sender
from ..protocol.bounded import Bounded
from ..schemas import HeaderParameter, Validator
from ..surface import LintFinding

__all__ = [
    "HTTPExchange",
    "Key",
    "ListenState",
    "Memory",
    "PageState",
    "RequestRecord",
    "RoundState",
    "HeardConversation",
    "TaskState",
    "TokenState",
    "ToolState",
    "key_of",
    "size_of",
]

MAX_TALKS: Final = 10_000
"""Conversations that are remembered."""
MAX_REQUESTS: Final = 20_000
"""Requests that are remembered, and as many that were answered."""
MAX_ENTRIES: Final = 20_000
"""Entries of each other table: progress tokens, event ids, tools, tasks, pages, rounds, subscriptions."""
MAX_TABLE_BYTES: Final = 8 * 1024 * 1024
"""Bytes of one table, about."""

_LONG: Final = 128
_PAGES: Final = 500
_ENTRY: Final = 200
_ONCE: Final = 1_000

Key: TypeAlias = tuple[Any, ...]


def key_of(value: object) -> Any:
    """A value of JSON as part of a key: 1 is not true and not "1"; a long text is its hash."""
    if isinstance(value, str):
        return value if len(value) <= _LONG else ("long", len(value), hash(value))
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if value is None or type(value) is int else (type(value).__name__, hash(repr(value)))


def size_of(*texts: object) -> int:
    """Bytes that an entry with these texts has, about."""
    return _ENTRY + sum(len(each) for each in texts if isinstance(each, str))


class RequestRecord(Struct):
    """A request that was heard. ``capabilities``: of the client, where the request says them; ``params_hash``: of what
    a further round has to repeat. ``versioned``: it is about another version of a tool than the one that is listed.
    ``result_line``: the line of its answer, or 0.
    """

    line: int
    sender: Sender
    method: str
    id: Any
    subject: str = ""
    revision: str = ""
    capabilities: dict[str, Any] | None = None
    log_level: str | None = None
    token: Key | None = None
    task: bool = False
    versioned: bool = False
    cursor: str | None = None
    exchange: int = 0
    params_hash: int = 0
    undeclared: str = ""
    cancelled: int = 0
    result_line: int = 0
    form: Any = None
    wanted: dict[str, Any] | None = None


class TokenState(Struct):
    """A progress token in use. ``ended``: the line of the answer to its request, or 0."""

    line: int
    exchange: int
    progress: float | None = None
    told: int = 0
    ended: int = 0
    task: bool = False


class RoundState(Struct):
    """A result that asked back."""

    line: int
    id: Any
    state: int | None
    keys: frozenset[str]
    params_hash: int


class ListenState(Struct):
    """A subscription. ``acknowledged``: what was, or None before."""

    line: int
    id: Any
    wanted: dict[str, Any]
    acknowledged: dict[str, Any] | None = None


class PageState(Struct):
    """Where a page of a list leads on."""

    line: int
    scope: Any
    names: frozenset[str] = frozenset()


class ToolState(Struct):
    """What a tool was listed as."""

    line: int
    output: Validator | None = None
    mirrored: tuple[HeaderParameter, ...] = ()
    task_support: str = ""


class TaskState(Struct):
    """A task. ``keys``: of its questions that were answered; ``taken``: the line that said so last."""

    line: int
    status: str = ""
    updated: str = ""
    poll: float = 0.0
    asked: float = -1.0
    keys: tuple[str, ...] = ()
    taken: int = 0


class HTTPExchange(Struct):
    """One HTTP request and what comes back. ``ours``: it is of the protocol, and not of a login."""

    number: int
    talk: HeardConversation
    method: str = ""
    ours: bool = False
    headers: dict[str, str] = {}
    line: int = 0
    calls: tuple[Any, ...] = ()
    listen: Any = None
    notices: bool = False
    resumes: bool = False
    status: int = 0
    stream: bool = False
    answered: int = 0
    initializes: bool = False


class HeardConversation:
    """What is known of one conversation."""

    __slots__ = (
        "_once", "agreed", "begun", "client", "endpoint", "initialize_answered", "initialize_asked", "initialized",
        "level", "link", "logging", "number", "server", "session", "speaks_stateless", "sse", "uris",
    )  # fmt: skip

    def __init__(self, number: int, link: int, *, begun: bool) -> None:
        self.number = number
        self.link = link
        #: Whether the beginning of the conversation was seen.
        self.begun = begun
        self.initialize_asked = 0
        self.initialize_answered = 0
        self.initialized = 0
        self.agreed = ""
        self.client: dict[str, Any] | None = None
        self.server: dict[str, Any] | None = None
        self.session = ""
        self.level = ""
        self.endpoint = ""
        self.sse = False
        #: Whether the server is known to speak a stateless revision: one that does not can't break it.
        self.speaks_stateless = False
        self.uris: set[str] = set()
        #: The requests that are not answered and asked for log messages, each with the level.
        self.logging: dict[Key, str] = {}
        self._once: set[str] = set()

    def once(self, what: str) -> bool:
        """Whether this is the first time that something is said of this conversation."""
        if what in self._once or len(self._once) >= _ONCE:
            return False
        self._once.add(what)
        return True


class Memory:
    """All that is remembered. ``forgot``: requests may have been forgotten."""

    def __init__(self) -> None:
        self.talks: Final[Bounded[Key, HeardConversation]] = Bounded(MAX_TALKS, MAX_TABLE_BYTES)
        self.asked: Final[Bounded[Key, RequestRecord]] = Bounded(MAX_REQUESTS, MAX_TABLE_BYTES)
        self.ended: Final[Bounded[Key, RequestRecord]] = Bounded(MAX_REQUESTS, MAX_TABLE_BYTES)
        self.tokens: Final[Bounded[Key, TokenState]] = Bounded(MAX_ENTRIES, MAX_TABLE_BYTES)
        self.rounds: Final[Bounded[Key, list[RoundState]]] = Bounded(MAX_ENTRIES, MAX_TABLE_BYTES)
        self.listening: Final[Bounded[Key, ListenState]] = Bounded(MAX_ENTRIES, MAX_TABLE_BYTES)
        self.pages: Final[Bounded[Key, PageState]] = Bounded(MAX_ENTRIES, MAX_TABLE_BYTES)
        self.tools: Final[Bounded[Key, ToolState]] = Bounded(MAX_ENTRIES, MAX_TABLE_BYTES)
        self.tasks: Final[Bounded[Key, TaskState]] = Bounded(MAX_ENTRIES, MAX_TABLE_BYTES)
        self.exchanges: Final[Bounded[Key, HTTPExchange]] = Bounded(MAX_ENTRIES, MAX_TABLE_BYTES)
        self.events: Final[Bounded[Key, tuple[int, int]]] = Bounded(MAX_ENTRIES, MAX_TABLE_BYTES)
        self.pages_judged: Final[Bounded[Key, list[LintFinding]]] = Bounded(_PAGES, MAX_TABLE_BYTES)
        self.forgot = False

    def ask(self, key: Key, record: RequestRecord, size: int) -> None:
        """Remember a request, of which so many bytes are kept."""
        if len(self.asked) >= MAX_REQUESTS or self.asked.size + size > MAX_TABLE_BYTES:
            self.forgot = True
        self.asked.put(key, record, size)
        if key not in self.asked:
            self.forgot = True

    def end(self, key: Key, record: RequestRecord) -> None:
        """A request was answered."""
        self.asked.pop(key)
        record.form = record.wanted = record.capabilities = None
        if len(self.ended) >= MAX_REQUESTS:
            self.forgot = True
        self.ended.put(key, record, size_of(record.method, record.subject, record.cursor))
