"""What a command of the command line loads: itself, and no other."""

from __future__ import annotations

import ast
import subprocess
import sys

from dovetail.cli.commands import _ELSEWHERE

LOADED = """
import sys
from dovetail.cli.commands import main
assert main(["call", "--help"]) == 0
print(sorted(each for each in sys.modules if each.startswith("dovetail.")))
"""
#: What commands that are somewhere else need, and those that talk to a server do without.
UNNEEDED = (
    "dovetail.auth.login",
    "dovetail.doctor",
    "dovetail.models",
    "dovetail.server",
    "dovetail.surface",
)


def test_a_command_loads_no_other() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    loaded = ast.literal_eval(done.stdout.splitlines()[-1])
    others = {f"dovetail.cli.{place.partition(':')[0]}" for place in _ELSEWHERE.values()}
    assert "dovetail.cli.connecting" in loaded
    assert [each for each in loaded if each in others or each.startswith(UNNEEDED)] == []
