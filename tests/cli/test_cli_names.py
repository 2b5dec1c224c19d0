"""Names that the server does not have: one exit code, whichever way the server says so, and what was meant."""

import re
import sys
from pathlib import Path

import pytest

from dovetail.cli import exits
from dovetail.cli.suggesting import instead
from dovetail.protocol.revisions import STATEFUL, STATELESS

PLAIN = f"{sys.executable} {Path(__file__).with_name('plain_server.py')}"
TARGET = str(Path(__file__).with_name("target_server.py"))
SAID = "printed while it was imported\n"  # by the target, on its standard error


@pytest.mark.parametrize("revision", [STATEFUL[-1], STATELESS[-1]])
def test_an_unknown_tool_in_each_era(run, revision):
    """The nearest name, and no code that means that a tool failed."""
    code, out, err = run("call", TARGET, "ech", "-r", revision)
    assert (code, out) == (4, "")
    assert err == f"{SAID}dovetail: there is no tool 'ech'; did you mean 'echo'?\n"


@pytest.mark.parametrize("how,said", [("error", "Unknown tool: compct"), ("result", "Tool compct not found")])
def test_an_unknown_tool_of_other_servers(run, how, said):
    """Some answer with an error, some with a result that failed; the server's own words are not lost."""
    code, out, err = run("call", f"{PLAIN} {how}", "compct")
    assert (code, out) == (4, "")
    assert err == f"dovetail: there is no tool 'compct'; did you mean 'compact'? (the server says: {said})\n"
    assert run("call", f"{PLAIN} {how}", "compct", "--json")[0] == 4


def test_a_tool_of_a_server_that_is_away(run, tmp_path):
    """It is not listed, and may be there all the same: what the server says comes first."""
    front = tmp_path / "front.py"
    front.write_text(
        "from dovetail import App\nfrom dovetail.proxy import ProxyProvider\napp = App('front')\n"
        "app.mount('late', ProxyProvider('no-such-program'))\n\n\n@app.tool\nasync def here() -> str:\n"
        "    return 'here'\n"
    )
    code, out, err = run("call", str(front), "late_hello")
    assert (code, out) == (exits.REFUSED, "")
    said = err.splitlines()[-1]
    assert "late: it can't be reached" in said
    assert "it lists no tool 'late_hello' now" in said
    assert "there is no tool" not in said


def test_a_server_that_cannot_list(run):
    """Its tools can be called all the same, and one kind that is broken does not cost the others."""
    assert run("call", f"{PLAIN} listless", "wrapped")[:2] == (0, "hello\n")
    code, out, err = run("list", f"{PLAIN} promptless")
    assert code == 4
    assert "compact" in out
    assert "dovetail: prompts are broken (code -32603; prompts/list to plain " in err


def test_a_misspelt_argument(run):
    """Refused before it is sent: many servers ignore what they don't know. --args sends anything."""
    code, out, err = run("call", TARGET, "echo", "txt=a")
    assert (code, out) == (2, "")
    assert "'txt' is no argument of 'echo'; did you mean 'text'?" in err
    code, _, err = run("call", PLAIN, "given", "mesage=a")
    assert code == 2
    assert "did you mean 'message'? (--args sends it all the same)" in err
    assert run("call", PLAIN, "given", "--args", '{"mesage": 1}')[1] == '{"mesage": 1}\n'
    assert run("call", PLAIN, "given", "other=1")[0] == 0


def test_a_misspelt_prompt(run):
    """Its name, or an argument of it."""
    code, _, err = run("prompt", TARGET, "reviw", "code=1")
    assert code == 4
    assert err == f"{SAID}dovetail: there is no prompt 'reviw'; did you mean 'review'?\n"
    code, _, err = run("prompt", TARGET, "review", "cod=1")
    assert code == 2
    assert "'cod' is no argument of 'review'; did you mean 'code'?" in err
    code, _, err = run("complete", TARGET, "reviw", "code", "a")
    assert code == 4
    assert "did you mean 'review'?" in err


def test_a_misspelt_resource(run):
    """Among resources and templates."""
    code, _, err = run("read", TARGET, "data://byte")
    assert code == 4
    assert "did you mean 'data://bytes'?" in err


def test_a_resource_that_fails_is_not_misspelt(run, tmp_path):
    """One of a template, which resembles its own address."""
    server = tmp_path / "pantry.py"
    server.write_text(
        "from dovetail import App\napp = App('pantry')\n\n\n@app.resource('pantry://{name}')\n"
        "async def pantry(name: str) -> str:\n    return {}[name]\n"
    )
    code, _, err = run("read", str(server), "pantry://x")
    assert code == 4
    assert "failed" in err
    assert "did you mean" not in err


def test_what_is_offered_instead():
    """The nearest name, whatever its case; else the few there are; else nothing."""
    assert instead("GetWeather", ["get_weather", "set_alarm"]) == "did you mean 'get_weather'?"
    assert (
        instead("weather", ["fetch_current_weather_data", "x"])
        == "did you mean 'fetch_current_weather_data'?"
    )
    assert instead("zzz", ["a", "b\x1b"]) == "there are a, b\\x1b"
    assert instead("zzz", ["a"]) == "there is a"
    assert instead("zzz", [], kind="tools") == "the server has no tools"
    assert instead("zzz", [f"name{number}" for number in range(20)]) == ""


def test_a_fault_of_ours_is_no_failing_tool(run, monkeypatch):
    """It has an exit code of its own, and says whose it is."""

    def broken(*_, **__):
        raise ValueError("oh\x1b no")

    monkeypatch.setattr("dovetail.cli.commands.CommandSession", broken)
    code, out, err = run("list", TARGET)
    assert (code, out) == (70, "")
    assert err == "dovetail: oh\\x1b no; this is a fault of dovetail; -v shows where\n"
    assert "\x1b" not in run("list", TARGET, "-v")[2]


def test_the_exit_codes_are_documented(run):
    """The page, the help and the module say the same of each."""
    constants = {value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}
    page = Path(__file__).parents[2].joinpath("docs", "cli.md").read_text(encoding="utf-8")
    table = page.partition("| exit code | |")[2]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} == constants
    assert {int(code) for code in re.findall(r"^(\d+) ", exits.__doc__ or "", re.MULTILINE)} == constants
    text = " ".join(run("--help")[1].split()).partition("Exit codes:")[2].partition(".")[0]
    assert {int(code) for code in re.findall(r"\d+", text)} == constants
