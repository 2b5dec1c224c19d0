"""What it costs that any worker serves any session: for a plain call, nothing. No word on the bus, and no operation of
the store but those that find its session and note that it is in use; what is stateless does not even listen.
Follows: no page of the specification.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

from cluster_serving import said, tool, workers
from http_serving import Bench, until

from dovetail.stores import MemoryStore, SQLiteStore
from dovetail.stores.contracts import Store
from dovetail.transports.http_server.asgi import HTTPApp


class _CountedPart:
    """A part of a store whose operations are counted. A view of a part is one."""

    def __init__(self, part: Any, name: str, counts: Counter[str]) -> None:
        self._part, self._name, self._counts = part, name, counts

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._part, method)
        if method == "within":
            return lambda *words, **options: _CountedPart(found(*words, **options), self._name, self._counts)
        if callable(found):
            self._counts[f"{self._name}.{method}"] += 1
        return found


class CountedStore:
    """A store whose operations are counted, by part and method."""

    def __init__(self, store: Store) -> None:
        self.counts: Counter[str] = Counter()
        self._store = store
        for part in ("kv", "sessions", "events", "bus"):
            setattr(self, part, _CountedPart(getattr(store, part), part, self.counts))

    async def aclose(self) -> None:
        await self._store.aclose()


async def test_a_plain_call_makes_no_operation_more(tmp_path: Path) -> None:
    opened: list[CountedStore] = []

    def open_store() -> Any:
        opened.append(CountedStore(SQLiteStore(tmp_path / "store.db")))
        return opened[-1]

    async with workers(open_store) as (one, _):
        prober = one.prober()
        opened[0].counts.clear()  # of the start
        for _ in range(3):
            assert (await prober.ask("tools/call", {"name": "echo"})).status == 200
        assert not opened[0].counts, "what is stateless asks for nothing"
        await prober.ready()
        await prober.tool("echo")
        processes = one.app._stateful._processes
        assert processes is not None
        assert await processes.ready()
        await until(lambda: not one.live)
        await asyncio.sleep(0.1)  # seen lately: then this session need not be seen again
        opened[0].counts.clear()
        for _ in range(10):
            assert (await prober.tool("echo")).status == 200
        counts = opened[0].counts
        assert counts.pop("sessions.load") == 10
        assert counts.pop("sessions.touch") <= 10
        assert not counts


async def test_what_a_stream_and_a_question_cost(tmp_path: Path) -> None:
    """A stream: its claim and its events. A question besides: one entry, made and removed."""
    opened: list[CountedStore] = []

    def open_store() -> Any:
        opened.append(CountedStore(SQLiteStore(tmp_path / "store.db")))
        return opened[-1]

    async with workers(open_store) as (one, _):
        prober = await one.prober().ready(capabilities={"roots": {}})
        processes = one.app._stateful._processes
        assert processes is not None
        assert await processes.ready()
        opened[0].counts.clear()
        stream = await prober.stream("POST", tool(prober, "talk", times=3))
        while await said(stream) is not None:
            pass
        counts = opened[0].counts
        await until(lambda: counts["kv.delete"])
        assert {name: number for name, number in counts.items() if name.startswith(("bus", "kv"))} == {
            "kv.set": 2,  # the sign of life, and the claim
            "kv.delete": 1,
        }
        counts.clear()
        asking = await prober.stream("POST", tool(prober, "ask"))
        question = await said(asking)
        answer = {"jsonrpc": "2.0", "id": question["id"], "result": {"roots": []}}
        assert (await prober.send("POST", json.dumps(answer).encode())).status == 202
        while await said(asking) is not None:
            pass
        await until(lambda: counts["kv.delete"] == 2)
        assert {name: number for name, number in counts.items() if name.startswith(("bus", "kv"))} == {
            "kv.add": 1,
            "kv.set": 2,
            "kv.delete": 2,
        }


async def test_a_store_of_its_own_has_no_other_workers() -> None:
    for options in ({"store": MemoryStore()}, {}, {"sessions": False, "store": CountedStore(MemoryStore())}):
        app = HTTPApp(Bench().service, **options)  # type: ignore[arg-type] - options of any kind
        assert app._stateful._processes is None
