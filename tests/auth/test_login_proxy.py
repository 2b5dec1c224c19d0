"""A login through an egress proxy: what goes through it, what is judged here all the same, and whose secrets stay."""

from __future__ import annotations

import base64
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import msgspec
import pytest
from connect_proxy import Certificate, ConnectProxy, Site
from login_stage import RESOURCE_PATH, SERVER_PATH, Stage, World, server_metadata

from dovetail.auth import ClientCredentials, OAuth, discover_login
from dovetail.auth.login import DiscoveryFailed, LoginOptions, LoginStep, MemoryTokens
from dovetail.security import Fetcher, FetchFailed, FetchRefused
from dovetail.security.egress_proxy import EgressProxy

SERVER, ISSUER = "https://notes.test/mcp", "https://login.test"
USER, PASSWORD = "me", "s3cret@proxy/x"
PROXIED = pytest.mark.requirement("RXSEC-SECURITY-013")


class Behind:
    """A server and its authorization server, of names that nothing but the proxy resolves."""

    def __init__(self, site: Site, proxy: ConnectProxy, certificate: Certificate) -> None:
        self.site = site
        self.proxy = proxy
        self.ssl = certificate.trusting
        self.url = f"http://me:s3cret%40proxy%2Fx@127.0.0.1:{proxy.port}"

    def options(self, **more: Any) -> LoginOptions:
        found: Any = {"proxy": self.url, "ssl": self.ssl, "tokens": MemoryTokens(), **more}
        return found

    async def browse(self, url: str) -> bool:
        """The browser of a person who agrees at once."""
        query = {name: value for name, (value,) in parse_qs(urlsplit(url).query).items()}
        answer = {"code": "the-code", "state": query["state"], "iss": ISSUER}
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{query['redirect_uri']}?{urlencode(answer)}") as response,
        ):
            return response.status == 200


@asynccontextmanager
async def behind(folder: Path, **options: Any) -> AsyncIterator[Behind]:
    certificate = Certificate(folder, "notes.test", "login.test", "127.0.0.1")
    tokens = iter(range(1, 100))
    async with Site(certificate) as site:
        names = {"notes.test": site.port, "login.test": site.port}
        if options.pop("tls", False):
            options["certificate"] = certificate
        async with ConnectProxy(names, **options) as proxy:
            site.routes = {
                f"{RESOURCE_PATH}/mcp": {"resource": SERVER, "authorization_servers": [ISSUER]},
                SERVER_PATH: server_metadata(ISSUER),
                "/register": lambda seen: (201, {}, {**seen.json, "client_id": "we"}),
                "/token": lambda _: {
                    "access_token": f"token-{next(tokens)}", "token_type": "Bearer", "expires_in": 1,
                    "refresh_token": "again",
                },
            }  # fmt: skip
            yield Behind(site, proxy, certificate)


@PROXIED
async def test_discovery_registration_and_tokens_go_through_the_proxy(tmp_path: Path) -> None:
    async with behind(tmp_path) as here:
        credentials = OAuth(open_browser=here.browse, **here.options()).client_auth(SERVER)
        await credentials.log_in()
        tokens = await credentials.status()
        assert tokens is not None
        assert tokens.access_token == "token-1"
        credentials._clock = lambda: tokens.obtained_at + 2
        assert await credentials.headers("POST", SERVER) == {"authorization": "Bearer token-2"}
        await credentials.close()
        assert here.site.paths() == [
            f"{RESOURCE_PATH}/mcp", SERVER_PATH, "/register", "/token", "/token",
        ]  # fmt: skip
        assert here.proxy.asked == ["notes.test:443"] + ["login.test:443"] * 4
        pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        assert all(f"proxy-authorization: basic {pair}".lower() in head.lower() for head in here.proxy.heads)
        assert all("proxy-authorization" not in seen.headers for seen in here.site.seen)


@PROXIED
async def test_a_program_and_who_only_asks_go_through_it_too(tmp_path: Path) -> None:
    async with behind(tmp_path) as here:
        job = ClientCredentials("job", issuer=ISSUER, client_secret="of-the-job", **here.options())
        credentials = job.client_auth(SERVER)
        await credentials.log_in()
        await credentials.close()
        found = await discover_login(SERVER, ssl=here.ssl, proxy=here.url)
        assert found.issuer == ISSUER
        job_asked, who_asked = (
            ["notes.test:443", *["login.test:443"] * 2],
            ["notes.test:443", "login.test:443"],
        )
        assert here.proxy.asked == [*job_asked, *who_asked]


@PROXIED
async def test_a_proxy_behind_tls(tmp_path: Path) -> None:
    async with behind(tmp_path, tls=True) as here:
        url = f"https://127.0.0.1:{here.proxy.port}/"
        assert (await discover_login(SERVER, ssl=here.ssl, proxy=url)).issuer == ISSUER
        assert "proxy-authorization" not in here.proxy.heads[0].lower()


@PROXIED
async def test_a_proxy_of_the_environment_is_never_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with behind(tmp_path) as here:
        for name in ("https_proxy", "HTTPS_PROXY", "all_proxy"):
            monkeypatch.setenv(name, here.url)
        with pytest.raises(DiscoveryFailed):
            await discover_login(SERVER, ssl=here.ssl)
        assert here.proxy.asked == []


@PROXIED
@pytest.mark.hostile
@pytest.mark.parametrize(
    "url",
    [
        "https://10.0.0.1/x", "https://169.254.169.254/x", "https://[fd00:ec2::254]/x", "https://127.0.0.1/x",
        "https://localhost/x", "https://a.localhost/x", "http://notes.test/x", "https://0x7f.1/x",
    ],
)  # fmt: skip
async def test_what_can_be_judged_without_a_resolver_is_never_asked_of_the_proxy(
    url: str, tmp_path: Path
) -> None:
    async with behind(tmp_path) as here, Fetcher(proxy=here.url, ssl=here.ssl) as fetcher:
        for sending in (fetcher.get(url), fetcher.post_form(url, {"client_secret": "s"})):
            with pytest.raises(FetchRefused):
                await sending
        assert here.proxy.heads == []


@PROXIED
async def test_the_proxy_resolves_and_is_itself_free_to_stand_anywhere(tmp_path: Path) -> None:
    """Its own name is the only one that is looked up here, and may lead into a private network."""
    looked_up: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        looked_up.append(host)
        return ["127.0.0.1"]

    async with behind(tmp_path) as here:
        url = f"http://proxy.inside:{here.proxy.port}"
        async with Fetcher(proxy=url, ssl=here.ssl, resolve=resolve) as fetcher, fetcher.keeping():
            for _ in range(3):
                await fetcher.get_json(f"{ISSUER}{SERVER_PATH}")
        assert looked_up == ["proxy.inside"]
        assert len(here.proxy.asked) == 1, "one tunnel is kept"
        assert len(here.site.seen) == 3


@PROXIED
async def test_what_is_on_this_machine_does_not_go_through_it(tmp_path: Path) -> None:
    async with behind(tmp_path) as here, World() as world:
        assert await world.use(world.oauth(proxy=here.url)) == "done"
        assert here.proxy.heads == []


@PROXIED
async def test_plain_http_that_was_allowed_is_read_by_the_proxy_itself(tmp_path: Path) -> None:
    async with behind(tmp_path) as here, Fetcher(proxy=here.url, allow_http=True) as fetcher:
        here.proxy.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
        assert await fetcher.get_json("http://notes.test/x") == {}
        (head,) = here.proxy.heads
        assert head.startswith("GET http://notes.test/x HTTP/1.1\r\n")
        assert "proxy-authorization: basic " in head.lower()


@PROXIED
@pytest.mark.hostile
@pytest.mark.parametrize("way", ["refused", "gone", "unknown", "no proxy"])
async def test_no_secret_of_the_proxy_is_in_errors_logs_steps_or_what_objects_show(
    way: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    steps: list[LoginStep] = []
    async with behind(tmp_path) as here, Stage() as stage:
        pair = base64.b64encode(f"{USER}:{PASSWORD}".encode())
        url = here.url
        if way == "refused":
            here.proxy.answer = (
                b"HTTP/1.1 407 not with " + pair + b" nor s3cret@proxy/x\r\nx-said: " + pair + b"\r\n\r\n"
            )
        elif way == "gone":
            url = url.rpartition(":")[0] + ":1"
        elif way == "unknown":
            here.proxy.names.clear()
        else:
            url = url.rpartition(":")[0] + ":" + stage.url.rpartition(":")[2]
        auth = OAuth(open_browser=here.browse, **here.options(proxy=url, on_step=steps.append))
        credentials = auth.client_auth(SERVER)
        with pytest.raises(DiscoveryFailed, match=r"through the proxy http://127\.0\.0\.1:") as caught:
            await credentials.log_in()
        fetcher = Fetcher(proxy=url)
        with pytest.raises(FetchFailed) as failed:
            await fetcher.get(ISSUER)
        assert failed.value.status is None, "what the proxy says is no answer of the server"
        if way == "refused":
            assert "status 407" in str(failed.value)
        shown = [str(caught.value), repr(caught.value), str(failed.value), repr(auth), repr(credentials)]
        shown += [repr(fetcher), repr(EgressProxy(url)), msgspec.json.encode(steps).decode(), caplog.text]
        problem: BaseException | None = failed.value
        while problem is not None:
            shown.append(repr(problem))
            problem = problem.__cause__ or problem.__context__ if not problem.__suppress_context__ else None
        for text in shown:
            for secret in ("s3cret", pair.decode(), "s3cret%40proxy"):
                assert secret not in text
        await credentials.close()


@PROXIED
@pytest.mark.parametrize(
    "url",
    [
        "", "proxy.example:3128", "socks5://me:s3cret@proxy.example", "http://me:s3cret@", "http://me:s3cret",
        "http://me:s3cret@proxy.example/path", "http://me:s3cret@proxy.example?x", "http://me:s3cret@proxy.example#x",
        "http://me:s3c ret@proxy.example", "http://me:s3cret@proxy.example:0", "http://me:s3cret@[::1",
        "http://me:s3crét@proxy.example",
    ],
)  # fmt: skip
def test_what_is_no_proxy_is_refused_when_it_is_given(url: str) -> None:
    for make in (lambda: OAuth(proxy=url), lambda: Fetcher(proxy=url)):
        with pytest.raises(ValueError, match="proxy is the http or https URL") as caught:
            make()
        assert "s3c" not in str(caught.value)
        assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_the_address_of_a_proxy_is_shown_without_who_uses_it() -> None:
    assert (
        repr(EgressProxy("http://me:s3cret@[2001:db8::1]:3128/")) == "<EgressProxy http://[2001:db8::1]:3128>"
    )
    assert EgressProxy("https://proxy.example").address == "https://proxy.example"
    assert EgressProxy("https://proxy.example").headers == {}
