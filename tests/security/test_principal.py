"""Principals: keys that nobody shares, claims that nobody sees."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.security.authenticator import AuthenticationFailed, Credentials
from dovetail.security.principal import ANONYMOUS, MAX_CLAIMS, Principal

NAMES = st.text(st.characters(), max_size=200) | st.sampled_from(
    ['"', '","', "anonymous", "", "\0", "\ud800"]
)


def identity(principal: Principal) -> tuple[str, str, str]:
    return principal.issuer, principal.subject, principal.client_id


@given(NAMES.filter(bool), NAMES.filter(bool), NAMES, NAMES.filter(bool), NAMES.filter(bool), NAMES)
@pytest.mark.requirement("RXSEC-SECURITY-017")
def test_no_two_identities_share_a_key(a, b, c, d, e, f):
    one, other = Principal(a, b, c), Principal(d, e, f)
    assert (one.key == other.key) == (identity(one) == identity(other))
    assert ANONYMOUS.key not in (one.key, other.key)
    assert one.key.isascii()
    assert len(one.key) <= 256
    assert "\0" not in one.key


@pytest.mark.parametrize(
    "one,other",
    [
        (("i", "a", "bc"), ("i", "ab", "c")),
        (("i", 'a","b', ""), ("i", "a", "b")),
        (("i", "a" * 300, "b"), ("i", "a" * 301, "b")),
        (("i", "anonymous", ""), ("anonymous", "i", "")),
    ],
)
def test_keys_do_not_run_together(one, other):
    assert Principal(*one).key != Principal(*other).key


def test_scopes_and_claims_do_not_change_the_key():
    assert (
        Principal("i", "s", "c", frozenset({"x"}), {"y": 1}).key
        == Principal("i", "s", "c", frozenset({"z"})).key
    )


def test_only_the_anonymous_principal_has_no_issuer():
    assert ANONYMOUS.is_anonymous
    assert not Principal("i", "s").is_anonymous
    wrong: list[tuple[Any, ...]] = [
        ("", "s"),
        ("", "", "c"),
        ("", "", "", frozenset({"a"})),
        ("", "", "", frozenset(), {"a": 1}),
    ]
    for arguments in wrong:
        with pytest.raises(ValueError, match="issuer"):
            Principal(*arguments)
    with pytest.raises(ValueError, match="subject"):
        Principal("issuer", "")


def test_claims_are_bounded_and_never_shown():
    principal = Principal("i", "s", claims={"email": "canary@example.com"})
    assert "canary" not in repr(principal)
    assert "canary" not in f"{principal!s}{[principal]}"
    with pytest.raises(ValueError, match="claims"):
        Principal("i", "s", claims={"a": "x" * MAX_CLAIMS})


def test_a_principal_can_be_in_a_set():
    assert len({Principal("i", "s", claims={"a": 1}), Principal("i", "s", claims={"a": 1}), ANONYMOUS}) == 2


def test_credentials_do_not_show_themselves():
    shown = repr(
        Credentials(("Bearer canary",), "POST", "https://h/?k=canary", {"authorization": "Bearer canary"})
    )
    assert "canary" not in shown


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: x", "a\nb", "\0", "\u2028"])
def test_a_challenge_cannot_break_out_of_its_header(value):
    with pytest.raises(ValueError, match="header"):
        AuthenticationFailed("no", headers=(("www-authenticate", value),))


def test_a_refusal_refuses():
    assert AuthenticationFailed("no").status == 401
    with pytest.raises(ValueError, match="200"):
        AuthenticationFailed("no", status=200)
