"""What a `KeyValue` does: the first part of `store_contract`.

Theory of operation
-------------------
Run as a part of `StoreContract`, which says how.

Specification: "Session Management" and "Resumability and Redelivery" in basic/transports of 2025-03-26 to
2025-11-25.
"""
# ruff: noqa: S101 - a suite of tests is made of assertions

from __future__ import annotations

import asyncio
from typing import cast

try:
    import pytest
except ImportError as error:
    raise ImportError(
        "The contract suite of the stores runs in pytest: pip install pytest pytest-asyncio"
    ) from error

from dovetail.stores.contracts import KeyValue, Store
from dovetail.stores.errors import KeyInvalid, StoreFull, ValueTooLarge
from dovetail.testing.store_setting import BAD_KEYS, Advance, scanned

__all__ = ["KeyValueContract"]


SHARE = 1 / 4096
"""64 KiB of the bounds of the contract."""


async def filled(kv: KeyValue, *, ttl: float | None = None) -> int:
    """Write until there is no room, 1 KiB at a time or a little less; how often that went well."""
    for number in range(1000):
        try:
            await kv.set(f"{number}", b"x" * 760, ttl=ttl)
        except StoreFull:
            return number
    return 1000


class KeyValueContract:
    """What a `KeyValue` does."""

    async def test_kv_keeps_and_replaces_values(self, store: Store) -> None:
        kv = store.kv
        assert await kv.get("a") is None
        await kv.set("a", b"1")
        await kv.set("a", b"\0\xff" * 1000)
        await kv.set("empty", b"")
        assert await kv.get("a") == b"\0\xff" * 1000
        assert await kv.get("empty") == b""
        assert await kv.delete("a")
        assert not await kv.delete("a")
        assert await kv.get("a") is None

    async def test_kv_add_puts_only_where_nothing_is(self, store: Store, advance: Advance) -> None:
        assert await store.kv.add("a", b"1", ttl=10)
        assert not await store.kv.add("a", b"2")
        advance(10)
        assert await store.kv.add("a", b"3")
        assert await store.kv.get("a") == b"3"

    async def test_kv_take_gives_a_value_once(self, store: Store, advance: Advance) -> None:
        await store.kv.set("a", b"1")
        assert await store.kv.take("a") == b"1"
        assert await store.kv.take("a") is None
        await store.kv.set("a", b"2", ttl=1)
        advance(1)
        assert await store.kv.take("a") is None

    async def test_kv_one_of_a_hundred_takers_wins(self, store: Store) -> None:
        for _ in range(5):
            await store.kv.set("a", b"prize")
            taken = await asyncio.gather(*(store.kv.take("a") for _ in range(100)))
            assert taken.count(b"prize") == 1
            assert taken.count(None) == 99

    async def test_kv_one_of_a_hundred_adders_wins(self, store: Store) -> None:
        added = await asyncio.gather(*(store.kv.add("a", b"%d" % number) for number in range(100)))
        assert added.count(True) == 1
        assert await store.kv.get("a") == b"%d" % added.index(True)

    async def test_kv_compare_and_set(self, store: Store, advance: Advance) -> None:
        move = store.kv.compare_and_set
        assert not await move("a", b"0", b"1")
        assert await move("a", None, b"1", ttl=10)
        assert not await move("a", None, b"2")
        assert await move("a", b"1", b"2")
        advance(10)
        assert await store.kv.get("a") == b"2", "the move without a ttl cleared the expiry"
        assert not await move("a", b"1", None)
        assert await move("a", b"2", None)
        assert await store.kv.get("a") is None
        assert await move("a", None, None)
        await store.kv.set("a", b"3", ttl=1)
        advance(1)
        assert not await move("a", b"3", b"4"), "what has expired is not there"

    async def test_kv_compare_and_set_loses_no_increment(self, store: Store) -> None:
        async def increment() -> None:
            while True:
                before = await store.kv.get("n")
                if await store.kv.compare_and_set("n", before, b"%d" % (int(before or b"0") + 1)):
                    return

        await asyncio.gather(*(increment() for _ in range(25)))
        assert await store.kv.get("n") == b"25"

    async def test_kv_expiry(self, store: Store, advance: Advance) -> None:
        kv = store.kv
        await kv.set("short", b"1", ttl=10)
        await kv.set("long", b"1", ttl=10)
        await kv.set("ever", b"1", ttl=10)
        await kv.set("ever", b"1")
        assert await kv.expire("long", 100)
        advance(9.75)
        assert await kv.get("short") == b"1"
        advance(0.25)
        assert await kv.get("short") is None
        assert not await kv.expire("short", 10), "no way back"
        assert not await kv.delete("short")
        assert await scanned(store) == ["ever", "long"]
        assert await kv.expire("long", 1), "shorter works too"
        advance(1)
        assert await scanned(store) == ["ever"]
        assert not await kv.expire("missing", 10)

    async def test_kv_scan_gives_every_key_once(self, store: Store) -> None:
        expected = sorted([f"k/{number}" for number in range(700)])
        await asyncio.gather(*(store.kv.set(key, b"") for key in [*expected, "j", "k", "k0", "l"]))
        assert await scanned(store, "k/") == expected
        assert len(await scanned(store)) == 704
        assert await scanned(store, "none") == []

    async def test_kv_scan_bears_changes_meanwhile(self, store: Store) -> None:
        steady = {f"s{number:04}" for number in range(600)}
        await asyncio.gather(
            *(store.kv.set(key, b"") for key in steady), *(store.kv.set(f"t{n}", b"") for n in range(9))
        )
        seen: list[str] = []
        async for key in store.kv.scan():
            seen.append(key)
            if len(seen) % 50 == 0:
                await store.kv.set(f"new{len(seen)}", b"")
                await store.kv.delete(f"t{len(seen) // 50}")
        assert len(seen) == len(set(seen))
        assert steady <= set(seen)

    async def test_kv_prefixes_are_literal(self, store: Store) -> None:
        keys = [
            "a%b",
            "a_b",
            "axb",
            "a*b",
            "A%b",
            "\ud7ff1",
            "\ue0001",
            "\U0010ffff",
            "\U0010ffff\U0010ffff1",
            "é",
            "z",
        ]
        for key in keys:
            await store.kv.set(key, key.encode())
        assert await scanned(store, "a%") == ["a%b"]
        assert await scanned(store, "a_") == ["a_b"]
        assert await scanned(store, "\ud7ff") == ["\ud7ff1"]
        assert await scanned(store, "\U0010ffff") == ["\U0010ffff", "\U0010ffff\U0010ffff1"]
        assert await scanned(store) == sorted(keys)

    async def test_kv_views_are_apart(self, store: Store, advance: Advance) -> None:
        codes, old = store.kv.within("codes/"), store.kv.within("codes/").within("old/")
        await codes.set("1", b"new")
        await old.set("1", b"old", ttl=5)
        await store.kv.set("codes/", b"the bare prefix")
        assert await store.kv.get("codes/1") == b"new"
        assert await store.kv.get("codes/old/1") == b"old"
        assert sorted([key async for key in codes.scan()]) == ["1", "old/1"]
        assert [key async for key in old.scan("1")] == ["1"]
        assert await old.take("1") == b"old"
        assert await old.add("1", b"again", ttl=5)
        assert await old.compare_and_set("1", b"again", b"more", ttl=5)
        assert await old.expire("1", 7)
        advance(7)
        assert await old.get("1") is None
        assert await codes.delete("1")
        with pytest.raises(KeyInvalid):
            await codes.get("")
        with pytest.raises(KeyInvalid):
            await codes.get("x" * 507)
        with pytest.raises(KeyInvalid):
            codes.within("")

    async def test_kv_a_full_share_takes_no_room_from_others(self, store: Store) -> None:
        one, two = (store.kv.within(prefix, share=SHARE) for prefix in ("one/", "two/"))
        taken = await filled(one)
        assert 55 <= taken <= 64
        for again in (one.set("n", b"x"), one.add("n", b"x"), one.compare_and_set("n", None, b"x")):
            with pytest.raises(StoreFull):
                await again
        assert await one.get("n") is None
        assert await filled(two) == taken
        await store.kv.set("beside", b"x" * 60_000)
        await store.kv.within("three/").set("beside", b"x" * 60_000)
        await one.set("0", b"y" * 760)  # in the place of another there is room
        assert await one.take("0") == b"y" * 760
        await one.set("n", b"x" * 760)
        with pytest.raises(StoreFull):
            await one.set("0", b"x" * 760)

    async def test_kv_shares_stand_in_shares(self, store: Store) -> None:
        outer = store.kv.within("outer/", share=SHARE)
        users = [outer.within(f"{number}/", share=0.25) for number in range(6)]
        assert [14 <= await filled(user) <= 16 for user in users[:3]] == [True] * 3
        await users[3].set("0", b"x" * 760)
        taken = [await filled(users[4]), await filled(users[5])]
        assert taken[0] >= 14, "one that is full takes nothing from the next"
        assert taken[1] < 10, "together they have what the outer one has"
        for number in range(20):
            await users[0].delete(f"{number}")
        assert await filled(users[5]) >= 14
        with pytest.raises(ValueError, match="deep"):
            users[0].within("deeper/", share=0.5)
        await users[3].within("deeper/").set("0", b"x")

    async def test_kv_what_is_gone_leaves_its_share(self, store: Store, advance: Advance) -> None:
        one = store.kv.within("one/", share=SHARE)
        taken = await filled(one, ttl=10)
        advance(10)
        assert await filled(one) == taken
        await store.kv.set("one/1", b"x" * 760)  # beside the view: it counts there no longer
        assert await one.add("more", b"x" * 760)
        with pytest.raises(StoreFull):
            await one.set("1", b"x" * 760)
        assert await one.delete("more")
        for _ in range(200):
            await one.set("1", b"", ttl=10)
            assert await one.expire("1", 20)
            await one.take("1")
        await one.set("1", b"x" * 760)

    async def test_kv_a_share_holds_against_all_at_once(self, store: Store) -> None:
        one = store.kv.within("one/", share=SHARE)
        outcomes = await asyncio.gather(
            *(one.add(f"{number}", b"x" * 760) for number in range(100)), return_exceptions=True
        )
        done = [outcome for outcome in outcomes if outcome is True]
        assert 55 <= len(done) <= 64
        assert all(isinstance(outcome, StoreFull) for outcome in outcomes if outcome is not True)

    async def test_kv_shares_are_parts_of_a_whole(self, store: Store) -> None:
        for share in (0, -0.5, 1.01, float("nan")):
            with pytest.raises(ValueError, match="share"):
                store.kv.within("one/", share=share)
        store.kv.within("one/", share=0.75)
        store.kv.within("one/", share=0.75)
        with pytest.raises(ValueError, match=r"0\.75 is given away"):
            store.kv.within("two/", share=0.5)
        store.kv.within("two/", share=0.25)

    async def test_kv_refuses_what_it_cannot_keep(self, store: Store) -> None:
        await store.kv.set("x" * 512, b"x" * 65_536)
        with pytest.raises(ValueTooLarge) as caught:
            await store.kv.set("a", b"x" * 65_537)
        assert (caught.value.size, caught.value.limit) == (65_537, 65_536)
        for key in BAD_KEYS:
            with pytest.raises(KeyInvalid):
                await store.kv.set(key, b"")
            with pytest.raises(KeyInvalid):
                await store.kv.take(key)
        for ttl in (0, -1, float("inf"), float("nan")):
            with pytest.raises(ValueError, match="time to live"):
                await store.kv.set("a", b"", ttl=ttl)
        with pytest.raises(TypeError):
            await store.kv.set("a", cast("bytes", bytearray(b"mutable")))
        assert await store.kv.get("a") is None
