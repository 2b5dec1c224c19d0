"""What a call is that outlives its requests, to those who run its body.

Theory of operation. A body that asks is run again over what was answered and done before: its journal. For a call of a
client's that journal travels, sealed, with the request. For work that goes on without a request, an extension keeps it:
it runs the call over a `Channel` with a `DurableCall`, gets `InputRequired` when the body waits for answers, and keeps
the ``requestState`` of that, which is neither sealed nor bound and never leaves the server. To go on it runs the call
with that state and the answers. Each step is recorded when it ends, so a crash repeats at most the one that ran. This
holds in all revisions, also in those in which questions are requests.

Specification: none; see basic/patterns/mrtr for what it is like.
"""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Raw

__all__ = ["DurableCall"]


class DurableCall(Protocol):
    """A call that is run more than once, from its beginning each time: `Channel.durable` of what it runs with."""

    @property
    def key(self) -> str:
        """What identifies it in all of its runs: at least 16 characters that no other call has."""
        ...

    @property
    def steps(self) -> Mapping[str, Raw]:
        """What was recorded of its steps."""
        ...

    async def record(self, step: str, result: bytes) -> None:
        """Keep what a step came to, so that no later run repeats it. The body goes on when this returns; what it raises
        is raised in the body.
        """
        ...

    def failed(self, problem: Exception) -> None:
        """The body raised something that nobody had foreseen; what a caller is told of it comes as the result."""
        ...
