"""What calls cost where nobody uses what has to be asked for."""

from __future__ import annotations

import pytest

from dovetail.server.running import AMBIENCE


@pytest.fixture(autouse=True)
def nobody_asks_which_call_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a program that does not import `dovetail.current_context`; here, other tests may have."""
    monkeypatch.setattr(AMBIENCE, "used", False)
