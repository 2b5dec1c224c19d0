"""The demo of a login, as a reader would run it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).resolve().parents[2] / "examples" / "protected" / "demo.py"


def test_the_demo_of_a_login() -> None:
    """All scenes, with a browser if there is one here."""
    done = subprocess.run(
        [sys.executable, str(DEMO)], capture_output=True, text=True, timeout=55, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "The browser: " in done.stdout
    assert "6 of 6 as expected" in done.stdout
