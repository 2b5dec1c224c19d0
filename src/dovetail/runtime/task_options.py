"""How a tool may be run as a task.

Specification: 2025-11-25, basic/utilities/tasks; the extension io.modelcontextprotocol/tasks.
"""

from typing import Final, Literal

from msgspec import Struct

__all__ = ["TaskOptions", "TaskSupport"]

TaskSupport = Literal["forbidden", "optional", "required"]
HOUR: Final = 3600.0


class TaskOptions(Struct, frozen=True, kw_only=True):
    """How a tool may be run as a task. Times are in seconds.

    ``support``: "optional" (clients that know tasks get one, others wait for the answer) or "required" (others are
    refused). ``ttl``: how long a task is kept from its beginning on, its result with it (an hour); a client may ask for
    less. ``poll``: how often clients are advised to ask how far it is (5). ``retries``: how often it is run again after
    an error of the server, ``backoff`` after the first and twice as long after each further one (1): only for work that
    may be repeated, all that is no step. ``concurrency``: how many of this tool all workers together run at a time
    (None: as many as they have room for). Raises ValueError for what can't be.
    """

    support: TaskSupport = "optional"
    ttl: float = HOUR
    poll: float = 5.0
    retries: int = 0
    backoff: float = 1.0
    concurrency: int | None = None

    def __post_init__(self) -> None:
        if self.support not in ("forbidden", "optional", "required"):
            raise ValueError(f'task= is "forbidden", "optional" or "required", not {self.support!r:.60}')
        if not (self.ttl > 0 and self.poll > 0 and self.backoff >= 0 and self.retries >= 0):
            raise ValueError("ttl and poll of a task are above 0 seconds, backoff and retries at least 0")
        if self.concurrency is not None and self.concurrency < 1:
            raise ValueError("concurrency of a task is at least 1, or None")
