"""What `dovetail dev` and the process of one version of the author's file say to each other.

Theory of operation. A socket pair, and on it frames: four bytes of length, then one msgpack map that a tag tells from
the others. A call is known by a number of the parent's, a question within it by a number of the child's. Protocol
values travel as the JSON that they are on the wire. Both ends are of one installation, so nothing here is kept
compatible; still a frame that makes no sense ends the connection, never the parent.

Specification: none.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, Final

import msgspec
from msgspec import Struct

from ..protocol.listening import ChangeType
from ..protocol.session import SessionState
from ..protocol.types.requests import RequestId
from ..security.principal import Principal

MAX_FRAME: Final = 256 * 1024 * 1024
_LENGTH: Final = struct.Struct(">I")


class Hello(Struct, tag="hello", frozen=True):
    """The parent's first word: what outlives a version. ``store`` is the path of a SQLite file. ``guarded``: an app
    that asks who is calling is refused, since nobody here could tell.
    """

    keys: list[bytes]
    store: str
    guarded: bool = False


class Begin(Struct, tag="call", frozen=True):
    """Run a call. ``raw`` and ``peer`` are JSON; ``session`` is the dumped state of the stateful era's session, and
    ``session_id`` what stands for it.
    """

    number: int
    id: RequestId
    method: str
    raw: bytes
    revision: str
    peer: bytes
    log_level: str | None
    session: bytes | None
    session_id: str | None
    principal: Principal
    transport: str
    remote: str | None
    headers: dict[str, str]


class RouteRequest(Struct, tag="visit", frozen=True):
    """A request to a route beside the endpoint. ``scope`` is ASGI's, as far as it travels; ``body`` is all of it."""

    number: int
    scope: dict[str, Any]
    body: bytes


class CancelCall(Struct, tag="cancel", frozen=True):
    """Nobody wants the answer of a call, or of a request to a route, any more."""

    number: int


class ClientAnswer(Struct, tag="answered", frozen=True):
    """What came of a question: a result, an error of the client's, or (``gone``) no way to ask."""

    number: int
    question: int
    result: bytes = b""
    code: int | None = None
    message: str = ""
    data: bytes = b""
    gone: str | None = None
    unavailable: bool = False


class Finish(Struct, tag="finish", frozen=True):
    """End in good order."""


class AddedMethod(Struct, frozen=True):
    """What the parent has to know of a method that an extension brings."""

    name: str
    declared: bool
    subject: str
    revisions: list[str] | None


class Added(Struct, frozen=True):
    """What the parent has to know of an extension."""

    identifier: str
    revisions: list[str] | None
    methods: list[AddedMethod]
    changes: list[ChangeType]


class AppDescription(Struct, frozen=True):
    """What the parent has to know of an app. ``custom``: its own methods; ``entries``: by kind, each name and a digest
    of its description; ``headers``: the input schemas of tools whose arguments HTTP headers repeat; ``files``: what to
    watch; ``routes``: the paths beside the endpoint, and their methods.
    """

    name: str
    stateful: list[str]
    stateless: list[str]
    custom: list[str]
    extensions: list[Added]
    capabilities: bytes
    entries: dict[str, dict[str, str]]
    headers: dict[str, bytes]
    files: list[str]
    routes: list[tuple[str, list[str]]] = []


class Ready(Struct, tag="ready", frozen=True):
    """The app is there, or changed what it offers."""

    face: AppDescription


class Failed(Struct, tag="failed", frozen=True):
    """There is no app to be had; the text says why, and where."""

    text: str
    files: list[str]


class Changed(Struct, tag="changed", frozen=True):
    """Something changed that clients want to hear of."""

    kind: str
    uri: str
    notification: str = ""
    params: bytes = b""


class Emit(Struct, tag="emit", frozen=True):
    """A notification that belongs to a call."""

    number: int
    data: bytes


class AskClient(Struct, tag="ask", frozen=True):
    """A question to the client (stateful era)."""

    number: int
    question: int
    method: str
    params: bytes


class CancelAsk(Struct, tag="unask", frozen=True):
    """A question is taken back."""

    number: int
    question: int


class Keep(Struct, tag="keep", frozen=True):
    """Read the session of a call, or replace what the app keeps in it. ``before``, ``after``: that, as JSON; None to
    read. A change is made only if what is kept is still what it was ``before``; the answer says whether it was.
    """

    number: int
    question: int
    before: bytes | None = None
    after: bytes | None = None


class CloseStream(Struct, tag="close", frozen=True):
    """Let go of the connection of a call."""

    number: int
    retry: float | None


class Report(Struct, frozen=True):
    """One request or round, for the developer. ``target``: what was called. ``kept``, ``ran``: steps that were on
    record, and that ran now. ``answered``: keys of recorded answers. ``asks``: key and text of each question.
    ``how``: "done", "asks", "failed", "refused" or "cancelled".
    """

    method: str
    target: str
    how: str
    milliseconds: float
    round: int | None = None
    answered: list[str] = []
    kept: list[str] = []
    ran: list[str] = []
    asks: list[tuple[str, str]] = []
    text: str = ""
    place: str = ""
    notes: list[str] = []


class Done(Struct, tag="done", frozen=True):
    """The answer of a call. ``session``: the state, if the call changed it. ``files``: what to watch, if that grew."""

    number: int
    data: bytes
    code: int | None
    session: bytes | None
    report: Report
    files: list[str] | None


class Part(Struct, tag="part", frozen=True):
    """What a route answers: an event of ASGI."""

    number: int
    event: dict[str, Any]


class RouteEnd(Struct, tag="visited", frozen=True):
    """A route has answered. ``refused``: the status to refuse with instead, for the reason in ``text``; 0 for none."""

    number: int
    report: Report
    refused: int = 0
    text: str = ""


ToChild = Hello | Begin | RouteRequest | CancelCall | ClientAnswer | Finish
ToParent = (
    Ready | Failed | Changed | Emit | AskClient | CancelAsk | Keep | CloseStream | Done | Part | RouteEnd
)


class Swap:
    """A change of what a session keeps: from ``before`` to ``after``, and of nothing else. ``made``: it was so."""

    def __init__(self, before: bytes, after: bytes) -> None:
        self._before = before
        self._after = after
        self.made = False

    def __call__(self, state: SessionState) -> None:
        self.made = kept_of(state) == self._before
        if self.made:
            state.kept = _kept.decode(self._after) or msgspec.UNSET


def kept_of(state: SessionState) -> bytes:
    """What an app keeps in a session, as JSON."""
    return msgspec.json.encode({} if state.kept is msgspec.UNSET else state.kept)


_kept: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encoder: Final = msgspec.msgpack.Encoder()
_to_child: Final = msgspec.msgpack.Decoder(ToChild)
_to_parent: Final = msgspec.msgpack.Decoder(ToParent)


def write(frame: ToChild | ToParent) -> bytes:
    """A frame as bytes. Raises ValueError for one that is too long."""
    body = _encoder.encode(frame)
    if len(body) > MAX_FRAME:
        raise ValueError(f"a frame may have at most {MAX_FRAME} bytes")
    return _LENGTH.pack(len(body)) + body


async def read_in_child(reader: asyncio.StreamReader) -> ToChild:
    """The next frame of the parent. Raises EOFError at the end, `msgspec.MsgspecError` for nonsense."""
    return _to_child.decode(await _body(reader))


async def read_in_parent(reader: asyncio.StreamReader) -> ToParent:
    """The next frame of the child. Raises as `read_in_child` does."""
    return _to_parent.decode(await _body(reader))


async def _body(reader: asyncio.StreamReader) -> bytes:
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if length > MAX_FRAME:
        raise msgspec.DecodeError(f"a frame of {length} bytes")
    return await reader.readexactly(length)


def read_hello(sock: socket.socket) -> Hello:
    """The first frame, read before there is an event loop. Raises EOFError and `msgspec.MsgspecError`."""
    (length,) = _LENGTH.unpack(_exactly(sock, _LENGTH.size))
    frame = _to_child.decode(_exactly(sock, min(length, MAX_FRAME)))
    if not isinstance(frame, Hello):
        raise msgspec.DecodeError("the first frame is no greeting")
    return frame


def _exactly(sock: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = sock.recv(count - len(found))
        if not part:
            raise EOFError
        found += part
    return found
