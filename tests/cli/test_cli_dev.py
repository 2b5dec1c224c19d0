"""``dovetail dev``: a file is edited under a client that stays connected, with real processes all the way."""

import asyncio
import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from dev_process import dev

from dovetail import Client, RPCError
from dovetail.cli.dev import main
from dovetail.devserver.authors_files import AuthorsFiles
from dovetail.devserver.frames import Report
from dovetail.devserver.printing import Printer, difference
from dovetail.devserver.watching import FileWatcher
from dovetail.protocol.revisions import STATEFUL, STATELESS

ERAS = pytest.mark.parametrize("revision", [STATEFUL[-1], STATELESS[-1]])
HEAD = "from dovetail import App, Context\napp = App('mine')\n"
GREET = """
@app.tool
async def greet(ctx: Context) -> str:
    number = await ctx.step("look", lambda: 1)
    return "Hello, " + await ctx.elicit("Your name?", str)
"""
BROKEN = "\nx = (\n"


def tool(name: str, gives: str) -> str:
    return f"\n@app.tool\ndef {name}() -> str:\n    return {gives!r}\n"


def save(path: Path, text: str) -> None:
    path.write_text(text)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "server.py"
    save(path, HEAD + GREET)
    return path


async def names_of(client: Client) -> set[str]:
    return {each.name async for each in client.tools()}


@ERAS
async def test_an_edit_reaches_a_client_that_stays(file: Path, revision: str) -> None:
    async with dev(file) as running:
        url = await running.url()
        async with (
            Client(url, revision=revision, elicitation=lambda _: "Ada") as client,
            client.listen(tools=True) as changes,
        ):
            assert (await client.call_tool("greet")).text == "Hello, Ada"
            save(file, HEAD + GREET + tool("more", "first"))
            async with asyncio.timeout(20):
                assert (await anext(aiter(changes))).kind == "tools"
            await running.says(r"version 2 of mine serves · tools \+more")
            assert await names_of(client) == {"greet", "more"}
            assert (await client.call_tool("more")).text == "first"
            save(file, HEAD + tool("more", "again"))  # the body alone: the lists differ by the tool that went
            await running.says(r"version 3 of mine serves · tools -greet")
            assert (await client.call_tool("more")).text == "again"
            assert sum("initialize" in line for line in running.said) == (revision in STATEFUL)


@ERAS
async def test_a_broken_file_replaces_nothing(file: Path, revision: str) -> None:
    async with dev(file) as running:
        url = await running.url()
        async with Client(url, revision=revision, elicitation=lambda _: "Ada") as client:
            save(file, HEAD + GREET + BROKEN)
            await running.says(r"server\.py:9: SyntaxError: .* · version 1 goes on serving")
            assert (await client.call_tool("greet")).text == "Hello, Ada"
            save(file, HEAD + GREET + "\nraise ValueError('not today')\n")
            await running.says(r"server\.py:9: ValueError: not today · version 1 goes on serving")
            save(file, HEAD + "\nimport sys\nsys.exit(2)\n")
            await running.says(r"server\.py:5: SystemExit: 2 · version 1 goes on serving")
            save(file, HEAD + tool("mended", "yes"))
            await running.says(r"version 2 of mine serves · tools \+mended -greet")
            assert (await client.call_tool("mended")).text == "yes"


async def test_a_file_that_is_broken_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "server.py"
    save(path, "from dovetail import App\nimport missing_beside\napp = missing_beside.app\n")
    async with dev(path) as running:
        await running.says(r"server\.py:2: ModuleNotFoundError: .*missing_beside.* · nothing serves")
        url = await running.url()
        with pytest.raises(
            RPCError, match=r"server\.py:2: ModuleNotFoundError.*; save the file to try again"
        ):
            async with Client(url, revision=STATEFUL[-1]):
                pass
        (tmp_path / "missing_beside.py").write_text(HEAD + tool("there", "now"))
        await running.says("version 1 of mine serves")
        async with Client(url) as client:
            assert (await client.call_tool("there")).text == "now"
            (tmp_path / "missing_beside.py").write_text(
                HEAD + tool("there", "then")
            )  # what it imports counts
            await running.says("version 2 of mine serves")
            assert (await client.call_tool("there")).text == "then"


async def test_a_question_outlives_its_version(file: Path) -> None:
    """In the stateful era the person is asked by a version that is gone from the lists when the answer comes."""
    asked, answer = asyncio.Event(), asyncio.Event()

    async def think(_: Any) -> str:
        asked.set()
        await answer.wait()
        return "Ada"

    async with dev(file) as running:
        url = await running.url()
        async with Client(url, revision=STATEFUL[-1], elicitation=think) as client:
            call = asyncio.create_task(client.call_tool("greet"))
            await asyncio.wait_for(asked.wait(), 20)
            save(file, HEAD + tool("other", "x"))
            await running.says("version 2 of mine serves")
            assert await names_of(client) == {"other"}
            answer.set()
            assert (await call).text == "Hello, Ada"


PAY = """
@app.tool(once=True)
async def pay(ctx: Context) -> str:
    early = await ctx.step("early", lambda: "quote")
    await ctx.elicit("Pay?", bool, key="pay")
    return await ctx.step("charge", lambda: "VERSION")
"""


async def test_rounds_go_on_in_the_next_version(file: Path) -> None:
    save(file, HEAD + PAY)
    async with dev(file) as running:
        url = await running.url()
        async with Client(url, rounds="manual", elicitation=lambda _: True) as client:
            asked: Any = await client.call_tool("pay")
            await running.says(r'tools/call pay · round 1 · recorded early · asks pay "Pay\?" · [\d.]+ ms')
            await running.says("! pay runs once, and has a step before its first question")
            save(file, HEAD + PAY.replace("VERSION", "second"))
            await running.says("version 2 of mine serves")
            again = {
                "name": "pay",
                "inputResponses": {"pay": {"action": "accept", "content": {"value": True}}},
                "requestState": asked.request_state,
            }
            for _ in range(2):
                assert (await client.request("tools/call", again))["content"][0]["text"] == "second"
            await running.says(
                r"round 2 · has answers to pay · has steps early · recorded charge · done · [\d.]+ ms"
            )


DIVERGES = """
import itertools
numbers = itertools.count()

@app.tool
async def guess(ctx: Context) -> str:
    return await ctx.elicit(f"{next(numbers)}?", str)

@app.tool
def fails() -> str:
    raise LookupError("nothing\\nhere")

@app.tool
def ends() -> str:
    import os
    os._exit(3)

@app.tool
async def spins() -> str:
    while True:
        pass
"""


async def test_what_goes_wrong_is_told_with_its_place(file: Path) -> None:
    save(file, HEAD + DIVERGES)
    async with dev(file) as running:
        url = await running.url()
        async with Client(url, revision=STATELESS[-1], elicitation=lambda _: "x") as client:
            with pytest.raises(RPCError, match="does not replay"):
                await client.call_tool("guess")
            await running.says(r"tools/call guess · refused · server\.py:7 · ")
            await running.says("! guess does not replay: it asked 'question-1'")
            assert (await client.call_tool("fails")).is_error
            await running.says(r"tools/call fails · failed · server\.py:13: LookupError: nothing here")
            with pytest.raises(RPCError, match="the process of version 1 ended"):
                await client.call_tool("ends")
            assert (await client.call_tool("fails")).is_error  # in a process of its own
            spinning = asyncio.create_task(client.call_tool("spins"))
            await running.says("version 2 of mine serves")
            save(file, HEAD + GREET)
            await running.says("version 3 of mine serves")
            assert (await client.call_tool("greet")).text == "Hello, x"
            spinning.cancel()


KEEP = """
@app.tool
async def keep(what: str, ctx: Context) -> str:
    found = await ctx.session.update("all", lambda all: [*all, what], [])
    return " ".join(found)


@app.tool
async def kept(ctx: Context) -> str:
    return f"{ctx.session_id} " + " ".join(await ctx.session.get("all", []))
"""


async def test_what_a_session_keeps_outlives_the_version(file: Path) -> None:
    save(file, HEAD + KEEP)
    async with dev(file) as running, Client(await running.url(), revision=STATEFUL[-1]) as client:
        await asyncio.gather(*(client.call_tool("keep", {"what": each}) for each in "abcdefgh"))
        await client.set_log_level("error")  # which changes the record of the session by another way
        first = (await client.call_tool("kept")).text
        save(file, HEAD + KEEP + tool("more", "yes"))
        await running.says(r"version 2 of mine serves")
        assert (await client.call_tool("kept")).text == first
        name, *all_of_them = first.split()
        assert name != "None"
        assert sorted(all_of_them) == [*"abcdefgh"]
        async with Client(await running.url(), revision=STATEFUL[-1]) as other:
            assert (await other.call_tool("kept")).text.split()[1:] == []


async def test_where_there_is_no_session_none_is_kept(file: Path) -> None:
    save(file, HEAD + KEEP)
    async with dev(file) as running, Client(await running.url(), revision=STATELESS[-1]) as client:
        assert (await client.call_tool("keep", {"what": "a"})).is_error


ROUTES = """
import asyncio
from dovetail import Request, Response

@app.custom_route("/hello/{name}")
async def hello(request: Request) -> Response:
    who = request.path_params["name"]
    return Response({"hello": who, "by": request.query.get("by")}, headers={"X-Kind": "plain"}, status=203)

@app.custom_route("/double", methods=["POST"])
def double(request: Request) -> bytes:
    body = asyncio.run(request.body())
    return body * 2

@app.custom_route("/number", methods=["POST"])
async def number(request: Request) -> int:
    return await request.json() + 1

@app.custom_route("/broken")
async def broken(request: Request) -> str:
    raise LookupError("nobody is there")

@app.custom_route("/slowly")
async def slowly(request: Request):
    async def answer(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-kind", b"slow")]})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"tick\\n", "more_body": True})
                await asyncio.sleep(0.01)
        finally:
            print("the client left", flush=True)
    return answer
"""


async def test_custom_routes_are_served_by_the_version_that_serves(file: Path) -> None:
    save(file, HEAD + ROUTES)
    async with dev(file) as running:
        base = (await running.url()).removesuffix("/mcp")
        async with aiohttp.ClientSession(base) as web:
            async with web.get("/hello/Ada?by=me") as answer:
                assert (answer.status, answer.headers["x-kind"]) == (203, "plain")
                assert await answer.json() == {"hello": "Ada", "by": "me"}
            await running.says(r"GET /hello/Ada · done · 203 · ")
            async with web.post("/double", data=b"ab" * 100_000) as answer:
                assert await answer.read() == b"ab" * 200_000
            async with web.post("/number", data=b"no JSON") as answer:
                assert answer.status == 400
                assert "the body is not JSON" in await answer.text()
            async with web.delete("/number") as answer:
                assert answer.status == 405
            async with web.get("/broken") as answer:
                assert answer.status == 500
                assert "nobody is there" not in await answer.text()
            await running.says(r"GET /broken · failed · server\.py:\d+: LookupError: nobody is there")
            async with web.get("/slowly") as answer:
                assert await answer.content.readline() == b"tick\n"
            await running.says(r"GET /slowly · cancelled")
            async with web.get("/hello/Ada", headers={"Host": "evil.example"}) as answer:
                assert answer.status == 403

            save(file, HEAD + ROUTES.replace("/hello", "/goodbye"))
            await running.says("version 2 of mine serves")
            async with web.get("/goodbye/Ada") as answer:
                assert answer.status == 203
            async with web.get("/hello/Ada") as answer:
                assert answer.status == 404
            save(file, HEAD)
            await running.says("version 3 of mine serves")
            async with web.get("/goodbye/Ada") as answer:
                assert answer.status == 404


async def test_a_route_where_the_endpoint_is_is_told_of(file: Path) -> None:
    save(file, HEAD + ROUTES.replace("/double", "/mcp"))
    async with dev(file) as running:
        await running.says(r"custom routes are not served: .*'/mcp' is taken by the server itself")
        async with Client(await running.url()) as client:
            assert await names_of(client) == set()


async def test_a_route_that_ends_its_process_costs_one_answer(file: Path) -> None:
    save(
        file,
        HEAD
        + "import os\n"
        + "@app.custom_route('/die')\nasync def die(request):\n    os._exit(3)\n"
        + "@app.custom_route('/live')\nasync def live(request):\n    return 'yes'\n",
    )
    async with dev(file) as running:
        base = (await running.url()).removesuffix("/mcp")
        async with aiohttp.ClientSession(base) as web:
            async with web.get("/die") as answer:
                assert answer.status == 502
            async with web.get("/live") as answer:
                assert await answer.text() == "yes"
            save(file, HEAD + BROKEN)
            await running.says("SyntaxError")
            async with web.get("/live") as answer:
                assert await answer.text() == "yes"


async def test_on_stdio(file: Path) -> None:
    text = "print('not on the wire')\n" + HEAD + GREET
    save(file, text)
    command = [sys.executable, "-m", "dovetail", "dev", str(file), "--stdio"]
    for revision in (STATEFUL[-1], STATELESS[-1]):
        async with (
            Client(command, revision=revision, elicitation=lambda _: "Ada") as client,
            client.listen(tools=True) as changes,
        ):
            assert (await client.call_tool("greet")).text == "Hello, Ada"
            save(file, text + tool("more", "m"))
            async with asyncio.timeout(20):
                assert (await anext(aiter(changes))).kind == "tools"
            assert (await client.call_tool("more")).text == "m"
            save(file, text)


@pytest.mark.parametrize("number,code", [(signal.SIGTERM, 0), (signal.SIGINT, 0)])
async def test_its_end_is_the_end_of_its_processes(file: Path, number: int, code: int) -> None:
    save(file, HEAD + "\nimport os, sys\nsys.stderr.write(f'child {os.getpid()}\\n')\n")
    async with dev(file) as running:
        child = int((await running.says(r"^child (\d+)$"))[1])
        await running.url()
        assert await running.end(number) == code
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


async def test_f57_a_killed_parent_leaves_nobody_behind(file: Path) -> None:
    save(file, HEAD + "\nimport os, sys\nsys.stderr.write(f'child {os.getpid()}\\n')\n")
    async with dev(file) as running:
        await running.says(r"^child (\d+)$")
        await running.url()
        running.process.kill()
        await running._reading  # the child holds standard error open until it has ended, too


async def test_words_and_names(tmp_path: Path) -> None:
    path = tmp_path / "server.py"
    save(path, "import sys\nfrom dovetail import App\na = App('a')\nb = App(sys.argv[1])\n")
    async with dev(Path(f"{path}:b"), "--", "given") as running:
        await running.says("version 1 of given serves · offers nothing yet")


async def test_a_second_save_in_the_same_second(file: Path) -> None:
    """Of the same length, too: compiled code that Python keeps beside the file would pass for that of the new one."""

    def save_at(text: str, moment: int) -> None:
        save(file, HEAD + tool("word", text))
        os.utime(file, ns=(moment, moment))

    second = 1_700_000_000 * 10**9
    save_at("one", second)
    async with dev(file) as running, Client(await running.url()) as client:
        assert (await client.call_tool("word")).text == "one"
        save_at("two", second + 10**8)
        await running.says("version 2 of mine serves")
        assert (await client.call_tool("word")).text == "two"


async def test_an_app_that_asks_who_is_calling_is_not_served_to_anybody(file: Path) -> None:
    save(file, HEAD + "app.auth = object()\n" + tool("mine", "x"))
    async with dev(file) as running:
        await running.says(r"\(App\(auth=\.\.\.\)\).* --without-auth .* · nothing serves")
    async with dev(file, "--without-auth") as running, Client(await running.url()) as client:
        assert (await client.call_tool("mine")).text == "x"


# The parts


async def test_changes_are_seen_whatever_an_editor_does(tmp_path: Path) -> None:
    path, other = tmp_path / "a.py", tmp_path / "b.py"
    save(path, "1")
    listed = {str(path)}
    watch = FileWatcher(lambda: listed, interval=0.01)

    async def seen() -> list[str]:
        return await asyncio.wait_for(watch.changed(), 5)

    save(path, "22")
    assert await seen() == [str(path)]
    save(other, "33")
    other.replace(path)  # written beside and renamed
    assert await seen() == [str(path)]
    path.unlink()
    waiting = asyncio.create_task(seen())
    await asyncio.sleep(0.02)
    assert not waiting.done()  # gone for a moment: the new one is still to come
    save(path, "44")
    assert await waiting == [str(path)]
    listed.add(str(other))
    watch.know()  # looked at from now on, and not new
    save(other, "new")
    assert await seen() == [str(other)]


def test_whose_files(tmp_path: Path) -> None:
    package = tmp_path / "pack" / "inner"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").write_text("")
    (package / "server.py").write_text("")
    (tmp_path / ".venv" / "lib").mkdir(parents=True)
    (tmp_path / ".venv" / "lib" / "x.py").write_text("")
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    (tmp_path / "env" / "y.py").write_text("")
    files = AuthorsFiles(package / "server.py")
    assert files.folder == tmp_path.resolve()
    assert files.owns(str(tmp_path / "z.py"))
    assert not files.owns(str(tmp_path / ".venv" / "lib" / "x.py"))
    assert not files.owns(json.__file__)
    assert [Path(each).name for each in files.all()] == ["__init__.py", "__init__.py", "server.py"]
    assert files.shown(str(package / "server.py")) == os.path.join("pack", "inner", "server.py")


REPORT = Report("tools/call", "pay\x1b[2J", "asks", 1.26, round=2, kept=["a"], asks=[("k", "Sure\n?")])


def test_plain_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    printer = Printer(out)
    printer.report(REPORT)
    printer.report(Report("ping", "", "done", 0.1))
    printer.broken("server.py:1: SyntaxError: no", None)
    lines = [line.partition(" ")[2] for line in out.getvalue().splitlines()]
    assert lines == [
        'tools/call pay\\x1b[2J · round 2 · has steps a · asks k "Sure ?" · 1.3 ms',
        "ping · done · 0.1 ms",
        "server.py:1: SyntaxError: no · nothing serves; save the file to try again",
    ]


def test_coloured_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    Printer(out, colours=True).report(REPORT)
    assert "\x1b[36masks" in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    Printer(terminal).report(REPORT)
    assert "\x1b" not in terminal.getvalue()


def test_what_differs() -> None:
    before = {"tools": {"a": "1", "b": "1"}, "prompts": {}}
    assert difference(None, before) == "2 tools"
    assert (
        difference(before, {"tools": {"b": "2", "c": "1"}, "prompts": {"p": "1"}})
        == "tools +c ~b -a, prompts +p"
    )
    assert difference(before, before) == ""


@pytest.mark.parametrize(
    "words,said",
    [
        ([], "FILE[:app]"),
        (["no-such-file.py"], "does not exist"),
        ([__file__, "--stdio", "--http", "1"], "--stdio and --http exclude"),
        ([__file__, "--stdio", "--path", "/x"], "--stdio and --path exclude"),
        ([__file__, "--http", "0.0.0.0:1"], "this machine alone"),
        ([__file__, "--http", "nonsense"], "is no address"),
        ([__file__, "--unheard-of"], "--unheard-of"),
    ],
)
def test_usage_of_dev(capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1
