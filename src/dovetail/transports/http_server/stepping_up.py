"""The answer to a call whose token lacks scopes: status 403, and a challenge that names all that it needs.

What the challenge says is the gatekeeper's business. Without one (an app that brought a plain authenticator) it still
names the scopes. Specification: 2026-07-28 and 2025-11-25 basic/authorization, "Runtime Insufficient Scope Errors".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ...runtime.dispatch import EncodedResponse
from ...security.authenticator import INSUFFICIENT_SCOPE, Gatekeeper
from .answering import HeaderList, Send, answer
from .head import Head

FORBIDDEN: Final = 403


def lacks_scopes(reply: EncodedResponse) -> bool:
    """Whether a reply says that the caller needs more scopes."""
    return reply.code == INSUFFICIENT_SCOPE


def more_scopes(gate: Gatekeeper | None, head: Head, scopes: Sequence[str]) -> HeaderList:
    """The headers of the answer."""
    if gate is None:
        named = f', scope="{" ".join(scopes)}"' if scopes else ""
        challenge = f'Bearer error="insufficient_scope"{named}'
        return ((b"www-authenticate", challenge.encode("ascii", "replace")), *head.extra)
    refusal = gate.insufficient(head.credentials(), scopes)
    headers = tuple((name.lower().encode(), value.encode("latin-1")) for name, value in refusal.headers)
    return (*headers, *head.extra)


async def answer_forbidden(
    gate: Gatekeeper | None, head: Head, scopes: Sequence[str], body: bytes, send: Send
) -> None:
    """Answer with the JSON-RPC error ``body``."""
    await answer(send, FORBIDDEN, body, more_scopes(gate, head, scopes))
