"""The oracle as a pytest plugin: it listens to the tap during every test, with nothing to ask for.

A test whose messages break their definitions fails at its teardown, after every fixture's own, so
that a fault in a closing handshake counts too. `@pytest.mark.hostile` forgives what the test
receives; `@pytest.mark.vendor_methods("acme/ping")` admits methods that no revision has;
`@pytest.mark.echoes("a b")` admits that a URI is sent back which a hostile server listed and which is none; the fixture
`oracle` gives the object itself, for `with oracle.hostile(): ...` around a part of a test.

Workers of xdist hand their counts to the controller, which prints one table. With
`--oracle-complete`, which a full run passes, a revision that was never sent or never received in
the whole run fails it: a schema nobody was held to proves nothing.

Follows: no page of the specification; it is how the suite keeps to all of them.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from typing import Any, Final, Protocol, cast

import pytest

from oracle.checker import UNPLACED, Count, Fault, Oracle
from oracle.definitions import REVISIONS, definitions_of
from oracle.engines import ENVELOPE

TAP: Final = "dovetail.runtime.tap"
HANDOVER: Final = "oracle"


class _Tap(Protocol):
    def add(self, callback: Callable[[Any], None], /) -> Callable[[], object]: ...


class OraclePlugin:
    """One per process: the oracle of its tests and, on the controller, the counts of all workers."""

    def __init__(self, config: pytest.Config) -> None:
        self.oracle: Final = Oracle()
        self.counts: Final[Counter[Count]] = Counter()
        self.late: Final[list[str]] = []
        self._config = config
        self._remove: Callable[[], object] | None = None

    @property
    def _worker(self) -> dict[str, Any] | None:
        return getattr(self._config, "workeroutput", None)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self) -> None:
        """Listen from before the first fixture; a tree without the tap yet has nothing to listen to."""
        tap = _tap()
        if tap is not None and self._remove is None:
            self._remove = tap.add(self.oracle.observe)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        with contextlib.ExitStack() as stack:
            if item.get_closest_marker("hostile") is not None:
                stack.enter_context(self.oracle.hostile())
            for marker in item.iter_markers("vendor_methods"):
                stack.enter_context(self.oracle.vendor(*marker.args))
            for marker in item.iter_markers("echoes"):
                stack.enter_context(self.oracle.echoes(*marker.args))
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        try:
            result = yield
        except BaseException as error:
            faults = self.oracle.take()
            if faults:
                error.add_note(report(item.nodeid, faults))
            raise
        faults = self.oracle.take()
        if faults:
            pytest.fail(report(item.nodeid, faults), pytrace=False)
        return result

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._remove is not None:
            self._remove()
            self._remove = None
        self.counts.update(self.oracle.counts)
        self.late.extend(str(fault) for fault in self.oracle.take())
        if self._worker is not None:
            self._worker[HANDOVER] = handed_over(self.counts, self.late)
        elif self.late or self.silent_revisions():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """On the controller, when a worker has ended; one that crashed hands nothing over."""
        given = getattr(node, "workeroutput", None) or {}
        counts, late = taken_over(given.get(HANDOVER))
        self.counts.update(counts)
        self.late.extend(late)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        silent = self.silent_revisions()
        if not (self.counts or silent or self.late):
            return
        terminalreporter.section("oracle: messages held against their definitions")
        for line in table(self.counts):
            terminalreporter.write_line(line)
        if self._config.get_verbosity() > 0:
            for revision in REVISIONS:
                unseen = sorted(definitions_of(revision) - _seen(self.counts, revision))
                terminalreporter.write_line(f"{revision} never saw: {', '.join(unseen) or 'nothing missing'}")
        for revision, direction in silent:
            terminalreporter.write_line(f"FAILED: nothing was {direction} in revision {revision}", red=True)
        for fault in self.late:
            terminalreporter.write_line(f"FAILED: after the last test: {fault}", red=True)

    def silent_revisions(self) -> list[tuple[str, str]]:
        """Revision and direction of which a run that must be complete saw nothing."""
        if not self._config.getoption("--oracle-complete") or self._config.option.collectonly:
            return []
        heard = {(count.revision, count.direction) for count in self.counts}
        return [
            (revision, direction)
            for revision in REVISIONS
            for direction in ("sent", "received")
            if (revision, direction) not in heard
        ]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("oracle").addoption(
        "--oracle-complete",
        action="store_true",
        help="fail a run in which some revision was never sent or never received",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "hostile: what this test receives breaks the specification on purpose")
    config.addinivalue_line(
        "markers",
        "vendor_methods(*names): methods, types of results, members of filters that this test uses and no revision has",
    )
    config.addinivalue_line(
        "markers",
        "echoes(*uris): what hostile servers of this test call their resources, sent back as it came",
    )
    config.pluginmanager.register(OraclePlugin(config), "oracle-of-messages")


@pytest.fixture
def oracle(pytestconfig: pytest.Config) -> Oracle:
    """The oracle that judges this test's messages."""
    plugin = pytestconfig.pluginmanager.get_plugin("oracle-of-messages")
    assert isinstance(plugin, OraclePlugin)
    return plugin.oracle


def report(test: str, faults: Iterable[Fault]) -> str:
    """What a test that broke the wire is told."""
    return "\n".join((f"{test} put messages on the wire that break the specification:", *map(str, faults)))


def handed_over(counts: Counter[Count], late: list[str]) -> dict[str, list[Any]]:
    """What a worker sends its controller, in the plain types that xdist carries."""
    rows = [[c.revision, c.definition, c.direction, c.transport, number] for c, number in counts.items()]
    return {"counts": rows, "late": list(late)}


def taken_over(given: dict[str, list[Any]] | None) -> tuple[Counter[Count], list[str]]:
    """The other end of `handed_over`."""
    if given is None:
        return Counter(), []
    counts = Counter({Count(*row[:4]): int(row[4]) for row in given["counts"]})
    return counts, [str(fault) for fault in given["late"]]


def table(counts: Counter[Count]) -> list[str]:
    """The lines of the summary: a revision each, and the unplaced if there were any."""
    lines = [f"{'revision':<12}{'sent':>9}{'received':>10}{'definitions':>14}  transports"]
    for revision in (*REVISIONS, UNPLACED):
        rows = [(count, number) for count, number in counts.items() if count.revision == revision]
        if revision == UNPLACED and not rows:
            continue
        sent = sum(number for count, number in rows if count.direction == "sent")
        received = sum(number for count, number in rows if count.direction == "received")
        covered = "-"
        if revision != UNPLACED:
            known = definitions_of(revision)
            covered = f"{len(known & _seen(counts, revision))}/{len(known)}"
        transports = " ".join(sorted({count.transport for count, _ in rows}))
        lines.append(f"{revision:<12}{sent:>9}{received:>10}{covered:>14}  {transports}".rstrip())
    return lines


def _seen(counts: Counter[Count], revision: str) -> set[str]:
    return {count.definition for count in counts if count.revision == revision} - {ENVELOPE}


def _tap() -> _Tap | None:
    try:
        if importlib.util.find_spec(TAP) is None:
            return None
    except ModuleNotFoundError:
        return None
    return cast(_Tap, importlib.import_module(TAP))
