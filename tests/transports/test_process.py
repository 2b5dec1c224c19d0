"""Servers as child processes: how they start, what they are given, and how they talk."""

from __future__ import annotations

import asyncio
import json
import os
import sys

import pytest
import uvloop
from server_peer import (
    ECHO,
    Peer,
    alive,
    descriptors,
)

from dovetail.protocol.errors import Closed, ConnectFailed, ServerExited
from dovetail.transports.stdio.launching import child_environment, program_name, resolve_command
from dovetail.transports.stdio.process import OutputHandlers, ServerProcess


async def test_messages_both_ways_and_a_clean_end():
    peer = Peer()
    server = await peer.start(ECHO)
    for number in range(50):
        await server.send(b'{"n":%d}' % number)
    await peer.until(lambda: len(peer.lines) == 50)
    assert [json.loads(line)["n"] for line in peer.lines] == list(range(50))
    pid = server.pid
    await server.close()
    assert (server.exit_status, server.exited.is_set(), peer.exits) == (0, True, 1)
    assert not alive(pid)
    with pytest.raises(Closed):
        await server.send(b"{}")


@pytest.mark.requirement(
    "R2607-TRANSPORT-STDIO-005", "R2511-TRANSPORT-STDIO-009", "R2607-TRANSPORT-STDIO-001"
)
async def test_a_message_is_one_line():
    peer = Peer()
    server = await peer.start(ECHO)
    await server.send(b'{"a":\r\n 1}')
    await server.send(b'{"b":2}')
    await peer.until(lambda: len(peer.lines) == 2)
    assert [json.loads(line) for line in peer.lines] == [{"a": 1}, {"b": 2}]
    await server.close()


@pytest.mark.requirement("R2607-LIFECYCLE-030", "R2511-TRANSPORT-STDIO-003")
async def test_utf8_whatever_the_locale():
    peer = Peer()
    server = await peer.start(ECHO, env={"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "latin-1"})
    message = '{"a":"\u00e4\U0001f600\u2028"}'.encode()
    await server.send(message)
    await peer.until(lambda: peer.lines)
    assert peer.lines == [message]
    await server.close()


async def test_large_messages_do_not_crawl():
    peer = Peer()
    server = await peer.start(ECHO)
    message = b'{"a":"' + b"x" * (16 << 20) + b'"}'
    await server.send(message)
    await peer.until(lambda: peer.lines)
    assert peer.lines == [message]
    await server.close()


async def test_what_is_said_in_one_turn_leaves_together_and_whole():
    chunks = (
        "import json, os, sys\n"
        "while data := os.read(0, 1 << 20): print(json.dumps([data.count(b'\\n'), len(data)]), flush=True)"
    )
    peer = Peer()
    server = await peer.start([sys.executable, "-c", chunks])
    for _ in range(40):
        await server.send(b"{}")
    await peer.until(lambda: peer.lines)
    assert json.loads(peer.lines[0]) == [40, 120]
    for _ in range(3):
        await server.send(b'"' + b"x" * 100_000 + b'"')  # what is much does not wait for more
    await server.send(b"{}")
    await server.close()  # and nothing is lost that was said in the turn of the end
    assert sum(json.loads(line)[1] for line in peer.lines) == 120 + 3 * 100_003 + 3


@pytest.mark.parametrize(
    "command,reason",
    [
        (["no-such-program-anywhere"], "no program"),
        (["server.py:app"], "to be given 'app' of server.py, start it with: dovetail run server.py:app"),
        (["./no/such/program"], "does not exist"),
        (["/"], "executed"),
        ([sys.executable, "a\0b"], "NUL"),
        (["a\0b"], "NUL"),
        ([], "list of strings"),
        ([""], "list of strings"),
        ("python server.py", "list of strings"),
    ],
    ids=str,
)
@pytest.mark.parametrize("factory", [None, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_what_cannot_start_says_why(command, reason, factory):
    async def scenario():
        with pytest.raises(ConnectFailed, match=reason) as caught:
            await ServerProcess.start(command, OutputHandlers(on_line=print), env={"SECRET": "canary"})
        assert "canary" not in str(caught.value)

    counts = []
    for _ in range(2):  # the first loop of a kind opens descriptors that the process keeps
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(scenario())
        counts.append(descriptors())
    assert counts[1] <= counts[0]


async def test_more_that_cannot_start(tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    with pytest.raises(ConnectFailed, match="executed"):
        await Peer().start([str(script)])
    script.chmod(0o755)
    with pytest.raises(ConnectFailed, match="interpreter"):
        await Peer().start([str(script)])
    script.write_bytes(b"\x7fnot a program")
    with pytest.raises(ConnectFailed, match="format"):
        await Peer().start([str(script)])
    for directory in (tmp_path / "missing", script, "a\0b"):
        with pytest.raises(ConnectFailed, match="working directory"):
            await Peer().start([sys.executable], cwd=directory)
    for name, value in (("A=B", "canary"), ("", "canary"), ("A", "canary\0"), ("A\0", "canary")):
        with pytest.raises(ConnectFailed, match="environment variable") as caught:
            await Peer().start([sys.executable], env={name: value})
        assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "code,status,how",
    [
        ("", 0, "exited with status 0"),
        ("raise SystemExit(3)", 3, "exited with status 3"),
        ("import os; os.kill(os.getpid(), 9)", -9, "was ended by SIGKILL"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", -11, "was ended by SIGSEGV"),
        ("import os; os._exit(70)", 70, "exited with status 70"),
    ],
)
async def test_an_end_before_the_first_message(code, status, how):
    peer = Peer()
    said = "import sys; print('first'); print('\\x1b[31mlast words', file=sys.stderr, flush=True)\n"
    server = await peer.start([sys.executable, "-c", said + code, "--key", "canary"], env={"K": "canary"})
    await asyncio.wait_for(server.exited.wait(), 10)
    error = server.exit_error()
    assert (server.exit_status, error.status, error.stderr) == (status, status, "last words")
    assert how in str(error)
    assert "last words" in str(error)
    assert sys.executable in str(error)
    assert "canary" not in str(error)
    assert peer.exits == 1
    with pytest.raises(ServerExited, match=how):
        await server.send(b"{}")
    await server.close()


async def test_the_environment_is_an_allow_list(monkeypatch):
    monkeypatch.setenv("DOVETAIL_SECRET", "canary")
    monkeypatch.setenv("LC_TIME", "C")
    peer = Peer()
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    server = await peer.start(code, env={"GIVEN": "1"})
    await asyncio.wait_for(server.exited.wait(), 10)
    seen = json.loads(peer.lines[0])
    assert "DOVETAIL_SECRET" not in seen
    assert seen["GIVEN"] == "1"
    assert seen["LC_TIME"] == "C"
    assert seen["PATH"] == os.environ["PATH"]
    await server.close()


def test_shell_functions_are_not_passed_on():
    source = {"PATH": "/bin", "HOME": "() { :; }; echo", "LC_ALL": "C", "OTHER": "x"}
    assert child_environment(source=source) == {"PATH": "/bin", "LC_ALL": "C"}
    assert child_environment({"OTHER": "y"}, inherit=["O*"], source=source) == {"OTHER": "y"}


@pytest.mark.parametrize("argument", ["a&b", "%PATH%", "a|b", 'a"b', "^", "!x!", "a\nb", "(x)", "<", ">"])
def test_batch_files_get_no_metacharacters(tmp_path, argument):
    batch = tmp_path / "npx.cmd"
    batch.write_text("")
    batch.chmod(0o755)
    environment = {"PATH": str(tmp_path)}
    with pytest.raises(ConnectFailed, match=r"cmd\.exe") as caught:
        resolve_command(["npx.cmd", argument], environment, windows=True)
    assert argument not in str(caught.value) or argument in "()<>"
    resolved = resolve_command(["npx.cmd", "-y", "@scope/name"], environment, windows=True)
    assert resolved == [str(batch), "-y", "@scope/name"]
    assert resolve_command(["npx.cmd", argument], environment, windows=False)[1] == argument


def test_errors_name_the_program_only():
    assert program_name(["npx", "--key", "canary"]) == "'npx' (with 2 arguments)"
    assert program_name(["npx"]) == "'npx'"


def test_errors_name_the_script_and_nothing_else(tmp_path):
    script = tmp_path / "weather.py"
    script.write_text("")
    assert program_name(["python", str(script), "--key", "canary"]) == "'weather.py', run by 'python'"
    assert program_name(["python", "-u", str(script)]) == "'weather.py', run by 'python'"
    assert program_name(["python", "-m", "weather.server", "canary"]) == "'weather.server', run by 'python'"
    for hidden in (
        ["canary.py"],
        ["--key", "canary.py"],
        ["-m", "canary:secret"],
        ["-c", "canary"],
        ["\0.py"],
        ["-m"],
    ):
        assert program_name(["python", *hidden]).startswith("'python' (with "), hidden
