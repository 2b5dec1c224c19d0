"""`dovetail servers`, `install` and `uninstall`: what is shown, what is asked, and what is written."""

import json
import os
import sys
from pathlib import Path

import pytest

from dovetail.cli.entering import name_of
from dovetail.host.configuration import HOSTS, ConfigurationFile, ServerDefinition

SERVER = """
import os

from dovetail import App

app = App("words")


@app.tool
def shout(text: str) -> str:
    return text.upper() + os.environ.get("END", "")


@app.resource("note://{name}")
def note(name: str) -> str:
    return f"a note on {name}"
"""


@pytest.fixture
def server(home):
    """A server in the current folder."""
    (home / "words.py").write_text(SERVER)
    return home / "words.py"


def ours(home):
    """What our own configuration says."""
    return json.loads((home / ".config/dovetail/servers.json").read_text())["mcpServers"]


@pytest.mark.requirement("RXSEC-SECURITY-018", "RXSEC-SECURITY-019")
def test_r101_nothing_is_written_without_a_word(server, run, home):
    """The whole command and the change are shown; without --write, and nobody there, that is all."""
    code, out, err = run("install", "cursor", "words.py")
    assert code == 1
    assert f"  {sys.executable} -m dovetail run {server}\n" in out
    assert f'+        "{server}"\n' in out
    assert err == "nothing was written; --write writes it\n"
    assert not (home / ".cursor").exists()


@pytest.mark.requirement("RXSEC-SECURITY-018")
@pytest.mark.parametrize("host", HOSTS)
def test_v54_v55_r101_no_command_writes_any_host_s_file_without_a_word(host, server, run, home, secrets):
    """Nor our own, nor what was agreed to, nor a secret."""

    def everything():
        return {each: each.read_bytes() for each in home.rglob("*") if each.is_file()}

    target = HOSTS[host]
    if host != "dovetail":
        assert run("install", host, "--write", "--name", "w", "--env", "A=b", "--", "x", "y")[0] == 0
    assert run("servers", "add", "mine", "words.py", "--write")[0] == 0
    assert target.file().exists()
    before, kept = everything(), dict(secrets)
    commands = [
        ["install", host, "--name", "v", "--", "other"],
        ["install", host, "--replace", "--name", "w" if host != "dovetail" else "mine", "--", "other"],
        ["uninstall", host, "w" if host != "dovetail" else "mine"],
        ["servers", "add", "other", "words.py"],
        ["servers", "remove", "mine"],
        *([["servers", "import", host], ["servers", "export", host, "mine"]] if host != "dovetail" else []),
    ]
    for command in commands:
        code, _, err = run(*command)
        assert (code, "--write writes it" in err) == (1, True), command
    assert everything() == before
    assert secrets == kept


@pytest.mark.requirement("RXSEC-SECURITY-018", "RXSEC-SECURITY-019")
@pytest.mark.parametrize("answer,code", [("n", 1), ("", 1), ("what", 1), ("y", 0)])
def test_v54_r101_the_person_is_asked(answer, code, server, home):
    """After the command and what is dangerous about it; anything but yes leaves the file as it is."""
    from pseudo_terminal import Terminal

    shown = Terminal("install", "cursor", "--name", "w", "--", "sh", "-c", "echo " + "x" * 3000 + " END")
    try:
        shown.wait_for("[y/N]")
        shown.type(answer)
        ended, out = shown.result()
    finally:
        shown.close()
    assert ended == code
    assert "DANGER: it hands a text to a shell (sh)" in out
    assert "x" * 3000 + " END" in out
    assert (home / ".cursor/mcp.json").exists() == (code == 0)


@pytest.mark.requirement("RXSEC-SECURITY-019")
def test_v54_r101_what_cant_be_seen_is_shown(server, run):
    """A mark that turns the order of letters around, a line break, an escape of a terminal."""
    code, out, _ = run("install", "zed", "--name", "w", "--", "x", "a\u202etxt.exe", "b\nrm", "\x1b[2Kc")
    assert code == 1
    assert '  x "a\\u202etxt.exe" "b\\nrm" "\\x1b[2Kc"\n' in out
    assert "DANGER: it has characters that can't be seen" in out
    assert "\u202e" not in out
    assert "\x1b" not in out


def test_v54_r101_what_a_command_is_started_with_is_shown_whole(server, run):
    """Its variables change what it does as much as its words."""
    code, out, _ = run(
        "install", "cursor", "--name", "w", "-e", f"LD_PRELOAD=/tmp/{'x' * 3000}\u202e.so", "--", "x"
    )
    assert code == 1
    assert f'  LD_PRELOAD="/tmp/{"x" * 3000}\\u202e.so"\n' in out
    assert "DANGER: it sets LD_PRELOAD" in out


@pytest.mark.parametrize("host", HOSTS)
def test_v40_no_name_that_a_shell_reads_gets_into_a_file(host, server, run, home):
    for name in ("a&b", "a|b", "a^b", "%a%", 'a"b', "a'b", "a;b", "a\nb", "$(a)", "`a`"):
        where = ["servers", "add", name] if host == "dovetail" else ["install", host, "--name", name]
        code, _, err = run(*where, "--write", *(["words.py"] if host == "dovetail" else ["--", "x"]))
        assert (code, "is no name for a server" in err) == (3, True), err
    assert not HOSTS[host].file().exists()


@pytest.mark.parametrize("host", [name for name, each in HOSTS.items() if "project" in each.scopes])
def test_v54_v55_a_file_that_came_with_a_project_starts_nothing(host, run, home):
    """Whatever looks at it: before a person agreed to what is in it, and after it became another."""
    file = ConfigurationFile(host, scope="project")
    entry = ServerDefinition(name="far-away", command="touch", args=(str(home / "ran"),))
    file.write(file.with_server(entry))
    scope = ["--scope", "project"]
    looks = [
        ["servers", "list"],
        ["servers", "list", host, *scope],
        ["servers", "show", "far-away", "--host", host, *scope],
        ["servers", "doctor", host, *scope],
        ["servers", "import", host, "far-away", *scope],
        ["list", "far-away"],
        ["call", "far-away/x"],
        ["doctor", "far-away"],
    ]
    for command in looks:
        run(*command)
        assert not (home / "ran").exists(), command
    assert run("servers", "import", host, "far-away", *scope, "--write")[0] == 0
    assert not (home / "ran").exists()
    taken = home / ".config/dovetail/servers.json"
    there = json.loads(taken.read_text())
    there["mcpServers"]["far-away"]["env"] = {"LD_PRELOAD": "/tmp/x.so"}
    taken.write_text(json.dumps(there))
    code, _, err = run("list", "far-away")
    assert (code, "was changed since it was approved" in err) == (3, True)
    assert not (home / "ran").exists()


def test_in_and_out_again(server, run, home):
    """For a file; a second of the same name is refused, the same one is no change."""
    (home / ".cursor").mkdir()
    (home / ".cursor/mcp.json").write_text('{\n  // mine\n  "mcpServers": {}\n}\n')
    assert run("install", "cursor", "words.py", "--write")[0] == 0
    written = (home / ".cursor/mcp.json").read_text()
    assert "// mine" in written
    assert json.loads(written.replace("// mine", ""))["mcpServers"]["words"] == {
        "command": sys.executable,
        "args": ["-m", "dovetail", "run", str(server)],
    }
    code, _, err = run("install", "cursor", "words.py", "--write")
    assert (code, err) == (0, f"{home}/.cursor/mcp.json says so already: nothing to write\n")
    code, _, err = run("install", "cursor", "https://example.com/mcp", "--name", "words", "--write")
    assert code == 2
    assert "--replace replaces it" in err
    assert (
        run("install", "cursor", "https://example.com/mcp", "--name", "words", "--write", "--replace")[0] == 0
    )
    assert run("uninstall", "cursor", "words")[0] == 1
    assert "words" in (home / ".cursor/mcp.json").read_text()
    assert run("uninstall", "cursor", "words", "--write")[0] == 0
    assert "words" not in (home / ".cursor/mcp.json").read_text()
    code, _, err = run("uninstall", "cursor", "words", "--write")
    assert code == 3
    assert "Cursor has no server 'words'" in err


def test_what_can_be_installed(server, run, home, monkeypatch):
    """A file that runs itself, an app of a module, a URL, a command in one word or after --."""
    (home / "alone.py").write_text(SERVER + "\napp.run()\n")
    (home / "pkg").mkdir()
    (home / "pkg/__init__.py").write_text("raise SystemExit('imported')")
    (home / "pkg/srv.py").write_text(SERVER)
    cases = [
        (["alone.py"], "alone", [sys.executable, str(home / "alone.py")]),
        (["pkg.srv:app"], "srv", [sys.executable, "-m", "dovetail", "run", f"{home}/pkg/srv.py:app"]),
        (["words.py:app"], "words", [sys.executable, "-m", "dovetail", "run", f"{server}:app"]),
        (["uvx mcp-server-git@1.2 --x 'a b'"], "mcp-server-git", ["uvx", "mcp-server-git@1.2", "--x", "a b"]),
        (["--", "npx", "-y", "@scope/pkg"], "pkg", ["npx", "-y", "@scope/pkg"]),
    ]
    for words, name, command in cases:
        assert run("install", "gemini-cli", "--write", *words)[0] == 0, words
        found = json.loads((home / ".gemini/settings.json").read_text())["mcpServers"][name]
        assert [found["command"], *found["args"]] == command
    assert run("install", "gemini-cli", "localhost:8000/mcp", "--write", "-H", "X-A: env:A")[0] == 0
    found = json.loads((home / ".gemini/settings.json").read_text())["mcpServers"]["localhost"]
    assert found == {"httpUrl": "http://localhost:8000/mcp", "headers": {"X-A": "${A}"}}


@pytest.mark.parametrize(
    "words,said",
    [
        (["cursor", "gone.py"], "there is no file 'gone.py'"),
        (["cursor", "gone.mod:app"], "there is no module 'gone.mod'"),
        (["nohost", "words.py"], "no host that is known"),
        (["cursor", "words.py", "-H", "A: b"], "--header is for servers at a URL"),
        (["cursor", "https://x/", "-e", "A=b"], "--env is for servers that are started"),
        (["cursor", "unix:/x"], "not on a unix socket"),
        (["cursor", "words.py", "-e", "A-B=c"], "not KEY=VALUE"),
        (["cursor", "words.py", "--name", "a&b"], "no name for a server"),
        (["cursor", "words.py", "-e", "API_KEY=abc"], "looks like a secret"),
        (["claude-desktop", "words.py", "-e", "API_KEY"], "takes nothing from variables"),
        (["claude-desktop", "https://x/"], "no servers at a URL"),
        (["cursor", "words.py", "--scope", "local"], "no scope 'local'"),
    ],
)
def test_what_cant_be_installed(words, said, server, run, home):
    """Is said, and nothing is written."""
    code, _, err = run("install", *words, "--write")
    assert code in (2, 3)
    assert said in err
    assert not (home / ".cursor").exists()


def test_a_secret_in_clear_needs_a_word(server, run, home):
    """Or a reference to where it is."""
    assert run("install", "cursor", "words.py", "--write", "-e", "API_KEY=abc", "--in-clear")[0] == 0
    code, out, _ = run("servers", "show", "words", "--host", "cursor")
    assert code == 0
    assert 'API_KEY="[hidden]"' in out
    assert "abc" not in out
    code, out, _ = run("servers", "doctor", "cursor")
    assert code == 1
    assert "the variable API_KEY is a secret in clear" in out


def test_every_command_takes_a_name(server, run, home):
    """As two words, or as one."""
    assert run("servers", "add", "weather", "words.py", "--write", "-e", "END=!")[0] == 0
    assert run("call", "weather", "shout", "text=a") == (0, "A!\n", "")
    assert run("call", "-q", "weather/shout", "text=a") == (0, "A!\n", "")
    assert run("call", "weather/shout", "text=a", "-e", "END=?") == (0, "A?\n", "")
    assert run("read", "weather/note://sun") == (0, "a note on sun", "")
    assert "shout" in run("list", "weather")[1]
    code, _, err = run("list", "weather", "-H", "A: b")
    assert code == 2
    assert "--header is for servers at a URL" in err
    (home / "weather").write_text("")
    assert run("list", "weather")[0] == 3  # a file of that name is what is meant


def test_v54_v55_a_name_whose_entry_changed_is_not_used(server, run, home):
    """Before it was looked at again; what was there meanwhile never ran."""
    assert run("servers", "add", "w", "words.py", "--write")[0] == 0
    path = home / ".config/dovetail/servers.json"
    there = json.loads(path.read_text())
    there["mcpServers"]["w"] |= {"command": "touch", "args": [str(home / "ran")]}
    there["mcpServers"]["new"] = {"command": "touch", "args": [str(home / "ran")]}
    path.write_text(json.dumps(there))
    for name, what in (("w", "was changed since it was approved"), ("new", "was not approved")):
        code, _, err = run("list", name)
        assert code == 3
        assert what in err
        assert f"dovetail servers approve {name}" in err
    assert not (home / "ran").exists()
    code, out, err = run("servers", "approve", "w")
    assert code == 1
    assert f"touch {home}/ran" in out
    assert "nothing was approved" in err
    assert "NOT APPROVED" in run("servers", "show", "w")[1]
    assert run("servers", "approve", "w", "--yes")[0] == 0
    assert run("servers", "show", "w")[1].endswith("  approved\n")


def test_a_secret_goes_to_the_keyring(server, run, home, secrets, monkeypatch):
    """And from there to the server; with the server it goes away."""
    monkeypatch.setenv("END", "sesame")
    assert run("servers", "add", "w", "words.py", "--secret", "END", "--write")[0] == 0
    monkeypatch.delenv("END")
    assert secrets == {("dovetail servers", "w/END"): "sesame"}
    assert ours(home)["w"]["env"] == {"END": "${keyring:END}"}
    assert "sesame" not in "".join(each.read_text() for each in (home / ".config/dovetail").iterdir())
    assert run("call", "w/shout", "text=a")[1] == "Asesame\n"
    assert run("servers", "export", "vscode", "w", "--write")[0] == 0
    there = json.loads((home / ".config/Code/User/mcp.json").read_text())
    assert there["servers"]["w"]["env"] == {"END": "${input:END}"}
    assert there["inputs"] == [
        {"type": "promptString", "id": "END", "description": "END of w", "password": True}
    ]
    assert run("servers", "export", "cursor", "w", "--write")[0] == 3
    assert run("servers", "remove", "w", "--write")[0] == 0
    assert secrets == {}
    assert ours(home) == {}


def test_servers_of_a_host_are_taken_over(run, home, secrets):
    """Its inputs and secrets come from the keyring; what it alone knows is named."""
    (home / ".vscode").mkdir()
    (home / ".vscode/mcp.json").write_text(
        json.dumps(
            {
                "inputs": [{"id": "k", "type": "promptString"}],
                "servers": {
                    "a": {
                        "type": "stdio",
                        "command": "x",
                        "env": {"K": "${input:k}", "TOKEN": "t0"},
                        "envFile": ".e",
                    },
                    "b": {"type": "http", "url": "https://example.com/${env:PLACE}"},
                },
            }
        )
    )
    code, _, err = run("servers", "import", "vscode", "--scope", "project", "--write")
    assert code == 0
    assert "left out, since only VS Code knows it: envFile" in err
    assert "still to be given: dovetail servers secret a k" in err
    assert ours(home) == {
        "a": {"command": "x", "args": [], "env": {"K": "${keyring:k}", "TOKEN": "${keyring:TOKEN}"}},
        "b": {"type": "http", "url": "https://example.com/${PLACE}"},
    }
    assert secrets == {("dovetail servers", "a/TOKEN"): "t0"}
    code, out, _ = run("servers", "doctor", "dovetail")
    assert code == 1
    assert "a: there is no program 'x' here" in out
    assert "the keyring has no 'k' of the server 'a'" in out
    assert "names ${PLACE}" in out
    code, _, err = run("servers", "import", "vscode", "c", "--scope", "project")
    assert code == 2
    assert "there is: a, b" in err


def test_what_is_there_is_listed(server, run, home):
    """Of all hosts; as JSON, too, without secrets."""
    run("servers", "add", "w", "words.py", "--write")
    (home / ".cursor").mkdir()
    (home / ".cursor/mcp.json").write_text(
        '{"mcpServers": {"c": {"url": "https://x/", "headers": {"X-Api-Key": "s3"}}, "d": 1}}'
    )
    code, out, _ = run("servers", "list")
    assert code == 0
    assert f"  w: {sys.executable} -m dovetail run {server}\n" in out
    assert "  c: https://x/\n" in out
    assert "  d: Cursor has 'd' as int" in out
    code, out, _ = run("servers", "list", "cursor", "--json")
    found = json.loads(out)["servers"][0]
    assert found["headers"] == {"X-Api-Key": "[hidden]"}
    (home / ".cursor/mcp.json").write_text("{")
    code, out, err = run("servers", "list")
    assert code == 1
    assert "  w: " in out
    assert "it is no JSON" in err


def test_nothing_to_list(run, home):
    """It is said, with what to do."""
    assert run("servers", "list") == (
        0,
        "",
        "no host has servers here; `dovetail servers add NAME TARGET` adds one of your own\n",
    )
    assert run("servers", "list", "cursor")[2].startswith("Cursor has no servers here; ")
    assert run("servers", "list", "--json") == (0, '{\n  "servers": []\n}\n', "")


def test_doctor_finds_what_others_can_read(run, home):
    """Where it has secrets."""
    (home / ".cursor").mkdir()
    path = home / ".cursor/mcp.json"
    path.write_text('{"mcpServers": {"c": {"command": "sh", "env": {"API_KEY": "s3"}}}}')
    path.chmod(0o644)
    assert "others on this machine can read the file" in run("servers", "doctor", "cursor")[1]
    path.chmod(0o600)
    assert "others on this machine" not in run("servers", "doctor", "cursor")[1]
    path.unlink()
    assert run("servers", "doctor")[0] == 0


@pytest.mark.parametrize(
    "word,words,name",
    [
        ("https://mcp.example.com/mcp", None, "example"),
        ("https://api.weather.test:8000/", None, "api"),
        ("http://localhost:8000/mcp", None, "localhost"),
        ("uvx tool@2", None, "tool"),
        ("npx", ["npx", "-y", "@a/b@1.0"], "b"),
        ("python", ["python", "/x/y.py"], "y"),
        ("srv", None, "srv"),
    ],
)
def test_a_name_follows_from_what_is_typed(word, words, name):
    assert name_of(word, words) == name


def test_a_server_py_is_called_as_its_folder(home, monkeypatch):
    """Or every server would be called server."""
    assert name_of("server.py") == Path(os.getcwd()).name
