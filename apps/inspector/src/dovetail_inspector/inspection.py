"""The Inspector itself, without a face: the servers, their conversations, what is asked and what waits for the person.

Theory of operation. Everything happens on one event loop. What changes is told as events (`events`), which every face
follows; a face calls the methods here and keeps nothing that it could not read again. Captures are in a folder of the
Inspector's own (0700), which is removed at the end unless one was given.

Specification: none; docs/inspector.md.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from dovetail.auth.login import TokenStore
from dovetail.logs import get_logger
from dovetail.recording import Capture
from dovetail.surface import Surface

from .app_views.hosting import AppViews
from .checks.book import CheckBook
from .events import Events
from .icons import icon_of
from .session.calls import CallRequest, Calls
from .session.questions import PersonAnswer, PersonQuestions
from .session.server import InspectedServer, ServerWatcher
from .skills.server_skills import ServerSkills
from .transcript.transcript import Transcript, Update
from .views import (
    CallView,
    CardView,
    ConnectionSettings,
    InfoView,
    ListView,
    ServerTarget,
    ServerView,
    TranscriptView,
)

__all__ = ["Inspection", "ListedKind"]

_log: Final = get_logger("dovetail_inspector")
ListedKind = Literal["tools", "resources", "templates", "prompts"]
_METHODS: Final = {
    "tools": "tools/list",
    "resources": "resources/list",
    "templates": "resources/templates/list",
    "prompts": "prompts/list",
}
_MEMBERS: Final = {
    "tools": "tools",
    "resources": "resources",
    "templates": "resourceTemplates",
    "prompts": "prompts",
}
_LOOK: Final = 0.2
"""Seconds between two looks at a capture that another process writes."""
_FLUSH: Final = 0.05
"""Seconds for which records are gathered before they are told of."""
_TOLD: Final = 200
"""Records of one event; of more only their number is told, and whoever looks at them reads them."""


class Inspection:
    """Servers that are looked at, for one event loop: ``async with Inspection() as inspection: ...``.

    ``folder``: where captures are kept (default: one that is removed at the end). ``lint``: whether messages are
    judged. ``checks``: the file of saved calls (default: they are kept here alone). ``tokens``: where the tokens of
    logins are kept (default: in memory, each server's own).
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        lint: bool = True,
        checks: Path | None = None,
        tokens: TokenStore | None = None,
    ) -> None:
        self.checks: Final = CheckBook(checks)
        self.events: Final = Events()
        self.questions: Final = PersonQuestions(
            lambda view: self.events.publish("question", view),
            lambda id: self.events.publish("question-closed", {"id": id}),
        )
        self.calls: Final = Calls(self.questions, self._called)
        self.servers: Final[dict[str, InspectedServer]] = {}
        self.apps: Final = AppViews(self.server, self.calls, self.questions, self.events.publish)
        self.transcripts: Final[dict[str, Transcript]] = {}
        self._lint: Final = lint
        self._tokens: Final = tokens
        self._given = folder
        self._folder: Path | None = None
        self._count = 0
        self._opened = 0
        self._numbered = 0
        self._snapshots: dict[str, Surface] = {}
        self._skills: dict[str, ServerSkills] = {}
        self._dirty: set[str] = set()
        self._news: dict[str, CallView] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flushing: asyncio.TimerHandle | None = None
        self._watcher: Final = ServerWatcher(
            self._server_changed,
            self._told,
            self._captured,
            self._wrote,
        )

    async def __aenter__(self) -> Inspection:
        self._loop = asyncio.get_running_loop()
        if self._given is not None:
            self._given.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder = self._given
        else:
            self._folder = Path(tempfile.mkdtemp(prefix="dovetail-inspect-"))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.apps.end()
        await asyncio.gather(*(each.disconnect() for each in self.servers.values()))
        await self.calls.end()
        if self._flushing is not None:
            self.catch_up()
        if self._flushing is not None:
            self._flushing.cancel()
        self._loop = None  # what is written from here on is looked at by nobody: the files are closed
        self.events.end()
        for each in self.transcripts.values():
            each.close()
        if self._given is None and self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def folder(self) -> Path:
        """Where captures are kept. Raises RuntimeError before it was entered."""
        if self._folder is None:
            raise RuntimeError("use the Inspection with `async with`")
        return self._folder

    # Servers

    def add(
        self, name: str, target: ServerTarget, settings: ConnectionSettings | None = None, *, source: str = ""
    ) -> InspectedServer:
        """Another server, which is not connected to yet. Raises ValueError for one without a command or URL."""
        if bool(target.command) == bool(target.url):
            raise ValueError("a server has either a command or a URL")
        self._count += 1
        server = InspectedServer(
            f"s{self._count}",
            name or target.url or Path(target.command).name,
            target,
            settings or ConnectionSettings(),
            source=source,
            folder=self.folder,
            questions=self.questions,
            calls=self.calls,
            watcher=self._watcher,
            tokens=self._tokens,
        )
        self.servers[server.id] = server
        self.events.publish("server", server.view)
        return server

    def server(self, id: str) -> InspectedServer:
        """One of them. Raises `LookupError`."""
        found = self.servers.get(id)
        if found is None:
            raise LookupError(f"there is no server {id}")
        return found

    def move(self, id: str, by: int) -> None:
        """Put a server so many places further down, or up, as far as there are any. Raises `LookupError`."""
        server = self.server(id)
        order = list(self.servers)
        at = order.index(id)
        order.insert(max(0, min(at + by, len(order) - 1)), order.pop(at))
        for each in order:  # in place: whoever holds the servers goes on holding them
            self.servers[each] = self.servers.pop(each)
        self.events.publish("servers-ordered", {"ids": order})
        self.events.publish("server", server.view)

    async def remove(self, id: str) -> None:
        """Let go of a server; its conversations stay. Raises `LookupError`."""
        server = self.server(id)
        await server.disconnect()
        self.servers.pop(id, None)
        self._skills.pop(id, None)
        self.events.publish("server-removed", {"id": id})

    async def listed(self, id: str, kind: ListedKind) -> ListView:
        """Everything of one kind that a server lists, with what is wrong with each entry. Raises `LookupError`, and
        what calls raise.
        """
        server = self.server(id)
        before = self._said(server)
        items = await server.listed(kind)
        return await self._noted(server, kind, _drawn(ListView(items=items)), before)

    async def listed_page(self, id: str, kind: ListedKind, cursor: str | None = None) -> ListView:
        """One page of what a server lists, the first without ``cursor``. Raises as `listed` does."""
        server = self.server(id)
        before = self._said(server)
        items, following = await server.page(kind, cursor)
        view = ListView(items=items, next_cursor=following)
        return await self._noted(server, kind, _drawn(view), before)

    def _said(self, server: InspectedServer) -> int:
        """How many records the conversation with a server has."""
        transcript = self.transcripts.get(server.transcript or "")
        return 0 if transcript is None else len(transcript)

    async def _noted(
        self, server: InspectedServer, kind: ListedKind, view: ListView, before: int
    ) -> ListView:
        """A list with what is wrong with its entries, by the records that came since ``before``."""
        transcript = self.transcripts.get(server.transcript or "")
        if transcript is None:
            return view
        while transcript.id in self._dirty:
            self.catch_up()
            await asyncio.sleep(0)
        notes = transcript.notes(_METHODS[kind], _MEMBERS[kind], before)
        return msgspec.structs.replace(view, notes=notes)

    def info(self, id: str) -> InfoView:
        """What a server says of itself, and what the client said to it. Raises `LookupError`."""
        server = self.server(id)
        info = server.info()
        transcript = self.transcripts.get(server.transcript or "")
        if transcript is None:
            return info
        self.catch_up()
        declared = transcript.declared(handshake=info.era == "stateful")
        return msgspec.structs.replace(info, client_capabilities=declared)

    async def card(self, id: str, url: str = "") -> CardView:
        """The card of a server, beside what the server says. ``url``: where it is, where it is not at the usual place.
        Raises `LookupError`, and what calls raise.
        """
        from .cards.looking import look_at_card

        server = self.server(id)
        transcript = self.transcripts.get(server.transcript or "")
        self.catch_up()
        newest_first = reversed([] if transcript is None else list(transcript))
        transport = next((each.transport for each in newest_first if each.transport), "http")
        return await look_at_card(server, transport, url)

    def skills(self, id: str) -> ServerSkills:
        """The skills of a server. Raises `LookupError`."""
        server = self.server(id)
        return self._skills.setdefault(id, ServerSkills(server))

    def call(self, server: str, request: CallRequest) -> CallView:
        """Ask a server for something. Raises `LookupError`."""
        return self.server(server).call(request)

    def answer(self, question: str, answer: PersonAnswer) -> None:
        """Answer a question. Raises `LookupError`, `AnswerRefused`."""
        self.questions.answer(question, answer)

    # Conversations

    def transcript(self, id: str) -> Transcript:
        """One of them. Raises `LookupError`."""
        found = self.transcripts.get(id)
        if found is None:
            raise LookupError(f"there is no conversation {id}")
        return found

    def open_capture(self, path: Path, name: str = "", *, live: bool = False) -> TranscriptView:
        """Look at a capture that is there already; with ``live`` one that is still written. Raises OSError, and
        `CaptureInvalid` for a file that is none.
        """
        if not live:
            with path.open("rb") as file:
                Capture.parse(file.readline(), name=name or path.name)
        id = self._transcript(path, name or path.name, live=live)
        self._wrote(id)
        if live:
            self._look_again(id)
        return self.transcripts[id].view()

    def take_capture(self, data: bytes, name: str) -> TranscriptView:
        """Look at a capture that somebody sent. Raises `CaptureInvalid`."""
        Capture.parse(data.split(b"\n", 1)[0] + b"\n", name=name)
        while True:
            self._opened += 1
            path = self.folder / f"opened-{self._opened}.jsonl"
            with suppress(FileExistsError):  # of another launch, in a folder that is kept
                path.touch(mode=0o600, exist_ok=False)
                break
        path.write_bytes(data if data.endswith(b"\n") else data + b"\n")  # nobody will finish its last line
        return self.open_capture(path, name)

    def rename(self, id: str, name: str) -> TranscriptView:
        """Call a conversation something else. Raises `LookupError`, ValueError for an empty name."""
        if not name.strip():
            raise ValueError("a name has a letter at least")
        found = self.transcript(id)
        found.name = name.strip()[:200]
        view = found.view()
        self.events.publish("transcript", view)
        return view

    async def take_snapshot(self, server: str) -> tuple[str, Surface]:
        """Take down what a server shows; gives an id to compare it by. Raises `LookupError`, and what calls raise."""
        from dovetail.surface import take_surface

        surface = await take_surface(self.server(server).client)
        id = f"p{len(self._snapshots) + 1}"
        self._snapshots[id] = surface
        return id, surface

    def snapshot(self, id: str) -> Surface:
        """What was taken down, or what a conversation shows of its server. Raises `LookupError` and
        `SurfaceUnreadable`.
        """
        from .comparing.surfaces import surface_of_capture

        found = self._snapshots.get(id)
        return surface_of_capture(self.transcript(id).lines()) if found is None else found

    def forget(self, id: str) -> None:
        """Look at a conversation no more. Raises `LookupError`."""
        found = self.transcript(id)
        del self.transcripts[id]
        found.close()
        if found.path.parent == self.folder and self._given is None:
            found.path.unlink(missing_ok=True)
        self.events.publish("transcript-removed", {"id": id})

    def views(self) -> tuple[list[ServerView], list[TranscriptView]]:
        """What there is."""
        return [each.view for each in self.servers.values()], [
            each.view() for each in self.transcripts.values()
        ]

    def catch_up(self) -> None:
        """Read what was written until now, of much only a part, and tell of it."""
        if self._flushing is not None:
            self._flushing.cancel()
        self._flush()

    def _captured(self, server: InspectedServer, path: Path) -> str:
        for each in self.transcripts.values():
            if each.server == server.id and each.live:
                each.live = False
                self.events.publish("transcript", each.view())
        return self._transcript(path, server.name, server=server.id, live=True)

    def _transcript(self, path: Path, name: str, *, server: str | None = None, live: bool = False) -> str:
        self._numbered += 1
        id = f"t{self._numbered}"
        self.transcripts[id] = found = Transcript(id, path, name, server=server, live=live, lint=self._lint)
        self.events.publish("transcript", found.view())
        return id

    def _wrote(self, id: str) -> None:
        """There is something new in a conversation; by any thread."""
        self._dirty.add(id)
        if self._flushing is None and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._arm)

    def _server_changed(self, server: InspectedServer) -> None:
        view = server.view
        self.events.publish("server", view)
        self.apps.server_changed(view)

    def _told(self, type: str, value: Any) -> None:
        """Something happened at a server."""
        self.events.publish(type, value)
        if type == "changed":
            self.apps.changed(value["server"], value["what"])

    def _called(self, view: CallView) -> None:
        """A call is another than it was; told of now where it began or ended, else with what gathers meanwhile."""
        self.apps.called(view)
        if view.state == "running" and view.progress:
            self._news[view.id] = view
            self._arm()
        else:
            self._news.pop(view.id, None)
            self.events.publish("call", view)

    def _look_again(self, id: str) -> None:
        """Look now and then for what another process writes."""
        found = self.transcripts.get(id)
        if found is not None and found.live and self._loop is not None:
            self._wrote(id)
            self._loop.call_later(_LOOK, self._look_again, id)

    def _arm(self, after: float = _FLUSH) -> None:
        if self._flushing is None and self._loop is not None:
            self._flushing = self._loop.call_later(after, self._flush)

    def _flush(self) -> None:
        self._flushing = None
        news, self._news = self._news, {}
        for view in news.values():
            self.events.publish("call", view)
        behind = False
        for id in list(self._dirty):
            found = self.transcripts.get(id)
            self._dirty.discard(id)
            if found is None:
                continue
            try:
                update = found.follow()
            except Exception:  # noqa: BLE001 - a fault in one conversation costs the others nothing
                _log.exception("the conversation %s can't be read on", id)
                continue
            if update:
                self._tell(found, update)
                self._dirty.add(id)  # perhaps that was not all
                behind = behind or update.full
        if self._dirty:
            self._arm(0.0 if behind else _FLUSH)

    def _tell(self, found: Transcript, update: Update) -> None:
        """Tell of what is new in a conversation."""
        told = update.records if len(update.records) <= _TOLD else []
        self.events.publish(
            "records",
            {"transcript": found.id, "records": told, "changed": update.changed, "count": len(found)},
        )
        self.events.publish("transcript", found.view())
        self._relate(found, update.records)

    def _relate(self, found: Transcript, records: list[Any]) -> None:
        """Which calls the new requests belong to."""
        if found.server is None:
            return
        for record in records:
            if record.kind == "request" and record.sender == "client" and record.group == record.n:
                call = self.calls.unrelated(found.server, record.method, record.name)
                if call is not None:
                    self.calls.belongs(call, record.n)


def _drawn(view: ListView) -> ListView:
    """A list with which icons of its entries are drawn."""
    found = {at: icon_of(each) for at, each in enumerate(view.items)}
    return msgspec.structs.replace(view, icons={at: icon for at, icon in found.items() if icon is not None})
