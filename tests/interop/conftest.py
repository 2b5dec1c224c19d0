"""Set-up of the peers, shared and shown, and the matrix as a table at the end.

Theory of operation: the process that starts the run sets the peers up before any test and shows how far it
is; workers of xdist find them there. Each test leaves what came of its cell among its report's properties,
which xdist carries to the controller, and the table is made of those.

With `--foreign`, the servers of `foreign.toml` are set up and tried as well, and have a table of their own.

Follows: no page of the specification.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from interop.foreign_servers import install_foreign, servers
from interop.foreign_ways import WAYS
from interop.installing import Peers, install
from interop.steps import STEPS
from interop.talks import Talks
from interop.task_steps import TASK_STEPS

MATRIX = "interop-matrix"
TASK_MATRIX = "interop-task-matrix"
FOREIGN = "foreign-servers"
FOREIGN_TESTS = ("test_foreign_servers.py", "test_interop_gateway.py")
MARKS = {"works": "yes", "cannot": "-", "unexpected": "YES?", "broken": "NO!"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make interop` asks for the long run."""
    parser.addoption(
        "--foreign", action="store_true", help="try the servers of tests/interop/foreign.toml too"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without that, their tests are no part of the run."""
    if collection_path.name in FOREIGN_TESTS and not config.getoption("--foreign", default=False):
        return True
    return None


def pytest_sessionstart(session: pytest.Session) -> None:
    """Set up once, before the workers start."""
    config = session.config
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    say = terminal.write_line if terminal is not None else lambda _text: None
    install(say)
    if config.getoption("--foreign", default=False):
        install_foreign(servers(), say)


@pytest.fixture(scope="session")
def peers() -> Peers:
    """The commands of the peers."""
    return install(lambda _text: None)


@pytest.fixture(scope="session")
def talks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Talks:
    """The recordings of this run's cells, whichever worker made them."""
    base = tmp_path_factory.getbasetemp()
    return Talks((base.parent if hasattr(request.config, "workerinput") else base) / "talks")


@pytest.hookimpl
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collect what came of a cell."""
    for name, value in report.user_properties:
        if name == MATRIX and report.when == "call":
            Rows.found[str(value[0])] = dict(value[1])
        if name == TASK_MATRIX and report.when == "call":
            Rows.tasks[str(value[0])] = dict(value[1])
        if name == FOREIGN and report.when == "call":
            Rows.foreign[str(value[0])] = [str(cell) for cell in value[1]]


class Rows:
    """The rows found so far, by cell; one process makes one table."""

    found: dict[str, dict[str, str]] = {}  # noqa: RUF012 - there is one on purpose
    tasks: dict[str, dict[str, str]] = {}  # noqa: RUF012 - as above
    foreign: dict[str, list[str]] = {}  # noqa: RUF012 - as above


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The matrices, and the foreign servers."""
    for rows, steps, title, source in (
        (Rows.found, STEPS, "interoperability: cell by cell", "expected.toml"),
        (Rows.tasks, TASK_STEPS, "interoperability of tasks: cell by cell", "task_expected.toml"),
    ):
        if rows:
            terminalreporter.section(title)
            for line in table(rows, steps):
                terminalreporter.write_line(line)
            terminalreporter.write_line(
                f"yes works; - cannot, as tests/interop/{source} says why; NO! should; YES? should not"
            )
    if Rows.foreign:
        terminalreporter.section("servers that nobody here wrote")
        for line in foreign_table(Rows.foreign):
            terminalreporter.write_line(line)
        count = len({row[0] for row in Rows.foreign.values()})
        terminalreporter.write_line(
            f"{count} servers. yes: listed and called; refuses: listed, and the call fails, as foreign.toml says why; "
            "NO!: did not come as expected"
        )


def table(rows: dict[str, dict[str, str]], steps: tuple[str, ...]) -> list[str]:
    """The lines of the table: a cell each."""
    width = max(map(len, rows))
    lines = [" ".join((" " * width, *steps))]
    for cell, marks in sorted(rows.items()):
        columns = (MARKS[marks[step]].center(len(step)) for step in steps)
        lines.append(" ".join((cell.ljust(width), *columns)).rstrip())
    return lines


FOREIGN_HEAD = ["server", "version", "from", "over", "revision", "tools", "called"]


def foreign_table(rows: dict[str, list[str]]) -> list[str]:
    """The lines of the table: a server over a transport each; why something fails stands on a line below."""
    head = [*FOREIGN_HEAD, *WAYS, "ended"]
    listed = [head, *(row[:-1] for _, row in sorted(rows.items()))]
    widths = [max(len(row[column]) for row in listed) for column in range(len(head))]
    reasons = ["", *(row[-1] for _, row in sorted(rows.items()))]
    lines: list[str] = []
    for row, reason in zip(listed, reasons, strict=True):
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if reason:
            lines.append(f"    {reason}")
    return lines


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of the cell's own; its path marks every process that is started for the cell."""
    return tmp_path
