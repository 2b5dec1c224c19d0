"""`dovetail bench` and `dovetail conformance`: what is sent, what is told, and how they end."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dovetail.cli import main

SERVER = '''
from dovetail import App, ToolError

app = App("counted", version="1.0")
calls = []


@app.tool
async def work(number: int) -> int:
    """Work."""
    with open("calls", "a") as file:
        file.write("x")
    return number


@app.tool
async def fickle() -> None:
    """Fail every second time, but not the first."""
    calls.append(1)
    if len(calls) % 2 == 0:
        raise ToolError("not now")


@app.tool
async def fail() -> str:
    """Fail."""
    raise ToolError("out of order")
'''


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server that notes each call, in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "server.py").write_text(SERVER)
    return "server.py"


def test_no_tool_is_called_unless_named(server, run):
    """What is measured by default changes nothing."""
    code, out, err = run("bench", server, "--seconds", "0.3", "--concurrency", "3")
    assert code == 0
    assert "requests/s" in out
    assert "p50" in out
    assert "alone, without network and work" in out
    assert "lists of the tools, 3 at once" in err
    assert not Path("calls").exists()


def test_a_named_tool_is_called(server, run):
    """As often as is told, and a few times before."""
    words = ("bench", server, "--seconds", "0.3", "--tool", "work", "--args", '{"number": 3}', "--json")
    code, out, _ = run(*words)
    found = json.loads(out)
    assert code == 0
    assert found["requests"] + 20 == len(Path("calls").read_text())
    assert 0 < found["latency"]["p50"] <= found["latency"]["p99"] <= found["latency"]["max"]
    assert found["client"]["alonePerSecond"] > 0


def test_what_fails_is_counted(server, run):
    """And there is nothing to measure where the first request fails."""
    code, _, err = run("bench", server, "--seconds", "0.3", "--tool", "fail")
    assert (code, "out of order" in err) == (1, True)


@pytest.mark.parametrize(
    "words",
    [
        ("--seconds", "0"),
        ("--concurrency", "0"),
        ("--args", "{}"),
        ("--tool", "work", "--args", "[]"),
        ("--against", "x.py", "--compare", "y.json"),
        ("--store", "x.db"),
    ],
)
def test_what_makes_no_sense(server, run, words):
    assert run("bench", server, *words)[0] == 2


def test_a_result_beside_one_that_was_kept(server, run, tmp_path):
    """And beside that of another target, measured in turns."""
    code, _, err = run("bench", server, "--seconds", "0.2", "--save", "before.json", "-q")
    assert code == 0, err
    kept = json.loads(Path("before.json").read_text())
    code, out, _ = run("bench", server, "--seconds", "0.2", "--compare", "before.json", "-q")
    table = out.split("\n\n")[1].splitlines()
    assert code == 0
    assert table[0].split() == ["server.py", "before.json"]
    assert table[1].startswith("requests/s")
    assert f"{kept['perSecond']:,.0f}" in table[1]
    assert table[1].endswith("x")
    assert [line.split()[0] for line in table[2:7]] == list(kept["latency"])
    code, out, _ = run("bench", server, "--seconds", "0.2", "--against", server, "--json", "-q")
    found = json.loads(out)
    assert found["what"] == found["other"]["what"] == "lists of the tools"
    assert found["ratios"]["perSecond"] == round(found["perSecond"] / found["other"]["perSecond"], 4)
    code, out, _ = run(
        "bench",
        server,
        "--seconds",
        "0.1",
        "--tool",
        "work",
        "--args",
        '{"number": 3}',
        "--compare",
        "before.json",
    )
    assert "they did not do the same: calls of the tool work, and lists of the tools" in out


def test_what_fails_now_and_then_is_named(server, run):
    """With how often, and how much of all that is."""
    code, out, _ = run("bench", server, "--seconds", "0.3", "--tool", "fickle", "--concurrency", "1", "-q")
    assert code == 1
    (line,) = [each for each in out.splitlines() if each.startswith("failed")]
    assert line.endswith("%) ToolError: not now")


@pytest.mark.parametrize("text", [None, "{}", "no JSON"])
def test_a_result_that_was_not_kept(text, server, run):
    if text is not None:
        Path("before.json").write_text(text)
    code, _, err = run("bench", server, "--compare", "before.json")
    assert (code, "--compare 'before.json'" in err) == (2, True)


NPX = """#!{python}
import json, pathlib, sys
words = sys.argv[1:]
if "list" in words:
    print("Server scenarios (test against a server):")
    for name in ("ping", "tools-list", "resources-list", "tools-call-simple-text"):
        print(f"  - {{name}} [2025-11-25,2026-07-28]")
    sys.exit()
name = words[words.index("--scenario") + 1]
folder = pathlib.Path(words[words.index("-o") + 1], name)
folder.mkdir()
if name == "ping":
    import urllib.request
    about = {{"clientInfo": {{"name": "suite", "version": "1"}}, "capabilities": {{}}}}
    opening = {{"protocolVersion": "2025-11-25", **about}}
    for method, params in (("initialize", opening), ("tools/list", {{}})):
        message = {{"jsonrpc": "2.0", "id": method, "method": method, "params": params}}
        headers = {{"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}}
        url = words[words.index("--url") + 1]
        asked = urllib.request.Request(url, json.dumps(message).encode(), headers)
        try:
            urllib.request.urlopen(asked).read()
        except urllib.error.HTTPError as refused:
            pathlib.Path("refused").write_text(str(refused.code))
checks = [{{"id": name, "description": "d", "status": "SUCCESS"}}]
if name == "tools-call-simple-text":
    checks = [{{"id": name, "description": "d", "status": "FAILURE", "errorMessage": "no such tool"}}]
checks.append({{"id": "x", "description": "d", "status": "FAILURE", "errorMessage": "Not testable: no tool"}})
folder.joinpath("checks.json").write_text(json.dumps(checks))
"""


def programs(folder, version):
    """A node and an npx that answer as the suite does."""
    there = folder / "bin"
    there.mkdir()
    for name, text in (("node", f"#!/bin/sh\necho {version}\n"), ("npx", NPX.format(python=sys.executable))):
        (there / name).write_text(text)
        (there / name).chmod(0o755)
    return str(there)


@pytest.fixture
def url(server):
    """The same server, over HTTP."""
    command = [sys.executable, "-m", "dovetail", "run", server, "--http", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    yield "http://" + line.split("http://")[1].split()[0]
    process.terminate()
    process.communicate()


def test_the_suite_is_run(url, run, tmp_path, monkeypatch):
    """The scenarios that any server can pass, unless all are asked for."""
    monkeypatch.setenv("PATH", programs(tmp_path, "v22.1.0"))
    code, out, err = run("conformance", url)
    assert code == 0, err
    assert "ok       ping  1 checks passed, 1 need tools of the suite" in out
    assert "resources-list" not in out, "the server has no resources"
    assert "2 of 2 scenarios passed" in out
    assert "ok       messages  " in out
    assert "of the server's, nothing wrong" in out
    code, out, _ = run("conformance", url, "--all", "--json")
    (failed,) = [each for each in json.loads(out)["scenarios"] if each["problems"]]
    assert (code, failed["name"]) == (1, "tools-call-simple-text")
    assert "no such tool" in failed["problems"][0]
    assert run("conformance", url, "--only", "nothing")[0] == 2


class Protected(http.server.BaseHTTPRequestHandler):
    """A server that lets in who has the token, and whose messages have faults."""

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers.get("Authorization") != "Bearer hush":
            return self.answer(401, {"error": "who are you?"}, "WWW-Authenticate", "Bearer")
        results = {
            "initialize": {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "x", "version": "1"},
            },
            "tools/list": {"tools": [{"name": "t", "inputSchema": {"type": "anything"}}, {"name": 5}]},
        }
        if "id" not in message:
            return self.answer(202, None)
        result = results.get(message["method"])
        if result is None:
            error = {"code": -32601, "message": "no such method"}
            return self.answer(200, {"jsonrpc": "2.0", "id": message["id"], "error": error})
        return self.answer(200, {"jsonrpc": "2.0", "id": message["id"], "result": result})

    def answer(self, status: int, body: object, *header: str) -> None:
        """An answer in JSON."""
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if header:
            self.send_header(*header)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def protected(tmp_path, monkeypatch):
    """The URL of one, and a suite that runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", programs(tmp_path, "v22.1.0"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Protected)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/mcp"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.hostile
@pytest.mark.parametrize("way", ["token", "header"])
def test_credentials_let_the_suite_in_and_all_is_judged(way, protected, run, tmp_path, monkeypatch):
    """No credentials are among the words of the suite; what the server says is held against its revision."""
    monkeypatch.setenv("DOVETAIL_TOKEN" if way == "token" else "MINE", "hush")
    words = ("--header", "Authorization: Bearer env:MINE") if way == "header" else ()
    code, out, err = run("conformance", protected, *words, "--only", "ping", "--record", "talk.jsonl")
    assert code == 1, err
    assert not (tmp_path / "refused").exists()
    assert "ok       ping  1 checks passed" in out
    assert "FAILED   messages  " in out
    assert "tools/list 2025-11-25: /result/tools/1/inputSchema: expected a value" in out
    assert "1 of 1 scenarios passed" in out
    assert "hush" not in (tmp_path / "talk.jsonl").read_text()
    found = json.loads(run("conformance", protected, *words, "--only", "ping", "--json")[1])["messages"]
    assert {(each["method"], each["rule"]) for each in found["faults"]} == {
        ("tools/list", "schema"),
        ("tools/list", "schema-broken"),
    }
    assert found["judged"] > found["faults"][0]["count"]


@pytest.mark.hostile
def test_without_them_it_says_how_to_log_in(protected, run):
    code, _, err = run("conformance", protected, "--only", "ping")
    assert (code, "asks for authorization" in err) == (6, True)


def test_where_there_is_no_node(url, run, tmp_path, monkeypatch):
    """It says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = run("conformance", url)
    assert (code, "install Node 22 or later, with npx" in err) == (2, True)
    monkeypatch.setenv("PATH", programs(tmp_path, "v18.0.0"))
    assert "is v18" in run("conformance", url)[2]


def test_the_suite_talks_to_a_url(server):
    assert main(["conformance", server]) == 2
