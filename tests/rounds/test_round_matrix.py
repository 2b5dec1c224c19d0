"""One body, every revision, every transport: each cell comes out as the committed table says.

``matrix.toml`` has a line for each case: what comes out in each revision, and, where a transport differs, what comes
out on it and why. An outcome is the text of the result, ``error: `` and the start of an error result's text, or
``refused: `` and the class of the error that the client raises, or, before 2026-07-28, what an error result says that
the client would need.
"""

import asyncio
import itertools
import sys
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from matrix_app import app
from rounds_serving import serving

from dovetail import Client, CreateMessageResult, Declined, Dismissed, RPCError, TextContent
from dovetail.protocol import names
from dovetail.protocol.revisions import REVISIONS

HERE = Path(__file__).parent
TABLE: dict[str, dict[str, Any]] = tomllib.loads((HERE / "matrix.toml").read_text("utf-8"))
TRANSPORTS = ("memory", "stdio", "json", "sse")


def expected(case: str, revision: str, transport: str) -> str:
    """What the table says of a cell."""
    row = TABLE[case]
    return row.get(f"{revision} {transport}", row[revision])


@asynccontextmanager
async def target_of(transport: str) -> AsyncIterator[Any]:
    if transport == "memory":
        yield app
    elif transport == "stdio":
        yield [sys.executable, str(HERE / "matrix_app.py")]
    else:
        async with serving(app.asgi(responses=cast("Any", transport))) as url:
            yield url


def answer(form: Any) -> Any:
    if form.message == "Decline?":
        raise Declined("no")
    if form.message == "Dismiss?":
        raise Dismissed("closed")
    return "Ada" if form.message == "Name?" else "red"


def sampled(_: Any) -> CreateMessageResult:
    return CreateMessageResult(role="assistant", content=TextContent(text="hm"), model="m-1")


async def outcome(client: Client, case: str) -> str:
    try:
        result = await client.call_tool(case, timeout=20)
    except RPCError as problem:
        return f"refused: {type(problem).__name__}: {problem.code}"
    if result.is_error and (missing := (result.raw.meta or {}).get(names.META_MISSING)):
        return f"refused: needs {', '.join(missing)}"
    return f"error: {result.text}" if result.is_error else result.text


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("revision", REVISIONS)
async def test_every_case(revision: str, transport: str) -> None:
    found: dict[str, str] = {}
    async with (
        target_of(transport) as target,
        Client(
            target,
            revision=revision,
            elicitation=answer,
            sampling=sampled,
            roots=["file:///a"],
            approve=lambda _: True,
        ) as client,
    ):
        for case in TABLE:
            found[case] = await outcome(client, case)
    wanted = {case: expected(case, revision, transport) for case in TABLE}
    assert found == wanted


@pytest.mark.parametrize(
    "revision,transport",
    [cell for cell in itertools.product(REVISIONS, TRANSPORTS) if expected("sample", *cell) == "m-1"],
)
async def test_a_call_taken_back_while_the_person_thinks(revision: str, transport: str) -> None:
    thinking = asyncio.Event()

    async def think(_: Any) -> str:
        thinking.set()
        await asyncio.Event().wait()
        return ""

    async with (
        target_of(transport) as target,
        Client(target, revision=revision, sampling=think, roots=[]) as client,
    ):
        call = asyncio.create_task(client.call_tool("sample"))
        await asyncio.wait_for(thinking.wait(), 10)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await client.call_tool("roots")).text == ""


def test_the_table_has_every_cell() -> None:
    for case, row in TABLE.items():
        assert set(REVISIONS) <= row.keys(), case
        for key in row.keys() - set(REVISIONS) - {"why"}:
            revision, transport = key.split()
            assert revision in REVISIONS
            assert transport in TRANSPORTS
        refused = any(each.startswith("refused") for key, each in row.items() if key != "why")
        assert bool(row.get("why")) == refused, f"{case}: what does not exist needs the page that says so"
