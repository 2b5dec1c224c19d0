"""What is asked of a server: each call is begun at once, goes on by itself, and can be looked at and cancelled.

Theory of operation. A call is the method of `Client` that a program would use, so what is on the wire is what a host
would send, mirrored headers included; only where rounds are to be stepped through is a request sent by itself, and each
`InputRequired` put before the person. What comes of it is told as the call's view, anew with each step.

Specification: server/tools, server/resources, server/prompts; 2026-07-28 basic/patterns on input-required results.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, cast

from msgspec import UNSET, Struct
from msgspec.structs import replace

from dovetail import Client, DovetailError, InputRequired, LocalProtocolError
from dovetail.client import CallInfo, OutputInvalid, Seconds, ToolResult
from dovetail.types import ProgressNotice

from ..views import CallKind, CallView, ErrorView, ProgressView
from .failing import error_view
from .questions import AnswerRefused, PersonQuestions

__all__ = ["CallRequest", "Calls"]

_KEPT: Final = 2000
_PROGRESS: Final = 200
_ROUNDS: Final = 100
_METHODS: Final[dict[str, str]] = {
    "tool": "tools/call",
    "read": "resources/read",
    "prompt": "prompts/get",
    "complete": "completion/complete",
    "subscribe": "resources/subscribe",
    "unsubscribe": "resources/unsubscribe",
    "log-level": "logging/setLevel",
    "ping": "ping",
}


class CallRequest(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What the person asks for. ``tool``, ``prompt``: ``name`` and ``arguments``; ``read``, ``subscribe``,
    ``unsubscribe``: ``uri``; ``complete``: ``ref`` (a prompt's name or a template), ``argument`` with ``name`` and
    ``value``, ``context``; ``log-level``: ``level``; ``request``: ``method`` and ``params``, with ``notification`` one
    that is not answered. ``timeout``: seconds, None for the server's setting. ``step``: rounds wait for the person.
    """

    kind: CallKind
    name: str = ""
    arguments: dict[str, Any] | None = None
    uri: str = ""
    ref: str = ""
    argument: dict[str, str] = {}
    context: dict[str, str] | None = None
    level: str = ""
    method: str = ""
    params: dict[str, Any] | None = None
    notification: bool = False
    meta: dict[str, Any] | None = None
    as_task: bool = False
    timeout: float | None = None
    step: bool | None = None

    @property
    def called(self) -> str:
        """The method."""
        return self.method if self.kind == "request" else _METHODS[self.kind]

    @property
    def subject(self) -> str:
        """What it is about; of a request that was written by hand, what its params name."""
        given = self.params or {}
        named = (each for each in map(given.get, ("name", "uri", "taskId")) if isinstance(each, str))
        return self.name or self.uri or self.ref or next(named, "")


class _InspectedCall(Struct):
    view: CallView
    task: asyncio.Task[None] | None
    began: float
    id: Any = None


class Calls:
    """The calls of one Inspector. ``told``: called with each view, whenever it is another."""

    def __init__(self, questions: PersonQuestions, told: Callable[[CallView], None]) -> None:
        self._questions: Final = questions
        self._told: Final = told
        self._all: OrderedDict[str, _InspectedCall] = OrderedDict()
        self._count = 0

    @property
    def views(self) -> list[CallView]:
        """Those that are remembered, oldest first."""
        return [each.view for each in self._all.values()]

    def view(self, id: str) -> CallView:
        """One of them. Raises `LookupError`."""
        return self._running(id).view

    def start(
        self,
        server: str,
        client: Client,
        request: CallRequest,
        *,
        step: bool = False,
        meta: Mapping[str, Any] | None = None,
        over: Callable[[], None] | None = None,
    ) -> CallView:
        """Begin a call. ``step``, ``meta``: the settings of the server; ``over`` is called when it has ended."""
        self._count += 1
        params = _params(request)
        view = CallView(
            id=f"c{self._count}",
            server=server,
            kind=request.kind,
            method=request.called,
            name=request.subject,
            params=params,
            state="running",
            began=datetime.now(UTC).isoformat(),
        )
        running = _InspectedCall(view, None, time.monotonic())
        self._all[view.id] = running
        self._forget()
        stepped = step if request.step is None else request.step
        merged = {**(meta or {}), **(request.meta or {})} or None
        running.task = asyncio.get_running_loop().create_task(
            self._run(running, client, request, merged, stepped=stepped), name=f"call {view.id}"
        )
        # One that is cancelled before it began has not come to its own end.
        running.task.add_done_callback(
            lambda _: running.view.state == "running" and self._end(running, "cancelled")
        )
        if over is not None:
            running.task.add_done_callback(lambda _: over())
        self._told(view)
        return view

    async def over(self, id: str) -> CallView:
        """One of them, as soon as it has come to its end. Raises `LookupError`."""
        running = self._running(id)
        if running.task is not None:
            await asyncio.wait((running.task,))
        return running.view

    def cancel(self, id: str) -> CallView:
        """Cancel one, if it still goes on. Raises `LookupError`."""
        running = self._running(id)
        if running.task is not None:
            running.task.cancel()
        return running.view

    def belongs(self, id: str, record: int) -> None:
        """The request of a call is the record with this number."""
        running = self._all.get(id)
        if running is not None and record not in running.view.records:
            self._change(running, records=[*running.view.records, record])

    def unrelated(self, server: str, method: str, name: str) -> str | None:
        """The oldest call of a server with this method and subject whose request was not seen yet."""
        for id, each in self._all.items():
            view = each.view
            if view.server == server and not view.records and (view.method, view.name) == (method, name):
                return id
        return None

    def current(self, server: str, call: CallInfo | None) -> str | None:
        """The id of the call that a question of a server belongs to, where that is known."""
        if call is None:
            return None
        open_ones = [
            each.view
            for each in self._all.values()
            if each.view.server == server
            and each.view.state == "running"
            and each.view.method == call.method
            and (not call.name or each.view.name == call.name)
        ]
        return open_ones[-1].id if open_ones else None

    async def end(self, server: str | None = None) -> None:
        """Cancel those of a server, or all, and wait until they are over."""
        tasks = [
            each.task
            for each in self._all.values()
            if each.task is not None and (server is None or each.view.server == server)
        ]
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(
        self,
        running: _InspectedCall,
        client: Client,
        request: CallRequest,
        meta: dict[str, Any] | None,
        *,
        stepped: bool,
    ) -> None:

        def heard(notice: ProgressNotice) -> None:
            self._progress(running, notice)

        options: dict[str, Any] = {"meta": meta, "progress": heard}
        if request.timeout is not None:
            options["timeout"] = request.timeout
        try:
            if stepped and request.kind in ("tool", "read", "prompt") and client.era == "stateless":
                result = await self._stepped(running, client, request, options)
            else:
                result = await self._made(running, client, request, options)
            self._end(running, "done", result=result)
        except asyncio.CancelledError:
            self._end(running, "cancelled")
            raise
        except OutputInvalid as problem:
            self._change(running, checked=True)
            self._end(running, "done", result=problem.result.to_wire(), problem=str(problem))
        except (DovetailError, ValueError, TypeError) as problem:
            self._end(running, "failed", error=error_view(problem))
        except Exception as problem:  # noqa: BLE001 - whatever it is: the person sees it, and the Inspector goes on
            self._end(running, "failed", error=error_view(problem))

    async def _made(
        self, running: _InspectedCall, client: Client, request: CallRequest, options: dict[str, Any]
    ) -> dict[str, Any]:
        """Make the call as a program would; gives the result as plain values."""
        plain = {each: options[each] for each in options if each != "progress"}
        match request.kind:
            case "tool":
                return await self._tool(running, client, request, options)
            case "read":
                return (await client.read(request.uri, **options, fresh=True)).to_wire()
            case "prompt":
                return (await client.get_prompt(request.name, request.arguments, **options)).to_wire()
            case "complete":
                name, value = request.argument.get("name", ""), request.argument.get("value", "")
                found = await client.complete(request.ref, name, value, request.context, **plain)
                return {"completion": found.to_wire()}
            case "subscribe":
                await client.subscribe(request.uri, **plain)
            case "unsubscribe":
                await client.unsubscribe(request.uri, **plain)
            case "log-level":
                await client.set_log_level(cast("Any", request.level), **plain)
            case "ping":
                await client.ping(**plain)
            case "request":
                if request.notification:
                    await client.notify(request.method, request.params, **plain)
                    return {}
                return await client.request(request.method, request.params, **options)
        return {}

    async def _tool(
        self, running: _InspectedCall, client: Client, request: CallRequest, options: dict[str, Any]
    ) -> dict[str, Any]:
        if not request.as_task:
            found = await client.call_tool(request.name, request.arguments, **options)
            self._check(running, found)
            return found.to_wire()
        seconds: Seconds = options.get("timeout", UNSET)
        started = await client.start_tool(
            request.name, request.arguments, timeout=seconds, meta=options["meta"]
        )
        self._change(running, task=started.id)
        found = await started.result(timeout=None, progress=options["progress"])
        self._check(running, found)
        return found.to_wire()

    async def _stepped(
        self, running: _InspectedCall, client: Client, request: CallRequest, options: dict[str, Any]
    ) -> dict[str, Any]:
        """Send the request by itself, and each round when the person says so."""
        params = dict(running.view.params)
        for number in range(1, _ROUNDS + 1):
            result = await client.request(request.called, params, **options)
            if result.get("resultType") != "input_required":
                return result
            asked = {key: value for key, value in result.items() if key in ("inputRequests", "requestState")}
            answer = await self._questions.ask(
                running.view.server,
                "round",
                call=running.view.id,
                params={"round": number, **asked},
                check=_responses,
            )
            if answer.action != "accept":
                raise LocalProtocolError(f"round {number} was not answered")
            params = {**running.view.params, "inputResponses": answer.content}
            if "requestState" in result:
                params["requestState"] = result["requestState"]
        raise LocalProtocolError(f"the server asked for input {_ROUNDS} times")

    def _check(self, running: _InspectedCall, found: ToolResult | InputRequired) -> None:
        if isinstance(found, ToolResult):
            self._change(running, checked=found.checked, problem=found.unchecked_because or "")

    def _progress(self, running: _InspectedCall, notice: ProgressNotice) -> None:
        step = ProgressView(
            at=time.monotonic() - running.began,
            progress=notice.progress,
            total=notice.total,
            message=notice.message or "",
        )
        self._change(running, progress=[*running.view.progress[-_PROGRESS:], step])

    def _end(
        self,
        running: _InspectedCall,
        state: Any,
        *,
        result: Any = None,
        error: ErrorView | None = None,
        problem: str = "",
    ) -> None:
        self._change(
            running,
            state=state,
            seconds=time.monotonic() - running.began,
            result=result,
            error=error,
            problem=problem or running.view.problem,
        )
        running.task = None

    def _change(self, running: _InspectedCall, **members: Any) -> None:
        running.view = replace(running.view, **members)
        self._told(running.view)

    def _running(self, id: str) -> _InspectedCall:
        running = self._all.get(id)
        if running is None:
            raise LookupError(f"there is no call {id}")
        return running

    def _forget(self) -> None:
        while len(self._all) > _KEPT:
            done = next((id for id, each in self._all.items() if each.task is None), None)
            if done is None:
                return
            del self._all[done]


def _params(request: CallRequest) -> dict[str, Any]:
    match request.kind:
        case "tool" | "prompt":
            given = {} if request.arguments is None else {"arguments": request.arguments}
            return {"name": request.name, **given}
        case "read" | "subscribe" | "unsubscribe":
            return {"uri": request.uri}
        case "complete":
            return {"ref": request.ref, "argument": request.argument, "context": request.context}
        case "log-level":
            return {"level": request.level}
        case _:
            return request.params or {}


def _responses(answer: Any) -> None:
    if answer.action == "accept" and not isinstance(answer.content, dict):
        raise AnswerRefused(
            "a round is answered with an object: a response for each key of its inputRequests"
        )
