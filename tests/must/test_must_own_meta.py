"""What a caller of a client chooses itself: keys of ``_meta``, extension identifiers, and results that it reads raw."""

from typing import Any

import pytest

from dovetail.client import Client
from dovetail.protocol.errors import LocalProtocolError, RemoteProtocolError
from dovetail.runtime.extension import InvalidExtension
from must.must_peer import PREFIX, RawPeer

NEW = "2026-07-28"
MALFORMED = (
    "",
    "/x",
    "1com/x",
    "com-/x",
    "com..example/x",
    "com_x/x",
    "com/a/b",
    "com/-x",
    "x.",
    "a b",
    "é",
    "x\n",
)
RESERVED = (
    *(PREFIX + name for name in ("protocolVersion", "clientInfo", "clientCapabilities", "logLevel", "other")),
    PREFIX + "subscriptionId",
    PREFIX + "serverInfo",
    "dev.mcp/x",
    "com.mcp.tools/x",
    "org.modelcontextprotocol.api/x",
)


def peer(revision: str = NEW, **members: Any) -> RawPeer:
    return RawPeer(
        lambda peer, message: peer.result(message["id"], **{"content": [], **members}), revision=revision
    )


@pytest.mark.requirement("R2607-VERSIONING-012", "R2607-VERSIONING-023")
@pytest.mark.parametrize(
    "identifier", ["noprefix", "", "/name", "com.example/", "1com/x", "com.example/-x", "a b/c"]
)
def test_an_extension_without_a_right_identifier_is_refused(identifier: str) -> None:
    with pytest.raises(InvalidExtension, match="needs a prefix"):
        Client("http://127.0.0.1:1/mcp", extensions={identifier: {}})
    Client("http://127.0.0.1:1/mcp", extensions={"com.example/name": {}, PREFIX + "ui": {}})


@pytest.mark.requirement(
    "R2607-SCHEMA-018", "R2607-SCHEMA-019", "R2607-SCHEMA-021",
    "R2607-SCHEMA-040", "R2607-SCHEMA-041", "R2607-SCHEMA-043",
    "R2511-SCHEMA-010", "R2511-SCHEMA-011", "R2511-SCHEMA-013",
)  # fmt: skip
@pytest.mark.parametrize("revision", ["2025-11-25", NEW])
async def test_a_malformed_or_reserved_key_is_never_sent(revision: str) -> None:
    there = peer(revision)
    async with Client(there, revision=revision) as client:
        before = len(there.seen)
        for key in (*MALFORMED, *RESERVED):
            for call in (
                lambda meta: client.call_tool("x", meta=meta),
                lambda meta: client.request("tools/call", {"name": "x"}, meta=meta),
                lambda meta: client.request("tools/call", {"name": "x", "_meta": meta}),
                lambda meta: client.ping(meta=meta),
                lambda meta: client.notify("notifications/com.example/x", meta=meta),
                lambda meta: client.notify("notifications/com.example/x", {"_meta": meta}),
            ):
                with pytest.raises(LocalProtocolError, match="_meta"):
                    await call({key: 1})
        assert len(there.seen) == before
        for key in ("com.example/x", "com.example.mcp/x", "plain", "c/", "a-b_c.d"):
            await client.call_tool("x", meta={key: 1})
            assert there.sent("tools/call")[-1]["params"]["_meta"][key] == 1


@pytest.mark.requirement("R2607-SCHEMA-032")
async def test_trace_context_has_its_formats_and_a_progress_token_its_type() -> None:
    there = peer()
    good = {
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "a=1",
        "baggage": "k=v",
        "progressToken": "mine",
    }
    async with Client(there, revision=NEW) as client:
        await client.call_tool("x", meta=good)
        assert good.items() <= there.sent("tools/call")[-1]["params"]["_meta"].items()
        before = len(there.seen)
        for key in good:
            for wrong in ("\x1b", [1], True, 1.5):
                if (key, wrong) == ("progressToken", "\x1b"):
                    continue
                with pytest.raises(LocalProtocolError, match=key):
                    await client.call_tool("x", meta={key: wrong})
        assert len(there.seen) == before


async def test_an_official_extension_has_its_keys_once_it_is_declared() -> None:
    there = peer()
    async with Client(there, revision=NEW, extensions={PREFIX + "tasks": {}}) as client:
        await client.call_tool("x", meta={PREFIX + "related-task": {"taskId": "1"}})
        assert there.sent("tools/call")[-1]["params"]["_meta"][PREFIX + "related-task"] == {"taskId": "1"}
        for key in (PREFIX + "protocolVersion", PREFIX + "-x", "dev.mcp/x"):
            with pytest.raises(LocalProtocolError):
                await client.call_tool("x", meta={key: "1"})


@pytest.mark.hostile
@pytest.mark.requirement("R2607-SCHEMA-003")
@pytest.mark.parametrize("kind", ["acme", "", "Complete", 5, ["complete"]])
async def test_a_raw_result_of_an_unknown_type_is_no_result(kind: Any) -> None:
    async with Client(peer(resultType=kind), revision=NEW) as client:
        with pytest.raises(RemoteProtocolError, match="unknown type"):
            await client.request("tools/call", {"name": "x"})
    async with Client(peer(), revision=NEW) as client:
        assert (await client.request("tools/call", {"name": "x"}))["resultType"] == "complete"


@pytest.mark.hostile
@pytest.mark.requirement("R2607-SCHEMA-003")
async def test_a_type_of_an_extension_needs_a_client_that_declared_one() -> None:
    declared = {"com.example/later": dict[str, object]()}
    async with Client(peer(resultType="later"), revision=NEW, extensions=declared) as client:
        assert (await client.request("tools/call", {"name": "x"}))["resultType"] == "later"
        with pytest.raises(RemoteProtocolError):
            await client.call_tool("x")
    async with Client(peer(resultType=5), revision=NEW, extensions=declared) as client:
        with pytest.raises(RemoteProtocolError):
            await client.request("tools/call", {"name": "x"})


@pytest.mark.hostile
@pytest.mark.requirement("R2607-SCHEMA-003")
@pytest.mark.parametrize("kind", ["acme", "input_required"])
async def test_a_ping_answered_with_an_unknown_type_is_no_answer(kind: str) -> None:
    there = peer()
    async with Client(there, revision=NEW) as client:
        await client.ping()
        there.described = {"resultType": kind}
        with pytest.raises(RemoteProtocolError):
            await client.ping()
