"""Sealed state: what opens, and above all what does not."""

from __future__ import annotations

import base64
import builtins
import copy
import pickle
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.security.key_ring import KeyRing
from dovetail.security.sealing import (
    AESGCMSealer,
    HandleSealer,
    SealBroken,
    SealTooLarge,
    default_sealer,
)

RING = KeyRing.generate()


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def aes(**options) -> AESGCMSealer:
    return AESGCMSealer(options.pop("ring", RING), options.pop("purpose", "test"), **options)


SEALERS = [pytest.param(aes, id="aes-gcm"), pytest.param(HandleSealer, id="handles")]
FIXED = {"aes": aes(), "handles": HandleSealer()}


@pytest.mark.parametrize("kind", FIXED)
@given(plaintext=st.binary(max_size=3000), binding=st.binary(max_size=60))
def test_what_was_sealed_comes_back(kind, plaintext, binding):
    sealer = FIXED[kind]
    token = sealer.seal(plaintext, binding=binding)
    assert sealer.open(token, binding=binding) == plaintext
    assert sealer.open(token, binding=binding) == plaintext
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@pytest.mark.requirement("R2607-MRTR-012", "R2607-MRTR-011")
@pytest.mark.parametrize("make", SEALERS)
def test_every_flipped_bit_is_seen(make):
    sealer = make()
    token = sealer.seal(b"role=user", binding=b"b")
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    for bit in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        refuse(sealer, base64.urlsafe_b64encode(changed).decode().rstrip("="))


@pytest.mark.requirement("R2607-MRTR-012")
@pytest.mark.parametrize("make", SEALERS)
def test_every_truncation_and_extension_is_seen(make):
    sealer = make()
    token = sealer.seal(b"content", binding=b"b")
    for end in range(len(token)):
        refuse(sealer, token[:end])
    for extra in ("A", "=", "==", "====", "\n", " ", "A" * 4, "\0"):
        refuse(sealer, token + extra)
        refuse(sealer, extra + token)


@pytest.mark.parametrize("make", SEALERS)
def test_a_token_has_one_spelling(make):
    """Other last characters decode to the same bytes: they must not open, or "used once" could be got around."""
    sealer = make()
    for length in range(4):
        token = sealer.seal(b"x" * length, binding=b"b")
        for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/":
            if last != token[-1]:
                refuse(sealer, token[:-1] + last)
        for other in (token.replace("-", "+").replace("_", "/"), token + "=" * (-len(token) % 4)):
            if other != token:
                refuse(sealer, other)


@pytest.mark.requirement("R2607-MRTR-014")
@pytest.mark.parametrize("make", SEALERS)
def test_another_binding_does_not_open(make):
    sealer = make()
    token = sealer.seal(b"content", binding=b"alice")
    for binding in (b"bob", b"", b"alice\0", b"alic", b"Alice"):
        refuse(sealer, token, binding)


@pytest.mark.parametrize("make", SEALERS)
def test_swapped_halves_do_not_open(make):
    sealer = make()
    one, other = (sealer.seal(text, binding=b"b") for text in (b"one content", b"two content"))
    middle = len(one) // 2
    for cut in (middle, 16, 28):
        refuse(sealer, one[:cut] + other[cut:])
        refuse(sealer, other[:cut] + one[cut:])


@pytest.mark.parametrize("make", SEALERS)
@given(token=st.text(max_size=100) | st.text("AQ-_", max_size=100) | st.just("A" * 5_000_000))
def test_no_text_is_more_than_refused(make, token):
    with pytest.raises(SealBroken):
        make().open(token, binding=b"b")


def refuse(sealer, token, binding=b"b"):
    """Refused, with the one message that tells nothing."""
    with pytest.raises(SealBroken) as caught:
        sealer.open(token, binding=binding)
    assert str(caught.value) == str(SealBroken())
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_purposes_and_rings_are_apart():
    token = aes().seal(b"x", binding=b"b")
    refuse(aes(purpose="other"), token)
    refuse(aes(ring=KeyRing.generate()), token)
    # A purpose and the binding after it do not run together.
    refuse(aes(purpose="tes"), aes().seal(b"x", binding=b"b"), b"tb")


def test_a_rotated_ring_opens_the_old_and_seals_with_the_new():
    first, second = secrets.token_bytes(40), secrets.token_bytes(32)
    old = KeyRing.from_secrets([first])
    new = old.rotated(second)
    token = aes(ring=old).seal(b"x", binding=b"b")
    assert aes(ring=new).open(token, binding=b"b") == b"x"
    fresh = aes(ring=new).seal(b"y", binding=b"b")
    refuse(aes(ring=old), fresh)
    assert aes(ring=KeyRing.from_secrets([second, first])).open(fresh, binding=b"b") == b"y"
    assert aes(ring=KeyRing.from_secrets([second])).open(fresh, binding=b"b") == b"y"
    refuse(aes(ring=KeyRing.from_secrets([second])), token)


def test_a_ring_is_bounded_and_keeps_its_keys_to_itself():
    ring = KeyRing.from_secrets([b"canary" * 6])
    for number in range(40):
        ring = ring.rotated(number.to_bytes(32, "big"))
    assert len(ring) == 16
    assert "canary" not in repr(KeyRing.from_secrets([b"canary" * 6]))
    for leak in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="pickled"):
            leak(ring)
    with pytest.raises(ValueError, match="32 random bytes"):
        KeyRing.from_secrets([b"x" * 31])
    with pytest.raises(ValueError, match="1 to 16"):
        KeyRing([])
    with pytest.raises(ValueError, match="exactly 32"):
        KeyRing([b"x" * 33])
    assert len(ring.rotated((39).to_bytes(32, "big"))) == 16


@pytest.mark.requirement("R2607-MRTR-014")
def test_tokens_grow_old():
    clock = Clock()
    sealer = aes(clock=clock, max_age=100)
    token = sealer.seal(b"x", binding=b"b")
    clock.now += 99.9
    assert sealer.open(token, binding=b"b") == b"x"
    clock.now += 0.2
    refuse(sealer, token)
    clock.now -= 100 + 61
    refuse(sealer, token)
    clock.now += 2
    assert sealer.open(token, binding=b"b") == b"x"


def test_the_length_of_a_token_is_that_of_its_content():
    """Whatever the content: what is compressed would tell how much its parts have in common."""
    for size in (0, 1, 300, 5000, 60_000):
        contents = (b"x" * size, (b"round and round " * 4000)[:size], secrets.token_bytes(size))
        assert len({len(aes().seal(content, binding=b"")) for content in contents}) == 1
        assert len(aes().seal(contents[0], binding=b"")) <= (size + 64) * 4 / 3


def test_content_is_bounded_both_ways():
    small = aes(max_bytes=1000)
    with pytest.raises(SealTooLarge, match="1001"):
        small.seal(b"x" * 1001, binding=b"")
    assert small.open(small.seal(b"x" * 1000, binding=b"b"), binding=b"b") == b"x" * 1000


def test_content_written_in_another_way_is_not_opened(monkeypatch):
    """The byte in front of the content is sealed too; a token of ours that says something else there is none."""
    sealer = aes()
    monkeypatch.setattr("dovetail.security.sealing._PLAIN", 1)
    token = sealer.seal(b"x" * 1000, binding=b"b")
    monkeypatch.undo()
    refuse(sealer, token)


def test_nonces_do_not_repeat():
    sealer = aes()
    assert len({sealer.seal(b"x", binding=b"") for _ in range(2000)}) == 2000


@pytest.mark.requirement("RXSEC-SECURITY-016")
def test_handles_are_random_and_long():
    sealer = HandleSealer()
    tokens = {sealer.seal(b"x", binding=b"") for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(len(base64.urlsafe_b64decode(token + "=")) == 32 for token in tokens)


def test_the_table_of_handles_is_bounded():
    clock = Clock(0)
    sealer = HandleSealer(max_entries=3, max_bytes=10_000, ttl=10, clock=clock)
    tokens = [sealer.seal(b"%d" % number, binding=b"b") for number in range(5)]
    assert len(sealer) == 3
    refuse(sealer, tokens[1])
    assert sealer.open(tokens[2], binding=b"b") == b"2"
    sealer.seal(b"x" * 9000, binding=b"b")
    assert len(sealer) == 2
    with pytest.raises(SealTooLarge):
        sealer.seal(b"x" * 10_000, binding=b"b")
    clock.now = 9.9
    assert sealer.open(tokens[4], binding=b"b") == b"4"
    clock.now = 10
    refuse(sealer, tokens[4])
    assert len(sealer) == 0
    for _ in range(100):
        sealer.seal(b"x" * 5000, binding=b"b")
    assert len(sealer) == 1


def test_the_default_depends_on_what_is_installed(monkeypatch):
    assert isinstance(default_sealer("p"), AESGCMSealer)
    shared = KeyRing.generate()
    token = default_sealer("p", shared).seal(b"x", binding=b"")
    assert default_sealer("p", shared).open(token, binding=b"") == b"x"
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    assert isinstance(default_sealer("p"), HandleSealer)


def test_without_cryptography_the_extra_is_named(monkeypatch):
    genuine = builtins.__import__

    def fail(name, *arguments, **options):
        if name.startswith("cryptography"):
            raise ImportError(name)
        return genuine(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(ImportError, match=r"dovetail\[server\]"):
        default_sealer("p", RING)


@pytest.mark.parametrize("options", [{"purpose": ""}, {"max_age": 0}, {"max_bytes": 0}])
def test_senseless_options_are_refused(options):
    with pytest.raises(ValueError, match=r"purpose|above zero"):
        aes(**options)
