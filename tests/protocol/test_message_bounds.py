"""What a message may cost to read: depth and items are counted exactly, in time that grows with the bytes alone."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest

from dovetail.protocol import envelope
from dovetail.protocol.envelope import MAX_DEPTH, MAX_ITEMS, Malformed, check_bounds

LETTERS = '[]{}",\\a\n/é€'


def verdict(data: bytes) -> str:
    try:
        check_bounds(data)
    except Malformed as problem:
        return problem.error.message
    return ""


def deep(levels: int, inside: str = "") -> bytes:
    return ("[" * levels + inside + "]" * levels).encode()


def depth(tree: Any) -> int:
    if isinstance(tree, dict):
        return 1 + max(map(depth, tree.values()), default=0)
    return 1 + max(map(depth, tree), default=0) if isinstance(tree, list) else 0


def text(rng: random.Random) -> str:
    return "".join(rng.choice(LETTERS) for _ in range(rng.randrange(8)))


def tree(rng: random.Random, levels: int) -> Any:
    if levels <= 0:
        return rng.choice([1, None, text(rng), [], {}])
    rest = rng.choice([text(rng), [text(rng)], tree(rng, rng.randrange(min(levels, 5)))])
    inner = tree(rng, levels - 1)
    return {text(rng) + "1": rest, text(rng) + "2": inner} if rng.random() < 0.5 else [rest, inner]


@pytest.mark.parametrize("seed", range(40))
def test_depth_is_that_of_the_json(seed: int) -> None:
    """Brackets in strings don't count, whatever else is in the strings, and those outside all do."""
    rng = random.Random(seed)
    for levels in (3, 40, MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1):
        value = tree(rng, levels)
        for escaped in (False, True):
            data = json.dumps(value, ensure_ascii=escaped).encode()
            assert bool(verdict(data)) == (depth(value) > MAX_DEPTH)


@pytest.mark.parametrize("padding", [0, 200_000])
def test_the_deepest_that_is_taken(padding: int) -> None:
    """Among siblings, and behind strings that look like an end."""
    for inside in ("", '"]", "[[[\\"", "\\\\"', ",".join(["[]"] * 300)):
        for levels in (MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1):
            data = b'["' + b"[" * padding + b'",' + deep(levels - 1, inside) + b"]"
            wanted = levels + (inside.startswith("[")) > MAX_DEPTH
            assert bool(verdict(data)) == wanted, (inside, levels)


def test_the_most_items_that_are_taken() -> None:
    """An opening and a comma count; those in strings don't."""
    strings = b'"' + b"[,{" * 100_000 + b'",'
    for data, most in ((b"[%b]", MAX_ITEMS), (b"[" + strings + b"%b]", MAX_ITEMS - 1)):
        assert not verdict(data % b",".join([b"1"] * most))
        assert "items" in verdict(data % b",".join([b"1"] * (most + 1)))
    assert "items" in verdict(b"[" + b",".join([b"{}"] * (MAX_ITEMS // 2 + 1)) + b"]")


def test_bad_text_is_found_where_it_is() -> None:
    """A letter that is cut in two by the pieces in which a text is read is no fault; half a letter is one."""
    for before in range(65_530, 65_540):
        data = b'"' + b"a" * before + "é€𝄞".encode() * 50_000 + b'"'
        assert not verdict(data)
        place = before + 1 + 9 * 40_000 + 1
        assert verdict(data[:place] + b"\xff" + data[place + 1 :]).endswith(f"(byte {place - 1})")
    assert verdict(b'"' + b"a" * 70_000 + b"\xe2\x82").endswith("(byte 70001)")


FLOODS = {
    "quotes": b'"',
    "backslashes": b"\\\\",
    "openings": b"[",
    "closings": b"]",
    "objects": b'{"a":',
    "closing strings": b'"]" ',
    "opening strings": b'"[",',
    "escaped quotes": b'\\"',
    "pairs": b"[]",
    "letters": "é".encode(),
}


@pytest.mark.parametrize("flood", FLOODS)
@pytest.mark.parametrize("opened", [b"", b"[" * 129, b"[" * 129 + b'"'])
def test_no_flood_takes_long(flood: str, opened: bytes) -> None:
    """Some nanoseconds a byte at most; the bound is generous, and in seconds of this thread alone."""
    data = opened + FLOODS[flood] * (4_000_000 // len(FLOODS[flood]))
    began = time.thread_time()
    with pytest.raises(Malformed):
        envelope.read(data)
    assert time.thread_time() - began < 0.8
