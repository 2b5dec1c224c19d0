"""The oracle itself: follows every conversation on the tap and judges each message.

Theory of operation. A frame is one JSON-RPC message (or batch) that we sent or received. A request
is remembered under its link, our role, its direction and its id, so that the response finds the
method it answers and so its exact definition. The revision of a message is, in this order: what
the message says itself (`_meta`, or `protocolVersion` in initialize), that of the request it
answers, the hint of the transport, what the link has negotiated or spoken so far; a message that
none of these places must be legal in at least one revision and is counted as unplaced.

What we sent is checked closed, what we received is checked open. While a test is hostile, faults of
received messages are forgiven, never those of our replies. `observe` raises nothing into the code
under test: faults wait in the oracle until the plugin takes them at teardown.

Follows: basic/index.mdx (messages), basic/lifecycle.mdx and basic/versioning.mdx (revisions),
2025-03-26 basic/index.mdx (batches).
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast

from oracle.definitions import (
    BATCHING,
    META_REVISION,
    REFUSED_WITHOUT_ID,
    REVISIONS,
    STATEFUL,
    STATELESS,
    Kind,
    Role,
    choose_result,
    code_fault,
    error_definition,
    find,
    result_definitions,
)
from oracle.engines import ENVELOPE, explain, repr_json, shortened

UNPLACED: Final = "unplaced"
MAX_LINKS: Final = 10_000
MAX_OUTSTANDING: Final = 100_000
MAX_FAULTS: Final = 50
EXCERPT: Final = 600

_IDS = re.compile(rb'"id"\s*:\s*("(?:[^"\\]|\\.){0,200}"|-?\d{1,30})')


class Frame(Protocol):
    """What the tap reports: one message or batch, as bytes, with where it passed and who we are there."""

    @property
    def link(self) -> str: ...
    @property
    def role(self) -> Role: ...
    @property
    def sent(self) -> bool: ...
    @property
    def transport(self) -> str: ...
    @property
    def revision(self) -> str | None: ...
    @property
    def data(self) -> bytes: ...


@dataclass(frozen=True)
class Fault:
    """One thing wrong with one message: what, where in it, against which definition."""

    reason: str
    path: str
    definition: str
    revision: str
    role: Role
    sent: bool
    transport: str
    excerpt: str

    def __str__(self) -> str:
        way = "sent" if self.sent else "received"
        return (
            f"{way} by our {self.role} over {self.transport}, revision {self.revision}, {self.definition}\n"
            f"    at {self.path}: {self.reason}\n"
            f"    message: {self.excerpt}"
        )


@dataclass(frozen=True)
class Count:
    """What messages are counted by. `direction` is "sent" or "received"."""

    revision: str
    definition: str
    direction: str
    transport: str


@dataclass(frozen=True)
class _Asked:
    """An outstanding request. `method` is None where the request itself could not be read."""

    method: object
    params: object
    revisions: tuple[str, ...]
    placed: bool


@dataclass
class _Link:
    revisions: tuple[str, ...] = ()
    asked: OrderedDict[tuple[bool, str, object], deque[_Asked]] = field(default_factory=OrderedDict)


class _Unreadable(ValueError):
    pass


class Oracle:
    """Judges frames. Safe to call from several threads; keeps conversations across tests.

    `observe` takes a frame; `take` hands over the faults found since the last `take`; `counts` says
    how many right messages were seen.
    """

    def __init__(self) -> None:
        self.counts: Counter[Count] = Counter()
        self._faults: list[Fault] = []
        self._more = 0
        self._links: OrderedDict[tuple[str, Role], _Link] = OrderedDict()
        self._hostile = 0
        self._vendor: Counter[str] = Counter()
        self._echoed: Counter[str] = Counter()
        self._lock = threading.RLock()

    def observe(self, frame: Frame) -> None:
        """Judge one frame. Never raises: what goes wrong in here is a fault as well."""
        with self._lock:
            try:
                self._frame(frame)
            except Exception as error:  # noqa: BLE001 - the code under test must not meet our own bugs
                self._fault(frame, None, f"the oracle failed: {type(error).__name__}: {error}", always=True)

    def take(self) -> list[Fault]:
        """The faults so far, and forget them. Beyond `MAX_FAULTS` only their number is kept."""
        with self._lock:
            faults, self._faults, more, self._more = self._faults, [], self._more, 0
            if more:
                last = faults[-1]
                reason = f"and {more} faults more"
                faults.append(Fault(reason, "$", "", "", last.role, last.sent, last.transport, ""))
            return faults

    @contextmanager
    def hostile(self) -> Iterator[None]:
        """Forgive faults of received messages meanwhile."""
        with self._lock:
            self._hostile += 1
        try:
            yield
        finally:
            with self._lock:
                self._hostile -= 1

    @contextmanager
    def vendor(self, *names: str) -> Iterator[None]:
        """Admit these names, which no revision has, meanwhile: of methods and of types of results, of which only the
        envelopes are checked, and of members of a subscription's filter.
        """
        with self._lock:
            self._vendor.update(names)
        try:
            yield
        finally:
            with self._lock:
                self._vendor.subtract(names)

    @contextmanager
    def echoes(self, *uris: str) -> Iterator[None]:
        """Admit these URIs, which are none, in what is sent meanwhile: the peer named its resources so."""
        with self._lock:
            self._echoed.update(uris)
        try:
            yield
        finally:
            with self._lock:
                self._echoed.subtract(uris)

    def _frame(self, frame: Frame) -> None:
        link = self._link(frame)
        try:
            message = _decoded(frame.data, strict=frame.sent)
        except _Unreadable as error:
            if not frame.sent:
                _remember_unreadable(frame, link)
            self._fault(frame, None, str(error))
            return
        if not isinstance(message, list):
            self._message(frame, link, message)
            return
        places = self._places(frame, link)[0]
        if BATCHING not in places:
            self._fault(frame, message, f"a batch, which only {BATCHING} has", revision=places[0])
        elif not message:
            self._fault(frame, message, "an empty batch", revision=BATCHING)
        elif len({_is_call(item) for item in message}) > 1:
            self._fault(frame, message, "a batch that mixes calls with responses", revision=BATCHING)
        elif any(isinstance(item, dict) and item.get("method") == "initialize" for item in message):
            self._fault(frame, message, "initialize inside a batch", revision=BATCHING)
        for item in message:
            self._message(frame, link, item, forced=BATCHING if BATCHING in places else None)

    def _message(self, frame: Frame, link: _Link, message: object, forced: str | None = None) -> None:
        if not isinstance(message, dict):
            self._fault(frame, message, "not an object")
        elif _is_call(message):
            self._call(frame, link, message, forced)
        elif "result" in message or "error" in message:
            self._answer(frame, link, message)
        else:
            if not frame.sent:
                _remember_unreadable(frame, link)
            self._fault(frame, message, "neither a call (method) nor a response (result or error)")

    def _call(self, frame: Frame, link: _Link, message: dict[str, Any], forced: str | None) -> None:
        sender: Role = frame.role if frame.sent else _other(frame.role)
        kind: Kind = "request" if "id" in message else "notification"
        method, params = message["method"], message.get("params")
        revisions, placed = ((forced,), True) if forced else self._places(frame, link, method, params)
        if kind == "request":
            _remember(link, frame.sent, message["id"], _Asked(method, params, revisions, placed))
        if self._is_vendor(method):
            self._judge(frame, message, [(revision, ENVELOPE) for revision in revisions], placed)
            return
        rows = [(revision, find(revision, method, sender, kind)) for revision in revisions]
        known = [(revision, row.definition) for revision, row in rows if row is not None]
        if known:
            self._judge(frame, self._without_vendor(message), known, placed)
        elif frame.sent:
            self._fault(
                frame,
                message,
                f"revision has no {kind} {method!r} sent by a {sender}",
                path="$.method",
                revision=revisions[0],
            )
        else:
            self._judge(frame, message, [(revision, ENVELOPE) for revision in revisions], placed)

    def _answer(self, frame: Frame, link: _Link, message: dict[str, Any]) -> None:
        asked = _recall(link, not frame.sent, message.get("id"))
        about_nothing = "error" in message and message.get("id") is None
        if asked is None:
            revisions, placed = self._places(frame, link)
            if frame.sent and not about_nothing:
                reason = "answers a request that was never seen, or was answered before"
                self._fault(frame, message, reason, path="$.id", revision=revisions[0])
                return
            asked = _Asked(None, None, revisions, placed)
        if "result" in message and "error" in message:
            self._fault(frame, message, "both result and error", revision=asked.revisions[0])
        elif "error" in message:
            self._error(frame, message, asked)
        else:
            self._result(frame, link, message, asked)

    def _error(self, frame: Frame, message: dict[str, Any], asked: _Asked) -> None:
        error = message["error"]
        code = error.get("code") if isinstance(error, dict) else None
        if frame.sent and len(asked.revisions) == 1:
            fault = code_fault(asked.revisions[0], code)
            if fault is not None:
                self._fault(frame, message, fault, path="$.error.code", revision=asked.revisions[0])
                return
        known = [(revision, error_definition(revision, code)) for revision in asked.revisions]
        if frame.transport == "http" and "id" not in message and known[0][0] in REFUSED_WITHOUT_ID:
            message = {**message, "id": None}
        self._judge(frame, message, known, asked.placed)

    def _result(self, frame: Frame, link: _Link, message: dict[str, Any], asked: _Asked) -> None:
        result, revisions, placed = message["result"], asked.revisions, asked.placed
        if asked.method == "initialize" and isinstance(result, dict):
            negotiated = result.get("protocolVersion")
            if negotiated in STATEFUL:
                link.revisions = revisions = (negotiated,)
                placed = True
        kind = result.get("resultType") if isinstance(result, dict) else None
        if self._is_vendor(asked.method) or self._is_vendor(kind):
            self._judge(frame, message, [(revision, ENVELOPE) for revision in revisions], placed)
            return
        asker: Role = _other(frame.role) if frame.sent else frame.role
        known = [
            (revision, definition)
            for revision in revisions
            for definition in choose_result(
                result_definitions(revision, asked.method, asker, asked.params), result
            )
        ]
        if known:
            self._judge(frame, message, known, placed)
        elif frame.sent:
            reason = f"a result, though revision has no {asked.method!r} that could have one"
            self._fault(frame, message, reason, path="$.result", revision=revisions[0])
        else:
            self._judge(frame, message, [(revision, ENVELOPE) for revision in revisions], placed)

    def _judge(self, frame: Frame, message: object, known: Sequence[tuple[str, str]], placed: bool) -> None:
        """Count a message that one of these definitions accepts, else report what the first one says."""
        faults: list[tuple[str, str]] = []
        for revision, definition in known:
            fault = explain(revision, definition, message, closed=frame.sent)
            if fault is None:
                direction = "sent" if frame.sent else "received"
                place = revision if placed else UNPLACED
                self.counts[Count(place, definition, direction, frame.transport)] += 1
                return
            faults.append(fault)
        (revision, definition), (path, reason) = known[0], faults[0]
        self._fault(frame, message, reason, path=path, definition=definition, revision=revision)

    def _places(
        self, frame: Frame, link: _Link, method: object = None, params: object = None
    ) -> tuple[tuple[str, ...], bool]:
        """The revisions a message may belong to, and whether that is known rather than guessed."""
        meta = params.get("_meta") if isinstance(params, dict) else None
        stated = meta.get(META_REVISION) if isinstance(meta, dict) else None
        if method == "initialize" and stated is None:
            offered = params.get("protocolVersion") if isinstance(params, dict) else None
            return (offered if offered in STATEFUL else STATEFUL[-1],), True
        if stated is not None:
            spoken = stated if stated in STATELESS else STATELESS[-1]
            if spoken not in link.revisions:
                link.revisions = (spoken, *link.revisions)
            return (spoken,), True
        if frame.revision in REVISIONS:
            return (frame.revision,), True
        if link.revisions:
            return link.revisions, True
        return REVISIONS[::-1], False

    def _is_vendor(self, name: object) -> bool:
        return isinstance(name, str) and self._vendor[name] > 0

    def _without_vendor(self, message: dict[str, Any]) -> dict[str, Any]:
        """A call whose filter, if it has one, has only members that the revision can know."""
        params = message.get("params")
        wanted = params.get("notifications") if isinstance(params, dict) else None
        if not isinstance(wanted, dict) or not any(map(self._is_vendor, wanted)):
            return message
        kept = {name: item for name, item in wanted.items() if not self._is_vendor(name)}
        return {**message, "params": {**cast("dict[str, Any]", params), "notifications": kept}}

    def _link(self, frame: Frame) -> _Link:
        key = (frame.link, frame.role)
        link = self._links.setdefault(key, _Link())
        self._links.move_to_end(key)
        if len(self._links) > MAX_LINKS:
            self._links.popitem(last=False)
        return link

    def _fault(
        self,
        frame: Frame,
        message: object,
        reason: str,
        *,
        path: str = "$",
        definition: str = ENVELOPE,
        revision: str = UNPLACED,
        always: bool = False,
    ) -> None:
        if self._hostile and not frame.sent and not always:
            return
        if frame.sent and path == _URI and self._echoed[_uri_of(message)] > 0:
            return
        if len(self._faults) >= MAX_FAULTS:
            self._more += 1
            return
        text = frame.data.decode("utf-8", "replace") if message is None else repr_json(message)
        excerpt = shortened(text.strip(), EXCERPT)
        self._faults.append(
            Fault(reason, path, definition, revision, frame.role, frame.sent, frame.transport, excerpt)
        )


_URI: Final = "$['params']['uri']"


def _uri_of(message: object) -> str:
    params: Any = cast("dict[str, Any]", message).get("params") if isinstance(message, dict) else None
    return str(params.get("uri")) if isinstance(params, dict) else ""


def _decoded(data: bytes, *, strict: bool) -> object:
    """The value of one message; `strict` also refuses what JSON has no word for and repeated members."""
    try:
        text = data.decode("utf-8")
        if strict:
            return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_repetition)
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _Unreadable(f"not JSON: {type(error).__name__}: {shortened(str(error))}") from error


def _no_constant(name: str) -> object:
    raise ValueError(f"JSON has no {name}")


def _no_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        repeated = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise ValueError(f"member {repeated!r} stands twice")
    return members


def _is_call(message: object) -> bool:
    return isinstance(message, Mapping) and "method" in message


def _other(role: Role) -> Role:
    return "server" if role == "client" else "client"


def _key(sent: bool, identity: object) -> tuple[bool, str, object] | None:
    if isinstance(identity, float) and identity.is_integer():
        identity = int(identity)
    if isinstance(identity, bool) or not isinstance(identity, (str, int)):
        return None
    return sent, type(identity).__name__, identity


def _remember(link: _Link, sent: bool, identity: object, asked: _Asked) -> None:
    key = _key(sent, identity)
    if key is None:
        return
    link.asked.setdefault(key, deque()).append(asked)
    if len(link.asked) > MAX_OUTSTANDING:
        link.asked.popitem(last=False)


def _remember_unreadable(frame: Frame, link: _Link) -> None:
    """Let our replies to a message we could not read name any id that stands in its bytes."""
    revisions = (frame.revision,) if frame.revision in REVISIONS else link.revisions or REVISIONS[::-1]
    asked = _Asked(None, None, revisions, placed=False)
    for match in _IDS.finditer(frame.data[:1_000_000]):
        try:
            identity = json.loads(match.group(1))
        except ValueError:
            continue
        _remember(link, frame.sent, identity, asked)


def _recall(link: _Link, sent: bool, identity: object) -> _Asked | None:
    key = _key(sent, identity)
    waiting = link.asked.get(key) if key is not None else None
    if key is None or not waiting:
        return None
    asked = waiting.popleft()
    if not waiting:
        del link.asked[key]
    return asked
