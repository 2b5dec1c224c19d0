"""Knows whether anything that a function started may still go on beside it, at the cost of three operations.

Theory of operation. Whatever a function starts that runs later takes a copy of its context along: a task, a callback
of the loop, a timer, work for a thread. A copy shares what the context holds. So a context is marked, with an object
that nothing else refers to, and when one wants to know, the mark is taken out of it: if the object is gone, nothing
that began since then is left. What is done, and was let go of, does not count; what is done, and is still referred to,
does (a task that the running one waited for, until that waits again): whoever asks takes a "yes" for "perhaps".

It does not see what was given a context of its own (``create_task(..., context=Context())``), nor tasks that were there
before.

Specification: none.
"""

from contextvars import ContextVar
from typing import Final
from weakref import ref

__all__ = ["Mark", "mark", "may_go_on"]


class _Token:
    __slots__ = ("__weakref__",)


Mark = ref[_Token]

_marked: Final[ContextVar[_Token | None]] = ContextVar("dovetail_mark", default=None)


def mark() -> Mark:
    """Mark the current context; a mark that it had counts no more."""
    token = _Token()
    _marked.set(token)
    return ref(token)


def may_go_on(since: Mark) -> bool:
    """Whether there may be anything left that was started in the current context since it was marked."""
    if since() is None or _marked.get() is not since():
        return True
    _marked.set(None)
    token = since()
    if token is None:
        return False
    _marked.set(token)
    return True
