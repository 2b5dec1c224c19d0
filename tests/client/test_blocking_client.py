"""The same client, blocking: from one thread, from many, and from where it can't be used."""

import concurrent.futures
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from dovetail.client import CallInfo, Client, ElicitRequest
from dovetail.protocol.errors import Closed, ConnectFailed, InvalidParams, LocalProtocolError, RequestTimeout
from dovetail.protocol.listening import Change

Command = Callable[..., list[str]]
CALLER: ContextVar[str] = ContextVar("caller", default="nobody")


def threads() -> int:
    return sum(thread.name == "dovetail-client" for thread in threading.enumerate())


def test_everything_blocks(stateful: Command) -> None:
    with Client.sync(stateful()) as client:
        assert client.revision == "2025-11-25"
        assert client.era == "stateful"
        assert client.server_info is not None
        assert client.call_tool("echo", {"text": "x"}).text == "x"
        assert client.call_tool("echo", {"text": "1"}, into=int) == 1
        assert [tool.name for tool in client.tools()] == ["echo", "bad-output", "good-output"]
        assert [item.name for item in client.resources()] == ["a"]
        assert [item.name for item in client.resource_templates()] == ["x"]
        assert [item.name for item in client.prompts()] == ["p"]
        assert client.read("raw://a").contents[0].text == "A"
        assert client.get_prompt("p").messages
        assert client.complete("p", "x").values
        client.ping()
        with pytest.raises(InvalidParams):
            client.call_tool("nothing")
        with pytest.raises(RequestTimeout):
            client.call_tool("hang", timeout=0.1)
        with client.listen(tools=True) as events:
            client.call_tool("change")
            assert next(iter(events)) == Change("tools")
    with pytest.raises(Closed):
        client.ping()
    client.close()
    assert threads() == 0


def test_many_threads_share_one_client(stateless: Command) -> None:
    with Client.sync(stateless()) as client, concurrent.futures.ThreadPoolExecutor(8) as pool:
        words = [f"word {n}" for n in range(100)]
        found = pool.map(lambda word: client.call_tool("echo", {"text": word}).text, words)
        assert list(found) == words


def test_a_failed_opening_leaves_no_thread() -> None:
    with pytest.raises(ConnectFailed):
        Client.sync(["/nonexistent/program"]).open()
    assert threads() == 0


def test_handlers_may_use_the_client_and_callbacks_may_not(stateful: Command) -> None:
    caught: list[Exception] = []

    def fill(_: ElicitRequest) -> dict[str, Any]:
        return {"name": client.call_tool("echo", {"text": "Ann"}).text}

    def log(_: object) -> None:
        try:
            client.ping()
        except LocalProtocolError as problem:
            caught.append(problem)

    with Client.sync(stateful(), elicitation=fill, logging=log) as client:
        assert "Ann" in client.call_tool("forms").text
        client.call_tool("log")
        client.ping()
    assert len(caught) == 1


def test_closing_from_another_thread_ends_a_call(stateful: Command) -> None:
    client = Client.sync(stateful()).open()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.call_tool, "hang")
        client.ping()
        client.close()
        with pytest.raises(Closed):
            waiting.result(10)


def test_handlers_see_the_context_of_the_calling_thread(stateful: Command, stateless: Command) -> None:
    seen: list[tuple[str, str]] = []

    def fill(_: ElicitRequest, call: CallInfo | None) -> dict[str, str]:
        assert call is not None
        seen.append((CALLER.get(), call.name))
        return {"name": "Ann"}

    def work(client: Any, tool: str) -> None:
        CALLER.set(f"thread of {tool}")
        client.call_tool(tool)

    for command, tool in ((stateful(), "forms"), (stateless(), "ask")):
        with Client.sync(command, elicitation=fill) as client:
            thread = threading.Thread(target=work, args=(client, tool))
            thread.start()
            thread.join()
    assert seen == [("thread of forms", "forms"), ("thread of ask", "ask")]
