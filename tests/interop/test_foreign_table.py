"""The table of foreign servers is whole: pinned, explained, and of the size that was promised.

Quick, and part of every run; `test_foreign_servers.py` is what tries the servers themselves. Follows: no page of the
specification.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from interop.foreign_servers import servers

PINNED = re.compile(r"^[\w@/.-]+==[\w.]+$")
ENTRY = """
[[servers]]
registry = "npm"
package = "a"
version = "1.0.0"
revision = "2025-11-25"
tools = 1
call = { tool = "t", says = "x"%s }
%s
"""


def test_at_least_twenty_servers_from_both_registries() -> None:
    found = servers()
    names = {each.name: each.registry for each in found}
    assert len(names) >= 20
    assert {"npm", "pypi"} <= set(names.values())
    assert {each.transport for each in found} >= {"stdio", "http"}


def test_every_package_is_pinned_exactly() -> None:
    for each in servers():
        assert re.fullmatch(r"\d[\w.]*", each.version), each
        assert all(PINNED.fullmatch(pin) for pin in each.also), each


def test_every_failure_and_every_breach_is_explained() -> None:
    for each in servers():
        if each.call.error:
            assert len(each.call.reason) > 20, each
            assert re.match(r"(server|basic|client)/", each.call.page), each
        if each.because:
            assert len(each.because) > 20, each
            assert re.match(r"(server|basic|client)/", each.page), each
        assert all(len(why) > 20 for why in each.breaches.values()), each


@pytest.mark.parametrize(
    "call,more,complaint",
    [
        (', error = "tool"', "[servers.stdio]", "needs its reason"),
        (', reason = "why not"', "[servers.stdio]", "needs its reason"),
        ("", "[servers.stdio]", None),
        (
            ', error = "other", reason = "because", page = "server/tools"',
            "[servers.stdio]",
            "of the tool or of",
        ),
        ("", "", "names no transport"),
        ("", 'pinned = "2025-11-25"\n[servers.stdio]', "because of something"),
        ("", "color = 1\n[servers.stdio]", "what is color"),
    ],
)
def test_what_is_not_explained_is_refused(
    call: str, more: str, complaint: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "foreign.toml"
    path.write_text(ENTRY % (call, more))
    if complaint is None:
        assert not servers(path)[0].call.error
        return
    with pytest.raises(ValueError, match=complaint):
        servers(path)
