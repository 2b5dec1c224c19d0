"""Set-up of the peers, shared and shown, and the matrix as a table at the end.

Theory of operation: the process that starts the run sets the peers up before any test and shows how far it
is; workers of xdist find them there. Each test leaves what came of its cell among its report's properties,
which xdist carries to the controller, and the table is made of those.

Follows: no page of the specification.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from interop.installing import Peers, install
from interop.steps import STEPS

MATRIX = "interop-matrix"
MARKS = {"works": "yes", "cannot": "-", "unexpected": "YES?", "broken": "NO!"}


def pytest_sessionstart(session: pytest.Session) -> None:
    """Set up once, before the workers start."""
    config = session.config
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    install(terminal.write_line if terminal is not None else lambda _text: None)


@pytest.fixture(scope="session")
def peers() -> Peers:
    """The commands of the peers."""
    return install(lambda _text: None)


@pytest.hookimpl
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collect what came of a cell."""
    for name, value in report.user_properties:
        if name == MATRIX and report.when == "call":
            Rows.found[str(value[0])] = dict(value[1])


class Rows:
    """The rows found so far, by cell; one process makes one table."""

    found: dict[str, dict[str, str]] = {}  # noqa: RUF012 - there is one on purpose


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The matrix."""
    if not Rows.found:
        return
    terminalreporter.section("interoperability: cell by cell")
    for line in table(Rows.found):
        terminalreporter.write_line(line)
    terminalreporter.write_line(
        "yes works; - cannot, as tests/interop/expected.toml says why; NO! should; YES? should not"
    )


def table(rows: dict[str, dict[str, str]]) -> list[str]:
    """The lines of the table: a cell each."""
    width = max(map(len, rows))
    lines = [" ".join((" " * width, *STEPS))]
    for cell, marks in sorted(rows.items()):
        columns = (MARKS[marks[step]].center(len(step)) for step in STEPS)
        lines.append(" ".join((cell.ljust(width), *columns)).rstrip())
    return lines


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of the cell's own; its path marks every process that is started for the cell."""
    return tmp_path
