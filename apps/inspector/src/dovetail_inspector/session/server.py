"""One server that is looked at: the settings, the connection, the conversation with it.

Theory of operation. Each connection is a `Client` of its own with a capture of its own, unredacted and readable by its
owner alone, in the folder of the Inspector; nothing is kept of results (``cache=False``), so that what is shown is what
was said just now. The state of the client becomes the state of the server; what it is told of becomes events.

Specification: basic/lifecycle, basic/versioning.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from dovetail import Client, FeatureUnavailable, LoginRequired, MethodNotFound, RPCError
from dovetail.auth.login import LoginDenied, LoginTimeout, TokenStore
from dovetail.client import StateChange
from dovetail.recording import CaptureWriter
from dovetail.types import MessageNotice

from ..icons import icon_of
from ..views import CallView, ConnectionSettings, ErrorView, InfoView, ServerState, ServerTarget, ServerView
from .asking import QuestionHandlers
from .calls import CallRequest, Calls
from .declaring import declared_extensions
from .failing import error_view
from .importing import resolved
from .logins import ServerLogins
from .questions import PersonQuestions
from .secrets import forget_secret, keep_secret, read_secrets, without_secrets

__all__ = ["InspectedServer", "NotConnected", "ServerWatcher"]

_STATES: Final[dict[str, ServerState]] = {
    "new": "idle",
    "opening": "connecting",
    "ready": "ready",
    "renewing": "renewing",
    "lost": "lost",
    "closed": "idle",
}

_SUBSCRIBES: Final = ("subscribe", "unsubscribe")
_NOBODY: Final = (LoginRequired, LoginDenied, LoginTimeout)
"""What says that somebody has to log in first, or once more."""


def _whereabouts(target: ServerTarget) -> tuple[object, ...]:
    """What a server is reached by."""
    return target.url, target.command, target.args, target.cwd


class NotConnected(LookupError):
    """Something was asked of a server that there is no connection to."""


class ServerWatcher(msgspec.Struct, frozen=True):
    """Who is told: ``changed`` of a server that is another now, ``told`` of an event, ``captured`` of a conversation
    that begins (the path of its capture) and ``wrote`` when there is something new in it.
    """

    changed: Callable[[InspectedServer], None]
    told: Callable[[str, Any], None]
    captured: Callable[[InspectedServer, Path], str]
    wrote: Callable[[str], None]


class InspectedServer:
    """A server. ``folder``: where its captures go; ``tokens``: where those of its logins are kept, None for memory."""

    def __init__(
        self,
        id: str,
        name: str,
        target: ServerTarget,
        settings: ConnectionSettings,
        *,
        source: str,
        folder: Path,
        questions: PersonQuestions,
        calls: Calls,
        watcher: ServerWatcher,
        tokens: TokenStore | None = None,
    ) -> None:
        self.id: Final = id
        self.name = name
        self.target = target
        self.settings = settings
        self.source: Final = source
        self.transcript: str | None = None
        self.secrets: list[str] = []
        self._folder: Final = folder
        self._questions: Final = questions
        self._calls: Final = calls
        self._watcher: Final = watcher
        self.logins: Final = ServerLogins(
            id,
            lambda: self.settings.step_login,
            lambda view: watcher.told("login", view),
            tokens,
        )
        self._client: Client | None = None
        self._writer: CaptureWriter | None = None
        self._place = ""
        self._state: ServerState = "idle"
        self._error: ErrorView | None = None
        self._renewals = 0
        self._count = 0
        self._lock = asyncio.Lock()
        self._opening: asyncio.Task[None] | None = None

    @property
    def view(self) -> ServerView:
        """It, as it is now."""
        client = self._client if self._state in ("ready", "renewing") else None
        capabilities = None if client is None else client.server_capabilities
        return ServerView(
            id=self.id,
            name=self.name,
            target=self.target,
            settings=self.settings,
            state=self._state,
            source=self.source,
            transcript=self.transcript,
            revision=client.revision if client is not None else "",
            era=client.era if client is not None else "",
            renewals=self._renewals,
            error=self._error,
            secrets=list(self.secrets),
            extensions=list((capabilities.extensions if capabilities is not None else None) or ()),
            subscriptions=list(client.subscriptions if client is not None else ()),
        )

    @property
    def client(self) -> Client:
        """The client. Raises `NotConnected`."""
        if self._client is None or self._state not in ("ready", "renewing"):
            raise NotConnected(f"{self.name} is not connected; connect to it first")
        return self._client

    def change(
        self,
        *,
        name: str | None = None,
        target: ServerTarget | None = None,
        settings: ConnectionSettings | None = None,
    ) -> None:
        """Other settings, which hold from the next connection on. Secrets are those of a place: at another one they
        have to be entered anew.
        """
        if target is not None and _whereabouts(target) != _whereabouts(self.target):
            self.secrets = []
        self.name = name or self.name
        self.target = target or self.target
        self.settings = settings or self.settings
        self._watcher.changed(self)

    async def keep_secret(self, name: str, value: str) -> None:
        """Keep the value of a variable or header in the keyring of the system, and use it from the next connection on;
        with an empty ``value`` use the one that is there. Raises `SecretRefused`.
        """
        target = self.target
        await asyncio.to_thread(keep_secret, target, name, value)
        if target is self.target and name not in self.secrets:
            self.secrets.append(name)
        self._watcher.changed(self)

    async def forget_secret(self, name: str) -> None:
        """Take a secret out of the keyring, and use it no more. Raises `SecretRefused`."""
        await asyncio.to_thread(forget_secret, self.target, name)
        self.secrets = [each for each in self.secrets if each != name]
        self._watcher.changed(self)

    def connect(self) -> None:
        """Begin to connect, anew where it is connected; what comes of it is told. Does nothing while it begins."""
        if self._opening is None or self._opening.done():
            self._opening = asyncio.get_running_loop().create_task(self._connect(), name=f"connect {self.id}")

    async def connected(self) -> None:
        """Wait until `connect` came to its end, one way or another."""
        if self._opening is not None:
            await asyncio.wait((self._opening,))

    async def disconnect(self) -> None:
        """Let go of the server; idempotent."""
        opening, self._opening = self._opening, None
        if opening is not None and not opening.done():
            opening.cancel()
            await asyncio.wait((opening,))
        async with self._lock:
            await self._close()
            self._now("idle")

    async def forget_login(self) -> None:
        """Let go of the server, and forget its logins, with their tokens. Raises `AuthorizationError` where the place
        of the tokens can't be used.
        """
        await self.disconnect()
        await self.logins.forget(self._place)

    def call(self, request: CallRequest) -> CallView:
        """Begin a call. Raises `NotConnected`."""
        return self._calls.start(
            self.id,
            self.client,
            request,
            step=self.settings.step_rounds,
            meta=self.settings.meta,
            over=(lambda: self._watcher.changed(self)) if request.kind in _SUBSCRIBES else None,
        )

    def info(self) -> InfoView:
        """What the server says of itself; what the client said is in their conversation. Raises `NotConnected`."""
        client = self.client
        info, capabilities = client.server_info, client.server_capabilities
        said = None if info is None else info.to_wire()
        return InfoView(
            revision=client.revision,
            era=client.era,
            server_info=said,
            capabilities=None if capabilities is None else capabilities.to_wire(),
            instructions=client.instructions,
            warnings=[str(each) for each in client.warnings],
            icon=None if said is None else icon_of(said),
        )

    async def listed(self, kind: str) -> list[dict[str, Any]]:
        """All tools, resources, templates or prompts, as the server wrote them. Raises `NotConnected`, and what calls
        raise.
        """
        client = self.client
        listings: dict[str, Callable[..., AsyncIterator[Any]]] = {
            "tools": client.tools,
            "resources": client.resources,
            "templates": client.resource_templates,
            "prompts": client.prompts,
        }
        return [each.to_wire() async for each in listings[kind](fresh=True)]

    async def page(self, kind: str, cursor: str | None) -> tuple[list[dict[str, Any]], str | None]:
        """One page of a list, the first without ``cursor``, and the cursor of the next. Raises as `listed` does."""
        client = self.client
        pages: dict[str, tuple[Callable[..., Awaitable[Any]], str]] = {
            "tools": (client.list_tools, "tools"),
            "resources": (client.list_resources, "resources"),
            "templates": (client.list_resource_templates, "resource_templates"),
            "prompts": (client.list_prompts, "prompts"),
        }
        ask, member = pages[kind]
        result = await ask(cursor, fresh=True)
        return [each.to_wire() for each in getattr(result, member)], result.next_cursor

    async def tasks(self) -> list[dict[str, Any]]:
        """The tasks that the server has of this client's: by its list in the revision that has one, else those of the
        calls that became tasks, each asked for. Raises `NotConnected`, and what calls raise.
        """
        client = self.client
        if client.era == "stateful":
            with suppress(MethodNotFound, FeatureUnavailable):
                found = await client.request("tasks/list", {})
                return [each for each in found.get("tasks", []) if isinstance(each, dict)]
        known = {each.task: each for each in self._calls.views if each.server == self.id and each.task}
        tasks: list[dict[str, Any]] = []
        for id in known:
            try:
                tasks.append(await client.request("tasks/get", {"taskId": id}))
            except RPCError as problem:
                tasks.append({"taskId": id, "status": "failed", "statusMessage": str(problem)})
        return tasks

    async def cancel_task(self, task: str) -> dict[str, Any]:
        """Ask the server to cancel a task. Raises `NotConnected`, and what calls raise."""
        return await self.client.request("tasks/cancel", {"taskId": task})

    async def _connect(self) -> None:
        async with self._lock:
            await self._close()
            self._error = None
            self._now("connecting")
            try:
                secrets = (
                    await asyncio.to_thread(read_secrets, self.target, self.secrets) if self.secrets else {}
                )
                self._client = self._made(secrets)
                await self._client.open()
            except asyncio.CancelledError:
                await self._close()
                raise
            except Exception as problem:  # noqa: BLE001 - whatever keeps it from connecting: the person sees it
                await self._close()
                self._error = error_view(problem)
                self._now("login" if isinstance(problem, _NOBODY) else "failed")
            else:
                self._now("ready")

    async def _close(self) -> None:
        client, self._client = self._client, None
        writer, self._writer = self._writer, None
        self._questions.withdraw(self.id)
        self.logins.release()
        await self._calls.end(self.id)
        if client is not None:
            await client.close()
        if writer is not None:
            writer.close()
            if self.transcript is not None:
                self._watcher.wrote(self.transcript)

    def _made(self, secrets: dict[str, str]) -> Client:
        """A client by the settings. ``secrets``: by variable or header. Raises what `Client` does."""
        target, settings = self.target, self.settings
        self._count += 1
        path = self._folder / f"{self.id}-{self._count}.jsonl"
        self._writer = writer = CaptureWriter(
            path,
            redaction=without_secrets(secrets.values()),
            max_bytes=2**40,
            on_write=lambda: self._watcher.wrote(self.transcript or ""),
        )
        self.transcript = self._watcher.captured(self, path)
        person = QuestionHandlers(
            self._questions,
            self.id,
            lambda: self.settings.roots,
            lambda call: self._calls.current(self.id, call),
        )
        options: dict[str, Any] = {
            "record": writer,
            "revision": settings.revision,
            "timeout": settings.timeout,
            "max_timeout": None,
            "cache": False,
            "on_stderr": None,
            "on_state": self._stated,
            "on_change": self._changed,
            "logging": self._logged,
            "approve": person.visit,
            "extensions": declared_extensions(settings),
        }
        if settings.elicitation:
            options["elicitation"] = person.fill
        if settings.sampling:
            options |= {"sampling": person.sample, "sampling_tools": True}
        if settings.roots:
            options["roots"] = person.roots
        if settings.log_level:
            options["log_level"] = settings.log_level
        place, further = resolved(self.name, target)
        if secrets:
            kind = "headers" if target.url else "env"
            further[kind] = {**(further.get(kind) or {}), **secrets}
        options |= further
        if isinstance(place, str) and settings.login:
            sent = {each.lower() for each in further.get("headers", {})}
            if "authorization" not in sent:
                self._place = place
                options["auth"] = self.logins.auth(person.log_in)
        return Client(place, **options)

    def _stated(self, change: StateChange) -> None:
        self._renewals = change.renewals
        if self._opening is not None and not self._opening.done():
            return  # what comes of connecting is told when it is known
        if change.state == "ready":
            self._error = None  # whatever it was, it is over
        elif change.cause is not None:
            self._error = error_view(change.cause)
        self._now(_STATES[change.state])

    def _changed(self, change: Any) -> None:
        self._watcher.told("changed", {"server": self.id, "what": change.kind, "uri": change.uri})

    def _logged(self, notice: MessageNotice) -> None:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        self._watcher.told(
            "log",
            {
                "server": self.id,
                "time": now,
                "level": notice.level,
                "logger": notice.logger,
                "data": notice.data,
            },
        )

    def _now(self, state: ServerState) -> None:
        self._state = state
        self._watcher.changed(self)
