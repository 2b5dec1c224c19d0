"""From a file to a host: what can be used is, and what can't costs itself alone."""

import json
import sys

import pytest

from dovetail import App
from dovetail.errors import (
    ConfigurationError,
    ConfigurationUnreadable,
    LocalProtocolError,
    NotApproved,
    SecretsUnavailable,
    VariableMissing,
)
from dovetail.gateway import Gateway
from dovetail.host import Host, HostPolicy, server_name
from dovetail.host.configuration import (
    Approvals,
    ConfigurationFile,
    ServerDefinition,
    Variables,
    configured_clients,
)

SERVER = (
    "import os\nfrom dovetail import App\napp = App('a')\n\n\n@app.tool\ndef told() -> str:\n"
    "    return os.environ.get('TOLD', '')\n\n\napp.run()\n"
)
NAMED = server_name("my server")


@pytest.fixture
def file(home, secrets):
    """Entries of all kinds; the person agreed to the first four, and to another command than "changed" has now."""
    (home / "server.py").write_text(SERVER)
    started = {"command": sys.executable, "args": ["server.py"]}
    entries = {
        "my server": {**started, "env": {"TOLD": "${TOLD_HERE}"}},
        "sealed": {**started, "env": {"TOLD": "${keyring:told}"}},
        "keyless": {**started, "env": {"TOLD": "${keyring:other}"}},
        "off": {**started, "disabled": True},
        "unknown": started,
        "changed": started,
    }
    (home / "servers.json").write_text(json.dumps({"mcpServers": entries}))
    secrets["dovetail servers", "sealed/told"] = "from the keyring"
    found = ConfigurationFile("dovetail", path="servers.json")
    approvals = Approvals("approvals.json")
    for name in ("my server", "sealed", "keyless", "off"):
        approvals.add(found.servers[name])
    approvals.add(ServerDefinition(name="changed", command="another"))
    return found


@pytest.mark.requirement("RXSEC-SECURITY-018", "RXSEC-SECURITY-019")
async def test_v54_v55_a_file_becomes_a_host(file, monkeypatch):
    """With the secrets of the keyring and the variables of the environment, and under names that a host takes."""
    monkeypatch.setenv("TOLD_HERE", "from the environment")
    clients, left_out = configured_clients(file.servers, approvals=Approvals("approvals.json"))
    assert {name: type(problem) for name, problem in left_out.items()} == {
        "keyless": SecretsUnavailable,
        "off": ConfigurationError,
        "unknown": NotApproved,
        "changed": NotApproved,
    }
    assert "was changed since it was approved" in str(left_out["changed"])
    async with Host(clients, policy=HostPolicy(default="allow")) as host:
        assert list(host.servers) == [NAMED, "sealed"]
        assert (await host.call(f"{NAMED}__told")).text == "from the environment"
        assert (await host.call("sealed__told")).text == "from the keyring"


def test_values_that_are_given(file, monkeypatch):
    """Alone: neither the environment nor the keyring is asked then."""
    monkeypatch.setenv("TOLD_HERE", "here")
    clients, left_out = configured_clients(file.servers, approvals=None, variables=Variables({}))
    assert list(clients) == ["unknown", "changed"]
    assert {type(left_out[name]) for name in ("my server", "sealed", "keyless")} == {VariableMissing}


def test_approvals_that_cannot_be_read(file, home):
    """Nobody was asked for all of it, then: it is no matter of one entry."""
    (home / "approvals.json").write_text("[]")
    with pytest.raises(ConfigurationUnreadable, match="holds no approvals"):
        configured_clients(file.servers, approvals=Approvals("approvals.json"))


@pytest.mark.parametrize("made", [Host, Gateway])
@pytest.mark.parametrize(
    "given,said",
    [
        ("servers.json", "is given its servers by their names.*configured_clients"),
        (["server.py"], "is given its servers by their names.*configured_clients"),
        ({"mcpServers": {"a": {"command": "x"}}}, "'mcpServers' is an entry of a conf.*configured_clients"),
        ({"a": {"command": "x"}}, "'a' is an entry of a configuration; .*configured_clients"),
        ({"a": ServerDefinition(name="a", command="x")}, "'a' is an entry of a configuration"),
        ({"a b": App("a")}, "dovetail.host.server_name gives one for it"),
        ({f"s{number}": "x.py" for number in range(257)}, "has at most 256 servers, not 257"),
    ],
    ids=lambda value: "" if isinstance(value, str) and len(value) > 20 else None,
)
def test_v55_what_names_no_server(made, given, said):
    """It is refused where it stands, with what to write: for what others take here, the way from a configuration."""
    with pytest.raises(LocalProtocolError, match=said):
        made(given)


async def test_v55_a_server_that_is_added_is_looked_at_as_well():
    """And one whose file is away now is none of these."""
    host = Host({"later": "later.py"})
    with pytest.raises(LocalProtocolError, match="'a' is an entry of a configuration"):
        await host.add("a", {"command": "x"})
    assert list(host.servers) == ["later"]
    await host.close()
