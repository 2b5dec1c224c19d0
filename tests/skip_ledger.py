"""A pytest plugin: no test is skipped for a reason that nobody agreed to.

Theory of operation: every process that runs tests notes the reasons of its skips; under pytest-xdist the
workers hand theirs to the controller when they finish. A reason counts as agreed if it starts with a key of
``allowed_skips.txt`` followed by a colon. Any other ends the run with a failure, and the summary names test
and reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

ALLOWED = Path(__file__).parent / "allowed_skips.txt"
OUTPUT = "unlisted_skips"


def allowed_keys(text: str) -> frozenset[str]:
    """The keys of the list: what stands before the colon on each line that is no comment."""
    lines = (line.strip() for line in text.splitlines())
    return frozenset(line.partition(":")[0] for line in lines if line and not line.startswith("#"))


def reason_of(report: pytest.TestReport | pytest.CollectReport) -> str | None:
    """Why this report skipped, or None if it did not skip (an expected failure is none)."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return None
    detail = report.longrepr
    text = str(detail[2]) if isinstance(detail, tuple) else str(detail)
    return text.removeprefix("Skipped: ")


class SkipLedger:
    """The skips of one process, and on the controller those of its workers."""

    def __init__(self, config: pytest.Config) -> None:
        self.keys = allowed_keys(ALLOWED.read_text())
        self.worker_output: dict[str, Any] | None = getattr(config, "workeroutput", None)
        self.unlisted: set[tuple[str, str]] = set()

    def note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        """Keep the report if it skipped for a reason that is not on the list."""
        reason = reason_of(report)
        if reason is not None and reason.partition(":")[0] not in self.keys:
            self.unlisted.add((report.nodeid, reason))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test's phase has ended."""
        self.note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A module was collected; a module-level skip shows here only."""
        self.note(report)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker of pytest-xdist has finished: take over what it noted."""
        found = getattr(node, "workeroutput", {}).get(OUTPUT, ())
        self.unlisted.update((nodeid, reason) for nodeid, reason in found)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Hand over to the controller, or fail the run."""
        if self.worker_output is not None:
            self.worker_output[OUTPUT] = sorted(self.unlisted)
        elif self.unlisted and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name each unlisted skip."""
        if not self.unlisted:
            return
        terminalreporter.section("skips that no one agreed to", red=True)
        for nodeid, reason in sorted(self.unlisted):
            terminalreporter.line(f"{nodeid}: {reason}")
        terminalreporter.line(f"Run these tests, or add a key and its explanation to tests/{ALLOWED.name}.")


def pytest_configure(config: pytest.Config) -> None:
    """Start the ledger."""
    config.pluginmanager.register(SkipLedger(config), "skip-ledger")
