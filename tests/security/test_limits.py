"""The rate limiter, against a plain token bucket."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.security.limits import LogThrottle, RateLimiter


class Clock:
    """A clock that goes when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_then_the_rate():
    clock = Clock()
    limiter = RateLimiter(2, 3, clock=clock)
    assert [limiter.take("a") for _ in range(3)] == [0, 0, 0]
    assert limiter.take("a") == pytest.approx(0.5)
    assert limiter.take("b") == 0
    clock.now = 0.49
    assert limiter.take("a") == pytest.approx(0.01)
    clock.now = 0.5
    assert limiter.take("a") == 0
    assert limiter.take("a") > 0
    clock.now = 100
    assert [limiter.take("a") == 0 for _ in range(4)] == [True, True, True, False]


@given(
    rate=st.sampled_from([0.5, 1.0, 4.0]),
    burst=st.integers(1, 5),
    steps=st.lists(st.tuples(st.sampled_from([0.0, 0.25, 1.0, 8.0]), st.integers(1, 6)), max_size=60),
)
def test_it_is_a_token_bucket(rate, burst, steps):
    clock = Clock()
    limiter = RateLimiter(rate, burst, clock=clock)
    tokens, last = float(burst), 0.0
    for pause, cost in steps:
        clock.now += pause
        tokens, last = min(burst, tokens + (clock.now - last) * rate), clock.now
        wait = limiter.take("k", cost)
        if cost > burst:
            assert wait == math.inf
        elif tokens >= cost:
            assert wait == 0
            tokens -= cost
        else:
            assert wait == pytest.approx((cost - tokens) / rate)


def test_waiting_as_told_is_enough():
    clock = Clock()
    limiter = RateLimiter(3, 1, clock=clock)
    clock.now = 1e6 / 7
    assert limiter.take("k") == 0
    for _ in range(1000):
        wait = limiter.take("k")
        assert wait > 0
        clock.now += wait
        assert limiter.take("k") == 0


def test_the_table_is_bounded_and_a_limited_key_stays_in_it():
    clock = Clock()
    limiter = RateLimiter(1, 5, max_keys=100, clock=clock)
    for _ in range(5):
        limiter.take("greedy")
    for number in range(1000):
        clock.now += 0.01  # each other key is full again after one second, and goes before the greedy one
        assert limiter.take(number) == 0
        if number % 10 == 0 and clock.now < 0.9:
            assert limiter.take("greedy") > 0
        assert len(limiter) <= 100
    clock.now += 100
    for number in range(60):
        limiter.take(("later", number))
    assert len(limiter) <= 60


def test_full_buckets_are_forgotten_first():
    clock = Clock()
    limiter = RateLimiter(1, 2, max_keys=2, clock=clock)
    limiter.take("old")
    clock.now = 5
    limiter.take("spent", 2)
    limiter.take("new")
    assert limiter.take("spent") > 0


@pytest.mark.parametrize("arguments", [(0, 1), (-1, 1), (math.inf, 1), (math.nan, 1), (1, 0)])
def test_senseless_limits_are_refused(arguments):
    with pytest.raises(ValueError, match=r"rate|burst"):
        RateLimiter(*arguments)


@pytest.mark.parametrize("cost", [0, -1, math.nan])
def test_senseless_costs_are_refused(cost):
    with pytest.raises(ValueError, match="cost"):
        RateLimiter(1, 1).take("k", cost)


def test_what_is_told_seldom() -> None:
    now = [0.0]
    seldom = LogThrottle(60.0, clock=lambda: now[0])
    assert [seldom.due("a"), seldom.due("a"), seldom.due("b")] == [True, False, True]
    now[0] = 59.0
    assert not seldom.due("a")
    now[0] = 61.0
    assert seldom.due("a")
    now[0] = 1000.0
    assert sum(seldom.due(number) for number in range(100)) == 10
    now[0] = 1010.1
    assert seldom.due("next")
