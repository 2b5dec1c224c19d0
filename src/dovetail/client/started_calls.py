"""Calls that are started now and waited for later, in this process or in another: by what an extension brings.

The client itself starts none: what does is `Extension.starter`.
Specification: basic/versioning, "Extension Negotiation".
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from datetime import datetime
from typing import Any, Final, Literal, Protocol, TypeVar, overload

from msgspec import UNSET, Struct

from ..protocol.errors import FeatureUnavailable
from ..runtime.client_extension import CallStarter
from ..runtime.extension import Extensions
from .answers import ProgressHandler
from .calls import Seconds
from .results import ToolResult

__all__ = ["BlockingStartedCall", "CallStatus", "StartedCall", "starter_of"]

T = TypeVar("T")
_MISSING: Final = (
    "this client can't start a call and wait for it later: give it an extension that can, such as"
    " Client(..., extensions=[tasks()]) with `tasks` of dovetail.extensions.tasks"
)


class CallStatus(Struct, frozen=True, kw_only=True):
    """How a call is that was started: ``status``, and what the server says of it.

    ``created``, ``updated``: moments with a time zone, None where the server tells none that can be read. ``ttl``:
    seconds from its beginning until the server may forget it, None for no end. ``poll``: seconds between two looks, as
    the server wishes; None where it does not say.
    """

    id: str
    status: Literal["working", "input_required", "completed", "failed", "cancelled"]
    message: str = ""
    created: datetime | None = None
    updated: datetime | None = None
    ttl: float | None = None
    poll: float | None = None

    @property
    def ended(self) -> bool:
        """Whether it has come to its end, one way or another."""
        return self.status in ("completed", "failed", "cancelled")


class StartedCall(Protocol):
    """A tool call that was started: ``result = await started``. See `Client.start_tool`."""

    @property
    def id(self) -> str:
        """Its name at the server; empty if the answer came at once."""
        ...

    @property
    def tool(self) -> str:
        """The tool that was called."""
        ...

    def __await__(self) -> Generator[Any, None, ToolResult]:
        """The same as `result`, with the client's own limits."""
        ...

    @overload
    async def result(
        self, *, into: None = None, timeout: Seconds = UNSET, progress: ProgressHandler | None = None
    ) -> ToolResult: ...

    @overload
    async def result(
        self, *, into: type[T], timeout: Seconds = UNSET, progress: ProgressHandler | None = None
    ) -> T: ...

    async def result(
        self,
        *,
        into: type[Any] | None = None,
        timeout: Seconds = UNSET,
        progress: ProgressHandler | None = None,
    ) -> Any:
        """Wait for the result, or with ``into`` for its value as a type; the client's handlers answer what the call
        asks. ``timeout``: seconds (None: no limit; default: the client's). Who is cancelled, or out of time, leaves it
        running. Raises what the call failed with, and as `Client.call_tool` does.
        """
        ...

    async def status(self) -> CallStatus:
        """How it is now. Raises as `Client.request` does."""
        ...

    def updates(self) -> AsyncGenerator[CallStatus, None]:
        """How it is, now and after each change, until it has ended. Nothing is answered meanwhile."""
        ...

    async def cancel(self) -> None:
        """Have the server stop it, if it still runs; whether it does is the server's to say, by `status`."""
        ...

    def save(self) -> str:
        """What `Client.reopen` goes on from, in whatever process: one word, to be kept like a password."""
        ...


class BlockingStartedCall:
    """`StartedCall`, blocking."""

    def __init__(
        self,
        call: StartedCall,
        wait: Callable[[Coroutine[Any, Any, Any]], Any],
        iterate: Callable[[AsyncIterator[Any]], Iterator[Any]],
    ) -> None:
        self._call = call
        self._wait = wait
        self._iterate = iterate

    @property
    def id(self) -> str:
        """Its name at the server; empty if the answer came at once."""
        return self._call.id

    @property
    def tool(self) -> str:
        """The tool that was called."""
        return self._call.tool

    @overload
    def result(
        self, *, into: None = None, timeout: Seconds = UNSET, progress: ProgressHandler | None = None
    ) -> ToolResult: ...

    @overload
    def result(
        self, *, into: type[T], timeout: Seconds = UNSET, progress: ProgressHandler | None = None
    ) -> T: ...

    def result(
        self,
        *,
        into: type[Any] | None = None,
        timeout: Seconds = UNSET,
        progress: ProgressHandler | None = None,
    ) -> Any:
        """Wait for the result. See `StartedCall.result`."""
        call: Any = self._call
        return self._wait(call.result(into=into, timeout=timeout, progress=progress))

    def status(self) -> CallStatus:
        """How it is now."""
        return self._wait(self._call.status())

    def updates(self) -> Iterator[CallStatus]:
        """How it is, now and after each change, until it has ended."""
        return self._iterate(self._call.updates())

    def cancel(self) -> None:
        """Have the server stop it."""
        self._wait(self._call.cancel())

    def save(self) -> str:
        """What `BlockingClient.reopen` goes on from."""
        return self._call.save()


def starter_of(additions: Extensions) -> CallStarter:
    """Who starts calls for a client. Raises `FeatureUnavailable` where nobody does."""
    found = next((each.starter for each in additions if each.starter is not None), None)
    if found is None:
        raise FeatureUnavailable(_MISSING)
    return found
