"""A signal that ends a command ends what it began: a server that does not read its standard input."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

NO_SERVER = """
import os, sys, time
print(os.getpid(), file=sys.stderr, flush=True)
while True:
    time.sleep(1)
"""


def lives(process: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_what_a_command_started_ends_with_it(tmp_path: Path, how: signal.Signals) -> None:
    file = tmp_path / "stubborn.py"
    file.write_text(NO_SERVER)
    with subprocess.Popen(
        [sys.executable, "-m", "dovetail", "list", str(file)],
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    ) as command:
        assert command.stderr is not None
        server = int(command.stderr.readline())
        try:
            command.send_signal(how)
            command.stderr.read()
            assert command.wait(60) == 128 + how
            assert not lives(server)
        finally:
            command.kill()
            if lives(server):
                os.kill(server, signal.SIGKILL)
