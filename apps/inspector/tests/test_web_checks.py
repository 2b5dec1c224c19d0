"""Calls that are kept as checks from the page, and run."""

from inspected import ended, kitchen
from test_web_access import logged_in, served

from dovetail_inspector.inspection import Inspection
from dovetail_inspector.session.calls import CallRequest


async def test_a_call_is_kept_and_run(tmp_path):
    file = tmp_path / "checks.toml"
    async with Inspection(checks=file) as inspection:
        server = await kitchen(inspection, tmp_path)
        call = CallRequest(kind="tool", name="bake", arguments={"flour": 3, "fillings": []})
        view = await ended(inspection, inspection.call(server.id, call))
        async with served(inspection) as (address, access), logged_in(address, access) as session:
            kept = {"transcript": server.transcript, "record": view.records[0]}
            for _ in range(2):
                async with session.post("/api/checks/save", json=kept) as answer:
                    assert answer.status == 200, await answer.text()
            assert file.read_text().count("[[check]]") == 2
            assert file.read_text().count("[servers.") == 1
            async with session.post("/api/checks/run", json={}) as answer:
                results = (await answer.json())["results"]
            assert [each["state"] for each in results] == ["passed", "passed"]
            text = file.read_text().replace('"/grams" = 3', '"/grams" = 4', 1)
            async with session.put("/api/checks", json={"text": text}) as answer:
                assert answer.status == 200
            async with session.post("/api/checks/run", json={"names": [results[0]["name"]]}) as answer:
                (failed,) = (await answer.json())["results"]
            assert failed["state"] == "failed"
            assert "4" in failed["failures"][0]
            async with session.put("/api/checks", json={"text": "[[check]"}) as answer:
                assert answer.status == 400
            assert file.read_text() == text
            async with session.post("/api/checks/save", json={**kept, "record": 1}) as answer:
                assert answer.status == 400
