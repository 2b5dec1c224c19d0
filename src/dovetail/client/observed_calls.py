"""What an observed client makes calls with: their rounds belong together, see `observing`.

Specification: basic/patterns/mrtr; OpenTelemetry, "Semantic conventions for Model Context Protocol (MCP)".
"""

from msgspec import Raw

from ..protocol.types import InputRequired, RetryParams
from ..runtime.observer import ObservedOperation
from .calls import Caller, CallSettings
from .link import Link
from .resolving import ResultResolver

__all__ = ["ObservedCaller"]


class ObservedCaller(Caller):
    """Makes calls whose rounds belong together."""

    async def _rounds(
        self,
        required: InputRequired,
        link: Link,
        method: str,
        params: RetryParams,
        how: CallSettings,
        further: ResultResolver | None = None,
    ) -> Raw:
        begun = ObservedOperation(
            "client", method, revision=link.profile.revision, transport=link.transport.name
        )
        with self._options.observer.between_rounds(begun):
            return await super()._rounds(required, link, method, params, how, further)
