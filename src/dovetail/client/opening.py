"""Opening a connection: find out the era, then open it as that era wants.

The decisions are those of `protocol.opening`; this module carries them out. First a modern request
(``server/discover``); what comes of it says whether to go on statelessly, to try again with a revision that the
server named, or to shake hands the old way, over HTTP perhaps on the transport of 2024-11-05. Where only revisions of
one era may be spoken, the other is never tried, and a server of that other era is refused with what is known of it.

Three decisions of our own. A process that exits when it meets a request it does not know is started once more and
greeted the old way. A server that stayed silent, was then greeted the old way and refused in modern words is asked
once more: it was only slow to start. And a server that knows neither ``server/discover`` nor ``initialize``, and says
so in modern words, is taken for one of the stateless era that does not describe itself.
Specification: basic/versioning "Backward Compatibility", basic/lifecycle "Initialization" (2025-11-25),
server/discover.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, cast

from ..protocol import codec, names
from ..protocol.envelope import Kind
from ..protocol.errors import (
    METHOD_NOT_FOUND,
    UNSUPPORTED_VERSION,
    ConnectionLost,
    DovetailError,
    FeatureUnavailable,
    HTTPStatusError,
    LoginRequired,
    RemoteProtocolError,
    RequestTimeout,
    RPCError,
    SessionEnded,
    UnsupportedVersion,
)
from ..protocol.opening import (
    MODERN_CODES,
    EraFinding,
    Verdict,
    common,
    from_error,
    from_silence,
    from_status,
    may_be_http_sse,
    supported_in,
)
from ..protocol.types import (
    DiscoverParams,
    DiscoverResult,
    ErrorObject,
    Implementation,
    InitializedNotice,
    InitializeParams,
    InitializeResult,
    PingParams,
    SetLevelParams,
)
from ..transports.client_transport import ReceivedResponse, Transport
from . import eras
from .link import Link, RequestSettings, error_of

IDS_IN_A_TURN: Final = 1 << 32
"""Request ids of each process that takes a session up: all of them fit into the whole numbers that JSON has everywhere.
"""
MAX_DESCRIPTION: Final = 4 * 1024 * 1024
"""Bytes that a server may say of itself: they are kept as long as the connection."""
Renew = Callable[[], Transport] | None


class Opener:
    """Opens one link.

    ``key`` names the target in `eras`; ``renew`` makes another transport to it, if one can be made. ``session``: the
    `StoredSession` in which new sessions are kept; ``auth``: the credentials that they are opened with.
    """

    def __init__(
        self, link: Link, key: str | None, renew: Renew = None, *, session: Any = None, auth: Any = None
    ) -> None:
        self._link = link
        self._key = key
        self._renew = renew
        self._session = session
        self._auth = auth
        self._options = link.options

    async def open(self, *, take_up: bool = False) -> None:
        """Connect and agree. Raises `TransportError`, `RequestTimeout`, `FeatureUnavailable`, `RPCError`.

        ``take_up``: go on in the session that was kept, if there is one and the server still has it.
        """
        await self._link.connect(self._options.max_timeout)
        options = self._options
        if take_up and self._session is not None and options.stateful and await self._taken_up():
            return
        known = eras.recall(self._key) if options.stateful else None
        if not options.stateless:
            await self._initialize(None)
        elif known != "stateful" or not await self._initialized_as_before():
            await self._probe()

    async def again(self) -> None:
        """The server lost our session: shake hands anew on the same transport, and offer the newest revision again: it
        may be another server by now.

        Until that has worked the link is ``expired``. Raises as `open` does.
        """
        link = self._link
        link.opened, link.greeted, link.expired = False, False, True
        before = link.session.profile
        try:
            await self._initialize(None)
        except BaseException:
            link.session.profile = before
            raise
        link.expired = False

    async def _taken_up(self) -> bool:
        """Whether we are in the session that was kept. Raises what says nothing about it."""
        link, options = self._link, self._options
        transport: Any = link.transport
        saved = await self._session.take(link, self._auth)
        if saved is None:
            return False
        link.skip_ids(saved.turn * IDS_IN_A_TURN)
        try:
            server = link.read(names.INITIALIZE, saved.server, InitializeResult)
            link.session.opened(server, (saved.revision,))
            link.stateless, link.opened = False, True
            transport.resume_session(saved.session, saved.revision, saved.position)
            settings = RequestSettings(timeout=options.timeout, maximum=options.max_timeout)
            await link.ask(names.PING, PingParams(), settings)
        except (SessionEnded, RPCError, HTTPStatusError, FeatureUnavailable, RemoteProtocolError) as problem:
            link.stateless, link.opened = True, False
            transport.resume_session("", "", "")
            status = problem.status if isinstance(problem, HTTPStatusError) else None
            if status is not None and from_status(status).verdict is not Verdict.STATEFUL:
                raise  # of the caller, or of the moment
            await self._session.discard()
            if options.automatic:
                eras.remember(self._key, "stateful")  # as it was: it is tried first
            return False
        except BaseException:
            link.opened = False
            raise
        link.greeted = True
        link.server_info = server.server_info
        self._name(server.server_info)
        await self._begin_session(server)
        return True

    async def _initialized_as_before(self) -> bool:
        """Greet a server that was of the stateful era; whether it is still."""
        try:
            await self._initialize(None)
        except LoginRequired:
            raise  # says nothing about the era; whoever had to log in is not asked a second time
        except (RPCError, HTTPStatusError, FeatureUnavailable) as refusal:
            status = refusal.status if isinstance(refusal, HTTPStatusError) else None
            if status is not None and from_status(status).verdict is not Verdict.STATEFUL:
                raise  # of the caller, or of the moment
            eras.forget(self._key)
            return False
        return True

    # The stateless era

    async def _probe(self) -> None:
        link = self._link
        link.stateless = True
        silent = False
        tried: set[str] = set()  # one that was refused may be named by the refusal: once
        link.exchange.speak(self._options.stateless[-1])
        while True:
            outcome = await self._probe_once()
            if isinstance(outcome, DiscoverResult):
                if not self._accept(outcome):
                    await self._fall_back(outcome.supported_versions)
                return
            finding, error = outcome
            if finding.verdict is Verdict.RETRY:
                chosen = common(self._options.stateless, finding.revisions)
                if chosen is None or chosen in tried:
                    await self._fall_back(finding.revisions, error)
                    return
                tried.add(chosen)
                link.exchange.speak(chosen)
                continue
            if finding.verdict is not Verdict.STATEFUL:
                raise error
            if not self._options.stateful:
                raise self._of_the_other_era(error)
            slow = isinstance(error, RequestTimeout) and not silent
            silent = True
            try:
                await self._initialize(None)
                return
            except RPCError as refusal:
                if self._nameless(error, refusal):
                    self._settle(None)
                    return
                if not slow or refusal.code not in MODERN_CODES | {METHOD_NOT_FOUND}:
                    raise
                link.stateless = True

    async def _probe_once(self) -> DiscoverResult | tuple[EraFinding, DovetailError]:
        link, options = self._link, self._options
        patience: float | None = options.probe_timeout
        if link.transport.http or not options.stateful or eras.recall(self._key) == "stateless":
            # Here silence does not mean the other era: whoever is silent is slow.
            patience = options.timeout and max(options.probe_timeout, options.timeout)
        settings = RequestSettings(timeout=patience, maximum=options.max_timeout)
        try:
            reply = await link.ask_reply(names.DISCOVER, DiscoverParams(), settings)
        except RequestTimeout as silence:
            return from_silence(http=link.transport.http), silence
        except HTTPStatusError as problem:
            return from_status(problem.status), problem
        except RemoteProtocolError as problem:
            return EraFinding(Verdict.STATEFUL), problem
        except ConnectionLost as loss:
            if link.transport.http or self._renew is None or not options.stateful:
                raise
            await link.replace(self._renew(), options.max_timeout)
            return EraFinding(Verdict.STATEFUL), loss
        return self._judge(reply)

    def _judge(self, reply: ReceivedResponse) -> DiscoverResult | tuple[EraFinding, DovetailError]:
        error = self._read(DiscoverResult, reply)
        if isinstance(error, DiscoverResult):
            return error
        if isinstance(error, RPCError):
            told = ErrorObject(code=error.code, message=error.message, data=error.data)
            return from_error(told, status=reply.status), error
        return EraFinding(Verdict.STATEFUL), error

    def _accept(self, result: DiscoverResult) -> bool:
        revision = common(self._options.stateless, result.supported_versions)
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
        eras.remember(self._key, "stateless")

    async def _fall_back(self, theirs: Sequence[str], error: DovetailError | None = None) -> None:
        revision = common(self._options.stateful, theirs)
        if revision is None:
            if error is not None and self._options.automatic:
                raise error
            raise self._refused(theirs) from error
        await self._initialize(revision)

    def _nameless(self, error: DovetailError, refusal: RPCError) -> bool:
        """Whether a server is of the stateless era all the same: it knows no ``server/discover``, and says of
        ``initialize`` what only servers of that era say. No revision that it speaks is named, or it is ours.
        """
        if getattr(error, "code", None) != METHOD_NOT_FOUND:
            return False
        if refusal.code == UNSUPPORTED_VERSION:
            theirs = supported_in(refusal.data)
            return not theirs or self._link.exchange.profile.revision in theirs
        return refusal.code in MODERN_CODES or (
            self._link.transport.http and refusal.code == METHOD_NOT_FOUND
        )

    # The stateful era

    async def _initialize(self, revision: str | None) -> None:
        link, options = self._link, self._options
        link.stateless = False
        params = link.session.initialize(revision or options.stateful[-1])
        settings = RequestSettings(timeout=options.timeout, maximum=options.max_timeout)
        try:
            reply = await link.ask_reply(names.INITIALIZE, params, settings)
        except RequestTimeout as silence:
            self._explain(silence)
            raise
        except HTTPStatusError as problem:
            reply = await self._over_http_sse(problem.status, problem, params)
        result = self._read(InitializeResult, reply)
        if isinstance(result, RPCError) and may_be_http_sse(reply.status, result.code):
            reply = await self._over_http_sse(reply.status, result, params)
            result = self._read(InitializeResult, reply)
        if not isinstance(result, InitializeResult):
            if not options.stateless and isinstance(result, UnsupportedVersion):
                raise self._refused(supported_in(result.data)) from result
            raise result
        link.greeted = True
        if result.protocol_version not in options.stateful:
            raise self._refused((result.protocol_version,))
        link.session.opened(result)
        link.opened = True
        link.server_info = result.server_info
        self._name(result.server_info)
        await link.notify(names.NOTIFY_INITIALIZED, InitializedNotice())
        if self._session is not None:
            await self._session.opened(link, result, self._auth)
        await self._begin_session(result)

    async def _begin_session(self, result: InitializeResult) -> None:
        """The session is open: listen, and say what it should know."""
        link, options = self._link, self._options
        settings = RequestSettings(timeout=options.timeout, maximum=options.max_timeout)
        await link.transport.listen()
        if options.automatic:  # who was told what to speak found out nothing about the server's era
            eras.remember(self._key, "stateful")
        if options.log_level is not None and result.capabilities.logging is not None:
            level = SetLevelParams(level=options.log_level)
            await link.ask(names.LOGGING_SET_LEVEL, level, settings)

    async def _over_http_sse(
        self, status: int | None, problem: DovetailError, params: InitializeParams
    ) -> ReceivedResponse:
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
        settings = RequestSettings(timeout=self._options.timeout, maximum=self._options.max_timeout)
        return await link.ask_reply(names.INITIALIZE, params, settings)

    # Refusals

    def _refused(self, theirs: Sequence[str]) -> FeatureUnavailable:
        """The error for a server that speaks nothing of what may be spoken here."""
        told = ", ".join(theirs)[:200] or "no revision that it names"
        return FeatureUnavailable(f"{self._link.describe()} speaks {told}; {self._bounds()}")

    def _of_the_other_era(self, error: DovetailError) -> DovetailError:
        """The error for a server of the stateful era where that may not be spoken."""
        if isinstance(error, RequestTimeout):
            self._explain(error)
            return error
        problem = FeatureUnavailable(
            f"{self._link.describe()} does not know {names.DISCOVER}, with which the stateless era opens"
            f" ({error}); {self._bounds()}"
        )
        problem.__cause__ = error
        return problem

    def _explain(self, silence: RequestTimeout) -> None:
        """Add what the transport knows of why a server did not answer."""
        silence_of: Any = getattr(self._link.transport, "silence", None)  # where a process was started
        if silence_of is not None and (why := silence_of()):
            silence.args = (f"{silence.args[0]}: {why}",)

    def _bounds(self) -> str:
        if self._options.automatic:
            return f"this client speaks {', '.join(self._options.offered)}"
        return f"this client was told to speak only {' or '.join(self._options.offered)} (revision=)"

    def _name(self, info: Implementation | None) -> None:
        self._link.name(info)

    def _read(self, kind: Any, reply: ReceivedResponse) -> Any:
        """The result in a reply, or the error: its own, or one that says why the result is none. Raises
        `RemoteProtocolError` for one that is too large.
        """
        if reply.message.kind is Kind.ERROR:
            return error_of(reply)
        method = names.INITIALIZE if kind is InitializeResult else names.DISCOVER
        if len(reply.message.body) > MAX_DESCRIPTION:
            raise RemoteProtocolError(
                f"what the server says of itself ({method}) has more than {MAX_DESCRIPTION} bytes"
            )
        try:
            return self._link.read(method, reply.message.body, kind)
        except RemoteProtocolError as problem:
            return problem


def _info_in(result: DiscoverResult) -> Implementation | None:
    found: Any = (result.meta or {}).get(names.META_SERVER_INFO)
    if not isinstance(found, dict):
        return None
    try:
        return codec.reader(Implementation).keep(codec.encode(found))
    except codec.DECODE_ERRORS:
        return None
