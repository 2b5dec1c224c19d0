"""A short soak of each kind: a real server process under hostile requests holds no more than it may, lets go of all of
it when the attackers are gone, and serves a good caller all the while. `soak` itself takes thousands, and memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from soak import soak
from soak_kinds import KINDS
from soak_talk import MIB

from dovetail.stores import SessionBounds
from dovetail.transports.http1.server.connection import MAX_HEADS
from dovetail.transports.http_server.unread import MAX_UNREAD

pytestmark = pytest.mark.hostile

#: The requests that fill what a kind is after, and more.
REQUESTS: Mapping[str, int] = {"sessions": SessionBounds().max_per_principal + 100}
#: A budget that few requests fill: about the least that holds one message of any size.
BUDGET: Mapping[str, Any] = {"max_held": 30 * MIB}
#: What has to come of some of the requests, or the kind never got to where it hurts.
COMES: Mapping[str, str] = {
    "subscriptions": "503",
    "questions": "503",
    "bodies": "left",
    "heads": "left",
    "networks": "left",
    "rollback": "200 -32602",
    "tokens": "401 -32600",
    "guesses": "429",
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", KINDS)
async def test_a_server_holds_what_it_may_and_lets_go_of_it(name: str) -> None:
    report = await soak(name, REQUESTS.get(name, 200), first=40, width=10, options=BUDGET)
    assert report.settled, report
    assert report.most["bytes"] <= BUDGET["max_held"], report
    assert report.most["unread"] <= MAX_UNREAD, report
    assert report.most["heads"] <= MAX_HEADS, report
    assert report.most["sessions"] <= SessionBounds().max_per_principal, report
    assert report.good, report
    assert not report.failed, report
    assert report.outcomes[COMES.get(name, "200")], report
    assert "GUESSED" not in report.outcomes, report
