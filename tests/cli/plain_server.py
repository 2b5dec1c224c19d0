"""A server of lines that is not ours, for the tests of the command line: results in every shape that implementations
give. The first argument says how it treats a tool that it does not have: "error" or "result"; or what is broken.
"""

import base64
import json
import sys

HOW = sys.argv[1] if len(sys.argv) > 1 else "error"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n\x00\xff").decode()
WAV = base64.b64encode(b"RIFF\x00\x01").decode()


def text(*lines):
    """Text blocks."""
    return [{"type": "text", "text": line} for line in lines]


IMAGE = {"type": "image", "data": PNG, "mimeType": "image/png"}
SOUND = {"type": "audio", "data": WAV, "mimeType": "audio/wav"}
BLOB = {"type": "resource", "resource": {"uri": "x://y", "blob": WAV}}
RESULTS = {
    "compact": {"content": text('{"a":1,"b":[2]}'), "structuredContent": {"a": 1, "b": [2]}},
    "wrapped": {"content": text("hello"), "structuredContent": {"result": "hello"}},
    "number": {"content": text("2.0"), "structuredContent": {"result": 2}},
    "python": {"content": text("{'a': None, 'b': True}"), "structuredContent": {"a": None, "b": True}},
    "member": {"content": text("one\ntwo"), "structuredContent": {"content": "one\ntwo"}},
    "items": {"content": text("a", "2"), "structuredContent": {"result": ["a", 2]}},
    "blocks": {"content": text("x"), "structuredContent": {"content": text("x")}},
    "prose": {"content": text("It is 21 degrees"), "structuredContent": {"temperature": 21}},
    "named": {"content": text("21"), "structuredContent": {"temperature": 21}},
    "picture": {"content": [IMAGE]},
    "captioned": {"content": [*text("a picture"), IMAGE]},
    "several": {"content": [*text("three"), IMAGE, SOUND, BLOB]},
    "broken": {"content": [*text("half"), {**IMAGE, "data": "!"}]},
    "failing": {"content": text("first\n  second \x1b[2J\nthird"), "isError": True},
    "escaping": {"content": text("a\x1b[31mb\u202ec\n")},
    "large": {"content": text("é\x9b line\n" * 300_000)},
    "unicode": {"content": text("žluť \U0001f40e")},
    "given": {},
}
TOOLS = [
    {"name": name, "inputSchema": {"type": "object", "properties": {"message": {"type": "string"}}}}
    for name in RESULTS
]


def answer(method, params):
    """The members of a reply."""
    if method == "initialize":
        offered = {"tools": {}, "prompts": {}, "resources": {}}
        about = {"name": "plain \x1b[31m", "version": "1"}
        instructions = "First:\n\n  * look \x1b[2J\n  * leap\n"
        found = {"protocolVersion": "2025-06-18", "capabilities": offered, "serverInfo": about}
        return {"result": {**found, "instructions": instructions}}
    if method == "tools/list" and HOW != "listless":
        return {"result": {"tools": TOOLS}}
    if method == "prompts/list" and HOW == "promptless":
        return {"error": {"code": -32603, "message": "prompts are broken"}}
    lists = {"resources/list": "resources", "prompts/list": "prompts"}
    if method in lists:
        return {"result": {lists[method]: []}}
    if method == "resources/templates/list":
        return {"result": {"resourceTemplates": []}}
    if method == "tools/call":
        return called(params)
    return {"error": {"code": -32601, "message": "Method not found"}}


def called(params):
    """The answer to a call."""
    name = params["name"]
    if name == "given":
        return {"result": {"content": text(json.dumps(params.get("arguments")))}}
    if name in RESULTS:
        return {"result": RESULTS[name]}
    if HOW == "result":
        return {"result": {"content": text(f"Tool {name} not found"), "isError": True}}
    return {"error": {"code": -32602, "message": f"Unknown tool: {name}"}}


def main():
    """Answer line by line."""
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message and HOW != "silent":
            found = answer(message["method"], message.get("params"))
            print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **found}), flush=True)  # noqa: T201 - the wire


if __name__ == "__main__":
    main()
