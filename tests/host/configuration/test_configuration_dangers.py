"""A command is shown whole, what it could do is marked, and it runs only as the person agreed to it.

Security Best Practices, "Local MCP Server Compromise".
"""

import dataclasses

import pytest

from dovetail.errors import NotApproved
from dovetail.host.configuration import Approvals, ServerDefinition, dangers_of


def of(*words, **other):
    """What stands out in a command."""
    return " / ".join(dangers_of(ServerDefinition(name="a", command=words[0], args=words[1:], **other)))


@pytest.mark.requirement("RXSEC-SECURITY-019")
@pytest.mark.parametrize(
    "words,said",
    [
        (("sh", "-c", "x"), "hands a text to a shell (sh)"),
        (("/bin/bash", "-lc", "x"), "hands a text to a shell (bash)"),
        (("env", "A=1", "bash", "-c", "x"), "shell (bash)"),
        (("cmd.exe", "/C", "x"), "shell (cmd)"),
        ((r"C:\Windows\powershell.exe", "-EncodedCommand", "x"), "shell (powershell)"),
        (("docker", "run", "img", "sh", "-c", "x"), "shell (sh)"),
        (("python3.12", "-c", "x"), "runs code that stands on the command line"),
        (("node", "--eval", "x"), "runs code"),
        (("sudo", "x"), "other rights than yours (sudo)"),
        (("rm", "-rf", "x"), "deletes or changes"),
        (("env", "rm", "x"), "deletes or changes"),
        (("curl", "https://x"), "sends or fetches"),
        (("x", "a; rm b"), "the signs of a shell"),
        (("x", "$(y)"), "the signs of a shell"),
        (("x", "a|b"), "the signs of a shell"),
        (("docker", "run", "--privileged", "i"), "opens this machine to a container"),
        (("docker", "run", "-v", "/:/host", "i"), "opens this machine"),
        (("podman", "run", "-v", "/var/run/docker.sock:/s", "i"), "opens this machine"),
        (("npx", "-y", "pkg"), "whatever version of a package"),
        (("uvx", "pkg"), "whatever version"),
        (("npm", "exec", "pkg"), "whatever version"),
        (("x", "/home/a/.ssh/id_rsa"), "a place of secrets: /home/a/.ssh/id_rsa"),
        (("x", "/"), "is given everything: /"),
        (("/tmp/x",), "temporary files"),
        (("./x",), "whatever folder the host starts in"),
        (("bin/x",), "whatever folder"),
        (("x", "a\u202eb"), "characters that can't be seen"),
        (("x", "a\nb"), "characters that can't be seen"),
        (("x\u200b",), "characters that can't be seen"),
        (("x", "a" * 1001), "more than 1000 characters"),
    ],
)
def test_r101_what_a_command_could_do_is_marked(words, said):
    assert said in of(*words)


@pytest.mark.parametrize(
    "name", ["LD_PRELOAD", "DYLD_INSERT_LIBRARIES", "NODE_OPTIONS", "PYTHONPATH", "PATH", "https_proxy"]
)
def test_variables_that_change_what_is_loaded_are_marked(name):
    assert f"sets {name}" in of("/usr/bin/x", env={name: "y"})


@pytest.mark.parametrize(
    "url,said",
    [
        ("http://example.com/mcp", "without encryption"),
        ("https://user:word@example.com/", "a name or password"),
        ("file:///etc/passwd", "of a kind that no server has"),
        ("https://\u0435xample.com/mcp", "letters may look like others"),
        ("https://xn--xample-9uf.com/mcp", "letters may look like others"),
        ("https://[::1", "can't be read"),
    ],
)
def test_urls_are_looked_at(url, said):
    found = dangers_of(ServerDefinition(name="a", transport="http", url=url))
    assert said in " / ".join(found)


@pytest.mark.parametrize(
    "words",
    [("uvx", "pkg@1.2.0"), ("npx", "-y", "@scope/pkg@2.1"), ("/usr/bin/python3", "/srv/server.py"), ("srv",)],
)
def test_what_is_plain_is_not_marked(words):
    """Or nobody would look at the marks."""
    assert of(*words) == ""
    assert dangers_of(ServerDefinition(name="a", transport="http", url="http://localhost:1/mcp")) == ()


@pytest.mark.requirement("RXSEC-SECURITY-018")
@pytest.mark.parametrize(
    "other",
    [
        {"command": "y"},
        {"args": ("1",)},
        {"args": ("1 2",)},
        {"env": {"A": "1", "LD_PRELOAD": "x"}},
        {"env": {"A": "2"}},
        {"cwd": "/y"},
        {"name": "b"},
    ],
    ids=str,
)
def test_v54_an_approval_is_of_what_is_run_and_not_of_its_name(other, tmp_path):
    """Whatever of the command changes afterwards, it is asked for again."""
    approved = ServerDefinition(name="a", command="x", args=("1", "2"), env={"A": "1"}, cwd="/x")
    approvals = Approvals(tmp_path / "state" / "approvals.json")
    with pytest.raises(NotApproved, match="was not approved"):
        approvals.check(approved)
    approvals.add(approved)
    Approvals(approvals.path).check(approved)
    with pytest.raises(NotApproved):
        approvals.check(dataclasses.replace(approved, **other))
    approvals.remove("a")
    with pytest.raises(NotApproved):
        approvals.check(approved)


def test_v54_an_approval_of_a_url_is_of_that_url_and_its_headers(tmp_path):
    approved = ServerDefinition(name="a", transport="http", url="https://x/", headers={"A": "b"})
    approvals = Approvals(tmp_path / "approvals.json")
    approvals.add(approved)
    for other in ({"url": "https://y/"}, {"headers": {"A": "c"}}, {"transport": "sse"}):
        assert not approvals.has(dataclasses.replace(approved, **other))
    assert approvals.has(dataclasses.replace(approved, extra={"note": 1}))
