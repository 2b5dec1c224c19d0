"""What a command takes: arguments from files and standard input, secrets from the environment, addresses, and which
options go with which target.
"""

import io
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

PLAIN = f"{sys.executable} {Path(__file__).with_name('plain_server.py')}"
TARGET = str(Path(__file__).with_name("target_server.py"))


@pytest.fixture
def typed(monkeypatch):
    """Put bytes into standard input."""

    def give(data):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))

    return give


def given(run, *words):
    """The arguments that the server got."""
    code, out, err = run("call", PLAIN, "given", *words)
    assert code == 0, err
    return json.loads(out)


def test_arguments_from_standard_input(run, typed):
    """`--args -`, with the mark of some editors or without."""
    typed(b'{"a": [1, "\xc3\xa9"]}')
    assert given(run, "--args", "-") == {"a": [1, "é"]}
    typed(b'\xef\xbb\xbf{"a": 1}')
    assert given(run, "--args", "-", "-a", "b=2") == {"a": 1, "b": 2}
    typed(b"\xff")
    code, out, err = run("call", "no_such_file.py", "given", "--args", "-")
    assert (code, out) == (2, "")
    assert "standard input is not text in UTF-8 (byte 0)" in err


def test_arguments_from_a_file(run, tmp_path):
    """`--args @FILE`."""
    (tmp_path / "a.json").write_text('{"a": 1}')
    assert given(run, "--args", f"@{tmp_path / 'a.json'}") == {"a": 1}
    code, _, err = run("call", "no_such_file.py", "given", "--args", f"@{tmp_path / 'none'}")
    assert code == 2
    assert "can't be read: No such file or directory" in err


def test_one_argument_from_a_file(run, tmp_path, typed):
    """`KEY@=FILE` is read by the schema; `KEY:@=FILE` is JSON; `-` is standard input, once."""
    (tmp_path / "n").write_text("12\n")
    assert given(run, "-a", f"x@={tmp_path / 'n'}", "-a", f"message@={tmp_path / 'n'}") == {
        "x": 12,
        "message": "12\n",
    }
    assert given(run, f"message:@={tmp_path / 'n'}") == {"message": 12}
    typed(b"piped")
    assert given(run, "message@=-") == {"message": "piped"}
    typed(b"{}")
    code, _, err = run("call", "no_such_file.py", "given", "--args", "-", "message@=-")
    assert code == 2
    assert "standard input is read once" in err


def test_bytes_from_a_file(run, tmp_path):
    """Where the schema wants base64, any bytes will do; elsewhere they have to be text."""
    (tmp_path / "b").write_bytes(b"\xff\x00")
    assert run("call", TARGET, "size", f"data@={tmp_path / 'b'}")[:2] == (0, "2\n")
    code, _, err = run("call", TARGET, "echo", f"text@={tmp_path / 'b'}")
    assert code == 2
    assert "is not text in UTF-8" in err


def test_a_value_is_never_read_as_a_file(run, tmp_path):
    """Values are often other people's texts. Whoever expected it is told what to write."""
    file = tmp_path / "secret"
    file.write_text("secret")
    code, out, err = run("call", TARGET, "echo", "-a", f"text=@{file}")
    assert code == 0
    assert json.loads(out)["text"] == f"@{file}"
    assert f"text@={file} reads the file" in err.replace("\n", "")


def test_arguments_as_plain_words(run):
    """`KEY=VALUE` after the name, without -a."""
    assert run("call", TARGET, "add", "a=2", "b=1")[:2] == (0, "3.0\n")
    assert run("prompt", TARGET, "review", "code=x", "tone=frank")[1] == "user:\nReview x, be frank\n"
    assert run("call", "add", "a=2", "--", sys.executable, "-m", "dovetail.cli.run", TARGET)[:2] == (
        0,
        "2.5\n",
    )


def test_what_is_no_text(run):
    """Bytes of the command line that are no UTF-8 are a usage error, before anything is started."""
    code, _, err = run("call", "no_such_file.py", "echo", "-a", "text=\udcff")
    assert code == 2
    assert "KEY@=FILE gives bytes" in err


def test_a_template_with_its_variables(run):
    """Filled in as the RFC says; what is missing or misspelt is said."""
    assert run("read", TARGET, "text://{name}", "-a", "name=a b")[1] == "text of a b\x1b[0m"
    code, _, err = run("read", TARGET, "text://{name}")
    assert code == 2
    assert "is a template; give -a name=..." in err
    code, _, err = run("read", TARGET, "text://{name}", "nme=a")
    assert code == 2
    assert "did you mean 'name'?" in err


class Guard:
    """A server that lets nobody in: it answers with the status in the path. ``shown``: the headers it was sent."""

    def __init__(self):
        shown = self.shown = []

        class Refusing(BaseHTTPRequestHandler):
            """One connection."""

            protocol_version = "HTTP/1.1"

            def do_POST(self):
                """Any request."""
                self.rfile.read(int(self.headers["content-length"]))
                shown.append({name.lower(): value for name, value in self.headers.items()})
                self.send_response_only(int(self.path.strip("/") or 404))
                self.send_header("content-length", "0")
                self.end_headers()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
        self.server.daemon_threads = True
        self.port = self.server.server_port


@pytest.fixture
def guard():
    """Such a server, at a port of its own."""
    made = Guard()
    threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_an_address_is_a_url(run, guard):
    """`host:port/path` means HTTP; a hint where most servers are, if nothing is there."""
    port = guard.port
    code, _, err = run("list", f"127.0.0.1:{port}/401")
    assert code == 6
    assert f"http://127.0.0.1:{port}/401 asks for authorization" in err
    code, _, err = run("list", f"localhost:{port}")
    assert code == 3
    assert f"most servers are at http://localhost:{port}/mcp" in err


def test_an_address_that_is_not_here(run):
    """Another machine means https; the guess is told where it led nowhere."""
    code, _, err = run("list", "name.invalid:1/mcp", "--timeout", "5")
    assert code == 3
    assert "name.invalid:1/mcp was taken as https://name.invalid:1/mcp" in err


def test_a_file_with_a_name(run):
    """`FILE:NAME`, as `dovetail run` takes it."""
    assert run("call", f"{TARGET}:app", "add", "a=1")[:2] == (0, "1.5\n")


def test_401_says_how_to_log_in(run, guard):
    """With what there is to try, and never again what was tried."""
    url = f"http://127.0.0.1:{guard.port}/401"
    code, out, err = run("list", url)
    assert (code, out) == (6, "")
    assert "log in with --auth, or put a token into the variable DOVETAIL_TOKEN" in err
    code, _, err = run("list", url, "-H", "Authorization: Basic eA==")
    assert code == 6
    assert "the Authorization header did not do" in err


def test_a_token_from_the_environment(run, guard, monkeypatch):
    """DOVETAIL_TOKEN is the bearer token; a header given by hand comes before it, and an empty one is none."""
    url = f"http://127.0.0.1:{guard.port}/401"
    monkeypatch.setenv("DOVETAIL_TOKEN", "abc.def\n")
    code, _, err = run("list", url)
    assert code == 6
    assert guard.shown[-1]["authorization"] == "Bearer abc.def"
    assert "what DOVETAIL_TOKEN gave did not do" in err
    run("list", url, "-H", "Authorization: Basic eA==")
    assert guard.shown[-1]["authorization"] == "Basic eA=="
    monkeypatch.setenv("DOVETAIL_TOKEN", "")
    run("list", url)
    assert "authorization" not in guard.shown[-1]


def test_a_token_stays_where_it_is_safe(run, monkeypatch):
    """Not over plain http to another machine; nor does an error show it; a process gets none."""
    monkeypatch.setenv("DOVETAIL_TOKEN", "sekret")
    code, _, err = run("list", "http://example.invalid/mcp")
    assert code == 2
    assert "DOVETAIL_TOKEN: credentials are not sent to http://example.invalid" in err
    assert run("call", TARGET, "add", "a=1")[0] == 0
    monkeypatch.setenv("DOVETAIL_TOKEN", "sekret\x1b word")
    code, _, err = run("list", "https://example.invalid/mcp")
    assert code == 2
    assert "sekret" not in err


def test_a_header_from_the_environment(run, guard, monkeypatch):
    """`Name: env:VARIABLE`, also after the scheme; a variable that is missing is named."""
    url = f"http://127.0.0.1:{guard.port}/401"
    monkeypatch.setenv("KEY", "k-1")
    run("list", url, "-H", "X-Key: env:KEY", "-H", "Authorization: Bearer env:KEY")
    assert guard.shown[-1]["x-key"] == "k-1"
    assert guard.shown[-1]["authorization"] == "Bearer k-1"
    seen = len(guard.shown)
    code, _, err = run("list", url, "-H", "X-Key: env:NO_SUCH_KEY")
    assert code == 2
    assert "--header X-Key: the environment has no 'NO_SUCH_KEY'" in err
    monkeypatch.setenv("KEY", "sekret\r\nX-Other: 1")
    code, _, err = run("list", url, "-H", "X-Key: env:KEY")
    assert code == 2
    assert "sekret" not in err
    assert len(guard.shown) == seen


def test_a_variable_is_handed_on(run, monkeypatch):
    """`-e KEY` gives a process what we have, without a value on the command line."""
    probe = (
        "import os; from dovetail import App; app = App('x');"
        " app.add_tool(lambda: os.environ.get('HUE', ''), name='hue'); app.run()"
    )
    monkeypatch.setenv("HUE", "teal")
    assert run("call", "hue", "-e", "HUE", "--", sys.executable, "-c", probe)[:2] == (0, "teal\n")
    monkeypatch.delenv("HUE")
    code, _, err = run("call", "hue", "-e", "HUE", "--", sys.executable, "-c", probe)
    assert code == 2
    assert "the environment has no 'HUE'" in err


@pytest.mark.parametrize(
    "target,words,said",
    [
        ("no_such_file.py", ["-H", "X: y"], "--header is for servers at a URL"),
        ("unix:/no/such.sock", ["-H", "X: y"], "--header is for servers at a URL"),
        ("no_such_file.py", ["--auth"], "--auth is for servers at a URL"),
        ("http://127.0.0.1:1/mcp", ["-e", "A=b"], "--env is for servers started as a process"),
        ("unix:/no/such.sock", ["-e", "A=b"], "--env is for servers started as a process"),
        ("no_such_file.py", ["-e", "=b"], "is not KEY=VALUE, or KEY"),
        ("http://127.0.0.1:1/mcp", ["-H", "bad name: y"], "holds what no header can"),
        ("no_such_file.py", ["--timeout", "inf"], "above zero"),
    ],
)
def test_options_that_do_not_apply(run, target, words, said):
    """An option that does nothing hides a mistake: it is refused, before anything is started or reached."""
    code, out, err = run("list", target, *words)
    assert (code, out) == (2, "")
    assert said in err
