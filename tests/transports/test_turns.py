"""Turns: so many at once, in the order of waiting, and none is lost where somebody gives up."""

from __future__ import annotations

import asyncio

from dovetail.transports.http_client.turns import Turns


async def test_who_waited_longest_is_next() -> None:
    turns, order = Turns(2), list[int]()
    assert turns.take()
    assert turns.take()
    assert not turns.take()

    async def one(number: int) -> None:
        await turns.wait()
        order.append(number)
        turns.give_back()

    waiting = [asyncio.create_task(one(number)) for number in range(3)]
    await asyncio.sleep(0)
    assert order == []
    turns.give_back()
    assert not turns.take(), "it belongs to the first who waits"
    await asyncio.gather(*waiting)
    assert order == [0, 1, 2]
    assert turns.take()
    assert not turns.take()


async def test_who_gives_up_leaves_the_turn_to_others() -> None:
    """Before it was given, after it was, and in the moment between."""
    turns, had = Turns(1), list[str]()
    assert turns.take()

    async def one(name: str) -> None:
        await turns.wait()
        had.append(name)
        turns.give_back()

    gone, given, last = (asyncio.create_task(one(name)) for name in ("gone", "given", "last"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait((gone,))
    turns.give_back()  # to the second, which does not know it yet
    given.cancel()
    await asyncio.wait((given, last))
    assert gone.cancelled()
    assert given.cancelled()
    assert had == ["last"]
    assert turns.take()
    assert not turns.take()
