"""What the page asks of conversations and of what servers show, over HTTP."""

import json

from inspected import ended, kitchen, until
from test_web_access import logged_in, served

from dovetail.recording import CaptureWriter
from dovetail_inspector.session.calls import CallRequest
from dovetail_inspector.views import ConnectionSettings


async def cooked(inspection, folder, revision="auto", flour=77):
    """A conversation, and the server."""
    server = await kitchen(inspection, folder, ConnectionSettings(revision=revision))
    call = CallRequest(kind="tool", name="bake", arguments={"flour": flour, "fillings": []})
    await ended(inspection, inspection.call(server.id, call))
    return server


async def test_records_details_and_what_is_made_of_them(inspection, tmp_path):
    server = await cooked(inspection, tmp_path)
    async with served(inspection) as (address, access), logged_in(address, access) as session:

        async def get(path):
            async with session.get(path) as answer:
                assert answer.status == 200, await answer.text()
                return await answer.json()

        base = f"/api/transcripts/{server.transcript}"
        page = await get(f"{base}/records?start=2&limit=2")
        assert [each["n"] for each in page["records"]] == [2, 3]
        (found,) = (await get(f"{base}/records?query=method:tools/call+kind:request"))["records"]
        detail = await get(f"{base}/records/{found['n']}")
        assert detail["value"]["params"]["arguments"]["flour"] == 77
        timeline = await get(f"{base}/timeline")
        (call,) = [each for each in timeline["spans"] if each["method"] == "tools/call"]
        assert (call["target"], call["outcome"], call["record"]) == ("bake", "ok", found["n"])
        assert "tools/call" in [each["method"] for each in timeline["latencies"]]
        har = await get(f"{base}/export?format=har")
        assert har["log"]["version"] == "1.2"
        traces = await get(f"{base}/export?format=otlp&redact=no")
        assert traces["resourceSpans"]
        async with session.get(f"{base}/export?format=jsonl") as answer:
            assert "attachment" in answer.headers["content-disposition"]
            data = await answer.read()
        assert "redacted" not in json.loads(data.splitlines()[0])  # true is its default
        async with session.post("/api/captures?name=copy", data=data) as answer:
            assert answer.status == 201
            copy = (await answer.json())["id"]
        inspection.catch_up()
        compared = await get(f"/api/compare/transcripts?a={server.transcript}&b={copy}")
        assert {each["kind"] for each in compared["rows"]} == {"same"}
        async with session.patch(f"/api/transcripts/{copy}", json={"name": "second"}) as answer:
            assert (await answer.json())["name"] == "second"
        async with session.delete(f"/api/transcripts/{copy}") as answer:
            assert answer.status == 200
        assert copy not in inspection.transcripts


async def test_a_message_is_sent_again_edited(inspection, tmp_path):
    server = await cooked(inspection, tmp_path)
    async with served(inspection) as (address, access), logged_in(address, access) as session:
        params = {"name": "bake", "arguments": {"flour": 5}}
        body = {"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": params}
        sent = {"server": server.id, "body": body}
        async with session.post(f"/api/transcripts/{server.transcript}/send", json=sent) as answer:
            assert answer.status == 201
            call = await answer.json()
        view = await ended(inspection, inspection.calls.view(call["id"]))
        assert view.result["structuredContent"] == {"grams": 5}
        for wrong in ({"id": 1}, [], {"method": 1}, {"method": "x", "params": []}):
            async with session.post(
                f"/api/transcripts/{server.transcript}/send", json={"server": server.id, "body": wrong}
            ) as answer:
                assert answer.status == 400


async def test_what_is_written_to_send_a_message_again_is_without_what_the_client_writes(
    inspection, tmp_path
):
    server = await kitchen(inspection, tmp_path, ConnectionSettings(meta={"a.example/x": 1}))
    call = CallRequest(kind="tool", name="bake", arguments={"flour": 7})
    first = await ended(inspection, inspection.call(server.id, call))
    transcript = inspection.transcripts[server.transcript]
    (asked,) = first.records
    detail = transcript.detail(asked)
    written = set(detail.value["params"]["_meta"])
    assert {"progressToken", "io.modelcontextprotocol/clientCapabilities", "a.example/x"} <= written
    assert detail.draft["params"]["_meta"] == {"a.example/x": 1}
    assert transcript.detail(detail.record.pair).draft is None
    async with served(inspection) as (address, access), logged_in(address, access) as session:
        sent = {"server": server.id, "body": detail.draft}
        async with session.post(f"/api/transcripts/{server.transcript}/send", json=sent) as answer:
            assert answer.status == 201
            call = await answer.json()
    view = await ended(inspection, inspection.calls.view(call["id"]))
    assert (view.state, view.error) == ("done", None)
    again = transcript.detail(view.records[0])
    assert set(again.value["params"]["_meta"]) == written


async def test_what_two_servers_show_is_compared(inspection, tmp_path):
    server = await cooked(inspection, tmp_path)
    async with served(inspection) as (address, access), logged_in(address, access) as session:
        async with session.post(f"/api/servers/{server.id}/snapshot") as answer:
            first = (await answer.json())["id"]
        place = tmp_path / "kitchen.py"
        place.write_text(place.read_text().replace("flour: int", "flour: str"))
        server.connect()
        await server.connected()
        async with session.post(f"/api/servers/{server.id}/snapshot") as answer:
            second = (await answer.json())["id"]
        async with session.get(f"/api/compare/surfaces?a={first}&b={second}") as answer:
            changes = (await answer.json())["changes"]
        assert (changes[0]["name"], changes[0]["severity"]) == ("bake", "breaking")
        async with session.get(f"/api/compare/surfaces?a={first}&b=no") as answer:
            assert answer.status == 404


async def test_tasks_are_shown_in_both_vocabularies(inspection, tmp_path):
    async with served(inspection) as (address, access), logged_in(address, access) as session:
        for revision in ("2025-11-25", "2026-07-28"):
            server = await kitchen(inspection, tmp_path, ConnectionSettings(revision=revision))
            call = CallRequest(kind="tool", name="slow", as_task=True)
            view = await ended(inspection, inspection.call(server.id, call))
            assert view.task
            async with session.get(f"/api/servers/{server.id}/tasks") as answer:
                (task,) = (await answer.json())["tasks"]
            assert (task["taskId"], task["status"]) == (view.task, "completed")


async def test_a_capture_that_another_process_writes_is_followed(inspection, tmp_path):

    writer = CaptureWriter(tmp_path / "live.jsonl")
    link = writer.link("stdio", "x")
    view = inspection.open_capture(tmp_path / "live.jsonl", live=True)
    transcript = inspection.transcripts[view.id]
    await until(lambda: len(transcript) == 1)
    link.message("client", b'{"jsonrpc":"2.0","id":1,"method":"ping"}')
    await until(lambda: len(transcript) == 2)
    writer.close()
