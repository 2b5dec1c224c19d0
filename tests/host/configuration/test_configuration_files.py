"""The files of hosts, as they document them: read, changed, and nothing else in them touched."""

import json
import re
import sys
from pathlib import Path

import pytest
from host_files import FILES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dovetail.errors import ConfigurationError, ConfigurationUnreadable
from dovetail.host.configuration import HOSTS, ConfigurationFile, ServerDefinition, host_named, translated
from dovetail.host.configuration.json_text import JSONText
from dovetail.host.configuration.yaml_text import YAMLText

NEW = ServerDefinition(name="new", command="srv", args=("--flag", "x y"), env={"A": "on"})


def file_at(path, host, text):
    """A file of a host with a text."""
    path.write_text(text, newline="")
    return ConfigurationFile(host, path=path)


@pytest.mark.parametrize("case", FILES, ids=lambda case: case.host)
def test_what_hosts_document_is_read(case, tmp_path):
    """Each server, whichever words the host has for it; what is none is no error."""
    file = file_at(tmp_path / "x", case.host, case.text)
    found = {
        name: (each.transport, list(each.command_line) or each.url, dict(each.env or each.headers))
        for name, each in file.servers.items()
    }
    assert found == case.servers
    assert file.unreadable == {}


@pytest.mark.parametrize("case", FILES, ids=lambda case: case.host)
def test_a_server_more_and_away_again_leaves_the_file_as_it_was(case, tmp_path):
    """Byte for byte."""
    file = file_at(tmp_path / "x", case.host, case.text)
    file.write(file.with_server(NEW))
    assert file.servers["new"].command_line == NEW.command_line
    assert dict(file.servers["new"].env) == {"A": "on"}
    for name, server in case.servers.items():
        assert (
            file.servers[name].transport,
            list(file.servers[name].command_line) or file.servers[name].url,
        ) == (server[:2])
    added = set(file.path.read_text().splitlines()) - set(case.text.splitlines())
    assert len(added) <= 12
    file.write(file.without_server("new"))
    left = file.path.read_text()
    if host_named(case.host).syntax == "jsonc":  # a comma behind the last member may go
        left, text = re.sub(r"\},(\s*)\}", r"}\1}", left), re.sub(r"\},(\s*)\}", r"}\1}", case.text)
        assert left == text
    else:
        assert left == case.text


@pytest.mark.parametrize("case", FILES, ids=lambda case: case.host)
def test_what_is_written_again_changes_nothing(case, tmp_path):
    """A server that is read and written is the same; what its host alone knows stays in any case."""
    file = file_at(tmp_path / "x", case.host, case.text)
    for name, each in file.servers.items():
        if name == "before":  # Zed's older form becomes the newer one
            continue
        change = file.with_server(each)
        before, after = _value(case.host, change.before), _value(case.host, change.after)
        place = before[host_named(case.host).path[0]][name]
        assert {**place, **after[host_named(case.host).path[0]][name]}.keys() >= place.keys() - {
            "env",
            "args",
        }
        assert file.servers[name] == each
    for name, each in file.servers.items():
        assert set(each.extra) <= set(_value(case.host, case.text)[host_named(case.host).path[0]][name])


def test_comments_stay_and_are_refused_where_the_host_would_refuse_them(tmp_path):
    """With the line, before anything is written."""
    case = next(each for each in FILES if each.host == "vscode")
    file = file_at(tmp_path / "x", "vscode", case.text)
    change = file.with_server(
        ServerDefinition(name="github", transport="http", url="https://other.example.com")
    )
    for comment in ("// asked for once", "// a secret", "/* remote */"):
        assert comment in change.after
    with pytest.raises(ConfigurationUnreadable, match="line 2: there is a comment"):
        file_at(tmp_path / "y", "claude-desktop", '{\n  // no\n  "mcpServers": {}\n}')


def test_a_comment_stays_with_what_it_is_about(tmp_path):
    """Behind a member, it does not become one of the next."""
    text = '{\n  "servers": {\n    "a": {"command": "x"} // why\n  }\n}\n'
    change = file_at(tmp_path / "x", "vscode", text).with_server(NEW)
    assert '"a": {"command": "x"}, // why\n    "new": {' in change.after


@pytest.mark.parametrize(
    "host,text,said",
    [
        ("cursor", "{", "line 1: it is no JSON"),
        ("cursor", '{"a": 1,\n "a": 2}', "'a' stands twice"),
        ("cursor", '{"a": NaN}', "NaN is no number"),
        ("cursor", "[]", "no JSON object"),
        ("cursor", "/* open", "line 1: a comment does not end"),
        ("cursor", "[" * 100_000, "that can be used: maximum recursion"),
        ("cursor", '{"mcpServers": []}', "'mcpServers' is no object"),
        ("goose", "a: [", "no YAML: line"),
        ("goose", "- a", "no mapping"),
        ("goose", "a: 1\n---\nb: 1\n", "no YAML"),
    ],
)
def test_a_file_that_is_none_is_told(host, text, said, tmp_path):
    """Where it is, and what is wrong."""
    with pytest.raises(ConfigurationUnreadable, match=re.escape(said)):
        _ = file_at(tmp_path / "x", host, text).servers


def test_a_file_that_is_no_text_is_told(tmp_path):
    """Also one that is a folder, or larger than any configuration."""
    (tmp_path / "x").write_bytes(b"{\xff}")
    with pytest.raises(ConfigurationUnreadable, match=r"no UTF-8 \(byte 1\)"):
        ConfigurationFile("cursor", path=tmp_path / "x")
    with pytest.raises(ConfigurationUnreadable):
        ConfigurationFile("cursor", path=tmp_path)


def test_one_entry_that_means_nothing_costs_no_other(tmp_path):
    """It is told of, and stays."""
    text = '{"mcpServers": {"a": 3, "b": {"command": "x"}, "c": {"type": "no"}, "d": {"args": [1], "command": "y"}}}'
    file = file_at(tmp_path / "x", "cursor", text)
    assert list(file.servers) == ["b"]
    assert list(file.unreadable) == ["a", "c", "d"]
    assert file.without_server("a").after == text.replace('"a": 3, ', "")
    assert '"type": "no"' in file.with_server(NEW).after


#: What a shell, or `cmd.exe` behind the program of a host, takes for more than letters.
NO_NAMES = [
    "a b",
    "a&b",
    "a|b",
    "a^b",
    "%a%",
    'a"b',
    "a'b",
    "`a`",
    "a;b",
    "a>b",
    "a\nb",
    "$(a)",
    "-a",
    "../a",
]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("name", ["", *NO_NAMES, "x" * 65, "\u0430"])
def test_v40_names_that_a_shell_could_take_for_more_are_refused(name, host, tmp_path):
    """Some hosts hand them to one."""
    file = ConfigurationFile(host, path=tmp_path / "x")
    with pytest.raises(ConfigurationError, match="is no name"):
        file.with_server(ServerDefinition(name=name, command="x"))


def test_what_a_host_has_no_words_for_is_refused():
    """Whole, rather than half of it written."""
    far = ServerDefinition(name="a", transport="http", url="https://example.com/mcp")
    with pytest.raises(ConfigurationError, match="has no servers at a URL"):
        ConfigurationFile("claude-desktop", path="nothing").with_server(far)
    with pytest.raises(ConfigurationError, match="folder of its own choice"):
        ConfigurationFile("cursor", path="nothing").with_server(
            ServerDefinition(name="a", command="x", cwd="/y")
        )
    with pytest.raises(ConfigurationError, match="no word for a server that is switched off"):
        ConfigurationFile("cursor", path="nothing").with_server(
            ServerDefinition(name="a", command="x", enabled=False)
        )
    with pytest.raises(ConfigurationError, match="no host that is known; these are: dovetail"):
        host_named("emacs")
    with pytest.raises(ConfigurationError, match="no scope 'project'"):
        ConfigurationFile("claude-desktop", scope="project")


def test_an_input_comes_with_what_names_it(tmp_path):
    """Once, and only where the host asks for such."""
    server = ServerDefinition(name="a", command="x", env={"K": "${input:k}"}, host="vscode")
    asked = {"type": "promptString", "id": "k", "description": "a key", "password": True}
    file = file_at(tmp_path / "x", "vscode", "{}")
    file.write(file.with_server(server, inputs=[asked, {"id": "other"}]))
    assert file.inputs == [asked]
    assert file.with_server(server, inputs=[asked]).is_empty


def test_where_the_files_are(home):
    """On each platform, and in each scope."""
    given = {"HOME": "/h", "USERPROFILE": "/h", "APPDATA": "/a"}

    def at(host, platform, scope=""):
        found = HOSTS[host].file(scope, project=Path("/p"), platform=platform, environment=given)
        return found.as_posix()

    assert at("claude-desktop", "linux") == "/h/.config/Claude/claude_desktop_config.json"
    assert (
        at("claude-desktop", "darwin") == "/h/Library/Application Support/Claude/claude_desktop_config.json"
    )
    assert at("claude-desktop", "win32") == "/a/Claude/claude_desktop_config.json"
    assert at("claude-code", "linux", "project") == "/p/.mcp.json"
    assert at("claude-code", "linux", "local") == "/h/.claude.json"
    assert at("vscode", "darwin") == "/h/Library/Application Support/Code/User/mcp.json"
    assert at("vscode", "win32", "project") == "/p/.vscode/mcp.json"
    assert at("cursor", "win32") == "/h/.cursor/mcp.json"
    assert at("windsurf", "linux") == "/h/.codeium/windsurf/mcp_config.json"
    assert at("gemini-cli", "darwin", "project") == "/p/.gemini/settings.json"
    assert at("goose", "darwin") == "/h/.config/goose/config.yaml"
    assert at("goose", "win32") == "/a/Block/goose/config/config.yaml"
    assert at("zed", "win32") == "/a/Zed/settings.json"
    assert at("cline", "linux").endswith(
        "globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json"
    )
    if sys.platform == "linux":
        assert HOSTS["dovetail"].file() == home / ".config/dovetail/servers.json"


def test_servers_of_one_project_of_claude_code(home):
    """Stand in the file of the person, under the folder."""
    (home / ".claude.json").write_text('{"projects": {"/other": {"mcpServers": {"o": {"command": "x"}}}}}')
    file = ConfigurationFile("claude-code", scope="local")
    assert file.servers == {}
    file.write(file.with_server(NEW))
    written = json.loads((home / ".claude.json").read_text())["projects"]
    assert list(written[str(home)]["mcpServers"]) == ["new"]
    assert list(written["/other"]["mcpServers"]) == ["o"]


SLOW = [
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
    HealthCheck.large_base_example,
]
TEXTS = st.text(max_size=8)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
NAMES = st.text("abcXYZ019._-", min_size=1, max_size=5).filter(lambda name: name[0].isalnum())
WORDS = st.text(st.characters(blacklist_characters="\0$", blacklist_categories=["Cs"]), max_size=8)
SERVERS = st.builds(
    ServerDefinition,
    name=NAMES,
    command=WORDS.filter(bool),
    args=st.lists(WORDS, max_size=3).map(tuple),
    env=st.dictionaries(st.text("ABC_", min_size=1, max_size=4), WORDS, max_size=2),
)
OUTSIDE = ("extensions", "servers", "mcpServers", "context_servers", "projects", "inputs")


@st.composite
def jsonc(draw, value, *, comments):
    """A value as somebody wrote it: any blanks and, if allowed, comments and commas at the end, anywhere."""
    blank = st.sampled_from(["", " ", "\n", "\n  ", "\t", "\r\n"])
    if comments:
        blank |= st.sampled_from([' // a "{,\n', "/* }, */", "\n  // b\n  ", "/* // */ "])

    def one(item):
        if isinstance(item, dict):
            inner = [
                f"{draw(blank)}{json.dumps(k)}{draw(blank)}:{draw(blank)}{one(v)}{draw(blank)}"
                for k, v in item.items()
            ]
            closing = "}"
        elif isinstance(item, list):
            inner = [f"{draw(blank)}{one(v)}{draw(blank)}" for v in item]
            closing = "]"
        else:
            return json.dumps(item, ensure_ascii=draw(st.booleans()))
        last = "," if comments and inner and draw(st.booleans()) else ""
        return f"{'{' if closing == '}' else '['}{','.join(inner)}{last}{draw(blank)}{closing}"

    return f"{draw(blank)}{one(value)}{draw(blank)}"


COMMENTS = re.compile(r'"(?:[^"\\]|\\.)*"|(//[^\n\r]*|/\*.*?\*/)', re.DOTALL)


def comments_of(text):
    """The comments of a text."""
    return sorted(found[1].strip() for found in COMMENTS.finditer(text) if found[1])


@settings(max_examples=100, deadline=None, suppress_health_check=SLOW)
@given(st.data())
def test_any_json_keeps_all_that_was_not_meant(data):
    """Other hosts' files, however they are written: unknown members, order, comments, blanks, texts of numbers."""
    host = HOSTS[data.draw(st.sampled_from([each.name for each in HOSTS.values() if each.syntax != "yaml"]))]
    comments = host.syntax == "jsonc"
    others = data.draw(st.dictionaries(TEXTS.filter(lambda name: name not in OUTSIDE), VALUES, max_size=3))
    entries = data.draw(st.dictionaries(NAMES, st.dictionaries(TEXTS, VALUES, max_size=3), max_size=3))
    whole = {**others, host.path[0]: entries} if data.draw(st.booleans()) else others
    text = data.draw(jsonc(whole, comments=comments)).encode("utf-8", "replace").decode()
    server = data.draw(SERVERS)
    _changes(JSONText(text, comments=comments), host, server, comments_of(text))


def _changes(text, host, server, comments):
    before = text.value
    place = [*host.path, server.name]
    entry = {"command": server.command, "args": list(server.args), "env": dict(server.env)}
    known = text.get(place)
    added = text.set(place, entry)
    assert added.value == {**before, host.path[0]: {**before.get(host.path[0], {}), server.name: entry}}
    if known is None:
        assert comments_of(added.text) == comments
        assert list(added.value) == [*before, *([host.path[0]] if host.path[0] not in before else [])]
    assert added.set(place, entry).text == added.text
    gone = added.remove(place)
    left = {name: each for name, each in before.get(host.path[0], {}).items() if name != server.name}
    assert gone.value == {**before, host.path[0]: left}
    if known is None:
        assert comments_of(gone.text) == comments


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(
    st.dictionaries(st.text("abc 1:#-é", min_size=1, max_size=5), VALUES, max_size=3),
    st.dictionaries(
        NAMES, st.dictionaries(st.text("abc1-", min_size=1, max_size=4), VALUES, max_size=3), max_size=3
    ),
    SERVERS,
    st.booleans(),
)
def test_any_yaml_keeps_all_that_was_not_meant(others, entries, server, flow):
    """Written in lines or in braces; a text is never read as something else."""
    import yaml

    whole = {**others, "extensions": entries}
    text = yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, default_flow_style=flow or None)
    text = "# first\n" + text.replace("\nextensions:", "\n# ours\nextensions:") + "# last\n"
    found = YAMLText(text)
    place = ["extensions", server.name]
    entry = {"cmd": server.command, "args": list(server.args), "envs": dict(server.env)}
    try:
        added = found.set(place, entry)
    except ConfigurationError:
        # What stands in braces may have to be changed by hand, and lines that not every reader takes for such.
        assert flow or re.search("[\x85\u2028\u2029\r]", text)
        return
    assert added.value == {**found.value, "extensions": {**found.value["extensions"], server.name: entry}}
    assert added.text.startswith("# first\n")
    assert "# last" in added.text
    if not flow:
        gone = added.remove(place)
        left = {name: each for name, each in found.value["extensions"].items() if name != server.name}
        assert gone.value == {**found.value, "extensions": left}


def test_a_text_of_yaml_is_always_quoted(tmp_path):
    """No reader takes one for a number or a truth."""
    server = ServerDefinition(
        name="a", command="0o17", args=("on", "1e3", "null", "~", "12:30"), env={"K": "yes"}
    )
    text = file_at(tmp_path / "x", "goose", "").with_server(server).after
    for each in ("0o17", "on", "1e3", "null", "~", "12:30", "yes"):
        assert f'"{each}"' in text


def test_variables_are_said_as_each_host_says_them():
    """And refused where a host has none, or would read what is no variable as one."""
    ours = ServerDefinition(name="a", command="${userHome}/x", args=("${A}", "${B:-c}"), env={"K": "$D"})
    assert translated(ours, HOSTS["dovetail"]) is ours
    with pytest.raises(ConfigurationError, match="knows no defaults"):
        translated(ours, HOSTS["vscode"])
    with pytest.raises(ConfigurationError, match="takes nothing from such variables"):
        translated(ours, HOSTS["claude-code"])
    simple = ServerDefinition(name="a", command="x", args=("${A}", "$B"), env={"K": "${env:C}"})
    assert translated(simple, HOSTS["cursor"]).args == ("${env:A}", "$B")
    assert dict(translated(simple, HOSTS["claude-code"]).env) == {"K": "${C}"}
    with pytest.raises(ConfigurationError, match=r"would take '\$B' for a variable"):
        translated(simple, HOSTS["gemini-cli"])
    with pytest.raises(ConfigurationError, match="takes nothing from variables"):
        translated(simple, HOSTS["zed"])
    theirs = ServerDefinition(name="a", command="x", args=("$A", "${B}"), host="gemini-cli")
    assert translated(theirs, HOSTS["vscode"]).args == ("${env:A}", "${env:B}")


def _value(host, text):
    return YAMLText(text).value if host == "goose" else JSONText(text, comments=True).value
