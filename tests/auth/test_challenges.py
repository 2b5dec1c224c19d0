"""WWW-Authenticate: several challenges, quoted commas, malformed neighbours, size."""

import time

import pytest

from dovetail.auth.challenges import Challenge, parse_challenges, render_challenge


def test_R68_several_challenges_in_several_headers() -> None:
    """Commas part challenges and parameters alike; those inside quotes part nothing."""
    found = parse_challenges(
        [
            'Basic realm="a, b", Bearer error="invalid_token", scope="read write"',
            "Negotiate abc==, DPoP algs=ES256",
        ]
    )
    assert [each.scheme for each in found] == ["basic", "bearer", "negotiate", "dpop"]
    assert found[0].parameters == {"realm": "a, b"}
    assert found[1].scopes == ("read", "write")
    assert found[2].token68 == "abc=="


@pytest.mark.requirement("R2511-AUTH-021", "R2607-AUTH-006")
@pytest.mark.parametrize(
    "value,expected",
    [
        ("Bearer", {}),
        ('bearer  scope = "a" ', {"scope": "a"}),
        ('BEARER Scope="a"', {"scope": "a"}),
        (r'Bearer error_description="say \"no\" \\ twice"', {"error_description": 'say "no" \\ twice'}),
        (
            "Bearer resource_metadata=https://a.example/x?y=1",
            {"resource_metadata": "https://a.example/x?y=1"},
        ),
        (', ,Bearer scope="a",, error="b"', {"scope": "a", "error": "b"}),
        ('Bearer scope=""', {"scope": ""}),
    ],
)
def test_one_challenge(value: str, expected: dict[str, str]) -> None:
    (found,) = parse_challenges([value])
    assert (found.scheme, found.parameters) == ("bearer", expected)


@pytest.mark.hostile
@pytest.mark.parametrize(
    "value",
    [
        "",
        "=",
        'Bearer scope="never closed',
        'Bearer scope="a", scope="b"',
        'Bearer scope="a" error="b"',
        'Bearer "a"',
        'scope="a"',
        "Bearer abc==, scope=a",
        "Bearer " + ", ".join(f"p{index}=1" for index in range(100)),
        "Bearer é=1",
    ],
)
def test_malformed_ones_are_dropped_and_their_neighbours_stay(value: str) -> None:
    assert not [each for each in parse_challenges([value]) if each.parameters.get("scope")]
    if value.count('"') % 2 == 0:
        assert parse_challenges([f'Basic realm="x", {value}, Digest realm="y"'])[-1].scheme == "digest"


@pytest.mark.hostile
def test_the_work_is_linear_and_bounded() -> None:
    for text in (
        "a" * 16000,
        "a=" * 8000,
        'a="' * 5000,
        '\\"' * 8000,
        "a " * 8000,
        "a," * 8000,
        "a=\t" * 5000,
    ):
        began = time.process_time()
        assert len(parse_challenges([text] * 50)) <= 16
        assert time.process_time() - began < 0.5
    assert parse_challenges(["Bearer a=" + "x" * 20000]) == ()


def test_what_is_rendered_is_read_again() -> None:
    parameters = {
        "scope": "a b",
        "error_description": 'a "quoted" \\ comma, here',
        "resource_metadata": "https://a/b",
    }
    assert parse_challenges([render_challenge("Bearer", parameters)]) == (Challenge("bearer", parameters),)
    assert render_challenge("Bearer", {}) == "Bearer"
    assert render_challenge("Bearer", {"a": "x\r\nSet-Cookie: y\u00e9"}) == 'Bearer a="x??Set-Cookie: y?"'
    with pytest.raises(ValueError, match="token"):
        render_challenge("Bearer", {"a b": "c"})
