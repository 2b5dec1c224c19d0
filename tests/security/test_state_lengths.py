"""Recovering what a step recorded from the length of the state that carries it, and nothing else.

The client of each test is the attacker: it answers questions with texts of its choice, never opens a state, and only
counts its characters. Where a state is compressed, an answer that repeats the beginning of a secret makes it shorter,
so the secret falls letter by letter (as with compression in TLS, "CRIME"): that attack is also made on a sealer that
compresses, to show that it finds what can be found. Where all is padded together, an answer is made longer until the
padding is used up, and the length of the secret falls.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail import App, Context
from dovetail.protocol import rounds
from dovetail.protocol.revisions import STATELESS
from dovetail.security.sealing import Sealer
from dovetail.stores import MemoryStore
from wire_of_server import Wire

MODERN = pytest.mark.parametrize("revision", STATELESS)
ASKED = {"elicitation": {"form": {}}}
LETTERS = "GHJKLMNPQRTVWXYZ"
SECRET = "QKVZGRMW"
TRIES = 10
FILLERS = ["", *(filler for end in range(1, 9) for filler in ("~^|<>&%;"[:end], ";%&><|^~"[:end]))]


class Compressing:
    """A sealer as ours once was: it deflates what it seals. The content stays here; its length is all that counts."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def seal(self, plaintext: bytes, *, binding: bytes) -> str:
        smaller = zlib.compress(plaintext, 6)
        noise = hashlib.shake_256(smaller).digest(len(smaller) + 45)
        token = base64.urlsafe_b64encode(noise).decode().rstrip("=")
        self.kept[token] = plaintext
        return token

    def open(self, token: str, *, binding: bytes) -> bytes:
        return self.kept[token]


def make_app(secret: Any, *, sealer: Sealer | None = None, **options: Any) -> App:
    app = App("lengths", sealer=sealer, **options)

    @app.tool
    async def tool(ctx: Context) -> str:
        await ctx.elicit("A?", str, key="a")
        if secret is not None:
            await ctx.step("fetch", lambda: secret)
        return await ctx.elicit("B?", str, key="b")

    return app


def accept(text: str, **more: Any) -> dict[str, Any]:
    """An answer; members that nobody asked for are the client's choice as well."""
    return {"action": "accept", "content": {"value": text}, **more}


def compact(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> Wire:
    """The same wire without spaces in what it sends, so that an answer can look as what the server records."""

    async def send(message: Any) -> None:
        await wire.raw(json.dumps(message, separators=(",", ":")).encode())

    monkeypatch.setattr(wire, "send", send)
    return wire


async def begun(wire: Wire) -> dict[str, Any]:
    """A call whose first question waits for its answer, as the next request would go out without one."""
    asked = await wire.call("tool")
    return {"name": "tool", "arguments": {}, "requestState": asked["requestState"]}


async def length_of(wire: Wire, request: dict[str, Any], answer: dict[str, Any]) -> int:
    """All that the attacker sees: how long the next state is."""
    result = await wire.result("tools/call", {**request, "inputResponses": {"a": answer}})
    return len(result["requestState"])


async def recovered(wire: Wire) -> str:
    """The secret, as far as lengths tell it.

    Each letter that may come next is tried behind those that are known. Base64 shows bytes only in threes, and the
    codes of a compression change with each letter, so each try is repeated with other characters behind it.
    """
    request = await begun(wire)
    known = ""
    while len(known) < len(SECRET):
        scores = {
            letter: sum(
                [
                    await length_of(wire, request, accept("x", token=known + letter + filler))
                    for filler in FILLERS
                ]
            )
            for letter in LETTERS
        }
        best = min(scores.values())
        found = [letter for letter, score in scores.items() if score == best]
        if len(found) != 1:
            return known
        known += found[0]
    return known


@MODERN
@pytest.mark.hostile
async def test_lengths_spell_no_secret(revision: str, connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    faulty = await connect(make_app({"token": SECRET}, sealer=Compressing()), revision, ASKED)
    compact(faulty, monkeypatch)
    for _ in range(TRIES):  # what differs by chance (the call's nonce, the time) may mislead one
        if await recovered(faulty) == SECRET:
            break
    else:
        pytest.fail("the attack finds nothing where there is something to find")
    wire = compact(await connect(make_app({"token": SECRET}), revision, ASKED), monkeypatch)
    assert [await recovered(wire) for _ in range(TRIES)] == [""] * TRIES


@MODERN
@pytest.mark.hostile
async def test_a_longer_answer_does_not_count_the_secret(revision: str, connect: Any) -> None:
    """However long the answer of the client is: secrets of one bucket, and none at all, give states of one length."""
    secrets = (None, "", "yes", "no", SECRET, "x" * 100)
    wires = [await connect(make_app(secret), revision, ASKED) for secret in secrets]
    for extra in range(300):
        found = {await length_of(wire, await begun(wire), accept("x" * extra)) for wire in wires}
        assert len(found) == 1, extra


@MODERN
@pytest.mark.hostile
@pytest.mark.parametrize("store", [None, MemoryStore], ids=["refused", "stored"])
async def test_the_bounds_do_not_count_it_either(
    revision: str, store: Callable[[], MemoryStore] | None, connect: Any
) -> None:
    """What is too long to travel is stored or refused: at the same length of an answer, whatever is in the bucket."""
    options: dict[str, Any] = {"keys": ["k" * 32], "store": None if store is None else store()}
    wires = [await connect(make_app("x" * size, **options), revision, ASKED) for size in (0, 60, 100)]
    around = 5_200 if store is not None else (1 << 20) - 600

    async def turn(wire: Wire) -> int:
        """The least answer that does not travel."""
        low, high = around, around + 1500
        assert await fits(wire, low)
        assert not await fits(wire, high)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if await fits(wire, middle) else (low, middle)
        return high

    async def fits(wire: Wire, extra: int) -> bool:
        answer = {"inputResponses": {"a": accept("x" * extra)}}
        result = await wire.result("tools/call", {**await begun(wire), **answer})
        return len(result.get("requestState", "")) > 1000

    assert len({await turn(wire) for wire in wires}) == 1


@given(st.integers(0, 1 << 22))
def test_a_bucket_is_never_smaller_and_not_much_larger(size: int) -> None:
    length = rounds.padded(size)
    assert size <= length <= max(128, size + max(128, size // 8))
    assert rounds.padded(length) == length


def test_there_are_few_buckets() -> None:
    assert len({rounds.padded(size) for size in range(128, 1 << 20, 7)}) < 100
