"""URIs as they travel."""

import pytest

from dovetail.protocol.errors import LocalProtocolError
from dovetail.protocol.uris import ascii_uri, legal_uri


@pytest.mark.parametrize(
    "uri, sent",
    [
        ("notes://a", "notes://a"),
        ("notes://caf\u00e9/\u96ea?q=\U0001f600#\u00df", "notes://caf%C3%A9/%E9%9B%AA?q=%F0%9F%98%80#%C3%9F"),
        ("notes://a%20b/%zz", "notes://a%20b/%zz"),
        ('x:{odd}|"^`<>\\', 'x:{odd}|"^`<>\\'),
        ("x:\u202e\u00a0", "x:%E2%80%AE%C2%A0"),
        ("", ""),
    ],
)
def test_what_is_beyond_ascii_is_encoded_and_the_rest_kept(uri: str, sent: str) -> None:
    assert legal_uri(uri) == ascii_uri(uri) == sent
    assert legal_uri(sent) == sent


@pytest.mark.parametrize("bad", [" ", "\t", "\r\n", "\x00", "\x1b", "\x7f", "\x85", "\ud800"])
def test_what_no_uri_holds_is_refused_and_not_shown_raw(bad: str) -> None:
    with pytest.raises(LocalProtocolError, match="at character 3") as caught:
        legal_uri(f"x:a{bad}b")
    assert str(caught.value).isprintable()
