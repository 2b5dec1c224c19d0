"""The reference of the public names, as `make docs` builds it: whole, with examples, and without a warning."""

from __future__ import annotations

import subprocess
import sys

import pytest
import reference


def test_every_public_name_and_option_has_a_tested_example():
    """`without_example` lists what no block of a page uses; write one on the page of its task."""
    assert reference.without_example() == []


def test_what_the_reference_leaves_out_is_there():
    """A name that was renamed or removed goes from the list of those that are not public, too."""
    kinds = {entry.name: entry.value for entries in reference.packages().values() for entry in entries}
    gone = [
        each
        for each in reference.NOT_PUBLIC
        if not hasattr(kinds[each.partition(".")[0]], each.partition(".")[2])
    ]
    assert gone == []


@pytest.mark.timeout(600)  # half a minute of work, which a busy machine may take long over
def test_the_site_builds_without_a_warning(tmp_path):
    """A broken link, a page that the index does not list, or a docstring that does not read end the build."""
    done = subprocess.run(
        [sys.executable, str(reference.ROOT / "tools" / "docs.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "search.html").exists()
    client = (tmp_path / "reference" / "dovetail.Client.html").read_text()
    assert "call_tool" in client
    assert "first-client" in client, "the examples name the page they are from"
