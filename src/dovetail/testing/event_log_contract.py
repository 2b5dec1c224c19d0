"""What an `EventLog` does: the third part of `store_contract`.

Theory of operation
-------------------
Run as a part of `StoreContract`, which says how.

Specification: "Session Management" and "Resumability and Redelivery" in basic/transports of 2025-03-26 to
2025-11-25.
"""
# ruff: noqa: S101 - a suite of tests is made of assertions

from __future__ import annotations

import asyncio

try:
    import pytest
except ImportError as error:
    raise ImportError(
        "The contract suite of the stores runs in pytest: pip install pytest pytest-asyncio"
    ) from error

from dovetail.stores.contracts import Event, Store
from dovetail.stores.errors import EventsTrimmed, KeyInvalid, StreamEnded, StreamUnknown, ValueTooLarge
from dovetail.testing.store_setting import BAD_KEYS, Advance

__all__ = ["EventLogContract"]


class EventLogContract:
    """What an `EventLog` does."""

    async def test_events_are_numbered_and_read_in_order(self, store: Store) -> None:
        for number in range(1, 6):
            assert await store.events.append("s", b"%d" % number) == number
        assert await store.events.append("other", b"\0") == 1
        assert await store.events.read("s", 0) == [Event(number, b"%d" % number) for number in range(1, 6)]
        assert await store.events.read("s", 2, limit=2) == [Event(3, b"3"), Event(4, b"4")]
        assert await store.events.read("s", 5) == []
        assert await store.events.read("other", 0) == [Event(1, b"\0")]
        assert await store.events.last("s") == 5
        with pytest.raises(ValueError, match="at least one"):
            await store.events.read("s", 0, limit=0)

    async def test_events_of_a_whole_stream_are_kept_in_one_move(self, store: Store) -> None:
        await store.events.keep("s", [b"", b"answer"])
        assert await store.events.is_closed("s")
        assert await store.events.read("s", 0) == [Event(1, b""), Event(2, b"answer")]
        assert await store.events.read("s", 1) == [Event(2, b"answer")]
        await store.events.append("open", b"1")
        for stream in ("s", "open"):
            with pytest.raises(StreamEnded):
                await store.events.keep(stream, [b"again"])
        assert await store.events.append("open", b"2") == 2
        with pytest.raises(ValueTooLarge):
            await store.events.keep("large", [b"", b"x" * 4_097])
        with pytest.raises(StreamUnknown):
            await store.events.last("large")
        for name in BAD_KEYS:
            with pytest.raises(KeyInvalid):
                await store.events.keep(name, [b""])

    async def test_events_of_concurrent_appends_have_no_gap(self, store: Store) -> None:
        for start in (0, 5):
            numbers = await asyncio.gather(*(store.events.append("s", b"") for _ in range(5)))
            assert sorted(numbers) == list(range(start + 1, start + 6))
        assert [event.sequence for event in await store.events.read("s", 0)] == list(range(1, 11))

    async def test_events_beyond_the_count_are_trimmed(self, store: Store) -> None:
        for number in range(1, 26):
            assert await store.events.append("s", b"%d" % number) == number
        assert [event.sequence for event in await store.events.read("s", 15)] == list(range(16, 26))
        with pytest.raises(EventsTrimmed) as caught:
            await store.events.read("s", 14)
        assert (caught.value.after, caught.value.oldest, caught.value.last) == (14, 16, 25)

    async def test_events_beyond_the_bytes_are_trimmed(self, store: Store) -> None:
        for size in (2000, 2000, 96, 1):
            await store.events.append("s", b"x" * size)
        assert [len(event.data) for event in await store.events.read("s", 1)] == [2000, 96, 1]
        with pytest.raises(EventsTrimmed):
            await store.events.read("s", 0)
        assert await store.events.append("s", b"x" * 4_096) == 5
        assert [event.sequence for event in await store.events.read("s", 4)] == [5]
        with pytest.raises(ValueTooLarge):
            await store.events.append("s", b"x" * 4_097)
        assert await store.events.last("s") == 5

    async def test_events_of_no_stream(self, store: Store) -> None:
        for call in (store.events.last, store.events.close, store.events.is_closed):
            with pytest.raises(StreamUnknown):
                await call("s")
        with pytest.raises(StreamUnknown):
            await store.events.read("s", 0)
        assert not await store.events.drop("s")
        await store.events.append("s", b"")
        for after in (-1, 2, 10**30):
            with pytest.raises(StreamUnknown):
                await store.events.read("s", after)

    async def test_events_of_a_closed_stream_can_be_read(self, store: Store) -> None:
        await store.events.append("s", b"1")
        assert not await store.events.is_closed("s")
        await store.events.close("s")
        await store.events.close("s")
        assert await store.events.is_closed("s")
        assert await store.events.read("s", 0) == [Event(1, b"1")]
        with pytest.raises(StreamEnded):
            await store.events.append("s", b"2")

    async def test_events_expire_after_the_last_append(self, store: Store, advance: Advance) -> None:
        for stream in ("open", "closed"):
            await store.events.append(stream, b"1")
        advance(899)
        for stream in ("open", "closed"):
            await store.events.append(stream, b"2")
        await store.events.close("closed")
        advance(899)
        assert len(await store.events.read("open", 0)) == 2
        assert len(await store.events.read("closed", 0)) == 2
        advance(1)
        with pytest.raises(StreamUnknown):
            await store.events.read("closed", 0)
        with pytest.raises(EventsTrimmed) as caught:
            await store.events.read("open", 1)
        assert (caught.value.oldest, caught.value.last) == (3, 2)
        assert await store.events.read("open", 2) == [], "nothing was missed"

    async def test_events_never_reuse_a_sequence(self, store: Store, advance: Advance) -> None:
        for stream in ("s", "swept"):
            await store.events.append(stream, b"1")
        advance(900)
        await store.events.append("another", b"")
        assert await store.events.append("s", b"2") == 2
        assert await store.events.read("s", 1) == [Event(2, b"2")]
        with pytest.raises(EventsTrimmed):
            await store.events.read("s", 0)
        advance(86_399)
        assert await store.events.last("s") == 2
        with pytest.raises(StreamUnknown):
            await store.events.last("swept")
        advance(1)
        with pytest.raises(StreamUnknown):
            await store.events.last("s")
        assert await store.events.append("s", b"") == 1

    async def test_events_of_a_session_are_dropped_together(self, store: Store) -> None:
        for stream in ("a/1", "a/2", "a", "a0", "b/1"):
            await store.events.append(stream, b"1")
        assert await store.events.drop_prefix("a/") == 2
        assert await store.events.drop_prefix("a/") == 0
        for stream in ("a", "a0", "b/1"):
            assert await store.events.read(stream, 0) == [Event(1, b"1")]
        with pytest.raises(StreamUnknown):
            await store.events.read("a/1", 0)
        assert await store.events.drop("b/1")
        assert await store.events.append("b/1", b"new") == 1
        assert await store.events.read("b/1", 0) == [Event(1, b"new")], (
            "nothing of the dropped stream comes back"
        )
        for name in BAD_KEYS:
            with pytest.raises(KeyInvalid):
                await store.events.append(name, b"")
            with pytest.raises(KeyInvalid):
                await store.events.drop_prefix(name)
