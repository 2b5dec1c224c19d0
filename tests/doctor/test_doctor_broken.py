"""Servers that are broken in ways that are met: for each the doctor names the step, and what to do."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from broken_servers import INITIALIZED, TOOL, Unfinished, answering, at_path, http, program, speaking

from dovetail import App
from dovetail.doctor import Diagnosis, Step, diagnose
from dovetail.testing import served

pytestmark = pytest.mark.hostile

PAGE = http("200 OK", "<html>Home</html>", media="text/html")
ABSENT = http("404 Not Found", "", media="text/plain")


async def examined(answer, path: str = "/mcp", **options: Any) -> Diagnosis:
    """What is found at a server that answers so."""
    async with answering(answer) as port:
        return await diagnose(f"http://127.0.0.1:{port}{path}", patience=1.0, timeout=2.0, **options)


def failed(found: Diagnosis) -> Step:
    """The first step that failed. Every step that something is wrong with says what to do."""
    for step in found.steps:
        assert step.advice or step.status in ("ok", "not reached"), step
    return next(each for each in found.steps if each.status == "failed")


# Where it is

ELSEWHERE = {
    "at the root": (at_path("/", speaking(), ABSENT), "/mcp", "/: a server of the protocol"),
    "at /mcp": (at_path("/mcp", speaking(), ABSENT), "/", "/mcp: a server of the protocol"),
    "behind a slash": (at_path("/mcp/", speaking(), ABSENT), "/mcp", "/mcp/: a server of the protocol"),
    "beside a page": (at_path("/mcp", speaking(), PAGE), "/docs", "/mcp: a server of the protocol"),
    "at /sse": (
        at_path(
            "/sse",
            lambda *_: Unfinished(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"),
            ABSENT,
        ),
        "/mcp",
        "/sse: a server of HTTP+SSE",
    ),
    "with a login": (
        at_path("/mcp", lambda *_: http("401 Unauthorized", "", "WWW-Authenticate: Bearer"), ABSENT),
        "/",
        "/mcp: a server of the protocol",
    ),
}


@pytest.mark.parametrize("answer, path, told", ELSEWHERE.values(), ids=ELSEWHERE)
async def test_a_server_at_another_path_is_found(answer, path, told):
    step = failed(await examined(answer, path))
    assert step.name == "http"
    assert step.advice[0].startswith("use http://127.0.0.1:")
    assert told in step.advice[0]


async def test_a_web_page_is_no_server():
    step = failed(await examined(at_path("/", lambda *_: PAGE, ABSENT)))
    assert (step.name, step.what) == ("http", "POST 404, GET 404, OPTIONS 404: nothing is there")
    assert step.advice[0] == "check the path: no server of the protocol is there, at /mcp, or at /sse"
    assert "a web page" in step.advice[1]


async def test_a_redirect_to_a_login_of_people():
    step = failed(await examined(lambda *_: http("302 Found", "", "Location: https://login.example/?to=x")))
    assert (step.name, step.what) == ("http", "it redirects to another host: https://login.example/?to=x")
    assert step.advice[0].startswith("if people log in at login.example")


# What answers, and how

BEGUN = {
    "head": (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX: ", "end the head with an empty line"),
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{", "a Content-Length that is too large"),
}


@pytest.mark.parametrize("part", BEGUN)
async def test_an_answer_that_never_ends(part):
    begun, told = BEGUN[part]
    step = failed(await examined(lambda *_: Unfinished(begun)))
    assert (step.name, step.cause) == ("http", "timeout")
    assert step.what.endswith(f"it begins with 'HTTP/1.1 200 OK', and its {part} does not end")
    assert told in step.advice[0]


async def test_what_is_not_http_is_said_to_be_none():
    step = failed(await examined(lambda *_: b"220 mail.example ESMTP\r\n"))
    assert (step.name, step.advice) == ("http", ("check the port: what listens there does not speak HTTP",))


async def test_the_transport_of_2024_alone():
    """It is spoken to, and said to be old."""
    app = App("old", version="1.0")

    @app.tool
    async def greet() -> str:
        """Greet."""
        return "hello"

    new = app.asgi(http_sse=True)

    async def old(scope, receive, send):
        posted = scope["type"] == "http" and scope["method"] == "POST"
        if posted and scope["path"] in ("/mcp", "/mcp/sse"):
            code = 405 if scope["path"].endswith("/sse") else 404
            await send({"type": "http.response.start", "status": code, "headers": []})
            await send({"type": "http.response.body"})
        else:
            await new(scope, receive, send)

    async with served(old) as url:
        found = await diagnose(f"{url}/sse", patience=2.0)
    step = found.step("http")
    assert (step.status, step.what.partition(": ")[2]) == (
        "warning",
        "it speaks the HTTP+SSE of 2024-11-05 alone",
    )
    assert found.healthy, found.to_wire()
    assert found.step("opening").facts["era"] == "stateful"
    assert found.step("origins").what == "not told: strangers are refused in any case (405)"


STATUSES = {
    "not this host": ("421 Misdirected Request", "protocol", "--allow-host"),
    "not this type": ("415 Unsupported Media Type", "protocol", "Content-Type: application/json"),
    "not these answers": ("406 Not Acceptable", "protocol", "Accept: application/json, text/event-stream"),
    "too many": ("429 Too Many Requests", "protocol", "wait as long as it says"),
    "no": ("403 Forbidden", "login", "if it has no login, look for what refuses"),
    "another protocol": ("400 Bad Request", "protocol", "not as a server of the protocol does"),
}


@pytest.mark.parametrize("status, cause, told", STATUSES.values(), ids=STATUSES)
async def test_a_refusal_says_where_to_look(status, cause, told):
    found = await examined(lambda *_: http(status, "{}"))
    step = failed(found)
    assert (step.name, step.cause) == ("opening", cause)
    assert told in " ".join(step.advice)
    if status[:3] != "400":
        assert found.step("origins").what == f"not told: strangers are refused in any case ({status[:3]})"


async def test_an_origin_that_only_browsers_send():
    def answer(line, headers, body):
        own = headers.get("origin", "").removeprefix("http://") == headers["host"]
        return (
            speaking()(line, headers, body) if own else http("403 Forbidden", "no origin", media="text/plain")
        )

    found = await examined(answer)
    step = found.step("origins")
    assert step.what == "without an Origin header it refuses everybody (403); with its own it answers 200"
    assert "let requests without an Origin header pass" in step.advice[0]
    assert found.step("authorization").what == "no login is asked for, and strangers are refused (403)"
    assert failed(found).name == "opening"


# Who lets in

METADATA = {
    "a page": (PAGE, "answers with status 200 and text/html, not JSON"),
    "broken": (http("200 OK", '{"resource": '), "is not valid JSON"),
    "of wrong types": (http("200 OK", '{"resource": 5}'), "wrong type at .resource"),
    "failing": (http("500 Oops"), "answers with status 500"),
    "of another server": (
        http(
            "200 OK",
            '{"resource": "https://other.example/mcp", "authorization_servers": ["http://127.0.0.1:1"]}',
        ),
        "which is not this server",
    ),
}


@pytest.mark.parametrize("metadata, told", METADATA.values(), ids=METADATA)
async def test_metadata_that_lead_nowhere(metadata, told):
    def answer(line, headers, body):
        if "oauth-protected-resource" in line:
            return metadata
        where = f"http://{headers['host']}/.well-known/oauth-protected-resource/mcp"
        challenge = f'WWW-Authenticate: Bearer resource_metadata="{where}"'
        return ABSENT if "well-known" in line else http("401 Unauthorized", "", challenge)

    found = await examined(answer)
    step = found.step("authorization")
    assert step.status == "warning"
    assert told in step.what
    assert step.advice[0].startswith("serve the metadata of RFC 9728 at http://127.0.0.1:")
    assert step.advice[0].endswith('/mcp as "resource"')
    step = failed(found)
    assert (step.name, step.cause) == ("opening", "login")
    assert (
        step.advice[0] == "mend what the step authorization says: until then nobody can log in by themselves"
    )


async def test_a_refusal_without_a_challenge():
    found = await examined(lambda line, *_: ABSENT if "well-known" in line else http("401 Unauthorized"))
    (advice,) = found.step("authorization").advice
    assert advice.startswith(
        'send one with 401: WWW-Authenticate: Bearer resource_metadata="http://127.0.0.1:'
    )


# What it says

OPENINGS = {
    "a version of its own": (
        {**INITIALIZED, "protocolVersion": "2099-01-01"},
        "speaks 2099-01-01",
        "in common",
    ),
    "no version": ({**INITIALIZED, "protocolVersion": 5}, "protocolVersion", "the schema of the revision"),
    "no name": (
        {name: INITIALIZED[name] for name in ("protocolVersion", "capabilities")},
        "serverInfo",
        "mend that message",
    ),
}


@pytest.mark.parametrize("result, what, told", OPENINGS.values(), ids=OPENINGS)
async def test_an_opening_that_is_not_as_the_protocol_has_it(result, what, told):
    step = failed(await examined(speaking(initialize=result)))
    assert (step.name, step.cause) == ("opening", "protocol")
    assert what in step.what
    assert told in step.advice[0]


async def test_what_is_no_message():
    step = failed(await examined(lambda *_: http("200 OK", '{"hello": 1}')))
    assert (step.name, "malformed" in step.what) == ("opening", True)
    step = failed(await examined(lambda *_: http("200 OK", "hello", media="text/plain")))
    assert (step.name, "check the path" in step.advice[0]) == ("opening", True)


async def test_a_list_that_is_none():
    step = failed(await examined(speaking(**{"tools/list": {"tools": {}}})))
    assert (step.name, "tools/list is malformed" in step.what) == ("listing", True)


TOOLS = [
    {**TOOL, "name": "typed", "inputSchema": {"type": "anything"}},
    {**TOOL, "name": "listed", "inputSchema": {"type": "array"}},
    {**TOOL, "name": "twice"},
    {**TOOL, "name": "twice"},
    {**TOOL, "name": "bare", "description": " "},
    {**TOOL, "name": "wei\u00df nicht"},
    {**TOOL, "name": "shop.find"},
    {**TOOL, "name": "x" * 65},
    {"name": "lost"},
]
SAID_OF_TOOLS = (
    "tool 'typed': its input schema can't be used: ",
    "tool 'listed': its input schema is not of type \"object\": write ",
    "tool 'twice': it is listed more than once: list it once",
    "tool 'bare': it has no description: say what it does",
    "tool 'wei\u00df nicht': its name has other characters than clients expect: use ",
    "tool 'shop.find': its name is none that all models take: use 1 to 64 ",
    f"tool '{'x' * 65}': its name is none that all models take: use 1 to 64 ",
)


async def test_tools_that_clients_and_models_refuse():
    """One that nothing can be made of is named where the client leaves it out, all others by the surface."""
    found = await examined(speaking(**{"tools/list": {"tools": TOOLS}}))
    listing, surface = found.step("listing"), failed(found)
    assert "'lost' was left out" in listing.advice[0]
    assert surface.name == "surface"
    for said in SAID_OF_TOOLS:
        assert any(each.startswith(said) for each in surface.advice), said


# Processes

WRITE = "print(json.dumps(reply))"
RAW = "sys.stdout.buffer.write({})"
PROGRAMS = {
    "a length before each": (
        "s = json.dumps(reply); sys.stdout.write(f'Content-Length: {len(s)}\\r\\n\\r\\n{s}')",
        "it puts Content-Length before them",
    ),
    "several lines": ("print(json.dumps(reply, indent=2))", "write each message as one line"),
    "as Python shows it": ("print(reply)", "in Python: json.dumps"),
    "UTF-16": (RAW.format("(json.dumps(reply) + '\\n').encode('utf-16')"), "looks like UTF-16"),
    "no end of line": ("sys.stdout.write(json.dumps(reply))", "end it with a newline, and flush"),
    "nothing": ("pass", "a server for standard streams"),
    "a port": (
        "print('listening on http://127.0.0.1:9/mcp', file=sys.stderr, flush=True)",
        "it speaks of http://127.0.0.1:9/mcp: if it serves HTTP",
    ),
}


@pytest.mark.parametrize("write, told", PROGRAMS.values(), ids=PROGRAMS)
async def test_a_process_that_is_not_understood(write, told):
    step = failed(await diagnose(program(write), timeout=0.5, probe_timeout=0.5))
    assert (step.name, step.cause) == ("opening", "timeout")
    assert told in " ".join(step.advice)


LATIN = RAW.format("(json.dumps(reply, ensure_ascii=False) + '\\n').encode('latin-1')")


async def test_a_process_that_writes_latin_1():
    """In its first answer, or where a letter first needs it."""
    named = {**INITIALIZED, "serverInfo": {"name": "gr\u00fcn", "version": "1"}}
    step = failed(await diagnose(program(LATIN, {"initialize": named})))
    assert (step.name, "PYTHONUTF8=1" in step.advice[0]) == ("opening", True)
    tools = {"tools": [{**TOOL, "description": "gr\u00fc\u00dfen"}]}
    step = failed(await diagnose(program(LATIN, {"tools/list": tools})))
    assert (step.name, "PYTHONUTF8=1" in step.advice[0]) == ("listing", True)


async def test_a_process_that_waits_for_a_length():
    """A language server's framing in both directions: it never finds the beginning of a message."""
    text = "import sys\nwhile sys.stdin.buffer.readline().strip():\n    pass\nsys.stdin.buffer.read()"
    step = failed(await diagnose([sys.executable, "-c", text], timeout=0.5, probe_timeout=0.5))
    assert (step.name, "as one line of JSON" in step.advice[0]) == ("opening", True)


async def test_a_banner_is_put_up_with():
    found = await diagnose(program(WRITE, before="print('Welcome', flush=True)"))
    assert found.healthy
    assert found.step("output").what.startswith("1 line on standard output that are no messages: Welcome")
    assert found.step("output").advice[0].startswith("write logs to standard error")


async def test_a_process_that_ends_while_it_is_spoken_to():
    """What follows from that is not said again."""
    write = f"'tools' in reply.get('result', {{}}) and sys.exit(3); {WRITE}"
    found = await diagnose(program(write))
    assert failed(found).name == "listing"
    end = found.step("end")
    assert (end.status, end.what) == ("failed", "it had ended by itself before its input did, with status 3")
    assert found.step("latency").status == "not reached"


async def test_a_file_that_never_runs_its_app(tmp_path):
    (tmp_path / "server.py").write_text("import json\n")
    step = failed(await diagnose(str(tmp_path / "server.py")))
    assert (step.name, "end it with app.run()" in step.what) == ("opening", True)
    assert json.loads(json.dumps(step.to_wire()))["cause"] == "unreachable"
