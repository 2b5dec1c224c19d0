"""What a call costs that passes a proxy or a gateway, in things that can be counted without a clock.

It is two calls and the passing on. The bounds are a little above what is true today. Whoever has to raise one says in
the commit what it buys.
"""

from __future__ import annotations

import pytest
from counting import fewest
from test_cost_of_a_client_call import small_app

from dovetail import App, Client
from dovetail.gateway import Gateway
from dovetail.proxy import proxy_app
from dovetail.runtime import tap

#: Functions of ours that a call through it runs beyond those of two direct calls.
PASSING_ON = {"proxy": 18, "gateway": 28}
#: Decodings and encodings of it beyond those of one direct call: the call is read and written, the response opened and
#: held against its type, and whether the caller says more than a client does is looked at.
CODINGS = 5


@pytest.fixture(autouse=True)
def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the oracle, which reads every message of the other tests: here its work would be counted too."""
    monkeypatch.setattr(tap, "listeners", [])


async def counted(target: App, tool: str) -> tuple[int, int]:
    """Functions and codings of a call of a client that has called before, both sides together."""
    async with Client(target) as client:
        for _ in range(5):
            assert (await client.call_tool(tool, {"a": 1, "b": 2})).text == "3"
        found = await fewest(lambda: client.call_tool(tool, {"a": 1, "b": 2}))
    await target.service.stop()
    return found.functions.total(), found.codec.total()


@pytest.mark.parametrize("way", ["proxy", "gateway"])
async def test_functions_and_codings_of_passing_a_call_on(way: str) -> None:
    """Names, parameters and results pass in the bytes that they came in."""
    direct, codings = await counted(small_app(), "add")
    if way == "proxy":
        through, all_codings = await counted(proxy_app(small_app()), "add")
    else:
        servers = {f"server{number}": small_app() for number in range(3)}
        through, all_codings = await counted(Gateway(servers).app, "server2__add")
    assert through - 2 * direct <= PASSING_ON[way], (through, direct)
    assert all_codings - codings <= CODINGS, (all_codings, codings)
