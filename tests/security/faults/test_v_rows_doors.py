"""Who may come in: V9, V17, V18, and the rules on source that V58 to V60 ask for.

The doors of Streamable HTTP itself (V3 to V8, V10, V11) are tested beside it; here it is shown that there is
no other door.
"""

import ast
import asyncio
import json
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from fault_wires import CLIENT, HTTPTalk, OldTalk, call, notice, request, serving_kit
from workspace import applications

from dovetail import App, Context, Principal
from dovetail.security.authenticator import AuthenticationFailed, Credentials
from dovetail.security.principal import ANONYMOUS

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "src" / "dovetail"


@cache
def trees() -> list[tuple[str, ast.Module]]:
    """What is shipped: the library's files by their path in its package, those of applications with their package."""
    library = [(path.relative_to(SOURCE), path) for path in sorted(SOURCE.rglob("*.py"))]
    others = sorted(each for app in applications() for each in app.source.rglob("*.py"))
    files = [*library, *((path.relative_to(path.parents[1]), path) for path in others)]
    return [(name.as_posix(), ast.parse(path.read_text("utf-8"))) for name, path in files]


@cache
def called(tree: ast.AST) -> list[str]:
    return [dotted(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def dotted(target: ast.expr) -> str:
    """What `ast.unparse` makes of it, which takes twenty times as long where it is a dotted name."""
    if isinstance(target, ast.Name):
        return target.id
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name | ast.Attribute):
        return f"{dotted(target.value)}.{target.attr}"
    return ast.unparse(target)


#: Every module that takes messages from a peer and has them answered, and what keeps web pages out of it.
ENTRANCES = {
    "transports/stdio/server.py": "the parent process alone holds the pipe",
    "transports/unix/server.py": "a socket file of its owner; no page can open one",
    "transports/memory.py": "the same process",
    "transports/http_server/session_calls.py": "guarded",
    "transports/http_server/stateful.py": "guarded",
    "transports/http_server/stateless.py": "guarded",
    "transports/http_server/sse_2024.py": "guarded",
    "runtime/connection.py": "what the others make",
    "devserver/child.py": "frames from its parent, whose own doors are those above",
    "testing/serving.py": "the same process",
}


def test_v9_every_entrance_is_known() -> None:
    """A transport that somebody adds has to say here what guards it."""
    found = {
        name
        for name, tree in trees()
        for target in called(tree)
        if target == "ServerConnection" or target.endswith("dispatcher.answer")
    }
    assert found == set(ENTRANCES)
    listening = {
        name
        for name, tree in trees()
        for target in called(tree)
        if re.search(r"\b(start_server|start_unix_server|create_server|create_unix_server)$", target)
    }
    # Over HTTP uvicorn listens, for the one ASGI application; the callback of a login answers a browser and no client,
    # and the fixtures listen on a socket file of their own.
    assert listening == {"transports/unix/server.py", "auth/login/callback.py", "testing/serving.py"}


def test_v9_the_guard_comes_first_and_no_module_goes_around_it() -> None:
    """One function takes HTTP requests; the guard is the first thing it asks."""
    tree = dict(trees())["transports/http_server/asgi.py"]
    (handler,) = (
        node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef) and node.name == "__call__"
    )
    calls = [target for target in called(handler) if target.startswith("self.")]
    assert next(target for target in calls if target != "self._not_http") == "self._guard.admit"
    inside = [
        (name, target)
        for name, other in trees()
        for target in called(other)
        if name.startswith("transports/http_server/")
    ]
    for entry in (
        "_stateless.serve",
        "_stateful.serve",
        "_stateful.serve_batch",
        "_stateful.listen",
        "old.take",
    ):
        assert [name for name, target in inside if target.endswith(entry)] == [
            "transports/http_server/asgi.py"
        ], entry


EVIL: list[dict[str, str]] = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"host": "evil.example"},
    {"host": "localhost.evil.example"},
    {"host": "127.0.0.1.evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
]


@pytest.mark.parametrize("headers", EVIL, ids=lambda each: next(iter(each.items())))
async def test_v9_every_route_of_every_mode_refuses_pages_of_others(headers: dict[str, str]) -> None:
    app = App("doors")
    async with serving_kit.serving(app.asgi(http_sse=True)) as port:
        talk = OldTalk(port)
        await talk.connect()
        for method, path, body in (
            ("POST", "/mcp", request("server/discover", 1)),
            ("GET", "/mcp", None),
            ("DELETE", "/mcp", None),
            ("OPTIONS", "/mcp", None),
            ("GET", "/mcp/sse", None),
            ("OPTIONS", "/mcp/sse", None),
            ("POST", talk.path, request("ping", 1)),
            ("OPTIONS", talk.path, None),
            ("POST", "/nowhere", b"{}"),
        ):
            answer = await talk.prober.send(method, body, headers, path=path)
            assert answer.status in (403, 421), (method, path, answer)
            assert not [name for name in answer.headers if name.startswith("access-control")]
        assert talk.inbox.empty()
        await talk.close()


@pytest.mark.parametrize("origin", [b"https://evil.example", b"http://localhost", b""])
async def test_v9_a_websocket_is_refused_before_it_is_accepted(origin: bytes) -> None:
    sent: list[Any] = []
    calls: list[str] = []
    app = App("doors", lifespan=None)

    @app.tool
    async def ran() -> str:
        calls.append("ran")
        return ""

    frames = [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": call("ran", 1).decode()},
        {"type": "websocket.disconnect"},
    ]

    async def receive() -> Any:
        return frames.pop(0)

    async def send(event: Any) -> None:
        sent.append(event)

    scope = {"type": "websocket", "path": "/mcp", "headers": [(b"host", b"localhost"), (b"origin", origin)]}
    await app.asgi()(scope, receive, send)
    assert [event["type"] for event in sent] == ["websocket.close"]
    assert not calls


class Tokens:
    """Says who is calling by a made-up token."""

    async def authenticate(self, request: Credentials) -> Principal:
        if not request.authorization:
            return ANONYMOUS
        parts = request.authorization[0].split("|")
        if len(parts) != 3:
            raise AuthenticationFailed("no")
        return Principal(parts[0], parts[1], parts[2])


CROSSINGS = [
    ("i|s|c", "i|t|c"),
    ("i|s|c", "i|s|d"),
    ("i|s|c", "j|s|c"),
    ("", "i|s|c"),
    ("i|s|c", ""),
]


@pytest.mark.parametrize("owner,other", CROSSINGS)
async def test_v17_the_messages_route_of_2024_is_its_owners_alone(owner: str, other: str) -> None:
    ran: list[str] = []
    app = App("doors")

    @app.tool
    async def who(ctx: Context) -> str:
        ran.append(ctx.principal.key)
        return ctx.principal.key

    async with serving_kit.serving(app.asgi(http_sse=True, authenticate=Tokens())) as port:
        victim = OldTalk(port, owner)
        await (await victim.connect()).open()
        credentials = {"Authorization": other} if other else {}
        unknown = re.sub(r"session=.*", "session=" + "x" * 43, victim.path)
        for body in (call("who", 1), notice("notifications/cancelled", {"requestId": 1}), b"nonsense"):
            stolen = await victim.prober.send("POST", body, credentials, path=victim.path)
            nobody = await victim.prober.send("POST", body, credentials, path=unknown)
            assert (stolen.status, stolen.body) == (nobody.status, nobody.body)
            assert stolen.status == 404
        assert not ran
        assert (await victim.answer(call("who", 1)))["result"]["content"][0]["text"] == ran[0]
        assert victim.inbox.empty()
        await victim.close()


async def test_v17_a_sessions_changes_and_cancellations_are_its_owners_alone() -> None:
    """Beside the matrix of the Streamable HTTP tests: what has no answer has no effect either."""
    app = App("doors")
    waiting, release, stopped = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @app.tool
    async def hold() -> str:
        waiting.set()
        try:
            await release.wait()
        except asyncio.CancelledError:
            stopped.set()
            raise
        return "held"

    async with serving_kit.serving(app.asgi(authenticate=Tokens())) as port:
        victim = HTTPTalk(port, "i|s|c")
        await victim.open()
        held = asyncio.create_task(victim.answer(call("hold", 7)))
        await waiting.wait()
        for thief in ("i|t|c", "i|s|d", "j|s|c", ""):
            headers = {"Authorization": thief} if thief else {}
            for body in (
                notice("notifications/cancelled", {"requestId": 7}),
                request("resources/subscribe", 8, {"uri": "notes://x"}),
                request("logging/setLevel", 8, {"level": "emergency"}),
                json.dumps({"jsonrpc": "2.0", "id": "s1", "result": {}}).encode(),
            ):
                assert (await victim.prober.send("POST", body, headers)).status == 404
            assert (await victim.prober.send("DELETE", None, headers)).status == 404
        release.set()
        assert (await held)["result"]["content"][0]["text"] == "held"
        assert not stopped.is_set()
        await victim.close()


async def test_v18_a_second_stream_takes_nothing_from_the_first() -> None:
    """Neither with the session's own name, nor as someone else, nor on the transport of 2024."""
    app = App("doors")
    async with serving_kit.serving(app.asgi(http_sse=True, authenticate=Tokens())) as port:
        victim = HTTPTalk(port, "i|s|c")
        await victim.open()
        mine = {"Authorization": "i|s|c"}
        stream = await victim.prober.stream("GET", None, mine)
        await stream.next()
        for credentials, status in ((mine, 409), ({"Authorization": "i|t|c"}, 404), ({}, 404)):
            assert (await victim.prober.send("GET", None, credentials)).status == status

        first, second = OldTalk(port, "i|s|c"), OldTalk(port, "i|s|c")
        await first.connect()
        await second.connect()
        assert first.path != second.path
        await first.open()
        assert (await first.answer(request("ping", 3)))["result"] == {}
        assert second.inbox.empty()

        @app.tool
        async def late() -> str:
            return ""

        async with asyncio.timeout(5):
            changed = json.loads((await stream.next()).data)
        assert changed["method"] == "notifications/tools/list_changed"
        for talk in (victim, first, second):
            await talk.close()


async def test_v18_a_session_id_is_never_chosen_by_the_client() -> None:
    app = App("doors")
    async with serving_kit.serving(app.asgi()) as port:
        talk = HTTPTalk(port)
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": CLIENT}
        answer = await talk.prober.send(
            "POST", request("initialize", 1, params), {"Mcp-Session-Id": "chosen-by-an-attacker"}
        )
        assert answer.status == 404
        await talk.close()


# Rules on the source


def test_v36_v40_v59_nothing_goes_through_a_shell_or_runs_text() -> None:
    banned = re.compile(
        r"^(os\.(system|popen|spawn\w*|exec\w*)|eval|exec|pickle\.\w+|marshal\.\w+|shelve\.\w+|yaml\.\w+"
        r"|webbrowser\.\w+|\w*\.?create_subprocess_shell|\w*\.?subprocess_shell|subprocess\.getoutput)$"
    )
    found = [f"{name}: {target}" for name, tree in trees() for target in called(tree) if banned.match(target)]
    shells = [
        name
        for name, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg == "shell"
    ]
    assert (
        sorted(found)
        == [
            "auth/login/person.py: webbrowser.open",  # the address is checked where it is opened, and no shell sees it
            "dovetail_inspector/browser.py: webbrowser.open",  # web addresses alone, when the person says so
            "host/configuration/yaml_text.py: yaml.compose",  # with the SafeLoader, of a file of the person's own
            "host/configuration/yaml_text.py: yaml.safe_load",
        ]
    )
    assert not shells
    starters = {
        name
        for name, tree in trees()
        for target in called(tree)
        if re.search(r"(subprocess_exec|subprocess\.(run|Popen|call|check_\w+))$", target)
    }
    assert starters == {
        "transports/stdio/process.py",
        "devserver/version.py",  # our own module again, with the interpreter that runs already
        "recording/pipes.py",  # the command that is to be recorded, as it was given
        "cli/conformance.py",  # the official suite, from where it was installed
    }


def test_v58_paths_from_peers_are_opened_in_one_place() -> None:
    """What opens files in the package, so that a new place has to be looked at: names that come from outside
    belong to `security.safe_paths`.
    """
    opening = re.compile(r"^(open|os\.open)$|\.(read|write)_(bytes|text)$")
    found = {name for name, tree in trees() for target in called(tree) if opening.search(target)}
    assert found - OPENERS == set()
    assert "security/safe_paths.py" in found


#: Files opened by a name that the author, the operator or the system gives, never a peer.
OPENERS = {
    "auth/login/file_tokens.py",
    "auth/login/local_peers.py",  # the system's table of sockets
    "auth/login/person.py",
    "capture/following.py",  # as the next two
    "capture/lines.py",  # the schema of recordings, which is part of the package
    "capture/reading.py",  # the recording that is named
    "capture/writing.py",
    "cli/applications.py",  # the metadata of what is installed
    "cli/bench_runs.py",
    "cli/commands.py",
    "cli/conformance.py",  # what the suite that it started has written
    "cli/entering.py",  # the script that is to be installed
    "cli/generating.py",  # --out
    "cli/new_project.py",
    "devserver/child.py",
    "cli/saving.py",  # what -o names; of a name that comes from a server, letters and digits are left
    "cli/screen.py",  # the null device
    "cli/seen.py",  # what completion offers; of a name that is a hash
    "cli/sources.py",
    "client/targets.py",
    "dovetail_authserver/assertions.py",
    "host/configuration/writing.py",  # the files of hosts, in the places that are known or named
    "host/policy.py",  # what its author names, as the next
    "host/records.py",
    "linting/rules.py",  # its own table, which is part of the package
    "openapi/documents.py",  # the document that the author names; what it refers to is in it
    "recording/pipes.py",  # the null device
    "security/file_lock.py",
    "security/safe_paths.py",
    "server/worker_count.py",  # the configuration that a server's command line names
    "specification/shapes.py",  # the schemas, which are part of the package
    "stores/leases.py",  # what the system says of a process
    "stores/postgres/steps.py",  # the statements of migrations, which are part of the package
    "stores/sqlite_file.py",
    "surface/snapshot.py",
    "transports/http1/server/workers.py",  # the terminal
    "transports/stdio/descriptor_io.py",
    "transports/stdio/process_group.py",
    "transports/stdio/streams.py",
    # The Inspector's: files that the person names, and its own, in folders that nobody else can look into.
    "between/faults.py",
    "between/hosts.py",
    "between/live.py",
    "checks/book.py",
    "checks/command.py",
    "checks/hearing.py",
    "dovetail_inspector/inspection.py",
    "terminal/files.py",
    "web/sandbox.py",  # as the next
    "web/serving.py",  # the built page, which is part of the package
}

#: The first version without the fault that peers published.
FLOORS = {
    "starlette": (1, 0, 1),
    "pyjwt": (2, 12),
    "python-multipart": (0, 0, 22),
    "authlib": (1, 6, 5),
    "joserfc": (1, 6, 8),
    "opentelemetry-api": (1, 44),
    "diskcache": (999,),
}


def test_v60_no_dependency_may_be_one_with_a_published_fault() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    low: list[str] = []
    for each in wanted:
        name = re.split(r"[<>=\[; ]", each, maxsplit=1)[0].lower()
        floor = re.search(r">=([0-9.]+)", each)
        if name in FLOORS:
            given = tuple(int(part) for part in floor[1].split(".")) if floor else ()
            if given < FLOORS[name]:
                low.append(each)
        elif name != "dovetail":
            assert floor, f"{each} has no floor"
    assert not low
