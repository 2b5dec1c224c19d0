"""What somebody adds to the protocol, as a value: given to an app or a client, which it never receives.

Theory of operation. An `Extension` says what it is called and what it brings: methods, notifications, further kinds of
result, kinds of change to listen for, wrappers around methods that exist. App and client read it once, when they are
made. Its methods become rows of the table of each revision that has it, its handlers stand beside those of the
protocol's own methods, its wrappers are composed around these. So a call that no extension touches takes the way that
it would take without any.

An extension exists where both sides can declare it, since 2026-07-28, unless it says in which revisions it does.

Specification: basic/versioning, "Extension Negotiation".
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Literal, Protocol, TypeGuard, cast

from msgspec import Struct, field
from msgspec.structs import replace

from ..logs import get_logger
from ..protocol import names
from ..protocol.call import Call, Peer
from ..protocol.errors import InvalidParams, LocalProtocolError, MissingCapability
from ..protocol.listening import MAX_RESOURCES, Change, ChangeType
from ..protocol.meta_keys import is_extension_identifier
from ..protocol.revisions import PROFILES, Method, Profile
from ..protocol.types import (
    ClientCapabilities,
    LogLevel,
    Params,
    RequestId,
    Result,
    ServerCapabilities,
    Tool,
)
from ..security.principal import Principal
from ..stores.contracts import Store
from .channel import Channel
from .client_extension import Announce, CallStarter, ExtensionQuestion, Prepare, Resolving, ResultType
from .dispatch import Encoded, Handler, Middleware, around

__all__ = [
    "Extension",
    "ExtensionMethod",
    "ExtensionNotice",
    "NO_EXTENSIONS",
    "Extensions",
    "InvalidExtension",
    "Resolving",
    "ResultType",
    "ServedTool",
    "Serving",
    "TaskOptions",
    "TaskSupport",
    "demanding",
]

log = get_logger("dovetail")

MAX_HEARD: Final = 256
"""Notifications whose handlers may be waiting for something; further ones are dropped, and the log says so."""


class InvalidExtension(LocalProtocolError, ValueError):
    """An extension says something that can't be, or that does not go with another one; the text says what."""


TaskSupport = Literal["forbidden", "optional", "required"]
_HOUR: Final = 3600.0


class TaskOptions(Struct, frozen=True, kw_only=True):
    """How a tool may be run as a task. Times are in seconds.

    ``support``: "optional" (clients that know tasks get one, others wait for the answer) or "required" (others are
    refused). ``ttl``: how long a task is kept from its beginning on, its result with it (an hour); a client may ask for
    less. ``poll``: how often clients are advised to ask how far it is (5). ``retries``: how often it is run again after
    an error of the server, ``backoff`` after the first and twice as long after each further one (1): only for work that
    may be repeated, all that is no step. ``concurrency``: how many of this tool all workers together run at a time
    (None: as many as they have room for). ``immediate``: what a model may be told at once in place of the answer
    (2025-11-25). Raises ValueError for what can't be.
    Specification: 2025-11-25, basic/utilities/tasks; the extension io.modelcontextprotocol/tasks.
    """

    support: TaskSupport = "optional"
    ttl: float = _HOUR
    poll: float = 5.0
    retries: int = 0
    backoff: float = 1.0
    concurrency: int | None = None
    immediate: str | None = None

    def __post_init__(self) -> None:
        if self.support not in ("forbidden", "optional", "required"):
            write = ': write task="optional"' if self.support is True else ""
            raise ValueError(
                f'task= is "forbidden", "optional" or "required", not {self.support!r:.60}{write}'
            )
        if not (self.ttl > 0 and self.poll > 0 and self.backoff >= 0 and self.retries >= 0):
            raise ValueError("ttl and poll of a task are above 0 seconds, backoff and retries at least 0")
        if self.concurrency is not None and self.concurrency < 1:
            raise ValueError("concurrency of a task is at least 1, or None")


class ServedTool(Struct, frozen=True, kw_only=True):
    """A tool that a server offers, as clients see it. ``task``: how it may be run as a task, None if it may not.
    ``asks_first``: it asks something before its body begins.
    """

    tool: Tool
    task: TaskOptions | None = None
    asks_first: bool = False


class Serving(Protocol):
    """What a server offers to the lifespan of an extension, or of a middleware. Those of one server are equal."""

    @property
    def name(self) -> str:
        """The server's name: what stands apart in a store from what other servers keep there."""
        ...

    @property
    def store(self) -> Store | None:
        """What outlives a request; None where the server has nothing but its memory."""
        ...

    @property
    def tools(self) -> Sequence[ServedTool]:
        """What it offers now, to whomever."""
        ...

    def find_tool(self, name: str, channel: Channel | None = None) -> ServedTool | None:
        """The tool of that name, its own or one that is mounted, as far as that is known without waiting; with the
        ``channel`` of a call, if its caller may call it. Raises `InsufficientScope` where the caller lacks scopes, as
        the call would.
        """
        ...

    def publish(self, change: Change) -> None:
        """Tell all who listen of a change. Never waits; may be called from any task or thread."""
        ...

    def request(
        self,
        method: str,
        params: bytes,
        *,
        id: RequestId,
        revision: str,
        peer: Peer,
        log_level: LogLevel | None = None,
    ) -> Call:
        """A call of one's own, of what was kept of one that a client made. Raises `InvalidParams`, and KeyError for a
        revision or a method that is not there.
        """
        ...

    def call(self, call: Call, channel: Channel) -> Awaitable[Result | Encoded]:
        """Answer a call as if it had come from a client, through all middleware. Raises what the handler raises."""
        ...


class ExtensionMethod(Struct, frozen=True, kw_only=True):
    """A request that clients may send. ``name`` on the wire.

    ``handler`` answers it at servers, and is a function like those of `App.method`; ``answer`` does so in its stead,
    and is given the call as it is. ``declared``: only clients that declared the extension may send it, where anybody
    can; others are answered with -32021. ``subject``: the member of ``params`` that the name header repeats over HTTP.
    ``repeatable``: it changes nothing, or the same thing however often it arrives. ``revisions``: those that have it
    (default: those of the extension).
    """

    name: str
    handler: Callable[..., Any] | None = None
    answer: Handler | None = None
    declared: bool = True
    subject: str = ""
    repeatable: bool = False
    revisions: Collection[str] | None = None


class ExtensionNotice(Struct, frozen=True, kw_only=True):
    """A notification. ``sender``: the side that sends it. ``handler`` hears of it at the other side, given its
    parameters as plain values: a function or an ``async def``, whose exceptions are logged.

    Since 2026-07-28 no notification of a client's travels over HTTP (basic/transports/streamable-http).
    """

    name: str
    sender: Literal["client", "server"]
    handler: Callable[[dict[str, Any]], Any]


class Extension(Struct, frozen=True, kw_only=True):
    """An addition to the protocol: ``App(extensions=[...])``, ``Client(extensions=[...])``.

    ``identifier``: a prefix and a name, ``com.example/counting``. ``settings``: what is declared under it.
    ``revisions``: those in which it exists (default: all in which extensions can be declared). ``wrappers``: by
    method, what stands between the app's middleware and the handler of the protocol's own. ``around_tool``: asked once
    for each tool, what is to stand around it, inside of everything that is checked before a tool is called; None for
    nothing. ``required``: an app answers requests of clients that could have declared it, and did not, with -32021, all
    but ``server/discover``, which says what it needs. ``capabilities``: what servers announce besides, by members of
    ``ServerCapabilities``, to whoever calls; ``client_capabilities``: what clients do. ``handshake``: clients declare
    it in ``initialize``, too, which has no place for extensions and leaves room for what it does not know: as the
    specification of MCP Apps has it (default: they don't). ``calls``: by method, what is
    asked how a client is to make a call. ``questions``: requests of servers that are answered at clients.
    ``starter``: what starts tool calls that are waited for later.
    ``lifespan``: entered before the app's and left after it. ``ending``: awaited when the server ends, before the app's
    lifespan is left, given the seconds that there are for it: what began has to come to its end in them.
    ``may_listen``: whether a caller may hear of a thing by that name, given both, at once or awaited (default:
    everybody may; make names that nobody guesses). ``may_tell``: whether a client that declared that with its
    subscription may be told of a change of this extension's (default: of each that it listens to). Raises
    `InvalidExtension`.
    Specification: basic/versioning, "Extension Negotiation".
    """

    identifier: str
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    revisions: Collection[str] | None = None
    methods: Sequence[ExtensionMethod] = ()
    notices: Sequence[ExtensionNotice] = ()
    results: Sequence[ResultType] = ()
    changes: Sequence[ChangeType] = ()
    wrappers: Mapping[str, Middleware] = field(default_factory=dict[str, Middleware])
    around_tool: Callable[[ServedTool], Middleware | None] | None = None
    required: bool = False
    capabilities: Callable[[Channel], Mapping[str, Any]] | None = None
    client_capabilities: Announce | None = None
    handshake: bool = False
    calls: Mapping[str, Prepare] = field(default_factory=dict[str, Prepare])
    questions: Sequence[ExtensionQuestion] = ()
    starter: CallStarter | None = None
    lifespan: Callable[[Serving], AbstractAsyncContextManager[Any]] | None = None
    ending: Callable[[float], Awaitable[None]] | None = None
    may_listen: Callable[[Principal, str], bool | Awaitable[bool]] | None = None
    may_tell: Callable[[ClientCapabilities, Change], bool] | None = None

    def __post_init__(self) -> None:
        if not is_extension_identifier(self.identifier):
            raise InvalidExtension(
                f"the extension identifier {self.identifier!r} is not allowed: it needs a prefix, as in"
                " 'com.example/name'"
            )
        named = {
            *(self.revisions or ()),
            *(name for each in (*self.methods, *self.questions) for name in each.revisions or ()),
        }
        if unknown := sorted(named - set(PROFILES)):
            raise InvalidExtension(f"{self.identifier} names {unknown[0]!r}, which is no revision")
        for name in (*self.wrappers, *self.calls, *(each.method for each in self.results)):
            if name not in PROFILES.methods:
                raise InvalidExtension(
                    f"{self.identifier} adds to {name!r}, which is no method of the protocol"
                )

    def exists_in(self, profile: Profile) -> bool:
        """Whether the extension exists in a revision."""
        if self.revisions is None:
            return profile.declares_extensions
        return profile.revision in self.revisions

    def declared_by(self, call: Call) -> bool:
        """Whether the client that calls declared the extension."""
        return self.identifier in (call.peer.capabilities.extensions or {})

    def demand(self, call: Call) -> None:
        """See that the client that calls declared the extension. Raises `MissingCapability` (-32021)."""
        if not self.declared_by(call):
            raise MissingCapability(
                f"{call.method} needs a client that declared the extension {self.identifier}",
                data={"requiredCapabilities": {"extensions": {self.identifier: {}}}},
            )


class Extensions:
    """The extensions of one app or client, held against the protocol and each other. Raises `InvalidExtension`.

    ``declared``: what is announced of them. ``profiles``: the revisions with their methods. ``changes``: kinds of
    change, each with the one that brings it. ``has_results``: whether there is any further kind of result.
    ``run_tasks``: whether any of them can run a tool as a task.
    """

    def __init__(self, given: Iterable[Extension] | Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self._all: Final = tuple(_extensions(given))
        self.run_tasks: Final = any(each.around_tool is not None for each in self._all)
        self.declared: Final[dict[str, dict[str, Any]]] = {}
        self.changes: Final[dict[ChangeType, Extension]] = {}
        self.profiles = PROFILES
        self._notices: Final[dict[tuple[str, str], Callable[[dict[str, Any]], Any]]] = {}
        self._results: Final[dict[tuple[str, str], ResultType]] = {}
        self._calls: Final[dict[tuple[str, str], Prepare]] = {}
        self._questions: Final[dict[tuple[str, str], ExtensionQuestion]] = {}
        self._hearing: Final[set[asyncio.Task[None]]] = set()
        for each in self._all:
            self._add(each)
        #: The methods whose calls a client may make, or read the answers of, in further ways.
        self.extended: Final = frozenset(
            [*(method for _, method in self._calls), *(method for method, _ in self._results)]
        )

    def __iter__(self) -> Iterator[Extension]:
        return iter(self._all)

    def _add(self, extension: Extension) -> None:
        name = extension.identifier
        if name in self.declared:
            raise InvalidExtension(f"the extension {name} is given twice")
        self.declared[name] = dict(extension.settings)
        for method in extension.methods:
            if method.name in self.profiles.methods:
                raise InvalidExtension(f"{name} brings the method {method.name!r}, which exists already")
            row = Method(
                method.name,
                Params,
                Result,
                subject=method.subject,
                repeatable=method.repeatable,
                extension=name if method.declared else "",
            )
            revisions = method.revisions if method.revisions is not None else extension.revisions
            if revisions is None:
                revisions = [each.revision for each in PROFILES.values() if each.declares_extensions]
            self.profiles = self.profiles.extended(client_requests=[row], revisions=revisions)
        for notice in extension.notices:
            if any(notice.name in (*each.client_notices, *each.server_notices) for each in PROFILES.values()):
                raise InvalidExtension(
                    f"{name} brings {notice.name!r}, which is a notification of the protocol"
                )
            _once(self._notices, (notice.sender, notice.name), notice.handler, name, "the notification")
        for result in extension.results:
            _once(self._results, (result.method, result.name), result, name, "the result")
        for asked, prepare in extension.calls.items():
            _once(self._calls, ("", asked), prepare, name, "a way to make the call")
        for question in extension.questions:
            _once(self._questions, ("", question.name), question, name, "an answer to")
            if question.name not in _ASKED:
                row = Method(question.name, Params, Result)
                self.profiles = self.profiles.extended(server_requests=[row], revisions=question.revisions)
        kinds = {kind for each in self.changes for kind in (each.kind, each.filter, each.notification)}
        for change in extension.changes:
            if (
                not kinds.isdisjoint((change.kind, change.filter, change.notification))
                or change.kind in _OWN_KINDS
            ):
                raise InvalidExtension(
                    f"{name} brings the kind of change {change.kind!r}, which exists already"
                )
            self.changes[change] = extension

    # At a server

    def around(self, method: str, handler: Handler) -> Handler:
        """The handler of a method, and what extensions wrap around it: the first is outermost."""
        for each in reversed(self._all):
            if method in each.wrappers:
                handler = around(each.wrappers[method], handler)
        return handler

    def around_tool(self, served: ServedTool, handler: Handler) -> Handler:
        """What calls a tool, and what extensions wrap around it: the first is outermost."""
        for each in reversed(self._all):
            middleware = None if each.around_tool is None else each.around_tool(served)
            if middleware is not None:
                handler = around(middleware, handler)
        return handler

    def offered(self, capabilities: ServerCapabilities, channel: Channel) -> ServerCapabilities:
        """What a server can do, with what extensions add for whoever calls."""
        for each in self._all:
            if each.capabilities is not None:
                capabilities = replace(capabilities, **each.capabilities(channel))
        return capabilities

    def guarded(self, handlers: Mapping[str, Handler]) -> dict[str, Handler]:
        """The handlers of all methods, behind what is required of clients."""
        guarded = dict(handlers)
        for each in self._all:
            if each.required:
                guarded.update(
                    (name, demanding(each, guarded[name])) for name in guarded if name != names.DISCOVER
                )
        return guarded

    async def wanted(self, call: Call, principal: Principal) -> dict[ChangeType, list[str]] | None:
        """What a ``subscriptions/listen`` wants to hear of that extensions bring, as far as the caller may.

        Raises `MissingCapability` where that was not declared, `InvalidParams` for what is no list of texts.
        """
        if not self.changes:
            return None
        listed: dict[str, Any] = call.members.get("notifications") or {}
        found: dict[ChangeType, list[str]] = {}
        for change, extension in self.changes.items():
            subjects = listed.get(change.filter)
            if subjects is None or not extension.exists_in(call.profile):
                continue
            extension.demand(call)
            if not _are_texts(subjects) or len(subjects) > MAX_RESOURCES:
                raise InvalidParams(
                    f"{change.filter} of a subscription is a list of at most {MAX_RESOURCES} texts"
                )
            may = extension.may_listen
            found[change] = (
                subjects
                if may is None
                else [each for each in subjects if await _allowed(may(principal, each))]
            )
        return found

    def telling(
        self, wanted: Mapping[ChangeType, list[str]] | None, capabilities: ClientCapabilities
    ) -> Callable[[Change], bool] | None:
        """What of these changes a client may be told of that declared this; None for all."""
        judges = {
            each.kind: judge for each in wanted or () if (judge := self.changes[each].may_tell) is not None
        }
        if not judges:
            return None
        return lambda change: change.kind not in judges or judges[change.kind](capabilities, change)

    # At a client

    def announced(self, capabilities: ClientCapabilities) -> ClientCapabilities:
        """What a client can do, with what extensions add."""
        for each in self._all:
            if each.client_capabilities is not None:
                capabilities = replace(capabilities, **each.client_capabilities(capabilities))
        return capabilities

    def in_handshake(self, capabilities: ClientCapabilities) -> ClientCapabilities:
        """What a client says in ``initialize`` that it can do: with the extensions that are declared there, too."""
        declared = {each.identifier: dict(each.settings) for each in self._all if each.handshake}
        if not declared:
            return capabilities
        return replace(capabilities, extra={**(capabilities.extra or {}), "extensions": declared})

    def prepares(self, method: str) -> Prepare | None:
        """Who is asked how such a call is to be made; None for nobody."""
        return self._calls.get(("", method))

    def question(self, method: str, revision: str) -> ExtensionQuestion | None:
        """Who answers such a request of a server's, or stands around the answer; None for nobody."""
        found = self._questions.get(("", method))
        return None if found is None or revision not in found.revisions else found

    def is_misplaced(self, method: str, kind: str) -> bool:
        """Whether an extension brings results of this type, and none of them for this method of the protocol."""
        return method in PROFILES.methods and (
            (method, kind) not in self._results and any(kind == each for _, each in self._results)
        )

    def result(self, method: str, kind: str) -> ResultType | None:
        """Who resolves such a result; None for one that no extension brings."""
        return self._results.get((method, kind))

    def change(self, notification: str, params: object) -> Change | None:
        """The change that a notification tells of, if it is of one of these."""
        for each in self.changes:
            if each.notification == notification:
                return each.read(params)
        return None

    # At both

    @property
    def hears(self) -> bool:
        """Whether there is a handler for any notification."""
        return bool(self._notices)

    def hear(self, sender: Literal["client", "server"], notification: str, params: object) -> bool:
        """Give a notification to its handler. False where there is none. To be called in the event loop."""
        handler = self._notices.get((sender, notification))
        if handler is None:
            return False
        members: dict[str, Any] = params if isinstance(params, dict) else {}  # pyright: ignore[reportUnknownVariableType] - decoded JSON
        if len(self._hearing) >= MAX_HEARD:
            log.warning(
                "%s was dropped: %d notifications before it are not dealt with", notification, MAX_HEARD
            )
            return True
        try:
            outcome = handler(members)
        except Exception:
            log.exception("the handler of %s failed", notification)
            return True
        if inspect.isawaitable(outcome):
            task = asyncio.create_task(_heard(outcome, notification))
            self._hearing.add(task)
            task.add_done_callback(self._hearing.discard)
        return True


_ASKED: Final = frozenset(name for each in PROFILES.values() for name in each.server_requests)
_OWN_KINDS: Final = frozenset({"tools", "prompts", "resources", "resource"})


def demanding(extension: Extension, handler: Handler) -> Handler:
    """A handler for clients that declared an extension; -32021 for others that could have. In revisions in which nobody
    can declare one, it is for all.
    """

    def answer(call: Call, channel: Channel) -> Awaitable[Result | Encoded]:
        if call.profile.declares_extensions:
            extension.demand(call)
        return handler(call, channel)

    return answer


def _extensions(given: Iterable[Extension] | Mapping[str, Mapping[str, Any]] | None) -> Iterator[Extension]:
    """Extensions by whatever way they were given: a mapping announces identifiers and their settings alone."""
    if isinstance(given, Mapping):
        for identifier, settings in cast("Mapping[str, Mapping[str, Any]]", given).items():
            yield Extension(identifier=identifier, settings=settings)
        return
    for each in given or ():
        if not isinstance(each, Extension):  # pyright: ignore[reportUnnecessaryIsInstance] - authors' code is not always checked
            raise InvalidExtension(
                f"extensions are `Extension` values, or identifiers with settings, not {each!r:.100}"
            )
        yield each


def _once(table: dict[Any, Any], key: tuple[str, str], value: Any, extension: str, what: str) -> None:
    if key in table:
        raise InvalidExtension(f"{extension} brings {what} {key[1]!r}, which exists already")
    table[key] = value


def _are_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(each, str) for each in cast("list[object]", value))


async def _allowed(said: bool | Awaitable[bool]) -> bool:
    return said if isinstance(said, bool) else await said


async def _heard(outcome: Awaitable[Any], notification: str) -> None:
    try:
        await outcome
    except Exception:
        log.exception("the handler of %s failed", notification)


NO_EXTENSIONS: Final = Extensions()
