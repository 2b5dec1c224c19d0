"""Calls of an app by callers of the test's choosing, through all that stands around its handlers."""

from __future__ import annotations

from typing import Any

from dovetail import App
from dovetail.protocol import codec, envelope
from dovetail.runtime.channel import Channel
from dovetail.security.principal import Principal
from wire_of_server import Wire


class CallerChannel(Channel):
    """Somebody elsewhere, over HTTP and without a session."""

    transport = "http"

    def __init__(self, principal: Principal | None = None, remote: str | None = "203.0.113.1") -> None:
        self.remote = remote
        if principal is not None:
            self.principal = principal


def person(subject: str, *scopes: str, **claims: Any) -> Principal:
    return Principal("https://id.example", subject, scopes=frozenset(scopes), claims=claims)


async def answer_to(
    app: App,
    channel: Channel,
    name: str,
    arguments: dict[str, Any] | None = None,
    meta: dict[str, Any] | None = None,
) -> Any:
    """What a ``tools/call`` of the stateless era is answered with: the ``result``, or the ``error``."""
    wire = Wire(app, "2026-07-28")
    params = {"name": name, "arguments": arguments or {}, "_meta": {**wire.meta(), **(meta or {})}}
    data = codec.encode({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    call = app.service.exchange.judge(envelope.read(data))
    message = codec.decode((await app.service.dispatcher.answer(call, channel)).data)
    return message.get("result", message.get("error"))


def text_of(result: Any) -> str:
    """The text of a result."""
    return str(result["content"][0]["text"])
