"""A client that nobody closed, or that another process opened: it is said, and what can be closed is closed.

Python says nothing when a program forgets to close something, unless it is asked to (``-X dev``, ``-W default``, a test
runner): so that is what `ResourceWarning` is for. There are two occasions. Either the last reference to the client goes
while its loop runs, or its loop ends first. To hear of that, a `LoopEndHook` is kept: an asynchronous generator, which
event loops close before they end (`asyncio.run` does; whoever ends a loop by hand calls ``shutdown_asyncgens``).
Specification: none.
"""

import os
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable
from weakref import WeakMethod

from ..protocol.errors import LocalProtocolError


class LoopEndHook:
    """Calls ``ended``, a method, when the running loop is about to end; weakly, so that it keeps nothing alive."""

    def __init__(self, ended: Callable[[], Awaitable[None]]) -> None:
        self._generator = _until_the_end(WeakMethod(ended))

    async def begin(self) -> None:
        """Begin; from now on the running loop closes it."""
        await anext(self._generator)

    async def end(self) -> None:
        """It is not needed any more."""
        await self._generator.aclose()


async def _until_the_end(ended: WeakMethod[Callable[[], Awaitable[None]]]) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        call = ended()
        if call is not None:
            await call()


class Process:
    """The process that something belongs to. A child that was forked off has its memory, and neither its threads nor
    the right to its pipes and sockets: what the child said there would be mixed into what the parent says.
    """

    __slots__ = ("_id",)

    def __init__(self) -> None:
        self._id = os.getpid()

    @property
    def is_ours(self) -> bool:
        """Whether this is that process."""
        return self._id == os.getpid()

    def check(self) -> None:
        """Raise `LocalProtocolError` in a child of it."""
        if self._id != os.getpid():
            raise LocalProtocolError(
                f"the client was opened in process {self._id}, and this is a child forked off it: a connection belongs "
                "to one process; open a client of its own here"
            )


def warn(client: object, server: str, how: str) -> None:
    """Say that a client of ``server`` was left open. ``how``: what to write instead."""
    warnings.warn(f"unclosed client of {server}: {how}", ResourceWarning, source=client, stacklevel=2)
