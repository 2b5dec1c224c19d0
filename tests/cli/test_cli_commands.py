"""The client commands, run as a person or a script would: what they print where, and how they end."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dovetail.cli import exits, main
from dovetail.protocol.revisions import STATEFUL, STATELESS

TARGET = str(Path(__file__).with_name("target_server.py"))
COMMAND = [sys.executable, "-m", "dovetail.cli.run", TARGET]
ERAS = (STATEFUL[-1], STATELESS[-1])


def result_of(out):
    """The one JSON document that standard output is."""
    return json.loads(out)


def test_list_shows_everything(run):
    """Names, arguments with their types and defaults, and descriptions."""
    code, out, err = run("list", TARGET)
    assert code == 0
    for words in (
        "Tools (",
        "add",
        "a: integer",
        "b?: number = 0.5",
        "Resources (1)",
        "data://bytes",
        "4 bytes",
    ):
        assert words in out
    for words in ("text://{name}", "Prompts (1)", "review", "tone?", "fast | slow", "[red]markup[/red]"):
        assert words in out
    assert "Target server 3.2.1" in err
    assert "Aim well." in err


def test_list_one_kind(run):
    """Only what was asked for."""
    code, out, _ = run("list", TARGET, "--prompts")
    assert code == 0
    assert "review" in out
    assert "Tools" not in out


def test_list_as_json(run):
    """The protocol's own shapes, and nothing else on standard output."""
    code, out, _ = run("list", TARGET, "--json")
    found = result_of(out)
    assert code == 0
    assert list(found) == ["tools", "resources", "resourceTemplates", "prompts"]
    assert found["tools"][0]["inputSchema"]["required"] == ["a"]
    assert list(result_of(run("list", TARGET, "--tools", "--json")[1])) == ["tools"]


@pytest.mark.parametrize("revision", ERAS)
def test_call_in_each_era(run, revision):
    """The value as data; the text is not shown beside it."""
    assert run("call", TARGET, "add", "-a", "a=2", "-r", revision)[:2] == (0, "2.5\n")


def test_call_as_json(run):
    """The result of the protocol."""
    code, out, _ = run("call", TARGET, "add", "--arg", "a=2", "--json")
    found = result_of(out)
    assert code == 0
    assert found["structuredContent"] == 2.5
    assert found["content"] == [{"type": "text", "text": "2.5"}]


def test_arguments_follow_the_schema(run):
    """Each word becomes what the tool's schema says."""
    words = (
        "text=12",
        "number=12",
        "flag=yes",
        "words=a",
        "words=b",
        "sizes=[1, 2]",
        "mode=slow",
        'extra={"k": null}',
    )
    _, out, _ = run("call", TARGET, "echo", *(part for word in words for part in ("-a", word)))
    assert result_of(out) == {
        "text": "12",
        "number": 12,
        "flag": True,
        "words": ["a", "b"],
        "sizes": [1, 2],
        "mode": "slow",
        "extra": {"k": None},
    }


def test_arguments_as_json(run):
    """--args gives an object, --arg overrides a member of it."""
    _, out, _ = run("call", TARGET, "echo", "--args", '{"text": "a", "number": 1}', "-a", "number:=2")
    assert result_of(out)["text"] == "a"
    assert result_of(out)["number"] == 2


@pytest.mark.parametrize(
    "words,said",
    [
        (["-a", "a=x"], "'a' can't be 'x': expected integer"),
        (["-a", "a"], "'a' is not KEY=VALUE"),
        (["--args", "[1]"], "--args is a JSON object"),
        (["--args", "{"], "--args is not JSON"),
        (["-a", "a=1", "-a", "a=2"], "given 2 times"),
        (["-r", "2020-01-01"], "there is no revision '2020-01-01'"),
        (["-H", "no colon"], "'Name: value'"),
        (["--timeout", "0"], "above zero"),
        (["--unheard-of"], "--unheard-of"),
    ],
)
def test_usage_errors(run, words, said):
    """One line that says what to write instead, and exit code 2."""
    code, out, err = run("call", TARGET, "add", *words)
    assert (code, out) == (2, "")
    assert said in err
    told = [line for line in err.splitlines() if line != "printed while it was imported"]
    assert [line.startswith("dovetail: ") for line in told] == [True]


def test_a_missing_word_is_a_usage_error(run):
    """As is a command that does not exist."""
    assert run("call", TARGET)[0] == 2
    assert run("nothing", TARGET)[0] == 2


def test_target_after_two_dashes(run):
    """A command with words of its own takes the place of TARGET."""
    code, out, _ = run("call", "arguments", "--", *COMMAND, "--", "x", "-r")
    assert (code, result_of(out)) == (0, ["x", "-r"])


def test_target_quoted(run):
    """A command as one word."""
    assert run("call", " ".join(COMMAND), "add", "-a", "a=1")[:2] == (0, "1.5\n")


def test_environment_of_the_server(run):
    """-e reaches the process that is started."""
    probe = (
        "import os, pathlib; from dovetail import App; app = App('x'); app.tool(lambda: 0, name='t')"
        " if False else None; app.add_tool(lambda: os.environ.get('HUE', ''), name='hue'); app.run()"
    )
    code, out, _ = run("call", "hue", "-e", "HUE=teal", "--", sys.executable, "-c", probe)
    assert (code, out) == (0, "teal\n")


def test_tool_error(run):
    """Exit code 1 and the tool's own words, with their line breaks."""
    code, out, err = run("call", TARGET, "fail")
    assert (code, out) == (1, "")
    assert err.endswith("dovetail: the tool failed:\n  it went\n  wrong\n")
    code, out, _ = run("call", TARGET, "fail", "--json")
    assert code == 1
    assert result_of(out)["isError"] is True


@pytest.mark.parametrize(
    "words", [("call", "no_such_tool"), ("read", "nothing://x"), ("read", "text://missing")]
)
def test_protocol_errors(run, words):
    """Exit code 4."""
    code, out, err = run(words[0], TARGET, words[1])
    assert (code, out) == (4, "")
    assert "there is no" in err.splitlines()[-1]


def test_no_server(run):
    """Exit code 3, whatever kind of target it is."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    ends = f'{sys.executable} -c "import sys; sys.exit(7)"'
    for target in ("no_such_file.py", "/no/such/program", ends, f"http://127.0.0.1:{port}/mcp"):
        code, out, err = run("list", target)
        assert (code, out) == (3, ""), (target, err)
        assert err.splitlines()[-1].startswith("dovetail: ")


def test_timeout(run):
    """Exit code 5 once nothing came for so long."""
    code, out, err = run("call", TARGET, "wait", "--timeout", "0.3", "-r", ERAS[0])
    assert (code, out) == (5, "")
    assert "0.3" in err


def test_verbose_adds_the_traceback(run):
    """And says what was connected to."""
    code, _, err = run("read", TARGET, "text://missing", "-v")
    assert code == 4
    assert "connected to target 3.2.1" in err
    assert "Traceback" in err


def test_server_text_is_made_safe(run):
    """Escapes are shown as text, markup is not read, line breaks stay."""
    code, out, _ = run("call", TARGET, "evil")
    assert code == 0
    assert out == "\\x1b[31mred\\x1b[0m \\u202egnp.exe\\u202c \\x07 [bold]no markup[/bold]\nsecond line\n"


def test_json_is_made_safe_and_keeps_its_value(run):
    """No control or bidirectional character leaves, and yet the text is the same."""
    code, out, _ = run("call", TARGET, "evil", "--json")
    assert code == 0
    assert not any(mark in out for mark in ("\x1b", "\u202e", "\x07"))
    assert result_of(out)["content"][0]["text"].startswith("\x1b[31mred\x1b[0m \u202egnp")


@pytest.mark.parametrize("revision", ERAS)
def test_standard_error_of_the_server_is_shown_as_it_is(run, revision):
    """Spaces stay, what moves a cursor does not, and standard output is the result alone."""
    code, out, err = run("call", TARGET, "complain", "--json", "-r", revision)
    assert code == 0
    assert result_of(out)["content"][0]["text"] == "complained"
    assert "\n    indented, red\n" in err
    assert "\x1b]" not in err
    code, out, err = run("list", TARGET, "--tools", "-r", revision)
    assert code == 0
    assert "printed while it was imported" in err
    assert "printed" not in out


def test_read(capfdbinary):
    """What is not shown on a terminal comes out byte for byte."""
    assert main(("read", TARGET, "text://a")) == 0
    assert capfdbinary.readouterr().out == b"text of a\x1b[0m"
    assert main(("read", TARGET, "data://bytes")) == 0
    assert capfdbinary.readouterr().out == b"\x00\xff\n\x00"


def test_read_to_a_file(run, tmp_path):
    """--output writes the bytes."""
    code, out, _ = run("read", TARGET, "data://bytes", "-o", str(tmp_path / "copy"))
    assert (code, out) == (0, "")
    assert (tmp_path / "copy").read_bytes() == b"\x00\xff\n\x00"


def test_prompt_and_completion(run):
    """Messages with their roles; suggestions a line each."""
    code, out, _ = run("prompt", TARGET, "review", "-a", "code=x = 1", "-a", "tone=frank")
    assert (code, out) == (0, "user:\nReview x = 1, be frank\n")
    assert run("complete", TARGET, "review", "code", "alp")[:2] == (0, "alpha\nalpine\n")
    _, out, _ = run("complete", TARGET, "review", "code", "b", "--json")
    assert result_of(out)["completion"]["values"] == ["beta"]
    assert run("prompt", TARGET, "review")[0] == 4


@pytest.mark.parametrize("revision", ERAS)
def test_log_messages(run, revision):
    """Shown on standard error from the level asked for."""
    _, out, err = run("call", TARGET, "speak", "--log", "error", "-r", revision)
    assert out == "spoken\n"
    assert "a fault" in err
    assert "a detail" not in err


def test_version_and_help():
    """In a process of their own, as installed."""
    shown = subprocess.run(
        [sys.executable, "-m", "dovetail", "--version"], capture_output=True, text=True, check=True
    )
    assert shown.stdout.startswith("dovetail ")
    shown = subprocess.run(
        [sys.executable, "-m", "dovetail", "--help"], capture_output=True, text=True, check=True
    )
    for command in ("run", "list", "call", "read", "prompt", "complete"):
        assert command in shown.stdout
    assert "Exit codes" in shown.stdout


def test_interrupt():
    """Ctrl-C ends a command that waits, at once, with 130 and no traceback."""
    words = [sys.executable, "-m", "dovetail", "call", TARGET, "wait", "--log", "warning", "-r", ERAS[0]]
    with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stderr or ():
            if "now it waits" in line:
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=15)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err


def test_closed_output_is_no_error():
    """`dovetail list ... | head` ends quietly."""
    words = [sys.executable, "-m", "dovetail", "call", TARGET, "modules"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
        process.wait(15)
    assert process.returncode == 0
    assert "Traceback" not in err
    assert "BrokenPipe" not in err


def test_list_names_types_that_are_defined_elsewhere(run, tmp_path):
    """Classes by their name, choices by their values, dates as dates; alternatives in brackets, none twice."""
    file = tmp_path / "shapes.py"
    file.write_text(
        "from dataclasses import dataclass\n"
        "from datetime import date, datetime\n"
        "from decimal import Decimal\n"
        "from enum import Enum\n"
        "from typing import Literal\n"
        "import pydantic\n"
        "from dovetail import App\n"
        "app = App('shapes')\n"
        "class Size(Enum):\n    SMALL = 'small'\n    LARGE = 'large'\n"
        "@dataclass\nclass Circle:\n    kind: Literal['circle']\n    size: Size\n    mark: Size\n"
        "@dataclass\nclass Square:\n    kind: Literal['square']\n"
        "@dataclass\nclass Bar:\n    kind: Literal['bar']\n"
        "@dataclass\nclass Dot:\n    kind: Literal['dot']\n"
        "@app.tool\n"
        "def draw(one: Circle, many: list[Bar | Dot], maybe: Square | None = None,\n"
        "    size: Size = Size.SMALL, day: date | datetime | None = None, at: list[date] = [],\n"
        "    texts: list[str | int] = [], price: Decimal | None = None) -> str:\n"
        "    return ''\n"
    )
    code, out, err = run("list", str(file), "--tools")
    assert code == 0, err
    for words in (
        "one: Circle",
        "many: (Bar | Dot)[]",
        "maybe?: Square | null = null",
        "size?: small | large",
        "day?: date | date-time | null = null",
        "at?: date[]",
        "texts?: (string | integer)[]",
    ):
        assert words in out, words


def test_export_openapi(run, tmp_path):
    """A document that a validator takes, on standard output or in a file."""
    from openapi_spec_validator import OpenAPIV31SpecValidator

    code, out, _ = run("export", "openapi", TARGET, "--server", "https://api.example", "--bearer")
    assert code == 0
    document = result_of(out)
    OpenAPIV31SpecValidator(document).validate()
    assert document["servers"] == [{"url": "https://api.example"}]
    assert document["security"] == [{"bearer": []}]
    assert "/tools/add" in document["paths"]
    place = tmp_path / "api.json"
    code, out, err = run("export", "openapi", "-o", str(place), "--", *COMMAND)
    assert (code, out) == (0, "")
    assert str(place) in err
    assert json.loads(place.read_text())["paths"] == document["paths"]


def test_garbage_is_looked_for_again_once_the_commands_are_imported():
    """Not meanwhile, which makes every command begin sooner; whether it goes well or not."""
    probe = (
        "import gc, sys\n"
        "from dovetail.cli import main\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'cyclopts':\n"
        "            print(gc.isenabled())\n"
        "            if sys.argv[1] == 'broken':\n"
        "                raise ImportError('broken')\n"
        "sys.meta_path.insert(0, Finder())\n"
        "print(main(['list']), gc.isenabled())\n"
    )
    for how, code in (("whole", exits.USAGE), ("broken", exits.NO_SERVER)):
        done = subprocess.run([sys.executable, "-c", probe, how], capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["False", str(code), "True"], done.stderr
