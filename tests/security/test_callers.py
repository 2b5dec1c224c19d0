"""Who counts as one caller, and how much of something one caller may have."""

from __future__ import annotations

import random

import pytest

from dovetail.security.callers import HERE, caller_of, network_of, outside, unidentified
from dovetail.security.principal import ANONYMOUS, Principal
from dovetail.security.quotas import Quotas

ALICE = Principal("https://issuer.test", "alice", "app")
PROGRAM = Principal("https://issuer.test", "", "job")


@pytest.mark.parametrize(
    "one,other,same",
    [
        ("203.0.113.7", "203.0.113.8", False),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:203.0.113.7", "203.0.113.7", True),
        ("::ffff:203.0.113.7", "::ffff:203.0.113.8", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("2001:DB8::1", "2001:db8:0:0:0:0:0:2", True),
        ("no address", "another", False),
    ],
)
def test_an_ipv6_network_is_one_caller_and_an_ipv4_address_another(one: str, other: str, same: bool) -> None:
    assert (network_of(one) == network_of(other)) is same
    assert (outside(one) == outside(other)) is same
    assert (caller_of(ANONYMOUS, one) == caller_of(ANONYMOUS, other)) is same


def test_what_is_no_address_has_a_bound() -> None:
    assert len(network_of("x" * 10_000)) <= 64
    assert len(network_of(":" * 10_000)) <= 64


@pytest.mark.parametrize("here", [None, "127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1", "localhost"])
def test_nobody_on_this_machine_is_told_apart(here: str | None) -> None:
    assert caller_of(ANONYMOUS, here) == outside(here) == HERE
    assert unidentified(here) is None


def test_a_person_is_one_caller_anywhere_and_a_program_one_in_each_network() -> None:
    assert caller_of(ALICE, "203.0.113.7") == caller_of(ALICE, "198.51.100.7") == caller_of(ALICE, None)
    assert caller_of(PROGRAM, "2001:db8::1") == caller_of(PROGRAM, "2001:db8::2")
    assert caller_of(PROGRAM, "2001:db8::1") != caller_of(PROGRAM, "198.51.100.7")


def test_kinds_of_callers_are_never_mistaken_for_one_another() -> None:
    """Whatever an issuer calls somebody: the key of a name is no text, that of a network is."""
    tricky = Principal("203.0.113.7", "203.0.113.7")
    keys = {
        caller_of(tricky, "203.0.113.7"),
        caller_of(ANONYMOUS, "203.0.113.7"),
        unidentified("203.0.113.7"),
        caller_of(PROGRAM, "203.0.113.7"),
        caller_of(ALICE, "203.0.113.7"),
    }
    assert len(keys) == 5


def test_shares() -> None:
    shares = Quotas(10, each=4, nameless=6)
    assert shares.take("a", 4)
    assert not shares.take("a"), "its part"
    assert shares.take("b", 2)
    assert not shares.take("c"), "that of all without a name"
    assert not shares.take(HERE), "which those on this machine are of"
    assert shares.take(("alice",), 3)
    assert not shares.fits(("alice",), 2)
    assert not shares.take(("bob",), 2), "that of all"
    assert shares.take(("bob",))
    assert shares.all == shares.total == 10
    shares.give_back("a", 4)
    assert shares.take(HERE, 4), "those on this machine have no part of their own"
    shares.give_back(HERE, 4)
    shares.give_back("b", 2)
    assert shares.of("b") == 0
    assert len(shares) == 2


def test_one_that_becomes_known_is_counted_anew() -> None:
    shares = Quotas(10, each=2, nameless=5)
    before = ("", "net")
    assert shares.take(before, 2)
    assert shares.move(before, ("alice",))
    assert (shares.of(before), shares.of(("alice",)), shares.all) == (1, 1, 2)
    assert shares.take(("bob",), 2)
    assert not shares.move(before, ("bob",)), "who has his part already"
    assert (shares.of(before), shares.of(("bob",)), shares.all) == (1, 2, 4)
    assert shares.move(before, before)
    assert shares.take("net", 2)
    assert not shares.move(before, "net")
    assert (shares.of(before), shares.of("net"), shares.all) == (1, 2, 6)


@pytest.mark.parametrize("bounds", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_bounds_that_let_nobody_in_are_refused(bounds: tuple[int, int, int]) -> None:
    total, each, nameless = bounds
    with pytest.raises(ValueError, match="at least 1"):
        Quotas(total, each=each, nameless=nameless)


def test_shares_hold_whatever_comes() -> None:
    """Compared with a list of who has what."""
    chance = random.Random(7)
    callers = ["", None, "a", "b", ("", "a"), ("alice",), ("bob",)]
    shares, taken = Quotas(30, each=9, nameless=12), list[tuple[object, int]]()

    def of(caller: object) -> int:
        return sum(amount for who, amount in taken if who == caller)

    for _ in range(5_000):
        caller, amount = chance.choice(callers), chance.randint(1, 5)
        if taken and chance.random() < 0.45:
            who, had = taken.pop(chance.randrange(len(taken)))
            shares.give_back(who, had)
            continue
        nameless = sum(had for who, had in taken if isinstance(who, str))
        fits = sum(had for _, had in taken) + amount <= 30
        fits &= not caller or of(caller) + amount <= 9
        fits &= not isinstance(caller, str) or nameless + amount <= 12
        assert shares.fits(caller, amount) is fits
        half = 2 * (sum(had for _, had in taken) + amount) <= 30
        half &= not caller or 2 * (of(caller) + amount) <= 9
        half &= not isinstance(caller, str) or 2 * (nameless + amount) <= 12
        assert shares.plenty(caller, amount) is half
        assert shares.take(caller, amount) is fits
        if fits:
            taken.append((caller, amount))
        assert shares.all == sum(had for _, had in taken)
        assert all(shares.of(each) == of(each) for each in callers if each)
