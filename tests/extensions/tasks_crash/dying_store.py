"""A store whose process dies, without a word, before or after one of its writes."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any, Literal, NamedTuple

from dovetail.stores import Store

WRITES = {
    "tasks": ("create", "update", "claim", "claim_one", "record", "delete"),
    "bus": ("publish",),
    "kv": ("set", "add", "take", "compare_and_set", "delete"),
}
"""What changes a store. Leases are renewed by the clock, at no certain place among the others, so that is not here."""


class Death(NamedTuple):
    """When a process dies: at its ``write``, from 1, before or after it is made."""

    write: int
    when: Literal["before", "after"]


class DyingStore:
    """The same store. ``wrote`` is told of each write that was made: of which part, and what was given."""

    def __init__(self, store: Store, death: Death | None, wrote: Callable[[str], None]) -> None:
        self._store = store
        self._death = death
        self._wrote = wrote
        self._writes = 0
        for part, names in WRITES.items():
            setattr(self, part, _DyingPart(self, part, getattr(store, part), names))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def write(self, what: str, make: Callable[[], Awaitable[Any]]) -> Any:
        """Make a write, or die of it."""
        self._writes += 1
        now = self._death is not None and self._writes == self._death.write
        if now and self._death is not None and self._death.when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = await make()
        self._wrote(f"{what} {describe(result)}".strip())
        if now:
            os.kill(os.getpid(), signal.SIGKILL)
        return result


class _DyingPart:
    def __init__(self, store: DyingStore, part: str, inner: Any, writes: tuple[str, ...]) -> None:
        self._store, self._part, self._inner, self._writes = store, part, inner, writes

    def within(self, *given: Any, **options: Any) -> _DyingPart:
        return _DyingPart(self._store, self._part, self._inner.within(*given, **options), self._writes)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in self._writes:
            return found

        async def write(*given: Any, **options: Any) -> Any:
            about = [repr(getattr(each, "id", each)) for each in given[:2] if self._part == "tasks"]
            what = " ".join([f"{self._part}.{name}", *about])
            return await self._store.write(what, lambda: found(*given, **options))

        return write


def describe(result: Any) -> str:
    """The status of what a write came to, where that is a task."""
    return getattr(result, "status", "")
