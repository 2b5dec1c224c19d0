"""Proves the plugin: an inner pytest breaks the wire and must fail for it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from oracle import closing, plugin
from oracle.checker import Count
from oracle.definitions import REVISIONS

pytest_plugins = ["pytester"]


def test_counts_survive_the_way_from_worker_to_controller() -> None:
    counts = Counter({Count("2025-06-18", "PingRequest", "sent", "http"): 3})
    given = json.loads(json.dumps(plugin.handed_over(counts, ["late"])))
    assert plugin.taken_over(given) == (counts, ["late"])
    assert plugin.taken_over(None) == (Counter(), [])


FRAMES = """
import json, sys, types
from dataclasses import dataclass
import pytest

@dataclass(frozen=True)
class Frame:
    link: str; role: str; sent: bool; transport: str; revision: str | None; data: bytes

def send(message, sent=True, revision="2025-06-18"):
    frame = Frame("l", "server", sent, "stdio", revision, json.dumps(message).encode())
    for callback in sys.modules["made_up_tap"].callbacks:
        callback(frame)

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
UPDATED = {"jsonrpc": "2.0", "method": "notifications/resources/updated"}

"""

INNER = """
def test_good(): send(PING)
def test_bad(): send({**PING, "extra": 1})
@pytest.fixture
def closing():
    yield
    send({**PING, "atTheEnd": 1})
def test_bad_in_a_fixture(closing): pass
@pytest.mark.hostile
def test_hostile(): send({**PING, "method": 3}, sent=False)
def test_hostile_part(oracle):
    with oracle.hostile():
        send({**PING, "method": 3}, sent=False)
@pytest.mark.vendor_methods("acme/x")
def test_vendor(): send({**PING, "method": "acme/x"})
@pytest.mark.echoes("a b")
def test_echo(): send({**UPDATED, "params": {"uri": "a b"}})
@pytest.mark.echoes("a b")
def test_no_echo(): send({**UPDATED, "params": {"uri": "a c"}})
"""

CONFTEST = """
import sys, types
tap = types.ModuleType("made_up_tap")
tap.callbacks = []
def add(callback):
    tap.callbacks.append(callback)
    return lambda: tap.callbacks.remove(callback)
tap.add = add
sys.modules["made_up_tap"] = tap
pytest_plugins = ["oracle.plugin"]

def pytest_configure(config):
    sys.modules["oracle.plugin"]._tap = lambda: tap
"""


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "xdist"])
def test_the_plugin_fails_the_tests_that_broke_the_wire(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: list[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(closing.__file__).parents[1]))
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(FRAMES + INNER)
    outcome = pytester.runpytest_subprocess("--strict-markers", "-p", "no:cacheprovider", *workers)
    outcome.assert_outcomes(passed=8, errors=3)
    outcome.stdout.fnmatch_lines(["*test_bad put messages on the wire*", "*extra*"])
    outcome.stdout.fnmatch_lines(["*test_bad_in_a_fixture put messages on the wire*", "*atTheEnd*"])
    outcome.stdout.re_match_lines([r"2025-06-18 +2 +0 +1/\d+  stdio"])


def test_a_complete_run_needs_every_revision_both_ways(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(closing.__file__).parents[1]))
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        FRAMES
        + f"def test_all():\n    for revision in {REVISIONS!r}:\n"
        + "        for sent in (True, False):\n"
        + "            note = {'method': 'notifications/cancelled', 'params': {'requestId': 1}}\n"
        + "            send({'jsonrpc': '2.0', **note}, sent, revision)\n"
        + "def test_one(): send(PING)\n"
    )
    arguments = ("-p", "no:cacheprovider", "--oracle-complete", "-n", "1")
    assert pytester.runpytest_subprocess(*arguments).ret == pytest.ExitCode.OK
    outcome = pytester.runpytest_subprocess(*arguments, "-k", "test_one")
    assert outcome.ret == pytest.ExitCode.TESTS_FAILED
    outcome.stdout.fnmatch_lines(["FAILED: nothing was received in revision 2025-06-18"])
    outcome.stdout.no_fnmatch_line("FAILED: nothing was sent in revision 2025-06-18")
