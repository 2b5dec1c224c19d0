"""Two stores that were written apart, each the oracle of the other: what one answers, so does the other one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from dovetail.stores import Store, StoreError
from dovetail.testing.store_contract import VirtualClock

Step = Callable[[Store], Awaitable[object]]
"""One operation."""
History = Sequence[tuple[str, Step | int]]
"""Operations, each with a name for messages, and seconds that go by between them."""


async def agree(
    one: Store,
    other: Store,
    clock: VirtualClock,
    history: History,
    *,
    after: Callable[[], None] | None = None,
) -> None:
    """See that both answer alike, with values and with errors; ``after`` is called after each operation."""
    for name, step in history:
        if isinstance(step, int):
            clock.advance(step)
        else:
            assert await _answer(one, step) == await _answer(other, step), name
            if after is not None:
                after()


async def _answer(store: Store, step: Step) -> object:
    try:
        return await step(store)
    except StoreError as error:
        return type(error), str(error)
