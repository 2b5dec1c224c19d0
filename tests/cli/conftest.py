"""Running commands, for all tests of the command line."""

import pytest

from dovetail.cli import main


@pytest.fixture
def run(capfd):
    """Run a command in this process: exit code, standard output, standard error."""

    def command(*words):
        code = main(words)
        out, err = capfd.readouterr()
        return code, out, err

    return command
