"""Versions, discovery and declared capabilities: what each side says first, and holds to."""

from typing import Any

import pytest
from must_peer import PREFIX, RawPeer, all_capabilities, frames, full_app, parsed

from dovetail import App, Client
from dovetail.protocol.errors import FeatureUnavailable
from dovetail.protocol.revisions import REVISIONS, STATEFUL, STATELESS
from wire_of_server import Wire

EVERY = pytest.mark.parametrize("revision", REVISIONS)
KINDS = {
    "tools": ("tools/list", "tools"),
    "prompts": ("prompts/list", "prompts"),
    "resources": ("resources/list", "resources"),
}


def offering(kind: str) -> App:
    """An app with one entry of one kind, added and, for "emptied", taken out again."""
    app = App(f"only {kind}")
    if kind == "tools":
        app.add_tool(lambda: None, name="t")
    elif kind == "prompts":
        app.add_prompt(lambda: "p", name="p")
    elif kind == "resources":
        app.add_resource(lambda: "r", "note://r", name="r")
    elif kind == "completions":
        app.add_prompt(prompt, name="p")
        app.completion("p", "x")(suggest)
    return app


def prompt(x: str) -> str:
    return x


def suggest(typed: str) -> list[str]:
    return [typed]


@pytest.mark.parametrize("revision", STATEFUL)
@pytest.mark.requirement("R2511-VERSIONING-003", "R2511-LIFECYCLE-017")
async def test_a_version_that_both_speak_comes_back_unchanged(revision: str) -> None:
    wire = Wire(full_app(instructions="Be kind."), revision)
    opened = await wire.open()
    assert opened["protocolVersion"] == revision
    assert opened["serverInfo"] == {"name": "full", "version": "1"}
    assert opened["capabilities"]
    assert opened["instructions"] == "Be kind."
    await wire.close()


@pytest.mark.parametrize(
    "wanted", ["1999-01-01", "2099-01-01", "", "2026-07-28", "x" * 5000, "2025-11-25\x00"]
)
@pytest.mark.parametrize("served", [STATEFUL, STATEFUL[:2], STATEFUL[2:3]])
@pytest.mark.requirement(
    "R2511-VERSIONING-004", "R2411-LIFECYCLE-002", "R2511-LIFECYCLE-027", "R2511-VERSIONING-005"
)
async def test_a_version_that_the_server_lacks_is_answered_with_one_that_it_has(
    wanted: str, served: tuple[str, ...]
) -> None:
    wire = Wire(App("old", revisions=served), served[-1])
    offer = {"protocolVersion": wanted, "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}}
    assert (await wire.result("initialize", offer))["protocolVersion"] == served[-1]
    await wire.close()


@pytest.mark.requirement("R2511-VERSIONING-004")
@pytest.mark.parametrize("wanted", STATEFUL)
async def test_a_version_of_the_specification_that_is_not_served_is_not_agreed_to(wanted: str) -> None:
    served = tuple(each for each in STATEFUL if each != wanted)
    wire = Wire(App("some", revisions=served), served[-1])
    offer = {"protocolVersion": wanted, "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}}
    assert (await wire.result("initialize", offer))["protocolVersion"] == served[-1]
    await wire.close()


@pytest.mark.parametrize("revision", STATEFUL)
@pytest.mark.hostile
@pytest.mark.requirement("R2511-LIFECYCLE-015")
async def test_nothing_but_ping_comes_before_initialize_where_there_is_no_other_era(revision: str) -> None:
    wire = Wire(full_app(revisions=STATEFUL), revision)
    await wire.app.service.start()
    for method, params in (
        ("tools/list", {}),
        ("tools/call", {"name": "add", "arguments": {"a": 1, "b": 2}}),
    ):
        early = await wire.error(method, params)
        assert early["code"] == -32600
        assert "initialize" in early["message"]
    assert await wire.result("ping") == {}
    await wire.open()
    assert (await wire.result("tools/list"))["tools"]
    await wire.close()
    await wire.app.service.stop()


@pytest.mark.parametrize("revision", STATEFUL)
@pytest.mark.requirement("R2511-VERSIONING-001", "R2511-LIFECYCLE-016")
async def test_a_client_offers_a_version_that_it_speaks(revision: str) -> None:
    peer = RawPeer(lambda *_: None, revision=revision)
    async with Client(peer, revision=revision):
        pass
    (opening,) = peer.sent("initialize")
    assert opening["params"]["protocolVersion"] == revision
    peer = RawPeer(lambda *_: None, revision=revision)
    async with Client(peer):  # finds out
        pass
    assert peer.sent("initialize")[0]["params"]["protocolVersion"] in STATEFUL


@pytest.mark.parametrize("revision", STATELESS)
@pytest.mark.requirement(
    "R2607-VERSIONING-010",
    "R2607-DISCOVERY-001",
    "R2607-DISCOVERY-005",
    "R2607-LIFECYCLE-038",
    "R2607-DISCOVERY-003",
)
@pytest.mark.parametrize(
    "app", [App("bare"), full_app(), App("modern", revisions=STATELESS)], ids=lambda app: app.name
)
async def test_every_server_can_be_discovered(revision: str, app: App) -> None:
    wire = Wire(app, revision)
    found = await wire.open()
    assert revision in found["supportedVersions"]
    assert isinstance(found["capabilities"], dict)
    assert found["_meta"][PREFIX + "serverInfo"]["name"] == app.name
    await wire.close()
    await app.service.stop()


@EVERY
@pytest.mark.parametrize("kind", ["tools", "prompts", "resources", "completions", "nothing"])
@pytest.mark.requirement(
    "R2511-COMPLETION-001",
    "R2607-COMPLETION-002",
    "R2511-PROMPTS-001",
    "R2607-PROMPTS-002",
    "R2511-RESOURCES-001",
    "R2607-RESOURCES-002",
    "R2511-TOOLS-003",
    "R2607-TOOLS-004",
    "R2511-LOGGING-001",
    "R2607-LOGGING-002",
    "R2511-PROMPTS-009",
    "R2607-PROMPTS-015",
)
async def test_what_is_offered_is_declared_and_what_is_not_is_not(
    revision: str, kind: str, connect: Any
) -> None:
    wire = Wire(offering(kind), revision)
    declared = (await wire.open())["capabilities"]
    expected = {"logging", *([kind] if kind != "nothing" else [])}
    if kind == "completions":
        expected |= {"prompts"}
        expected -= {"completions"} if revision == "2024-11-05" else set()
    assert set(declared) == expected
    for name, (method, _) in KINDS.items():
        answer = await wire.request(method)
        assert ("result" in answer) == (name in expected), (method, answer)
    await wire.close()


@EVERY
@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.requirement(
    "R2607-PROMPTS-003",
    "R2607-RESOURCES-003",
    "R2607-TOOLS-005",
    "R2607-PROMPTS-004",
    "R2607-RESOURCES-004",
    "R2607-TOOLS-006",
    "R2607-CACHING-029",
)
async def test_a_declared_list_is_answered_also_empty_and_alike_for_everyone(
    revision: str, kind: str
) -> None:
    app = offering(kind)
    method, members = KINDS[kind]
    wires = [Wire(app, revision, capabilities) for capabilities in ({}, all_capabilities(revision))]
    for wire in wires:
        await wire.open()
    lists = [await wire.result(method) for wire in wires]
    assert lists[0] == lists[1]
    assert len(lists[0][members]) == 1
    used = {
        "tools": ("tools/call", {"name": "t"}),
        "prompts": ("prompts/get", {"name": "p"}),
        "resources": ("resources/read", {"uri": "note://r"}),
    }
    await wires[0].result(*used[kind])  # using things on a connection changes no list
    assert [await wire.result(method) for wire in wires] == lists
    getattr(app, f"remove_{kind[:-1]}")({"tools": "t", "prompts": "p", "resources": "note://r"}[kind])
    for wire in wires:
        assert (await wire.result(method))[members] == []
        await wire.close()
    await app.service.stop()


EXTENSION = "com.example/extra"


@pytest.mark.parametrize("theirs", [None, {EXTENSION: {"level": 2}}, {"com.example/other": {}}])
@pytest.mark.parametrize("ours", [None, {EXTENSION: {"level": 1}}])
@pytest.mark.requirement("R2607-VERSIONING-013", "R2607-VERSIONING-012")
async def test_an_extension_of_one_side_alone_leaves_the_core_working(ours: Any, theirs: Any) -> None:
    app = full_app(extensions=theirs)
    with frames() as seen:
        async with Client(app, revision="2026-07-28", extensions=ours or {}) as client:
            assert (await client.call_tool("add", {"a": 1, "b": 1})).text == "2"
            assert client.server_capabilities is not None
            assert client.server_capabilities.extensions == theirs
    for message in parsed(seen, "client"):
        declared = message["params"]["_meta"][PREFIX + "clientCapabilities"]
        assert declared.get("extensions") == ours
    await app.service.stop()


@EVERY
@pytest.mark.requirement(
    "R2511-LIFECYCLE-021",
    "R2411-LIFECYCLE-001",
    "R2503-LIFECYCLE-007",
    "R2511-PROMPTS-009",
    "R2607-PROMPTS-015",
)
async def test_a_client_sends_nothing_that_the_server_did_not_declare(revision: str) -> None:
    peer = RawPeer(lambda *_: None, revision=revision)
    peer.offered = {}
    async with Client(peer, revision=revision, timeout=5) as client:
        for call in (
            lambda: client.list_tools(),
            lambda: client.call_tool("x"),
            lambda: client.list_prompts(),
            lambda: client.get_prompt("x"),
            lambda: client.list_resources(),
            lambda: client.read("note://x"),
        ):
            with pytest.raises(FeatureUnavailable):
                await call()
    assert {message.get("method") for message in peer.seen} <= {
        *("initialize", "notifications/initialized", "server/discover")
    }
