"""What a caller may say about one call, on every method: how long, what goes beside it, and whether to ask anew."""

import inspect
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, get_type_hints

import pytest
from raw_http import RawHTTP, result

from dovetail.client import BlockingClient, CallOptions, Client
from dovetail.client.client import Client as Face
from dovetail.protocol.errors import LocalProtocolError, RequestTimeout
from dovetail.protocol.types import ProgressNotice

Scripted = Callable[..., list[str]]
Ask = Callable[..., Awaitable[Any]]


async def drained(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


METHODS: dict[str, Callable[[Client], Callable[..., Any]]] = {
    "tools/call": lambda client: lambda **how: client.call_tool("t", **how),
    "tools/list": lambda client: client.list_tools,
    "tools/list all": lambda client: lambda **how: drained(client.tools(**how)),
    "resources/list": lambda client: client.list_resources,
    "resources/list all": lambda client: lambda **how: drained(client.resources(**how)),
    "resources/templates/list": lambda client: client.list_resource_templates,
    "resources/templates/list all": lambda client: lambda **how: drained(client.resource_templates(**how)),
    "resources/read": lambda client: lambda **how: client.read("a://b", **how),
    "resources/subscribe": lambda client: lambda **how: client.subscribe("a://b", **how),
    "prompts/list": lambda client: client.list_prompts,
    "prompts/list all": lambda client: lambda **how: drained(client.prompts(**how)),
    "prompts/get": lambda client: lambda **how: client.get_prompt("p", **how),
    "completion/complete": lambda client: lambda **how: client.complete("p", "a", **how),
    "ping": lambda client: client.ping,
    "logging/setLevel": lambda client: lambda **how: client.set_log_level("info", **how),
}


@pytest.mark.requirement("R2607-CANCELLATION-006", "R2607-CANCELLATION-008")
@pytest.mark.parametrize("name", METHODS)
async def test_every_method_takes_a_timeout_and_meta(name: str, scripted: Scripted) -> None:
    method = name.partition(" ")[0]
    async with Client(scripted({method: [[]]})) as client:  # it never answers
        with pytest.raises(RequestTimeout, match=method) as caught:
            await METHODS[name](client)(timeout=0.05, meta={"com.example/a": 1})
        assert isinstance(caught.value, TimeoutError)
        seen = json.loads((await client.call_tool("seen")).text) if method != "tools/call" else None
        if seen is not None:
            (asked,) = [message for message in seen if message.get("method") == method]
            assert asked["params"]["_meta"]["com.example/a"] == 1


@pytest.mark.parametrize("seconds", [0, -1, 0.0, math.nan, True, "5"])
@pytest.mark.parametrize("name", METHODS)
async def test_a_timeout_that_is_none_is_refused_with_what_to_write(
    name: str, seconds: Any, scripted: Scripted
) -> None:
    async with Client(scripted()) as client:
        with pytest.raises(LocalProtocolError, match="above zero, or timeout=None for no limit"):
            await METHODS[name](client)(timeout=seconds)
        seen = json.loads((await client.request("tools/call", {"name": "seen"}))["content"][0]["text"])
        asked = name.partition(" ")[0]
        assert len([message for message in seen if message["method"] == asked]) == (asked == "tools/call")


@pytest.mark.parametrize("seconds", [0, -1, math.nan, "5"])
@pytest.mark.parametrize("option", ["timeout", "max_timeout", "probe_timeout", "visit_timeout"])
def test_so_it_is_for_the_client(option: str, seconds: Any) -> None:
    with pytest.raises(LocalProtocolError, match=f"{option} is a number of seconds above zero"):
        Client("server.py", **{option: seconds})


async def test_an_option_that_is_none_is_named(scripted: Scripted) -> None:
    wrong: Any = {"timeuot": 5}
    unlike: Any = {"zzz": 5}
    async with Client(scripted()) as client:
        with pytest.raises(LocalProtocolError, match=r"timeuot.*did you mean 'timeout'"):
            await client.ping(**wrong)
        with pytest.raises(LocalProtocolError, match=r"'zzz'.*timeout, meta, progress, fresh"):
            await client.ping(**unlike)


async def test_notifications_take_them_too(scripted: Scripted) -> None:
    async with Client(scripted(), roots=[]) as client:
        await client.notify("notifications/roots/list_changed", meta={"com.example/a": 1}, timeout=5)
        await client.roots_changed(meta={"com.example/a": 2}, timeout=5)
        with pytest.raises(LocalProtocolError, match="above zero"):
            await client.roots_changed(timeout=0)
        seen = json.loads((await client.call_tool("seen")).text)
        told = [message["params"] for message in seen if message["method"].endswith("roots/list_changed")]
        assert told == [{"_meta": {"com.example/a": 1}}, {"_meta": {"com.example/a": 2}}]


async def test_listening_takes_them_too(scripted: Scripted) -> None:
    async with Client(scripted()) as client, client.listen(resources=["a://b"], meta={"com.example/a": 1}):
        seen = json.loads((await client.call_tool("seen")).text)
        (asked,) = [message for message in seen if message["method"] == "resources/subscribe"]
        assert asked["params"]["_meta"] == {"com.example/a": 1}
    async with Client(scripted({"resources/subscribe": [[]]})) as client:
        with pytest.raises(RequestTimeout):
            await client.listen(resources=["a://b"], timeout=0.05).open()
        with pytest.raises(LocalProtocolError, match="above zero"):
            client.listen(tools=True, timeout=0)


class Counting:
    """A server of the stateless era whose every answer is another, and may be kept for an hour."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, _: str, __: dict[str, str], message: Any) -> Any:
        hints = {"resultType": "complete", "ttlMs": 3_600_000, "cacheScope": "public"}
        method = message["method"]
        if method == "server/discover":
            capabilities: dict[str, Any] = {"tools": {}, "resources": {}, "prompts": {}}
            hints["ttlMs"] = 0
            described = result(message, supportedVersions=["2026-07-28"], capabilities=capabilities, **hints)
            return 200, {}, described
        self.count += 1
        name = str(self.count)
        schema = {"type": "object"}
        bodies: dict[str, Any] = {
            "tools/list": {"tools": [{"name": name, "inputSchema": schema}]},
            "resources/list": {"resources": [{"name": name, "uri": f"a://{name}"}]},
            "resources/templates/list": {"resourceTemplates": [{"name": name, "uriTemplate": "a://{x}"}]},
            "prompts/list": {"prompts": [{"name": name}]},
            "resources/read": {"contents": [{"uri": "a://b", "text": name}]},
        }
        return 200, {}, result(message, **bodies[method], **hints)


KEPT: dict[str, Callable[[Client], Ask]] = {
    "list_tools": lambda client: client.list_tools,
    "tools": lambda client: lambda **how: drained(client.tools(**how)),
    "list_resources": lambda client: client.list_resources,
    "resources": lambda client: lambda **how: drained(client.resources(**how)),
    "list_resource_templates": lambda client: client.list_resource_templates,
    "resource_templates": lambda client: lambda **how: drained(client.resource_templates(**how)),
    "list_prompts": lambda client: client.list_prompts,
    "prompts": lambda client: lambda **how: drained(client.prompts(**how)),
    "read": lambda client: lambda **how: client.read("a://b", **how),
}


@pytest.mark.parametrize("name", KEPT)
async def test_fresh_asks_the_server_whatever_is_kept(name: str) -> None:
    async with RawHTTP(Counting()) as http, Client(http.url) as client:
        ask = KEPT[name](client)
        first = await ask()
        assert await ask() == first
        second = await ask(fresh=True)
        assert second != first
        assert await ask() == second, "what came is kept in place of the old"


@pytest.mark.parametrize("name", KEPT)
async def test_a_timeout_that_is_none_is_refused_whatever_is_kept(name: str) -> None:
    """It must not depend on what was asked before whether a mistake is told."""
    async with RawHTTP(Counting()) as http, Client(http.url) as client:
        ask = KEPT[name](client)
        await ask()
        with pytest.raises(LocalProtocolError, match="above zero, or timeout=None for no limit"):
            await ask(timeout=0)


async def test_a_timeout_that_is_none_is_refused_where_nothing_is_sent() -> None:
    """Since 2026-07-28 the level goes with each request, and choosing it asks nobody."""
    async with RawHTTP(Counting()) as http, Client(http.url) as client:
        with pytest.raises(LocalProtocolError, match="above zero"):
            await client.set_log_level("info", timeout=0)


def test_the_blocking_client_has_the_same_face() -> None:
    """Every public method with the same parameters, kinds, defaults and annotations but for what is awaited."""
    skipped = {"open", "close", "sync"}
    skipped |= {"forward", "target", "options"}  # for proxies and hosts, which serve and use many at once
    names = {name for name in vars(Face) if not name.startswith("_")} - skipped
    assert names <= set(vars(BlockingClient))
    for name in names:
        ours, theirs = vars(Face)[name], vars(BlockingClient)[name]
        if isinstance(ours, property):
            assert isinstance(theirs, property), name
            continue
        mine, other = inspect.signature(ours).parameters, inspect.signature(theirs).parameters
        assert list(mine) == list(other), name
        for key in mine:
            assert (mine[key].kind, mine[key].default) == (other[key].kind, other[key].default), (name, key)
            assert mine[key].annotation == other[key].annotation, (name, key)


def test_call_options_are_what_they_say() -> None:
    assert set(get_type_hints(CallOptions)) == {"timeout", "meta", "progress", "fresh"}


# Progress


@pytest.mark.parametrize("era", ["stateful", "stateless"])
async def test_calls_carry_a_token_unless_there_is_no_deadline_to_move(
    era: str, stateful: Callable[..., list[str]], stateless: Callable[..., list[str]]
) -> None:
    async with Client((stateful if era == "stateful" else stateless)()) as client:

        async def token(**how: Any) -> Any:
            return json.loads((await client.call_tool("meta", **how)).text).get("progressToken")

        first, second = await token(), await token()
        assert isinstance(first, int)
        assert second != first
        assert await token(timeout=None) is None
        assert isinstance(await token(timeout=None, progress=lambda _: None), int)
        assert isinstance(await token(meta={"com.example/a": 1}), int)
        assert await token(meta={"progressToken": "mine"}) == "mine"


async def test_lists_and_pings_carry_no_token(scripted: Scripted) -> None:
    script = {"tools/list": [{"tools": []}], "resources/read": [{"contents": []}]}
    async with Client(scripted(script)) as client:
        await client.list_tools()
        await client.ping()
        await client.read("a://b")
        seen = json.loads((await client.call_tool("seen")).text)
        tokens = {m["method"]: m.get("params", {}).get("_meta", {}).get("progressToken") for m in seen}
        assert tokens["tools/list"] is tokens["ping"] is None
        assert isinstance(tokens["resources/read"], int)


async def test_reads_and_prompts_hear_of_progress(scripted: Scripted) -> None:
    notice = (
        '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":$TOKEN,"progress":1}}'
    )
    script = {
        "resources/read": [[notice, '{"jsonrpc":"2.0","id":$ID,"result":{"contents":[]}}']],
        "prompts/get": [[notice, '{"jsonrpc":"2.0","id":$ID,"result":{"messages":[]}}']],
    }
    heard: list[ProgressNotice] = []
    async with Client(scripted(script)) as client:
        await client.read("a://b", progress=heard.append)
        await client.get_prompt("p", progress=heard.append)
    assert [notice.progress for notice in heard] == [1, 1]
