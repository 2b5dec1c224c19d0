"""What it takes to use one entry, and who may: for lists, calls, reads, completions and change streams alike.

Theory of operation. A `Requirement` stands beside an entry, not in it: an app without any never asks. Lacking scopes
and not being allowed are two things. Scopes a client can ask for, so it is told which (`InsufficientScope`, all of
them at once), and the entry is listed: a client that never sees a tool could never ask for what it takes. Where it is
no matter of scope, there is nothing to ask for, and the entry does not exist for that caller: it is not listed, and
calling it gets the very answer of an unknown name. Nobody hears of a change in what it can't see, nor of one in a
resource that it can't read.

Over HTTP everyone is judged, a nameless caller too: it may use what requires nothing. On stdio and unix sockets there
are no tokens: whoever started the process, or may open the socket, is its user, and nothing is asked.

Specification: basic/authorization, "Scope Challenge Handling"; server/tools, server/resources, server/prompts,
"Security Considerations"; server/utilities/completion, "Security".
"""

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Final, cast

import msgspec

from ..logs import get_logger
from ..runtime.channel import Channel
from ..security.authenticator import InsufficientScope
from ..security.principal import Principal
from .signature import Plan

log = get_logger("dovetail.server")

Allow = Callable[[Principal], bool]

_JUDGED: Final = ("http", "http+sse")
# RFC 6749, section 3.3, and of a length that fits a header.
_SCOPE: Final = re.compile(r"[!#-\[\]-~]{1,256}")


class Requirement(msgspec.Struct, frozen=True):
    """What a caller needs: all of ``scopes``, and ``allow`` to say True, if there is one: anything else that it gives
    (a coroutine would do as a yes) says no.
    """

    scopes: tuple[str, ...] = ()
    allow: Allow | None = None

    def allows(self, principal: Principal) -> bool:
        """Whether it is only a matter of scopes. A predicate that fails says no."""
        if self.allow is None:
            return True
        try:
            answer = cast("Callable[[Principal], object]", self.allow)(principal)
            if isinstance(answer, bool):
                return answer
            raise TypeError(f"it gave a {type(answer).__name__}, and True or False was expected")
        except Exception:
            log.exception("a predicate on the caller failed; the caller is not allowed")
            return False

    def holds(self, principal: Principal) -> bool:
        """Whether the caller has all that it needs."""
        return principal.scopes.issuperset(self.scopes) and self.allows(principal)


def requirement(plan: Plan, scopes: Sequence[str] | None, allow: Allow | None) -> Requirement | None:
    """What an author asked for, None for nothing. Raises `RegistrationError`."""
    if isinstance(scopes, str):
        raise plan.refuse(f"scopes is a list of texts: [{scopes!r}]")
    for scope in scopes or ():
        if not _SCOPE.fullmatch(scope):
            raise plan.refuse(
                f"{scope!r} is no scope: one word of visible ASCII without quotes and backslashes"
            )
    if inspect.iscoroutinefunction(allow):
        raise plan.refuse("allow looks at the principal alone and answers at once: it can't be async")
    if not scopes and allow is None:
        return None
    return Requirement(tuple(dict.fromkeys(scopes or ())), allow)


def is_judged(principal: Principal, transport: str) -> bool:
    """Whether the caller came a way on which callers are told apart."""
    return transport in _JUDGED or not principal.is_anonymous


def may_use(needed: Requirement | None, channel: Channel) -> bool:
    """Whether the caller may use an entry; if not, it is unknown to it. Raises `InsufficientScope`."""
    if needed is None or not is_judged(channel.principal, channel.transport):
        return True
    if not needed.allows(channel.principal):
        return False
    demand(channel, needed.scopes)
    return True


def demand(channel: Channel, scopes: Sequence[str]) -> None:
    """Raise `InsufficientScope` unless the caller has all of these."""
    if (
        scopes
        and is_judged(channel.principal, channel.transport)
        and not channel.principal.scopes.issuperset(scopes)
    ):
        raise InsufficientScope(scopes)
