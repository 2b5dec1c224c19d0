"""``--requirements ID,ID``: run only the tests that are tagged with one of these rows.

``--until-each-fails``: those of a row only until one of them has failed, and say at the end for which rows none did.
`tools/mutations.py` asks so for the tests that a broken line should fail.
"""

import pytest

#: What the line at the end begins with.
HELD = "rows without a failing test:"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--requirements", default="", help="only tests tagged with one of these rows, by comma")
    parser.addoption(
        "--until-each-fails", action="store_true", help="stop once a test of each of these rows has failed"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--until-each-fails"):
        config.pluginmanager.register(_UntilEachFails(_wanted(config)))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = _wanted(config)
    if not wanted:
        return
    chosen = [item for item in items if wanted & _rows(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


def _wanted(config: pytest.Config) -> set[str]:
    return set(filter(None, str(config.getoption("--requirements") or "").split(",")))


def _rows(item: pytest.Item) -> set[str]:
    """The rows that a test is tagged with."""
    return {row for mark in item.iter_markers("requirement") for row in mark.args}


def _allowed(item: pytest.Item) -> float:
    """The seconds that a test was given for itself; 0 where it said nothing of that, being quick."""
    mark = item.get_closest_marker("timeout")
    return 0.0 if mark is None else float(mark.args[0])


class _UntilEachFails:
    """Runs the test that is tagged with most of the rows for which none has failed yet, and so on; of these, one that
    may take less time before one that may take more.
    """

    def __init__(self, wanted: set[str]) -> None:
        self._held = set(wanted)
        self._current: set[str] = set()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted("there are errors in what was collected")
        pending = list(session.items)
        while pending and self._held:
            item = max(pending, key=lambda each: (len(self._held & _rows(each)), -_allowed(each)))
            self._current = _rows(item)
            if not self._held & self._current:
                break
            pending.remove(item)
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._held -= self._current

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.write_line(f"{HELD} {' '.join(sorted(self._held))}".rstrip())
