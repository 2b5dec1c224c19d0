"""What one client learned of a server and another does not: everything, but the era of exactly that server."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from raw_http import Answer, RawHTTP, error, result

from dovetail import Client
from dovetail.client import eras
from dovetail.client.selection import of_command, of_socket
from dovetail.runtime import tap
from dovetail.security.client_auth import Refusal

DESCRIBED = """
import json, os, sys
for line in sys.stdin:
    message = json.loads(line)
    if message["method"] == "server/discover":
        shown = {
            "supportedVersions": ["2026-07-28"], "capabilities": {CAPABILITIES}, "instructions": INSTRUCTIONS,
            "resultType": "complete", "ttlMs": 3_600_000, "cacheScope": "public",
        }
        answer = {"jsonrpc": "2.0", "id": message["id"], "result": shown}
        print(json.dumps(answer), flush=True)
"""
STATEFUL = """
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    answer = {"jsonrpc": "2.0", "id": message.get("id")}
    if message["method"] == "initialize":
        answer["result"] = {
            "protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "old", "version": "1"}
        }
        print(json.dumps(answer), flush=True)
    elif "id" in message:
        answer["error"] = {"code": -32601, "message": "Method not found"}
        print(json.dumps(answer), flush=True)
"""


def described(instructions: str = 'os.environ.get("WHO", "nobody")', capabilities: str = "") -> str:
    """A server that says how long, and for everyone, its description holds."""
    return DESCRIBED.replace("INSTRUCTIONS", instructions).replace("CAPABILITIES", capabilities)


@contextmanager
def opening() -> Iterator[list[str]]:
    """The requests with which clients of this process open."""
    found: list[str] = []

    def note(frame: tap.Frame) -> None:
        if frame.role == "client" and frame.sent:
            method = json.loads(frame.data).get("method")
            if method in ("server/discover", "initialize"):
                found.append(method)

    end = tap.add(note)
    try:
        yield found
    finally:
        end()


async def told(target: Any, **options: Any) -> Any:
    """What a server says to a client of its own."""
    async with Client(target, **options) as client:
        return client.instructions


# What a server says of itself


@pytest.mark.parametrize("cache", [True, False])
async def test_another_environment_is_another_server(tmp_path: Path, cache: bool) -> None:
    script = tmp_path / "server.py"
    script.write_text(described())
    command = [sys.executable, str(script)]
    found = [await told(command, env={"WHO": name}, cache=cache) for name in ("ada", "bob")]
    assert found == ["ada", "bob"]
    assert await told(command, cache=cache) == "nobody"


async def test_an_upgraded_file_is_another_server(tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    script.write_text(described('"first"'))
    async with Client([sys.executable, str(script)]) as client:
        assert client.server_capabilities is not None
        assert client.server_capabilities.tools is None
    script.write_text(described('"second"', '"tools": {}'))
    async with Client([sys.executable, str(script)]) as client:
        assert client.instructions == "second"
        assert client.server_capabilities is not None
        assert client.server_capabilities.tools is not None


async def test_another_query_is_another_server() -> None:
    async def serve(method: str, headers: dict[str, str], message: Any) -> Answer:
        hints = {"resultType": "complete", "ttlMs": 3_600_000, "cacheScope": "public"}
        revisions = {"supportedVersions": ["2026-07-28"], "capabilities": {}}
        told = f"{headers[':path']} {headers.get('x-tenant')}"
        return 200, {}, result(message, instructions=told, **revisions, **hints)

    async with RawHTTP(serve) as http:
        assert await told(f"{http.url}?project=a") == "/mcp?project=a None"
        assert await told(f"{http.url}?project=b") == "/mcp?project=b None"
        assert await told(http.url, headers={"X-Tenant": "ada"}) == "/mcp ada"
        assert await told(http.url, headers={"X-Tenant": "bob"}) == "/mcp bob"


async def test_a_server_that_is_started_again_says_everything_anew(tmp_path: Path) -> None:
    """Lists that may be kept, and what is known of its tools, end with the process that told them."""
    count = tmp_path / "count"
    count.write_text("0")
    script = tmp_path / "server.py"
    script.write_text(
        f"""
import json, os, pathlib, signal, sys
place = pathlib.Path({str(count)!r})
started = int(place.read_text()) + 1
place.write_text(str(started))
hints = {{"resultType": "complete", "ttlMs": 3_600_000, "cacheScope": "public"}}
for line in sys.stdin:
    message = json.loads(line)
    method = message["method"]
    if method == "server/discover":
        shown = {{"supportedVersions": ["2026-07-28"], "capabilities": {{"tools": {{}}}}, **hints}}
    elif method == "tools/list":
        kind = {{"type": "object", "required": ["n"] if started == 1 else []}}
        tool = {{"name": "t", "description": str(started), "inputSchema": {{"type": "object"}}, "outputSchema": kind}}
        shown = {{"tools": [tool], **hints}}
    elif message["params"]["name"] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        shown = {{"content": [], "structuredContent": {{}}, "resultType": "complete"}}
    print(json.dumps({{"jsonrpc": "2.0", "id": message["id"], "result": shown}}), flush=True)
"""
    )
    async with Client([sys.executable, str(script)], restart=True) as client:
        assert [tool.description async for tool in client.tools()] == ["1"]
        with pytest.raises(Exception, match="SIGKILL"):
            await client.call_tool("die")
        assert (await client.call_tool("t")).structured == {}  # the schema of the one before counts no more
        assert [tool.description async for tool in client.tools()] == ["2"]


# Its era


@pytest.mark.requirement("R2607-VERSIONING-016")
async def test_the_era_of_the_same_server_is_remembered(tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    script.write_text(STATEFUL)
    with opening() as sent:
        for _ in range(3):
            async with Client([sys.executable, str(script)], env={"KEY": "hunter2"}):
                pass
    assert sent == ["server/discover", "initialize", "initialize", "initialize"]
    assert "hunter2" not in repr(eras._known)
    assert str(script) not in repr(eras._known)


async def test_the_era_of_another_server_is_found_out(tmp_path: Path) -> None:
    """Each of these selects a server: environment, arguments, files that they name, directory."""
    script, other = tmp_path / "server.py", tmp_path / "other.py"
    for path in (script, other):
        path.write_text(STATEFUL)
    (tmp_path / "conf").write_text("a")
    command = [sys.executable, str(script)]
    cases: list[tuple[list[str], dict[str, Any]]] = [
        (command, {}),
        (command, {"env": {"WHO": "ada"}}),
        (command, {"cwd": tmp_path}),
        ([*command, "--fast"], {}),
        ([*command, f"--config={tmp_path / 'conf'}"], {}),
        ([sys.executable, str(other)], {}),
    ]
    for target, options in cases:
        with opening() as sent:
            await told(target, **options)
            await told(target, **options)
        assert sent == ["server/discover", "initialize", "initialize"], (target, options)
    (tmp_path / "conf").write_text("another one")
    with opening() as sent:
        await told(cases[4][0])
    assert sent == ["server/discover", "initialize"]
    script.write_text(described('"upgraded"'))
    with opening() as sent:
        assert await told(command) == "upgraded"
    assert sent == ["server/discover"]


class Anonymous:
    """Credentials that do not say whose they are."""

    account: str | None = None

    async def headers(self, method: str, url: str) -> dict[str, str]:
        return {}

    async def refused(self, refusal: Refusal) -> bool:
        return False

    def answered(self, url: str, headers: Any) -> None: ...

    async def close(self) -> None: ...


class Named(Anonymous):
    def __init__(self, account: str) -> None:
        self.account = account


async def test_the_era_of_another_url_is_found_out() -> None:
    def serve(method: str, headers: dict[str, str], message: Any) -> Answer:
        if method != "POST" or "id" not in message:
            return (202 if method == "POST" else 405), {}, None
        if message["method"] != "initialize":
            return 400, {}, error(message, -32600, "what?")
        told = {"protocolVersion": "2025-11-25", "capabilities": {}}
        return 200, {}, result(message, serverInfo={"name": "old", "version": "1"}, **told)

    async with RawHTTP(serve) as http:
        secret = http.url.replace("//", "//ada:hunter2@")
        for target, options, remembered in (
            (http.url, {}, True),
            (f"{http.url}?a=1", {}, True),
            (f"{http.url}?a=2", {}, True),
            (secret, {}, True),
            (http.url, {"headers": {"X-Tenant": "ada"}}, True),
            (http.url, {"headers": {"X-Tenant": "bob"}}, True),
            (http.url, {"headers": lambda: {"X-Tenant": "eve"}}, False),
            (http.url, {"auth": Named("ada")}, True),
            (http.url, {"auth": Named("bob")}, True),
            (http.url, {"auth": Anonymous()}, False),
        ):
            with opening() as sent:
                for _ in range(2):
                    await told(target, **options)
            again = ["initialize"] if remembered else ["server/discover", "initialize"]
            assert sent == ["server/discover", "initialize", *again], (target, options)
        assert "hunter2" not in repr(eras._known)


def test_a_socket_that_was_made_anew_is_another_server(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.touch()
    before = of_socket(str(path))
    assert of_socket(str(path)) == before
    path.rename(tmp_path / "old")
    path.touch()
    assert of_socket(str(path)) != before


def test_a_command_that_can_not_be_started_has_a_key_or_none() -> None:
    assert of_command(["\0"], None, None)
    assert of_command(["x"], {"A=": "1"}, None) is None
    assert of_command([f"no{os.sep}thing", "\0", "x" * 5000], None, "nowhere")


async def test_an_era_is_not_remembered_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "server.py"
    script.write_text(STATEFUL)
    command = [sys.executable, str(script)]
    monkeypatch.setattr(eras, "LIFETIME", 0.0)
    with opening() as sent:
        await told(command)
        await told(command)
    assert sent == ["server/discover", "initialize"] * 2


def test_so_many_are_remembered_and_no_more() -> None:
    for number in range(eras.LIMIT + 5):
        eras.remember(str(number), "stateful")
    assert eras.recall("4") is None
    assert eras.recall("5") == "stateful"
    assert eras.recall(None) is None
    eras.remember(None, "stateful")
    assert len(eras._known) == eras.LIMIT
