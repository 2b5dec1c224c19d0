"""What one listener hears of resources whose providers have to be asked who sees them.

Theory of operation. Where all that a caller sees is known, each change is judged there and then (`Provider.hears`).
Where it is not, and what is shown depends on who asks, the provider is asked as if the caller read the resource: when
it changes, once, for as long as the list of resources stays the same. What is no resource is judged as the nearest
that it is below of; what is below of none is heard. Of what nobody can say whether it is seen, nobody hears.

Specification: none.
"""

from collections.abc import Hashable
from typing import Final

from ...logs import get_logger
from ...protocol.call import Call
from ...protocol.listening import Change, parents_of
from ...runtime.channel import Channel
from ..catalog import Mounted

log = get_logger("dovetail.server")

_MAX_KEPT: Final = 1000


class HeardResources:
    """Which changes of mounted resources the listener that sent ``call``, who is judged, may hear of."""

    def __init__(self, mounted: Mounted, call: Call, channel: Channel) -> None:
        self._mounted = mounted
        self._call = call
        self._channel = channel
        self._said: dict[str, bool] = {}
        self._seen: Hashable = None

    def must_ask(self, change: Change) -> bool:
        """Whether `hears` has to be asked before the listener is told."""
        return change.kind == "resource" and any(
            self._mounted.must_ask(uri, self._channel.principal)
            for uri in (change.uri, *parents_of(change.uri))
        )

    async def hears(self, change: Change) -> bool:
        """Whether the listener may hear of a change."""
        if not self.must_ask(change):
            return True
        seen = self._mounted.fingerprint("resources", self._channel.principal)
        if seen != self._seen or len(self._said) >= _MAX_KEPT:
            self._said.clear()
            self._seen = seen
        said = self._said.get(change.uri)
        if said is None:
            try:
                said = self._said[change.uri] = await self._ask(change.uri)
            except Exception as problem:  # noqa: BLE001 - told in the log; the next change is asked about again
                log.warning(
                    "a listener is not told of a change of %r, for nobody can say whether it sees that: %s",
                    change.uri[:256],
                    problem,
                )
                return False
        return said

    async def _ask(self, uri: str) -> bool:
        for each in (uri, *parents_of(uri)):
            shown = await self._mounted.shows(self._call, self._channel, each)
            if shown is not None:
                return shown
        return True


__all__ = ["HeardResources"]
