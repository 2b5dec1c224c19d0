"""Variables and secrets get their values when a server is opened, and nowhere else."""

import json
import subprocess
import sys
from pathlib import Path

import keyring
import keyring.backends.fail
import pytest

from dovetail import Client
from dovetail.errors import ConfigurationError, SecretsUnavailable, VariableMissing
from dovetail.host.configuration import (
    Approvals,
    ServerDefinition,
    ServerSecrets,
    Variables,
    hidden,
    moved_to_keyring,
    resolve,
    secrets_in_clear,
)


def texts(host, *args):
    """A server of a host with these arguments."""
    return ServerDefinition(name="a", command="x", args=args, host=host)


@pytest.mark.parametrize(
    "host,text,value",
    [
        ("claude-code", "${A}/${B:-other}", "1/other"),
        ("claude-code", "${EMPTY:-other}", "other"),
        ("claude-code", "${B:-}", ""),
        ("claude-code", "$A ${env:A}", "$A ${env:A}"),
        ("vscode", "${env:A} ${A} ${workspaceFolder} ${input:i}", "1 ${A} /p typed"),
        ("cursor", "${env:A}${/}${userHome}", f"1/{Path.home()}"),
        ("windsurf", "${env:A} ${A}", "1 ${A}"),
        ("gemini-cli", "$A-${A}", "1-1"),
        ("dovetail", "${A} ${env:A} ${keyring:k} $A", "1 1 sealed $A"),
        ("claude-desktop", "${A} $A", "${A} $A"),
        ("zed", "${A}", "${A}"),
        ("dovetail", "a${", "a${"),
    ],
)
def test_each_host_has_its_own_words(host, text, value):
    """What is no variable there stays as it is."""
    variables = Variables(
        {"A": "1", "EMPTY": ""}, workspace=Path("/p"), inputs={"i": "typed"}, secrets=lambda name: "sealed"
    )
    assert resolve(texts(host, text), variables)[0] == ["x", value]


@pytest.mark.parametrize(
    "host,text,said",
    [
        ("claude-code", "${GONE}", "the environment has no 'GONE'"),
        ("vscode", "${input:i}", "nobody gave the input 'i'"),
        ("vscode", "${command:x}", "only the host that it was written for knows"),
        ("windsurf", "${file:/etc/passwd}", "only the host"),
        ("dovetail", "${keyring:k}", "no keyring is asked here"),
    ],
)
def test_what_has_no_value_is_named(host, text, said):
    """With the server."""
    with pytest.raises(VariableMissing, match=said) as caught:
        resolve(texts(host, text), Variables({}))
    assert "server 'a'" in str(caught.value)


def test_a_value_is_no_variable():
    """What a variable holds is not looked at again."""
    assert resolve(texts("dovetail", "${A}"), Variables({"A": "${B}", "B": "no"}))[0] == ["x", "${B}"]


def test_all_parts_of_an_entry_are_expanded():
    """For a process and for a URL."""
    values = Variables({"A": "1"})
    process = ServerDefinition(name="a", command="${A}", env={"K": "${A}"}, cwd="${A}")
    assert resolve(process, values) == (["1"], {"env": {"K": "1"}, "cwd": "1"})
    far = ServerDefinition(name="a", transport="http", url="https://x/${A}", headers={"H": "b ${A}"})
    assert resolve(far, values) == ("https://x/1", {"headers": {"H": "b 1"}})
    with pytest.raises(ConfigurationError, match="switched off"):
        resolve(ServerDefinition(name="a", command="x", enabled=False))


async def test_a_client_is_made_of_it(tmp_path):
    """A process with the variable and the folder that its entry says."""
    (tmp_path / "server.py").write_text(
        "import os\nfrom dovetail import App\napp = App('a')\n\n\n@app.tool\ndef told() -> str:\n"
        "    return os.environ['WORD'] + ' ' + os.getcwd()\n\n\napp.run()\n"
    )
    entry = ServerDefinition(
        name="a", command=sys.executable, args=("server.py",), env={"WORD": "${A}"}, cwd=str(tmp_path)
    )
    target, options = resolve(entry, Variables({"A": "yes"}))
    async with Client(target, **options) as client:
        assert (await client.call_tool("told")).text == f"yes {tmp_path}"


def test_secrets_are_in_the_keyring(secrets):
    """Under the server and the name; another server's is another one."""
    ours = ServerSecrets()
    ours.set("a", "K", "sesame")
    entry = ServerDefinition(name="a", command="x", env={"K": "${keyring:K}"})
    assert resolve(entry, Variables(secrets=ours.reader("a")))[1] == {"env": {"K": "sesame"}}
    with pytest.raises(SecretsUnavailable, match="dovetail servers secret b K"):
        ours.get("b", "K")
    ours.remove("a", "K")
    ours.remove("a", "K")
    assert secrets == {}


def test_without_a_keyring_there_are_no_secrets():
    """Nor with one that writes them down."""

    class PlaintextKeyring(keyring.backends.fail.Keyring):
        __module__ = "keyrings.somewhere"

    before = keyring.get_keyring()
    try:
        keyring.set_keyring(keyring.backends.fail.Keyring())
        with pytest.raises(SecretsUnavailable, match="has no keyring"):
            ServerSecrets()
        keyring.set_keyring(PlaintextKeyring())
        with pytest.raises(SecretsUnavailable, match="in clear"):
            ServerSecrets()
    finally:
        keyring.set_keyring(before)


def test_secrets_in_clear_are_found_hidden_and_moved():
    """By name and by looks; a reference is none."""
    entry = ServerDefinition(
        name="a",
        command="x",
        args=("--token=abcdefghij", "plain"),
        env={"API_KEY": "abc", "OTHER": "ghp_abcdefghijklmnopqrstuvwxyz", "HOME": "/h", "TOKEN": "${TOKEN}"},
    )
    assert [str(each) for each in secrets_in_clear(entry)] == [
        "the variable API_KEY",
        "the variable OTHER",
        "argument 1",
    ]
    shown = repr(hidden(entry))
    assert not [each for each in ("abc'", "ghp_", "abcdefghij") if each in shown]
    assert "/h" in shown
    moved, taken = moved_to_keyring(entry)
    assert taken == {"API_KEY": "abc", "OTHER": "ghp_abcdefghijklmnopqrstuvwxyz"}
    assert dict(moved.env) == {
        "API_KEY": "${keyring:API_KEY}",
        "OTHER": "${keyring:OTHER}",
        "HOME": "/h",
        "TOKEN": "${TOKEN}",
    }
    far = ServerDefinition(
        name="a",
        transport="http",
        url="https://u:pass12@x/",
        headers={"Authorization": "Bearer ${T}", "X-Api-Key": "k"},
    )
    assert [str(each) for each in secrets_in_clear(far)] == ["the header X-Api-Key", "the URL"]


APPROVER = """
import sys
from dovetail.host.configuration import Approvals, ServerDefinition

for number in range(15):
    Approvals(sys.argv[1]).add(ServerDefinition(name=f"{sys.argv[2]}{number}", command="dovetail"))
    Approvals(sys.argv[1]).remove(f"{sys.argv[2]}{number - 10}")
"""


def test_what_several_commands_approve_at_once_is_all_kept(tmp_path):
    path = tmp_path / "state" / "approvals.json"
    writers = [subprocess.Popen([sys.executable, "-c", APPROVER, str(path), name]) for name in "abc"]
    assert [each.wait(timeout=60) for each in writers] == [0, 0, 0]
    kept = json.loads(path.read_text())
    assert set(kept) == {f"{name}{number}" for name in "abc" for number in range(5, 15)}


def test_approvals_that_are_none_are_told(tmp_path):
    """They are not taken for an empty list."""
    (tmp_path / "a").write_text('{"x": "no digest"}')
    with pytest.raises(ConfigurationError, match="holds no approvals"):
        Approvals(tmp_path / "a").has(texts("dovetail"))
