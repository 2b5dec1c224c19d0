"""The bridge between a view and its host, handed messages: what it says, asks for, and does not take."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dovetail_inspector.app_views.bridge import (
    BURST,
    MAX_DROPPED,
    MAX_MESSAGE,
    MAX_WAITING,
    RATE,
    Cancelled,
    Deed,
    Deliver,
    Resized,
    Unload,
    ViewAsk,
    ViewBridge,
    ViewClosed,
    ViewContext,
    ViewHeard,
    ViewMessage,
    ViewRunning,
    ViewShown,
)

APP = {"name": "clock", "version": "1"}
HELLO = {"protocolVersion": "2026-01-26", "appInfo": APP, "appCapabilities": {}}


class Talk:
    """A view that talks with a bridge; a second goes by between two messages."""

    def __init__(self, **context: Any) -> None:
        self.bridge = ViewBridge(
            html="<!doctype html>",
            sandbox={"csp": {}, "permissions": {}},
            host={"name": "host", "version": "1"},
            capabilities={"openLinks": {}},
            context={"displayMode": "inline", **context},
        )
        self.now = 0.0

    def say(self, message: Any) -> list[Deed]:
        """What comes of a message; the first deed is that it was heard."""
        self.now += 1
        deeds = self.bridge.receive(message if isinstance(message, str) else json.dumps(message), self.now)
        assert isinstance(deeds[0], ViewHeard)
        return deeds[1:]

    def note(self, message: Any) -> str:
        """What is noted of a message that nothing comes of."""
        self.now += 1
        heard, *rest = self.bridge.receive(
            message if isinstance(message, str) else json.dumps(message), self.now
        )
        assert isinstance(heard, ViewHeard)
        assert rest == []
        return heard.note

    def request(self, method: str, params: Any = None, id: Any = 1) -> list[Deed]:
        """What comes of a request."""
        given = {} if params is None else {"params": params}
        return self.say({"jsonrpc": "2.0", "id": id, "method": method, **given})

    def notify(self, method: str, params: Any = None) -> list[Deed]:
        """What comes of a notification."""
        return self.say({"jsonrpc": "2.0", "method": method, "params": params or {}})

    def error(self, method: str, params: Any = None, id: Any = 1) -> tuple[int, str]:
        """The error that a request is answered with."""
        (deed,) = self.request(method, params, id)
        assert isinstance(deed, Deliver)
        assert deed.message["id"] == id
        return deed.message["error"]["code"], deed.message["error"]["message"]

    def start(self, **capabilities: Any) -> list[Deed]:
        """Greet, and be initialized."""
        self.request("ui/initialize", {**HELLO, "appCapabilities": capabilities}, 0)
        return self.notify("ui/notifications/initialized")


@pytest.fixture
def talk() -> Talk:
    """A view that said nothing yet."""
    return Talk()


@pytest.fixture
def running() -> Talk:
    """A view that is initialized."""
    made = Talk()
    made.start()
    return made


def said(deeds: list[Deed]) -> list[tuple[str, Any]]:
    """What is delivered, by method."""
    return [
        (each.message.get("method", ""), each.message.get("params", each.message.get("result")))
        for each in deeds
        if isinstance(each, Deliver)
    ]


def test_the_sandbox_gets_the_document_once(talk):
    ready = "ui/notifications/sandbox-proxy-ready"
    assert said(talk.notify(ready)) == [
        ("ui/notifications/sandbox-resource-ready", {"html": "<!doctype html>", "csp": {}, "permissions": {}})
    ]
    assert "already" in talk.note({"jsonrpc": "2.0", "method": ready})
    assert "no view says this" in talk.note({"jsonrpc": "2.0", "method": "ui/notifications/sandbox-x"})


def test_a_view_greets_and_is_told_who_its_host_is(talk):
    ((_, result),) = said(talk.request("ui/initialize", {**HELLO, "protocolVersion": "2199-01-01"}))
    assert result == {
        "protocolVersion": "2026-01-26",
        "hostInfo": {"name": "host", "version": "1"},
        "hostCapabilities": {"openLinks": {}},
        "hostContext": {"displayMode": "inline"},
    }
    assert talk.bridge.state == "greeted"
    assert talk.notify("ui/notifications/initialized") == [ViewRunning(APP, {})]
    assert talk.bridge.state == "running"


def test_nothing_is_told_before_a_view_is_initialized_and_then_all_of_it_in_its_order(talk):
    bridge = talk.bridge
    assert bridge.tool_input({"city": "Oslo"}) == []
    talk.request("ui/initialize", HELLO)
    assert bridge.tool_result({"content": []}) == []
    assert bridge.change_context({"theme": "dark"}) == []
    assert bridge.list_changed("tools") == []
    assert bridge.progress("t", {"progress": 1}) == []
    told = talk.notify("ui/notifications/initialized")
    assert said(told) == [
        ("ui/notifications/tool-input", {"arguments": {"city": "Oslo"}}),
        ("ui/notifications/tool-result", {"content": []}),
    ]
    assert said(bridge.tool_cancelled("stopped")) == [
        ("ui/notifications/tool-cancelled", {"reason": "stopped"})
    ]
    assert said(bridge.list_changed("tools")) == [("notifications/tools/list_changed", {})]


def test_a_document_that_loads_itself_anew_is_told_everything_once_more(talk):
    talk.bridge.tool_input({"a": 1})
    first = talk.start()
    assert said(first) == [("ui/notifications/tool-input", {"arguments": {"a": 1}})]
    assert talk.note({"jsonrpc": "2.0", "method": "ui/notifications/initialized"}) == ""
    assert said(talk.start()) == said(first)


@pytest.mark.parametrize(
    "params, says",
    [
        ({}, "protocolVersion"),
        ({**HELLO, "protocolVersion": 1}, "protocolVersion"),
        ({**HELLO, "appInfo": None}, "appInfo"),
        ({**HELLO, "appInfo": {"name": "x"}}, "appInfo"),
        ({**HELLO, "appCapabilities": []}, "appCapabilities"),
        ({**HELLO, "appCapabilities": {"availableDisplayModes": "inline"}}, "availableDisplayModes"),
    ],
)
def test_a_greeting_that_says_too_little_is_refused(talk, params, says):
    code, message = talk.error("ui/initialize", params)
    assert code == -32602
    assert says in message
    assert talk.bridge.state == "loading"


@pytest.mark.parametrize("method", ["tools/call", "resources/read", "ui/open-link", "ui/message"])
def test_nothing_is_asked_for_before_the_greeting(talk, method):
    assert talk.error(method, {"name": "x", "uri": "x", "url": "https://a.example"})[0] == -32600
    assert "comes first" in talk.note(
        {"jsonrpc": "2.0", "method": "ui/notifications/size-changed", "params": {"height": 1}}
    )
    assert said(talk.request("ping")) == [("", {})]


@pytest.mark.parametrize(
    "message, code, says",
    [
        ("[" * 200 + "]" * 200, None, "nested deeper"),
        ("{nothing", None, "no JSON"),
        ('"react-devtools"', None, "no object"),
        ("[]", None, "no object"),
        ("null", None, "no object"),
        ({"id": 1, "method": "ping"}, -32600, "jsonrpc"),
        ({"jsonrpc": "1.0", "id": "a", "method": "ping"}, -32600, "jsonrpc"),
        ({"jsonrpc": "2.0", "id": 1, "method": 5}, -32600, "method"),
        ({"jsonrpc": "2.0", "id": 1, "method": ""}, -32600, "method"),
        ({"jsonrpc": "2.0", "id": 1, "method": "x" * 300}, -32600, "method"),
        ({"jsonrpc": "2.0", "id": True, "method": "ping"}, None, "id"),
        ({"jsonrpc": "2.0", "id": None, "method": "ping"}, None, "id"),
        ({"jsonrpc": "2.0", "id": {}, "method": "ping"}, None, "id"),
        ({"jsonrpc": "2.0", "id": 1.5, "method": "ping"}, None, "id"),
        ({"jsonrpc": "2.0", "id": 2**80, "method": "ping"}, None, "id"),
        ({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}, -32602, "params"),
        ({"jsonrpc": "2.0", "id": 1, "method": "no/such"}, -32601, "no/such"),
        ({"jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage"}, -32601, "sampling"),
        ({"jsonrpc": "2.0", "id": 1}, None, "neither a method"),
        ({"jsonrpc": "2.0", "id": 1, "result": {}, "error": {}}, None, "neither a method"),
        ({"jsonrpc": "2.0", "result": {}}, None, "answers nothing"),
        ({"jsonrpc": "2.0", "id": 1, "error": "bad"}, None, "no object"),
        ({"jsonrpc": "2.0", "id": 99, "result": {}}, None, "answers nothing"),
        ({"jsonrpc": "2.0", "method": "no/such"}, None, "no such notification"),
    ],
)
def test_what_is_malformed_gets_the_code_that_says_so_and_nobody_else_an_answer(running, message, code, says):
    heard, *answers = running.bridge.receive(
        message if isinstance(message, str) else json.dumps(message), 5.0
    )
    if code is None:
        assert answers == []
        assert says in heard.note
        return
    (answer,) = answers
    assert answer.message["error"]["code"] == code
    assert says in answer.message["error"]["message"]
    assert isinstance(message, dict)
    assert answer.message["id"] == message["id"]


@pytest.mark.parametrize(
    "method, params, code",
    [
        ("tools/call", {}, -32602),
        ("tools/call", {"name": 5}, -32602),
        ("tools/call", {"name": "x", "arguments": []}, -32602),
        ("tools/call", {"name": "x", "_meta": "x"}, -32602),
        ("resources/read", {}, -32602),
        ("ui/open-link", {}, -32000),
        ("ui/open-link", {"url": ["https://a.example"]}, -32000),
        ("ui/message", {"content": []}, -32000),
        ("ui/message", {"role": "assistant", "content": []}, -32000),
        ("ui/message", {"role": "user", "content": "hello"}, -32000),
        ("ui/message", {"role": "user", "content": [{"type": "text"}]}, -32000),
        ("ui/message", {"role": "user", "content": [{}]}, -32000),
        ("ui/update-model-context", {"content": "hello"}, -32000),
        ("ui/update-model-context", {"structuredContent": []}, -32000),
        ("ui/request-display-mode", {}, -32602),
        ("ui/request-display-mode", {"mode": "huge"}, -32602),
        ("ui/request-display-mode", {"mode": ["inline"]}, -32602),
    ],
)
def test_parameters_that_do_not_do(running, method, params, code):
    assert running.error(method, params)[0] == code


@pytest.mark.parametrize(
    "params",
    [{"width": -1}, {"width": "100px"}, {"height": True}, {"height": []}, {"width": None, "height": "x"}],
)
def test_a_size_is_a_number_of_pixels(running, params):
    heard, *rest = running.bridge.receive(
        json.dumps({"jsonrpc": "2.0", "method": "ui/notifications/size-changed", "params": params}), 9.0
    )
    assert rest == []
    assert "pixels" in heard.note


def test_sizes_contexts_and_messages_are_told_to_the_host(running):
    assert running.notify("ui/notifications/size-changed", {"width": 10, "height": 20.5}) == [
        Resized(10, 20.5)
    ]
    assert running.notify("ui/notifications/size-changed", {"height": 1e300}) == [Resized(None, 1e6)]
    assert running.notify("ui/notifications/size-changed") == []
    block = {"type": "text", "text": "hello"}
    assert running.request("ui/message", {"role": "user", "content": block})[0] == ViewMessage([block])
    assert running.request("ui/message", {"role": "user", "content": [block]})[0] == ViewMessage([block])
    context = running.request("ui/update-model-context", {"content": [block], "structuredContent": {"a": 1}})
    assert context[0] == ViewContext([block], {"a": 1})
    assert said(context) == [("", {})]
    assert running.notify("notifications/message", {"level": "info", "data": 1}) == []
    assert running.notify("ui/notifications/request-teardown") == [Unload()]


@pytest.mark.parametrize(
    "method, params",
    [
        ("tools/call", {"name": "x", "arguments": {"a": 1}}),
        ("resources/read", {"uri": "file:///a"}),
        ("tools/list", {}),
        ("resources/list", {}),
        ("resources/templates/list", {}),
        ("prompts/list", {}),
        ("ui/open-link", {"url": "https://a.example"}),
    ],
)
def test_what_the_host_has_to_do_is_asked_for_and_answered_once(running, method, params):
    bridge = running.bridge
    assert running.request(method, params, "a") == [ViewAsk("a", method, params)]
    assert running.error("ping", id="a")[0] == -32600  # the id waits
    assert said(bridge.answer("a", {"ok": 1})) == [("", {"ok": 1})]
    assert bridge.answer("a", {"ok": 1}) == bridge.refuse("a", "no") == []
    assert running.request(method, params, "a") == [ViewAsk("a", method, params)]
    (refused,) = bridge.refuse("a", "denied", -32000, {"why": 1})
    assert refused.message["error"] == {"code": -32000, "message": "denied", "data": {"why": 1}}


def test_a_view_may_stop_what_it_asked_for(running):
    running.request("tools/call", {"name": "x"}, 5)
    cancelled = running.notify("notifications/cancelled", {"requestId": 5})
    assert cancelled == [Cancelled(5)]
    assert running.bridge.answer(5, {}) == []
    for other in (5, "5", True, None, []):
        assert running.notify("notifications/cancelled", {"requestId": other}) == []


def test_ways_to_be_shown():
    talk = Talk()
    talk.start(availableDisplayModes=["inline", "fullscreen"])
    shown = talk.request("ui/request-display-mode", {"mode": "fullscreen"})
    assert shown[0] == ViewShown("fullscreen")
    changed = ("ui/notifications/host-context-changed", {"displayMode": "fullscreen"})
    assert said(shown) == [("", {"mode": "fullscreen"}), changed]
    assert said(talk.request("ui/request-display-mode", {"mode": "pip"})) == [("", {"mode": "fullscreen"})]
    assert talk.bridge.show("inline")[0] == ViewShown("inline")
    assert talk.bridge.show("inline") == []
    only = Talk()
    only.start(availableDisplayModes=["inline"])
    assert said(only.request("ui/request-display-mode", {"mode": "fullscreen"})) == [("", {"mode": "inline"})]
    assert only.bridge.show("fullscreen") == []


def test_only_what_is_other_around_a_view_is_told(running):
    told = running.bridge.change_context({"theme": "dark", "displayMode": "inline"})
    assert said(told) == [("ui/notifications/host-context-changed", {"theme": "dark"})]
    assert running.bridge.change_context({"theme": "dark"}) == []


def test_a_view_is_asked_to_end_and_ends_when_it_answered(running):
    running.request("tools/call", {"name": "x"}, 5)
    (asked,) = running.bridge.tear_down("closed")
    assert asked.message["method"] == "ui/resource-teardown"
    assert asked.message["params"] == {"reason": "closed"}
    assert running.bridge.tear_down("again") == []
    assert running.error("tools/call", {"name": "x"}, 6)[0] == -32000
    assert running.say({"jsonrpc": "2.0", "id": asked.message["id"], "result": {}}) == [ViewClosed("closed")]
    assert running.bridge.state == "closed"
    assert running.bridge.answer(5, {}) == running.bridge.abandon("x") == running.bridge.tool_result({}) == []
    assert running.bridge.receive('{"jsonrpc": "2.0", "id": 1, "method": "ping"}', 99.0) == []


def test_a_view_that_never_began_ends_at_once(talk):
    assert talk.bridge.tear_down("closed") == [ViewClosed("closed")]


def test_an_error_ends_it_just_the_same(running):
    (asked,) = running.bridge.tear_down("closed")
    error = {"code": -32000, "message": "Teardown error"}
    assert running.say({"jsonrpc": "2.0", "id": asked.message["id"], "error": error}) == [
        ViewClosed("closed")
    ]


@pytest.mark.hostile
def test_a_flood_is_not_read_and_ends_the_view(running):
    ping = '{"jsonrpc": "2.0", "id": 1, "method": "ping"}'
    deeds = [running.bridge.receive(ping, 100.0) for _ in range(BURST + 1000)]
    assert sum(1 for each in deeds if said(each)) == BURST
    noted = [each for each in deeds[BURST:] if each]
    assert len(noted) == 1
    assert "some are not read" in noted[0][0].note
    assert running.bridge.dropped == 1000
    assert said(running.bridge.receive(ping, 101.0))  # it may go on when it is calm
    deeds = [running.bridge.receive(ping, 101.0) for _ in range(int(RATE) - 1)]
    assert all(said(each) for each in deeds)
    assert running.bridge.receive(ping, 101.0) == []
    (closed,) = running.bridge.miss(MAX_DROPPED)
    assert isinstance(closed, ViewClosed)
    assert running.bridge.miss(1) == []


@pytest.mark.hostile
def test_time_that_goes_back_gives_nothing(running):
    ping = '{"jsonrpc": "2.0", "id": 1, "method": "ping"}'
    for n in range(BURST):
        running.bridge.receive(ping, 100.0 - n)
    assert said(running.bridge.receive(ping, -1e9)) == []


@pytest.mark.hostile
def test_a_long_message_is_told_and_not_read(running):
    (heard,) = running.bridge.receive('{"a":"' + "x" * MAX_MESSAGE + '"}', 5.0)
    assert heard.message is None
    assert "longer than" in heard.note
    assert running.bridge.too_long(10**9, 6.0)[0].size == 10**9


@pytest.mark.hostile
def test_so_many_requests_wait_at_once(running):
    for n in range(MAX_WAITING):
        assert running.request("tools/call", {"name": "x"}, n)
    assert running.error("tools/call", {"name": "x"}, "more")[0] == -32000
    running.bridge.answer(0, {})
    assert running.request("tools/call", {"name": "x"}, "more") == [
        ViewAsk("more", "tools/call", {"name": "x"})
    ]
