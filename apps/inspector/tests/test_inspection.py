"""The Inspector without a face: servers, calls, questions, conversations."""

from typing import Any

import pytest
from inspected import ended, kitchen, question, until

from dovetail import App
from dovetail.testing import served
from dovetail_inspector.session.calls import CallRequest
from dovetail_inspector.session.questions import AnswerRefused, PersonAnswer
from dovetail_inspector.session.server import NotConnected
from dovetail_inspector.views import ConnectionSettings, ServerTarget

ERAS = ["2025-11-25", "2026-07-28"]


@pytest.mark.parametrize("revision", ERAS)
async def test_a_call_is_told_with_its_progress_and_belongs_to_its_records(inspection, tmp_path, revision):
    server = await kitchen(inspection, tmp_path, ConnectionSettings(revision=revision))
    assert server.view.revision == revision
    assert [each["name"] for each in await server.listed("tools")] == [
        "bake",
        "serve",
        "wait",
        "fail",
        "slow",
    ]
    arguments = {"flour": 300, "fillings": [{"name": "apple"}, {"name": "nut", "grams": 50}]}
    view = await ended(
        inspection, inspection.call(server.id, CallRequest(kind="tool", name="bake", arguments=arguments))
    )
    assert view.state == "done"
    assert view.result["structuredContent"] == {"grams": 450}
    assert view.checked
    assert [each.message for each in view.progress] == ["step 1", "step 2", "step 3"]
    transcript = inspection.transcripts[server.transcript]
    (asked,) = view.records
    assert server.transcript is not None
    group = [each for each in transcript if each.group == asked]
    assert [each.kind for each in group] == ["request", *["notification"] * 3, "response"]
    assert group[0].pair == group[-1].n
    assert (group[-1].latency or 0) > 0
    assert "the oven is hot" in [each.summary for each in transcript if each.kind == "stderr"]


@pytest.mark.parametrize("revision", ERAS)
async def test_a_form_waits_for_the_person(inspection, tmp_path, revision):
    server = await kitchen(inspection, tmp_path, ConnectionSettings(revision=revision))
    call = inspection.call(server.id, CallRequest(kind="tool", name="serve"))
    asked = await question(inspection)
    assert (asked.kind, asked.message, asked.call) == ("form", "Who eats?", call.id)
    assert "value" in (asked.schema or {})["properties"]
    with pytest.raises(AnswerRefused, match="object"):
        inspection.answer(asked.id, PersonAnswer("accept", "Ada"))
    inspection.answer(asked.id, PersonAnswer("accept", {"value": "Ada"}))
    view = await ended(inspection, call)
    assert view.result["content"][0]["text"] == "for Ada"
    assert inspection.questions.views == []
    with pytest.raises(LookupError, match="does not wait"):
        inspection.answer(asked.id, PersonAnswer("accept", {"value": "Ada"}))
    transcript = inspection.transcripts[server.transcript]
    group = [each for each in transcript if each.group == view.records[0]]
    assert len([each for each in group if each.kind == "request"]) == 2


async def test_rounds_are_stepped_through(inspection, tmp_path):
    server = await kitchen(inspection, tmp_path, ConnectionSettings(step_rounds=True))
    call = inspection.call(server.id, CallRequest(kind="tool", name="serve", arguments={}))
    asked = await question(inspection)
    params = asked.params or {}
    assert (asked.kind, params["round"]) == ("round", 1)
    (key,) = params["inputRequests"]
    with pytest.raises(AnswerRefused):
        inspection.answer(asked.id, PersonAnswer("accept", []))
    responses = {key: {"action": "accept", "content": {"value": "Bob"}}}
    inspection.answer(asked.id, PersonAnswer("accept", responses))
    assert (await ended(inspection, call)).result["content"][0]["text"] == "for Bob"


async def test_what_fails_is_told_and_what_is_cancelled_ends(inspection, tmp_path):
    server = await kitchen(inspection, tmp_path)
    failed = await ended(inspection, inspection.call(server.id, CallRequest(kind="tool", name="fail")))
    assert failed.state == "done"
    assert failed.result["isError"]
    unknown = await ended(inspection, inspection.call(server.id, CallRequest(kind="tool", name="boil")))
    assert unknown.state == "failed"
    assert unknown.error is not None
    assert unknown.error.code == -32602
    waiting = inspection.call(server.id, CallRequest(kind="tool", name="wait"))
    inspection.calls.cancel(waiting.id)
    assert (await ended(inspection, waiting)).state == "cancelled"


@pytest.mark.parametrize("revision", ERAS)
async def test_every_kind_of_call(inspection, tmp_path, revision):
    server = await kitchen(inspection, tmp_path, ConnectionSettings(revision=revision))

    async def made(**members):
        view = await ended(inspection, inspection.call(server.id, CallRequest(**members)))
        assert view.state == "done", view.error
        return view.result

    assert (await made(kind="read", uri="menu://today"))["contents"][0]["text"] == "pie"
    assert "One pie" in str(await made(kind="prompt", name="order", arguments={"dish": "pie"}))
    assert (await made(kind="complete", ref="order", argument={"name": "dish", "value": ""}))["completion"]
    await made(kind="ping")
    await made(kind="subscribe", uri="menu://today")
    assert server.view.subscriptions == ["menu://today"]
    await made(kind="unsubscribe", uri="menu://today")
    assert server.view.subscriptions == []
    await made(kind="log-level", level="debug")
    assert (await made(kind="request", method="tools/list", params={}))["tools"]
    assert (await made(kind="tool", name="slow", as_task=True))["content"][0]["text"] == "done"


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
async def test_what_was_subscribed_to_ends_with_the_connection(inspection, tmp_path, revision):
    server = await kitchen(inspection, tmp_path, ConnectionSettings(revision=revision))
    call = inspection.call(server.id, CallRequest(kind="subscribe", uri="menu://today"))
    assert (await ended(inspection, call)).state == "done"
    assert server.view.subscriptions == ["menu://today"]
    server.connect()
    await server.connected()
    assert server.view.state == "ready"
    assert server.view.subscriptions == []


async def test_a_server_that_is_none_says_why(inspection, tmp_path):
    server = inspection.add("gone", ServerTarget(command=str(tmp_path / "nothing")))
    with pytest.raises(NotConnected):
        inspection.call(server.id, CallRequest(kind="ping"))
    server.connect()
    await server.connected()
    assert server.view.state == "failed"
    assert server.view.error is not None
    assert "nothing" in server.view.error.message
    with pytest.raises(ValueError, match="command or a URL"):
        inspection.add("neither", ServerTarget())


async def test_a_server_that_goes_away_closes_its_questions_and_its_capture_can_be_opened(
    inspection, tmp_path
):
    server = await kitchen(inspection, tmp_path)
    call = inspection.call(server.id, CallRequest(kind="tool", name="serve"))
    await question(inspection)
    await server.disconnect()
    assert inspection.questions.views == []
    assert inspection.calls.view(call.id).state == "cancelled"
    inspection.catch_up()
    transcript = inspection.transcripts[server.transcript]
    assert transcript.path.stat().st_mode & 0o077 == 0
    again = inspection.take_capture(transcript.path.read_bytes(), "copy")
    inspection.catch_up()
    assert inspection.transcripts[again.id].view().count == len(transcript)
    shown = [(each.kind, each.method, each.pair, each.group) for each in inspection.transcripts[again.id]]
    assert shown == [(each.kind, each.method, each.pair, each.group) for each in transcript]


async def test_records_are_found_by_words(inspection, tmp_path):
    server = await kitchen(inspection, tmp_path)
    await ended(
        inspection,
        inspection.call(server.id, CallRequest(kind="tool", name="bake", arguments={"flour": 4321})),
    )
    transcript = inspection.transcripts[server.transcript]

    def found(query):
        return [(each.kind, each.method) for each in transcript.page(query=query).records]

    assert found("method:tools/call kind:request") == [("request", "tools/call")]
    assert found("4321 from:client") == [("request", "tools/call")]
    assert found("method:tools/* -kind:request") == [("response", "tools/call")]
    assert found('"no such words"') == []
    assert found("is:stderr") == [("stderr", "")]
    assert transcript.page(start=2, limit=1).records[0].n == 2
    detail = transcript.detail(transcript.page(query="4321 from:client").records[0].n)
    assert detail.value["params"]["arguments"] == {"flour": 4321}
    with pytest.raises(LookupError):
        transcript.detail(10_000)


async def test_what_ended_a_session_is_told_no_more_when_there_is_another(inspection):
    now: list[Any] = [App("first").asgi()]

    async def site(scope: Any, receive: Any, send: Any) -> None:
        await now[0](scope, receive, send)

    async with served(site) as url:
        server = inspection.add("again", ServerTarget(url=url), ConnectionSettings(revision="2025-11-25"))
        server.connect()
        await server.connected()
        assert server.view.state == "ready", server.view.error
        now[0] = App("second").asgi()  # it was started anew, and knows no session of the first
        await ended(inspection, inspection.call(server.id, CallRequest(kind="ping")))
        await until(lambda: server.view.renewals == 1 and server.view.state == "ready")
        assert server.view.error is None
