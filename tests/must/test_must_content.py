"""What tools, prompts and resources give: encodings, types, addresses, and what they refuse to be given."""

import asyncio
import base64
import json
from typing import Annotated, Any, Literal

import pytest
from must_peer import RawPeer, full_app

from dovetail import App, Audio, Client, File, Header, Image, RegistrationError, user
from dovetail.protocol.bindings.headers import InvalidHeaderValue, mirror
from dovetail.protocol.header_parameters import header_parameters
from dovetail.protocol.revisions import REVISIONS
from dovetail.protocol.types import EmbeddedResource, ResourceContents
from wire_of_server import Wire

EVERY = pytest.mark.parametrize("revision", REVISIONS)
PNG = b"\x89PNG\r\n\x1a\n\x00\xff"


def media_app() -> App:
    app = App("media")

    @app.prompt
    async def shown() -> list[Any]:
        return [
            user(Image(data=PNG)),
            user(Audio(data=PNG)),
            user(File(data=PNG, name="a.bin")),
            user(
                EmbeddedResource(resource=ResourceContents(uri="note://a", mime_type="text/plain", text="hi"))
            ),
        ]

    @app.resource("data://raw")
    async def raw() -> bytes:
        return PNG

    @app.resource("data://view", mime_type="image/png")
    async def view() -> memoryview:
        return memoryview(PNG)

    @app.resource("data://image")
    async def image() -> Image:
        return Image(data=PNG)

    return app


@EVERY
@pytest.mark.requirement(
    "R2511-PROMPTS-003",
    "R2511-PROMPTS-004",
    "R2511-PROMPTS-005",
    "R2607-PROMPTS-008",
    "R2607-PROMPTS-009",
    "R2607-PROMPTS-011",
)
async def test_media_in_prompts_is_base64_and_named_by_type(revision: str, connect: Any) -> None:
    wire = await connect(media_app(), revision)
    messages = (await wire.result("prompts/get", {"name": "shown"}))["messages"]
    image, audio, file, embedded = (message["content"] for message in messages)
    assert (image["type"], image["mimeType"]) == ("image", "image/png")
    assert base64.b64decode(image["data"], validate=True) == PNG
    if revision >= "2025-03-26":
        assert audio["mimeType"] == "audio/wav"
        assert base64.b64decode(audio["data"], validate=True) == PNG
    else:
        assert audio["type"] == "text"
    resource = file["resource"]
    assert resource["uri"]
    assert resource["mimeType"]
    assert base64.b64decode(resource["blob"], validate=True) == PNG
    assert embedded["resource"] == {"uri": "note://a", "mimeType": "text/plain", "text": "hi"}


@EVERY
@pytest.mark.parametrize("name", ["raw", "view", "image"])
@pytest.mark.requirement("R2511-RESOURCES-010", "R2607-RESOURCES-019")
async def test_bytes_of_resources_are_base64(revision: str, name: str, connect: Any) -> None:
    wire = await connect(media_app(), revision)
    (contents,) = (await wire.result("resources/read", {"uri": f"data://{name}"}))["contents"]
    assert base64.b64decode(contents["blob"], validate=True) == PNG
    assert "text" not in contents
    assert contents["mimeType"]


@pytest.mark.parametrize(
    "uri",
    [
        *(
            "today",
            "/today",
            "1note://a",
            "no te://a",
            "note://a b",
            "note://\u00e4",
            "note://a\x00",
            "note://a\nb",
        ),
        *(
            "note://%",
            "note://%zz",
            "note:\\\\a",
            "://a",
            "",
            "{scheme}://a",
            "note://<a>",
            'note://"a"',
            "no_te:a",
        ),
    ],
)
@pytest.mark.requirement("R2511-RESOURCES-006", "R2607-RESOURCES-012")
def test_an_address_that_is_no_uri_is_refused_at_registration(uri: str) -> None:
    app = App("strict")

    def read(scheme: str = "") -> str:
        return ""

    with pytest.raises(RegistrationError, match="test_must_content"):
        app.add_resource(read, uri)


@pytest.mark.parametrize("uri", ["note:a", "x-y.z+1://h/p?q#f", "urn:isbn:1", "note://a%20b", "file:///a/b"])
@pytest.mark.requirement("R2511-RESOURCES-006", "R2607-RESOURCES-012")
def test_schemes_of_ones_own_are_fine(uri: str) -> None:
    App("own").add_resource(lambda: "", uri, name="r")


@EVERY
@pytest.mark.hostile
@pytest.mark.parametrize(
    "path",
    [
        *(
            "../etc/passwd",
            "a/../../b",
            "..",
            "%2e%2e/a",
            "a/%2E%2E/%2e%2e/b",
            "..%2fa",
            "a%2f..%2fb",
            "a\\..\\b",
        ),
        *("%5c..%5cb", "a%00b", "%00", "//etc/passwd", "%2fetc%2fpasswd", "C:/x", "a/%ff", "\u202e", "a b"),
    ],
)
@pytest.mark.requirement(
    "R2511-RESOURCES-008",
    "R2607-RESOURCES-017",
    "R2607-RESOURCES-021",
    "R2607-RESOURCES-013",
    "R2607-RESOURCES-016",
)
async def test_an_address_that_climbs_or_is_no_uri_reads_nothing(
    revision: str, path: str, connect: Any
) -> None:
    app = App("files")
    read: list[str] = []

    @app.resource("file:///{+path}")
    async def file(path: str) -> str:
        read.append(path)
        return path

    @app.resource("note://{name}")
    async def note(name: str) -> str:
        read.append(name)
        return name

    wire = await connect(app, revision)
    for uri in (f"file:///{path}", f"note://{path}"):
        answer = await wire.request("resources/read", {"uri": uri})
        if "result" in answer:
            assert answer["result"]["contents"]  # matched as something harmless
        else:
            assert answer["error"]["code"] == (-32602 if wire.stateless else -32002)
    assert not [
        each
        for each in read
        if ".." in each or "\x00" in each or each.startswith(("/", "\\")) or "\\" in each
    ]


@EVERY
@pytest.mark.parametrize("uri", ["note://none", "", "x", "note://a/b/c/d", "note://" + "a" * 100_000])
@pytest.mark.requirement(
    "R2607-RESOURCES-013",
    "R2607-RESOURCES-016",
    "R2511-RESOURCES-008",
    "R2607-RESOURCES-017",
    "R2511-RESOURCES-007",
)
async def test_a_resource_that_is_not_there_is_an_error_and_never_empty(
    revision: str, uri: str, connect: Any
) -> None:
    wire = await connect(full_app(), revision)
    error = await wire.error("resources/read", {"uri": uri})
    assert error["code"] == (-32602 if wire.stateless else -32002)
    assert len(json.dumps(error)) < 10_000


@EVERY
@pytest.mark.hostile
@pytest.mark.parametrize(
    "arguments",
    [
        *({}, {"name": 5}, {"name": None}, {"name": ["x"]}, {"name": {"x": 1}}, {"nome": "x"}, [], "x"),
        {"name": "x", "level": "loud"},
    ],
)
@pytest.mark.requirement("R2511-PROMPTS-010", "R2607-PROMPTS-016", "R2511-PROMPTS-007", "R2607-PROMPTS-013")
async def test_arguments_that_a_prompt_does_not_take_are_refused(
    revision: str, arguments: Any, connect: Any
) -> None:
    app = App("strict")

    @app.prompt
    async def greet(name: str, level: Literal["low", "high"] = "low") -> str:
        return f"{level} {name}"

    wire = await connect(app, revision)
    assert (await wire.error("prompts/get", {"name": "greet", "arguments": arguments}))["code"] == -32602


@EVERY
@pytest.mark.requirement("R2511-PROMPTS-010", "R2607-PROMPTS-016")
async def test_what_a_prompt_is_given_stays_one_value(revision: str, connect: Any) -> None:
    wire = await connect(full_app(), revision)
    hostile = 'x"}]}\n\n{"role":"assistant"} {0} {name.__class__} %s \x00\u2028\u202e'
    got = await wire.result("prompts/get", {"name": "greet", "arguments": {"name": hostile}})
    assert got["messages"] == [{"role": "user", "content": {"type": "text", "text": f"hello {hostile}"}}]


@EVERY
@pytest.mark.hostile
@pytest.mark.requirement("R2511-COMPLETION-005", "R2607-COMPLETION-006")
async def test_completion_checks_what_it_is_asked_and_tells_only_of_itself(
    revision: str, connect: Any
) -> None:
    wire = await connect(full_app(), revision)
    ref = {"type": "ref/prompt", "name": "greet"}
    argument = {"name": "name", "value": "x"}
    for params in (
        {"ref": {"type": "ref/tool", "name": "add"}, "argument": argument},
        {"ref": ref, "argument": {"name": "name", "value": 5}},
        {"ref": ref},
        {"argument": argument},
        {"ref": {"type": "ref/prompt"}, "argument": argument},
    ):
        assert (await wire.error("completion/complete", params))["code"] == -32602
    for other in (
        {"type": "ref/prompt", "name": "absent"},
        {"type": "ref/resource", "uri": "file:///etc/{x}"},
    ):
        refused = await wire.error("completion/complete", {"ref": other, "argument": argument})
        assert refused["code"] == -32602
    unheard_of = {"ref": ref, "argument": {"name": "nothing", "value": "x"}}
    found = await wire.result("completion/complete", unheard_of)
    assert found["completion"]["values"] == []


@EVERY
@pytest.mark.requirement("R2511-COMPLETION-005", "R2607-COMPLETION-006", "R2511-TOOLS-020", "R2607-TOOLS-042")
async def test_callers_from_elsewhere_have_a_rate(revision: str) -> None:
    app = full_app(rate_limit=1.0, burst=3)
    wire = Wire(app, revision)
    wire.connection._remote = "203.0.113.9"
    await wire.open()
    complete = {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "name", "value": "x"}}
    call = {"name": "add", "arguments": {"a": 1, "b": 1}}
    answers = [await wire.request("completion/complete", complete) for _ in range(2)]
    answers += [await wire.request("tools/call", call) for _ in range(2)]
    assert ["error" in answer for answer in answers] == [False, False, False, True]
    assert answers[-1]["error"]["data"]["retryAfter"] > 0
    other = Wire(app, revision)
    other.connection._remote = "203.0.113.10"
    await other.open()
    assert "result" in await other.request("tools/call", call)
    for each in (wire, other):
        await each.close()
    await app.service.stop()


@EVERY
@pytest.mark.requirement("R2511-PING-001")
async def test_a_ping_is_answered_while_everything_is_busy(revision: str, connect: Any) -> None:
    app = App("busy")
    entered = asyncio.Event()

    @app.tool
    async def wait() -> None:
        entered.set()
        await asyncio.Event().wait()

    wire = await connect(app, revision)
    for n in range(50):
        await wire.start(f"w{n}", "tools/call", {"name": "wait"})
    await entered.wait()
    if wire.stateless:
        assert (await wire.error("ping"))["code"] == -32601
        return
    async with asyncio.timeout(5):
        assert await wire.result("ping") == {}
    peer = RawPeer(lambda *_: None, revision=revision)
    async with Client(peer, revision=revision):
        peer.say(id="p", method="ping")
        async with asyncio.timeout(5):
            while not [message for message in peer.seen if message.get("id") == "p"]:  # noqa: ASYNC110 - the peer is a plain list
                await asyncio.sleep(0)
    assert [message["result"] for message in peer.seen if message.get("id") == "p"] == [{}]


@EVERY
@pytest.mark.requirement(
    "R2511-PAGINATION-001",
    "R2607-PAGINATION-002",
    "R2511-PAGINATION-004",
    "R2607-PAGINATION-005",
    "R2511-PAGINATION-003",
    "R2607-PAGINATION-004",
)
async def test_a_client_takes_pages_as_they_come_and_cursors_as_they_are(revision: str) -> None:
    pages = {
        None: (3, " \u2028"),
        " \u2028": (0, '{"offset": 3}'),
        '{"offset": 3}': (7, "A" * 3000),
        "A" * 3000: (1, None),
    }

    def answer(peer: RawPeer, message: dict[str, Any]) -> None:
        if message["method"] != "tools/list":
            return
        count, cursor = pages[message.get("params", {}).get("cursor")]
        tools = [{"name": f"t{n}", "inputSchema": {"type": "object"}} for n in range(count)]
        following = {} if cursor is None else {"nextCursor": cursor}
        hints = {"ttlMs": 0, "cacheScope": "private"} if peer.revision >= "2026" else {}
        peer.result(message["id"], tools=tools, **following, **hints)

    peer = RawPeer(answer, revision=revision)
    async with Client(peer, revision=revision) as client:
        assert len([tool async for tool in client.tools()]) == 11
        assert len([tool async for tool in client.tools()]) == 11
    asked = [message.get("params", {}).get("cursor") for message in peer.sent("tools/list")]
    assert asked == [*pages, *pages]  # each walk begins without a cursor: none is kept from before


@pytest.mark.requirement("R2607-TOOLS-027", "R2607-TRANSPORT-HTTP-034")
def test_integers_in_headers_are_those_that_every_reader_can_hold() -> None:
    app = App("headers")

    @app.tool
    async def tool(count: Annotated[int, Header("Count")]) -> int:
        return count

    entry = app._catalog.tools.get("tool")
    assert entry is not None
    annotated = header_parameters(entry.tool.input_schema)
    largest = 2**53 - 1
    for fine in (largest, -largest, 0):
        assert ("mcp-param-count", str(fine)) in [
            (name.lower(), value) for name, value in mirror("tools/call", "tool", {"count": fine}, annotated)
        ]
    for bad in (largest + 1, -largest - 1, 10**30):
        with pytest.raises(InvalidHeaderValue):
            mirror("tools/call", "tool", {"count": bad}, annotated)


@EVERY
@pytest.mark.parametrize("bad", [None, True, [], "object", {"type": "string"}, {"type": ["object", "null"]}])
@pytest.mark.requirement("R2511-TOOLS-005", "R2607-TOOLS-012")
async def test_an_input_schema_is_an_object_schema_or_a_registration_error(
    revision: str, bad: Any, connect: Any
) -> None:
    app = App("schemas")

    async def takes(arguments: dict[str, Any]) -> str:
        return str(arguments)

    if bad is None:
        app.add_tool(lambda: "x", name="bare")
        app.add_tool(takes, input_schema={"type": "object"})
        wire = await connect(app, revision)
        for tool in (await wire.result("tools/list"))["tools"]:
            assert tool["inputSchema"]["type"] == "object"
        return
    with pytest.raises(RegistrationError):
        app.add_tool(takes, input_schema=bad)


@pytest.mark.parametrize("revision", [each for each in REVISIONS if each >= "2025-06-18"])
@pytest.mark.requirement("R2511-TOOLS-016", "R2607-TOOLS-038")
async def test_structured_content_keeps_the_promise_of_its_schema(revision: str, connect: Any) -> None:
    app = App("promises")
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}

    @app.tool(output_schema=schema)
    async def promised(value: Any) -> Any:
        return value

    wire = await connect(app, revision)
    (tool,) = (await wire.result("tools/list"))["tools"]
    assert tool["outputSchema"] == schema
    good = await wire.call("promised", value={"n": 1})
    assert good["structuredContent"] == {"n": 1}
    for value in ({"n": "1"}, {}, [], None, "x", 5):
        bad = await wire.call("promised", value=value)
        assert bad["isError"] is True
        assert "structuredContent" not in bad
