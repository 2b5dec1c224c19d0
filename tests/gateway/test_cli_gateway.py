"""``dovetail gateway`` and ``dovetail remote``, as a person or a host starts them: in processes of their own."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from login_stage import World
from test_login_cli import Desk

from dovetail import App, Client, Principal, RPCError
from dovetail.host import server_name
from dovetail.testing.serving import served

STATEFUL, STATELESS = "2025-11-25", "2026-07-28"
ERAS = pytest.mark.parametrize("revision", ["2024-11-05", STATEFUL, STATELESS])
SERVER = """
import os
from dovetail import App, Context

app = App("behind")

@app.tool
async def add(x: int, y: int) -> int:
    return x + y

@app.tool
async def ask(ctx: Context) -> str:
    return "hello " + await ctx.elicit("who?", str)

@app.tool
async def environment(name: str) -> str:
    return os.environ.get(name, "nothing")

app.run()
"""


def dovetail(*words: str) -> list[str]:
    return [sys.executable, "-m", "dovetail", *words]


def configured(folder: Path, **more: Any) -> str:
    """A configuration with two servers on stdio, and others."""
    (folder / "behind.py").write_text(SERVER)
    behind = {"command": sys.executable, "args": [str(folder / "behind.py")]}
    servers = {"one": behind, "two": {**behind, "env": {"COLOUR": "${SHADE}"}}, **more}
    path = folder / "servers.json"
    path.write_text(json.dumps({"mcpServers": servers}))
    return str(path)


def remote_app() -> App:
    app = App("far")

    @app.tool
    async def shout(word: str) -> str:
        return word.upper()

    return app


@asynccontextmanager
async def over_http(*words: str, env: dict[str, str] | None = None) -> AsyncGenerator[str]:
    """A gateway in a process, over HTTP at a free port; gives its URL."""
    process = await asyncio.create_subprocess_exec(
        *dovetail("gateway", *words, "--http", "0", "--log-level", "info"),
        stderr=subprocess.PIPE,
        env={**os.environ, **(env or {})},
    )
    assert process.stderr is not None
    try:
        while b"http://" not in (line := await asyncio.wait_for(process.stderr.readline(), 30)):
            assert line, "it ended"
        drained = asyncio.create_task(process.stderr.read())
        url = next(word for word in line.decode().split() if word.startswith("http://")).rstrip(".,;")
        yield url
        process.terminate()
        await drained
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@ERAS
async def test_two_on_stdio_and_one_over_http_are_one_on_stdio(revision: str, tmp_path: Path) -> None:
    async with served(remote_app().asgi()) as far:
        command = dovetail("gateway", configured(tmp_path, far={"url": far}))
        env = {"SHADE": "green"}
        async with Client(command, revision=revision, env=env, elicitation=lambda form: "Ada") as client:
            names = [tool.name async for tool in client.tools()]
            assert names == [
                *(f"{server}__{tool}" for server in ("one", "two") for tool in ("add", "ask", "environment")),
                "far__shout",
            ]
            assert (await client.call_tool("one__add", {"x": 1, "y": 2})).text == "3"
            assert (await client.call_tool("two__environment", {"name": "COLOUR"})).text == "green"
            assert (await client.call_tool("one__environment", {"name": "COLOUR"})).text == "nothing"
            assert (await client.call_tool("far__shout", {"word": "a"})).text == "A"
            if revision != "2024-11-05":
                assert (await client.call_tool("two__ask")).text == "hello Ada"


async def test_a_server_may_be_called_anything_in_the_file(tmp_path: Path) -> None:
    """Files of other hosts have names that no tool may begin with: one of them must not cost all others."""
    name = server_name("my server.v2")
    again = {"command": sys.executable, "args": [str(tmp_path / "behind.py")]}
    command = dovetail("gateway", configured(tmp_path, **{"my server.v2": again}), "--only", "my server.v2")
    said: list[str] = []
    async with Client(command, on_stderr=said.append) as client:
        assert (await client.call_tool(f"{name}__add", {"x": 1, "y": 2})).text == "3"
    assert f"dovetail: the server 'my server.v2' is called {name} here" in said


async def test_both_eras_at_once_over_http(tmp_path: Path) -> None:
    async with over_http(configured(tmp_path), "--only", "one", "--revision", STATEFUL) as url:
        for revision in (STATEFUL, STATELESS):
            async with Client(url, revision=revision, elicitation=lambda form: "Ada") as client:
                assert (await client.call_tool("one__ask")).text == "hello Ada"
                assert [tool.name async for tool in client.tools()] == [
                    "one__add",
                    "one__ask",
                    "one__environment",
                ]


async def status_of(port: int, method: str, headers: dict[str, str], body: bytes) -> int:
    """What a request is answered with, whatever its headers say."""
    given = {"Host": f"127.0.0.1:{port}", "Content-Length": str(len(body)), **headers, "Connection": "close"}
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"{method} /mcp HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), "", ""]
    writer.write("\r\n".join(lines).encode() + body)
    head = await asyncio.wait_for(reader.readline(), 20)
    writer.close()
    return int(head.split(b" ")[1])


@pytest.mark.hostile
async def test_v45_no_page_of_others_reaches_a_server_behind_it(tmp_path: Path) -> None:
    """Whatever name it has for this machine, and from wherever it is: what it asks for is not passed on."""
    called: list[str] = []
    app = App("far")

    @app.tool
    async def shout(word: str) -> str:
        called.append(word)
        return word.upper()

    meta = {
        "io.modelcontextprotocol/protocolVersion": STATELESS,
        "io.modelcontextprotocol/clientInfo": {"name": "page", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": "far__shout", "arguments": {"word": "a"}, "_meta": meta}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    good = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": STATELESS,
        "Mcp-Method": "tools/call",
        "Mcp-Name": "far__shout",
    }
    async with (
        served(app.asgi()) as far,
        over_http(configured(tmp_path, far={"url": far}), "--only", "far") as url,
    ):
        port = int(url.rpartition(":")[2].partition("/")[0])
        for bad in (
            {"Host": "evil.example"},
            {"Host": f"localhost.evil.example:{port}"},
            {"Host": f"127.0.0.1.evil.example:{port}"},
            {"Origin": "https://evil.example"},
            {"Origin": f"http://localhost.evil.example:{port}"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
        ):
            for method in ("POST", "GET", "DELETE", "OPTIONS"):
                assert await status_of(port, method, {**good, **bad}, body) in (403, 421), (method, bad)
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            assert await status_of(port, "POST", {**good, "Content-Type": kind}, body) == 415
        assert called == []
        assert await status_of(port, "POST", good, body) == 200
    assert called == ["a"]


async def test_workers_share_a_store(tmp_path: Path) -> None:
    """A round that one worker began another one goes on with, in either era; sessions are served by any."""
    store = str(tmp_path / "store.db")
    async with over_http(
        configured(tmp_path), "--only", "one", "--workers", "2", "--store", store, "--revision", STATELESS
    ) as url:
        for _ in range(6):
            for revision in (STATEFUL, STATELESS):
                async with Client(url, revision=revision, elicitation=lambda form: "Ada") as client:
                    assert (await client.call_tool("one__ask")).text == "hello Ada"
                    assert (await client.call_tool("one__add", {"x": 1, "y": 2})).text == "3"


async def test_the_door_of_the_command_line(tmp_path: Path) -> None:
    """A policy in a file, and records in another one."""
    policy, audit = tmp_path / "policy.toml", tmp_path / "audit.jsonl"
    policy.write_text('default = "allow"\n[[rules]]\ndecision = "deny"\ntool = "environment"\n')
    words = ("--policy", str(policy), "--audit", str(audit), "--bare-names", "--only", "one")
    async with Client(dovetail("gateway", configured(tmp_path), *words)) as client:
        assert [tool.name async for tool in client.tools()] == ["add", "ask"]
        await client.call_tool("add", {"x": 1, "y": 2})
    assert [json.loads(line)["event"] for line in audit.read_text().splitlines()] == ["decision", "call"]


async def test_a_server_has_the_rate_limit_of_its_entry(tmp_path: Path) -> None:
    """Of the file: for each caller, at that server alone."""
    behind = {"command": sys.executable, "args": [str(tmp_path / "behind.py")]}
    path = configured(tmp_path, slow={**behind, "rate_limit": 0.01, "burst": 2})
    async with Client(dovetail("gateway", path, "--only", "slow", "--only", "one")) as client:
        sums = {"x": 1, "y": 2}
        for _ in range(2):
            assert (await client.call_tool("slow__add", sums)).text == "3"
        with pytest.raises(RPCError, match=r"too many calls of the server 'slow'; try again in \d+ seconds"):
            await client.call_tool("slow__add", sums)
        for _ in range(3):
            assert (await client.call_tool("one__add", sums)).text == "3"


@pytest.mark.parametrize(
    "words,said",
    [
        (["nowhere.json"], "there is no file 'nowhere.json'"),
        (["servers.json", "--only", "three"], "has no server 'three'; it has: one, two"),
        (["servers.json"], "the environment has no 'SHADE'"),
        (["servers.json", "--only", "one", "--policy", "none.toml"], "--policy 'none.toml' can't be read"),
        (["servers.json", "--only", "one", "--auth-issuer", "https://x.example"], "go together"),
        (["servers.json", "--only", "one", "--format", "nobody"], "--format 'nobody'"),
        (["servers.json", "--only", "one", "--patience", "0"], "--patience"),
        (["servers.json", "--only", "one", "--park", "0"], "--park"),
        (["--format", "vscode"], "name a FILE"),
        (["servers.json", "--only", "one", "--", "x"], "takes no command"),
        (["bad.json"], "'bad'"),
        (["slow.json"], "'rate_limit' of the server 'a' is a number of calls a second above 0"),
        (["burst.json"], "'burst' of the server 'a' is a number of calls at once, 1 at least"),
        (["code.json"], "has no servers; in the form of vscode it has: give --format vscode"),
        (["flows.json", "--policy", "flows.toml"], "flows"),
    ],
)
def test_what_makes_no_sense_is_said(words: list[str], said: str, tmp_path: Path) -> None:
    """In one line, before anything is started, and with the exit code of usage or of no server."""
    configured(tmp_path)
    (tmp_path / "bad.json").write_text('{"mcpServers": {"bad": {"args": []}}}')
    (tmp_path / "code.json").write_text('{"servers": {"a": {"command": "true"}}}')
    (tmp_path / "slow.json").write_text('{"mcpServers": {"a": {"command": "true", "rate_limit": "often"}}}')
    (tmp_path / "burst.json").write_text(
        '{"mcpServers": {"a": {"command": "true", "rate_limit": 1, "burst": 0}}}'
    )
    (tmp_path / "flows.json").write_text('{"mcpServers": {"a": {"command": "true"}}}')
    (tmp_path / "flows.toml").write_text('[[flows]]\nsource = "a"\ntarget = "b"\n')
    done = subprocess.run(
        dovetail("gateway", *words), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode in (2, 3)
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


async def test_v54_v55_our_own_configuration_is_used_as_it_was_approved(tmp_path: Path) -> None:
    """Without a file; an entry that nobody agreed to is not started."""
    desk = Desk(tmp_path)
    desk.env["XDG_CONFIG_HOME"] = str(tmp_path / "config")
    path = tmp_path / "config" / "dovetail" / "servers.json"
    path.parent.mkdir(parents=True)
    (tmp_path / "behind.py").write_text(SERVER)
    entry = {"command": sys.executable, "args": [str(tmp_path / "behind.py")]}
    path.write_text(json.dumps({"mcpServers": {"mine": entry}}))
    code, _, err = await desk.run("gateway")
    assert (code, "dovetail servers approve mine" in err) == (2, True)
    code, _, err = await desk.run("servers", "approve", "mine", "--yes")
    assert code == 0, err
    async with Client(dovetail("gateway"), env=desk.env) as client:
        assert (await client.call_tool("mine__add", {"x": 1, "y": 2})).text == "3"


@ERAS
async def test_a_remote_server_is_one_on_stdio(revision: str) -> None:
    """Under its own names, whatever is spoken."""
    async with (
        served(remote_app().asgi()) as far,
        Client(dovetail("remote", far, "--no-login"), revision=revision) as client,
    ):
        assert (await client.call_tool("shout", {"word": "a"})).text == "A"


async def test_a_remote_server_that_wants_a_login_gets_one(tmp_path: Path) -> None:
    """In a browser, though nobody is at a terminal; what that prints is not on the wire. The next start has it."""
    desk = Desk(tmp_path)
    (tmp_path / "browser.py").write_text(
        "import sys, urllib.request\nprint('opening', flush=True)\nurllib.request.urlopen(sys.argv[1]).read()\n"
    )
    async with World() as world:
        for _ in range(2):
            command = dovetail("remote", world.resource, "-r", STATELESS)
            async with Client(command, revision=STATEFUL, env=desk.env, timeout=30) as client:
                assert (await client.call_tool("x")).text == "done"
        assert len(world.issuer.at("/authorize")) == 1


async def test_a_remote_server_that_nobody_can_log_in_to_says_so(tmp_path: Path) -> None:
    """Without a browser the calls fail, with a word."""
    desk = Desk(tmp_path, browser=False)
    lines: list[str] = []
    async with World() as world:
        command = dovetail("remote", world.resource, "-r", STATELESS)
        async with Client(command, revision=STATEFUL, env=desk.env, on_stderr=lines.append) as client:
            with pytest.raises(Exception, match="LoginFailed"):
                await client.call_tool("x")
        assert any("/authorize?" in line for line in lines)


async def test_a_token_of_the_environment_goes_in_place_of_a_login() -> None:
    seen: list[str] = []

    class Seen:
        async def authenticate(self, request: Any) -> Any:
            seen.extend(request.authorization)
            return Principal(issuer="test", subject="ann")

    async with (
        served(remote_app().asgi(authenticate=Seen())) as far,
        Client(dovetail("remote", far), env={"DOVETAIL_TOKEN": "abc"}) as client,
    ):
        assert (await client.call_tool("shout", {"word": "a"})).text == "A"
    assert set(seen) == {"Bearer abc"}


def test_what_is_no_url_is_no_remote_server() -> None:
    done = subprocess.run(dovetail("remote", "server.py"), capture_output=True, text=True, check=False)
    assert (done.returncode, "is no URL" in done.stderr) == (2, True)
