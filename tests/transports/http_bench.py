"""A service made by hand for the HTTP tests: tools that wait, talk, ask and fail.

Follows: no page of the specification.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from dovetail.protocol import codec, messages, names
from dovetail.protocol.call import Call
from dovetail.protocol.errors import InternalError, InvalidParams
from dovetail.protocol.listening import Listening
from dovetail.protocol.revisions import STATEFUL, STATELESS
from dovetail.protocol.revisions.profiles import ServedRevisions
from dovetail.protocol.types import (
    CallToolParams,
    CallToolResult,
    DiscoverResult,
    Implementation,
    InitializeParams,
    ListenParams,
    ListToolsResult,
    ProgressNotice,
    ResourcesCapability,
    Result,
    ServerCapabilities,
    SetLevelParams,
    SubscribeParams,
    TextContent,
    Tool,
)
from dovetail.protocol.types.capabilities import ListChanged
from dovetail.runtime.channel import Channel
from dovetail.runtime.dispatch import Dispatcher
from dovetail.runtime.hub import Hub
from dovetail.runtime.service import Service

MODERN = STATELESS[-1]
INFO = Implementation(name="proof", version="1")
CLIENT = {"name": "prober", "version": "1"}
CAPABILITIES = ServerCapabilities(
    tools=ListChanged(list_changed=True),
    prompts=ListChanged(),
    resources=ResourcesCapability(subscribe=True, list_changed=True),
)
META = {
    names.META_PROTOCOL_VERSION: MODERN,
    names.META_CLIENT_INFO: CLIENT,
    names.META_CLIENT_CAPABILITIES: {},
}


class Bench:
    """The service, and what its tools noticed. ``gates`` are events that tools wait for, by name."""

    def __init__(self, **options: Any) -> None:
        self.hub = Hub()
        self.started: dict[str, asyncio.Event] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.cancelled: dict[str, asyncio.Event] = {}
        self.finished: dict[str, asyncio.Event] = {}
        self.calls: list[str] = []
        self.channels: list[Channel] = []
        handlers = {
            names.INITIALIZE: self.initialize,
            names.DISCOVER: self.discover,
            names.PING: self.ping,
            names.TOOLS_LIST: self.list_tools,
            names.TOOLS_CALL: self.call_tool,
            names.LOGGING_SET_LEVEL: self.set_level,
            names.RESOURCES_SUBSCRIBE: self.subscribe,
            names.RESOURCES_UNSUBSCRIBE: self.unsubscribe,
            names.SUBSCRIPTIONS_LISTEN: self.listen,
        }
        self.service = Service(
            dispatcher=Dispatcher(handlers, info=INFO),
            hub=self.hub,
            capabilities=lambda: CAPABILITIES,
            served=ServedRevisions(
                tuple(options.pop("stateful", STATEFUL)), tuple(options.pop("stateless", STATELESS))
            ),
            **options,
        )

    def event(self, table: dict[str, asyncio.Event], key: str) -> asyncio.Event:
        return table.setdefault(key, asyncio.Event())

    async def initialize(self, call: Call, channel: Channel) -> Any:
        params, session = call.params, channel.session
        assert isinstance(params, InitializeParams)
        assert session is not None
        return session.open(
            params, info=INFO, capabilities=CAPABILITIES, instructions=None, supported=self.service.stateful
        )

    async def discover(self, call: Call, channel: Channel) -> Any:
        return DiscoverResult(
            supported_versions=[*STATEFUL, *STATELESS],
            capabilities=CAPABILITIES,
            ttl_ms=0,
            cache_scope="private",
        )

    async def ping(self, call: Call, channel: Channel) -> Any:
        return Result()

    async def list_tools(self, call: Call, channel: Channel) -> Any:
        tool = Tool(name="echo", input_schema={"type": "object"})
        if call.profile.stateless:
            return ListToolsResult(tools=[tool], ttl_ms=0, cache_scope="private")
        return ListToolsResult(tools=[tool])

    async def set_level(self, call: Call, channel: Channel) -> Any:
        assert isinstance(call.params, SetLevelParams)
        assert channel.session is not None
        channel.session.set_level(call.params)
        return Result()

    async def subscribe(self, call: Call, channel: Channel) -> Any:
        assert isinstance(call.params, SubscribeParams)
        assert channel.session is not None
        channel.session.subscribe(call.params.uri)
        return Result()

    async def unsubscribe(self, call: Call, channel: Channel) -> Any:
        assert isinstance(call.params, SubscribeParams)
        assert channel.session is not None
        channel.session.unsubscribe(call.params.uri)
        return Result()

    async def listen(self, call: Call, channel: Channel) -> Any:
        assert isinstance(call.params, ListenParams)
        listening = Listening(call.id, call.params.notifications, CAPABILITIES, call.profile)
        changes = self.hub.subscribe(listening.wants)
        try:
            await channel.emit(listening.acknowledgement())
            async for change in changes:
                await channel.emit(listening.message(change))
            return listening.result()
        finally:
            changes.close()

    async def call_tool(self, call: Call, channel: Channel) -> Any:
        params = call.params
        assert isinstance(params, CallToolParams)
        arguments = codec.decode(params.arguments) if params.arguments else {}
        key = arguments.get("key", "")
        self.calls.append(params.name)
        self.channels.append(channel)
        self.event(self.started, key).set()
        try:
            text = await self._run(params.name, arguments, call, channel)
        except asyncio.CancelledError:
            self.event(self.cancelled, key).set()
            raise
        self.event(self.finished, key).set()
        return CallToolResult(content=[TextContent(text=text)])

    async def _run(self, name: str, arguments: dict[str, Any], call: Call, channel: Channel) -> str:
        key = arguments.get("key", "")
        if name == "echo":
            return arguments.get("text") or "echo"
        if name == "wait":
            await self.event(self.gates, key).wait()
            return f"waited {key}"
        if name == "talk":
            for step in range(arguments.get("times", 3)):
                await channel.emit(progress(call, step, arguments.get("pad")))
                if step == arguments.get("pause_after"):
                    await self.event(self.gates, key).wait()
            return f"talked {key}"
        if name == "ask":
            params = json.dumps(arguments["params"]).encode() if "params" in arguments else b""
            answer = await channel.ask(arguments.get("method", names.ROOTS_LIST), params)
            return bytes(answer).decode()
        if name == "poll":
            await channel.close_stream(0.05)
            await self.event(self.gates, key).wait()
            return f"polled {key}"
        if name == "headers":
            return json.dumps(dict(channel.headers))
        if name == "who":
            return channel.principal.key
        if name == "fail":
            raise InternalError("as asked")
        if name == "crash":
            raise SystemExit(3)
        raise InvalidParams(f"there is no tool {name!r}")


def progress(call: Call, step: int, pad: int | None = None) -> bytes:
    token = call.progress_token
    notice = ProgressNotice(
        progress_token="p" if token is None else token,
        progress=float(step),
        message="x" * pad if pad else None,
    )
    return messages.notification(names.NOTIFY_PROGRESS, call.profile.encode(notice))
