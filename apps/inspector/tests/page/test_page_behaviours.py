"""What the official Inspector's test servers show one by one, in ours, in both eras.

Every call comes to its end, and no view has an error.
"""

from __future__ import annotations

import asyncio
import sys

import behaviours
import pytest
from inspected import until
from seeing import path
from walking import walk

from dovetail_inspector.session.calls import CallRequest
from dovetail_inspector.session.questions import PersonAnswer
from dovetail_inspector.views import ConnectionSettings, QuestionView, ServerTarget

SAMPLED = {"role": "assistant", "content": {"type": "text", "text": "boat"}, "model": "a person"}
COMES = {
    "weather": "rain in Oslo",
    "parcel": "'fragile': True",
    "shelf": "'pages': 1",
    "nothing": "content",
    "fail": "out of ink",
    "tell": "told",
    "confirm": "said True",
    "two_steps": "yes, yes",
    "model": "boat",
    "folders": "file:///tmp",
    "visit": "paid",
    "slowly": "done slowly",
    "change": "changed",
    "board": "a board",
}
ARGUMENTS = {"weather": {"city": "Oslo"}, "parcel": {"to": None, "fragile": True}}


def content(question: QuestionView) -> object:
    """What a person says to it."""
    if question.kind == "form":
        fields = (question.schema or {})["properties"]
        return {name: True if field.get("type") == "boolean" else "yes" for name, field in fields.items()}
    return SAMPLED if question.kind == "sampling" else "done"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
async def test_all_of_it_in_both_eras(seen, inspection, revision):
    settings = ConnectionSettings(revision=revision, roots=["file:///tmp"], log_level="debug")
    target = ServerTarget(command=sys.executable, args=[behaviours.__file__])
    server = inspection.add("behaviours", target, settings)
    server.connect()
    await server.connected()
    assert server.view.state == "ready", server.view.error
    await seen.open(path("s", server.id, "tools"))
    answered: set[str] = set()
    for kind, number in (("tools", 26), ("prompts", 12), ("resources", 14), ("templates", 1)):
        assert len((await inspection.listed(server.id, kind)).items) == number
    subscribed = CallRequest(kind="subscribe", uri="note://now")
    read = CallRequest(kind="read", uri="file:///a/b/c?line=3")
    tools = [CallRequest(kind="tool", name=each, arguments=ARGUMENTS.get(each, {})) for each in COMES]
    for request in (
        subscribed,
        read,
        *tools,
        CallRequest(kind="tool", name="slowly", arguments={}, as_task=True),
    ):
        call = inspection.call(server.id, request)
        while inspection.calls.view(call.id).state == "running":
            await until(
                lambda call=call: (
                    inspection.questions.views or inspection.calls.view(call.id).state != "running"
                )
            )
            for each in inspection.questions.views:
                if each.id not in answered:
                    answered.add(each.id)
                    inspection.answer(each.id, PersonAnswer("accept", content(each)))
            await asyncio.sleep(0)
        ended = inspection.calls.view(call.id)
        assert ended.state == "done", (request, ended.error)
        assert COMES.get(request.name, "") in str(ended.result)
    assert "a/b/c at 3" in str([each.result for each in inspection.calls.views])
    await walk(seen, inspection, server, list(COMES))
