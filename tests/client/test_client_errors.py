"""An error of a call says which call to which server it was, once, and is what a program expects it to be."""

import pickle
from collections.abc import Callable
from typing import Any

import pytest

from dovetail import App
from dovetail.client import Client, OutputInvalid
from dovetail.protocol.errors import (
    ConnectionLost,
    DovetailError,
    FeatureUnavailable,
    InvalidParams,
    MethodNotFound,
    RemoteProtocolError,
    RequestTimeout,
    RPCError,
    ServerExited,
    copy_of,
)

Scripted = Callable[..., list[str]]


def named(problem: DovetailError, method: str) -> None:
    text = str(problem)
    assert problem.method == method
    assert problem.server.startswith("scripted (")
    assert text.count(method) == 1
    assert text.count("scripted (") == 1


@pytest.mark.hostile
async def test_every_kind_names_method_and_server(scripted: Scripted) -> None:
    script = {
        "resources/read": [["{"], {"contents": 5}],
        "prompts/get": [['{"jsonrpc":"2.0","id":$ID,"error":{"code":"x"}}']],
        "tools/call": [{"content": [], "structuredContent": {"n": "x"}}],
        "ping": [[]],
    }
    async with Client(scripted(script)) as client:
        with pytest.raises(MethodNotFound) as missing:
            await client.list_tools()
        named(missing.value, "tools/list")
        assert str(missing.value).startswith("Method not found (code -32601; tools/list to scripted (")
        with pytest.raises(RequestTimeout) as late:
            await client.ping(timeout=0.05)
        named(late.value, "ping")
        assert isinstance(late.value, TimeoutError)
        with pytest.raises(RemoteProtocolError) as malformed:
            await client.get_prompt("p")
        named(malformed.value, "prompts/get")
        with pytest.raises(DovetailError):
            await client.read("a://b", timeout=0.05)
        with pytest.raises(RemoteProtocolError) as unfit:
            await client.read("a://b")
        named(unfit.value, "resources/read")
        with pytest.raises(OutputInvalid) as output:
            await client.call_tool("t", into=list[int])
        named(output.value, "tools/call")
        with pytest.raises(ServerExited) as gone:
            await client.call_tool("die")
        named(gone.value, "tools/call")
        with pytest.raises(ConnectionLost) as still:
            await client.call_tool("t")
        named(still.value, "tools/call")


async def test_what_is_refused_here_names_them_too() -> None:
    async with Client(App("bare")) as client:
        with pytest.raises(FeatureUnavailable, match=r"tools/list.*bare \(an app in this process\)"):
            await client.list_tools()
        with pytest.raises(FeatureUnavailable, match=r"tools/call.*bare \(an app in this process\)"):
            await client.call_tool("t")


@pytest.mark.hostile
async def test_what_a_server_calls_itself_is_safe_to_show(scripted: Scripted) -> None:
    info = {"name": "evil\x1b[2J\n" + "x" * 5000, "version": "1"}
    opened = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
    async with Client(scripted({"initialize": [opened]})) as client:
        with pytest.raises(RPCError) as caught:
            await client.list_tools()
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 500


def test_an_error_without_a_call_says_what_it_said() -> None:
    assert str(RPCError("no", code=-31000)) == "no (code -31000)"
    assert str(InvalidParams("no")) == "no (code -32602)"
    assert str(RequestTimeout("late")) == "late"


def test_a_copy_and_a_pickle_say_the_same() -> None:
    late = RequestTimeout("it was late")
    late.of_call("tools/call", "a server")
    late.of_call("another", "another")
    assert str(late) == "it was late (tools/call to a server)"
    twin: Any = copy_of(late)
    assert (type(twin), str(twin), twin.method) == (RequestTimeout, str(late), "tools/call")
    assert str(pickle.loads(pickle.dumps(late))) == str(late)
