"""Running commands, for all tests of the command line."""

import pytest
from pseudo_terminal import Terminal

from dovetail.cli import main


@pytest.fixture
def run(capfd):
    """Run a command in this process: exit code, standard output, standard error."""

    def command(*words):
        code = main(words)
        out, err = capfd.readouterr()
        return code, out, err

    return command


@pytest.fixture
def terminal():
    """Start commands at terminals."""
    opened = []

    def start(*words):
        opened.append(Terminal(*words))
        return opened[-1]

    yield start
    for each in opened:
        each.close()
