"""What a task's record holds beside what its store knows: the call, what was asked and answered, and what came of it.

Theory of operation. A task is a call that was kept. It is run by sending it again, as a client would send one that was
answered with questions: with the state of the run before, and the answers. So a record needs the request as it came,
who sent it and what that client can do, and of each run the state that it ended with.

Questions go out under keys that are used once in the life of a task: the body's own key, and from its second use on
with a number (``name``, ``name-2``).

Specification: the extension io.modelcontextprotocol/tasks, "Task Update Requests"; 2025-11-25, basic/utilities/tasks.
"""

import math
from collections.abc import Iterator
from itertools import count
from typing import Any, Final

from msgspec import Raw, Struct, field

from dovetail.extensions import Call, Principal
from dovetail.server import Peer
from dovetail.stores import TaskRecord
from dovetail.types import (
    CallToolParams,
    ClientCapabilities,
    Implementation,
    InputRequest,
    LogLevel,
    decode,
    encode,
    reader,
)

from . import names
from .wire import TaskError, TaskStatus

NOTHING: Final = Raw(b"")
_EMPTY: Final = Raw(b"{}")


class StoredCaller(Struct, frozen=True, omit_defaults=True):
    """A `Principal`, as it is stored; ``expires`` None for never."""

    issuer: str = ""
    subject: str = ""
    client_id: str = ""
    scopes: tuple[str, ...] = ()
    claims: dict[str, Any] = field(default_factory=dict[str, Any])
    expires: float | None = None

    @classmethod
    def of(cls, principal: Principal) -> "StoredCaller":
        """What is stored of a caller."""
        return cls(
            principal.issuer,
            principal.subject,
            principal.client_id,
            tuple(sorted(principal.scopes)),
            principal.claims,
            None if math.isinf(principal.expires) else principal.expires,
        )

    def principal(self) -> Principal:
        """The caller. What it showed was good when it asked; that it has run out since ends no task."""
        return Principal(self.issuer, self.subject, self.client_id, frozenset(self.scopes), self.claims)


class StoredCall(Struct, frozen=True, omit_defaults=True):
    """A request as it came: ``params`` are those of the wire. ``transport``: how it came."""

    method: str
    params: Raw
    revision: str
    caller: StoredCaller = StoredCaller()
    info: Implementation | None = None
    capabilities: ClientCapabilities = ClientCapabilities()
    log_level: LogLevel | None = None
    transport: str = ""

    @classmethod
    def of(cls, call: Call, principal: Principal, transport: str) -> "StoredCall":
        """What is stored of a call, with the version of its tool that was chosen: all its runs are of that one."""
        return cls(
            call.method,
            _of_version(call),
            call.profile.revision,
            StoredCaller.of(principal),
            call.peer.info,
            call.peer.capabilities,
            call.log_level,
            transport,
        )

    @property
    def peer(self) -> Peer:
        """The client that sent it."""
        return Peer(self.info, self.capabilities)

    @property
    def progress_token(self) -> str | int | None:
        """What the client wants to hear of progress with."""
        meta = _members.read(_members.read(self.params).get("_meta", _EMPTY))
        return decode(meta[names.PROGRESS_TOKEN]) if names.PROGRESS_TOKEN in meta else None

    def for_run(self, state: str, answers: dict[str, Raw]) -> bytes:
        """The parameters of the next run: with what the one before ended with, and wanting to hear how far it is."""
        members = _members.read(self.params)
        meta = _members.read(members.get("_meta", _EMPTY))
        members["_meta"] = Raw(encode({names.PROGRESS_TOKEN: Raw(b'"task"'), **meta}))
        for key in (names.REQUEST_STATE, names.INPUT_RESPONSES):
            members.pop(
                key, None
            )  # what a client sent of them is for the request alone, and believed by nobody here
        if state:
            members[names.REQUEST_STATE], members[names.INPUT_RESPONSES] = (
                Raw(encode(state)),
                Raw(encode(answers)),
            )
        return encode(members)


class TaskQuestion(Struct, frozen=True):
    """A question that waits for its answer; ``key`` is the body's."""

    key: str
    request: InputRequest


class Reached(Struct, frozen=True, omit_defaults=True):
    """How far the work is, as the body said last."""

    progress: float
    total: float | None = None
    message: str | None = None

    def members(self) -> dict[str, Any]:
        """As a notification says it."""
        members = {"progress": self.progress, "total": self.total, "message": self.message}
        return {name: value for name, value in members.items() if value is not None}

    def __str__(self) -> str:
        if self.message:
            return self.message
        return f"{self.progress:g}" if self.total is None else f"{self.progress:g} of {self.total:g}"


class TaskData(Struct, omit_defaults=True):
    """What a `TaskRecord` holds as ``data``.

    ``poll``: seconds. ``message``: for people. ``state``: what the last run ended with. ``questions`` by the keys under
    which they went out, ``responses`` to these so far; ``used``: all keys that ever went out. ``result``: of the call,
    JSON; ``is_error``: it is one that the tool calls an error. ``failures``: runs that failed and were to be tried
    again; ``in_order``: runs that ended by themselves, whatever with.
    """

    call: StoredCall
    poll: float
    message: str = ""
    reached: Reached | None = None
    state: str = ""
    used: set[str] = field(default_factory=set[str])
    questions: dict[str, TaskQuestion] = field(default_factory=dict[str, TaskQuestion])
    responses: dict[str, Raw] = field(default_factory=dict[str, Raw])
    result: Raw = NOTHING
    is_error: bool = False
    error: TaskError | None = None
    retries: int = 0
    backoff: float = 0.0
    failures: int = 0
    in_order: int = 0

    @classmethod
    def of(cls, record: TaskRecord) -> "TaskData":
        """What the record holds."""
        return _data.read(record.data)

    def encoded(self) -> bytes:
        """As it is stored."""
        return encode(self)

    def ask(self, requests: dict[str, InputRequest]) -> None:
        """Put questions that a run ended with."""
        self.questions, self.responses = {}, {}
        for key, request in requests.items():
            outward = next(each for each in _names(key) if each not in self.used)
            self.used.add(outward)
            self.questions[outward] = TaskQuestion(key, request)

    def respond(self, responses: dict[str, Raw]) -> bool:
        """Take answers to what is open; others are ignored, and so is a second answer. Whether any was taken."""
        taken = {
            key: answer.copy()
            for key, answer in responses.items()
            if key in self.questions and key not in self.responses
        }
        self.responses.update(taken)
        return bool(taken)

    @property
    def is_answered(self) -> bool:
        """Whether nothing is left to be answered."""
        return self.questions.keys() == self.responses.keys()

    def answers(self) -> dict[str, Raw]:
        """What was answered, by the body's keys."""
        return {self.questions[key].key: answer for key, answer in self.responses.items()}

    def end(self) -> None:
        """Let go of what only a task that goes on needs."""
        self.state, self.questions, self.responses = "", {}, {}


_members: Final = reader(dict[str, Raw])
_data: Final = reader(TaskData)


def _names(key: str) -> Iterator[str]:
    yield key
    yield from (f"{key}-{number}" for number in count(2))


def _of_version(call: Call) -> Raw:
    """The parameters of a call as they came, but for the version of its tool, which may have been chosen since."""
    params, raw = call.params, Raw(bytes(call.raw))
    version = None
    if isinstance(params, CallToolParams) and params.meta is not None:
        version = params.meta.version
    if version is None:
        return raw
    members = _members.read(raw)
    meta = _members.read(members.get("_meta", _EMPTY))
    members["_meta"] = Raw(encode({**meta, names.META_VERSION: Raw(encode(version))}))
    return Raw(encode(members))


def status_of(record: TaskRecord) -> TaskStatus:
    """The status of a task."""
    return record.status  # pyright: ignore[reportReturnType] - the engine writes no other


__all__ = [
    "NOTHING",
    "TaskQuestion",
    "Reached",
    "StoredCall",
    "TaskData",
    "status_of",
]
