"""What a `SessionStore` does: the second part of `store_contract`.

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

from dovetail.stores.contracts import Store
from dovetail.stores.errors import KeyInvalid, SessionExists, StoreFull, ValueTooLarge
from dovetail.testing.store_setting import BAD_KEYS, Advance, a_session

__all__ = ["SessionContract"]


class SessionContract:
    """What a `SessionStore` does."""

    async def test_session_is_kept_as_created(self, store: Store) -> None:
        assert await store.sessions.load("s") is None
        await store.sessions.create(a_session(data=b"\0\xff"))
        record = await store.sessions.load("s")
        assert record is not None
        assert (record.id, record.version, record.principal, record.data) == ("s", 1, "alice", b"\0\xff")
        assert record.created == record.seen < 1e11, "times ahead of the clock count as now"
        with pytest.raises(SessionExists):
            await store.sessions.create(a_session(principal="mallory"))
        assert await store.sessions.delete("s")
        assert not await store.sessions.delete("s")
        assert await store.sessions.load("s") is None

    async def test_session_save_compares_versions(self, store: Store) -> None:
        await store.sessions.create(a_session())
        changed = a_session(version=2, data=b"two")
        assert await store.sessions.save(changed, expected_version=1)
        assert not await store.sessions.save(changed, expected_version=1)
        assert not await store.sessions.save(a_session("other", version=2), expected_version=1)
        record = await store.sessions.load("s")
        assert record is not None
        assert (record.version, record.data) == (2, b"two")
        with pytest.raises(ValueError, match="version"):
            await store.sessions.save(a_session(version=2), expected_version=2)

    async def test_session_never_changes_hands(self, store: Store) -> None:
        await store.sessions.create(a_session())
        created = await store.sessions.load("s")
        assert await store.sessions.save(a_session(version=2, principal="mallory"), expected_version=1)
        record = await store.sessions.load("s")
        assert created is not None
        assert record is not None
        assert (record.principal, record.created) == ("alice", created.created)

    async def test_session_one_of_many_savers_wins(self, store: Store) -> None:
        await store.sessions.create(a_session())
        saves = [a_session(version=2, data=b"%d" % number) for number in range(50)]
        saved = await asyncio.gather(*(store.sessions.save(save, expected_version=1) for save in saves))
        assert saved.count(True) == 1
        record = await store.sessions.load("s")
        assert record is not None
        assert record.data == b"%d" % saved.index(True)

    async def test_session_ends_when_idle(self, store: Store, advance: Advance) -> None:
        for id in ("touched", "saved", "loaded"):
            await store.sessions.create(a_session(id))
        advance(3599)
        assert await store.sessions.touch("touched")
        assert await store.sessions.save(a_session("saved", version=2), expected_version=1)
        assert await store.sessions.load("loaded") is not None
        advance(1)
        assert await store.sessions.load("loaded") is None
        assert not await store.sessions.touch("loaded")
        assert not await store.sessions.save(a_session("loaded", version=2), expected_version=1)
        assert not await store.sessions.delete("loaded")
        touched = await store.sessions.load("touched")
        assert touched is not None
        assert touched.seen == touched.created + 3599
        assert touched.version == 1
        assert await store.sessions.count() == 2
        await store.sessions.create(a_session("loaded"))

    async def test_session_ends_at_last(self, store: Store, advance: Advance) -> None:
        await store.sessions.create(a_session())
        for _ in range(23):
            advance(3599)
            assert await store.sessions.touch("s")
        advance(3599)
        assert await store.sessions.touch("s"), "86 376 s"
        advance(24)
        assert await store.sessions.load("s") is None

    async def test_session_counts_and_caps(self, store: Store, advance: Advance) -> None:
        for number in range(8):
            await store.sessions.create(a_session(f"a{number}"))
        with pytest.raises(StoreFull) as caught:
            await store.sessions.create(a_session("a8"))
        assert caught.value.limit == 8
        advance(60)
        for number in range(12):
            await store.sessions.create(a_session(f"b{number}", principal=f"p{number}"))
        with pytest.raises(StoreFull) as caught:
            await store.sessions.create(a_session("b12", principal=""))
        assert caught.value.limit == 20
        assert await store.sessions.count() == 20
        assert await store.sessions.count("alice") == 8
        assert await store.sessions.count("nobody") == 0
        advance(3540)
        assert await store.sessions.count("alice") == 0
        assert await store.sessions.count() == 12
        for number in range(8):
            await store.sessions.create(a_session(f"a{number}"))
        assert await store.sessions.delete("b0")
        await store.sessions.create(a_session("b12", principal=""))
        assert await store.sessions.count("") == 1

    async def test_session_of_an_anonymous_principal_goes_when_it_is_the_idlest(
        self, store: Store, advance: Advance
    ) -> None:
        for number in range(8):
            await store.sessions.create(a_session(f"a{number}", principal="anonymous@a"))
            advance(1)
        await store.sessions.create(a_session("other", principal="anonymous@ab"))
        assert await store.sessions.save(a_session("a0", version=2), expected_version=1)
        advance(1)
        first = [list(await store.sessions.create(a_session(id, principal="anonymous@a"))) for id in "xy"]
        assert first == [["a1"], ["a2"]], "where most were never saved: the oldest of those"
        for id in ("a3", "a4", "x", "a6"):
            assert await store.sessions.save(a_session(id, version=2), expected_version=1)
        advance(1)
        for id in ("a0", "a5", "y"):
            assert await store.sessions.touch(id)
        second = [list(await store.sessions.create(a_session(id, principal="anonymous@a"))) for id in "pq"]
        assert second == [["a7"], ["a3"]], "else the one that was not seen for longest, whatever it is"
        assert await store.sessions.load("a3") is None
        assert await store.sessions.load("p") is not None, "what has just begun is not the idlest"
        assert await store.sessions.load("other") is not None, "nobody pays for another principal"
        assert await store.sessions.count("anonymous@a") == 8

    async def test_session_of_an_anonymous_principal_gives_way(self, store: Store, advance: Advance) -> None:
        for number in range(20):
            principal = f"anonymous@{number}" if number % 2 else ""
            assert list(await store.sessions.create(a_session(f"a{number:02}", principal=principal))) == (
                ["a00"] if number == 16 else ["a02"] if number == 18 else []
            )
            advance(1)
        for number, gone in enumerate(("", "", "a01", "a03", "a04")):
            found = await store.sessions.create(a_session(f"b{number}", principal=f"p{number}"))
            assert list(found) == ([gone] if gone else [])
        assert await store.sessions.count() == 20
        for number in range(15):
            await store.sessions.create(a_session(f"c{number}", principal=f"q{number}"))
        with pytest.raises(StoreFull) as caught:
            await store.sessions.create(a_session("c15", principal="anonymous@1"))
        assert caught.value.limit == 20
        assert await store.sessions.count("p0") == 1

    async def test_session_caps_hold_in_a_crowd(self, store: Store) -> None:
        async def create(number: int) -> bool:
            try:
                await store.sessions.create(a_session(f"s{number}", principal=f"p{number % 2}"))
            except StoreFull:
                return False
            return True

        assert sum(await asyncio.gather(*(create(number) for number in range(100)))) == 16
        assert await store.sessions.count() == 16

    async def test_session_refuses_what_it_cannot_keep(self, store: Store) -> None:
        with pytest.raises(ValueTooLarge):
            await store.sessions.create(a_session(data=b"x" * 4_097))
        await store.sessions.create(a_session())
        with pytest.raises(ValueTooLarge):
            await store.sessions.save(a_session(version=2, data=b"x" * 4_097), expected_version=1)
        for id in BAD_KEYS:
            with pytest.raises(KeyInvalid):
                await store.sessions.create(a_session(id))
            with pytest.raises(KeyInvalid):
                await store.sessions.load(id)
        with pytest.raises(KeyInvalid):
            await store.sessions.create(a_session("t", principal="x" * 513))
