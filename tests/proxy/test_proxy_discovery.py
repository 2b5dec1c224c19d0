"""How long, and for whom, what a proxy or a gateway says of itself may be kept: as its upstream says."""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dovetail import App, Client
from dovetail.gateway import Gateway
from dovetail.proxy import ProxyProvider, proxy_app
from dovetail.types import DiscoverResult

STATEFUL, STATELESS = "2025-11-25", "2026-07-28"
SERVER = """
import json, sys

asked = 0
told = json.loads(sys.argv[1])

def say(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\\n")
    sys.stdout.flush()

for line in sys.stdin:
    request = json.loads(line)
    method, id = request.get("method"), request.get("id")
    if method == "server/discover":
        asked += 1
        say({"id": id, "result": {"resultType": "complete", "supportedVersions": ["2026-07-28"],
             "capabilities": {"tools": {}}, "instructions": f"Said {asked} times.", **told}})
    elif id is not None:
        say({"id": id, "result": {"resultType": "complete", "tools": [], "ttlMs": 0, "cacheScope": "private"}})
"""


def telling(tmp_path: Path, **hints: Any) -> list[str]:
    """The command of a server that tells these hints, and in its instructions how often it told them."""
    path = tmp_path / "telling.py"
    path.write_text(SERVER)
    return [sys.executable, str(path), json.dumps(hints)]


def through_proxy(target: Any) -> App:
    return proxy_app(target)


def through_gateway(target: Any) -> App:
    return Gateway({"it": target, "own": App("own")}).app


FRONTS = pytest.mark.parametrize("front", [through_proxy, through_gateway])


async def discovered(app: App) -> DiscoverResult:
    async with Client(app, revision=STATELESS) as client:
        assert client.discovered is not None
        return client.discovered


@FRONTS
@pytest.mark.parametrize(
    "hints,ttl_ms,scope",
    [
        ({"ttlMs": 60_000, "cacheScope": "public"}, 60_000, "public"),
        ({"ttlMs": 60_000, "cacheScope": "private"}, 60_000, "private"),
        ({"ttlMs": 7_200_000, "cacheScope": "public"}, 3_600_000, "public"),
        ({"ttlMs": 0, "cacheScope": "public"}, 0, "public"),
    ],
)
@pytest.mark.requirement("R2607-CACHING-001", "R2607-CACHING-020")
async def test_hints_are_those_of_the_upstream_less_the_time_that_has_passed(
    front: Callable[[Any], App], hints: dict[str, Any], ttl_ms: int, scope: str, tmp_path: Path
) -> None:
    found = await discovered(front(telling(tmp_path, **hints)))
    assert found.ttl_ms is not None
    assert ttl_ms - 30_000 < found.ttl_ms <= ttl_ms
    assert (found.cache_scope, found.ttl_ms >= 0) == (scope, True)


@pytest.mark.hostile
@FRONTS
@pytest.mark.requirement("R2607-CACHING-011")
async def test_a_time_that_makes_no_sense_is_not_passed_on(
    front: Callable[[Any], App], tmp_path: Path
) -> None:
    found = await discovered(front(telling(tmp_path, ttlMs=-5, cacheScope="public")))
    assert found.ttl_ms == 0


@FRONTS
async def test_what_is_stale_is_asked_for_again(front: Callable[[Any], App], tmp_path: Path) -> None:
    """The one who finds it stale is told so; those after it are told what the upstream says now."""
    app = front(telling(tmp_path, ttlMs=0, cacheScope="public"))
    async with Client(app, revision=STATELESS) as client:
        told: set[Any] = set()
        async with asyncio.timeout(30):
            while len(told) < 3:
                found = await client.request("server/discover", into=DiscoverResult)
                assert found.ttl_ms == 0
                told.add(found.instructions)


async def test_the_shortest_time_counts_and_one_that_is_private_makes_all_so(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    front = App("front")
    front.mount("a", ProxyProvider(telling(tmp_path / "a", ttlMs=50_000, cacheScope="private")))
    front.mount("b", ProxyProvider(telling(tmp_path / "b", ttlMs=600_000, cacheScope="public")))
    found = await discovered(front)
    assert found.ttl_ms is not None
    assert 20_000 < found.ttl_ms <= 50_000
    assert found.cache_scope == "private"


@FRONTS
async def test_what_is_not_known_yet_is_not_kept(front: Callable[[Any], App]) -> None:
    """An upstream that is away may offer something else than is announced meanwhile."""
    found = await discovered(front("no-such-program-anywhere"))
    assert found.ttl_ms == 0


@pytest.mark.parametrize(
    "app",
    [
        lambda: proxy_app(App("old"), revision=STATEFUL),
        lambda: Gateway({"it": Client(App("old"), revision=STATEFUL)}).app,
    ],
    ids=["proxy", "gateway"],
)
async def test_a_stateful_upstream_says_nothing_of_it(app: Callable[[], App]) -> None:
    """So it is told for as long as the app's own."""
    found = await discovered(app())
    assert found.ttl_ms is not None
    assert found.ttl_ms > 3_500_000
    assert found.cache_scope == "public"


async def test_a_client_knows_what_it_was_told(tmp_path: Path) -> None:
    async with Client(telling(tmp_path, ttlMs=5, cacheScope="public")) as client:
        assert client.discovered is not None
        assert (client.discovered.ttl_ms, client.discovered.instructions) == (5, "Said 1 times.")
    async with Client(App("old"), revision=STATEFUL) as client:
        assert client.discovered is None
