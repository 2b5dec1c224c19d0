"""A process that is there to work off tasks: what its apps are told, and whether they can.

Theory of operation. Whoever serves may leave the work to others (``tasks(room=0)``); these run the same file, and what
the file says of the room is not meant for them. So a process can be told, before it loads the file, that it is one of
those (`work_off`): then each app in it runs tasks, and it is refused to run them over a store that nobody else sees.

Specification: none.
"""

from typing import Final

from dovetail.extensions import Serving
from dovetail.stores import MemoryStore, Store

ROOM: Final = 100
"""How many tasks run at a time where nobody says how many."""
_told: Final[list[int | None]] = []
_served: Final[list[Serving]] = []


class NothingShared(ValueError):
    """A process was to work off tasks that it can't see: they are kept in the memory of whoever serves them."""


def work_off(room: int | None) -> None:
    """Let every app of this process run tasks, so many at a time (None: as many as it says itself, or `ROOM`)."""
    _told[:] = [room]


def worked_on() -> list[str]:
    """The tools whose tasks this process runs, once its apps live."""
    return sorted(tool.tool.name for each in _served for tool in each.tools if tool.task is not None)


def room_of(own: int, store: Store | None, serving: Serving) -> int:
    """How many tasks an app runs at a time whose author said ``own``. Raises `NothingShared`."""
    if not _told:
        return own
    if store is None or isinstance(store, MemoryStore):
        raise NothingShared(
            "its tasks are in memory, where only the process that made them finds them: give the app a store that its "
            "servers share as well, by --store URL or App(store=open_store(url))"
        )
    _served.append(serving)
    return _told[0] or own or ROOM


__all__ = ["ROOM", "NothingShared", "room_of", "work_off", "worked_on"]
