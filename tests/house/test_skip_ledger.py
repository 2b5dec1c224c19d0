"""The ledger of skips: a run with a skip that nobody agreed to fails, with and without workers."""

from __future__ import annotations

import pytest
from source_tree import ROOT

from skip_ledger import ALLOWED, allowed_keys

pytest_plugins = ["pytester"]

PASSES = "def test_c():\n    pass\n"
AGREED = (
    "import pytest\n\ndef test_a():\n    pytest.skip('no-ipv6: cannot bind')\n\ndef test_b():\n    pass\n"
)
IN_TEST = (
    "import pytest\n\ndef test_a():\n    pytest.skip('did not feel like it')\n\ndef test_b():\n    pass\n"
)
IN_MODULE = "import pytest\n\npytest.importorskip('no_such_module')\n"
# A test for the runs below to hold, not one of ours: an expected failure is no skip, and the ledger lets it pass.
EXPECTED_FAILURE = "import pytest\n\n@pytest.mark.xfail(reason='known')\ndef test_a():\n    assert False\n"


@pytest.mark.parametrize("workers", [[], ["-p", "xdist", "-n", "1"]], ids=["alone", "workers"])
@pytest.mark.parametrize(
    "texts,status",
    [([AGREED, EXPECTED_FAILURE], 0), ([IN_TEST], 1), ([IN_MODULE], 1)],
    ids=["agreed", "in a test", "in a module"],
)
def test_a_run_with_a_skip(pytester, monkeypatch, texts, status, workers):
    """The exit status says it, and the summary says which and why."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(**{f"test_{number}": text for number, text in enumerate([PASSES, *texts])})
    run = pytester.runpytest_subprocess("-p", "skip_ledger", "-p", "no:cacheprovider", *workers)
    assert run.ret == status
    assert ("skips that no one agreed to" in run.stdout.str()) == bool(status)


def test_every_key_is_explained():
    """A key with no explanation is no agreement."""
    lines = [line for line in ALLOWED.read_text().splitlines() if line and not line.startswith("#")]
    assert all(len(line.partition(": ")[2]) > 20 for line in lines)
    assert allowed_keys("# no\n\nkey: why\n") == {"key"}
