"""A client that is told nothing finds out what a server speaks, remembers it, and notices when that is no longer so.

Follows: basic/versioning "Backward Compatibility", basic/lifecycle "Version Negotiation".
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from everywhere_app import make_app
from everywhere_cells import REVISIONS, STATELESS
from everywhere_serving import command, place, serving

from dovetail import Client, FeatureUnavailable, RPCError
from dovetail.runtime import tap

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("fresh")]
STATEFUL = REVISIONS[:-1]
LIMITS = {
    "all": REVISIONS,
    "stateful": STATEFUL,
    "stateless": (STATELESS,),
    "oldest": ("2024-11-05",),
    "two": ("2025-03-26", "2025-06-18"),
}
PLACES = ("memory", "stdio", "unix", "http", "http-json", "http-sessionless", "http-uds", "sse-2024")


@contextmanager
def methods_sent() -> Iterator[list[str]]:
    """The requests that clients of this process send."""
    found: list[str] = []

    def note(frame: tap.Frame) -> None:
        if frame.role == "client" and frame.sent:
            message = json.loads(frame.data)
            if "id" in message and "method" in message:
                found.append(message["method"])

    end = tap.add(note)
    try:
        yield found
    finally:
        end()


@pytest.mark.requirement("R2607-DISCOVERY-002", "R2607-VERSIONING-001")
@pytest.mark.parametrize("transport", PLACES)
@pytest.mark.parametrize("limit", LIMITS)
async def test_the_newest_that_both_speak(limit: str, transport: str) -> None:
    speaks = LIMITS[limit]
    if transport == "sse-2024":
        speaks = tuple(revision for revision in speaks if revision != STATELESS)
        if not speaks:
            async with place(transport, make_app(revisions=LIMITS[limit])) as target:
                with pytest.raises((FeatureUnavailable, RPCError)):
                    await Client(target).open()
            return
    app = make_app(revisions=LIMITS[limit])
    async with place(transport, app) as target:
        if transport == "stdio":
            target = command(app={"revisions": LIMITS[limit]})  # noqa: PLW2901 - the same, but limited
        with methods_sent() as sent:
            for turn in ("first", "second"):
                async with Client(target) as client:
                    assert client.revision == speaks[-1]
                    assert (await client.call_tool("echo", {"text": turn})).text == turn
    opening = [method for method in sent if method in ("server/discover", "initialize")]
    stateful = speaks[-1] != STATELESS
    remembered = transport != "memory"
    if not stateful:
        assert opening == ["server/discover"] * 2
    else:
        assert opening.count("server/discover") == (1 if remembered else 2)
        assert opening[-1] == "initialize"


@pytest.mark.parametrize("pinned", REVISIONS)
@pytest.mark.parametrize("limit", ["stateful", "stateless", "two"])
async def test_a_pinned_revision_is_spoken_or_refused(limit: str, pinned: str) -> None:
    app = make_app(revisions=LIMITS[limit])
    for transport in ("memory", "http", "unix"):
        async with place(transport, app) as target:
            client = Client(target, revision=pinned)
            if pinned in LIMITS[limit]:
                async with client:
                    assert client.revision == pinned
                continue
            with pytest.raises((FeatureUnavailable, RPCError)) as problem:
                await client.open()
            assert "revision" in str(problem.value) or "20" in str(problem.value)
            await client.close()


@pytest.mark.parametrize(
    "before, after", [("stateless", "stateful"), ("stateful", "stateless"), ("all", "oldest")]
)
async def test_what_was_remembered_may_be_wrong(before: str, after: str) -> None:
    """A server that is replaced at the same address, by one that speaks something else."""
    async with serving(make_app(revisions=LIMITS[before]).asgi()) as port:
        url = f"http://127.0.0.1:{port}/mcp"
        async with Client(url) as client:
            assert client.revision == LIMITS[before][-1]
    async with serving(make_app(revisions=LIMITS[after]).asgi(), port=port):
        async with Client(url) as client:
            assert (await client.call_tool("echo", {"text": "x"})).text == "x"
            assert client.revision == LIMITS[after][-1]
        with methods_sent() as sent:
            async with Client(url) as client:
                assert client.revision == LIMITS[after][-1]
        assert len(sent) <= 1


@pytest.mark.parametrize("body", [b"", b"<html>no such page</html>"])
async def test_what_was_remembered_may_be_wrong_and_the_refusal_unclear(body: bytes) -> None:
    """Something before the new server knows only its requests: it turns the old ones away without a word."""
    methods: list[str] = []

    def guarded(asgi: Any) -> Any:
        async def serve(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                methods.append(scope["method"])
                if not any(name == b"mcp-method" for name, _ in scope["headers"]):
                    await send({"type": "http.response.start", "status": 404, "headers": []})
                    await send({"type": "http.response.body", "body": body})
                    return
            await asgi(scope, receive, send)

        return serve

    async with serving(make_app(revisions=STATEFUL).asgi()) as port:
        url = f"http://127.0.0.1:{port}/mcp"
        async with Client(url) as client:
            assert client.era == "stateful"
    async with serving(guarded(make_app(revisions=[STATELESS]).asgi()), port=port):
        async with Client(url) as client:
            assert client.era == "stateless"
            assert (await client.call_tool("echo", {"text": "x"})).text == "x"
        assert methods.count("GET") == 1  # 404 may mean the transport of 2024-11-05


async def test_a_modern_refusal_is_no_reason_to_try_the_oldest_transport() -> None:
    methods: list[str] = []
    inner = make_app(revisions=[STATELESS]).asgi()

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            methods.append(scope["method"])
        await inner(scope, receive, send)

    async with serving(noting) as port:
        with pytest.raises(RPCError) as problem:
            await Client(f"http://127.0.0.1:{port}/mcp", revision="2025-11-25").open()
        assert problem.value.code in (-32020, -32022)
    assert methods == ["POST"]
