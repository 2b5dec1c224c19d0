"""What is loaded before the address of the page is printed: what serves it, and nothing that a server needs first."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

LOADED = """
import sys
from dovetail_inspector.command import main
from dovetail_inspector.web import serving

async def serve(face, socket, *, started):
    print(sorted(sys.modules))
    assert [each.state for each in face._inspection.views()[0]] == ["idle"]
    started()
    assert [each.name for each in face._inspection.servers.values()] == ["server.py"]

serving.serve = serve
assert main(["--no-browser", "--port", "0", "server.py"]) == 0
"""
#: What is needed by a connection, a capture or one view, and is loaded for the first of these.
LATER = (
    "dovetail.extensions.tasks",
    "dovetail.linting.linter",
    "dovetail.linting.rules",
    "dovetail.openapi",
    "dovetail.server",
    "dovetail.specification",
    "dovetail.surface.comparing",
    "dovetail.surface.taking",
    "dovetail_inspector.cards",
    "dovetail_inspector.comparing.surfaces",
    "dovetail_inspector.terminal",
    "aiohttp",
    "cryptography",
    "cyclopts",
    "jsonschema",
    "keyring",
    "opentelemetry",
    "rich",
    "textual",
    "wsproto",
    "yaml",
)


def test_the_address_is_printed_before_what_servers_need_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text("from dovetail import App\n\napp = App('late')\n")
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    loaded = ast.literal_eval(done.stdout.splitlines()[0])
    assert "dovetail_inspector.web.routes" in loaded
    later = tuple(f"{each}." for each in LATER)
    assert [each for each in loaded if each in LATER or each.startswith(later)] == []
