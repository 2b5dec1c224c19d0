"""The client's half of what an extension is made of; see `dovetail.runtime.extension`.

Specification: basic/versioning, "Extension Negotiation"; basic/index, "ResultType".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from msgspec import Raw, Struct, UnsetType

from ..protocol.call import Call
from ..protocol.errors import RPCError
from ..protocol.listening import Change, ChangeType
from ..protocol.revisions import STATEFUL, Era
from ..protocol.types import (
    ClientCapabilities,
    InputRequest,
    ProgressNotice,
    Result,
    ServerCapabilities,
    Tool,
)

__all__ = [
    "Announce",
    "Asked",
    "CallStarter",
    "ExtensionQuestion",
    "Prepare",
    "PreparedCall",
    "Resolving",
    "ResultType",
]

T = TypeVar("T")


class Resolving(Protocol):
    """What a client offers to who turns a further kind of result into the final one: one for each call."""

    @property
    def method(self) -> str:
        """The method that was called."""
        ...

    @property
    def name(self) -> str:
        """What the call was about: the name of the tool, say."""
        ...

    @property
    def era(self) -> Era:
        """ "stateful" or "stateless": that of the revision in use."""
        ...

    def has(self, method: str) -> bool:
        """Whether the revision in use has such a request, or an extension of the client's brings it there."""
        ...

    @property
    def capabilities(self) -> ServerCapabilities | None:
        """What the server offers, as far as it said."""
        ...

    async def tool(self, *, fresh: bool = False) -> Tool | None:
        """The tool that is called, as the server lists it; None for one that it does not. It is asked for its list if
        that was not done yet, or if ``fresh``. Raises as `Client.tools` does.
        """
        ...

    async def request(
        self,
        method: str,
        params: Mapping[str, Any],
        *,
        into: type[T],
        progress: Callable[[ProgressNotice], None] | None = None,
    ) -> T:
        """Send a request and read its result. A connection that was lost is made anew before, but for one to a process
        that is not to be started again. ``progress`` hears of its progress. Raises as `Client.request` does.
        """
        ...

    async def answer(self, questions: Mapping[str, InputRequest]) -> dict[str, Raw]:
        """Have the client's handlers answer questions, as in a round. Raises what they raise."""
        ...

    def listen(
        self, change: ChangeType, subjects: Sequence[str]
    ) -> AbstractAsyncContextManager[AsyncIterator[Change]]:
        """Hear of changes of these things, until the end of the subscription; a loss raises. Raises
        `FeatureUnavailable` where the server does not agree to tell of all of them, and as `Client.listen` does.
        """
        ...

    def progress(self, message: str = "", *, reached: ProgressNotice | None = None) -> None:
        """There was a sign of life: the time without progress starts anew, and who hears of the call's progress hears
        ``message``, with a number that grows by one each time; or what was ``reached``, if that is more than before.
        Once something was, messages alone are told no more, as they have no place between its numbers.
        """
        ...


class ResultType(Struct, frozen=True, kw_only=True):
    """A further kind of result of a method of the protocol: ``name`` is its ``resultType``, ``type`` what a client
    reads it into (any type that msgspec reads).

    ``resolve`` turns it into a result of the method's own kind: as plain values, a `Result` or encoded. What it raises
    reaches the caller. It has the time that the call has: as long without `Resolving.progress`, and as long in all; a
    question that is being answered stops the first. Its end cancels it, and so does who no longer awaits the call.
    Specification: basic/index, "ResultType".
    """

    method: str
    name: str
    resolve: Callable[[Resolving, Any], Awaitable[Result | Mapping[str, Any] | Raw]]
    type: Any = dict[str, Any]


class PreparedCall(Struct, frozen=True, kw_only=True):
    """How one call is made otherwise: ``members`` of its parameters besides, or in place of, those that it has; None:
    nothing is sent.

    ``resolve`` is as that of a `ResultType`, and is given what the server answered, as a ``type``; or None where
    nothing was sent.
    """

    resolve: Callable[[Resolving, Any], Awaitable[Result | Mapping[str, Any] | Raw]]
    members: Mapping[str, Any] | None = None
    type: Any = dict[str, Any]


Prepare = Callable[[Resolving, RPCError | None], Awaitable[PreparedCall | None]]
"""Asked before a call of a client's is made, and once more with the error that it was refused with: how to make it
otherwise, or None for as it is. Only asked where the answer decides something: it is awaited before each such call.
"""

Announce = Callable[[ClientCapabilities], Mapping[str, Any]]
"""What a client announces besides what it can do, by members of `ClientCapabilities`."""


class CallStarter(Protocol):
    """Starts tool calls that are waited for later. ``client`` is the `Client`, what is given a
    `dovetail.client.StartedCall`.
    """

    async def start(
        self,
        client: Any,
        name: str,
        arguments: Mapping[str, Any] | None,
        *,
        ttl: float | None,
        timeout: float | None | UnsetType,
        meta: Mapping[str, Any] | None,
    ) -> Any:
        """See `Client.start_tool`."""
        ...

    def reopen(self, client: Any, text: str) -> Any:
        """See `Client.reopen`."""
        ...


class Asked(Protocol):
    """What a client offers to who answers a request of the server's."""

    @property
    def connection(self) -> object:
        """Stands for the connection: the same for all that comes over it, and nothing else is to be done with it."""
        ...

    async def answer(self, call: Call) -> Result:
        """What the client answers by itself, by its handlers. Raises an `RPCError`."""
        ...

    @property
    def capabilities(self) -> ClientCapabilities:
        """What the client announced."""
        ...

    def run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something beside, in the context of the question; it ends with the connection at the latest."""
        ...

    async def notify(self, method: str, params: Mapping[str, Any]) -> None:
        """Tell the server something. Raises as `Client.notify` does."""
        ...


class ExtensionQuestion(Struct, frozen=True, kw_only=True):
    """A request that servers may send. ``name`` on the wire; ``revisions``: those that have it, all of the stateful era
    unless it says so, since no request of a server's exists later.

    ``answer`` answers it at a client: one of its own, or what a client answers by itself (`Asked.answer`), and what is
    to stand around that. It raises an `RPCError` to answer with that.
    """

    name: str
    answer: Callable[[Call, Asked], Awaitable[Result]]
    revisions: Collection[str] = STATEFUL
