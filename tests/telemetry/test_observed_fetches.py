"""Outbound requests are observed within what makes them: calls, checks of credentials, logins; and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from opentelemetry.trace import StatusCode
from recorded import Recorded

from dovetail import App, Client
from dovetail.security import Credentials, Fetcher, FetchFailed
from dovetail.security.fetching import fetch_watcher
from dovetail.security.principal import ANONYMOUS, Principal
from dovetail.telemetry import ObservedOperation, Prometheus
from dovetail.telemetry.signals import OTHER, AttributeTable
from dovetail.testing import connected, served

FETCHER = Fetcher(allow_loopback=True, timeout=5)


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    found = Recorded()
    yield found
    found.close()


@asynccontextmanager
async def place(status: int) -> AsyncGenerator[str]:
    """A server that answers each request with a status."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 %d X\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}" % status)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/secret?token=x"


def fetching(telemetry: Any) -> App:
    app = App("fetching", telemetry=telemetry)

    @app.tool
    async def fetch(url: str) -> int:
        return (await FETCHER.get(url)).status

    return app


def fetches(recorded: Recorded) -> list[Any]:
    return [span for span in recorded.spans() if "http.request.method" in (span.attributes or {})]


@pytest.mark.parametrize("status", [200, 404])
async def test_a_fetch_is_a_span_within_its_call(recorded: Recorded, status: int) -> None:
    async with place(status) as url, connected(fetching(recorded.observer), telemetry=()) as client:
        assert (await client.call_tool("fetch", {"url": url})).value == status
    (span,) = fetches(recorded)
    call = recorded.one("tools/call", "SERVER")
    assert span.name == "GET"
    assert span.kind.name == "CLIENT"
    assert span.parent is not None
    assert call.context is not None
    assert span.parent.span_id == call.context.span_id
    port = int(url.split(":")[2].split("/")[0])
    wrong = {"error.type": "404"} if status == 404 else {}
    assert dict(span.attributes) == {
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "server.port": port,
        "http.response.status_code": status,
        **wrong,
    }
    assert span.status.status_code is (StatusCode.ERROR if wrong else StatusCode.UNSET)
    (point,) = recorded.points("dovetail.fetch.duration")
    assert dict(point.attributes) == {
        "http.request.method": "GET",
        "http.response.status_code": str(status),
        **wrong,
    }
    assert fetch_watcher.get() is None


async def test_a_fetch_that_brings_nothing_says_why(recorded: Recorded) -> None:
    async with connected(fetching(recorded.observer), telemetry=()) as client:
        assert (await client.call_tool("fetch", {"url": "http://127.0.0.1:1/"})).is_error
    (span,) = fetches(recorded)
    assert span.attributes["error.type"] == FetchFailed.__name__
    assert "http.response.status_code" not in span.attributes


class Asking:
    """An authenticator that asks somebody else."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def authenticate(self, request: Credentials) -> Principal:
        assert (await FETCHER.post_form(self.url, {"a": "b"})).status == 200
        return ANONYMOUS


async def test_what_a_check_of_credentials_fetches_is_told(recorded: Recorded) -> None:
    async with place(200) as url:
        for telemetry in ((), recorded.observer):
            app = fetching(telemetry)
            async with (
                served(app.asgi(authenticate=Asking(url))) as at,
                Client(at, telemetry=()) as client,
            ):
                await client.list_tools()
            assert bool(fetches(recorded)) == bool(telemetry), "where nobody observes, nobody is told"
    assert {span.name for span in fetches(recorded)} == {"POST"}


class Login:
    """Credentials that are fetched."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def headers(self, method: str, url: str) -> Mapping[str, str]:
        await FETCHER.get(self.url)
        return {}

    async def refused(self, refusal: Any) -> bool:
        return False

    def answered(self, url: str, headers: Mapping[str, str]) -> None: ...

    async def close(self) -> None: ...


async def test_what_a_client_fetches_for_its_credentials_is_told(recorded: Recorded) -> None:
    async with (
        place(200) as url,
        served(fetching(()).asgi()) as at,
        Client(at, auth=Login(url), telemetry=recorded.observer) as client,
    ):
        await client.list_tools()
    listed = recorded.one("tools/list", "CLIENT")
    parents = [span.parent.span_id for span in fetches(recorded) if span.parent is not None]
    assert listed.context is not None
    assert listed.context.span_id in parents
    assert fetch_watcher.get() is None


async def test_prometheus_counts_fetches() -> None:
    counting = Prometheus()
    async with place(200) as url, connected(fetching(counting), telemetry=()) as client:
        await client.call_tool("fetch", {"url": url})
    page = counting.page()[0].decode()
    labels = 'error_type="",http_request_method="GET",http_response_status_code="200"'
    assert f"dovetail_fetch_duration_seconds_count{{{labels}}} 1.0" in page


@pytest.mark.hostile
def test_no_server_adds_series_by_the_statuses_that_it_makes_up() -> None:
    table = AttributeTable()
    seen: set[str] = set()
    for status in range(100, 1000):
        operation = ObservedOperation("fetch", "GET")
        operation.code, operation.outcome = status, "error" if status >= 400 else "ok"
        seen.add(table.of(operation)["http.response.status_code"])
    assert OTHER in seen
    assert len(seen) < 70
