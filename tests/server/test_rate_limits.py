"""Rate limits: each remote caller has an allowance of tool calls and completions; this machine is free."""

import re
from typing import Any

import pytest

from dovetail import App
from dovetail.protocol import codec, envelope
from dovetail.runtime.channel import Channel
from dovetail.runtime.dispatch import EncodedResponse
from dovetail.security.principal import Principal
from wire_of_server import Wire


class Remote(Channel):
    """A caller somewhere else."""

    def __init__(self, remote: str | None, principal: Principal | None = None) -> None:
        self.remote = remote
        if principal is not None:
            self.principal = principal


def make_app(**options: Any) -> App:
    app = App("limited", **options)

    @app.tool
    async def quick() -> str:
        return "quick"

    @app.prompt
    def ask(word: str) -> str:
        return word

    @app.completion("ask", "word")
    def words(typed: str) -> list[str]:
        return [typed]

    return app


async def code(app: App, channel: Channel, method: str = "tools/call") -> int | None:
    """The error code that a call from there is answered with, None for a result."""
    wire = Wire(app, "2026-07-28")
    params: dict[str, Any] = {"name": "quick", "_meta": wire.meta()}
    if method == "completion/complete":
        reference = {"type": "ref/prompt", "name": "ask"}
        params = {"ref": reference, "argument": {"name": "word", "value": "w"}, "_meta": wire.meta()}
    data = codec.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    call = app.service.exchange.judge(envelope.read(data))
    return (await app.service.dispatcher.answer(call, channel)).code


@pytest.mark.requirement("R2607-LIFECYCLE-020")
@pytest.mark.parametrize("method", ["tools/call", "completion/complete"])
async def test_r104_each_remote_caller_has_its_own_allowance(method: str) -> None:
    app = make_app(rate_limit=0.001, burst=2)
    one, other = Remote("203.0.113.1"), Remote("203.0.113.2")
    assert [await code(app, one, method) for _ in range(3)] == [None, None, -31429]
    assert await code(app, other, method) is None


async def test_r104_a_principal_keeps_its_allowance_wherever_it_calls_from() -> None:
    app = make_app(rate_limit=0.001, burst=1)
    ada = Principal(issuer="https://id.example", subject="ada")
    assert await code(app, Remote("203.0.113.1", ada)) is None
    assert await code(app, Remote("203.0.113.2", ada)) == -31429
    assert await code(app, Remote("127.0.0.1", ada)) == -31429, "a proxy on this machine changes nothing"


@pytest.mark.parametrize("remote", [None, "127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
async def test_this_machine_is_free(remote: str | None) -> None:
    app = make_app(rate_limit=0.001, burst=1)
    assert [await code(app, Remote(remote)) for _ in range(3)] == [None, None, None]


async def test_limits_can_be_switched_off() -> None:
    app = make_app(rate_limit=None)
    assert [await code(app, Remote("203.0.113.1")) for _ in range(300)] == [None] * 300


def principal(subject: str, client: str = "", **claims: Any) -> Principal:
    return Principal("https://id.example", subject, client, claims=claims)


@pytest.mark.parametrize(
    "who",
    [
        principal("", "robot"),
        principal("robot", "robot"),
        principal("robot@clients", "robot"),
        principal("5f1c", "robot", gty="client-credentials"),
        principal("5f1c", "robot", idtyp="app"),
    ],
)
async def test_a_program_has_an_allowance_wherever_it_runs(who: Principal) -> None:
    """Whoever calls for itself runs in many places at once: one that calls too often takes nothing from the others."""
    assert who.is_machine
    app = make_app(rate_limit=0.001, burst=1)
    one, other = Remote("203.0.113.1", who), Remote("203.0.113.2", who)
    assert [await code(app, each) for each in (one, other, one, other)] == [None, None, -31429, -31429]


def test_a_person_is_no_program() -> None:
    assert not principal("ada").is_machine
    assert not principal("ada", "desktop-app").is_machine
    assert not principal("ada", "desktop-app", gty="password").is_machine
    assert not Principal("", "").is_machine


async def test_an_address_stands_for_its_network() -> None:
    """A machine has a whole /64 of IPv6 to itself: it would never use up an allowance for each address."""
    app = make_app(rate_limit=0.001, burst=1)
    assert await code(app, Remote("2001:db8::1")) is None
    assert await code(app, Remote("2001:db8::2")) == -31429
    assert await code(app, Remote("2001:db8:0:1::1")) is None


@pytest.mark.parametrize("rate", [50.0, 20.0, 0.9, 1.0, 0.01])
async def test_the_wait_is_never_none_and_never_too_short(rate: float) -> None:
    app = make_app(rate_limit=rate, burst=1)
    caller = Remote("203.0.113.1")
    wire = Wire(app, "2026-07-28")
    data = codec.encode(
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": "quick", "_meta": wire.meta()},
        }
    )
    reply = EncodedResponse(b"")
    while reply.code is None:
        reply = await app.service.dispatcher.answer(app.service.exchange.judge(envelope.read(data)), caller)
    error = codec.decode(reply.data)["error"]
    told = re.fullmatch(r"too many calls; try again in ([0-9.]+) seconds?", error["message"])
    assert told is not None, error
    assert 0 < error["data"]["retryAfter"] <= float(told[1])
    assert float(told[1]) >= 0.1


async def test_the_log_is_told_once_and_not_each_time(caplog: pytest.LogCaptureFixture) -> None:
    app = make_app(rate_limit=0.001, burst=1)
    ada = principal("ada\n[red]", "app")
    for _ in range(5):
        await code(app, Remote("203.0.113.1", ada))
        await code(app, Remote("203.0.113.7"))
    told = [each.getMessage() for each in caplog.records if "more often than it may" in each.getMessage()]
    assert len(told) == 2
    assert "'ada\\n[red]'" in told[0]
    assert "a caller without a name from 203.0.113.7" in told[1]
    assert "rate_limit" in told[0]
    assert not any("\n" in each for each in told)


async def test_many_callers_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    app = make_app(rate_limit=0.001, burst=1)
    for number in range(100):
        for _ in range(2):
            await code(app, Remote(f"203.0.113.{number}"))
    assert 1 <= sum("more often than it may" in each.getMessage() for each in caplog.records) <= 11
