"""What the answer of an extension to a request of the server's is given; see `dovetail.runtime.client_extension.Asked`.

Specification: basic/index, "Requests" (stateful era).
"""

import asyncio
from collections.abc import Coroutine, Mapping
from contextvars import copy_context
from typing import Any

from ..protocol.call import Call
from ..protocol.types import ClientCapabilities, Result
from .answers import CallInfo
from .arguments import as_plain

__all__ = ["AskedOverLink"]


class AskedOverLink:
    """One request of a server's, on the `Link` that it came by. ``asker``: the call that it belongs to, if known."""

    def __init__(self, link: Any, asker: CallInfo | None) -> None:
        self._link = link
        self._asker = asker

    @property
    def connection(self) -> object:
        """Stands for the connection."""
        return self._link

    async def answer(self, call: Call) -> Result:
        """What the client answers by its handlers."""
        return await self._link.questions.answer(call.method, call.params, call.profile, self._asker)

    @property
    def capabilities(self) -> ClientCapabilities:
        """What the client announced."""
        return self._link.session.capabilities

    def run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something beside."""
        return self._link.start(work, copy_context())

    async def notify(self, method: str, params: Mapping[str, Any]) -> None:
        """Tell the server something."""
        await self._link.notify(method, as_plain("the parameters", params))
