"""A tap on the wire: every message that any transport sends or receives, as bytes, to whoever listens.

Nothing is done when nobody listens: transports test ``tap.listeners`` first. The tests' oracle, wire logs
and recorders use it.
"""

from collections.abc import Callable
from typing import Final, Literal

from msgspec import Struct

Role = Literal["client", "server"]


class Frame(Struct, frozen=True):
    """One JSON-RPC message, or one batch, as it crosses the wire.

    ``link`` is equal for both directions of one logical connection: a pipe, a memory pair, an HTTP session
    or a single HTTP exchange. ``revision`` is set where the transport knows it.
    """

    link: str
    role: Literal["client", "server"]
    sent: bool
    transport: str
    data: bytes
    revision: str | None = None


listeners: Final[list[Callable[[Frame], None]]] = []
leavers: Final[list[Callable[[str], None]]] = []
"""Who hears of the links whose client went away before it had its answer, where no message says so."""


def add(listener: Callable[[Frame], None]) -> Callable[[], None]:
    """Hear of every frame from now on. Gives the function that ends it."""
    listeners.append(listener)
    return lambda: listeners.remove(listener)


def add_leaver(listener: Callable[[str], None]) -> Callable[[], None]:
    """Hear of every client that leaves from now on. Gives the function that ends it."""
    leavers.append(listener)
    return lambda: leavers.remove(listener)


def left(link: str) -> None:
    """Tell that the client of a link is gone."""
    for listener in tuple(leavers):
        listener(link)


def note(link: str, role: Role, sent: bool, transport: str, data: bytes, revision: str | None = None) -> None:
    """Tell the listeners of a frame."""
    frame = Frame(link, role, sent, transport, data, revision)
    for listener in tuple(listeners):
        listener(frame)
