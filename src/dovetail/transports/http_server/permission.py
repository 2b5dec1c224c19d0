"""Whether whoever reads a stream may go on reading it.

Theory of operation. A stream outlives the request that opened it, and may outlive what that request showed. A
`Permission` ends at the time that the token says, where that is asked for, and before that when the token is judged
again, at each keep-alive of the stream, and refused: it was revoked, or grants less than it did. That it can't be
judged just now ends nothing, for an outage must not cut everybody off. A caller for whom nobody vouched has none of
this.

Specification: 2026-07-28 basic/authorization, "Token Handling"; "Security Best Practices", "Session Hijacking".
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from ...logs import get_logger
from ...security.authenticator import AuthenticationFailed, Authenticator, Credentials
from ...security.principal import Principal
from .head import Head

__all__ = ["Permission", "permission_of"]

log = get_logger("dovetail.http")

#: The statuses that say no. Any other says that it is not known.
_REFUSED: Final = (400, 401, 403)
_LONG: Final = 30 * 24 * 3600.0  # as long as a timer is set for


class Permission:
    """What a reader has, until it has ``ended``. ``judge_again`` gives the principal once more, as `Authenticator` has
    it.
    """

    __slots__ = ("_credentials", "_judge_again", "_on_end", "_principal", "_timer", "ended")

    def __init__(
        self,
        judge_again: Callable[[Credentials], Awaitable[Principal]],
        credentials: Credentials,
        principal: Principal,
    ) -> None:
        self._judge_again = judge_again
        self._credentials = credentials
        self._principal = principal
        self._on_end: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.ended = False

    def watch(self, on_end: Callable[[], None], *, until_expiry: bool = False) -> None:
        """Call ``on_end`` when it ends; ``until_expiry``: also when the time of the token is over."""
        self._on_end = on_end
        if until_expiry and self._principal.expires != math.inf:
            left = min(max(self._principal.expires - time.time(), 0.0), _LONG)
            self._timer = asyncio.get_running_loop().call_later(left, self._end)

    async def judge(self) -> None:
        """See whether what the caller showed is still good. Nothing is asked once its time is over: then the timer
        decides, or the call that was made in time goes on.
        """
        if self.ended or time.time() >= self._principal.expires:
            return
        try:
            found = await self._judge_again(self._credentials)
        except AuthenticationFailed as failure:
            if failure.status not in _REFUSED:
                return
            log.info("a stream ends, for its reader may read no more: %s", failure)
        except Exception:
            log.exception("the authenticator failed to judge the reader of a stream again")
            return
        else:
            if found.key == self._principal.key and found.scopes >= self._principal.scopes:
                return
            log.info("a stream ends, for its reader's token grants less than it did")
        self._end()

    def close(self) -> None:
        """Nobody reads any more."""
        self._on_end = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        self.ended = True
        on_end = self._on_end
        self.close()
        if on_end is not None:
            on_end()


def permission_of(authenticator: Authenticator | None, head: Head, principal: Principal) -> Permission | None:
    """What the sender of a request has; None for one that nobody vouched for."""
    if authenticator is None or principal.is_anonymous:
        return None
    again: Any = getattr(authenticator, "authenticate_again", None) or authenticator.authenticate
    return Permission(again, head.credentials(), principal)
