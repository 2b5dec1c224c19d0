"""`dovetail dev`: one server that stays, and behind it one process for each version of the author's file.

Theory of operation
-------------------
The process that the client talks to never imports the author's file. It holds what a client would lose: the listening
socket or the pipe, the sessions, the open streams, the questions that wait for a person, the subscriptions. Each
version of the file runs in a process of its own (`child`), and calls are passed to it. On a change the next
version is started beside the one that serves; once it says that it is ready, new calls go to it, clients are told what
has changed, and the old one ends with the calls that it still has. So

* a file that cannot be imported replaces nothing: the version before it serves on, and the next save tries again;
* every version is imported into a clean process: no modules, registries or threads of the version before it. Importing
  anew into one process would be less machinery, and wrong for whatever a module did to others while it was imported;
* an endless loop, ``sys.exit`` or a crash in the author's code takes one process with it, and nothing of the client's.

Handing the listening socket to each new process would lose the streams and the questions in progress; stdio could not
be handed over at all. What is lost on a reload: whatever the author's code kept in memory.

The keys that seal rounds and a SQLite file for their records are lent to each version, so that a call may be asked by
one version and go on in the next.

Specification: none; what clients see is that of the pages that `dovetail.server` follows.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import secrets
import tempfile
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from ..loading import split_place
from ..protocol import codec, names
from ..protocol.call import Call
from ..protocol.errors import InternalError, RPCError, TransportError
from ..protocol.header_parameters import HeaderParameter, header_parameters
from ..protocol.listening import Change, Listening
from ..protocol.revisions import STATEFUL, STATELESS, Method
from ..protocol.revisions.profiles import ServedRevisions
from ..protocol.types import CallToolParams, Implementation, ListenParams, Params, Result, ServerCapabilities
from ..runtime.channel import Channel
from ..runtime.dispatch import Dispatcher, EncodedResponse, error_response
from ..runtime.extension import NO_EXTENSIONS, Extension, ExtensionMethod, Extensions
from ..runtime.hub import Hub
from ..runtime.service import Service
from ..security.principal import ANONYMOUS, Principal
from . import frames
from .authors_files import AuthorsFiles
from .printing import Printer, difference
from .version import Told, Version
from .watching import INTERVAL, FileWatcher

_LONG: Final = 10.0
"""Seconds after which an import that is still going on is told of."""

_OLD: Final = 4
"""How many versions that were replaced may still run calls."""


class DevServer(Dispatcher):
    """Answers calls by the newest version that works. ``output``: where what the author prints goes.
    ``guarded``: refuse an app that asks who is calling.
    """

    def __init__(
        self,
        place: str,
        words: Sequence[str],
        printer: Printer,
        *,
        output: int,
        guarded: bool = False,
        interval: float = INTERVAL,
    ) -> None:
        info = Implementation(name="dovetail dev", version="1")
        super().__init__({}, info=info)
        self._place = place
        self._words = list(words)
        self._printer = printer
        self._output = output
        self._guarded = guarded
        self._interval = interval
        self._authors = AuthorsFiles(split_place(place)[0])
        self._hub = Hub()
        self._numbers = 0
        self._current: Version | None = None
        self._next: Version | None = None
        self._failure: str | None = None
        self._told: asyncio.Event = asyncio.Event()
        self._files: set[str] = {str(self._authors.path)}
        self._hello = frames.Hello([], "")
        self._retiring: dict[Version, asyncio.Task[None]] = {}
        self._capabilities = ServerCapabilities()
        self._extensions = NO_EXTENSIONS
        self._watch: FileWatcher | None = None
        self.replace_routes: Callable[[Sequence[Any]], None] | None = None
        self._routed = False
        self._starting = asyncio.Lock()
        self._ending = False
        self.service = Service(
            dispatcher=self,
            hub=self._hub,
            capabilities=lambda: self._capabilities,
            served=ServedRevisions(STATEFUL, STATELESS),
            lifespan=self._life,
            header_parameters=self._header_parameters,
        )

    # Calls

    async def answer(self, call: Call, channel: Channel) -> EncodedResponse:
        """The reply of the version that serves. Raises nothing but `asyncio.CancelledError`."""
        if call.method == names.SUBSCRIPTIONS_LISTEN:
            return await self._listen(call, channel)
        version = await self._serving()
        if version is None:
            return error_response(call, InternalError(f"{self._failure}; save the file to try again"))
        return await version.answer(call, channel)

    async def _serving(self) -> Version | None:
        """The version for the next call. One whose process died is started once more from the same file."""
        if self._current is not None and self._current.over.is_set() and self._failure is None:
            died = self._current
            async with self._starting:
                if self._current is died:
                    await self._load()
        version = self._current
        return None if version is None or version.over.is_set() else version

    async def _listen(self, call: Call, channel: Channel) -> EncodedResponse:
        """A change stream, which outlives the versions: it is served here."""
        params = call.params
        if not isinstance(params, ListenParams):
            return error_response(call, InternalError("a subscription can't be read"))
        try:
            wanted = await self._extensions.wanted(call, channel.principal)
            listening = Listening(call.id, params.notifications, self._capabilities, call.profile, wanted)
        except RPCError as problem:
            return error_response(call, problem)
        subscription = self._hub.subscribe(listening.wants)
        try:
            await channel.emit(listening.acknowledgement())
            async for change in subscription:
                await channel.emit(listening.message(change))
            if channel.shared:
                await channel.emit(listening.ending())
        except (OSError, TransportError) as problem:
            return error_response(call, InternalError(f"the stream broke: {problem}"))
        finally:
            subscription.close()
        return self._reply(call, listening.result())

    def _header_parameters(self, call: Call, principal: Principal = ANONYMOUS) -> Sequence[HeaderParameter]:
        params, version = call.params, self._current
        if version is None or version.face is None or not isinstance(params, CallToolParams):
            return ()
        schema = version.face.headers.get(params.name)
        return () if schema is None else header_parameters(codec.decode(schema))

    # Versions

    @asynccontextmanager
    async def _life(self) -> AsyncGenerator[None]:
        with tempfile.TemporaryDirectory(prefix="dovetail-dev-", ignore_cleanup_errors=True) as folder:
            sealed = importlib.util.find_spec("cryptography") is not None
            store = str(Path(folder) / "rounds.db")
            keys = [secrets.token_bytes(32)] if sealed else []
            self._hello = frames.Hello(keys, store, self._guarded)
            self._watch = FileWatcher(self._watched, interval=self._interval)
            await self._reload()
            watching = asyncio.create_task(self._follow(self._watch))
            try:
                yield
            finally:
                self._ending = True
                watching.cancel()
                with suppress(asyncio.CancelledError):
                    await watching
                versions = [each for each in (self._current, self._next, *self._retiring) if each is not None]
                for task in self._retiring.values():
                    task.cancel()
                await asyncio.gather(*(version.end() for version in versions))

    def _watched(self) -> set[str]:
        return self._files if self._failure is None else {*self._files, *self._authors.all()}

    async def _follow(self, watch: FileWatcher) -> None:
        """Load each version that comes, giving up one that is overtaken while it loads."""
        loading: asyncio.Task[None] | None = None
        try:
            while True:
                await watch.changed()
                if loading is not None:
                    loading.cancel()
                    with suppress(asyncio.CancelledError):
                        await loading
                loading = asyncio.create_task(self._reload())
        finally:
            if loading is not None:
                loading.cancel()

    async def _reload(self) -> None:
        async with self._starting:
            await self._load()

    async def _load(self) -> None:
        """Start a version and put it in the place of the one that serves, if it works. Under `_starting`."""
        self._numbers += 1
        began = asyncio.get_running_loop().time()
        version = self._next = Version(self._numbers, self._heard)
        self._told = asyncio.Event()
        failed, self._failure = self._failure, None
        try:
            await version.start(self._place, self._words, self._hello, output=self._output)
            while not self._told.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._told.wait(), _LONG)
                if not self._told.is_set():
                    self._printer.note(f"{self._authors.path.name} is still being imported")
        except BaseException:
            self._failure = failed
            await version.kill()
            raise
        finally:
            self._next = None
        if version.face is None:
            self._numbers -= 1
            await version.kill()
            self._printer.broken(self._failure or "", None if self._current is None else self._current.number)
        else:
            self._replace(version, version.face, asyncio.get_running_loop().time() - began)
        if self._watch is not None:
            self._watch.know()

    def _replace(self, version: Version, face: frames.AppDescription, seconds: float) -> None:
        old, self._current = self._current, version
        before = None if old is None or old.face is None else old.face.entries
        self._adopt(face)
        self._printer.loaded(version.number, face.name, difference(before, face.entries), seconds)
        if old is not None:
            task = self._retiring[old] = asyncio.create_task(old.retire())
            task.add_done_callback(lambda _: self._retiring.pop(old, None))
            for each in list(self._retiring)[:-_OLD]:
                self._retiring[each].cancel()
                self._retiring[each] = asyncio.create_task(each.end())
        for kind in _changed(before, face.entries) if before is not None else ():
            self._hub.publish(Change(kind))

    def _adopt(self, face: frames.AppDescription) -> None:
        """What the engines have to know of the version that serves."""
        own = (Method(name, Params, Result) for name in face.custom)
        self._extensions = Extensions(_extension(each) for each in face.extensions)
        profiles = self._extensions.profiles.extended(client_requests=own)
        self.service.speak(ServedRevisions(tuple(face.stateful), tuple(face.stateless)), profiles)
        self._capabilities = codec.reader(ServerCapabilities).read(face.capabilities)
        self._route(face.routes)
        self._files = {*face.files, str(self._authors.path)}

    def _route(self, routes: list[tuple[str, list[str]]]) -> None:
        """Serve the version's routes beside the endpoint, where there is HTTP."""
        if self.replace_routes is None or (not routes and not self._routed):
            return
        from .routes import relays

        try:
            self.replace_routes(relays(routes, self._visited))
            self._routed = bool(routes)
        except ValueError as problem:
            self._printer.note(f"custom routes are not served: {problem}")

    async def _visited(self) -> Version | str:
        """The version that answers the next request to a route, or why there is none."""
        return await self._serving() or self._failure or "nothing serves"

    def _heard(self, version: Version, frame: Told | None) -> None:
        if isinstance(frame, frames.Ready):
            version.face = frame.face
            if version is self._current:
                self._adopt(frame.face)
        elif isinstance(frame, frames.Failed):
            self._failure = frame.text
            self._files |= set(frame.files)
        elif isinstance(frame, frames.Done):
            self._printer.report(frame.report)
            if frame.files is not None and version is self._current:
                self._files |= set(frame.files)
                if self._watch is not None:
                    self._watch.know()
        elif isinstance(frame, frames.RouteEnd):
            self._printer.report(frame.report)
        elif isinstance(frame, frames.Changed) and version is self._current:
            kind = frame.kind if frame.notification else _KINDS[frame.kind]
            self._hub.publish(Change(kind, frame.uri, frame.notification, frame.params))
        elif frame is None and version is self._next and version.face is None and self._failure is None:
            self._failure = f"{self._authors.path.name} ended the process while it was imported"
        elif frame is None and version is self._current and not self._ending:
            self._printer.note(f"the process of version {version.number} ended; the next call starts it anew")
        if version is self._next and not isinstance(frame, (frames.Changed, frames.Done, frames.RouteEnd)):
            self._told.set()


def _extension(added: frames.Added) -> Extension:
    """An extension of the version that serves, as far as the engines have to know it; its handlers are there."""
    methods = [
        ExtensionMethod(
            name=each.name, declared=each.declared, subject=each.subject, revisions=each.revisions
        )
        for each in added.methods
    ]
    return Extension(
        identifier=added.identifier, revisions=added.revisions, methods=methods, changes=added.changes
    )


_KINDS: Final[dict[str, Any]] = {
    "tools": "tools",
    "prompts": "prompts",
    "resources": "resources",
    "templates": "resources",
    "resource": "resource",
}


def _changed(before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]) -> list[Any]:
    """The kinds of list that differ."""
    return sorted({_KINDS[kind] for kind in after if before.get(kind, {}) != after[kind]})


def serve(
    place: str,
    words: Sequence[str],
    *,
    transport: str,
    path: str = "/mcp",
    guarded: bool = True,
    announce: Callable[[str], None] | None = None,
    **address: Any,
) -> None:
    """Serve the file until told to stop. ``address``: ``host`` and ``port`` for HTTP. ``guarded``: over HTTP, refuse an
    app that asks who is calling. Raises as `dovetail.transports.http1.server.runner.serve` does.
    """
    printer = Printer()
    if transport == "stdio":
        from ..transports.stdio.server import run_stdio

        run_stdio(DevServer(place, words, printer, output=2).service)
        return
    from ..protocol.bindings.origins import OriginPolicy
    from ..transports.http1.server.runner import serve as serve_http
    from ..transports.http_server.asgi import HTTPApp

    server = DevServer(place, words, printer, output=1, guarded=guarded)
    policy = OriginPolicy.for_bind(address.get("host", "127.0.0.1"))
    os.environ.pop("WEB_CONCURRENCY", None)
    endpoint = HTTPApp(server.service, path=path, policy=policy)
    server.replace_routes = endpoint.replace_routes
    serve_http(endpoint, path=path, announce=announce, **address)
