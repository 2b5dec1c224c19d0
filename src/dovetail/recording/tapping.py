"""What a server in this process says and hears, as a capture.

Theory of operation. Every transport tells the wire tap of each message; what servers are told of becomes a line.
Headers are not on the tap, so they are not in such a capture. Where a client goes away without a word, its link ends.

Specification: none; docs/recording.md.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from ..capture.writing import CaptureLink, CaptureWriter
from ..runtime import tap

__all__ = ["record_servers"]

_LINKS: Final = 10_000


def record_servers(writer: CaptureWriter) -> Callable[[], None]:
    """Record each message of all servers in this process, until the function that this gives is called."""
    links: OrderedDict[str, CaptureLink] = OrderedDict()

    def gone(name: str) -> None:
        link = links.pop(name, None)
        if link is not None:
            link.mark("close")

    def heard(frame: tap.Frame) -> None:
        if frame.role != "server":
            return
        link = links.get(frame.link)
        if link is None:
            link = links[frame.link] = writer.link(frame.transport)
            if len(links) > _LINKS:
                links.popitem(last=False)
        link.message("server" if frame.sent else "client", frame.data)

    ends = (tap.add(heard), tap.add_leaver(gone))

    def end() -> None:
        for each in ends:
            each()

    return end
