"""Every message that crosses a wire in this process, for tests that look at bytes.

Specification: none.
"""

from collections.abc import Callable

from ..runtime import tap
from ..runtime.tap import Frame

__all__ = ["Frame", "watch_wire"]


def watch_wire(heard: Callable[[Frame], None]) -> Callable[[], None]:
    """Tell ``heard`` of each message that any transport of this process sends or receives, until the function that this
    gives is called. ``heard`` is called at once, in the task that sends or has received, and must not block.
    """
    return tap.add(heard)
