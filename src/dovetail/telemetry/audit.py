"""Who called what, and what was decided: a record of each call, and of each message that was refused.

Theory of operation. A record is made where a call has ended, and where a message was refused before it became one. It
goes to the logger ``dovetail.audit``, or to a sink of the program's: that is called in a thread of its own, so one
that blocks holds nobody up. Between the two is a bounded queue.

By default calls go on whatever becomes of their records: what a sink does not take is counted (`Audit.lost`) and
said loudly. With ``required`` it is the other way round: an "attempt" is recorded before a call runs, and a call whose
attempt is not taken in time is refused, so nothing is ever done that left no trace.

Callers and sessions are digests unless ``identities`` are asked for; arguments are there only when asked for, without
what the schema calls secret (`redaction`).

Specification: server/tools, "Security Considerations" ("log tool usage for audit purposes").
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Literal
from weakref import WeakSet

import msgspec
from msgspec import Struct

from ..logs import get_logger
from ..protocol.errors import InternalError
from ..protocol.safe_text import one_line
from ..runtime.observer import ObservedOperation, Observer, RefusedMessage, digest_of
from ..security.authenticator import InsufficientScope
from ..security.principal import Principal
from .redaction import redacted

__all__ = ["Audit", "AuditRecord", "Decision"]

log = get_logger("dovetail.telemetry")
records: Final = get_logger("dovetail.audit")

Decision = Literal["allowed", "denied", "limited", "failed"]
#: What an app answers a caller who calls more often than it may (`dovetail.errors.RateLimited`).
RATE_LIMITED: Final = -31429
_DENIED: Final = frozenset({"auth", "origin"})
_LIMITED: Final = frozenset({"rate", "size", "capacity"})
_SHOWN: Final = 128


class AuditRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happened. ``time``: seconds since the epoch. ``event``: "call" for one that has ended, "attempt" for one
    that is about to run, "refused" for a message that never became one.

    ``decision``: "allowed" (it ran, or asked the caller something), "denied", "limited" (too much or too often),
    "failed"; ``reason``: in a word, or a code of the protocol. ``target``: the tool, prompt or resource as it is
    registered; ``named``: what the caller called it. ``principal`` and ``session`` are digests. ``duration`` in
    seconds.
    """

    time: float
    event: Literal["call", "attempt", "refused"]
    decision: Decision
    reason: str
    method: str = ""
    target: str = ""
    named: str = ""
    request_id: str = ""
    session: str = ""
    principal: str = ""
    transport: str = ""
    revision: str = ""
    status: int = 0
    duration: float = 0.0
    issuer: str = ""
    subject: str = ""
    client_id: str = ""
    remote: str = ""
    arguments: Any = None


class _Written:
    """A record on its way; ``loop`` and ``answer``: who waits for it to be taken."""

    __slots__ = ("answer", "loop", "record")

    def __init__(
        self, record: AuditRecord, waits: tuple[asyncio.AbstractEventLoop, asyncio.Future[bool]] | None = None
    ) -> None:
        self.record = record
        self.loop, self.answer = waits or (None, None)


class Audit(Observer):
    """An observer that keeps an audit record: ``App(telemetry=Audit())``.

    ``sink``: called with each `AuditRecord`, in a thread of its own (default: the logger ``dovetail.audit``, with the
    members of the record as fields). ``arguments``: whether records have the arguments of tools, of at most
    ``max_arguments`` bytes. ``identities``: whether they name the caller and its address. ``required``: whether a call
    is refused whose attempt can't be recorded within ``timeout`` seconds. ``queue_size``: records that may wait.
    ``lost``: how many were not taken. Raises ValueError for a bound that is not above zero.
    """

    def __init__(
        self,
        sink: Callable[[AuditRecord], object] | None = None,
        *,
        arguments: bool = False,
        identities: bool = False,
        required: bool = False,
        timeout: float = 5.0,
        max_arguments: int = 4096,
        queue_size: int = 10_000,
    ) -> None:
        if timeout <= 0 or queue_size < 1 or max_arguments < 1:
            raise ValueError("timeout, queue_size and max_arguments of an Audit must be above zero")
        self.admits = required
        self.reads_arguments = arguments
        self.lost = 0
        self._sink = sink
        self._identities = identities
        self._timeout = timeout
        self._most = max_arguments
        self._size = queue_size
        self._queue: queue.Queue[_Written | None] = queue.Queue(queue_size)
        self._process = 0
        self._writer: threading.Thread | None = None
        self._said = -60.0
        self._lock = threading.Lock()
        _open.add(self)

    # Observer

    async def admit(self, operation: ObservedOperation) -> None:
        """See `Observer`."""
        if operation.role != "server":
            return
        record = self._record(operation, "attempt", "allowed", "attempt")
        if not await self._taken(record):
            raise InternalError(
                "the call was not made: it can't be recorded, as this server has to; try again"
            )

    def end(self, operation: ObservedOperation, begun: Any) -> None:
        """See `Observer`."""
        if operation.role == "server":
            self._put(_Written(self._record(operation, "call", *_decision(operation))))

    def refused(self, refusal: RefusedMessage) -> None:
        """See `Observer`."""
        reason = refusal.reason
        decision: Decision = "denied" if reason in _DENIED else "limited" if reason in _LIMITED else "failed"
        record = AuditRecord(
            time=time.time(),
            event="refused",
            decision=decision,
            reason=reason,
            method=one_line(refusal.method[:_SHOWN]),
            transport=refusal.transport,
            status=refusal.status,
            **self._who(refusal.principal, refusal.remote),
        )
        self._put(_Written(record))

    # Records

    def _record(
        self, operation: ObservedOperation, event: Literal["call", "attempt"], decision: Decision, reason: str
    ) -> AuditRecord:
        arguments = operation.arguments
        shown = (
            redacted(arguments, operation.schema, limit=self._most)
            if self.reads_arguments and arguments
            else None
        )
        return AuditRecord(
            time=time.time(),
            event=event,
            decision=decision,
            reason=reason,
            method=operation.method,
            target=operation.target,
            named=one_line(operation.named[:_SHOWN]),
            request_id="" if operation.id is None else one_line(str(operation.id)[:_SHOWN]),
            session=digest_of(operation.session),
            transport=operation.transport,
            revision=operation.revision,
            duration=round(operation.duration, 6),
            arguments=shown,
            **self._who(operation.principal, operation.remote),
        )

    def _who(self, principal: Principal, remote: str | None) -> dict[str, Any]:
        who: dict[str, Any] = {} if principal.is_anonymous else {"principal": digest_of(principal.key)}
        if self._identities:
            who |= {
                "issuer": one_line(principal.issuer),
                "subject": one_line(principal.subject),
                "client_id": one_line(principal.client_id),
                "remote": one_line(remote or ""),
            }
        return who

    # Writing

    def _put(self, written: _Written) -> bool:
        if self._sink is None:
            return self._write(written)
        if self._process != os.getpid():
            self._start()
        try:
            self._queue.put_nowait(written)
        except queue.Full:
            self._lose("its queue is full: the sink is slower than the calls")
            return False
        return True

    async def _taken(self, record: AuditRecord) -> bool:
        """Whether a record was written, within the time that there is for it."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bool] = loop.create_future()
        if not self._put(_Written(record, (loop, answer))):
            return False
        try:
            async with asyncio.timeout(self._timeout):
                return await answer
        except TimeoutError:
            self._lose(f"the sink took longer than {self._timeout:g} seconds")
            return False

    def _start(self) -> None:
        """Start the thread that writes: once in each process, also in one that was forked from another."""
        with self._lock:
            if self._process != os.getpid():
                self._process = os.getpid()
                self._queue = queue.Queue(self._size)
                self._writer = threading.Thread(
                    target=self._run, args=(self._queue,), name="dovetail-audit", daemon=True
                )
                self._writer.start()

    def _run(self, waiting: queue.Queue[_Written | None]) -> None:
        while (written := waiting.get()) is not None:
            self._write(written)

    def _write(self, written: _Written) -> bool:
        done = False
        try:
            if self._sink is None:
                _log(written.record)
            else:
                self._sink(written.record)
            done = True
        except Exception:  # noqa: BLE001 - a sink may fail in any way; it is counted, and logged
            self._lose("the sink failed", failed=True)
        if written.loop is not None and written.answer is not None:
            try:
                written.loop.call_soon_threadsafe(_answer, written.answer, done)
            except RuntimeError:
                log.debug("the loop of a call ended before its record was written")
        return done

    def _lose(self, why: str, *, failed: bool = False) -> None:
        self.lost += 1
        now = time.monotonic()
        if now - self._said >= 60.0:
            self._said = now
            log.error(
                "%d audit records were lost: %s; this is said once a minute", self.lost, why, exc_info=failed
            )

    def close(self, timeout: float = 5.0) -> None:
        """Write what waits, within so many seconds; what comes later starts anew. A program's end does it as well."""
        writer = self._writer
        if writer is None or self._process != os.getpid():
            return
        try:
            self._queue.put(None, timeout=timeout)
        except queue.Full:
            self._lose("the sink did not end in time")
        writer.join(timeout)
        self._writer, self._process = None, 0


_open: Final[WeakSet[Audit]] = WeakSet()


@atexit.register
def _close_all() -> None:
    for each in tuple(_open):
        each.close()


def _answer(answer: asyncio.Future[bool], done: bool) -> None:
    if not answer.done():
        answer.set_result(done)


def _decision(operation: ObservedOperation) -> tuple[Decision, str]:
    if operation.outcome in ("ok", "input_required"):
        return "allowed", operation.outcome
    if operation.code == RATE_LIMITED:
        return "limited", "rate"
    if isinstance(operation.problem, InsufficientScope):
        return "denied", "scope"
    if operation.hidden:
        return "denied", "hidden"
    return "failed", operation.error_type


def _log(record: AuditRecord) -> None:
    level = logging.WARNING if record.decision in ("denied", "limited") else logging.INFO
    if records.isEnabledFor(level):
        fields = {f"audit_{name}": value for name, value in msgspec.to_builtins(record).items()}
        what = f"{record.method} {record.target or record.named}".strip() or record.transport
        records.log(level, "%s %s: %s (%s)", record.event, what, record.decision, record.reason, extra=fields)
