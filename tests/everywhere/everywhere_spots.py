"""What tests of the matrix hold: a clock that they move, a person who answers, and a spot with server and client.

Time belongs to the tests: `Clock.advance` moves the loop's clock forward, so a limit of a minute passes at once and
no test depends on how busy the machine is. Follows: no page of the specification.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from everywhere_cells import Cell
from everywhere_serving import place

from dovetail import Client, CreateMessageResult, TextContent
from dovetail.client.answers import ElicitRequest, Visit
from dovetail.protocol.listening import Change
from dovetail.protocol.types import CreateMessageParams, MessageNotice


class Clock:
    """The clock of a loop, which can be moved forward."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._real = loop.time
        self._ahead = 0.0
        loop.time = lambda: self._real() + self._ahead

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._ahead += seconds


class Host:
    """The person and the model behind a client: what they answer, and what they heard."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget what was heard, and answer as usual."""
        self.forms: list[ElicitRequest] = []
        self.visits: list[Visit] = []
        self.sampled: list[CreateMessageParams] = []
        self.logs: asyncio.Queue[MessageNotice] = asyncio.Queue()
        self.changes: asyncio.Queue[Change] = asyncio.Queue()
        self.fill: Callable[[ElicitRequest], Any] = lambda request: "Ada"
        self.consent: bool | None = True
        self.think: Callable[[CreateMessageParams], Any] = lambda params: CreateMessageResult(
            role="assistant", content=TextContent(text="hm"), model="m-1", stop_reason="endTurn"
        )

    async def elicit(self, request: ElicitRequest) -> Any:
        self.forms.append(request)
        outcome = self.fill(request)
        return await outcome if asyncio.iscoroutine(outcome) else outcome

    async def sample(self, params: CreateMessageParams) -> Any:
        self.sampled.append(params)
        return self.think(params)

    async def approve(self, visit: Visit) -> bool | None:
        self.visits.append(visit)
        return self.consent

    def options(self) -> dict[str, Any]:
        """The options of a client with this host."""
        return {
            "elicitation": self.elicit,
            "sampling": self.sample,
            "approve": self.approve,
            "roots": ["file:///home/ada", "file:///home/bob"],
            "logging": lambda notice: self.logs.put_nowait(notice),
            "on_change": lambda change: self.changes.put_nowait(change),
            "log_level": "debug",
            "experimental": {"acme.example/x": {"on": True}},
        }


class Spot:
    """A cell with its server and a client. ``connect`` opens another client to the same server."""

    def __init__(self, cell: Cell, target: Any, host: Host, client: Client) -> None:
        self.cell = cell
        self.target = target
        self.host = host
        self.client = client

    def connect(self, host: Host | None = None, **options: Any) -> Client:
        """A client of the cell's revision, to be opened and closed by the test."""
        whole: dict[str, Any] = {"revision": self.cell.revision}
        whole.update(host.options() if host is not None else {})
        return Client(self.target, **{**whole, **options})

    async def say(self, tool: str, **arguments: Any) -> str:
        """What a tool says."""
        return (await self.client.call_tool(tool, arguments)).raise_on_error().text


class Servers:
    """Servers by transport, each started when it is first wanted."""

    def __init__(self) -> None:
        self._stack = contextlib.AsyncExitStack()
        self._targets: dict[str, Any] = {}

    async def target(self, transport: str) -> Any:
        if transport not in self._targets:
            self._targets[transport] = await self._stack.enter_async_context(place(transport))
        return self._targets[transport]

    async def close(self) -> None:
        await self._stack.aclose()


async def gone(before: set[asyncio.Task[Any]]) -> None:
    """Whatever was started since is over, or ends by itself at once."""
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left:
        _, left = await asyncio.wait(left, timeout=5)
    assert not left, f"tasks were left behind: {left}"
