"""Who watches what a server or a client does: the contract, and what it is told.

Theory of operation. An `Observer` is told when an `ObservedOperation` begins and when it has ended, and of what never
became one: refusals, lost connections. It knows nothing of any backend; spans, metrics, logs and audit records are
observers (`dovetail.telemetry`). Nothing here is on the way of a call that nobody observes: an app or a client composes
what tells observers where it is made (`dovetail.runtime.observing`), and what is told seldom goes to `NO_OBSERVER`.

An observer that fails is logged and forgiven: it never decides what becomes of a call. The one exception is `admit`,
which is asked before the call runs, and may refuse it.

Specification: none; what is recorded of an operation is OpenTelemetry's, "Semantic conventions for Model Context
Protocol (MCP)".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Literal, Protocol

from msgspec import Struct

from ..logs import get_logger
from ..protocol.errors import RPCError
from ..security.principal import ANONYMOUS, Principal

__all__ = [
    "Gauged",
    "NO_OBSERVER",
    "Observer",
    "ObserverGroup",
    "ObservedOperation",
    "Outcome",
    "RefusedMessage",
    "Role",
    "digest_of",
    "everywhere",
    "is_anybody",
    "observer_of",
]

log = get_logger("dovetail.telemetry")

Role = Literal["server", "client", "store", "fetch"]
Outcome = Literal["ok", "input_required", "tool_error", "error", "cancelled"]

#: Characters of a digest: enough to tell callers and sessions apart, too few to be one of them.
_DIGEST: Final = 16


def digest_of(text: str | None) -> str:
    """What stands for an id in logs, spans and records: the first 16 hexadecimal digits of its SHA-256, "" for none.

    Of a session id nothing can be found out by it. Whoever can guess an id, such as an address, can know it again.
    """
    if not text:
        return ""
    import hashlib  # with all that it brings, a server that nobody watches needs none of it

    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]


class ObservedOperation:
    """One thing that is done, from its beginning to its end.

    ``role``: "server" answers a request, "client" makes one (either side may be either), "store" is a look into a
    store, whose ``method`` is then the store's and whose ``backend`` is its kind, "fetch" is an outbound HTTP request
    of authorization's or of a `Fetcher` of yours, whose ``method`` is HTTP's and whose ``code`` is the status.
    ``target``: the tool or the prompt that it is about, by its registered name, "" for none (``kind`` says of what:
    "tool", "prompt" or "resource", whose target is its URI as it was registered). ``transport``: "http", "stdio",
    "unix", "memory", or "". ``meta``: the ``_meta`` of a request that came; ``headers``: of its HTTP request.
    ``carrier``: members for the ``_meta`` of one that goes out, for observers to fill in while it begins. ``state``:
    what a request brought back from a round before. ``named``: what the caller called its target, whatever that is.
    ``server`` and ``port``: where a request goes over HTTP. ``arguments``: of a tool, as JSON, where an observer reads
    them, and ``schema`` what they should be by; ``hidden``: the caller may not know of the target; ``uri``: of a
    resource, as it was asked for.

    Once it has ended: ``outcome``, ``duration`` (seconds), ``code`` and ``message`` of its error, ``problem`` as it was
    raised, ``asked``: the methods of the questions that it ended with.
    """

    __slots__ = (
        *(
            "arguments",
            "asked",
            "backend",
            "carrier",
            "code",
            "duration",
            "headers",
            "hidden",
            "id",
            "kind",
            "message",
        ),
        *(
            "meta",
            "method",
            "named",
            "outcome",
            "port",
            "principal",
            "problem",
            "remote",
            "revision",
            "role",
            "schema",
            "server",
            "session",
            "started",
        ),
        *("state", "target", "transport", "uri"),
    )

    def __init__(
        self,
        role: Role,
        method: str,
        *,
        target: str = "",
        kind: str = "",
        id: str | int | None = None,
        revision: str = "",
        transport: str = "",
        session: str | None = None,
        principal: Principal = ANONYMOUS,
        remote: str | None = None,
        meta: Callable[[], Mapping[str, Any]] | None = None,
        headers: Callable[[], Mapping[str, str]] | None = None,
        state: str | None = None,
        arguments: bytes = b"",
        named: str = "",
        schema: Mapping[str, Any] | None = None,
        hidden: bool = False,
        uri: str = "",
        server: str = "",
        port: int | None = None,
        backend: str = "",
    ) -> None:
        self.role: Role = role
        self.method = method
        self.target = target
        self.kind = kind
        self.id = id
        self.revision = revision
        self.transport = transport
        self.session = session
        self.principal = principal
        self.remote = remote
        self.meta = meta
        self.headers = headers
        self.state = state
        self.arguments = arguments
        self.named = named
        self.schema = schema
        self.hidden = hidden
        self.uri = uri
        self.server = server
        self.port = port
        self.backend = backend
        self.carrier: dict[str, str] = {}
        self.outcome: Outcome = "ok"
        self.code: int | None = None
        self.message = ""
        self.problem: BaseException | None = None
        self.asked: Sequence[str] = ()
        self.duration = 0.0
        self.started = time.perf_counter()

    def fail(self, problem: BaseException, code: int | None = None) -> None:
        """It ends with an exception; ``code`` is the one that goes over the wire."""
        self.problem = problem
        self.code = code
        self.outcome = "error"
        if isinstance(problem, RPCError):
            self.message = problem.message

    @property
    def error_type(self) -> str:
        """What went wrong, in a word: a code of the protocol, "tool_error", "cancelled", or the name of an exception;
        "" for nothing.
        """
        if self.outcome in ("ok", "input_required"):
            return ""
        if self.outcome != "error":
            return self.outcome
        if self.code is not None:
            return str(self.code)
        return type(self.problem).__name__ if self.problem is not None else "error"


class RefusedMessage(Struct, frozen=True, kw_only=True):
    """A message that never became a call. ``reason``: "origin", "auth", "rate", "size", "capacity", "timeout",
    "session", "protocol", "route", "store" or "failure"; ``status``: of HTTP, 0 elsewhere; ``code``: of its error.
    """

    reason: str
    transport: str
    status: int = 0
    code: int | None = None
    message: str = ""
    principal: Principal = ANONYMOUS
    remote: str | None = None
    method: str = ""

    @classmethod
    def by_engine(
        cls, error: RPCError, transport: str, principal: Principal, remote: str | None
    ) -> RefusedMessage:
        """One that broke the protocol."""
        return cls(
            reason="protocol",
            transport=transport,
            code=error.code,
            message=error.message,
            principal=principal,
            remote=remote,
        )


class Gauged(Protocol):
    """What can say how much goes on in it; it can be referred to weakly."""

    def gauges(self) -> Mapping[str, float]:
        """Numbers by name; the names are those of the metrics (`dovetail.telemetry`)."""
        ...


class Observer:
    """Is told what goes on. This one does nothing: override what you need.

    All methods are called in the event loop, or in the thread, that does the work, so they must not block.
    ``admits``: `admit` has something to say; ``reads_arguments``: operations are to have their arguments.
    """

    admits: bool = False
    reads_arguments: bool = False

    def begin(self, operation: ObservedOperation) -> Any:
        """It begins. What this gives comes back in `end`; it is called in the context in which the work is done."""
        return None

    async def admit(self, operation: ObservedOperation) -> None:
        """Let a call of a server's run; raise an `RPCError` to refuse it. Only asked where ``admits``."""

    def end(self, operation: ObservedOperation, begun: Any) -> None:
        """It has ended."""

    def refused(self, refusal: RefusedMessage) -> None:
        """A message was refused before it became a call."""

    def session_ended(self, role: Role, revision: str, transport: str, seconds: float) -> None:
        """A session came to its end, after so many seconds."""

    def reconnected(self, transport: str) -> None:
        """A client had lost its connection or session, and has another."""

    def watch(self, source: Gauged) -> None:
        """Here can be read how much goes on; it is asked when somebody wants to know, and held weakly."""

    def between_rounds(self, begun: ObservedOperation) -> AbstractContextManager[Any]:
        """A client answers what ``begun`` ended with, and asks again: the context for that."""
        return nullcontext()


class ObserverGroup(Observer):
    """Several as one: told in order, and of the end in reverse. What one of them raises is logged, once a minute."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers: tuple[Observer, ...] = ()
        self._said = -60.0
        for each in observers:
            self.add(each)

    def add(self, observer: Observer) -> None:
        """Tell one more, of all that begins from now on."""
        self._observers = (*self._observers, observer)
        self.admits = self.admits or observer.admits
        self.reads_arguments = self.reads_arguments or observer.reads_arguments

    @property
    def all(self) -> tuple[Observer, ...]:
        """Each of them."""
        return self._observers

    def begin(self, operation: ObservedOperation) -> list[Any]:
        held: list[Any] = []
        for each in self._observers:
            try:
                held.append(each.begin(operation))
            except Exception:  # noqa: BLE001 - whatever it is, the call goes on
                held.append(None)
                self._failed(each)
        return held

    async def admit(self, operation: ObservedOperation) -> None:
        for each in self._observers:
            if each.admits:
                await each.admit(operation)

    def end(self, operation: ObservedOperation, begun: Any) -> None:
        operation.duration = time.perf_counter() - operation.started
        for each, held in zip(
            self._observers[len(begun) - 1 :: -1] if begun else (), reversed(begun), strict=True
        ):
            try:
                each.end(operation, held)
            except Exception:  # noqa: BLE001 - as above
                self._failed(each)

    def refused(self, refusal: RefusedMessage) -> None:
        self._tell(lambda each: each.refused(refusal))

    def session_ended(self, role: Role, revision: str, transport: str, seconds: float) -> None:
        self._tell(lambda each: each.session_ended(role, revision, transport, seconds))

    def reconnected(self, transport: str) -> None:
        self._tell(lambda each: each.reconnected(transport))

    def watch(self, source: Gauged) -> None:
        self._tell(lambda each: each.watch(source))

    def between_rounds(self, begun: ObservedOperation) -> AbstractContextManager[Any]:
        for each in self._observers:
            found = each.between_rounds(begun)
            if not isinstance(found, nullcontext):
                return found
        return nullcontext()

    def _tell(self, what: Callable[[Observer], None]) -> None:
        for each in self._observers:
            try:
                what(each)
            except Exception:  # noqa: BLE001 - as above
                self._failed(each)

    def _failed(self, observer: Observer) -> None:
        now = time.monotonic()
        if now - self._said >= 60.0:
            self._said = now
            log.exception("the observer %s failed; this is said once a minute", type(observer).__name__)


NO_OBSERVER: Final = ObserverGroup(())
"""Nobody."""

everywhere: Final[list[Callable[[], Observer]]] = []
"""What makes the observers of each app and client that is told of none: `dovetail.telemetry.instrument` adds to it."""


def is_anybody(observer: Observer) -> bool:
    """Whether somebody watches at all: a group of none is nobody."""
    return not isinstance(observer, ObserverGroup) or bool(observer.all)


def observer_of(telemetry: Observer | Iterable[Observer] | None) -> ObserverGroup:
    """What an author gave as ``telemetry``; None stands for what was switched on for the whole program, if anything.

    Raises TypeError for what is no `Observer`.
    """
    if telemetry is None:
        return ObserverGroup(make() for make in everywhere)
    found: tuple[Any, ...] = (telemetry,) if isinstance(telemetry, Observer) else tuple(telemetry)
    for each in found:
        if not isinstance(each, Observer):
            raise TypeError(
                f"telemetry= takes observers, such as dovetail.telemetry.OpenTelemetry(), not {each!r:.100}"
            )
    return ObserverGroup(found)
