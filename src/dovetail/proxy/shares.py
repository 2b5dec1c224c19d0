"""How many connections to an upstream the calls of one caller may keep busy.

Theory of operation. A connection is a process, where the upstream is on stdio, and there are so many. A call that waits
for an answer of its caller keeps one busy, for minutes; so one caller has a part of them, as of all else that callers
can use up (`security.quotas`), and where some callers have names, those without one have a part together. A connection
counts for the caller whose call found it unused. The connection of the proxy itself, which callers share who can't be
asked anything, counts for nobody.

Specification: none; whatever a caller can use up has a bound.
"""

from collections.abc import Hashable
from typing import Final

from ..extensions import Channel
from ..security.callers import caller_of
from ..security.quotas import Quotas
from .failures import unanswered

ANONYMOUS_SHARE: Final = 50
"""The percentage of connections that all callers without a name may keep busy, where others have one."""


class ConnectionShares:
    """The shares of ``limit`` connections: one caller may have ``each`` percent of them."""

    def __init__(self, limit: int, each: int) -> None:
        self._limit = limit
        self._most: Final = max(1, limit * each // 100)
        self._nameless: Final = max(1, limit * ANONYMOUS_SHARE // 100)
        self._named = False
        self._taken = Quotas(limit, each=self._most, nameless=limit)

    def take(self, channel: Channel) -> Hashable:
        """Count one more for who calls, whose key this gives. Raises `UpstreamFailed` beyond what that one may have."""
        caller = caller_of(channel.principal, channel.remote)
        nameless = isinstance(caller, str)
        self._named = self._named or not nameless
        if nameless and self._named and self._taken.nameless >= self._nameless:
            raise unanswered(
                f"callers without a name keep {self._nameless} of its {self._limit} connections busy, which is their"
                " part; try again later",
                retry_safe=True,
            )
        if not self._taken.take(caller):
            raise unanswered(
                f"your calls keep {self._taken.of(caller)} of its {self._limit} connections busy, which is the part of"
                " one caller; answer what they ask, or try again later",
                retry_safe=True,
            )
        return caller

    def give_back(self, caller: Hashable) -> None:
        """One that was counted is unused."""
        self._taken.give_back(caller)


__all__ = ["ANONYMOUS_SHARE", "ConnectionShares"]
