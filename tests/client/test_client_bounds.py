"""What a client remembers of its server has a size: a server that says much is not remembered whole."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from dovetail import App, Client
from dovetail.client import catalogue as catalogues
from dovetail.client import opening
from dovetail.client.catalogue import Catalogue
from dovetail.client.listening import MAX_BYTES as MOST_WAITING
from dovetail.client.listening import Subscription
from dovetail.client.server_warnings import MAX_MESSAGE, ServerWarning, ServerWarnings
from dovetail.protocol import caching
from dovetail.protocol.bounded import Bounded
from dovetail.protocol.caching import Cache
from dovetail.protocol.errors import DovetailError, LocalProtocolError, RemoteProtocolError
from dovetail.protocol.listening import Change
from dovetail.protocol.schema import validator as schemas
from dovetail.protocol.types import (
    Prompt,
    ReadResourceParams,
    ReadResourceResult,
    Resource,
    ResourceContents,
    SubscriptionFilter,
    Tool,
)

MIB = 1024 * 1024


def held(text: str) -> ReadResourceResult:
    return ReadResourceResult(
        contents=[ResourceContents(uri="note://x", text=text)], ttl_ms=60_000, cache_scope="public"
    )


def test_results_are_kept_up_to_so_many_bytes() -> None:
    cache = Cache()
    many = 2 * caching.MAX_BYTES // MIB
    for number in range(many):
        cache.put(
            "resources/read", ReadResourceParams(uri=f"note://{number}"), "", held("x"), 0.0, size=MIB - 100
        )
        # The first one is used again and again, and stays.
        assert cache.get("resources/read", ReadResourceParams(uri="note://0"), "", 0.0) is not None
    assert len(cache) == many // 2
    assert cache.get("resources/read", ReadResourceParams(uri="note://1"), "", 0.0) is None
    assert cache.get("resources/read", ReadResourceParams(uri=f"note://{many - 1}"), "", 0.0) is not None
    cache.put(
        "resources/read",
        ReadResourceParams(uri="note://0"),
        "",
        held("new"),
        0.0,
        size=caching.MAX_BYTES + 1,
    )
    found = cache.get("resources/read", ReadResourceParams(uri="note://0"), "", 0.0)
    assert found is None, "neither what is too large nor what it replaced"


async def test_what_a_server_lets_a_client_keep_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose every resource may be kept for a day."""
    monkeypatch.setattr(caching, "MAX_BYTES", MIB)
    app, read = App("generous"), []

    @app.resource("note://{number}", ttl=86_400.0)
    async def note(number: str) -> str:
        read.append(number)
        return "x" * 100_000

    async with Client(app) as client:
        client._caller.cache = Cache(most=MIB)
        for number in range(40):
            await client.read(f"note://{number}")
        assert client._caller.cache._entries.size <= MIB
        assert 5 < len(client._caller.cache) <= 10
        await client.read("note://39")
        assert len(read) == 40, "the last is kept"
        await client.read("note://0")
        assert len(read) == 41, "the first was forgotten"


def tool(name: str, **members: Any) -> Tool:
    return Tool(name=name, input_schema={"type": "object"}, **members)


def test_tools_are_remembered_up_to_so_many_bytes() -> None:
    catalogue = Catalogue(lambda warning: None)
    wordy = "x" * MIB
    for number in range(100):
        catalogue.take([tool(f"t{number}", description=wordy)], mirrored=False)
    entries = catalogue._entries
    assert catalogues.MAX_BYTES // 2 < entries.size <= catalogues.MAX_BYTES
    assert "t99" in entries
    assert "t0" not in entries
    # What is listed again and again is counted once.
    for _ in range(100):
        catalogue.take([tool("t99", description=wordy)], mirrored=False)
        catalogue.take([tool("t99", description="y" * MIB)], mirrored=False)
    assert entries.size == sum(entry[1] for entry in entries._kept.values())


def test_names_are_remembered_up_to_so_many_bytes() -> None:
    catalogue = Catalogue(lambda warning: None)
    for number in range(100):
        catalogue.note_prompts([Prompt(name=f"{number}" + "p" * MIB)])
        catalogue.note_resources([Resource(uri=f"{number} " + "r" * MIB, name="r")])
    for names in (catalogue._prompts, catalogue._resources, catalogue._odd):
        assert MIB < names.size <= catalogues.MAX_NAMES
        assert len(names) <= 4


def test_compiled_schemas_are_kept_up_to_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: Bounded[bytes, Any] = Bounded(256, schemas.MAX_CACHED_BYTES)
    monkeypatch.setattr(schemas, "_cache", kept)
    for number in range(200):
        schema = {"type": "object", "description": f"{number}" + "x" * 200_000}
        assert schemas.compile_schema(schema) is schemas.compile_schema(dict(schema))
    assert MIB < kept.size <= schemas.MAX_CACHED_BYTES
    assert len(kept) < 50


def test_warnings_are_short(caplog: pytest.LogCaptureFixture) -> None:
    warnings = ServerWarnings()
    with caplog.at_level(logging.WARNING, logger="dovetail.client"):
        for number in range(300):
            warnings.add(
                ServerWarning(
                    kind="item", message=f"{number}" + "m" * MIB, method="x" * MIB, subject="s" * MIB
                )
            )
    texts = [text for each in warnings.all for text in (each.message, each.method, each.subject)]
    assert len(warnings.all) == 256
    assert max(map(len, texts)) == MAX_MESSAGE
    assert max(len(record.getMessage()) for record in caplog.records) == MAX_MESSAGE


async def test_changes_that_nobody_reads_are_bounded_in_bytes() -> None:
    class Nobody:
        def __getattr__(self, name: str) -> Any:
            return lambda *given, **more: None

    uri = "note://a"
    heard: Any = Subscription(Nobody(), SubscriptionFilter(resource_subscriptions=[uri]))  # type: ignore[arg-type] - no client is needed
    for number in range(10):
        heard.put(Change("resource", f"{uri}/{number}" + "x" * (MOST_WAITING // 8)))
    for _ in range(7):
        await heard.__anext__()
    with pytest.raises(LocalProtocolError, match="were not read"):
        await heard.__anext__()


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
async def test_a_server_that_says_too_much_of_itself_is_not_opened(
    revision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "MAX_DESCRIPTION", 10_000)
    app = App("talkative", instructions="x" * 20_000)
    with pytest.raises(DovetailError, match=r"says of itself .* has more than 10000 bytes") as refused:
        async with Client(app, revision=revision):
            pass
    assert isinstance(refused.value, RemoteProtocolError)
