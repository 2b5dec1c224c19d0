"""Opening a connection: find out the era, then open it as that era wants.

The decisions are those of `protocol.opening`; this module carries them out. First a modern request
(``server/discover``); what comes of it says whether to go on statelessly, to try again with a revision that the
server named, or to shake hands the old way, over HTTP perhaps on the transport of 2024-11-05. A pinned revision skips
the question.

Two decisions of our own. A process that exits when it meets a request it does not know is started once more and
greeted the old way. And a server that stayed silent, was then greeted the old way and refused in modern words is
asked once more: it was only slow to start.
Specification: basic/versioning "Backward Compatibility", basic/lifecycle "Initialization" (2025-11-25),
server/discover.
"""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from ..protocol import codec, names
from ..protocol.envelope import Kind
from ..protocol.errors import (
    METHOD_NOT_FOUND,
    ConnectionLost,
    DovetailError,
    FeatureUnavailable,
    HTTPStatusError,
    LoginRequired,
    RemoteProtocolError,
    RequestTimeout,
    RPCError,
)
from ..protocol.opening import (
    MODERN_CODES,
    Finding,
    Verdict,
    common,
    from_error,
    from_silence,
    from_status,
    may_be_http_sse,
)
from ..protocol.revisions import PROFILES, STATEFUL, STATELESS
from ..protocol.types import (
    DiscoverParams,
    DiscoverResult,
    ErrorObject,
    Implementation,
    InitializedNotice,
    InitializeResult,
    SetLevelParams,
)
from ..transports.client_seam import Reply, Transport
from . import eras
from .link import Link, Wish, error_of

Renew = Callable[[], Transport] | None


class Opener:
    """Opens one link.

    ``key`` names the target in `eras`; ``renew`` makes another transport to it, if one can be made.
    """

    def __init__(self, link: Link, key: str | None, renew: Renew = None) -> None:
        self._link = link
        self._key = key
        self._renew = renew
        self._options = link.options

    async def open(self) -> None:
        """Connect and agree. Raises `TransportError`, `RequestTimeout`, `FeatureUnavailable`, `RPCError`."""
        link = self._link
        await link.connect(self._options.max_timeout)
        if not self._options.automatic:
            pinned = self._options.revision
            if PROFILES[pinned].stateless:
                await self._discover_as(pinned)
            else:
                await self._initialize(pinned)
            return
        known = eras.recall(self._key)
        if known is not None and known.stateful:
            try:
                await self._initialize(None)
                return
            except LoginRequired:
                raise  # says nothing about the era; whoever had to log in is not asked a second time
            except (RPCError, HTTPStatusError, FeatureUnavailable):
                eras.forget(self._key)
        elif known is not None:
            discovered = known.fresh()
            if discovered is not None and self._accept(discovered):
                return
        await self._probe()

    async def again(self) -> None:
        """The server lost our session: shake hands anew on the same transport."""
        link = self._link
        link.opened = False
        await self._initialize(link.session.profile.revision)

    # The stateless era

    async def _discover_as(self, pinned: str) -> None:
        self._link.exchange.speak(pinned)
        result = await self._ask_discover(self._options.timeout)
        if isinstance(result, DovetailError):
            raise result
        if pinned not in result.supported_versions:
            raise FeatureUnavailable(
                f"{self._link.describe()} speaks {', '.join(result.supported_versions)[:200]}, not revision {pinned}"
            )
        self._settle(result)

    async def _probe(self) -> None:
        link = self._link
        link.stateless = True
        silent = False
        tried: set[str] = set()  # one that was refused may be named by the refusal: once
        link.exchange.speak(STATELESS[-1])
        while True:
            outcome = await self._probe_once()
            if isinstance(outcome, DiscoverResult):
                if not self._accept(outcome):
                    await self._fall_back(outcome.supported_versions)
                return
            finding, error = outcome
            if finding.verdict is Verdict.RETRY:
                chosen = common(STATELESS, finding.revisions)
                if chosen is None or chosen in tried:
                    await self._fall_back(finding.revisions, error)
                    return
                tried.add(chosen)
                link.exchange.speak(chosen)
                continue
            if finding.verdict is Verdict.STATELESS and getattr(error, "code", None) == METHOD_NOT_FOUND:
                self._settle(None)
                return
            if finding.verdict is not Verdict.STATEFUL:
                raise error
            slow = isinstance(error, RequestTimeout) and not silent
            silent = True
            try:
                await self._initialize(None)
                return
            except RPCError as refusal:
                if not slow or refusal.code not in MODERN_CODES | {METHOD_NOT_FOUND}:
                    raise
                link.stateless = True

    async def _probe_once(self) -> DiscoverResult | tuple[Finding, DovetailError]:
        link = self._link
        patience = self._options.probe_timeout
        if link.transport.http and self._options.timeout is not None:
            patience = max(patience, self._options.timeout)
        try:
            reply = await link.ask_reply(names.DISCOVER, DiscoverParams(), Wish(timeout=patience))
        except RequestTimeout as silence:
            return from_silence(http=link.transport.http), silence
        except HTTPStatusError as problem:
            return from_status(problem.status), problem
        except ConnectionLost as loss:
            if link.transport.http or self._renew is None:
                raise
            await link.replace(self._renew(), self._options.max_timeout)
            return Finding(Verdict.STATEFUL), loss
        return self._judge(reply)

    def _judge(self, reply: Reply) -> DiscoverResult | tuple[Finding, DovetailError]:
        error = _read(DiscoverResult, reply)
        if isinstance(error, DiscoverResult):
            return error
        if isinstance(error, RPCError):
            told = ErrorObject(code=error.code, message=error.message, data=error.data)
            return from_error(told, status=reply.status), error
        return Finding(Verdict.STATEFUL), error

    async def _ask_discover(self, seconds: float | None) -> DiscoverResult | DovetailError:
        reply = await self._link.ask_reply(names.DISCOVER, DiscoverParams(), Wish(timeout=seconds))
        return _read(DiscoverResult, reply)

    def _accept(self, result: DiscoverResult) -> bool:
        revision = self._link.exchange.choose(result.supported_versions)
        if revision is None:
            return False
        self._link.exchange.speak(revision)
        self._settle(result)
        return True

    def _settle(self, result: DiscoverResult | None) -> None:
        link = self._link
        link.stateless = True
        link.exchange.server = result
        link.opened = True
        if result is not None:
            link.server_info = _info_in(result)
            self._name(link.server_info)
        known = eras.recall(self._key)
        if known is None or result is None or known.discovered is not result:
            eras.remember(self._key, stateful=False, discovered=result)

    async def _fall_back(self, theirs: Any, error: DovetailError | None = None) -> None:
        revision = common(STATEFUL, tuple(theirs))
        if revision is None:
            raise error or FeatureUnavailable(
                f"{self._link.describe()} speaks {', '.join(theirs)[:200]}, none of which this client does"
            )
        await self._initialize(revision)

    # The stateful era

    async def _initialize(self, revision: str | None) -> None:
        link = self._link
        link.stateless = False
        params = link.session.initialize(revision)
        wish = Wish(timeout=self._options.timeout, maximum=self._options.max_timeout)
        try:
            reply = await link.ask_reply(names.INITIALIZE, params, wish)
        except HTTPStatusError as problem:
            reply = await self._over_http_sse(problem.status, problem, revision)
        result = _read(InitializeResult, reply)
        if isinstance(result, RPCError) and result.code not in MODERN_CODES and may_be_http_sse(reply.status):
            reply = await self._over_http_sse(reply.status, result, revision)
            result = _read(InitializeResult, reply)
        if not isinstance(result, InitializeResult):
            raise result
        supported = STATEFUL if self._options.automatic else (self._options.revision,)
        link.session.opened(result, supported)
        link.opened = True
        link.server_info = result.server_info
        self._name(result.server_info)
        await link.notify(names.NOTIFY_INITIALIZED, InitializedNotice())
        await link.transport.listen()
        if self._options.automatic:  # who was told what to speak found out nothing about the server's era
            eras.remember(self._key, stateful=True)
        if self._options.log_level is not None and result.capabilities.logging is not None:
            level = SetLevelParams(level=self._options.log_level)
            await link.ask(names.LOGGING_SET_LEVEL, level, wish)

    async def _over_http_sse(self, status: int | None, problem: DovetailError, revision: str | None) -> Reply:
        """The refusal may come of the transport of 2024-11-05. Raises ``problem`` if it does not."""
        link = self._link
        offer: Any = getattr(link.transport, "fall_back_to_sse", None)
        if offer is None or not may_be_http_sse(status):
            raise problem
        try:
            other: Any = cast("Callable[[], Transport | Awaitable[Transport]]", offer)()
            if hasattr(other, "__await__"):
                other = await other
            await link.replace(other, self._options.timeout)
        except DovetailError as second:
            if self._renew is not None:
                # The first transport is closed; whoever tries something else now needs one that works.
                await link.replace(self._renew(), self._options.timeout)
            raise problem from second
        wish = Wish(timeout=self._options.timeout, maximum=self._options.max_timeout)
        return await link.ask_reply(names.INITIALIZE, link.session.initialize(revision), wish)

    def _name(self, info: Implementation | None) -> None:
        place = self._link.describe()
        self._link.questions.server = f"{info.title or info.name} ({place})" if info is not None else place


def _read(kind: Any, reply: Reply) -> Any:
    """The result in a reply, or the error: its own, or one that says why the result is none."""
    if reply.message.kind is Kind.ERROR:
        return error_of(reply)
    try:
        return codec.reader(kind).keep(reply.message.body)
    except codec.DECODE_ERRORS as problem:
        return RemoteProtocolError(f"the server's {kind.__name__} is malformed: {problem}")


def _info_in(result: DiscoverResult) -> Implementation | None:
    found: Any = (result.meta or {}).get(names.META_SERVER_INFO)
    if not isinstance(found, dict):
        return None
    try:
        return codec.reader(Implementation).keep(codec.encode(found))
    except codec.DECODE_ERRORS:
        return None
