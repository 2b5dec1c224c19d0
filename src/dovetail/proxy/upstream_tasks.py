"""Calls that become tasks at the upstream, followed to their ends for callers who know nothing of that.

Theory of operation. In the stateless era the upstream decides: where it was told that its caller knows tasks, it may
answer a call with one. It is told so only where it refuses the call otherwise, or where the call may become a task of
the app that the proxy is mounted on. In 2025-11-25 the caller decides: a tool that must be a task is called as one.
What a task asks is given as an `InputRequired` whose state names the task, as if the upstream had asked by a round; so
all that passes on questions passes these on. Whoever no longer waits has the upstream cancel the task.

Specification: the extension io.modelcontextprotocol/tasks; 2025-11-25, basic/utilities/tasks.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Protocol, cast

import msgspec
from msgspec import UNSET, Raw, Struct, field

from ..errors import (
    DovetailError,
    InvalidParams,
    InvalidRequest,
    MissingCapability,
    RemoteProtocolError,
    RPCError,
    rpc_error,
)
from ..extensions import Channel, ExtensionMethod
from ..extensions.tasks import names
from ..extensions.tasks.wire import ENDED, CreatedTask, DetailedTask, StatefulTask
from ..logs import get_logger
from ..revisions import PROFILES, Feature
from ..types import (
    DECODE_ERRORS,
    CallToolParams,
    ClientCapabilities,
    InputRequired,
    ServerCapabilities,
    encode,
    reader,
)
from .failures import unanswered

log = get_logger("dovetail.proxy")

PARTING: Final = 2.0
"""Seconds that the upstream has to hear that nobody waits for its task any more."""
_MARK: Final = "\0task:"
_SHORTEST, _POLL, _LONGEST = 0.1, 1.0, 60.0
_SLOWER: Final = 1.5

_OLD: Final = tuple(each.revision for each in PROFILES.values() if each.has(Feature.TASKS))
_NEW: Final = tuple(each.revision for each in PROFILES.values() if each.declares_extensions)
METHODS: Final = (
    ExtensionMethod(
        name=names.GET, subject=names.TASK_ID, declared=False, repeatable=True, revisions=(*_OLD, *_NEW)
    ),
    ExtensionMethod(
        name=names.CANCEL, subject=names.TASK_ID, declared=False, repeatable=True, revisions=(*_OLD, *_NEW)
    ),
    ExtensionMethod(name=names.UPDATE, subject=names.TASK_ID, declared=False, revisions=_NEW),
    ExtensionMethod(name=names.RESULT, declared=False, repeatable=True, revisions=_OLD),
)
"""What a client of the upstream has to know of tasks: whatever else that is, calls are not followed by it."""


class SendPassed(Protocol):
    """Sends a request over the connection of a call, with what belongs to the call. Raises as `Client.forward` does."""

    async def __call__(
        self, method: str, params: Any, *, tasks: bool = False, patient: bool = False
    ) -> Raw | InputRequired:
        """``tasks``: say that tasks are known here; ``patient``: it may take as long as it likes."""
        ...


class _TypeOfResult(Struct, frozen=True):
    result_type: Any = field(default=None, name="resultType")


_outline: Final = reader(_TypeOfResult).read
_created: Final = reader(CreatedTask).keep
_detailed: Final = reader(DetailedTask).keep
_stateful: Final = reader(StatefulTask).keep
_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode


def knowing(capabilities: ClientCapabilities) -> ClientCapabilities:
    """These capabilities, and that tasks are known."""
    return msgspec.structs.replace(capabilities, extensions={names.EXTENSION: {}})


def makes_tasks(offered: ServerCapabilities | None) -> bool:
    """Whether a server of the stateless era may answer a call with a task."""
    return offered is not None and names.EXTENSION in (offered.extensions or {})


def takes_tasks(offered: ServerCapabilities | None) -> bool:
    """Whether a server of 2025-11-25 takes calls of tools as tasks."""
    found: Any = None if offered is None else offered.tasks
    for name in ("requests", "tools", "call"):
        if not isinstance(found, dict):
            return False
        found = cast("dict[str, Any]", found).get(name)
    return found is not None


def wants_tasks(refusal: MissingCapability) -> bool:
    """Whether a call was refused because its caller knows no tasks."""
    extensions = refusal.required.get("extensions")
    return isinstance(extensions, dict) and names.EXTENSION in extensions


def task_in(body: Raw | InputRequired) -> str | None:
    """The id of the task that a call of the stateless era became. Raises `RemoteProtocolError`."""
    if isinstance(body, InputRequired) or _outline(body).result_type != names.RESULT_TASK:
        return None
    return _task(body).task_id


def state_of(task: str) -> str:
    """The state of a call that is a task at the upstream."""
    return _MARK + task


def task_of(state: str | None) -> str | None:
    """The task at the upstream that a state names."""
    return state.removeprefix(_MARK) if state is not None and state.startswith(_MARK) else None


async def followed(
    send: SendPassed, channel: Channel, task: str, answers: Mapping[str, Any] | None, *, label: str
) -> Raw | InputRequired:
    """What a task of a stateless upstream comes to, given answers to what it asked: its result, or what it asks next.
    ``label``: what people know the upstream by.

    Who is cancelled here has it cancelled, unless ``channel`` is of a call that somebody goes on with. Raises the error
    that it came to, and `UpstreamFailed` where it was cancelled.
    """
    about = {names.TASK_ID: task}
    try:
        if answers:
            await send(names.UPDATE, {**about, names.INPUT_RESPONSES: dict(answers)}, tasks=True)
        pause = _SHORTEST
        while True:
            found = _task(await send(names.GET, about, tasks=True))
            if found.status in ENDED:
                return _end_of(found)
            asked = {} if found.input_requests is UNSET else found.input_requests
            new = {key: each for key, each in asked.items() if key not in (answers or {})}
            if found.status == "input_required" and new:
                return InputRequired(input_requests=new, request_state=state_of(task))
            longest = _POLL if found.poll_interval_ms is UNSET else found.poll_interval_ms / 1000
            await asyncio.sleep(pause)
            pause = min(pause * _SLOWER, max(_SHORTEST, min(longest, _LONGEST)))
    except asyncio.CancelledError:
        if channel.durable is None or channel.cancelled:
            await _given_up(send, task, label)
        raise


async def as_task(send: SendPassed, params: CallToolParams, *, label: str) -> Raw:
    """What a call that a stateful upstream runs as a task comes to. What it asks comes as requests, meanwhile.
    ``label``: as of `followed`.
    """
    members: dict[str, Any] = {"name": params.name, "task": {}}
    if params.arguments:
        members["arguments"] = params.arguments
    try:
        made = _created(_raw(await send(names.TOOLS_CALL, members))).task.task_id
    except DECODE_ERRORS as problem:
        raise RemoteProtocolError(
            f"the upstream was asked for a task and gave none: {str(problem)[:200]}"
        ) from None
    about = {names.TASK_ID: made}
    try:
        while True:
            try:
                return _without_relation(_raw(await send(names.RESULT, about, patient=True)))
            except (InvalidParams, InvalidRequest):  # not every server waits in this request
                if await _ended(send, about):
                    return _without_relation(_raw(await send(names.RESULT, about, patient=True)))
    except asyncio.CancelledError:
        await _given_up(send, made, label)
        raise


async def _ended(send: SendPassed, about: Mapping[str, Any]) -> bool:
    """Wait until a task of a stateful upstream has ended. Raises `UpstreamFailed` where it was cancelled."""
    pause = _SHORTEST
    while True:
        try:
            found = _stateful(_raw(await send(names.GET, about)))
        except DECODE_ERRORS as problem:
            raise RemoteProtocolError(f"the upstream's task can't be read: {str(problem)[:200]}") from None
        if found.status == "cancelled":
            raise unanswered("it cancelled the call")
        if found.status in ENDED or found.status == "input_required":
            return found.status in ENDED
        await asyncio.sleep(pause)
        pause = min(pause * _SLOWER, _POLL)


async def _given_up(send: SendPassed, task: str, label: str) -> None:
    """Nobody waits any more: tell the upstream, without waiting long for it to hear that."""

    async def tell() -> None:
        try:
            async with asyncio.timeout(PARTING):
                await send(names.CANCEL, {names.TASK_ID: task}, tasks=True)
        except (DovetailError, TimeoutError) as problem:
            log.info("%s was not told that nobody waits for its task: %s", label, problem)

    await asyncio.shield(asyncio.ensure_future(tell()))


def _task(body: Raw | InputRequired) -> DetailedTask:
    try:
        task = _detailed(_raw(body))
    except DECODE_ERRORS as problem:
        raise RemoteProtocolError(f"the upstream's task can't be read: {str(problem)[:200]}") from None
    if not task.task_id:
        raise RemoteProtocolError("the upstream made a task and gave it no id")
    return task


def _raw(body: Raw | InputRequired) -> Raw:
    if isinstance(body, InputRequired):
        raise RemoteProtocolError("the upstream asked for input where nobody may be asked")
    return body


def _end_of(task: DetailedTask) -> Raw:
    if task.status == "cancelled":
        raise unanswered("it cancelled the call")
    if task.status == "failed":
        if task.error is UNSET:
            raise RemoteProtocolError("the upstream's task failed, and it does not say by which error")
        data: Any = None if task.error.data is UNSET else task.error.data
        failure: RPCError = rpc_error(task.error.code, task.error.message, data)
        raise failure
    if task.result is UNSET:
        raise RemoteProtocolError("the upstream's task is completed, and it gives no result")
    return task.result


def _without_relation(body: Raw) -> Raw:
    """A result without the name of the upstream's task, which is none of its caller's."""
    members = _members(body)
    said = members.get("_meta")
    if said is None:
        return body
    meta = _members(said)
    if meta.pop(names.META_RELATED, None) is None:
        return body
    members.pop("_meta")
    if meta:
        members["_meta"] = Raw(encode(meta))
    return Raw(encode(members))


__all__ = [
    "METHODS",
    "SendPassed",
    "as_task",
    "followed",
    "knowing",
    "makes_tasks",
    "state_of",
    "takes_tasks",
    "task_in",
    "task_of",
    "wants_tasks",
]
