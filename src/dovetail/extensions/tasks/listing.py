"""The tasks that a server of 2025-11-25 has of a client's, as a list. It loads the client, so it stands apart.

Specification: 2025-11-25, basic/utilities/tasks, "Listing Tasks".
"""

from typing import Any, Final

from msgspec import Struct

from dovetail.client import CallStatus, Client
from dovetail.errors import RemoteProtocolError

from .handles import status_of
from .names import LIST
from .watching import detailed
from .wire import StatefulTask

__all__ = ["list_tasks"]

MAX_PAGES: Final = 1000


class _TasksPage(Struct, frozen=True, rename="camel"):
    tasks: list[StatefulTask]
    next_cursor: str | None = None


async def list_tasks(client: Client) -> list[CallStatus]:
    """All tasks that the server has of whom this client stands for, in the order in which they were made, with those
    that have ended as long as they are kept.

    Tasks are listed by servers of 2025-11-25 that can tell callers apart. Raises `MethodNotFound` by any other, and
    `FeatureUnavailable` in any other revision: since 2026-07-28 a task is known by its handle alone. Besides, as
    `Client.request` does. Specification: 2025-11-25, basic/utilities/tasks, "Listing Tasks".
    """
    found: list[CallStatus] = []
    params: dict[str, Any] = {}
    for _ in range(MAX_PAGES):
        page = await client.request(LIST, params, into=_TasksPage)
        found += [status_of(detailed(each)) for each in page.tasks]
        if page.next_cursor is None:
            return found
        if params.get("cursor") == page.next_cursor:
            break
        params = {"cursor": page.next_cursor}
    raise RemoteProtocolError(f"the pages of {LIST} come to no end")
