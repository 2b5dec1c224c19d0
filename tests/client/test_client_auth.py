"""The option ``auth`` of a client: a scripted `ClientAuth`, and a person who takes longer than any deadline."""

import asyncio
import sys
import types
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from raw_http import Answer, RawHTTP, result

from dovetail import App
from dovetail.client import Client, eras
from dovetail.protocol.errors import Closed, LocalProtocolError, LoginRequired, RequestTimeout
from dovetail.security.client_auth import Refusal

STATEFUL, STATELESS = "2025-11-25", "2026-07-28"
TEXT = [{"type": "text", "text": "done"}]


class Person:
    """Logs in once ``gate`` is open; then the token is good."""

    def __init__(self, *, willing: bool = True) -> None:
        self.gate = asyncio.Event()
        self.asked = asyncio.Event()
        self.willing = willing
        self.token = 0
        self.times = 0
        self.waiting = 0
        self.closed = 0

    async def headers(self, method: str, url: str) -> Mapping[str, str]:
        return {"authorization": f"Bearer secret-{self.token}"}

    async def refused(self, refusal: Refusal) -> bool:
        self.times += 1
        self.waiting += 1
        self.asked.set()
        try:
            await self.gate.wait()
        finally:
            self.waiting -= 1
        self.token += self.willing
        return self.willing

    def answered(self, url: str, headers: Mapping[str, str]) -> None:
        pass

    async def close(self) -> None:
        self.closed += 1


class Server:
    """Takes the token ``wanted`` and newer ones; speaks one revision; never answers the tool "silent"."""

    def __init__(self, revision: str) -> None:
        self.revision = revision
        self.wanted = 0
        self.methods: list[str] = []

    async def __call__(self, method: str, headers: dict[str, str], message: Any) -> Answer:
        if method != "POST":
            return 405, {}, None
        if int(headers["authorization"].rpartition("-")[2]) < self.wanted:
            return 401, {"www-authenticate": "Bearer"}, None
        self.methods.append(message["method"])
        if "id" not in message:
            return 202, {}, None
        if message["method"] == "initialize":
            info = {"name": "raw", "version": "1"}
            said = {"protocolVersion": self.revision, "capabilities": {"tools": {}}, "serverInfo": info}
            return 200, {"mcp-session-id": "sess-1"}, result(message, **said)
        if message["method"] == "server/discover":
            if self.revision == STATEFUL:
                return 400, {}, b"what?"
            said = {
                "supportedVersions": [self.revision],
                "capabilities": {"tools": {}},
                "ttlMs": 0,
                "cacheScope": "private",
            }
            return 200, {}, result(message, resultType="complete", **said)
        if message["params"].get("name") == "silent":
            await asyncio.Event().wait()
        kind = {} if self.revision == STATEFUL else {"resultType": "complete"}
        return 200, {}, result(message, content=TEXT, **kind)


def a_clock_that_can_be_put_forward() -> Callable[[float], Awaitable[None]]:
    """Puts the running loop's clock forward by so many seconds, and has what is due by then happen."""
    loop, forward = asyncio.get_running_loop(), 0.0
    real = loop.time
    loop.time = lambda: real() + forward

    async def wait(seconds: float) -> None:
        nonlocal forward
        forward += seconds
        for _ in range(10):  # timers, then whom they woke
            await asyncio.sleep(0.001)

    return wait


@pytest.mark.parametrize("revision", [STATEFUL, STATELESS])
async def test_the_time_a_person_takes_is_part_of_no_deadline(revision: str) -> None:
    """Neither of the one without progress nor of the one that nothing moves; and other calls go on."""
    script, person, wait = Server(revision), Person(), a_clock_that_can_be_put_forward()
    script.wanted = 1
    async with RawHTTP(script) as server:
        client = Client(server.url, auth=person, timeout=30, max_timeout=50)
        opening = asyncio.create_task(client.open())
        await person.asked.wait()
        await wait(1000)
        assert not opening.done()
        person.gate.set()
        await opening
        script.wanted, seen = 2, person.times
        person.gate.clear()
        person.asked.clear()
        call = asyncio.create_task(client.call_tool("x"))
        await person.asked.wait()
        script.wanted = 1
        assert (await client.call_tool("x")).text == "done"
        await wait(1000)
        assert not call.done()
        person.gate.set()
        assert (await call).text == "done"
        assert (seen, person.times) == (1, 2)
        await client.close()
    assert person.closed == 0
    assert script.methods.count("initialize") == (revision == STATEFUL)


@pytest.mark.parametrize("limits", [{"timeout": 0.2}, {"timeout": None, "max_timeout": 0.2}])
async def test_the_deadline_goes_on_after_the_login(limits: dict[str, Any]) -> None:
    script, person = Server(STATELESS), Person()
    async with RawHTTP(script) as server, Client(server.url, auth=person, **limits) as client:
        script.wanted = 1
        call = asyncio.create_task(client.call_tool("silent"))
        await person.asked.wait()
        assert not (await asyncio.wait({call}, timeout=0.5))[0]
        person.gate.set()
        async with asyncio.timeout(10):
            with pytest.raises(RequestTimeout):
                await call


@pytest.mark.parametrize("revision", [STATEFUL, STATELESS])
async def test_cancelling_a_call_that_waits_for_a_person_leaves_nothing(revision: str) -> None:
    script, person = Server(revision), Person()
    async with RawHTTP(script) as server, Client(server.url, auth=person) as client:
        script.wanted = 1
        call = asyncio.create_task(client.call_tool("x"))
        await person.asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert person.waiting == 0
        script.wanted = 0
        assert (await client.call_tool("x")).text == "done"


@pytest.mark.parametrize("how", ["cancel", "close"])
async def test_opening_can_be_given_up_while_a_person_is_waited_for(how: str) -> None:
    script, person = Server(STATELESS), Person()
    script.wanted = 1
    async with RawHTTP(script) as server:
        client = Client(server.url, auth=person)
        opening = asyncio.create_task(client.open())
        await person.asked.wait()
        async with asyncio.timeout(10):
            if how == "cancel":
                opening.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await opening
            else:
                await client.close()
                with pytest.raises(Closed):
                    await opening
            await client.close()
    assert person.waiting == 0


async def test_a_no_is_told_once_also_where_the_era_is_known() -> None:
    script, person = Server(STATEFUL), Person(willing=False)
    person.gate.set()
    async with RawHTTP(script) as server:
        async with Client(server.url, auth=person):
            pass
        script.wanted = 1
        with pytest.raises(LoginRequired):
            await Client(server.url, auth=person, timeout=5).open()
        assert person.times == 1
        eras.clear()
        with pytest.raises(LoginRequired):
            await Client(server.url, auth=person, timeout=5).open()
        assert person.times == 2


async def test_a_subscription_waits_for_the_person_too() -> None:
    person = Person()
    listened = asyncio.Event()
    script = Server(STATELESS)

    async def serve(method: str, headers: dict[str, str], message: Any) -> Answer:
        if message["method"] == "subscriptions/listen" and person.token:
            listened.set()
            return 503, {}, None
        return await script(method, headers, message)

    async with RawHTTP(serve) as server, Client(server.url, auth=person, timeout=0.2) as client:
        script.wanted = 1
        entering = asyncio.create_task(client.listen(tools=True).open())
        await person.asked.wait()
        assert not (await asyncio.wait({entering}, timeout=0.6))[0]
        person.gate.set()
        await listened.wait()
        with pytest.raises(Exception, match="503"):
            await entering


# What can be given


@pytest.mark.parametrize(
    "target",
    [["server"], "unix:/tmp/x.sock", "some command", App("a")],
    ids=["list", "unix", "command", "app"],
)
def test_only_a_url_takes_credentials(target: Any) -> None:
    with pytest.raises(LocalProtocolError, match="HTTP URL"):
        Client(target, auth=Person())


async def test_headers_and_auth_exclude_each_other() -> None:
    client = Client("http://127.0.0.1:9/mcp", auth=Person(), headers={"Authorization": "x"})
    with pytest.raises(LocalProtocolError, match="authorization"):
        await client.open()


async def test_anything_else_is_resolved_once_and_closed_with_the_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    person, asked = Person(), []
    login: Any = types.ModuleType("dovetail.auth.login")

    def resolve(auth: Any, url: str, options: Any) -> Any:
        asked.append((auth, url, options.timeout))
        if auth == 5:
            raise TypeError
        return None if auth == "nonsense" else person

    login.resolve = resolve
    monkeypatch.setitem(sys.modules, "dovetail.auth.login", login)
    async with RawHTTP(Server(STATELESS)) as server:
        async with Client(server.url, auth="oauth", timeout=7) as client:
            await client.call_tool("x")
        assert asked == [("oauth", server.url, 7)]
        assert person.closed == 1
        wrongs: tuple[Any, ...] = (5, "nonsense")
        for wrong in wrongs:
            with pytest.raises(LocalProtocolError, match="auth is"):
                Client(server.url, auth=wrong)
