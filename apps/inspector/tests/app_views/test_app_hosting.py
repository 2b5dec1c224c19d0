"""Views that are open: what a real server's tools, resources and calls come to for a view that talks to them."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import app_server
import msgspec
import pytest
from inspected import ended, until

from dovetail_inspector.app_views.hosting import MAX_OPEN, TEARDOWN, AppSurroundings, AppUnavailable
from dovetail_inspector.inspection import Inspection
from dovetail_inspector.session.calls import CallRequest
from dovetail_inspector.session.questions import AnswerRefused, PersonAnswer
from dovetail_inspector.session.server import InspectedServer
from dovetail_inspector.views import AppView, ConnectionSettings, ServerTarget

AROUND = AppSurroundings(theme="light", width=600, height=400, locale="en-GB", time_zone="Europe/Oslo")
HELLO = {
    "protocolVersion": "2026-01-26",
    "appInfo": {"name": "test", "version": "1"},
    "appCapabilities": {},
}


class Talking:
    """A view of the test's own, which talks with the host as a document would."""

    def __init__(self, inspection: Inspection, view: AppView) -> None:
        self.inspection = inspection
        self.id = view.id
        self._ids = 0

    @property
    def heard(self) -> list[dict[str, Any]]:
        """What the host told it until now."""
        events = self.inspection.events.after(0) or []
        told = [msgspec.json.decode(each.data) for each in events if each.type == "app-message"]
        return [each["message"] for each in told if each["app"] == self.id and each["sender"] == "host"]

    @property
    def view(self) -> AppView:
        """It, as it is now."""
        return self.inspection.apps.view(self.id)

    def say(self, method: str, params: Any = None, **members: Any) -> None:
        """Say something."""
        message = {"jsonrpc": "2.0", "method": method, "params": params or {}, **members}
        self.inspection.apps.receive(self.id, [json.dumps(message)])

    def send(self, method: str, params: Any = None) -> int:
        """Ask for something; gives the id of it."""
        self._ids += 1
        self.say(method, params, id=self._ids)
        return self._ids

    async def answered(self, id: int) -> dict[str, Any]:
        """The answer to a request."""
        return await until(lambda: next((each for each in self.heard if each.get("id") == id), None))

    async def ask(self, method: str, params: Any = None) -> dict[str, Any]:
        """Ask, and be answered."""
        return await self.answered(self.send(method, params))

    async def told(self, method: str) -> Any:
        """The parameters of a notification of the host."""
        found = await until(lambda: [each for each in self.heard if each.get("method") == method])
        return found[-1]["params"]

    async def start(self) -> dict[str, Any]:
        """Greet, and be initialized."""
        answer = await self.ask("ui/initialize", HELLO)
        self.say("ui/notifications/initialized")
        return answer["result"]


async def connected(inspection: Inspection, **settings: Any) -> InspectedServer:
    """The server with a view."""
    target = ServerTarget(command=sys.executable, args=[str(Path(app_server.__file__))])
    server = inspection.add("tower", target, ConnectionSettings(**settings))
    server.connect()
    await server.connected()
    assert server.view.state == "ready", server.view.error
    return server


async def opened(
    inspection: Inspection, server: InspectedServer, tool: str = "clock", **arguments: Any
) -> Talking:
    """A view, opened for a call of a tool."""
    call = inspection.call(server.id, CallRequest(kind="tool", name=tool, arguments=arguments))
    return Talking(inspection, await inspection.apps.open(server.id, call.id, AROUND))


@pytest.mark.parametrize("revision", ["auto", "2025-11-25"])
async def test_servers_are_told_that_there_are_views_in_both_eras(inspection, revision):
    server = await connected(inspection, revision=revision)
    await inspection.listed(server.id, "tools")
    said = inspection.info(server.id).client_capabilities
    declared = {"mimeTypes": ["text/html;profile=mcp-app"]}
    assert said["extensions"]["io.modelcontextprotocol/ui"] == declared
    other = await connected(inspection, revision=revision, apps=False)
    await inspection.listed(other.id, "tools")
    assert "io.modelcontextprotocol/ui" not in inspection.info(other.id).client_capabilities.get(
        "extensions", {}
    )


async def test_a_view_is_told_of_its_call_and_of_what_is_around_it(inspection):
    server = await connected(inspection)
    talk = await opened(inspection, server, city="Bergen")
    result = await talk.start()
    context = result["hostContext"]
    assert context["toolInfo"]["tool"]["name"] == "clock"
    assert (context["theme"], context["locale"], context["timeZone"]) == ("light", "en-GB", "Europe/Oslo")
    assert context["containerDimensions"] == {"width": 600, "maxHeight": 2000}
    assert result["hostCapabilities"]["sandbox"] == {
        "permissions": {"clipboardWrite": {}},
        "csp": {"connectDomains": [app_server.CONNECT]},
    }
    assert await talk.told("ui/notifications/tool-input") == {"arguments": {"city": "Bergen"}}
    assert (await talk.told("ui/notifications/tool-result"))["content"][0]["text"] == "noon in Bergen"
    order = [each.get("method") for each in talk.heard if "method" in each]
    assert order == ["ui/notifications/tool-input", "ui/notifications/tool-result"]
    assert talk.view.state == "running"
    assert talk.view.refused[0].startswith("connectDomains: '; script-src *: ")
    dark = msgspec.structs.replace(AROUND, theme="dark")
    inspection.apps.surround(talk.id, dark)
    assert await talk.told("ui/notifications/host-context-changed") == {"theme": "dark"}
    inspection.apps.show(talk.id, "fullscreen")
    told = [each["params"] for each in talk.heard if each.get("method", "").endswith("context-changed")]
    assert {"displayMode": "fullscreen"} in told
    assert {"containerDimensions": {"width": 600, "height": 400}} in told


async def test_a_call_without_a_result_is_told_as_such(inspection):
    server = await connected(inspection)
    talk = await opened(inspection, server, "sleepy")
    await talk.start()
    inspection.calls.cancel(talk.view.call)
    assert await talk.told("ui/notifications/tool-cancelled") == {"reason": "the call was cancelled"}
    late = await opened(inspection, server, city=5)
    await late.start()
    assert "city" in str(await late.told("ui/notifications/tool-result"))


@pytest.mark.parametrize("tool, says", [("secret", "has no view"), ("lost", "can't be read")])
async def test_a_view_that_can_not_be_opened_says_why(inspection, tool, says):
    server = await connected(inspection)
    with pytest.raises(AppUnavailable, match=says):
        await opened(inspection, server, tool)
    assert [each.type for each in inspection.events.after(0) or [] if each.type.startswith("app")] == []


async def test_a_view_is_for_a_call_of_its_server(inspection):
    server, other = await connected(inspection), await connected(inspection)
    call = inspection.call(other.id, CallRequest(kind="tool", name="clock", arguments={}))
    with pytest.raises(AppUnavailable, match="own server"):
        await inspection.apps.open(server.id, call.id, AROUND)
    ping = inspection.call(server.id, CallRequest(kind="ping"))
    with pytest.raises(AppUnavailable, match="own server"):
        await inspection.apps.open(server.id, ping.id, AROUND)
    with pytest.raises(LookupError):
        await inspection.apps.open(server.id, "c99", AROUND)


async def test_a_call_of_a_view_waits_for_the_person(inspection):
    server = await connected(inspection)
    talk = await opened(inspection, server)
    await talk.start()
    wanted = {"name": "refresh", "arguments": {"by": 1}}
    before = len(inspection.calls.views)
    id = talk.send("tools/call", wanted)
    question = (await until(lambda: inspection.questions.views))[0]
    assert (question.kind, question.params, question.call) == ("app-call", wanted, talk.view.call)
    assert len(inspection.calls.views) == before
    with pytest.raises(AnswerRefused):
        inspection.answer(question.id, PersonAnswer("accept", {"name": "other"}))
    inspection.answer(question.id, PersonAnswer("decline"))
    denied = (await talk.answered(id))["error"]
    assert denied == {"code": -32000, "message": "Tool call denied by user"}
    id = talk.send("tools/call", wanted)
    question = (await until(lambda: inspection.questions.views))[0]
    inspection.answer(question.id, PersonAnswer("accept", "always"))
    assert (await talk.answered(id))["result"]["content"][0]["text"] == "13 o'clock"
    again = await talk.ask("tools/call", wanted)
    assert again["result"]["content"][0]["text"] == "13 o'clock"
    assert [each.name for each in inspection.calls.views[before:]] == ["refresh", "refresh"]


async def test_tools_that_are_not_for_views_are_called_by_none(inspection):
    server = await connected(inspection, ask_app_calls=False)
    talk = await opened(inspection, server)
    await talk.start()
    before = len(inspection.calls.views)
    refused = (await talk.ask("tools/call", {"name": "secret"}))["error"]
    assert refused["code"] == -32000
    assert "visibility" in refused["message"]
    assert (await talk.ask("tools/call", {"name": "nothing"}))["error"]["code"] == -32602
    assert len(inspection.calls.views) == before
    listed = (await talk.ask("tools/list"))["result"]["tools"]
    assert {each["name"] for each in listed} == {"clock", "sleepy", "lost", "refresh", "wind"}
    inspection.apps.changed(server.id, "tools")
    assert await talk.told("notifications/tools/list_changed") == {}
    assert (await talk.ask("tools/call", {"name": "secret"}))["error"]["code"] == -32000


async def test_resources_and_errors_pass_as_the_server_gave_them(inspection):
    server = await connected(inspection, ask_app_calls=False)
    talk = await opened(inspection, server)
    await talk.start()
    read = await talk.ask("resources/read", {"uri": "clock://face"})
    assert read["result"]["contents"][0]["text"] == "twelve numbers"
    missing = (await talk.ask("resources/read", {"uri": "clock://none"}))["error"]
    assert missing["code"] in (-32002, -32602)
    assert "clock://none" in str(missing)
    bad = await talk.ask("tools/call", {"name": "refresh", "arguments": {"by": "x"}})
    assert bad["result"]["isError"] is True
    assert [each["uri"] for each in (await talk.ask("resources/list"))["result"]["resources"]]
    assert (await talk.ask("prompts/list"))["result"] == {"prompts": []}


async def test_a_view_hears_how_far_its_call_is_and_may_stop_it(inspection):
    server = await connected(inspection, ask_app_calls=False)
    talk = await opened(inspection, server)
    await talk.start()
    id = talk.send("tools/call", {"name": "wind", "_meta": {"progressToken": "w"}})
    step = await talk.told("notifications/progress")
    assert step == {"progressToken": "w", "progress": 1, "total": 3, "message": "turning"}
    talk.say("notifications/cancelled", {"requestId": id})
    call = await ended(inspection, inspection.calls.views[-1])
    assert (call.name, call.state) == ("wind", "cancelled")
    assert [each for each in talk.heard if each.get("id") == id] == []


NOT_OPENED = [
    "file:///etc/passwd",
    "javascript:alert(1)",
    "data:text/html,x",
    "//a.example",
    "https://",
    "http:a",
    "https://a.example/ x",
    "https://a.example/\u202e",
    "https://[",
    "https://a.example\\@b.example/",  # a browser goes to the first, other programs see the second
    "https://" + "a" * 9000,
]


async def test_an_address_that_may_not_be_opened_is_never_shown(inspection):
    server = await connected(inspection)
    talk = await opened(inspection, server)
    await talk.start()
    for url in NOT_OPENED:
        refused = (await talk.ask("ui/open-link", {"url": url}))["error"]
        assert (refused["code"], "Invalid URL" in refused["message"]) == (-32000, True), url
        assert inspection.questions.views == []


@pytest.mark.parametrize("action", ["accept", "decline"])
async def test_the_person_is_asked_before_an_address_is_opened(inspection, action):
    server = await connected(inspection)
    talk = await opened(inspection, server)
    await talk.start()
    id = talk.send("ui/open-link", {"url": "https://a.example/b"})
    question = (await until(lambda: inspection.questions.views))[0]
    assert (question.kind, question.url, question.host) == ("app-link", "https://a.example/b", "a.example")
    inspection.answer(question.id, PersonAnswer(action))
    answer = await talk.answered(id)
    assert answer.get("result") == ({} if action == "accept" else None)
    assert (action == "accept") or answer["error"]["message"] == "Link opening denied by user"


async def test_what_a_model_would_be_told_is_shown_and_the_last_counts(inspection):
    server = await connected(inspection)
    talk = await opened(inspection, server)
    await talk.start()
    for hour in (11, 12):
        await talk.ask("ui/update-model-context", {"structuredContent": {"hour": hour}})
    assert talk.view.context == {"structuredContent": {"hour": 12}}
    said = await talk.ask("ui/message", {"role": "user", "content": [{"type": "text", "text": "hello"}]})
    assert said["result"] == {}


async def test_what_a_view_has_said_at_length_is_not_told_with_each_change_of_it(inspection):
    server = await connected(inspection)
    talk = await opened(inspection, server)
    name = {"appInfo": {"name": "x" * 1_000_000, "version": "1"}}
    await talk.ask("ui/initialize", {**HELLO, **name})
    talk.say("ui/notifications/initialized")
    await talk.ask("ui/update-model-context", {"structuredContent": {"long": "x" * 1_000_000}})
    for height in range(100, 150):
        talk.say("ui/notifications/size-changed", {"height": height})
    assert talk.view.height == 149
    assert sum(len(each.data) for each in inspection.events.after(0) or []) < 500_000
    assert "1,000," in talk.view.app["omitted"]
    assert "1,000," in talk.view.context["omitted"]
    long = next(each for each in inspection.apps._all[talk.id].kept if each.method.endswith("model-context"))
    assert len(long.message["params"]["structuredContent"]["long"]) == 1_000_000


async def test_a_view_ends_when_it_answered_or_does_not(inspection):
    server = await connected(inspection)
    talk = await opened(inspection, server)
    await talk.start()
    assert inspection.apps.close(talk.id).state == "closing"
    asked = next(each for each in talk.heard if each.get("method") == "ui/resource-teardown")
    reply = {"jsonrpc": "2.0", "id": asked["id"], "result": {}}
    inspection.apps.receive(talk.id, [json.dumps(reply)])
    assert (talk.view.state, talk.view.reason) == ("closed", "the person closed it")
    silent = await opened(inspection, server)
    await silent.start()
    silent.say("ui/notifications/request-teardown")
    assert silent.view.state == "closing"
    loop = asyncio.get_running_loop()
    began = loop.time()
    await until(lambda: silent.view.state == "closed")
    assert loop.time() - began >= TEARDOWN / 2
    assert silent.view.reason == "the view asked for it"


async def test_views_end_with_their_server_and_stop_what_they_wait_for(inspection):
    server = await connected(inspection)
    talk = await opened(inspection, server)
    await talk.start()
    talk.send("tools/call", {"name": "refresh", "arguments": {"by": 1}})
    await until(lambda: inspection.questions.views)
    await server.disconnect()
    assert (talk.view.state, talk.view.reason) == ("closed", "the server is not connected any more")
    await until(lambda: not inspection.questions.views)
    inspection.apps.receive(talk.id, ['{"jsonrpc": "2.0", "id": 1, "method": "ping"}'])


async def test_of_too_many_views_the_oldest_ends(inspection):
    server = await connected(inspection)
    first = await opened(inspection, server)
    for _ in range(MAX_OPEN):
        await opened(inspection, server)
    with pytest.raises(LookupError):
        assert first.view
    told = [msgspec.json.decode(each.data) for each in inspection.events.after(0) or [] if each.type == "app"]
    assert any(each["id"] == first.id and each["state"] == "closed" for each in told)


async def test_long_messages_are_told_by_their_number(inspection):
    server = await connected(inspection)
    talk = await opened(inspection, server)
    talk.say("ui/notifications/sandbox-proxy-ready")
    await talk.start()
    talk.say("notifications/message", {"level": "info", "data": "x" * 100_000})
    events = [msgspec.json.decode(each.data) for each in inspection.events.after(0) or []]
    long = next(each for each in events if each.get("omitted"))
    assert long["message"] is None
    assert long["size"] > 100_000
    whole = inspection.apps.message(talk.id, long["n"])
    assert whole.message["params"]["data"] == "x" * 100_000
    with pytest.raises(LookupError):
        inspection.apps.message(talk.id, 99)
