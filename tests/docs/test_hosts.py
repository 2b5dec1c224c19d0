"""The configurations on the page about hosts start a server, each of them.

Reading them as JSON is not enough: the command and its arguments are started as a host would, from another folder,
with the two paths of the page replaced by real ones, and the tool of the page is called.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from page_blocks import ROOT, blocks_of

from dovetail import Client

PAGE = ROOT / "docs" / "hosts.md"
PYTHON = "/path/to/project/.venv/bin/python"
FILE = "/path/to/project/server.py"
HOSTS = ("Claude Desktop", "Claude Code", "VS Code", "Cursor", "Windsurf", "Zed", "Gemini CLI")


def configurations() -> list[dict[str, Any]]:
    """Every entry for a server on the page."""
    found: list[dict[str, Any]] = []
    for block in blocks_of(PAGE):
        if block.language == "json":
            (servers,) = json.loads(block.text).values()
            found += servers.values()
    return found


def test_each_common_host_has_its_configuration() -> None:
    sections = PAGE.read_text(encoding="utf-8").split("\n## ")
    told = {section.partition("\n")[0]: section for section in sections}
    assert all("```json" in told[host] for host in HOSTS)


@pytest.mark.parametrize("entry", configurations(), ids=lambda entry: " ".join(entry["args"]))
async def test_a_configuration_starts_the_server(entry: dict[str, Any], tmp_path: Path) -> None:
    (server,) = (block for block in blocks_of(PAGE) if block.object == "server.py")
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    project.mkdir()
    elsewhere.mkdir()
    (project / "server.py").write_text(server.text, encoding="utf-8")
    assert entry["command"] == PYTHON
    real = {PYTHON: sys.executable, FILE: str(project / "server.py")}
    command = [real.get(word, word) for word in (entry["command"], *entry["args"])]
    async with Client(command, cwd=elsewhere) as client:
        assert (await client.call_tool("shout", {"text": "hello"})).text == "HELLO!"
