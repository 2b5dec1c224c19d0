"""One server of a host: its connection, kept up, and what it offers.

Theory of operation. One task per server connects, waits until the connection is lost or doubted, and connects anew:
at once the first time, then after growing pauses, up to a number of failures in a row. Over HTTP nothing tells that a
server is gone but a call that fails; such a call makes the task ask the server for a sign of life, and without one the
connection is made from the beginning, with a new session. Each connection is a `Client` of its own; what the program
gave as handlers of its client hears as before, beside the host.

What a server lists is read once it is connected, and anew when it says that it changed; if that fails, what was known
stays. A server of the stateless era also says how long a list may be kept: the shortest time of its pages counts, and
it is read anew when it is next wanted. One that says no time, and does not tell of changes either, is asked after a few
seconds.

Specification: basic/lifecycle; basic/transports "Session Management" (2025-11-25); server/tools, server/prompts;
server/utilities/caching.
"""

import asyncio
import inspect
import random
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

from msgspec import Struct

from ..client import Client, ProgressHandler, ServerWarning, StateChange
from ..errors import (
    Closed,
    DovetailError,
    LocalProtocolError,
    LoginRequired,
    RemoteProtocolError,
    RequestTimeout,
    TransportError,
)
from ..extensions import Change
from ..logs import get_logger
from ..types import Implementation, MessageNotice, ProgressNotice, Prompt, ServerCapabilities, Tool
from .events import EventKind
from .server_states import ServerState, ServerStates, ServerStatus, ServerUnavailable

__all__ = ["MAX_LISTED", "STDERR_LINES", "UNTOLD_SECONDS", "HostedServer", "Upkeep"]

log = get_logger("dovetail.host")
STDERR_LINES: Final = 500
"""The last lines that a started server wrote to standard error, which are kept."""
MAX_LISTED: Final = 10_000
"""Tools, and prompts, that one server may list."""
UNTOLD_SECONDS: Final = 5.0
"""Seconds that a list is kept whose server neither says for how long nor tells of changes (stateless era)."""
_SETTLED: Final = 30.0  # seconds after which a loss is no longer part of the trouble before
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 60.0

Tell = Callable[[EventKind, Any], None]


class Upkeep(Struct, frozen=True, kw_only=True):
    """How servers are kept up. ``patience``: seconds that a list or a call waits for one that is being connected.
    ``connect_timeout``: seconds that connecting may take, where nobody may have to log in. ``attempts``: failures in a
    row after which it is left alone.
    """

    patience: float = 10.0
    connect_timeout: float = 30.0
    attempts: int = 8


class HostedServer:
    """A server of a `Host`, under the ``name`` that the host gave it.

    ``stderr``: the last 500 lines that it wrote to standard error, if the host started it.
    """

    def __init__(
        self,
        name: str,
        target: Any,
        options: Mapping[str, Any],
        *,
        handlers: Mapping[str, Any],
        upkeep: Upkeep,
        tell: Tell,
    ) -> None:
        self.name = name
        self.target = target
        self.stderr: deque[str] = deque(maxlen=STDERR_LINES)
        self._options = options
        self._handlers = handlers
        self._upkeep = upkeep
        self._tell = tell
        self._states = ServerStates(name, partial(tell, "state"))
        self._client: Client | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._doubt = asyncio.Event()
        self._doubted: BaseException | None = None
        self._restart = False
        self._generation = 0
        self._clock: asyncio.Timeout | None = None
        self._tools: dict[str, Tool] = {}
        self._prompts: dict[str, Prompt] = {}
        self._stale: set[str] = set()
        self._until: dict[str, float] = {}
        self._listing = asyncio.Lock()

    # Life

    @property
    def status(self) -> ServerStatus:
        """What has become of it."""
        return self._states.current

    @property
    def state(self) -> ServerState:
        """The state alone: see `dovetail.host.ServerStatus`."""
        return self._states.current.state

    async def wait_for(self, *states: ServerState, timeout: float | None = None) -> ServerStatus:
        """Wait until the server is in one of these states. ``timeout``: seconds, None for no limit.

        Raises `RequestTimeout`; `Closed` when the host is closed.
        """
        return await self._states.wait(states, timeout)

    def start(self) -> None:
        """Begin to connect; the host does it."""
        if self._task is None:
            self._states.now("connecting")
            self._task = asyncio.create_task(self._live(), name=f"dovetail host: {self.name}")

    def restart(self) -> None:
        """Connect from the beginning: a started server is ended and started again. Gives up no other server."""
        self._restart = True
        self._doubt.set()
        if self._clock is not None:  # whatever is being waited for, such as a login
            self._clock.reschedule(asyncio.get_running_loop().time())
        if self.state not in ("new", "closed"):
            self._states.now("connecting")

    async def close(self) -> None:
        """Let go of it, for good. Idempotent, bounded."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))
        self._retire()
        self._states.now("closed")
        while self._closing:
            await asyncio.wait(tuple(self._closing))

    async def usable(self, *, waited_for: bool = False) -> Client:
        """The client, once it can be used. ``waited_for``: the time that the server has been connecting for counts.

        Raises `ServerUnavailable`, `Closed`.
        """
        if self.state in ("connecting", "degraded"):
            seconds = self._upkeep.patience
            if waited_for:
                seconds = max(0.0, self._states.since + seconds - time.monotonic())
            with suppress(RequestTimeout):  # said below
                await self._states.wait(("ready", "failed", "needs_login"), seconds)
        if self.state == "closed":
            raise Closed("the host is closed")
        if self.state != "ready" or self._client is None:
            raise ServerUnavailable(
                f"the server {self.name!r} can't be used now: it is {self.status}", status=self.status
            )
        return self._client

    def visit_done(self, elicitation_id: str | None) -> None:
        """The person has been where they were sent; see `Host.visit_done`."""
        if self._client is not None:
            self._client.visit_done(elicitation_id)

    def login_begins(self) -> None:
        """A person is asked to log in. While that takes its time, nobody waits for this server."""
        if self.state in ("connecting", "degraded"):
            self._states.now("needs_login", LoginRequired("a person is asked to log in", status=401))

    def doubt(self, problem: BaseException) -> None:
        """A call failed in a way that says something of the connection: it is looked after."""
        if isinstance(problem, (TransportError, RequestTimeout)) or (
            isinstance(problem, Closed) and self.state != "closed"
        ):
            self._doubts(problem)

    def _doubts(self, problem: BaseException | None) -> None:
        self._doubted = problem
        self._doubt.set()
        if self.state == "ready":
            # At once: whoever makes a call now waits for what comes of it.
            self._states.now("degraded", problem)

    async def _live(self) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            problem = await self._connected()
            if problem is None:
                self._states.now("ready", connected=True)
                problem = await self._until_lost()
                self._retire()
                if time.monotonic() - began > _SETTLED:
                    failures = 0
                if failures == 0 and not self._restart and not needs_login(problem):
                    failures = 1
                    if self.state != "degraded":
                        self._states.now("degraded", problem)
                    continue
            failures += 1
            if not self._restart:
                await self._rest(problem, failures)
            if self._restart:
                failures = 0
            self._states.now("connecting", problem)

    async def _rest(self, problem: BaseException | None, failures: int) -> None:
        """Wait for the time of the next attempt, or until one is wanted."""
        pause: float | None = None
        if problem is not None and needs_login(problem):
            self._states.now("needs_login", problem)
        else:
            if failures < self._upkeep.attempts and not isinstance(problem, LocalProtocolError):
                longest = min(_FIRST_PAUSE * 2 ** (failures - 1), _LONGEST_PAUSE)
                pause = longest * random.SystemRandom().uniform(0.5, 1)  # spreads attempts
            self._states.now("failed", problem, retry_in=pause)
        try:
            async with asyncio.timeout(pause):
                while not self._restart:
                    self._doubt.clear()
                    await self._doubt.wait()
        except TimeoutError:
            pass  # it is time

    async def _connected(self) -> BaseException | None:
        """Connect and read the lists; gives what went wrong."""
        client: Client | None = None
        try:
            client = self._client = self._new_client()
            seconds = None if "auth" in self._options else self._upkeep.connect_timeout
            async with asyncio.timeout(seconds) as self._clock:
                await client.open()
                self._stale = {"tools", "prompts"}
                await self._read_lists(client)
        except TimeoutError as problem:
            self._retire()
            return (
                problem if isinstance(problem, DovetailError) else RequestTimeout("it did not answer in time")
            )
        except Exception as problem:  # whatever it is, the server is looked after further
            if not isinstance(problem, (DovetailError, OSError, ImportError)):
                log.exception("connecting to the server %s failed", self.name)
            self._retire()
            return problem
        finally:
            self._clock = None
        return None if client.state == "ready" else self._doubted

    async def _until_lost(self) -> BaseException | None:
        """Wait until the connection is gone, or another is wanted; gives what it was lost by."""
        while True:
            client, problem = self._client, self._doubted
            if self._restart or client is None or _is_over(client) or needs_login(problem):
                return problem
            if problem is None or client.state != "ready":
                self._doubted = None
                self._doubt.clear()
                await self._doubt.wait()
                continue
            try:
                async with asyncio.timeout(self._upkeep.connect_timeout):
                    await client.ping()
            except (DovetailError, TimeoutError) as silence:
                return silence
            self._doubted = None
            if not self._restart:
                self._states.now("ready")

    def _new_client(self) -> Client:
        given = self._options
        options: dict[str, Any] = {**given, "restart": False, "rounds": "auto"}
        heard: dict[str, Callable[..., Any]] = {
            "on_state": partial(self._on_state, self._generation),
            "on_stderr": self._on_stderr,
            "on_change": self._on_change,
            "on_warning": self._on_warning,
            "logging": self._on_log,
            "progress": self._on_progress,
        }
        for name, handler in heard.items():
            own = given.get(name)
            options[name] = handler if own is None else _both(handler, own)
        options.update(self._handlers)
        self._doubted, self._restart = None, False
        self._doubt.clear()
        return Client(self.target, **options)

    def _retire(self) -> None:
        """Let go of the client, without waiting for it."""
        self._generation += 1
        client, self._client = self._client, None
        if client is not None:
            task = asyncio.create_task(client.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    # What the client tells

    def _on_state(self, generation: int, change: StateChange) -> None:
        if generation != self._generation:
            return  # of a client that was let go of
        if change.state == "lost":
            self._doubts(change.cause)
        elif change.state == "renewing" and self.state == "ready":
            self._states.now("degraded", change.cause)
        elif change.state == "ready" and change.renewals and self.state == "degraded":
            self._stale |= {"tools", "prompts"}
            self._states.now("ready", connected=True)

    def _on_stderr(self, line: str) -> None:
        self.stderr.append(line)
        self._tell("stderr", line)

    def _on_change(self, change: Change) -> None:
        if change.kind in ("tools", "prompts"):
            self._stale.add(change.kind)
        self._tell("change", change)

    def _on_warning(self, warning: ServerWarning) -> None:
        self._tell("warning", warning)

    def _on_log(self, notice: MessageNotice) -> None:
        self._tell("log", notice)

    def progress_for(self, own: ProgressHandler) -> ProgressHandler:
        """Who hears of the progress of a call that has a handler of its ``own``: that, and events."""
        return _both(self._on_progress, own)

    def _on_progress(self, notice: ProgressNotice) -> None:
        self._tell("progress", notice)

    # What it offers

    @property
    def capabilities(self) -> ServerCapabilities | None:
        """What it declared that it can do; None before it was connected."""
        client = self._client
        return client.server_capabilities if client is not None and self.state == "ready" else None

    @property
    def info(self) -> Implementation | None:
        """How the server describes itself, untrusted; None while it is not there, or where it does not."""
        client = self._client
        return client.server_info if client is not None and self.state == "ready" else None

    @property
    def instructions(self) -> str:
        """What it says about its use, as it wrote it."""
        client = self._client
        return (client.instructions or "") if client is not None and self.state == "ready" else ""

    @property
    def known_tools(self) -> Mapping[str, Tool]:
        """Its tools by its own names, as they were read last."""
        return self._tools

    async def tools(self, *, fresh: bool = False) -> Mapping[str, Tool]:
        """Its tools by its own names: what was read last, read anew where it said that they changed or may be kept no
        longer, or ``fresh``.
        """
        await self._refresh(fresh=fresh)
        return self._tools

    async def prompts(self, *, fresh: bool = False) -> Mapping[str, Prompt]:
        """Its prompts by its own names, as `tools`."""
        await self._refresh(fresh=fresh)
        return self._prompts

    async def _refresh(self, *, fresh: bool) -> None:
        """Read what changed, if it can be read now."""
        try:
            client = await self.usable(waited_for=True)
        except ServerUnavailable:
            return
        if fresh:
            self._stale |= {"tools", "prompts"}
        now = time.monotonic()
        self._stale |= {what for what, until in self._until.items() if until <= now}
        try:
            async with asyncio.timeout(self._upkeep.patience):
                await self._read_lists(client)
        except (DovetailError, TimeoutError) as problem:
            self.doubt(problem)
            self._tell("warning", f"its lists could not be read: {problem or type(problem).__name__}")

    async def _read_lists(self, client: Client) -> None:
        async with self._listing:
            offered = client.server_capabilities
            if "tools" in self._stale:
                self._stale.discard("tools")
                self._tools = (
                    {} if offered is not None and offered.tools is None else await self._all_tools(client)
                )
            if "prompts" in self._stale:
                self._stale.discard("prompts")
                lists = offered is None or offered.prompts is not None
                self._prompts = await self._all_prompts(client) if lists else {}

    async def _all_tools(self, client: Client) -> dict[str, Tool]:
        found: dict[str, Tool] = {}
        hints: list[int | None] = []
        begun = time.monotonic()
        try:
            async for page in client.tool_pages(fresh=True):
                hints.append(page.ttl_ms)
                for tool in page.tools:
                    self._add(found, tool.name, tool, "tool")
        except BaseException:
            self._stale.add("tools")
            raise
        offered = client.server_capabilities
        told = offered is not None and offered.tools is not None and bool(offered.tools.list_changed)
        self._keep("tools", client, begun, hints, told=told)
        return found

    async def _all_prompts(self, client: Client) -> dict[str, Prompt]:
        found: dict[str, Prompt] = {}
        hints: list[int | None] = []
        begun = time.monotonic()
        try:
            async for page in client.prompt_pages(fresh=True):
                hints.append(page.ttl_ms)
                for prompt in page.prompts:
                    self._add(found, prompt.name, prompt, "prompt")
        except BaseException:
            self._stale.add("prompts")
            raise
        offered = client.server_capabilities
        told = offered is not None and offered.prompts is not None and bool(offered.prompts.list_changed)
        self._keep("prompts", client, begun, hints, told=told)
        return found

    def _keep(
        self, what: str, client: Client, begun: float, hints: Sequence[int | None], *, told: bool
    ) -> None:
        """Note until when a list may be kept, by what its pages said. ``told``: the server tells of its changes."""
        self._until.pop(what, None)
        if client.era != "stateless":
            return
        shortest = min((hint or 0 for hint in hints), default=0) / 1000
        if shortest > 0:
            self._until[what] = begun + shortest
        elif not told:
            self._until[what] = begun + UNTOLD_SECONDS

    def _add(self, found: dict[str, Any], name: str, item: Any, what: str) -> None:
        if name in found:
            self._tell("warning", f"it lists the {what} {name!r} twice; the first counts")
        elif len(found) < MAX_LISTED:
            found[name] = item
        elif len(found) == MAX_LISTED:
            raise RemoteProtocolError(f"the server {self.name!r} lists more than {MAX_LISTED} {what}s")


def _is_over(client: Client) -> bool:
    return client.state in ("lost", "closed")


def needs_login(problem: BaseException | None) -> bool:
    """Whether credentials are what is missing."""
    if isinstance(problem, LoginRequired):
        return True
    login: Any = sys.modules.get("dovetail.auth.login")  # whoever has no login in use imports none
    return (
        login is not None
        and isinstance(problem, login.AuthorizationError)
        and not isinstance(problem, login.AuthorizationUnavailable)
    )


def _both(first: Callable[..., Any], second: Callable[..., Any]) -> Callable[..., Any]:
    """A handler that calls two; the second may want the call, as handlers of a client may."""
    needed = [
        each
        for each in inspect.signature(second).parameters.values()
        if each.default is each.empty and each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]

    def with_call(value: Any, call: Any) -> Any:
        first(value)
        return second(value, call)

    def without(value: Any) -> Any:
        first(value)
        return second(value)

    return with_call if len(needed) > 1 else without
