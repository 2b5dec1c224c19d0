"""What is counted, by OpenTelemetry and for Prometheus: names, bounds, refusals, and a page read over a socket."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from recorded import Recorded

from dovetail import App, Client
from dovetail.errors import RPCError
from dovetail.runtime.connection import ServerConnection
from dovetail.stores import MemoryStore, SessionRecord
from dovetail.telemetry import ObservedOperation, Prometheus
from dovetail.telemetry.signals import GAUGES, MAX_NAMES, OTHER, AttributeTable
from dovetail.testing import connected, served

ERAS = ("2025-11-25", "2026-07-28")


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    found = Recorded()
    yield found
    found.close()


def desk(telemetry: Any = (), **options: Any) -> App:
    app = App("desk", telemetry=telemetry, **options)

    @app.tool
    async def add(a: int, b: int) -> int:
        return a + b

    return app


async def read(
    url: str, path: str = "/metrics", headers: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    """GET a page over a socket: status, head and body."""
    place = url.removeprefix("http://").partition("/")[0]
    host, _, port = place.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    given = {"host": place, "connection": "close", **(headers or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    writer.write(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode().lower(), body.decode()


def values(page: str, name: str, **labels: str) -> float:
    """The sum of the samples of that name that have these labels."""
    found = 0.0
    for line in page.splitlines():
        match = re.fullmatch(r"(\w+)(?:\{(.*)\})? ([^ ]+)", line)
        if match and match[1] == name:
            had = dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))
            if all(had.get(key) == value for key, value in labels.items()):
                found += float(match[3])
    return found


@pytest.mark.parametrize("revision", ERAS)
async def test_calls_are_counted_by_method_tool_and_outcome(revision: str, recorded: Recorded) -> None:
    async with connected(desk(recorded.observer), revision=revision, telemetry=recorded.observer) as client:
        for _ in range(3):
            await client.call_tool("add", {"a": 1, "b": 2})
        with pytest.raises(RPCError):
            await client.call_tool("nothing")
    for name in ("mcp.server.operation.duration", "mcp.client.operation.duration"):
        counts = {
            (point.attributes.get("gen_ai.tool.name"), point.attributes["dovetail.outcome"]): point.count
            for point in recorded.points(name)
            if point.attributes["mcp.method.name"] == "tools/call"
        }
        tool = None if "server" in name else "nothing"
        assert counts == {("add", "ok"): 3, (tool, "error"): 1}


async def test_a_page_is_read_over_a_socket_and_says_what_was_called() -> None:
    async with served(desk().asgi(metrics="/metrics")) as url:
        async with Client(url, revision=ERAS[1]) as client:
            for _ in range(3):
                await client.call_tool("add", {"a": 1, "b": 2})
        status, head, page = await read(url)
        assert (status, "text/plain" in head, "no-store" in head) == (200, True, True)
        assert (
            values(
                page,
                "mcp_server_operation_duration_seconds_count",
                gen_ai_tool_name="add",
                dovetail_outcome="ok",
                network_transport="tcp",
            )
            == 3
        )
        for name, (unit, _) in GAUGES.items():
            if "connections" not in name:
                assert name.replace(".", "_") + {"By": "_bytes", "s": "_seconds"}.get(unit, "") in page
        openmetrics = await read(url, headers={"accept": "application/openmetrics-text; version=1.0.0"})
        assert "application/openmetrics-text" in openmetrics[1]
        assert openmetrics[2].endswith("# EOF\n")
        assert (await read(url, "/metrics/"))[0] == 200


async def test_there_is_no_page_that_nobody_asked_for() -> None:
    async with served(desk().asgi()) as url:
        assert (await read(url))[0] == 404


HIDDEN = [
    {"x-forwarded-for": "127.0.0.1"},
    {"forwarded": "for=127.0.0.1"},
    {"via": "1.1 proxy"},
    {"origin": "http://127.0.0.1:1"},
    {"sec-fetch-site": "cross-site"},
]


@pytest.mark.hostile
@pytest.mark.parametrize("headers", HIDDEN, ids=lambda each: next(iter(each)))
async def test_the_page_is_for_this_machine(headers: dict[str, str]) -> None:
    async with served(desk().asgi(metrics="/metrics")) as url:
        status, _, body = await read(url, headers=headers)
    assert status == 403
    assert "mcp_server" not in body


async def test_a_collector_names_the_server_as_it_likes() -> None:
    async with served(desk().asgi(metrics="/metrics")) as url:
        assert (await read(url, headers={"host": "10.1.2.3:8000"}))[0] == 200


async def from_elsewhere(app: Any, remote: str) -> int:
    """The status of the page for who comes from that address."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(event: Any) -> None:
        sent.append(event)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/metrics",
        "raw_path": b"/metrics",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"10.1.2.3")],
        "client": (remote, 1234),
        "server": ("10.1.2.3", 80),
    }
    await app(scope, receive, send)
    return sent[0]["status"]


async def test_others_read_it_by_name_alone() -> None:
    closed = desk().asgi(metrics="/metrics")
    opened = desk().asgi(metrics="/metrics", metrics_allow_ips=["10.0.0.0/8"])
    assert await from_elsewhere(closed, "10.0.0.7") == 403
    assert await from_elsewhere(opened, "10.0.0.7") == 200
    assert await from_elsewhere(opened, "::ffff:10.0.0.7") == 200
    assert await from_elsewhere(opened, "11.0.0.7") == 403


def test_what_is_no_page_is_refused() -> None:
    wrong: list[dict[str, Any]] = [
        {"metrics": "metrics"},
        {"metrics": "/mcp"},
        {"metrics": "/health", "health": "/health"},
        {"metrics": "/metrics", "metrics_allow_ips": ["everybody"]},
    ]
    for options in wrong:
        with pytest.raises(ValueError, match="metrics"):
            desk().asgi(**options)


async def test_several_workers_that_count_alone_are_refused() -> None:
    app = desk(keys=["k" * 32])
    with pytest.raises(ValueError, match="PROMETHEUS_MULTIPROC_DIR"):
        app.asgi(metrics="/metrics", workers=2, sessions=False)


@pytest.mark.hostile
async def test_refusals_are_counted_by_reason(recorded: Recorded) -> None:
    app = desk(recorded.observer, max_message=1000)
    async with served(app.asgi()) as url:
        place = "/mcp"
        assert (await read(url, place, {"origin": "http://evil.example"}))[0] == 403
        assert (await read(url, "/nowhere"))[0] == 404
        assert (await read(url, place))[0] == 400
    reasons = {
        point.attributes["dovetail.refusal.reason"]: point.value
        for point in recorded.points("dovetail.server.refusals")
    }
    assert reasons == {"origin": 1, "route": 1, "protocol": 1}


@pytest.mark.hostile
async def test_a_caller_adds_no_series_by_what_it_names(recorded: Recorded) -> None:
    prometheus = Prometheus()
    app = desk([recorded.observer, prometheus], rate_limit=None)

    @app.resource("desk://today")
    async def today() -> str:
        return "monday"

    async with connected(app, revision=ERAS[1]) as client:
        for number in range(300):
            with pytest.raises(RPCError):
                await client.call_tool(f"made-up-{number}")
            with pytest.raises(RPCError):
                await client.read(f"desk://made-up/{number}")
    points = [each.attributes for each in recorded.points("mcp.server.operation.duration")]
    assert len(points) <= 3
    assert "made-up" not in prometheus.page()[0].decode() + repr(points)


@pytest.mark.hostile
def test_a_server_adds_no_more_series_to_a_client_than_allowed() -> None:
    table = AttributeTable(most=1000)
    seen: set[int] = set()
    names: set[str] = set()
    for number in range(5000):
        operation = ObservedOperation("client", "tools/call", kind="tool", target=f"tool-{number}")
        operation.fail(ValueError(), code=-40000 - number)
        found = table.of(operation)
        seen.add(id(found))
        names.add(found.get("gen_ai.tool.name", ""))
        assert found["error.type"] == OTHER
    assert len(names) == MAX_NAMES + 1
    assert len(seen) <= 1001


def test_the_table_is_bounded_whatever_comes() -> None:
    table = AttributeTable(most=10)
    found = {id(table.of(ObservedOperation("server", f"own/{number}"))) for number in range(1000)}
    assert len(found) == 11


@pytest.mark.parametrize("transport", ["memory", "http-json"])
async def test_sessions_are_as_long_as_they_lasted(transport: Any, recorded: Recorded) -> None:
    options: Any = {"transport": transport, "revision": ERAS[0], "telemetry": recorded.observer}
    async with connected(desk(recorded.observer), **options) as client:
        await client.list_tools()
    for name in ("mcp.server.session.duration", "mcp.client.session.duration"):
        (point,) = recorded.points(name)
        assert point.count == 1
        assert point.attributes["mcp.protocol.version"] == ERAS[0]
        assert 0 < point.sum < 60


async def test_a_session_that_had_to_be_opened_anew_is_counted(recorded: Recorded) -> None:
    store = MemoryStore()
    made: list[str] = []
    create = store.sessions.create

    async def noted(record: SessionRecord) -> Any:
        made.append(record.id)
        return await create(record)

    store.sessions.create = noted
    app = desk(store=store)

    async with (
        served(app.asgi()) as url,
        Client(url, revision=ERAS[0], telemetry=recorded.observer) as client,
    ):
        await client.call_tool("add", {"a": 1, "b": 2})
        assert await store.sessions.delete(made[0])
        assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"
    assert len(made) == 2
    (point,) = recorded.points("dovetail.client.reconnects")
    assert point.value == 1


async def test_what_goes_on_is_read_when_it_is_asked_for(recorded: Recorded) -> None:
    app = desk(recorded.observer)
    async with (
        served(app.asgi()) as url,
        Client(url, revision=ERAS[1], telemetry=()) as client,
        client.listen(tools=True),
    ):
        now = {name: [each.value for each in recorded.points(name)] for name in GAUGES}
    assert now["dovetail.server.streams.active"] == [1]
    assert now["dovetail.server.listeners"] == [1]
    assert now["dovetail.server.requests.active"] == [1]
    assert now["dovetail.server.workers"] == [1]
    assert now["dovetail.server.connections.active"] == []


BROKEN = [
    b"no json",
    b'{"jsonrpc": "2.0", "id": 1, "method": 7}',
    b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": 7}}',
    b'{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": []}}',
]


@pytest.mark.hostile
@pytest.mark.parametrize("message", BROKEN, ids=range(len(BROKEN)))
async def test_messages_that_break_the_protocol_are_counted(message: bytes, recorded: Recorded) -> None:
    sent: list[bytes] = []

    async def send(data: bytes) -> None:
        sent.append(data)

    service = desk(recorded.observer).service
    await service.enter()
    connection = ServerConnection(service, send, transport="unix")
    await connection.receive(message)
    await connection.close()
    await service.leave()
    (point,) = recorded.points("dovetail.server.refusals")
    assert (point.value, point.attributes["dovetail.refusal.reason"]) == (1, "protocol")
    assert point.attributes["network.transport"] == "unix"


WORKERS = """
import sys
from dovetail import App

app = App("desk")

@app.tool
async def add(a: int, b: int) -> int:
    return a + b

app.run("http", port=0, workers=2, sessions=False, metrics="/metrics", announce=lambda line: print(line, flush=True))
"""


@asynccontextmanager
async def program(tmp_path: Path) -> AsyncGenerator[str]:
    """Two workers; gives the URL of their endpoint."""
    file = tmp_path / "workers.py"
    file.write_text(WORKERS)
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(file), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), 50)).decode()
        match = re.search(r"http://\S+", line)
        assert match is not None, line
        yield match[0]
    finally:
        process.terminate()
        await asyncio.wait_for(process.communicate(), 50)


async def test_whichever_worker_is_asked_answers_for_all(tmp_path: Path) -> None:
    async with program(tmp_path) as url:
        for _ in range(12):  # each over a connection of its own, so that both workers get some
            async with Client(url, revision=ERAS[1]) as client:
                await client.call_tool("add", {"a": 1, "b": 2})
        for _ in range(6):
            _, _, page = await read(url)
            count = values(page, "mcp_server_operation_duration_seconds_count", gen_ai_tool_name="add")
            assert count == 12
            assert values(page, "dovetail_server_workers") == 2
