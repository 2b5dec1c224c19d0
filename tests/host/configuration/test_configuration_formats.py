"""Every host's format, also of those that we do not know: what is not meant stays, nothing is written unasked."""

import json
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_configuration_files import NAMES, SLOW, TEXTS, VALUES, WORDS, comments_of, jsonc

from dovetail.errors import ConfigurationError
from dovetail.host.configuration import (
    HOSTS,
    ConfigurationFile,
    Dialect,
    HostFormat,
    ServerDefinition,
    Variables,
    VariableSyntax,
    hidden,
    resolve,
    secrets_in_clear,
    translated,
)
from dovetail.host.configuration.entries import entry_of

ACME = HostFormat(
    name="acme",
    title="Acme Desk",
    syntax="jsonc",
    files={
        "user": "{xdg}/acme/desk.json",
        "user:win32": "{appdata}/Acme/desk.json",
        "project": "{project}/.acme",
    },
    path=("agent", "tools", "servers"),
    dialect=Dialect(
        command="run",
        args="with",
        cwd="in",
        urls=(("at", "http"), ("stream", "sse")),
        types={"stdio": "local", "http": "", "sse": ""},
        type_member="kind",
        disabled="off",
        always={"trusted": False},
        others=frozenset({"plugin"}),
    ),
    variables=VariableSyntax("${{env:{}}}", kinds=frozenset({"env"})),
    note="start Acme anew",
)
YARN = HostFormat(
    "yarn",
    "Yarn",
    "yaml",
    {"user": "{home}/.yarn"},
    ("servers",),
    Dialect(cwd="cwd", urls=(("url", "http"),)),
)
FORMATS = [*HOSTS.values(), ACME, YARN]
TEXT = """{
  // mine
  "theme": "dark",
  "agent": {"tools": {"servers": {
    "old": {"kind": "local", "run": "x", "off": true, "why": 1}
  }}}
}
"""


@pytest.fixture
def file(tmp_path):
    """The file of a host that we do not know."""
    path = tmp_path / "desk.json"
    path.write_text(TEXT)
    return ConfigurationFile(ACME, path=path)


def test_a_host_that_we_do_not_know_is_read_and_written_by_its_own_words(file):
    (old,) = file.servers.values()
    assert (old.command, old.enabled, old.extra, old.host) == ("x", False, {"why": 1}, "acme")
    ours = ServerDefinition(name="new", command="srv", args=("a",), env={"K": "${KEY}"}, cwd="/x")
    change = file.with_server(ours)
    assert file.path.read_text() == TEXT
    file.write(change)
    assert json.loads(re.sub(r"// mine", "", file.path.read_text()))["agent"]["tools"]["servers"]["new"] == {
        "kind": "local",
        "run": "srv",
        "with": ["a"],
        "env": {"K": "${env:KEY}"},
        "in": "/x",
        "trusted": False,
    }
    assert "// mine" in file.path.read_text()
    new = file.servers["new"]
    assert resolve(new, Variables({"KEY": "1"})) == (["srv", "a"], {"env": {"K": "1"}, "cwd": "/x"})
    assert translated(new, HOSTS["dovetail"]).env == {"K": "${KEY}"}
    assert (
        translated(new, HOSTS["claude-code"].__class__(**_members(YARN), variables=ACME.variables)).env
        == new.env
    )
    assert secrets_in_clear(new) == []
    assert hidden(new).env == new.env
    file.write(file.without_server("new"))
    assert file.path.read_text() == TEXT


def _members(host):
    """What a format is made of, but for its variables."""
    names = ("name", "title", "syntax", "files", "path", "dialect", "note")
    return {name: getattr(host, name) for name in names}


def test_its_files_are_where_it_says(tmp_path):
    assert ACME.scopes == ("user", "project")
    there = {"HOME": "/h", "USERPROFILE": "C:/h", "APPDATA": "C:/h/data", "XDG_CONFIG_HOME": "/h/conf"}
    assert ACME.file(environment=there, platform="linux") == Path("/h/conf/acme/desk.json")
    assert ACME.file("project", project=tmp_path) == tmp_path / ".acme"
    with pytest.raises(ConfigurationError, match="Acme Desk has no scope 'local', only user and project"):
        ACME.file("local")


def test_words_of_a_host_that_nobody_gave_are_told(file):
    lost = ServerDefinition(name="a", command="x", host="acme")
    for use in (resolve, secrets_in_clear, lambda each: translated(each, HOSTS["zed"])):
        with pytest.raises(ConfigurationError, match="'acme' is no host that is known"):
            use(lost)


def test_a_host_of_a_known_name_has_its_own_words(tmp_path):
    """A format of one's own for a host that is in the table: its variables are not those of the table."""
    members = {**_members(HOSTS["cursor"]), "variables": VariableSyntax("${{{}}}")}
    file = ConfigurationFile(HostFormat(**members), path=tmp_path / "x")
    file.write(file.with_server(ServerDefinition(name="a", command="x", args=("${A}",))))
    assert "${A}" in file.path.read_text()
    assert translated(file.servers["a"], HOSTS["cursor"]).args == ("${env:A}",)


GOOD = {
    "name": "a",
    "title": "A",
    "syntax": "json",
    "files": {"user": "{home}/a"},
    "path": ("x",),
    "dialect": Dialect(),
}


@pytest.mark.parametrize(
    "members,said",
    [
        ({"name": "A b"}, "small letters"),
        ({"syntax": "toml"}, "json, jsonc or yaml"),
        ({"path": ()}, "where in the file"),
        ({"files": {}}, "scopes user, project or local"),
        ({"files": {"team": "{home}/a"}}, "scopes user, project or local"),
        ({"files": {"user:darwin": "{home}/a"}}, "no file of the scope 'user'"),
        ({"files": {"user": "a.json"}}, "begins with one of {home}"),
        ({"files": {"user": "{root}/a.json"}}, "begins with one of {home}"),
        ({"files": {"user": "{home/a.json"}}, "begins with one of {home}"),
    ],
)
def test_a_format_that_can_not_be_is_refused(members, said):
    HostFormat(**GOOD)
    with pytest.raises(ConfigurationError, match=said):
        HostFormat(**{**GOOD, **members})


@pytest.mark.parametrize(
    "make,said",
    [
        (lambda: Dialect(urls=(("url", "ws"),)), "no transport 'ws'"),
        (lambda: Dialect(types={"tcp": "tcp"}), "no transport 'tcp'"),
        (lambda: Dialect(also={"streaming": "streaming"}), "no transport 'streaming'"),
        (lambda: Dialect(command=""), "names for the command"),
        (lambda: VariableSyntax("%{}%"), "not as '%{}%'"),
        (lambda: VariableSyntax("${{env:{}}}"), "one of the kinds"),
        (lambda: VariableSyntax("${{env:{}}}", kinds=frozenset({"env"}), default=True), "bare names"),
    ],
)
def test_words_that_can_not_be_are_refused(make, said):
    with pytest.raises(ConfigurationError, match=said):
        make()


PROCESSES = st.builds(
    ServerDefinition,
    name=NAMES,
    command=WORDS.filter(bool),
    args=st.lists(WORDS, max_size=2).map(tuple),
    env=st.dictionaries(st.text("ABC_", min_size=1, max_size=4), WORDS, max_size=2),
)
REMOTE = st.builds(
    ServerDefinition,
    name=NAMES,
    transport=st.sampled_from(["http", "sse"]),
    url=st.text("abc/?=.", max_size=6).map("https://a.example/{}".format),
    headers=st.dictionaries(st.text("ABC", min_size=1, max_size=3), WORDS, max_size=2),
)
UNKNOWN = st.dictionaries(TEXTS.map("x-{}".format), VALUES, max_size=2)


@contextmanager
def written(text):
    """A file with a text, in a folder of its own; what is done to it need not outlive the machine."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        path = Path(folder) / "file"
        path.write_text(text, "utf-8", newline="")
        yield path


@st.composite
def files(draw):
    """A format, and a file of it with servers, each with members that nobody knows; and one server more."""
    host = draw(st.sampled_from(FORMATS))
    servers = (PROCESSES | REMOTE) if host.dialect.urls else PROCESSES
    there = draw(st.lists(servers, max_size=2, unique_by=lambda each: each.name))
    entries = {each.name: {**entry_of(each, host), **draw(UNKNOWN)} for each in there}
    whole = entries
    for name in reversed(host.path):
        whole = {**draw(UNKNOWN), name: whole}
    if host.syntax == "yaml":
        import yaml

        text = yaml.safe_dump(whole, sort_keys=False, allow_unicode=False)
        text = f"# first\n{text}# last\n"
    else:
        text = draw(jsonc(whole, comments=host.syntax == "jsonc"))
    new = draw(servers.filter(lambda each: each.name not in entries))
    return host, text.encode("utf-8", "replace").decode(), entries, new


def without(tree, path):
    """A tree without what stands at a path, and its value."""
    copy = json.loads(json.dumps(tree))
    inner = copy
    for name in path[:-1]:
        inner = inner.get(name, {})
    inner.pop(path[-1], None)
    return copy


def same(one, other, host):
    """Whether two definitions start or reach the same."""
    return (one.command_line, dict(one.env), one.url, dict(one.headers)) == (
        other.command_line,
        dict(other.env),
        other.url,
        dict(other.headers),
    )


def comments_in(text, host):
    """The comments of a file."""
    return (
        [each for each in text.splitlines() if each.startswith("# ")]
        if host.syntax == "yaml"
        else comments_of(text)
    )


@settings(max_examples=100, deadline=None, suppress_health_check=SLOW)
@given(files())
def test_every_format_keeps_what_was_not_meant(made):
    host, text, entries, new = made
    with written(text) as path:
        file = ConfigurationFile(host, path=path)
        assert file.servers.keys() == entries.keys()
        for each in file.servers.values():
            assert file.with_server(each).is_empty  # read and written, it is what it was
        try:
            change = file.with_server(new)
        except ConfigurationError:
            assert path.read_bytes() == text.encode()
            assert host.syntax == "yaml"  # lines that not every reader of YAML takes for such
            return
        removals = [file.without_server(name) for name in entries]
        assert [each.name for each in path.parent.iterdir()] == ["file"]
        assert path.read_bytes() == text.encode()  # nothing is written by saying what would be
        before = file.value
        backup = file.write(change)
        assert backup is not None
        assert backup.read_bytes() == text.encode()
        assert path.read_bytes() == change.after.encode()
        assert same(file.servers[new.name], translated(new, host), host)
        assert without(file.value, [*host.path, new.name]) == before
        assert comments_in(change.after, host) == comments_in(text, host)
        assert ConfigurationFile(host, path=path).value == file.value
        file.write(file.without_server(new.name))
        assert file.value == before
        assert comments_in(path.read_text("utf-8"), host) == comments_in(text, host)
        for removal, name in zip(removals, entries, strict=True):
            assert _names(removal.after, host) == entries.keys() - {name}


def _names(text, host):
    """The servers in a text of a host."""
    with written(text) as path:
        return ConfigurationFile(host, path=path).servers.keys()


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(files())
def test_a_server_that_becomes_another_keeps_what_its_host_wrote(made):
    """Members that nobody knows stay, and so do the other servers."""
    host, text, entries, new = made
    with written(text) as path:
        for name, entry in entries.items():
            file = ConfigurationFile(host, path=path)
            other = ServerDefinition(**{**_fields(new), "name": name})
            try:
                file.write(file.with_server(other))
            except ConfigurationError:
                assert host.syntax == "yaml"
                continue
            found = file.servers[name]
            assert same(found, translated(other, host), host)
            unknown = {each: value for each, value in entry.items() if each.startswith("x-")}
            assert {each: found.extra[each] for each in unknown} == unknown
            assert file.servers.keys() == entries.keys()


def _fields(definition):
    """What a definition is made of."""
    return {each: getattr(definition, each) for each in definition.__dataclass_fields__}
