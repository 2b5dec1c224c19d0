"""What servers ask: one place that answers, for both eras.

In the stateful era a question is a request and every outcome is a response, errors included. In the stateless era it
is an entry of an input-required result; there is no error response then, so an error goes to the caller of the method
instead.
Specification: client/elicitation, client/sampling, client/roots; basic/patterns/mrtr.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, Literal, TypeVar

from msgspec import Raw

from ..logs import get_logger
from ..protocol import codec, names
from ..protocol.errors import (
    Declined,
    Dismissed,
    DovetailError,
    InternalError,
    InvalidParams,
    MethodNotFound,
    RPCError,
    UserRejected,
)
from ..protocol.revisions import Feature, Profile
from ..protocol.types import CreateMessageParams, ElicitParams, Params, Result
from .answers import CallInfo
from .elicitation import answer_elicitation, ask_visit
from .options import Options
from .roots import answer_roots
from .round_visits import RoundVisits
from .sampling import answer_sampling

log = get_logger("dovetail.client")
QUESTION_BURST: Final = 256
"""Questions that a server may ask at once, before `Client(question_rate)` holds it: as many as one call may ask."""
T = TypeVar("T")


class Questions:
    """Answers questions by the host's handlers.

    ``open`` counts those in progress: while any is, the server waits for us.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self.server = ""
        self.open = 0
        self._limiter: Any = None

    async def answer(
        self,
        method: str,
        params: Params,
        profile: Profile | None = None,
        call: CallInfo | None = None,
        visits: RoundVisits | None = None,
    ) -> Result:
        """The result, as ``profile`` can carry it. Raises an `RPCError`. ``call``: who asks, if that is known;
        ``visits``: those of the call, if it waits for them.

        What a handler raises otherwise is logged and told as an internal error.
        """
        return await self._contained(method, self._answer(method, params, profile, call, visits))

    async def visit(self, params: ElicitParams, call: CallInfo) -> bool | Literal["done"] | None:
        """Whether the person agreed to the visit that a call waits for; see `ask_visit`. Raises as `answer` does."""
        asking = ask_visit(params, self._options, self.server, call=call, call_waits=True)
        return await self._contained(names.ELICITATION_CREATE, asking)

    async def _contained(self, method: str, work: Coroutine[Any, Any, T]) -> T:
        self.open += 1
        try:
            return await work
        except asyncio.CancelledError:
            raise
        except RPCError:
            raise
        except (Declined, Dismissed) as refusal:
            raise UserRejected(str(refusal) or "the person refused") from None
        except DovetailError as problem:
            log.warning("%s could not be answered: %s", method, problem)
            raise InternalError(f"the client could not answer {method}") from problem
        except Exception as problem:  # whatever a host's handler raises stays here
            log.exception("the handler of %s failed", method)
            raise InternalError(f"the client could not answer {method}") from problem
        finally:
            self.open -= 1

    def _admit(self, method: str) -> None:
        """Raises `InternalError` where the server asks too often."""
        rate = self._options.question_rate
        if rate is None:
            return
        if self._limiter is None:
            from ..security.limits import RateLimiter  # whoever is asked nothing imports nothing

            self._limiter = RateLimiter(rate, QUESTION_BURST, max_keys=1)
        if wait := self._limiter.take(""):
            raise InternalError(
                f"{method} was shown to nobody: a server may ask {QUESTION_BURST} questions at once and then "
                f"{rate:g} per second (question_rate= of the client); ask again in {max(wait, 0.1):.1f} seconds"
            )

    async def answer_raw(
        self,
        method: str,
        params: Raw,
        profile: Profile,
        call: CallInfo | None = None,
        visits: RoundVisits | None = None,
    ) -> Result:
        """As `answer`, for params that are still bytes. Raises `MethodNotFound`, `InvalidParams`."""
        spec = profile.server_requests.get(method)
        if spec is None:
            raise MethodNotFound(f"there is no method {method!r}")
        try:
            typed = codec.reader(spec.params).keep(params if params else b"{}")
        except codec.DECODE_ERRORS as problem:
            raise InvalidParams(f"the parameters of {method} are invalid: {problem}") from None
        return await self.answer(method, typed, profile, call, visits)

    async def _answer(
        self,
        method: str,
        params: Params,
        profile: Profile | None,
        call: CallInfo | None,
        visits: RoundVisits | None,
    ) -> Result:
        if method == names.PING:
            return Result()
        self._admit(method)
        if isinstance(params, ElicitParams):
            lists = profile is None or profile.has(Feature.ELICITATION_ENUM_FORMS)
            return await answer_elicitation(
                params, self._options, self.server, lists=lists, call=call, visits=visits
            )
        if isinstance(params, CreateMessageParams):
            return await answer_sampling(params, self._options, call)
        if method == names.ROOTS_LIST:
            return await answer_roots(self._options, call)
        raise MethodNotFound(f"there is no method {method!r}")
