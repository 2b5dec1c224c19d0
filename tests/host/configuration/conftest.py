"""A person of one's own for each test: a home, and a keyring."""

import keyring
import keyring.backend
import keyring.errors
import pytest

from dovetail.cli import main


class MemoryKeyring(keyring.backend.KeyringBackend):
    """A keyring for the length of a test."""

    def __init__(self):
        super().__init__()
        self.kept = {}

    def get_password(self, service, username):
        return self.kept.get((service, username))

    def set_password(self, service, username, password):
        self.kept[service, username] = password

    def delete_password(self, service, username):
        if self.kept.pop((service, username), None) is None:
            raise keyring.errors.PasswordDeleteError


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home, which is the current folder, too."""
    folder = tmp_path / "home"
    folder.mkdir()
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def secrets():
    """What the keyring of the test keeps, by service and user."""
    before = keyring.get_keyring()
    ours = MemoryKeyring()
    keyring.set_keyring(ours)
    yield ours.kept
    keyring.set_keyring(before)


@pytest.fixture
def run(capfd):
    """Run a command in this process: exit code, standard output, standard error."""

    def command(*words):
        code = main(words)
        out, err = capfd.readouterr()
        return code, out, err

    return command
