"""A peer puts escape sequences, marks that turn text around and line breaks into every text that it sends.

No command shows one of them, no log holds one, and no line of ours can be forged. What is on the wire, and what a
program reads from a result, stays as it was sent.
"""

import logging
import os
import subprocess
import sys
import unicodedata
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from dovetail import App, Client, Context
from dovetail.logs import get_logger, traceback_text
from dovetail.protocol.errors import DovetailError, RemoteProtocolError, RPCError, ToolError
from security.shouting_server import ACTS, FORGED

pytestmark = pytest.mark.hostile

SERVER = str(Path(__file__).with_name("shouting_server.py"))
OLD, NEW = "2025-11-25", "2026-07-28"
COMMANDS = (
    ("list",),
    ("list", "--json"),
    ("call", f"plain{ACTS}".replace("\0", "")),
    ("call", "fails"),
    ("call", "refuses"),
    ("call", "asks"),
    ("call", "asks", "--yes"),
    ("call", "talks", "--log", "debug"),
    ("call", "promises"),
    ("call", "plan"),
    ("call", "long"),
    ("read", "x://a"),
    ("read", "x://a", "--json"),
    ("prompt", "say"),
    ("complete", "say", "a", "b"),
)


def acting(text: str) -> str:
    """The characters in it that do something, or hide."""
    return "".join(
        each
        for each in text
        if each not in "\n\t\u200c\u200d" and unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    )


def assert_harmless(out: str, err: str) -> None:
    """Nothing acts, and no line of ours was forged."""
    assert acting(out) == ""
    assert acting(err) == ""
    assert not [line for line in err.splitlines() if line.startswith(FORGED)]
    assert len(err) < 100_000


@pytest.fixture(scope="module", params=[OLD, NEW])
def url(request: pytest.FixtureRequest) -> Generator[str]:
    """The server over HTTP."""
    process = subprocess.Popen(
        [sys.executable, SERVER, "http", request.param], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    yield f"http://127.0.0.1:{process.stdout.readline().strip()}/mcp"
    process.kill()
    process.wait()
    process.stdout.close()


def run(*words: str, verbose: bool) -> tuple[str, str]:
    """What a command shows, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "dovetail", *words, *(["-v"] if verbose else [])],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1, 2, 3, 4, 5), done.stderr
    return done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: ascii(" ".join(words))[1:24])
def test_no_command_over_http_lets_any_of_it_through(url: str, words: tuple[str, ...]) -> None:
    assert_harmless(*run(words[0], url, *words[1:], verbose=True))


@pytest.mark.parametrize("revision", [OLD, NEW])
def test_nor_over_stdio_with_a_server_that_shouts_on_standard_error(revision: str) -> None:
    target = f"{sys.executable} {SERVER} stdio {revision}"
    for words in (("list",), ("call", "refuses"), ("call", "talks", "--log", "debug"), ("call", "asks")):
        out, err = run(words[0], target, *words[1:], verbose=True)
        assert_harmless(out, err)
        assert "stderr" in err


@pytest.mark.parametrize("kind", ["stdio", "http"])
def test_nor_where_the_server_is_refused(kind: str) -> None:
    """A version that is none, and an answer that is no message."""
    if kind == "stdio":
        assert_harmless(*run("list", f"{sys.executable} {SERVER} stdio odd", verbose=True))
        return
    process = subprocess.Popen([sys.executable, SERVER, "http", "odd"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        url = f"http://127.0.0.1:{process.stdout.readline().strip()}/mcp"
        assert_harmless(*run("list", url, verbose=True))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("revision", [OLD, NEW])
def test_nor_does_a_question_at_a_terminal(revision: str) -> None:
    """Names, titles, descriptions, choices and messages of a form; typed into as a person would."""
    master, slave = os.openpty()
    target = f"{sys.executable} {SERVER} stdio {revision}"
    process = subprocess.Popen(
        [sys.executable, "-m", "dovetail", "call", target, "asks", "-v"],
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        env={**os.environ, "TERM": "dumb", "NO_COLOR": "1"},
    )  # fmt: skip
    os.close(slave)
    os.write(master, b"me\n1\n")
    shown = b""
    with suppress(OSError):  # how a terminal ends on Linux
        while part := os.read(master, 65536):
            shown += part
    os.close(master)
    assert process.wait(20) == 0
    text = shown.decode().replace("\r\n", "\n")
    assert "asks:" in text
    assert "1. Red" in text
    assert acting(text) == ""


async def test_no_log_warning_or_error_of_a_client_holds_any_of_it(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    errors: list[BaseException] = []
    async with Client(url) as client:
        tools = [each async for each in client.tools()]
        for name in ("fails", "refuses", "asks", "talks", "promises", "gone"):
            try:
                result = await client.call_tool(name, {})
                assert ACTS in result.text  # what a program reads is what was sent
            except DovetailError as problem:
                errors.append(problem)
        warnings = client.warnings
    assert any(ACTS in each.name for each in tools)
    assert warnings
    assert errors
    assert any(isinstance(each, RPCError) and ACTS in each.message for each in errors)
    for each in warnings:
        assert acting(each.message) == ""
        assert "\n" not in each.message
    for each in errors:
        assert acting(str(each)) == ""
        assert not traceback_text(each).count(f"\n{FORGED}")
    assert_harmless("", caplog.text)


async def test_no_log_of_a_server_holds_what_a_client_sent(caplog: pytest.LogCaptureFixture) -> None:
    """Unforeseen exceptions, refusals, reasons and names: whatever of a request reaches a log line."""
    caplog.set_level(0)
    app = App("harmless")

    @app.tool
    def explode(text: str) -> str:
        raise ValueError(text)

    @app.tool
    async def asks(ctx: Context, text: str) -> str:
        await ctx.elicit(text, str)
        return "ok"

    @app.resource("x://{name}")
    def named(name: str) -> str:
        raise OSError(2, "no such file", name)

    for revision in (OLD, NEW):
        async with Client(app, revision=revision) as client:
            assert (await client.call_tool("explode", {"text": ACTS})).is_error
            with suppress(DovetailError):  # the older revision has a result for it
                await client.call_tool("asks", {"text": ACTS})
            with pytest.raises(DovetailError):
                await client.read("x://%1B%5B31m%0Adovetail")
            with pytest.raises(DovetailError):
                await client.get_prompt(ACTS)
    assert "ValueError" in caplog.text
    assert_harmless("", caplog.text)


def record_of(caplog: pytest.LogCaptureFixture) -> logging.LogRecord:
    return caplog.records[-1]


def test_a_record_is_made_safe_before_any_handler_sees_it(caplog: pytest.LogCaptureFixture) -> None:
    log = get_logger("dovetail.client")
    log.warning("%s: %s", "a server", ACTS)
    assert acting(record_of(caplog).getMessage()) == ""
    assert "\n" not in record_of(caplog).getMessage()
    log.warning("%s of %d", "fine", 3)
    assert record_of(caplog).args == ("fine", 3)
    log.warning("x" * 1_000_000)
    assert len(record_of(caplog).getMessage()) < 3000
    try:
        raise RemoteProtocolError(ACTS) from ExceptionGroup(ACTS, [ValueError(ACTS), RPCError(ACTS)])
    except RemoteProtocolError:
        log.exception("failed")
    text = logging.Formatter().format(record_of(caplog))
    assert acting(text) == ""
    assert f"\n{FORGED}" not in text
    assert "Traceback" in text


def test_errors_say_what_they_hold_in_safe_words_and_keep_it_as_it_was() -> None:
    problem = RPCError(ACTS)
    assert problem.message == ACTS
    assert acting(str(problem)) == ""
    assert "\n" not in str(problem)
    assert acting(str(RemoteProtocolError(ACTS))) == ""
    assert str(ToolError(ACTS)) == ACTS  # it is for the model, and goes onto the wire


@pytest.mark.parametrize("logged", ["log.warning(ACTS)", "logging.getLogger('asyncio').error('%s', ACTS)"])
def test_run_shows_what_an_authors_file_logs_safely(tmp_path: Path, logged: str) -> None:
    """Arguments of clients end up in the logs of authors."""
    file = tmp_path / "server.py"
    file.write_text(
        f"import logging\nfrom dovetail import App\nACTS = {ACTS!r}\napp = App('x')\n"
        f"log = logging.getLogger('mine')\n{logged}\n"
        "try:\n    raise ValueError(ACTS)\nexcept ValueError:\n    log.exception('failed')\n"
    )
    for options in ((), ("--log-level", "info")):
        done = subprocess.run(
            [sys.executable, "-m", "dovetail", "run", str(file), *options],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=50, check=True,
        )  # fmt: skip
        err = done.stderr.decode()
        assert "red" in err
        assert "ValueError" in err
        assert_harmless("", err)


async def test_what_a_server_writes_to_standard_error_is_passed_on_safely(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with Client([sys.executable, SERVER, "stdio", OLD]) as client:
        assert (await client.call_tool("fails")).is_error
    out, err = capfd.readouterr()
    assert "stderr" in err
    assert_harmless(out, err)


def test_everything_that_acts_is_in_the_attack() -> None:
    """The attack itself would not be one if its text were harmless."""
    attack: Any = ACTS
    assert len(set(acting(attack))) >= 12
