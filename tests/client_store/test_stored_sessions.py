"""A session that outlives its client: taken up by the next process, by one at a time, and never by somebody else."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any

import pytest
from msgspec import Raw
from redis_server import RedisServer
from store_places import Place
from test_client_memory import Named

from dovetail import App, Client, Context
from dovetail.client import ClientStore, StateChange, stored_sessions
from dovetail.protocol.listening import Change
from dovetail.runtime import tap
from dovetail.security import KeyRing
from dovetail.stores import MemoryStore, RedisStore, SQLiteStore, Store
from dovetail.testing.serving import served

KEYS = KeyRing.from_secrets([b"k" * 32])
REVISION = "2025-11-25"


def notes() -> App:
    app = App("notes", rate_limit=None)

    @app.tool
    async def remember(word: str, ctx: Context) -> str:
        """What was remembered before in this session; and remember this."""
        before = await ctx.session.get("word", "nothing")
        await ctx.session.set("word", word)
        return str(before)

    @app.resource("note://a")
    async def note() -> str:
        return "a"

    @app.tool
    async def touch(ctx: Context) -> str:
        app.resource_updated("note://a")
        return "touched"

    return app


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with served(notes().asgi()) as found:
        yield found


@contextmanager
def methods() -> Iterator[list[tuple[str, Any]]]:
    """What clients of this process send: methods and ids."""
    found: list[tuple[str, Any]] = []

    def note(frame: tap.Frame) -> None:
        if frame.role == "client" and frame.sent:
            message = json.loads(frame.data)
            found.append((message.get("method", ""), message.get("id")))

    end = tap.add(note)
    try:
        yield found
    finally:
        end()


def client(url: str, store: Any, **options: Any) -> Client:
    given: dict[str, Any] = {"revision": REVISION, "store": store, **options}
    return Client(url, **given)


def session_of(here: Client) -> str:
    """The session id."""
    transport: Any = here._connection.link.transport
    return transport.session_state[0]


async def word(here: Client, new: str = "x") -> str:
    return (await here.call_tool("remember", {"word": new})).text


async def once(url: str, store: Any, new: str, **options: Any) -> str:
    """What the session of a client of its own remembers."""
    async with client(url, store, **options) as here:
        return await word(here, new)


@pytest.mark.requirement("R2511-LIFECYCLE-006", "R2511-TRANSPORT-HTTP-044")
async def test_the_next_client_goes_on_in_the_session(place: Place, url: str) -> None:
    setting = ClientStore(place.open(), keys=KEYS)
    with methods() as sent:
        assert await once(url, setting, "one") == "nothing"
    assert [method for method, _ in sent] == ["initialize", "notifications/initialized", "tools/call"]
    with methods() as again:
        async with client(url, setting) as here:
            assert here.server_info is not None
            assert (here.server_info.name, here.revision, here.era) == ("notes", REVISION, "stateful")
            assert here.server_capabilities is not None
            assert here.server_capabilities.resources is not None
            assert await word(here, "two") == "one"
    assert [method for method, _ in again] == ["ping", "tools/call"]
    assert await once(url, setting, "three") == "two"
    ids = [id for _, id in sent + again if id is not None]
    assert len(set(ids)) == len(ids), "an id was used twice in one session"
    assert await once(url, None, "four") == "nothing"
    assert await once(url, ClientStore(place.open(), keys=KEYS, sessions=False), "five") == "nothing"
    assert await once(url, setting, "six") == "three"


async def test_what_asks_otherwise_is_not_in_the_session(place: Place, url: str) -> None:
    """Other credentials, other headers, other abilities, other revisions: another session, side by side."""
    setting = ClientStore(place.open(), keys=KEYS)
    cases: list[dict[str, Any]] = [
        {},
        {"auth": Named("ada")},
        {"auth": Named("bob")},
        {"headers": {"X-Tenant": "a"}},
        {"sampling": lambda _: None},
        {"revision": "2025-06-18"},
    ]
    for number, options in enumerate(cases):
        assert await once(url, setting, f"w{number}", **options) == "nothing", options
    for number, options in enumerate(cases):
        assert await once(url, setting, "z", **options) == f"w{number}", options
    for options in ({"headers": lambda: {"X-Tenant": "a"}}, {"auth": Login("")}):
        assert await once(url, setting, "w", **options) == "nothing"


class Login(Named):
    """Credentials whose account stays while the login changes."""

    def __init__(self, login: str) -> None:
        super().__init__("account")
        self.login = login

    def cache_scope(self) -> str:
        return self.login


async def test_another_login_of_the_same_account_gets_a_session_of_its_own(lasting: Place, url: str) -> None:
    setting = ClientStore(lasting.open())
    assert await once(url, setting, "a", auth=Login("one")) == "nothing"
    assert await once(url, setting, "b", auth=Login("two")) == "nothing"
    assert await once(url, setting, "c", auth=Login("one")) == "a"


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-047", "R2511-TRANSPORT-HTTP-048")
async def test_a_session_that_is_gone_is_opened_anew(place: Place) -> None:
    setting = ClientStore(place.open(), keys=KEYS)
    async with served(notes().asgi()) as url:
        assert await once(url, setting, "one") == "nothing"
        async with client(url, None) as other, client(url, setting) as here:
            session = session_of(here)
            transport: Any = other._connection.link.transport
            transport._requests.session = session
            await transport.end_session()
            assert await word(here, "two") == "nothing"
        with methods() as sent:
            assert await once(url, setting, "three") == "two"
        assert [method for method, _ in sent] == ["ping", "tools/call"]
        async with client(url, setting) as here:
            await here.close(end_session=True)
        with methods() as sent:
            assert await once(url, setting, "four") == "nothing"
        assert [method for method, _ in sent][:2] == ["initialize", "notifications/initialized"]


async def test_a_server_that_forgot_everything_is_greeted_anew(lasting: Place) -> None:
    """Its store is empty: 404, one more initialize, in each kind of opening."""
    setting = ClientStore(lasting.open())
    app = notes()
    endpoint: list[Any] = [app.asgi()]

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        await endpoint[0](scope, receive, send)

    async with served(serve) as url:
        assert await once(url, setting, "one") == "nothing"
        endpoint[0] = notes().asgi()
        with methods() as sent:
            assert await once(url, setting, "two") == "nothing"
        assert [method for method, _ in sent][:3] == ["ping", "initialize", "notifications/initialized"]
        assert await once(url, setting, "three") == "two"


async def test_two_clients_never_share_a_session(place: Place, url: str) -> None:
    setting = ClientStore(place.open(), keys=KEYS)
    assert await once(url, setting, "one") == "nothing"
    other = ClientStore(place.open(), keys=KEYS)
    async with client(url, setting) as first, client(url, other) as second:
        assert await word(first, "two") == "one"
        assert await word(second, "elsewhere") == "nothing"
        assert await word(first, "three") == "two"
    assert await once(url, setting, "four") == "three"


WORKER = """
import asyncio, sys
from dovetail import Client
from dovetail.client import ClientStore
from dovetail.security import KeyRing
from dovetail.stores import *
url, wait = sys.argv[1:]
async def main():
    store = {code}
    setting = ClientStore(store, keys=KeyRing.from_secrets([b"k" * 32]))
    async with Client(url, store=setting, revision="2025-11-25", on_change=lambda change: None) as client:
        if wait == "subscribed":
            await client.subscribe("note://a")
        print((await client.call_tool("remember", {{"word": "of a worker"}})).text, flush=True)
        await asyncio.to_thread(sys.stdin.readline)
    await store.aclose()
asyncio.run(main())
"""


@asynccontextmanager
async def working(place: Place, url: str, wait: str = "") -> AsyncIterator[tuple[Any, str]]:
    """A process with a client that stays in its session; and what its session remembered."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER.format(code=place.code), url, wait,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            said = (await process.stdout.readline()).decode().strip()
        yield process, said
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_of_processes_that_race_for_a_session_one_gets_it(shared: Place, url: str) -> None:
    setting = ClientStore(shared.open(), keys=KEYS)
    assert await once(url, setting, "one") == "nothing"
    async with working(shared, url) as (_, first), working(shared, url) as (_, second):
        assert sorted((first, second)) == ["nothing", "one"]
    async with working(shared, url) as (_, third):
        assert third in ("of a worker",)


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-037")
async def test_a_process_that_is_killed_leaves_its_session_to_the_next(shared: Place, url: str) -> None:
    """At once: this machine knows that it is dead. Its subscriptions go on, and its stream where it stood."""
    changes: asyncio.Queue[Change] = asyncio.Queue()
    async with working(shared, url, "subscribed") as (process, said):
        assert said == "nothing"
        store = shared.open()
        async with asyncio.timeout(20):
            while not await subscribed(store):  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    async with client(url, None) as other:
        await other.call_tool("touch")  # while nobody listens
    setting = ClientStore(shared.open(), keys=KEYS)
    async with client(url, setting, on_change=changes.put_nowait) as here:
        assert await word(here, "mine") == "of a worker"
        async with asyncio.timeout(30):
            assert await changes.get() == Change("resource", "note://a")
            async with client(url, None) as other:
                await other.call_tool("touch")
            assert await changes.get() == Change("resource", "note://a")
            await here.unsubscribe("note://a")


async def subscribed(store: Store) -> bool:
    """Whether the session that is kept has a subscription, and a place in its stream."""
    setting = ClientStore(store, keys=KEYS)
    from dovetail.client.client_records import ClientRecords, StoreAvailability

    records = ClientRecords(
        setting,
        "sessions",
        StoreAvailability(),
        share=stored_sessions.SHARE,
        max_bytes=stored_sessions.MAX_RECORD,
    )
    for name in [key async for key in records.kv.scan() if not key.startswith("lease")]:
        found, _ = await records.read(name, stored_sessions.SavedSession)
        if found is not None and found.subscriptions and found.position:
            return True
    return False


async def test_who_stood_still_and_lost_the_session_opens_another(
    lasting: Place, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_sessions, "INTERVAL", 3600.0)  # it stands still until it is woken
    setting = ClientStore(lasting.open())
    renewed = asyncio.Event()

    def on_state(change: StateChange) -> None:
        if change.renewals:
            renewed.set()

    async with client(url, setting, on_state=on_state) as here:
        assert await word(here, "one") == "nothing"
        stored: Any = here._connection.stored.session
        await setting.store.kv.delete(f"client/sessions/lease-{stored._name}")  # as if it had expired
        async with client(url, ClientStore(lasting.open())) as thief:
            assert await word(thief, "two") == "one"
            stored.changed()
            async with asyncio.timeout(20):
                await renewed.wait()
            assert await word(here, "elsewhere") == "nothing"
            assert await word(thief, "three") == "two"
    assert await once(url, setting, "four") == "three"


@pytest.mark.hostile
@pytest.mark.requirement("R2511-TRANSPORT-HTTP-043")
async def test_what_is_no_session_is_deleted(
    place: Place, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = place.open()
    setting = ClientStore(store, allow_unsealed=True)
    assert await once(url, setting, "one") == "nothing"
    (name,) = [key async for key in store.kv.scan("client/sessions/") if "lease" not in key]
    good = await store.kv.get(name) or b""
    shown = json.loads(good[1:])
    secret = shown["session"]
    wrong: list[Any] = [
        b"", b"P", good[:-1], b"P" + b"[" * 9000, b"P" + b"x" * 2_000_000,
        {"key": "another"}, {"session": "a b\r\nx: y"}, {"session": ""}, {"session": "x" * 5000}, {"turn": -1},
        {"turn": 1 << 60}, {"position": "a\nb"}, {"position": "x" * 9000}, {"revision": "1999-01-01"},
        {"revision": "2025-06-18"}, {"server": {}}, {"server": 5}, {"session": "stranger"},
    ]  # fmt: skip
    for hostile in wrong:
        raw = (
            hostile
            if isinstance(hostile, bytes)
            else b"P" + json.dumps({**shown, **hostile}, ensure_ascii=False).encode()
        )
        await store.kv.set(name, raw)
        assert await once(url, setting, "two") == "nothing", hostile
    assert await once(url, setting, "three") == "two"
    assert secret not in caplog.text
    for key in [key async for key in store.kv.scan()]:
        await store.kv.delete(key)
    sealed = ClientStore(store, keys=KEYS)
    assert await once(url, sealed, "one") == "nothing"
    async with client(url, sealed) as here:
        held = session_of(here)
    values = [await store.kv.get(key) or b"" async for key in store.kv.scan()]
    assert values
    assert all(held.encode() not in value for value in values)
    assert held not in caplog.text
    assert held not in repr(
        stored_sessions.SavedSession(key="k", session=held, revision="r", server=Raw(b"{}"))
    )


async def test_a_place_in_the_stream_that_is_gone_begins_again(lasting: Place, url: str) -> None:
    setting = ClientStore(lasting.open())
    changes: asyncio.Queue[Change] = asyncio.Queue()
    async with client(url, setting, on_change=changes.put_nowait) as here:
        await here.subscribe("note://a")
        name = here._connection.stored.session._name
    kv = setting.store.kv.within("client/sessions/")
    shown = json.loads((await kv.get(name) or b"")[1:])
    for position in ("s" + "0" * 24 + "-7", "what is that"):
        raw = b"P" + json.dumps({**shown, "position": position}).encode()
        await kv.set(name, raw)
        async with client(url, setting, on_change=changes.put_nowait) as here:
            transport: Any = here._connection.link.transport
            async with asyncio.timeout(20):
                while transport.session_state[1] in ("", position):
                    await word(here)
                # Nobody knows what changed meanwhile: the caller is told of all that may have.
                missed = [await changes.get()]
                while missed[-1] != Change("resource", "note://a"):
                    missed.append(await changes.get())
                assert set(missed[:-1]) <= {Change("tools"), Change("prompts"), Change("resources")}
                assert changes.empty()
                await here.call_tool("touch")
                assert await changes.get() == Change("resource", "note://a")
        shown = json.loads((await kv.get(name) or b"")[1:])


async def test_a_store_that_goes_away_ends_no_call(
    tmp_path: Any, url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stored_sessions, "INTERVAL", 0.05)
    server = RedisServer(tmp_path / "redis").start()
    try:
        async with aclosing(RedisStore(server.url, timeout=1.0)) as store:
            setting = ClientStore(store, keys=KEYS)
            async with client(url, setting) as here:
                assert await word(here, "one") == "nothing"
                server.kill()
                assert await word(here, "two") == "one"
                async with client(url, setting) as other:
                    assert await word(other, "elsewhere") == "nothing"
                assert "goes on without it" in caplog.text
                server.start()
                assert await word(here, "three") == "two"
            assert here._connection.states.current.renewals == 0
    finally:
        server.kill()


def test_a_blocking_client_leaves_and_ends_its_session() -> None:
    async def run() -> None:
        store = MemoryStore()
        async with served(notes().asgi()) as url:

            def blocking(end: bool) -> str:
                here = Client.sync(url, store=store, revision=REVISION)
                here.open()
                found = here.call_tool("remember", {"word": "w"}).text
                here.close(end_session=end)
                return found

            said = [await asyncio.to_thread(blocking, end) for end in (False, True, False)]
            assert said == ["nothing", "w", "nothing"]

    asyncio.run(run())


def test_nothing_is_imported_for_a_client_without_a_store() -> None:
    code = (
        "import sys; from dovetail import Client; Client('http://localhost/mcp')\n"
        "print([each for each in sys.modules if each.startswith('dovetail.client.stored') or 'sealed' in each])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert os.name
    assert SQLiteStore
