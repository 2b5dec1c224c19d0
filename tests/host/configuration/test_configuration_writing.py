"""Files are replaced whole or not at all, and never over what somebody else wrote meanwhile."""

import json
import os
import stat

import pytest

from dovetail.errors import ConfigurationChanged, ConfigurationError, ConfigurationUnreadable
from dovetail.host.configuration import ConfigurationFile, ServerDefinition

SERVER = ServerDefinition(name="a", command="x")


def left_behind(folder):
    """Files that only a write in the middle needs."""
    return [each.name for each in folder.iterdir() if each.name.startswith(".x.json.")]


def test_what_was_there_lies_beside(tmp_path):
    """With the mode of the file; the second write replaces it."""
    path = tmp_path / "x.json"
    path.write_text('{"a": 1}')
    path.chmod(0o640)
    file = ConfigurationFile("cursor", path=path)
    backup = file.write(file.with_server(SERVER))
    assert backup == tmp_path / "x.json.backup"
    assert backup is not None
    assert backup.read_text() == '{"a": 1}'
    assert {stat.S_IMODE(each.stat().st_mode) for each in (path, backup)} == {0o640}
    before = path.read_text()
    file.write(file.without_server("a"))
    assert backup.read_text() == before
    assert left_behind(tmp_path) == []


def test_a_new_file_is_the_persons_alone(home):
    """Its folders are made; there is nothing to keep. What a project shares can be read by others."""
    file = ConfigurationFile("cursor")
    assert not file.exists
    assert file.write(file.with_server(SERVER)) is None
    assert stat.S_IMODE((home / ".cursor/mcp.json").stat().st_mode) == 0o600
    (home / "p").mkdir()
    shared = ConfigurationFile("vscode", scope="project", project=home / "p")
    shared.write(shared.with_server(SERVER))
    assert stat.S_IMODE((home / "p/.vscode/mcp.json").stat().st_mode) == 0o644


def test_a_file_that_changed_since_it_was_read_is_not_written(tmp_path):
    """Nor one that is there by now, or gone."""
    path = tmp_path / "x.json"
    file = ConfigurationFile("cursor", path=path)
    path.write_text("{}")
    with pytest.raises(ConfigurationChanged):
        file.write(file.with_server(SERVER))
    assert path.read_text() == "{}"
    file = ConfigurationFile("cursor", path=path)
    path.write_text('{"b": 2}')
    with pytest.raises(ConfigurationChanged):
        file.write(file.with_server(SERVER))
    assert path.read_text() == '{"b": 2}'
    file = ConfigurationFile("cursor", path=path)
    path.unlink()
    with pytest.raises(ConfigurationError):
        file.write(file.with_server(SERVER))
    assert not path.exists()
    assert left_behind(tmp_path) == []


def test_a_change_in_the_last_moment_is_seen(tmp_path, monkeypatch):
    """Between the writing beside and the rename."""
    path = tmp_path / "x.json"
    path.write_text("{}")
    file = ConfigurationFile("cursor", path=path)
    sync = os.fsync
    calls = []

    def slow(descriptor):
        calls.append(descriptor)
        sync(descriptor)
        if len(calls) == 3:  # the backup, its folder, the new text
            path.write_text('{"other": 1}')

    monkeypatch.setattr(os, "fsync", slow)
    with pytest.raises(ConfigurationChanged):
        file.write(file.with_server(SERVER))
    assert path.read_text() == '{"other": 1}'
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("failing", range(1, 6))
def test_what_fails_on_the_way_leaves_the_old_text(failing, tmp_path, monkeypatch):
    """Each of the steps: the file is the old or the new one, never a part, and nothing else stays."""
    path = tmp_path / "x.json"
    path.write_text("{}")
    file = ConfigurationFile("cursor", path=path)
    change = file.with_server(SERVER)
    count = 0

    def failing_at(function):
        def call(*words):
            nonlocal count
            count += 1
            if count == failing:
                raise OSError(28, "No space left on device")
            return function(*words)

        return call

    monkeypatch.setattr(os, "fsync", failing_at(os.fsync))
    monkeypatch.setattr(os, "replace", failing_at(os.replace))
    with pytest.raises(ConfigurationError, match="No space left on device"):
        file.write(change)
    assert path.read_text() == "{}"
    assert left_behind(tmp_path) == []


def test_a_link_of_the_person_is_followed(tmp_path):
    """The link stays one, and the file behind it is written."""
    real = tmp_path / "dotfiles"
    real.mkdir()
    (real / "mcp.json").write_text("{}")
    (tmp_path / "x.json").symlink_to(real / "mcp.json")
    file = ConfigurationFile("cursor", path=tmp_path / "x.json")
    file.write(file.with_server(SERVER))
    assert (tmp_path / "x.json").is_symlink()
    assert "mcpServers" in (real / "mcp.json").read_text()


def test_a_link_out_of_a_project_is_refused(home):
    """Somebody else may have written the project."""
    project = home / "project"
    (project / ".vscode").mkdir(parents=True)
    (home / "precious.json").write_text("{}")
    (project / ".vscode/mcp.json").symlink_to(home / "precious.json")
    file = ConfigurationFile("vscode", scope="project", project=project)
    with pytest.raises(ConfigurationError, match="a link out of the project"):
        file.write(file.with_server(SERVER))
    assert (home / "precious.json").read_text() == "{}"
    (project / ".vscode/mcp.json").unlink()
    (project / "real.json").write_text("{}")
    (project / ".vscode/mcp.json").symlink_to(project / "real.json")
    file = ConfigurationFile("vscode", scope="project", project=project)
    file.write(file.with_server(SERVER))
    assert json.loads((project / "real.json").read_text())["servers"]


def test_a_folder_that_cant_be_written_is_told(tmp_path):
    """As a sentence."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="can't be read: Not a directory"):
        ConfigurationFile("cursor", path=tmp_path / "file" / "x.json")
    folder = tmp_path / "folder"
    file = ConfigurationFile("cursor", path=folder / "x.json")
    folder.write_text("")
    with pytest.raises(ConfigurationError, match="can't be written: File exists"):
        file.write(file.with_server(SERVER))


def test_a_change_of_another_file_is_refused(tmp_path):
    """So is one that was written already."""
    one = ConfigurationFile("cursor", path=tmp_path / "one")
    other = ConfigurationFile("cursor", path=tmp_path / "other")
    with pytest.raises(ConfigurationError, match="of another file"):
        one.write(other.with_server(SERVER))
    change = one.with_server(SERVER)
    one.write(change)
    with pytest.raises(ConfigurationError, match="older state"):
        one.write(change)


def test_a_pipe_is_no_configuration(tmp_path):
    """And nothing waits for what somebody writes into it."""
    os.mkfifo(tmp_path / "x")
    with pytest.raises(ConfigurationUnreadable, match="is no file"):
        ConfigurationFile("cursor", path=tmp_path / "x")
