"""The connections of a proxy to its upstream: which caller has which, how many there are, and for how long.

Theory of operation. What belongs to a client in the protocol belongs to a connection: state, log level, the answers to
what is asked. So a stateful upstream gets a connection for each session of callers, and for callers without sessions
(those of the stateless era) one for each pipe, which is one caller's, or for each principal; while a call of a caller
over HTTP may be asked something, it has a connection to itself, so that nobody else can be asked in its place. A
stateless upstream is told everything with each request, so all callers with the same capabilities share a connection.
Where the upstream gets credentials by principal, no two principals share anything.

A connection announces what its callers can do, and nothing else; what the upstream asks is passed to the call that it
came with. Connections that nobody used for a while are closed; of too many, the one that was unused longest goes. One
caller may keep a share of them busy (`shares`).

Specification: basic/lifecycle, basic/versioning.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Hashable, Mapping
from itertools import count
from typing import Any, Final, Literal

import msgspec
from msgspec import Raw, Struct

from ..client import Client, StateChange
from ..errors import DovetailError, InternalError
from ..extensions import Asked, Call, Change, Channel, Extension, ExtensionQuestion, Principal, Result
from ..logs import get_logger
from ..revisions import Profile
from ..server.questions import Elicit, Roots, Sample
from ..types import ClientCapabilities, MessageNotice, Reader, encode, reader
from .failures import unanswered
from .passing import Passing, current
from .questions import carried, plain_params
from .shares import ConnectionShares
from .upstream_tasks import METHODS

log = get_logger("dovetail.proxy")

Share = Literal["caller", "all"]
Credentials = Callable[[Principal], Mapping[str, Any] | Awaitable[Mapping[str, Any]]]
"""Options of the client for the connections of one principal: ``{"auth": ...}`` or ``{"headers": ...}``."""
_PAUSE: Final = 1.0
"""Seconds after a failure to connect in which no other attempt is made."""
NOTHING: Final = ClientCapabilities()
_NOTHING: Final = encode(NOTHING)
_MAIN: Final = ("", _NOTHING)
"""The connection of the proxy itself."""
_IDENTIFIER: Final = "io.dovetail/proxy"
_numbers: Final = count()


class WayOfResults(Struct, frozen=True):
    """How the results of a method pass from an upstream of a revision to callers of a profile: what reads them, whether
    they have hints for caches there, and whether they are ``carried`` in the bytes that they came in.
    """

    reader: Reader[Any]
    hinted: bool
    carried: bool


class Connection:
    """One connection to the upstream, and the calls that go over it. ``number``: no other has it. ``exclusive``: a call
    has it to itself. ``one_caller``: all calls are of one session of callers, or of one call. ``payer``: the caller in
    whose share it is, while it is used. ``result_head``: how results over it begin, up to their first member of
    interest, where they all begin alike. ``results``: how they pass, by method, the callers' profile and the
    upstream's revision.
    """

    def __init__(self, client_of: Callable[["Connection"], Client], now: float) -> None:
        self.number: Final = next(_numbers)
        self.calls: dict[int, Passing] = {}
        self.exclusive = False
        self.one_caller = False
        self.payer: Hashable | None = None
        self.uses = 0
        self.used = now
        self.level: str | None = None
        self.result_head = b""
        self.results: dict[tuple[str, Profile, str], WayOfResults] = {}
        self.client: Final = client_of(self)

    async def answer(self, call: Call, _asked: Asked) -> Result:
        """Pass what the upstream asks to the caller that it is for. Raises an `RPCError`."""
        passing = self._meant(any_of_them=self.one_caller)
        if passing is None:
            raise InternalError("nobody can tell whom this is to be asked: say it on the stream of the call")
        params = plain_params(call.raw)
        row = call.profile.server_requests[call.method]
        if not passing.call.profile.stateless and passing.park is None:
            profile = passing.call.profile
            params = Raw(profile.encode(carried(call.method, params, profile)))
        return reader(row.result).keep(await passing.ask(call.method, params))

    def log(self, notice: MessageNotice) -> None:
        """A log message: to the call that it came with, to nobody where that is not known."""
        passing = self._meant(any_of_them=False)
        if passing is not None:
            passing.log(notice)

    def _meant(self, *, any_of_them: bool) -> Passing | None:
        """The call that something belongs to: the one in whose context it came; else the only one, or ``any_of_them``
        where all are of one caller, whom one that is not parked reaches now.
        """
        passing = current.get()
        if passing is not None and id(passing) in self.calls:
            return passing
        if not any_of_them and len(self.calls) != 1:
            return None
        calls = self.calls.values()
        return next((each for each in calls if each.reaches_caller()), next(iter(calls), None))


class ConnectionUse:
    """A connection that a call uses. `release` it once."""

    def __init__(
        self, connection: Connection, passing: Passing | None, done: Callable[[Connection], None]
    ) -> None:
        self.connection = connection
        self._passing = passing
        self._done: Callable[[Connection], None] | None = done
        connection.uses += 1
        if passing is not None:
            connection.calls[id(passing)] = passing

    def release(self) -> None:
        """The call is over."""
        done, self._done = self._done, None
        if done is not None:
            self.connection.uses -= 1
            if self._passing is not None:
                self.connection.calls.pop(id(self._passing), None)
            done(self.connection)

    def __enter__(self) -> Connection:
        return self.connection

    def __exit__(self, *_: object) -> None:
        self.release()


class UpstreamConnections:
    """All connections of a proxy. ``target`` and ``options`` are those of `Client`; ``changed`` is told of changes
    (None: of any), ``opened`` of each connection before it is used.
    """

    def __init__(
        self,
        target: Any,
        options: Mapping[str, Any],
        *,
        credentials: Credentials | None,
        share: Share,
        limit: int,
        caller_share: int,
        idle: float,
        changed: Callable[[Connection, Change | None], None],
        opened: Callable[[Connection], Awaitable[None]],
    ) -> None:
        self.target: Final = target
        self._options = options
        self._credentials = credentials
        self._share = share
        self._limit = limit
        self._shares = ConnectionShares(limit, caller_share)
        self._idle = idle
        self._changed = changed
        self._opened = opened
        self._all: dict[Hashable, list[Connection]] = {}
        self._failed: dict[Hashable, tuple[float, DovetailError]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self.stateless: bool | None = None

    @property
    def many(self) -> int:
        """How many connections there are."""
        return sum(map(len, self._all.values()))

    def open_ones(self) -> list[Connection]:
        """Those that are open."""
        return [each for found in self._all.values() for each in found if each.client.state == "ready"]

    async def lease(self, call: Call, channel: Channel, passing: Passing | None = None) -> ConnectionUse:
        """The connection for a call, open; without ``passing`` one for a list.

        Raises what opening it raises, and `UpstreamFailed` where there are too many, or the caller has its share.
        """
        capabilities = asking_part(call.peer.capabilities)
        if self.stateless is None and self._credentials is None:
            await self.main()  # which finds out what the upstream speaks
        key, alone = self._key(channel, capabilities)
        there = self._all.get(key, ())
        if passing is None:  # a list: nothing is asked for it
            connection = there[0] if there else None
        else:
            connection = next((each for each in there if not (each.uses and (alone or each.exclusive))), None)
        payer = None
        if key != _MAIN and (connection is None or not connection.uses):
            payer = self._shares.take(channel)
        try:
            if connection is None:
                connection = await self._made(key, capabilities, channel.principal)
        except BaseException:
            if payer is not None:
                self._shares.give_back(payer)
            raise
        if payer is not None:
            connection.payer = payer
        if passing is not None:
            connection.exclusive = alone
            connection.one_caller = alone or "session" in key
        lease = ConnectionUse(connection, passing, self._released)
        try:
            if connection.client.state != "ready":
                await self._open(key, connection, passing)
        except BaseException:
            lease.release()
            raise
        return lease

    def shared(self, passing: Passing) -> ConnectionUse | None:
        """A use of the one connection that all calls share, without waiting; None where they do not all share one, or
        it is not open: then `lease` has one.
        """
        there = self._all.get(_MAIN) if self.stateless and self._credentials is None else None
        if there is None or there[0].client.state != "ready":
            return None
        return ConnectionUse(there[0], passing, self._released)

    async def main(self) -> Connection:
        """The connection of the proxy itself, open: callers that can't be asked anything and have no session may share
        it. Raises what opening it raises.
        """
        key = _MAIN
        found = self._all.get(key)
        connection = found[0] if found else self._make(key, NOTHING, {})
        if connection.client.state != "ready":
            await self._open(key, connection, None)
        connection.used = asyncio.get_running_loop().time()
        return connection

    def at_hand(self, call: Call, channel: Channel) -> Connection | None:
        """The connection for a list, if it is open."""
        if self.stateless is None:
            return None
        if self.stateless and self._credentials is None:
            there = self._all.get(_MAIN)
        else:
            there = self._all.get(self._key(channel, asking_part(call.peer.capabilities))[0])
        return there[0] if there and there[0].client.state == "ready" else None

    def _key(self, channel: Channel, capabilities: ClientCapabilities) -> tuple[tuple[Any, ...], bool]:
        """What the callers of a connection have in common; and whether one call needs it to itself."""
        owner = channel.principal.key if self._credentials is not None else ""
        if self.stateless:
            return (owner, _NOTHING), False  # each request says what its caller can do
        said = encode(capabilities)
        if self._share == "all":
            return (owner, said), False
        session = channel.session_id
        if session is not None:
            return (owner, said, "session", session), False
        alone = capabilities != NOTHING
        if (
            alone and channel.principal.is_anonymous and channel.caller_id is not None
        ):  # a pipe is one caller's
            return (owner, said, "session", channel.caller_id), False
        return (
            owner,
            said,
            "principal",
            channel.principal.key,
        ) if not channel.principal.is_anonymous or alone else (owner, said), alone

    async def _made(
        self, key: Hashable, capabilities: ClientCapabilities, principal: Principal
    ) -> Connection:
        options: Mapping[str, Any] = {}
        if self._credentials is not None:
            given = self._credentials(principal)
            options = await given if inspect.isawaitable(given) else given
        if self.many >= self._limit and not self._evict():
            raise unanswered(
                f"all {self._limit} connections to it are in use; try again later", retry_safe=True
            )
        return self._make(key, capabilities, options)

    def _make(
        self, key: Hashable, capabilities: ClientCapabilities, options: Mapping[str, Any]
    ) -> Connection:
        def client_of(connection: Connection) -> Client:
            given = dict(self._options)
            extensions = [*given.pop("extensions", ()), _extension(connection, capabilities)]
            on_change, on_state = given.pop("on_change", None), given.pop("on_state", None)

            def changed(change: Change) -> Any:
                self._changed(connection, change)
                return None if on_change is None else on_change(change)

            def stated(change: StateChange) -> Any:
                if change.state == "ready":  # anew, maybe: nobody knows what changed meanwhile
                    self._changed(connection, None)
                return None if on_state is None else on_state(change)

            own = {
                "extensions": extensions,
                "logging": connection.log,
                "on_change": changed,
                "on_state": stated,
                "cache": False,  # the proxy keeps results by who asked
            }
            whole: Any = {"restart": True, **given, **options, **own}
            return Client(self.target, **whole)

        connection = Connection(client_of, asyncio.get_running_loop().time())
        self._all.setdefault(key, []).append(connection)
        return connection

    async def _open(self, key: Hashable, connection: Connection, passing: Passing | None) -> None:
        loop = asyncio.get_running_loop()
        failed = self._failed.get(key)
        if failed is not None and loop.time() - failed[0] < _PAUSE:
            raise failed[1]
        token = current.set(passing)  # what is asked while it opens is asked for this call
        try:
            await connection.client.open()
            await self._opened(connection)
        except DovetailError as problem:
            problem.retry_safe = True  # nothing was sent of what it is opened for
            self._failed[key] = loop.time(), problem
            raise
        finally:
            current.reset(token)
        self._failed.pop(key, None)
        self.stateless = connection.client.era == "stateless"

    def _released(self, connection: Connection) -> None:
        connection.used = asyncio.get_running_loop().time()
        if not connection.uses:
            connection.exclusive = False
            if connection.payer is not None:
                self._shares.give_back(connection.payer)
                connection.payer = None

    def _evict(self) -> bool:
        """Close the connection that was unused longest. False where all are in use."""
        unused = [
            (each.used, key, each)
            for key, found in self._all.items()
            for each in found
            if not each.uses and key != _MAIN
        ]
        if not unused:
            return False
        _, key, connection = min(unused, key=lambda each: each[0])
        self._drop(key, connection)
        return True

    def _drop(self, key: Hashable, connection: Connection) -> None:
        found = self._all[key]
        found.remove(connection)
        if not found:
            del self._all[key]
            self._failed.pop(key, None)
        task = asyncio.create_task(connection.client.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def tidy(self) -> None:
        """Close what nobody used for a while, again and again."""
        while True:
            await asyncio.sleep(self._idle / 4)
            limit = asyncio.get_running_loop().time() - self._idle
            for key, found in list(self._all.items()):
                for each in list(found):
                    if not each.uses and each.used < limit and key != _MAIN:
                        self._drop(key, each)

    async def close(self) -> None:
        """Close all of them."""
        for key, found in list(self._all.items()):
            for each in list(found):
                self._drop(key, each)
        if self._closing:
            await asyncio.gather(*self._closing, return_exceptions=True)


def announced(capabilities: ClientCapabilities) -> ClientCapabilities:
    """What of a caller's capabilities is announced to a stateless upstream, with each call: all but its extensions,
    whose results could not be passed on.
    """
    if capabilities.extensions is None and capabilities.tasks is None:
        return capabilities
    return msgspec.structs.replace(capabilities, extensions=None, tasks=None)


def asking_part(capabilities: ClientCapabilities) -> ClientCapabilities:
    """What of a caller's capabilities is announced to the upstream: what it may be asked."""
    if capabilities.roots is None and capabilities.sampling is None and capabilities.elicitation is None:
        return NOTHING
    return ClientCapabilities(
        roots=capabilities.roots and msgspec.structs.replace(capabilities.roots, list_changed=None),
        sampling=capabilities.sampling,
        elicitation=capabilities.elicitation,
    )


def _extension(connection: Connection, capabilities: ClientCapabilities) -> Extension:
    """What makes a client announce what callers can do, and pass on what it is asked."""
    announced = {
        "roots": capabilities.roots,
        "sampling": capabilities.sampling,
        "elicitation": capabilities.elicitation,
    }

    def announce(own: ClientCapabilities) -> Mapping[str, Any]:
        others = {name: each for name, each in (own.extensions or {}).items() if name != _IDENTIFIER}
        return {**announced, "extensions": others or None}

    return Extension(
        identifier=_IDENTIFIER,
        methods=METHODS,
        client_capabilities=announce,
        questions=[
            ExtensionQuestion(name=each.method, answer=connection.answer) for each in (Elicit, Sample, Roots)
        ],
    )


__all__ = [
    "NOTHING",
    "Connection",
    "ConnectionUse",
    "Credentials",
    "Share",
    "UpstreamConnections",
    "announced",
    "asking_part",
]
