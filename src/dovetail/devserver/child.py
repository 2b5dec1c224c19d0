"""The process of one version of the author's file, under `dovetail dev`.

Theory of operation. It imports the file, says what is in it, and then runs the calls that the parent sends, each in a
task, with a channel that leads back over the socket (`frames`). Everything that the author's code can break is in
here: an endless loop, an exit, a crash end this process and nothing else. What it prints goes where the parent said;
standard input stays free for a debugger. Rounds are watched by `dovetail.runtime.rounds.watchers`, errors by the log:
whatever is logged while a call runs belongs to that call's report.

When the parent is gone, the socket ends, and so does this.

Specification: none.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import logging
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from types import FrameType
from typing import Any, Final, cast

import msgspec
from msgspec import Raw

from ..last_resort import install, say
from ..loading import CannotLoad, load_app, split_place
from ..logs import get_logger
from ..protocol import codec, names
from ..protocol.call import Call, Peer
from ..protocol.envelope import Kind, Message
from ..protocol.errors import Closed, FeatureUnavailable, RPCError, rpc_error
from ..protocol.header_parameters import header_parameters
from ..protocol.revisions.profiles import Profiles
from ..protocol.safe_text import one_line
from ..protocol.session import SessionState
from ..protocol.types import Params, Tool
from ..runtime import rounds
from ..runtime.channel import Channel
from ..runtime.dispatch import EncodedResponse
from ..runtime.extension import Extension
from ..runtime.service import Service
from ..server import keys_and_store, python_files
from ..server.app import App
from . import frames
from .authors_files import AuthorsFiles
from .watching import INTERVAL

__all__ = ["main"]

log = get_logger("dovetail.http")

_LISTS: Final = {
    "tools": (names.TOOLS_LIST, "tools", "name"),
    "prompts": (names.PROMPTS_LIST, "prompts", "name"),
    "resources": (names.RESOURCES_LIST, "resources", "uri"),
    "templates": (names.RESOURCES_TEMPLATES_LIST, "resourceTemplates", "uriTemplate"),
}
_PAGES: Final = 100
_UNPROTECTED: Final = (
    "the app asks who is calling (App(auth=...)), and dovetail dev does not: pass --without-auth to serve it to "
    "anybody on this machine, or use dovetail run"
)
_running: Final[contextvars.ContextVar[_Watched | None]] = contextvars.ContextVar(
    "dovetail_dev", default=None
)


class _Watched:
    """One call, as it is seen from outside."""

    def __init__(self, files: AuthorsFiles) -> None:
        self.files = files
        self.began = time.perf_counter()
        self.rounds: rounds.Rounds | None = None
        self.round: int | None = None
        self.answered: list[str] = []
        self.kept: list[str] = []
        self.asks: list[tuple[str, str]] = []
        self.notes: list[str] = []
        self.place = ""
        self.error = ""

    @property
    def milliseconds(self) -> float:
        """How long it has taken so far."""
        return (time.perf_counter() - self.began) * 1000

    def opened(self, found: rounds.Rounds) -> None:
        """The call's rounds were opened."""
        self.rounds = found
        self.round = found.round
        self.answered = found.answered
        self.kept = found.recorded

    def logged(self, record: logging.LogRecord) -> None:
        """Something was logged meanwhile."""
        problem = record.exc_info[1] if record.exc_info else None
        if problem is not None:
            self.place = self.files.place(problem) or self.place
            self.error = f"{type(problem).__name__}: {problem}"
        elif record.levelno >= logging.WARNING:
            self.notes.append(record.getMessage())

    def report(self, call: Call, reply: EncodedResponse | None) -> frames.Report:
        """What came of it."""
        target = _target(call)
        how, text = _outcome(reply, self)
        if how in ("failed", "refused") and not self.place:
            self.place = self.files.definition(target)
        ran = [] if self.rounds is None else [each for each in self.rounds.recorded if each not in self.kept]
        return frames.Report(
            method=call.method,
            target=target,
            how=how,
            milliseconds=self.milliseconds,
            round=self.round,
            answered=self.answered,
            kept=self.kept,
            ran=ran,
            asks=self.asks,
            text=self.error or ("" if any(note in text for note in self.notes) else text),
            place=self.place if how in ("failed", "refused") else "",
            notes=self.notes,
        )


def _target(call: Call) -> str:
    found = getattr(call.params, "name", None) or getattr(call.params, "uri", None)
    return found if isinstance(found, str) else ""


def _outcome(reply: EncodedResponse | None, watched: _Watched) -> tuple[str, str]:
    """How a call ended, and what its error says."""
    if reply is None:
        return "cancelled", ""
    message = cast("dict[str, Any]", codec.decode(reply.data))
    if reply.code is not None:
        return "refused", f"{reply.code}: {message['error'].get('message', '')}"
    result = message["result"]
    if result.get("resultType") == names.RESULT_INPUT_REQUIRED:
        requests = cast("dict[str, Any]", result.get("inputRequests") or {})
        watched.asks += [(key, _asked(each["method"], each.get("params"))) for key, each in requests.items()]
        return "asks", ""
    if result.get("isError"):
        blocks = cast("list[dict[str, Any]]", result.get("content") or [])
        return "failed", " ".join(str(each.get("text", "")) for each in blocks)
    return "done", ""


def _asked(method: str, params: Any) -> str:
    message = cast("dict[str, Any]", params).get("message") if isinstance(params, dict) else None
    return str(message) if message else method


class _LogWatch(logging.Handler):
    """Gives what is logged to the call that it belongs to; the rest goes to standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        watched = _running.get()
        if watched is not None:
            watched.logged(record)
        elif record.levelno >= logging.WARNING:
            say(one_line(record.getMessage()))


class _RelayChannel(Channel):
    """A call's way back: over the socket, to the channel that the parent has for it."""

    def __init__(self, child: _Child, begin: frames.Begin, service: Service) -> None:
        self._child = child
        self._number = begin.number
        self._headers = begin.headers
        self._session_id = begin.session_id
        self.principal = begin.principal
        self.transport = begin.transport
        self.remote = begin.remote
        self.tidies = True
        if begin.session is not None:
            self.session = service.session(SessionState.load(begin.session))

    @property
    def headers(self) -> Mapping[str, str]:
        return self._headers

    @property
    def session_id(self) -> str | None:
        return self._session_id

    async def read_session(self) -> SessionState:
        return SessionState.load(bytes(await self._child.wait(frames.Keep(self._number, self._child.next()))))

    async def change_session(self, change: Callable[[SessionState], None]) -> None:
        made = False
        while not made:
            state = await self.read_session()
            before = frames.kept_of(state)
            change(state)
            swap = frames.Keep(self._number, self._child.next(), before, frames.kept_of(state))
            made = codec.decode(await self._child.wait(swap))

    async def emit(self, message: bytes) -> None:
        await self._child.send(frames.Emit(self._number, message))

    async def ask(self, method: str, params: bytes) -> Raw:
        watched = _running.get()
        if watched is not None:
            watched.asks.append((f"question-{len(watched.asks) + 1}", _asked(method, codec.decode(params))))
        return await self._child.ask(self._number, method, params)

    async def close_stream(self, retry: float | None = None) -> None:
        await self._child.send(frames.CloseStream(self._number, retry))


class _Child:
    """Runs the calls of one version."""

    def __init__(self, app: App, files: AuthorsFiles, sock: socket.socket) -> None:
        self._service = app.service
        self._name = app.name
        self._routes = _routes(app, self.send)
        self._files = files
        self._sock = sock
        self._writer: asyncio.StreamWriter | None = None
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._questions: dict[int, asyncio.Future[Raw]] = {}
        self._asked = 0
        self._modules = 0

    async def serve(self) -> None:
        """Say what is there, then run what comes, until the parent says so or is gone."""
        reader, self._writer = await asyncio.open_connection(sock=self._sock)
        try:
            await self._service.start()
        except Exception as problem:  # noqa: BLE001 - whatever the author's lifespan raises is told
            await self.send(_failed(problem, self._files, "the lifespan failed: "))
            return
        changes = asyncio.create_task(self._tell())
        try:
            await self.send(frames.Ready(await self._face()))
            while not isinstance(frame := await frames.read_in_child(reader), frames.Finish):
                self._take(frame)
        except (EOFError, OSError, msgspec.MsgspecError):
            pass  # the parent is gone
        finally:
            changes.cancel()
            for task in self._calls.values():
                task.cancel()
            if self._calls:
                await asyncio.wait(self._calls.values(), timeout=2)
            await self._service.stop()

    async def send(self, frame: frames.ToParent) -> None:
        """Send a frame; waits while the parent is slow."""
        if self._writer is not None:
            with suppress(OSError):
                self._writer.write(frames.write(frame))
                await self._writer.drain()

    async def ask(self, number: int, method: str, params: bytes) -> Raw:
        """Ask the client, over the parent. Raises what the parent's channel raises."""
        question = self.next()
        try:
            return await self.wait(frames.AskClient(number, question, method, params))
        except asyncio.CancelledError:
            await self.send(frames.CancelAsk(number, question))
            raise

    def next(self) -> int:
        """The number of the next question."""
        self._asked += 1
        return self._asked

    async def wait(self, frame: frames.AskClient | frames.Keep) -> Raw:
        """Send what has an answer, and wait for that. Raises what the parent says."""
        waiter = self._questions[frame.question] = asyncio.get_running_loop().create_future()
        await self.send(frame)
        try:
            return await waiter
        finally:
            self._questions.pop(frame.question, None)

    def _take(self, frame: frames.ToChild) -> None:
        if isinstance(frame, (frames.Begin, frames.RouteRequest)):
            task = asyncio.create_task(
                self._run(frame) if isinstance(frame, frames.Begin) else self._visit(frame)
            )
            self._calls[frame.number] = task
            task.add_done_callback(lambda _: self._calls.pop(frame.number, None))
        elif isinstance(frame, frames.CancelCall):
            if frame.number in self._calls:
                self._calls[frame.number].cancel()
        elif isinstance(frame, frames.ClientAnswer):
            _settle(self._questions.get(frame.question), frame)

    async def _run(self, begin: frames.Begin) -> None:
        channel = _RelayChannel(self, begin, self._service)
        call = _call(begin, self._service.profiles)
        watched = _Watched(self._files)
        _running.set(watched)
        reply: EncodedResponse | None = None
        try:
            reply = await self._service.dispatcher.answer(call, channel)
        finally:
            session = channel.session
            await self.send(
                frames.Done(
                    begin.number,
                    b"" if reply is None else reply.data,
                    None if reply is None else reply.code,
                    session.state.dump() if session is not None and session.changed else None,
                    watched.report(call, reply),
                    self._new_files(),
                )
            )
            if channel.clean_ups:
                await channel.tidy()

    async def _visit(self, visit: frames.RouteRequest) -> None:
        """Answer a request to a route, and say how that ended."""
        watched = _Watched(self._files)
        _running.set(watched)
        method, path = visit.scope["method"], visit.scope["path"]
        status, refused, text, how = 0, 0, "", "cancelled"
        try:
            if self._routes is not None:
                status, refused, text = await self._routes.serve(visit)
            how = "refused" if refused else "done"
        except Exception:
            log.exception("the route %s failed", path)
            refused, text, how = 500, f"the route {path} failed", "failed"
        finally:
            said = watched.error or text or str(status or "")
            place = watched.place if how == "failed" else ""
            report = frames.Report(method, path, how, watched.milliseconds, text=said, place=place)
            await self.send(frames.RouteEnd(visit.number, report, refused, text))

    async def _tell(self) -> None:
        async for change in self._service.hub.subscribe(lambda _: True):
            if change.kind != "resource" and not change.notification:
                await self.send(frames.Ready(await self._face()))
            await self.send(frames.Changed(change.kind, change.uri, change.notification, change.params))

    def _new_files(self) -> list[str] | None:
        if len(sys.modules) == self._modules:
            return None
        self._modules = len(sys.modules)
        return self._files.imported()

    async def _face(self) -> frames.AppDescription:
        service = self._service
        self._modules = len(sys.modules)
        headers: dict[str, bytes] = {}
        entries: dict[str, dict[str, str]] = {}
        for kind, (method, member, key) in _LISTS.items():
            items = await self._listed(method, member)
            entries[kind] = {str(each[key]): _digest(each) for each in items}
            for tool in items if kind == "tools" else ():
                schema = codec.encode(tool.get("inputSchema"))
                if header_parameters(codec.reader(Tool).read(codec.encode(tool)).input_schema):
                    headers[str(tool["name"])] = schema
        return frames.AppDescription(
            name=self._name,
            stateful=list(service.stateful),
            stateless=list(service.stateless),
            custom=sorted(service.profiles.methods.keys() - service.extensions.profiles.methods.keys()),
            extensions=[_added(each) for each in service.extensions],
            capabilities=codec.encode(service.capabilities()),
            entries=entries,
            headers=headers,
            files=self._files.imported(),
            routes=[] if self._routes is None else self._routes.face,
        )

    async def _listed(self, method: str, member: str) -> list[dict[str, Any]]:
        """What a list of the app names, in its newest revision."""
        profile = self._service.profiles[(*self._service.stateful, *self._service.stateless)[-1]]
        kind = profile.client_requests[method].params
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        for _ in range(_PAGES):
            raw = codec.encode({"cursor": cursor} if cursor else {})
            call = Call(
                0,
                method,
                codec.reader(kind).read(raw),
                Message(Kind.REQUEST, 0, method, Raw(raw)),
                profile,
                Peer(),
            )
            reply = await self._service.dispatcher.answer(call, Channel())
            if reply.code is not None:
                break
            result = codec.decode(reply.data)["result"]
            found += result[member]
            cursor = result.get("nextCursor")
            if cursor is None:
                break
        return found


def _added(extension: Extension) -> frames.Added:
    methods = [
        frames.AddedMethod(each.name, each.declared, each.subject, _listed(each.revisions))
        for each in extension.methods
    ]
    return frames.Added(extension.identifier, _listed(extension.revisions), methods, list(extension.changes))


def _listed(revisions: Collection[str] | None) -> list[str] | None:
    return None if revisions is None else list(revisions)


def _routes(app: App, send: Callable[[frames.ToParent], Awaitable[None]]) -> Any:
    """What answers beside the endpoint, a `ChildRoutes`; None, and nothing of HTTP imported, where nothing does."""
    routes = app.http_routes()
    if not routes:
        return None
    from .routes import ChildRoutes

    return ChildRoutes(routes, send)


def _digest(entry: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(entry, order="sorted")).hexdigest()[:16]


def _call(begin: frames.Begin, profiles: Profiles) -> Call:
    """The call as the parent's engine made it."""
    profile = profiles[begin.revision]
    method = profile.client_requests.get(begin.method)  # none: a method of the version before
    params = codec.reader(Params if method is None else method.params).read(begin.raw or b"{}")
    return Call(
        begin.id,
        begin.method,
        params,
        Message(Kind.REQUEST, begin.id, begin.method, Raw(begin.raw)),
        profile,
        codec.reader(Peer).keep(begin.peer),
        cast("Any", begin.log_level),
    )


def _settle(waiter: asyncio.Future[Raw] | None, frame: frames.ClientAnswer) -> None:
    if waiter is None or waiter.done():
        return
    if frame.gone is not None:
        waiter.set_exception(FeatureUnavailable(frame.gone) if frame.unavailable else Closed(frame.gone))
    elif frame.code is not None:
        data = codec.decode(frame.data) if frame.data else None
        problem: RPCError = rpc_error(frame.code, frame.message, data)
        waiter.set_exception(problem)
    else:
        waiter.set_result(Raw(frame.result))


def _failed(problem: BaseException, files: AuthorsFiles, prefix: str = "") -> frames.Failed:
    cause = problem.__cause__ if isinstance(problem, CannotLoad) and problem.__cause__ else problem
    place = files.place(cause)
    text = str(problem)
    if cause is not problem or not isinstance(problem, CannotLoad):
        said = cause.msg if isinstance(cause, SyntaxError) else str(cause)
        text = f"{prefix}{type(cause).__name__}: {said}"
    return frames.Failed(f"{place}: {text}" if place else text, files.imported())


def main(arguments: list[str]) -> int:
    """``python -m dovetail.devserver.child DESCRIPTOR FILE[:app] [WORDS...]``; started by `dovetail dev` alone."""
    sock = socket.socket(fileno=int(arguments[0]))
    place = arguments[1]
    install()
    signal.signal(signal.SIGINT, _leave_it)
    sys.argv = [str(split_place(place)[0]), *arguments[2:]]
    files = AuthorsFiles(split_place(place)[0])
    try:
        hello = frames.read_hello(sock)
        keys_and_store.lend(hello.keys, hello.store)
        python_files.watch_in_development(INTERVAL)
        logging.getLogger("dovetail").addHandler(_LogWatch())
        rounds.watchers.append(_note_rounds)
        try:
            app = load_app(place)
        except CannotLoad as problem:
            sock.sendall(frames.write(_failed(problem, files)))
            return 1
        if hello.guarded and getattr(app, "auth", None) is not None:
            sock.sendall(frames.write(frames.Failed(_UNPROTECTED, files.imported())))
            return 1
        app.replay_check = True
        asyncio.run(_Child(app, files, sock).serve())
    except (EOFError, OSError, msgspec.MsgspecError):
        return 1
    return 0


def _leave_it(signum: int, frame: FrameType | None) -> None:
    """Ctrl-C at the terminal reaches the parent as well, which ends us."""


def _note_rounds(found: rounds.Rounds) -> None:
    watched = _running.get()
    if watched is not None:
        watched.opened(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
