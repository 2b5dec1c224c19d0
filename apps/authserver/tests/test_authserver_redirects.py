"""Which redirect URIs are registered, and which of them a request may name (R87, R88)."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail_authserver import redirects

FINE = [
    "https://app.example/callback",
    "https://app.example",
    "https://app.example:8443/cb?x=1&y=%20",
    "https://xn--bcher-kva.example/",
    "https://192.0.2.1/cb",
    "https://[2001:db8::1]/cb",
    "http://127.0.0.1/cb",
    "http://127.0.0.1:8080/cb",
    "http://[::1]:8080/",
    "http://localhost:3000",
    "http://localhost/cb?a=b",
]
WRONG = [
    "",
    "http://app.example/cb",
    "http://localhost.evil/cb",
    "http://localhost.evil.example:3000/cb",
    "http://127.0.0.1.evil.example/cb",
    "http://127.0.0.2/cb",
    "http://127.1/cb",
    "http://0x7f.1/cb",
    "http://0.0.0.0/cb",
    "http://[::]/cb",
    "http://[::ffff:127.0.0.1]/cb",
    "http://LOCALHOST/cb",
    "http://localhost:/cb",
    "http://localhost:0/cb",
    "http://localhost:080/cb",
    "http://localhost:65536/cb",
    "http://localhost:99999999/cb",
    "http://localhost@evil.example/cb",
    "http://evil.example@localhost/cb",
    "http://user:pass@localhost/cb",
    "http://localhost\\@evil.example/cb",
    "http://localhost/cb#fragment",
    "http://localhost/cb#",
    "http://localhost /cb",
    "http://localhost/cb\r\nset-cookie: a=b",
    "http://localhost/\tcb",
    'http://localhost/"><script>',
    "http:/localhost/cb",
    "http:localhost/cb",
    "//localhost/cb",
    "/cb",
    "https:///cb",
    "https://app.example\\.evil/cb",
    "https://app.example#@evil.example",
    "https://*.example/cb",
    "https://app_.example/cb",
    "https://app.example./cb",
    "https://APP.example/cb",
    "https://bücher.example/cb",
    "HTTPS://app.example/cb",
    "javascript:alert(1)",
    "data:text/html,x",
    "com.example.app:/cb",
    "com.example.app://cb",
    "urn:ietf:wg:oauth:2.0:oob",
    "file:///etc/passwd",
    "https://app.example/" + "x" * 2100,
]


@pytest.mark.parametrize("uri", FINE)
def test_can_be_registered(uri: str) -> None:
    assert redirects.problem_of(uri) == ""
    assert redirects.matches([uri], uri)


@pytest.mark.requirement("R2607-AUTH-121", "R2511-AUTH-090", "R2607-AUTH-123", "R2511-AUTH-092")
@pytest.mark.parametrize("uri", WRONG)
def test_can_never_be_registered_nor_used(uri: str) -> None:
    assert redirects.problem_of(uri)
    assert not redirects.matches([uri], uri), "not even if it stood in the list"
    assert not redirects.matches(FINE, uri)


@pytest.mark.parametrize("uri", FINE)
def test_a_web_application_is_not_on_this_machine(uri: str) -> None:
    local = urlsplit(uri).hostname in ("localhost", "127.0.0.1", "::1")
    assert bool(redirects.problem_of(uri, application_type="web")) == local


@pytest.mark.requirement("R2607-AUTH-121", "R2511-AUTH-090")
@pytest.mark.parametrize(
    "registered,presented,fits",
    [
        ("http://127.0.0.1/cb", "http://127.0.0.1:49152/cb", True),
        ("http://127.0.0.1:1/cb", "http://127.0.0.1/cb", True),
        ("http://[::1]:1/cb?x=1", "http://[::1]:2/cb?x=1", True),
        ("http://localhost/cb", "http://localhost:65535/cb", True),
        ("http://localhost/cb", "http://localhost:65536/cb", False),
        ("http://localhost/cb", "http://127.0.0.1/cb", False),
        ("http://127.0.0.1/cb", "http://[::1]/cb", False),
        ("http://127.0.0.1/cb", "http://127.0.0.1:8/cb/", False),
        ("http://127.0.0.1/cb", "http://127.0.0.1:8/CB", False),
        ("http://127.0.0.1/cb", "http://127.0.0.1:8/cb?x=1", False),
        ("http://127.0.0.1/cb", "http://127.0.0.1:8/%63b", False),
        ("http://127.0.0.1/cb", "http://127.0.0.1:8", False),
        ("http://127.0.0.1/cb", "https://127.0.0.1:8/cb", False),
        ("http://127.0.0.1", "http://127.0.0.1/", False),
        ("https://app.example/cb", "https://app.example:443/cb", False),
        ("https://app.example/cb", "https://app.example/cb/../evil", False),
        ("https://app.example/cb", "https://app.example/cb?x", False),
        ("https://app.example/cb", "https://app.example/cbx", False),
        ("https://app.example/cb", "https://app.example.evil/cb", False),
    ],
)
def test_matching(registered: str, presented: str, fits: bool) -> None:
    assert redirects.matches([registered], presented) == fits


ODD = st.text(alphabet="htps:/.@#?\\%[]localhost127.0.0.1:8080evil \r\n\t\0é*", max_size=60)
URIS = st.one_of(ODD, st.sampled_from(FINE + WRONG), st.builds("{}{}".format, st.sampled_from(FINE), ODD))


@given(st.lists(URIS, max_size=4), URIS)
def test_what_matches_is_registered_but_for_a_loopback_port(registered: list[str], presented: str) -> None:
    """Whatever strangers invent: a match is an equal text, or http to the same loopback host and the same rest."""
    if not redirects.matches(registered, presented):
        return
    assert redirects.problem_of(presented) == ""
    if presented in registered:
        return
    there = urlsplit(presented)
    assert (there.scheme, there.fragment, there.username) == ("http", "", None)
    assert there.hostname in ("localhost", "127.0.0.1", "::1")
    assert any(
        (there.hostname, there.path, there.query)
        == (urlsplit(each).hostname, urlsplit(each).path, urlsplit(each).query)
        for each in registered
        if redirects.problem_of(each) == ""
    )


@given(URIS)
def test_every_parser_reads_what_is_registered_alike(uri: str) -> None:
    """What can be registered has no second reading: the host that is shown is the host that is gone to."""
    if redirects.problem_of(uri):
        return
    parts = urlsplit(uri)
    assert uri == parts.geturl()
    assert redirects.host_of(uri) == parts.netloc
    assert uri.isascii()
    assert uri.isprintable()
    assert "\\" not in uri
