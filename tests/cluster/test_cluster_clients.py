"""Clients of every revision at three workers, behind a proxy that gives each request to the next one.

The workers are processes that know nothing of each other but the store; whatever a client does needs several of them.
Follows: 2025-11-25 basic/transports; 2026-07-28 basic/patterns/mrtr.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from machines import ENGINES, Cluster, MissingEngine, cluster

from dovetail import Client
from dovetail.protocol.revisions import STATEFUL, STATELESS

REVISIONS = (*STATEFUL, STATELESS[-1])


@pytest.fixture(params=ENGINES)
async def machines(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cluster]:
    """Three workers with each store."""
    try:
        async with cluster(request.param, tmp_path) as found:
            yield found
    except MissingEngine as missing:
        pytest.skip(str(missing))


async def test_each_request_goes_to_another_worker(machines: Cluster) -> None:
    for revision in REVISIONS:
        async with Client(machines.url, revision=revision) as client:
            found = {int((await client.call_tool("which")).text) for _ in range(6)}
            assert found == {each.pid for each in machines.workers}, revision
