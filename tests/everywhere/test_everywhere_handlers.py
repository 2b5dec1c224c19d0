"""In every cell: a handler sees the context variables of the call that it is asked for, and hears which call it is."""

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest
from everywhere_cells import Cell
from everywhere_spots import Spot

from dovetail import CreateMessageResult, TextContent
from dovetail.client import CallInfo, ElicitRequest, Visit
from dovetail.protocol.types import CreateMessageParams, MessageNotice, ProgressNotice

pytestmark = pytest.mark.asyncio(loop_scope="session")
CALLER: ContextVar[str] = ContextVar("caller", default="nobody")


class Witness:
    """Handlers of every kind, some of them plain functions, which note who called and for what."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, CallInfo | None]] = []

    def note(self, what: str, call: CallInfo | None) -> None:
        self.seen.append((what, CALLER.get(), call))

    def fill(self, form: ElicitRequest, call: CallInfo | None) -> str:
        assert form.call == call
        self.note("form", call)
        return "Ada"

    async def approve(self, visit: Visit, call: CallInfo | None) -> bool:
        assert visit.call == call
        self.note("visit", call)
        return True

    async def sample(self, _: CreateMessageParams, call: CallInfo | None) -> CreateMessageResult:
        self.note("sample", call)
        return CreateMessageResult(role="assistant", content=TextContent(text="hm"), model="m")

    def roots(self, call: CallInfo | None) -> list[str]:
        self.note("roots", call)
        return ["file:///home/ada"]

    async def log(self, _: MessageNotice, call: CallInfo | None) -> None:
        self.note("log", call)

    def progress(self, _: ProgressNotice, call: CallInfo | None) -> None:
        self.note("progress", call)

    def options(self) -> dict[str, Any]:
        return {
            "elicitation": self.fill,
            "approve": self.approve,
            "sampling": self.sample,
            "roots": self.roots,
            "logging": self.log,
            "log_level": "debug",
            "progress": self.progress,
        }


def asked_by(cell: Cell) -> dict[str, tuple[str, dict[str, Any]]]:
    """The tools that lead to each handler in a cell."""
    tools: dict[str, tuple[str, dict[str, Any]]] = {}
    if cell.has("asks"):
        tools["sample"] = ("think", {"about": "life"})
        tools["roots"] = ("folders", {})
        if cell.has("elicitation"):
            tools["form"] = ("name_please", {})
        if cell.has("visits"):
            tools["visit"] = ("visit", {})
    if cell.has("talks"):
        tools["progress"] = ("count", {"to": 2})
    if cell.has("logs"):
        tools["log"] = ("talk", {"words": ["a"]})
    return tools


async def test_handlers_see_the_callers_context_and_the_call(spot: Spot) -> None:
    witness = Witness()
    async with spot.connect(**witness.options()) as client:
        for what, (tool, arguments) in asked_by(spot.cell).items():
            witness.seen.clear()
            token = CALLER.set(f"who wants {what}")
            try:
                await client.call_tool(tool, arguments, meta={"com.example/turn": what})
            finally:
                CALLER.reset(token)
            while not any(kind == what for kind, _, _ in witness.seen):  # noqa: ASYNC110 - logs may come a little later
                await asyncio.sleep(0)
            kind, who, call = next(each for each in witness.seen if each[0] == what)
            assert (kind, who) == (what, f"who wants {what}")
            assert call is not None
            assert (call.method, call.name, call.meta) == ("tools/call", tool, {"com.example/turn": what})


async def test_of_several_calls_each_has_its_own_context_where_the_call_is_known(spot: Spot) -> None:
    """Over one channel of the stateful era a question does not say whose it is: then it is nobody's, not another's."""
    if not (spot.cell.has("asks") and spot.cell.has("elicitation")):
        return
    witness = Witness()

    async def call(number: int, tool: str) -> None:
        CALLER.set(f"{number} {tool}")
        await spot_client.call_tool(tool, meta={"com.example/number": number})

    async with spot.connect(**witness.options()) as spot_client:
        await asyncio.gather(*(call(number, "name_please") for number in range(5)))
    told = [(who, call) for kind, who, call in witness.seen if kind == "form"]
    assert len(told) == 5
    for who, info in told:
        if info is None:
            assert who == "nobody"
            assert not spot.cell.stateless
            assert spot.cell.transport not in ("http", "http-sse", "http-uds")
        else:
            assert info.meta is not None
            assert who == f"{info.meta['com.example/number']} {info.name}"
