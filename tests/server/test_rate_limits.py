"""Rate limits: each remote caller has an allowance of tool calls and completions; this machine is free."""

from typing import Any

import pytest

from dovetail import App
from dovetail.protocol import codec, envelope
from dovetail.runtime.channel import Channel
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


@pytest.mark.parametrize("method", ["tools/call", "completion/complete"])
async def test_each_remote_caller_has_its_own_allowance(method: str) -> None:
    app = make_app(rate_limit=0.001, burst=2)
    one, other = Remote("203.0.113.1"), Remote("203.0.113.2")
    assert [await code(app, one, method) for _ in range(3)] == [None, None, -31429]
    assert await code(app, other, method) is None


async def test_a_principal_keeps_its_allowance_wherever_it_calls_from() -> None:
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
