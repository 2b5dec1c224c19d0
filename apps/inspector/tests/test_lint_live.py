"""What is wrong with messages is told while they come."""

import json
import sys

from inspected import ended, kitchen

from dovetail.recording import CaptureWriter, Redaction
from dovetail_inspector.session.calls import CallRequest
from dovetail_inspector.views import ConnectionSettings, ServerTarget


async def test_a_server_of_ours_has_no_error(inspection, tmp_path):
    for revision in ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"):
        server = await kitchen(inspection, tmp_path, ConnectionSettings(revision=revision))
        for name in ("bake", "fail"):
            call = CallRequest(kind="tool", name=name, arguments={"flour": 1} if name == "bake" else {})
            await ended(inspection, inspection.call(server.id, call))
        assert server.transcript is not None
        transcript = inspection.transcripts[server.transcript]
        worst = [(each.rule, each.what) for found in transcript.findings.values() for each in found]
        assert transcript.view().findings.get("error", 0) == 0, worst


def test_a_fault_is_at_its_record_and_can_be_looked_for(inspection, tmp_path):
    path = tmp_path / "wrong.jsonl"
    writer = CaptureWriter(path, redaction=Redaction(defaults=False))
    link = writer.link("stdio", "wrong")
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "x", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}
    link.message("client", json.dumps(asked).encode())
    link.message("server", b'{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"x"}]}}')
    link.message("server", b'{"jsonrpc":"2.0","id":7,"result":{}}')
    writer.close()
    found = inspection.open_capture(path)
    inspection.catch_up()
    transcript = inspection.transcripts[found.id]
    assert [each.findings for each in transcript][2:] == ["error", "error"]
    (unknown,) = transcript.findings[4]
    assert transcript.page(query=f"rule:{unknown.rule}").total == 1
    assert transcript.page(query="is:finding").total == 2
    assert transcript.detail(4).findings == [unknown]


BAD_LISTS = """
import json, sys

for line in sys.stdin:
    asked = json.loads(line)
    method, id = asked.get("method"), asked.get("id")
    if method == "initialize":
        about = {"serverInfo": {"name": "bad", "version": "1"}, "capabilities": {"tools": {}}}
        result = {"protocolVersion": "2025-11-25", **about}
    elif method == "tools/list":
        page = (asked.get("params") or {}).get("cursor")
        good = {"name": "good", "description": "Good.", "inputSchema": {"type": "object"}}
        bad = {"name": "not a name!", "inputSchema": {"type": "object"}}
        result = {"tools": [good, bad]} if page else {"tools": [good], "nextCursor": "2"}
    else:
        if id is not None:
            print(json.dumps({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "no"}}), flush=True)
        continue
    print(json.dumps({"jsonrpc": "2.0", "id": id, "result": result}), flush=True)
"""


async def test_what_is_wrong_with_an_entry_is_noted_beside_it(inspection, tmp_path):
    (tmp_path / "bad.py").write_text(BAD_LISTS)
    server = inspection.add("bad", ServerTarget(command=sys.executable, args=[str(tmp_path / "bad.py")]))
    server.connect()
    await server.connected()
    view = await inspection.listed(server.id, "tools")
    assert [each["name"] for each in view.items] == ["good", "good", "not a name!"]
    assert any("name" in each.rule for each in view.notes[2])
    assert 0 not in view.notes
