"""A server whose every word is an attack, in the page: nothing runs, nothing is loaded, and the page goes on."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import hostile_server
import pytest
from inspected import ended, until
from playwright.async_api import expect
from seeing import Seen, path
from walking import OF_CAPTURE, reacts, safe, walk

from dovetail_inspector.session.calls import CallRequest
from dovetail_inspector.session.server import InspectedServer
from dovetail_inspector.views import ServerTarget

pytestmark = pytest.mark.hostile
LONG = 120_000  # milliseconds: megabytes take a busy machine its time
CALLED = ("blocks", "huge", "flood", "ids", "structured")


@pytest.fixture
async def watched(seen: Seen) -> AsyncIterator[Seen]:
    """The page, of which it is seen what it asks for and what opens."""
    asked: list[str] = []
    opened: list[str] = []
    seen.page.set_default_timeout(LONG)
    seen.page.context.on("request", lambda request: asked.append(request.url))
    seen.page.on("dialog", lambda dialog: opened.append(dialog.message))
    seen.page.on("popup", lambda popup: opened.append(popup.url))
    seen.page.on("download", lambda download: opened.append(download.url))
    yield seen
    assert [each for each in asked if not each.startswith((seen.address, "blob:"))] == []
    assert opened == []


@pytest.fixture
async def hostile(inspection, request) -> InspectedServer:
    """The server, connected; with so many harmless tools as its parameter says."""
    words = [hostile_server.__file__, str(getattr(request, "param", 0))]
    server = inspection.add(hostile_server.MARKUP, ServerTarget(command=sys.executable, args=words))
    server.connect()
    await server.connected()
    assert server.view.state == "ready", server.view.error
    return server


@pytest.mark.timeout(600)  # ten thousand tools, in each of forty places
@pytest.mark.parametrize("hostile", [10_000], indirect=True)
async def test_every_view_of_a_hostile_server(watched, hostile, inspection):
    await watched.open(path("s", hostile.id))
    for name in CALLED:
        call = await ended(
            inspection, inspection.call(hostile.id, CallRequest(kind="tool", name=name, arguments={}))
        )
        assert call.state in ("done", "failed")
    for kind, names in (("read", hostile_server.ADDRESSES[:4]), ("prompt", [hostile_server.MARKUP])):
        for each in names:
            wanted = (
                CallRequest(kind="read", uri=each)
                if kind == "read"
                else CallRequest(kind="prompt", name=each)
            )
            await ended(inspection, inspection.call(hostile.id, wanted))
    tools = [*hostile_server.SCHEMAS, hostile_server.MARKUP, *CALLED]
    await walk(watched, inspection, hostile, tools, errors=3)


@pytest.mark.parametrize("name", CALLED)
async def test_what_a_hostile_tool_gives(watched, hostile, name):
    page = watched.page
    await watched.open(path("s", hostile.id, "tools", name))
    await watched.button("Call").click()
    panel = page.get_by_role("article", name=f"Call of {name}")
    await expect(panel).to_be_visible()
    await expect(watched.button("Cancel", panel)).to_have_count(0, timeout=LONG)
    view = page.get_by_role("dialog", name=f"View of {name}")
    await expect(view.get_by_role("alert")).to_be_visible(timeout=LONG)
    await safe(watched)
    await reacts(watched)
    # the browser's own word on the view that could not be read
    watched.wrong[:] = [each for each in watched.wrong if "status of 400" not in each or "/apps" not in each]


async def test_what_a_hostile_server_asks(watched, hostile, inspection):
    page = watched.page
    await watched.open(path("a", "questions"))
    inspection.call(hostile.id, CallRequest(kind="tool", name="ask", arguments={}))
    await until(lambda: len(inspection.questions.views) >= 2)
    await expect(page.get_by_role("article").first).to_be_visible()
    await safe(watched)
    for each in inspection.questions.views:
        if each.kind == "visit":
            assert each.url.startswith(("http://", "https://")), each.url
    while waiting := [each.id for each in inspection.questions.views]:
        await watched.button("Decline").first.click()
        await until(lambda first=waiting: [each.id for each in inspection.questions.views] != first)
    await reacts(watched)


CAPTURE = [
    b"no line at all",
    b'{"n":1,"seconds":-5,"time":"never","sender":"server","body":{"jsonrpc":"2.0","id":1e999,"result":{}}}',
    b'{"n":2,"seconds":1e308,"time":"","text":"' + b"t" * 1_000_000 + b'"}',
    b'{"n":3,"seconds":-1e308,"time":"","mark":"open","target":"<script>window.ran=1</script>"}',
    *(
        json.dumps(
            {
                "n": 9,
                "seconds": n - 3,
                "time": hostile_server.SCRIPT,
                "link": -n,
                "transport": hostile_server.SCRIPT,
                "sender": ("client", "server")[n % 2],
                "revision": hostile_server.SCRIPT,
                "http": {
                    "exchange": n // 2,
                    "method": ("", hostile_server.SCRIPT)[n % 2],
                    "target": "javascript:window.ran=1",
                    "status": -n,
                    "headers": {
                        hostile_server.SCRIPT: hostile_server.SCRIPT,
                        "__proto__": "x",
                        "cookie": "x" * 9000,
                    },
                    "event": hostile_server.SCRIPT,
                },
                "body": body,
            }
        ).encode()
        for n, body in enumerate(
            [
                {
                    "jsonrpc": "2.0",
                    "id": {},
                    "method": hostile_server.MARKUP,
                    "params": hostile_server.POLLUTION,
                },
                {"jsonrpc": "2.0", "id": {}, "result": hostile_server.POLLUTION},
                {
                    "id": "__proto__",
                    "method": "tools/call",
                    "params": {"name": ["x"], "arguments": "x", "_meta": 5},
                },
                {"id": "__proto__", "error": {"code": hostile_server.SCRIPT, "message": {}}},
                {"id": 1, "method": "tools/list", "params": []},
                {"id": 1, "result": {"tools": [{"name": None, "inputSchema": 5}, 7]}},
                [[], 5, {"method": hostile_server.SCRIPT}],
                None,
            ]
        )
    ),
    b'{"n":5,"seconds":0,"time":"","sender":"server","body":' + b'{"a":' * 400 + b"1" + b"}" * 400 + b"}",
    b'{"n":6,"seconds":0,"time":"","mark":"stderr","text":"\\u001b[2J<script>window.ran=1</script>"}',
    b'{"n":7,"seconds":0,"time":"","mark":"fault","target":"<script>"}',
]


async def test_a_hostile_capture(watched, inspection, tmp_path: Path):
    name = '"><script>window.ran=1</script>.jsonl'
    place = tmp_path / "x.jsonl"
    place.write_bytes(
        b'{"capture":1,"began":"<script>","software":"<script>"}\n' + b"\n".join(CAPTURE) + b"\n"
    )
    page = watched.page
    await watched.open(path("a", "captures"))
    view = inspection.take_capture(place.read_bytes(), name)
    inspection.catch_up()
    await expect(page.get_by_text(name).first).to_be_visible()
    for each in (*OF_CAPTURE, "stderr"):
        await watched.go(path("t", view.id, each))
        await expect(page.locator("[aria-busy=true]")).to_have_count(0)
        await safe(watched)
    await watched.go(path("t", view.id, "transcript"))
    for n in range(1, len(inspection.transcript(view.id)) + 1):
        await watched.go(path("t", view.id, "transcript", str(n)))
        await safe(watched)
    await watched.go(path("a", "compare"))
    await reacts(watched)


OTHER = """<!doctype html><script>
const tried = [];
const at = "http://127.0.0.1:PORT";
const note = (name) => (value) => tried.push([name, String(value)]);
const body = JSON.stringify({ name: "x", target: { command: "touch" }, connect: true });
window.attack = async () => {
    const options = { credentials: "include" };
    const post = { ...options, method: "POST", body };
    await fetch(at + "/api/state", options).then((got) => got.text()).then(note("read"), note("refused"));
    const blind = { ...options, mode: "no-cors" };
    await fetch(at + "/api/state", blind).then((got) => note("blind")(got.type), note("refused"));
    await fetch(at + "/api/servers", { ...post, mode: "no-cors" }).then(() => 0, note("refused"));
    const headers = { "content-type": "application/json" };
    await fetch(at + "/api/servers", { ...post, headers }).then(note("posted"), note("refused"));
    await new Promise((done) => {
        const source = new EventSource(at + "/api/events", { withCredentials: true });
        source.onmessage = source.onopen = () => { note("heard")(""); done(); };
        source.onerror = () => { source.close(); note("refused")("events"); done(); };
    });
    await new Promise((done) => {
        const socket = new WebSocket(at.replace("http", "ws") + "/api/events");
        socket.onopen = () => { note("socket")(""); done(); };
        socket.onerror = () => { note("refused")("socket"); done(); };
    });
    for (const tag of ["script", "img", "iframe"])
        await new Promise((done) => {
            const made = document.createElement(tag);
            made.onload = made.onerror = (event) => { note(tag)(event.type); done(); };
            made.src = at + (tag === "iframe" ? "/" : "/api/state");
            document.body.append(made);
        });
    return tried;
};
</script><body><form method=post enctype="text/plain" target=there action="http://127.0.0.1:PORT/api/servers">
<input name='{"name":"x","target":{"command":"touch"},"y":"' value='"}'><button>go</button></form>
<iframe name=there></iframe>"""


async def test_v34_another_page_of_this_machine(seen, inspection):
    """The browser has the cookie and sends it to all ports of this machine; another's page gets nothing by it."""
    await seen.open()
    before = len(inspection.servers)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        text = OTHER.replace("PORT", str(seen.served.port)).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {len(text)}\r\nconnection: close\r\n\r\n"
        writer.write(head.encode() + text)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as other:
        page = await seen.page.context.new_page()
        await page.goto(f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}/")
        tried = dict.fromkeys(map(tuple, await page.evaluate("window.attack()")))
        names = {name for name, _ in tried}
        assert not names & {"read", "posted", "heard", "socket"}, tried
        assert ("script", "error") in tried
        assert ("img", "error") in tried
        await page.get_by_role("button", name="go").click()
        await page.wait_for_timeout(0)
        frame = page.frame(name="there")
        assert frame is not None
        await frame.wait_for_load_state()
        assert "token" not in await page.content()
        await page.close()
    assert len(inspection.servers) == before
    await reacts(seen)
