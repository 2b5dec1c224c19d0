"""Outbound fetches: addresses, redirects, sizes, times; on real sockets and with names that resolve as a test says."""

import asyncio
import gzip
import os
import time
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Any

import pytest
from login_stage import Seen, Stage

from dovetail.security.addresses import AddressPolicy, AddressRefused
from dovetail.security.fetching import Fetcher, FetchFailed, FetchRefused, parse_url

NEVER = [
    "169.254.169.254", "169.254.1.1", "0.0.0.0", "0.1.2.3", "192.0.0.1", "192.0.2.1", "192.88.99.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "100.100.100.200",
    "168.63.129.16", "::", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::8.8.8.8", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1",
    "2002:7f00:1::", "2002:808:808::1", "3fff::1", "fe80::1", "fec0::1", "ff02::1", "fd00:ec2::254", "4000::1",
    "5f00::1", "fe80::1%1", "2001:4860::1%1",
]  # fmt: skip
PRIVATE = ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "fc00::1", "fd12::1"]
LOOPBACK = ["127.0.0.1", "127.255.0.1", "::1"]
PUBLIC = ["8.8.8.8", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450:4001::1"]


def refuses(policy: AddressPolicy, address: str) -> bool:
    try:
        policy.check(address)
    except AddressRefused:
        return True
    return False


@pytest.mark.parametrize("policy", [AddressPolicy(), AddressPolicy(True, True)])
@pytest.mark.parametrize("address", NEVER)
def test_V38_V49_reserved_and_embedded_addresses_never_pass(policy: AddressPolicy, address: str) -> None:
    """Mapped, NAT64, 6to4, Teredo, link-local, metadata services, documentation ranges and the like."""
    assert refuses(policy, address)


@pytest.mark.parametrize("address", PRIVATE + LOOPBACK + PUBLIC)
def test_r99_private_and_loopback_pass_only_by_name(address: str) -> None:
    assert refuses(AddressPolicy(), address) == (address not in PUBLIC)
    assert refuses(AddressPolicy(allow_loopback=True), address) == (address in PRIVATE)
    assert refuses(AddressPolicy(allow_private=True), address) == (address in LOOPBACK)
    assert not refuses(AddressPolicy(True, True), ip_address(address).compressed)


@pytest.mark.parametrize(
    "text", ["", "1", "0x7f000001", "127.1", "017700000001", "localhost", "1.2.3.4.5", "[::1]"]
)
def test_only_the_usual_notation_is_an_address(text: str) -> None:
    assert refuses(AddressPolicy(True, True), text)


def resolving(*answers: list[str]) -> Callable[[str, int], Awaitable[list[str]]]:
    """A resolver that gives one answer after the other."""
    rest = list(answers)

    async def resolve(host: str, port: int) -> list[str]:
        return rest.pop(0) if len(rest) > 1 else rest[0]

    return resolve


@pytest.mark.hostile
@pytest.mark.parametrize("address", [*NEVER[:20], *PRIVATE, *LOOPBACK])
@pytest.mark.requirement("RXSEC-SECURITY-009", "RXSEC-SECURITY-011")
async def test_V38_a_name_is_refused_for_any_address_it_has(address: str) -> None:
    """A good address beside a bad one makes it no better."""
    for found in ([address], ["93.184.216.34", address]):
        fetcher = Fetcher(resolve=resolving(found), timeout=2)
        with pytest.raises(FetchRefused, match="not a public one"):
            await fetcher.get("https://innocent.example/x")
        await fetcher.close()


@pytest.mark.hostile
async def test_V38_dns_rebinding_is_looked_up_once() -> None:
    """The connection goes to the addresses that were checked: a name that changes its mind is not asked again."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    async with Stage() as stage:
        stage.routes["/x"] = {"fine": True}
        port = stage.url.rpartition(":")[2]
        fetcher = Fetcher(allow_loopback=True, resolve=resolve)
        assert await fetcher.get_json(f"http://localhost:{port}/x") == {"fine": True}
        assert asked == ["localhost"]
        changing = Fetcher(resolve=resolving(["93.184.216.34", "127.0.0.1"]), timeout=2)
        with pytest.raises(FetchRefused):
            await changing.get(f"https://localhost.example:{port}/x")
        assert len(stage.seen) == 1
        await fetcher.close()
        await changing.close()


@pytest.mark.requirement("RXSEC-SECURITY-010")
@pytest.mark.hostile
@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/", "http://10.0.0.1/", "ftp://example.com/", "file:///etc/passwd", "javascript:alert(1)",
        "data:text/html,x", "https://", "https:///x", "//example.com/x", "https://user@example.com/",
        "https://a:b@example.com/", "https://example.com:0/", "https://example.com:/", "https://example.com:99999/",
        "https://0x7f.1/", "https://2130706433/", "https://127.1/", "https://1.2.3/", "https://169.254.169.254/",
        "https://[::ffff:127.0.0.1]/", "https://[64:ff9b::7f00:1]/", "https://[::1]/", "https://127.0.0.1/",
        "https://exa mple.com/", "https://exa\tmple.com/", "https://example.com\\@evil.example/", "https://ex\u00e4mple/",
        "https://example.com/\r\nX: y", "https://e.\u212ak/", "https://[fe80::1%25eth0]/", "https://[v1.a]/", "https://-.example/",
        "https://example..com/", "HTTPS://0177.0.0.1/", "https://example.com/" + "a" * 5000, "https://%31%32%37.0.0.1/",
    ],
)  # fmt: skip
async def test_V35_V37_odd_urls_are_refused_unsent(url: str) -> None:
    """Schemes, user information, other notations of addresses, and whatever two parsers could read differently."""
    fetcher = Fetcher(resolve=resolving(["93.184.216.34"]), timeout=2)
    for fetch in (fetcher.get(url), fetcher.post_form(url, {"secret": "s3cret"})):
        with pytest.raises(FetchRefused) as caught:
            await fetch
        assert "s3cret" not in str(caught.value)
        assert "b@" not in str(caught.value)
    await fetcher.close()


def test_a_plain_url_is_taken_apart() -> None:
    location = parse_url("https://Example.com:8443/a/b?c=d")
    assert tuple(location) == ("https", "example.com", 8443, "/a/b", "c=d")
    assert parse_url("http://[::1]:80/").is_local_name
    assert not parse_url("http://127.evil.example/").is_local_name


@pytest.mark.requirement("RXSEC-SECURITY-012")
@pytest.mark.hostile
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_V32_redirects_stay_in_their_origin(status: int) -> None:
    async with Stage() as stage, Stage() as other, Fetcher(allow_loopback=True) as fetcher:
        other.routes["/x"] = {"mine": True}
        stage.routes["/near"] = (status, {"location": "/here"}, None)
        stage.routes["/here"] = {"fine": True}
        stage.routes["/far"] = (status, {"location": f"{other.url}/x"}, None)
        stage.routes["/wide"] = (status, {"location": "//127.0.0.2/x"}, None)
        stage.routes["/name"] = (
            status,
            {"location": f"http://localhost:{stage.url[-5:].strip(':')}/here"},
            None,
        )
        stage.routes["/loop"] = (status, {"location": "/loop"}, None)
        stage.routes["/none"] = (status, {}, None)
        assert await fetcher.get_json(f"{stage.url}/near") == {"fine": True}
        for path in ("/far", "/wide", "/name", "/loop"):
            with pytest.raises(FetchRefused, match="redirects"):
                await fetcher.get(stage.url + path)
        with pytest.raises(FetchFailed, match="nowhere"):
            await fetcher.get(f"{stage.url}/none")
        answer = await fetcher.post_form(f"{stage.url}/near", {"a": "b"})
        assert (answer.status, other.seen) == (status, [])
        assert len(stage.at("/loop")) == 4


@pytest.mark.hostile
async def test_size_is_limited_whether_declared_or_not() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        except ConnectionError:
            writer.close()

    server = await asyncio.start_server(endless, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with Stage() as stage, Fetcher(allow_loopback=True, limit=1000) as fetcher:
        stage.routes["/declared"] = (200, {}, b"x" * 1001)
        stage.routes["/fits"] = (200, {}, b"x" * 1000)
        assert len((await fetcher.get(f"{stage.url}/fits")).body) == 1000
        for each in (f"{stage.url}/declared", url):
            with pytest.raises(FetchFailed, match="more than 1000 bytes"):
                await fetcher.get(each)
    server.close()


@pytest.mark.hostile
async def test_a_compressed_answer_is_not_unpacked() -> None:
    async with Stage() as stage, Fetcher(allow_loopback=True) as fetcher:
        stage.routes["/x"] = (200, {"content-encoding": "gzip"}, gzip.compress(b"{}" + b" " * 10_000_000))
        with pytest.raises(FetchFailed, match="compressed"):
            await fetcher.get(f"{stage.url}/x")
        assert stage.seen[0].headers["accept-encoding"] == "identity"


@pytest.mark.hostile
async def test_time_is_limited_over_the_whole_exchange() -> None:
    """A server that sends a byte now and then does not get more time by it."""
    gone = asyncio.Event()

    async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        try:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)
        except ConnectionError:
            gone.set()
            writer.close()

    server = await asyncio.start_server(dripping, "127.0.0.1", 0)
    async with Fetcher(allow_loopback=True, timeout=0.2) as fetcher:
        began = time.monotonic()
        with pytest.raises(FetchFailed, match=r"within 0\.2 s"):
            await fetcher.get(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        assert time.monotonic() - began < 2
        await asyncio.wait_for(gone.wait(), 5)
    server.close()


async def test_nothing_of_the_environment_goes_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """No proxy, no .netrc, no cookie of an earlier answer."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password s3cret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert os.environ["http_proxy"]
    async with Stage() as stage, Fetcher(allow_loopback=True) as fetcher:
        stage.routes["/x"] = (200, {"set-cookie": "a=b"}, {})
        for _ in range(2):
            await fetcher.get_json(f"{stage.url}/x")
        for seen in stage.seen:
            assert not {"authorization", "cookie", "proxy-authorization"} & set(seen.headers)


@pytest.mark.hostile
async def test_v38_plain_http_stays_on_this_machine_whatever_a_resolver_says() -> None:
    """Names below localhost are this machine by RFC 6761, but not every resolver knows that."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["93.184.216.34"]

    async with Fetcher(allow_loopback=True, resolve=resolve) as fetcher:
        with pytest.raises(FetchRefused, match="this machine"):
            await fetcher.post_form("http://evil.localhost/token", {"client_secret": "s"})
    assert asked == ["evil.localhost"]


@pytest.mark.hostile
@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"<html>", b'"x"', b"{", b"[" * 100_000, b"\xff\xfe{}"]
)
async def test_json_is_an_object_or_a_clear_error(body: bytes) -> None:
    async with Stage() as stage, Fetcher(allow_loopback=True) as fetcher:
        stage.routes["/x"] = (200, {}, body)
        with pytest.raises(FetchFailed, match="JSON object"):
            await fetcher.get_json(f"{stage.url}/x?secret=s3cret")
        stage.routes["/x"] = (503, {}, body)
        with pytest.raises(FetchFailed, match="status 503") as caught:
            await fetcher.get_json(f"{stage.url}/x?secret=s3cret")
        assert "s3cret" not in str(caught.value)
        assert caught.value.status == 503


@pytest.mark.hostile
async def test_an_answer_cut_off_or_no_http_is_a_clear_error() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(answers[head.split()[1]])  # by the path: a request without any answer may come once more
        writer.close()

    answers = {
        b"/cut": b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nxy",
        b"/other": b"SSH-2.0-x\r\n\r\n",
        b"/none": b"",
    }
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with Fetcher(allow_loopback=True) as fetcher:
        for path in answers:
            with pytest.raises(FetchFailed):
                await fetcher.get(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{path.decode()}")
    server.close()


async def test_forms_and_json_are_posted_as_such() -> None:
    async with Stage() as stage, Fetcher(allow_loopback=True) as fetcher:
        stage.routes["/x"] = lambda seen: (201, {"X-One": "1"}, {"type": seen.headers["content-type"]})
        answer = await fetcher.post_form(f"{stage.url}/x", {"a b": "c&d=é"}, {"authorization": "Basic eA=="})
        assert (answer.status, answer.headers["x-one"]) == (201, "1")
        assert answer.json_object() == {"type": "application/x-www-form-urlencoded"}
        await fetcher.post_json(f"{stage.url}/x", {"a": [1]})
        first, second = stage.seen
        assert (first.form, first.headers["authorization"]) == ({"a b": "c&d=é"}, "Basic eA==")
        assert (second.json, second.headers["content-type"]) == ({"a": [1]}, "application/json")
        assert "bytes" in repr(answer)


async def test_a_fetcher_is_usable_again_after_close_and_in_another_loop() -> None:
    fetcher = Fetcher(allow_loopback=True)
    async with Stage() as stage:
        stage.routes["/x"] = lambda _: {}
        for _ in range(2):
            await fetcher.get_json(f"{stage.url}/x")
            await fetcher.close()


def test_seen_is_what_came() -> None:
    assert Seen("POST", "/", {}, {}, b"a=b").form == {"a": "b"}


async def test_plain_http_elsewhere_is_let_through_by_name_alone() -> None:
    """`allow_http` opens no address: the ranges stay what they were."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["10.0.0.1"]

    async with Fetcher(resolve=resolve) as fetcher:
        with pytest.raises(FetchRefused, match="https"):
            await fetcher.send("PUT", "http://inside.example/x", body=b"{}")
    assert asked == []
    async with Fetcher(allow_http=True, resolve=resolve) as fetcher:
        with pytest.raises(FetchRefused, match="private"):
            await fetcher.send("PUT", "http://inside.example/x", body=b"{}")
        with pytest.raises(FetchRefused, match="loopback"):
            await fetcher.send("GET", "http://127.0.0.1:1/x")
    assert asked == ["inside.example"]
