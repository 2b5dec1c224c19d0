"""Who may call: the corpora of DNS rebinding and cross-site requests (V3 to V11)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.protocol.bindings.origins import Authority, OriginPolicy, parse_host, parse_origin

LOOPBACK = OriginPolicy()


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8000",
        "LocalHost:8000",
        "localhost.",
        "localhost.:80",
        "127.0.0.1",
        "127.0.0.1:65535",
        "127.255.3.4",
        "[::1]",
        "[::1]:8000",
        "[0:0:0:0:0:0:0:1]",
        " localhost ",
    ],
)
def test_loopback_hosts_pass(host: str) -> None:
    assert LOOPBACK.judge(host) is None
    assert LOOPBACK.judge(host.encode(), f"http://{host.strip()}".encode()) is None


HOSTILE_HOSTS = [
    None,
    "",
    "evil.example",
    "evil.example:8000",
    "localhost.evil.example",
    "evil.localhost",
    "localhost.localdomain",
    "127.0.0.1.evil",
    "127.0.0.1.evil.example:80",
    "127.0.0.1.",
    "127.0.0.1..",
    "localhost..",
    ".localhost",
    "127.1",
    "127.0.0.01",
    "0x7f.1",
    "0x7f000001",
    "2130706433",
    "0177.0.0.1",
    "0.0.0.0",
    "0",
    "128.0.0.1",
    "[::]",
    "::1",
    "[::1",
    "[::1]x",
    "[::1]:",
    "[::1%lo]",
    "[::ffff:127.0.0.1]",
    "[::1]@evil.example",
    "localhost@evil.example",
    "user:pw@localhost",
    "evil.example#localhost",
    "evil.example/localhost",
    "evil.example\\localhost",
    "localhost/",
    "localhost?",
    "local host",
    "localhost,evil.example",
    "localhost:80:80",
    "localhost:",
    "localhost:65536",
    "localhost:+80",
    "localhost:8a",
    "localhost:\u0668\u0660",
    "l%6fcalhost",
    "loc\u0430lhost",
    "\u217cocalhost",
    "\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54",
    "127\u30020.0.1",
    "localhost\0.evil.example",
    "localhost\n",
    "*",
    "localhost" * 100,
]


@pytest.mark.parametrize("host", HOSTILE_HOSTS)
def test_v3_other_hosts_are_refused(host: str | None) -> None:
    refusal = LOOPBACK.judge(host)
    assert refusal is not None
    assert refusal.status == 403
    if host is not None:
        raw = host.encode("utf-8")
        assert LOOPBACK.judge(raw) is not None


@pytest.mark.requirement(
    "R2607-SECURITY-001", "R2607-SECURITY-002", "R2511-SECURITY-001", "R2511-SECURITY-002"
)
@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "https://evil.example",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil",
        "http://localhost@evil.example",
        "http://evil.example#localhost",
        "http://localhost/",
        "http://localhost/path",
        "http:localhost",
        "localhost",
        "//localhost",
        "file://localhost",
        "chrome-extension://localhost",
        "ftp://127.0.0.1",
        "javascript://localhost",
        "http://localhost https://evil.example",
        "http://localhost, http://localhost",
        "http://[::2]",
        "http://",
        "http://localhost:99999",
        "http://l\u043ecalhost",
    ],
)
def test_v3_present_but_foreign_origins_get_403(origin: str) -> None:
    for site in (None, "same-origin", "cross-site"):
        refusal = LOOPBACK.judge("localhost:8000", origin, site)
        assert refusal is not None
        assert refusal.status == 403
        assert "Origin" in refusal.reason


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "https://127.0.0.1", "HTTP://LOCALHOST", "http://[::1]:5"]
)
def test_loopback_origins_pass_also_across_ports(origin: str) -> None:
    assert LOOPBACK.judge("localhost:8000", origin, "cross-site") is None


@pytest.mark.parametrize(
    "site, passes",
    [
        (None, True),
        ("none", True),
        ("same-origin", True),
        ("same-site", True),
        ("cross-site", False),
        ("Cross-Site", False),
        ("", False),
        ("cross-site, none", False),
    ],
)
def test_fetch_metadata_speaks_when_origin_does_not(site: str | None, passes: bool) -> None:
    assert (LOOPBACK.judge("localhost", None, site) is None) is passes


def test_a_refusal_never_repeats_what_was_sent() -> None:
    for refusal in (LOOPBACK.judge("evil.example"), LOOPBACK.judge("localhost", "http://evil.example")):
        assert refusal is not None
        assert "evil" not in refusal.reason


@pytest.mark.parametrize(
    "host, passes",
    [
        ("api.example", True),
        ("API.example.:9", True),
        ("v1.sub.example", True),
        ("a.b.sub.example", True),
        ("sub.example", False),
        ("xsub.example", False),
        ("port.example:8443", True),
        ("port.example:443", False),
        ("port.example", False),
        ("tls.example", True),
        ("tls.example:443", True),
        ("[2001:db8::1]:80", True),
        ("localhost", False),
    ],
)
def test_an_explicit_list_of_hosts(host: str, passes: bool) -> None:
    policy = OriginPolicy(
        ("api.example", "*.sub.example", "port.example:8443", "tls.example:443", "[2001:DB8:0::1]")
    )
    assert (policy.judge(host) is None) is passes


def test_pages_of_a_listed_host_may_call_it_and_no_others() -> None:
    policy = OriginPolicy(("api.example", "other.example"))
    assert policy.judge("api.example", "https://api.example") is None
    assert policy.judge("api.example:8443", "https://api.example:8443") is None
    for origin in ("https://other.example", "https://api.example:444", "http://localhost", "null"):
        assert policy.judge("api.example", origin) is not None


def test_an_explicit_list_of_origins() -> None:
    policy = OriginPolicy(
        ("*",),
        ("https://app.example", "http://dev.example:*", "https://*.web.example", "vscode-webview://abc"),
    )
    for origin in (
        "https://app.example",
        "https://APP.example:443",
        "http://dev.example:3000",
        "https://x.web.example",
        "vscode-webview://abc",
    ):
        assert policy.judge("anything.example", origin, "cross-site") is None
    for origin in (
        "http://app.example",
        "https://app.example:444",
        "https://web.example",
        "https://dev.example",
        "null",
    ):
        assert policy.judge("anything.example", origin) is not None
    assert policy.judge("x", None, "cross-site") is not None
    assert OriginPolicy(None, ("null",)).judge("localhost", "null") is None
    assert OriginPolicy(None, ("*",)).judge("localhost", "gopher://x/y z") is None


def test_an_explicit_list_replaces_the_loopback_pages() -> None:
    assert OriginPolicy(None, ()).judge("localhost", "http://localhost") is not None
    assert OriginPolicy((), None).judge("localhost") is not None


@pytest.mark.parametrize("bind", ["127.0.0.1", "localhost", "::1", "127.9.9.9"])
def test_a_loopback_bind_is_loopback_only(bind: str) -> None:
    assert OriginPolicy.for_bind(bind).judge("evil.example") is not None


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "", "192.0.2.1", "api.example"])
def test_another_bind_takes_any_host_and_no_pages(bind: str) -> None:
    policy = OriginPolicy.for_bind(bind)
    assert policy.judge("evil.example") is None
    assert policy.judge(None) is None
    assert policy.judge("evil.example", "http://evil.example") is not None
    assert policy.judge("evil.example", None, "cross-site") is not None


@pytest.mark.parametrize("entry", ["", "a b", "https://x", "x/y", "*.*", "*.", "user@x", "127.1"])
def test_nonsense_in_the_lists_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="allowed host"):
        OriginPolicy((entry,))
    with pytest.raises(ValueError, match="allowed origin"):
        OriginPolicy(None, (entry if entry != "https://x" else "https://x/",))


@given(st.text(max_size=60) | st.binary(max_size=60))
def test_parsing_is_total_and_exact(value: str | bytes) -> None:
    parse_origin(value)
    authority = parse_host(value)
    if authority is not None and authority.is_loopback:
        text = (value.decode() if isinstance(value, bytes) else value).strip(" \t").lower()
        assert text.startswith(("localhost", "127.", "["))
        assert "@" not in text


def test_parsed_authorities() -> None:
    assert parse_host("Example.COM.:80") == Authority("example.com", 80)
    assert parse_host("[2001:DB8::0001]") == Authority("2001:db8::1", None)
    assert parse_host("xn--e1afmkfd.example") == Authority("xn--e1afmkfd.example")
