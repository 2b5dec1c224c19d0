"""The client side of one conversation, the same for every client written in Python.

Theory of operation: a driver is a process that connects to one server, takes the named steps one after the other, and
prints a line of JSON for each: the step, whether it worked, and what was seen. A step never takes longer than
`STEP_SECONDS`, but the first one, for which a proxy may yet start its server: it has the time of connecting. One that
fails does not keep the next from being tried. The driver's exit status is 0 even if steps failed: whether they should
have is for whoever reads the lines.

Only the standard library is used, since each client runs in an environment of its own.

Follows: no page of the specification. What the steps ask for is described in `tests/interop/steps.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

STEP_SECONDS = 10.0
CONNECT_SECONDS = 40.0
NAME = "Ada"
MODEL_SAYS = "four"
ROOT = "file:///srv/a"
NOT_FOUND = (-32602, -32002)


class StepFailed(Exception):
    """The other side did not do what the step asks for."""


@dataclass(frozen=True)
class Target:
    """Which server to talk to, how, and what has to come of the negotiation."""

    url: str | None
    command: list[str] | None
    transport: str
    revision: str
    probe: bool


class Driven(Protocol):
    """What a client offers to the driver: a method for each step, which returns what was seen or raises."""

    revision: str


class Steps(Driven, Protocol):
    """The steps of the conversation without tasks."""

    async def lists(self) -> str: ...
    async def read(self) -> str: ...
    async def prompt(self) -> str: ...
    async def complete(self) -> str: ...
    async def call(self) -> str: ...
    async def tool_error(self) -> str: ...
    async def protocol_error(self) -> str: ...
    async def progress(self) -> str: ...
    async def cancel(self) -> str: ...
    async def log(self) -> str: ...
    async def ask(self) -> str: ...
    async def sample(self) -> str: ...
    async def both(self) -> str: ...
    async def roots(self) -> str: ...
    async def list_changed(self) -> str: ...
    async def updated(self) -> str: ...


STEPS = (
    "lists",
    "read",
    "prompt",
    "complete",
    "call",
    "tool_error",
    "protocol_error",
    "progress",
    "cancel",
    "log",
    "ask",
    "sample",
    "both",
    "roots",
    "list_changed",
    "updated",
)
TASK_STEPS = (
    "call",
    "start",
    "progress",
    "error",
    "failed",
    "ask",
    "question",
    "cancel",
    "unknown",
    "listed",
)
Connect = Callable[[Target], contextlib.AbstractAsyncContextManager[Driven]]


def expect(seen: object, wanted: object) -> str:
    """Both are equal, or the step has failed; gives what was seen, as text."""
    if seen != wanted:
        raise StepFailed(f"saw {seen!r} and not {wanted!r}")
    return str(seen)


def expect_all(seen: set[str], wanted: set[str]) -> str:
    """All that is wanted is there; more does no harm."""
    if not wanted <= seen:
        raise StepFailed(f"saw {sorted(seen)} and missed {sorted(wanted - seen)}")
    return " ".join(sorted(wanted))


def expect_not_found(code: int | None) -> str:
    """A protocol error, with a code that one of the revisions gives for a resource that is not there."""
    if code not in NOT_FOUND:
        raise StepFailed(f"saw the error code {code}")
    return str(code)


def filled(properties: dict[str, Any]) -> dict[str, Any]:
    """An answer to a form: the name for each text, and something of its type for each other member."""
    answer: dict[str, Any] = {}
    for key, schema in properties.items():
        if schema.get("type") == "string" and not {"enum", "oneOf", "format"} & set(schema):
            answer[key] = NAME
    return answer


async def abandoned_after_progress(
    call: Callable[[Callable[[float], None]], Awaitable[object]],
) -> list[float]:
    """Start a call, wait until it has reported 3, cancel it, and give what it reported."""
    seen: list[float] = []
    enough = asyncio.Event()

    def note(value: float) -> None:
        seen.append(value)
        if value >= 3:
            enough.set()

    running = asyncio.ensure_future(call(note))
    waiting = asyncio.ensure_future(enough.wait())
    done, _ = await asyncio.wait(
        {running, waiting}, timeout=STEP_SECONDS / 2, return_when=asyncio.FIRST_COMPLETED
    )
    waiting.cancel()
    if running in done:
        raise StepFailed(f"the call ended by itself: {running.exception() or running.result()!r}")
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    return seen


def say(step: str, works: bool, detail: str) -> None:
    """One line for whoever started the driver."""
    sys.stdout.write(json.dumps({"step": step, "works": works, "detail": detail[:600]}) + "\n")
    sys.stdout.flush()


def why(error: BaseException) -> str:
    """An error on one line, with the errors inside a group, which say more than the group does."""
    if isinstance(error, BaseExceptionGroup):
        return " | ".join(why(inner) for inner in error.exceptions)
    return f"{type(error).__name__}: {error}".replace("\n", " ")


async def take(steps: Driven, names: tuple[str, ...]) -> None:
    """Take the steps in order."""
    for number, name in enumerate(names):
        try:
            async with asyncio.timeout(STEP_SECONDS if number else CONNECT_SECONDS):
                detail = await getattr(steps, name)()
        except Exception as error:  # noqa: BLE001 - whatever goes wrong is what is being asked for
            traceback.print_exception(error)
            say(name, False, why(error))
        else:
            say(name, True, detail)


async def drive(connect: Connect, target: Target, names: tuple[str, ...]) -> None:
    """Connect, and take the steps."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                steps = await stack.enter_async_context(connect(target))
        except Exception as error:  # noqa: BLE001 - whatever goes wrong is what is being asked for
            traceback.print_exception(error)
            say("connect", False, why(error))
            return
        say("connect", steps.revision == target.revision, f"negotiated {steps.revision}")
        await take(steps, names)
        say("close", True, "")


def main(connect: Connect, steps: tuple[str, ...] = STEPS) -> None:
    """The command line of a driver. ``steps``: what is taken, unless it says otherwise."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url")
    parser.add_argument("--command", type=json.loads)
    parser.add_argument("--transport", choices=["stdio", "http", "sse"], required=True)
    parser.add_argument("--revision", required=True)
    parser.add_argument("--probe", action="store_true")
    parser.add_argument("--steps", default=",".join(steps))
    given = parser.parse_args()
    target = Target(given.url, given.command, given.transport, given.revision, given.probe)
    asyncio.run(drive(connect, target, tuple(given.steps.split(","))))


@contextlib.asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """A limit inside a step that says so when it is reached."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise StepFailed(f"nothing came within {seconds} s") from None
