"""Which era a server is of, over processes: looked up before, corrected after, and worth nothing to anybody else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from redis_server import RedisServer
from store_places import Place
from test_client_memory import STATEFUL, described, opening, told

from dovetail import Client
from dovetail.client import ClientStore, client_records, eras
from dovetail.errors import LocalProtocolError
from dovetail.security import KeyRing
from dovetail.stores import KeyValueBounds, MemoryStore, RedisStore, StoreBounds, StoreFull

KEYS = KeyRing.from_secrets([b"k" * 32])


def kept(place: Place, **options: Any) -> ClientStore:
    return ClientStore(place.open(), keys=KEYS, **options)


async def anew(target: Any, store: Any) -> list[str]:
    """The requests with which a client opens in a process that knows nothing."""
    eras.clear()
    with opening() as sent:
        await told(target, store=store)
    return sent


async def test_the_era_is_known_in_the_next_process(place: Place, tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    script.write_text(STATEFUL)
    command = [sys.executable, str(script)]
    assert await anew(command, kept(place)) == ["server/discover", "initialize"]
    assert await anew(command, kept(place)) == ["initialize"]
    assert await anew(command, None) == ["server/discover", "initialize"]
    assert await anew(command, kept(place, eras=False)) == ["server/discover", "initialize"]
    assert await anew([*command, "--other"], kept(place)) == ["server/discover", "initialize"]


async def test_a_wrong_era_costs_one_attempt(place: Place, tmp_path: Path) -> None:
    """The file stays what it is; what it does is said by another that its name does not tell of."""
    script = tmp_path / "server.py"
    script.write_text(f"exec(open({str(tmp_path / 'body')!r}).read())")
    (tmp_path / "body").write_text(STATEFUL)
    command = [sys.executable, str(script)]
    assert await anew(command, kept(place)) == ["server/discover", "initialize"]
    (tmp_path / "body").write_text(MODERN_ONLY)
    assert await anew(command, kept(place)) == ["initialize", "server/discover"]
    assert await anew(command, kept(place)) == ["server/discover"]
    (tmp_path / "body").write_text(STATEFUL)
    assert await anew(command, kept(place)) == ["server/discover", "initialize"]
    assert await anew(command, kept(place)) == ["initialize"]


MODERN_ONLY = (
    described('"new"')
    + """
    else:
        refusal = {"code": -32022, "message": "no", "data": {"supported": ["2026-07-28"]}}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": refusal}), flush=True)
"""
)


@pytest.mark.hostile
async def test_what_is_no_record_is_deleted(place: Place, tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    script.write_text(STATEFUL)
    command = [sys.executable, str(script)]
    store = place.open()
    for setting in (ClientStore(store, keys=KEYS), ClientStore(store, allow_unsealed=True)):
        await anew(command, setting)
        (name,) = [key async for key in store.kv.scan("client/eras/")]
        good = await store.kv.get(name) or b""
        for hostile in (b"", b"x", b"P{}", b'P{"key":"a","era":"stateful"}', good[:-1], b"P" + b"[" * 9000):
            await store.kv.set(name, hostile)
            assert await anew(command, setting) == ["server/discover", "initialize"], hostile[:40]
            assert await anew(command, setting) == ["initialize"]
        await store.kv.delete(name)
        await store.kv.set(f"{name[:-1]}x", good)  # the record of another server
        assert await anew(command, setting) == ["server/discover", "initialize"]
        for key in [key async for key in store.kv.scan()]:
            await store.kv.delete(key)


async def test_a_store_that_is_away_costs_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = RedisServer(tmp_path / "redis").start()
    script = tmp_path / "server.py"
    script.write_text(STATEFUL)
    command = [sys.executable, str(script)]
    store = RedisStore(server.url, timeout=1.0)
    try:
        server.kill()
        assert await anew(command, ClientStore(store, keys=KEYS)) == ["server/discover", "initialize"]
        assert caplog.text.count("goes on without it") == 1
        server.start()
        assert await anew(command, ClientStore(store, keys=KEYS)) == ["server/discover", "initialize"]
        assert await anew(command, ClientStore(store, keys=KEYS)) == ["initialize"]
    finally:
        await store.aclose()
        server.kill()


async def test_a_store_that_does_not_answer_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_records, "PATIENCE", 0.2)
    monkeypatch.setattr(client_records, "PAUSE", 3600.0)
    server = RedisServer(tmp_path / "redis").start()
    script = tmp_path / "server.py"
    script.write_text(STATEFUL)
    store = RedisStore(server.url, timeout=60.0)
    try:
        server.pause()
        setting = ClientStore(store, keys=KEYS)
        assert await anew([sys.executable, str(script)], setting) == ["server/discover", "initialize"]
        assert caplog.text.count("it did not answer within 0.2 s") == 1
    finally:
        server.resume()
        await store.aclose()
        server.kill()


def test_what_is_no_store_is_refused() -> None:
    for wrong in ("client.db", 5, object(), ClientStore("client.db")):  # type: ignore[arg-type] # on purpose
        with pytest.raises(LocalProtocolError, match="store is a Store"):
            Client("http://localhost/mcp", store=wrong)  # type: ignore[arg-type] # on purpose
    store = MemoryStore()
    store.kv.within("mine/", share=0.9)
    with pytest.raises(LocalProtocolError, match="shares"):
        Client("http://localhost/mcp", store=store)
    with pytest.raises(LocalProtocolError, match="keys=KeyRing"):
        Client("http://localhost/mcp", store=RedisStore("redis://127.0.0.1:1"))
    assert Client("http://localhost/mcp", store=MemoryStore(), auth="oauth").state == "new"


async def test_one_part_does_not_fill_the_store_for_another(tmp_path: Path) -> None:
    store = MemoryStore(bounds=StoreBounds(kv=KeyValueBounds(max_bytes=256 * 1024)))
    setting = ClientStore(store, keys=KEYS)
    Client("http://localhost/mcp", store=setting)
    room = store.kv.within("client/results/", share=1 / 8)
    for number in range(20):
        await room.set(str(number), bytes(1000))
    with pytest.raises(StoreFull):
        await room.set("more", bytes(32 * 1024))
    script = tmp_path / "server.py"
    script.write_text(STATEFUL)
    command = [sys.executable, str(script)]
    assert await anew(command, setting) == ["server/discover", "initialize"]
    assert await anew(command, setting) == ["initialize"]
