"""A task as clients see it, in the words of the extension and in those of 2025-11-25.

Decision: a tool's own error (``isError``) is a task that has completed, as the extension says; 2025-11-25 says of the
same one that it failed ("for tool calls specifically, this includes cases where the tool call result has isError set").

Specification: the extension io.modelcontextprotocol/tasks, "Tasks"; 2025-11-25, basic/utilities/tasks, "Data Types".
"""

from typing import Any, Final

from msgspec import UNSET, Raw, Struct, UnsetType, field
from msgspec.structs import replace

from dovetail.errors import RPCError
from dovetail.stores import TaskRecord
from dovetail.types import DECODE_ERRORS, InputRequest, Result, reader

from . import names
from .records import TaskData, status_of
from .wire import TaskError, TaskStatus, timestamp

_FAILED: Final = "The tool reported an error: its result says which."
_MOST_SAID: Final = 500
"""Characters of a tool's own error that the status of its task says."""


class _SaidBlock(Struct, frozen=True):
    text: str = ""


class _SaidContent(Struct, frozen=True):
    content: list[_SaidBlock]


_said: Final = reader(_SaidContent)


class TaskResult(Result, frozen=True, kw_only=True):
    """A task of the extension as a result: of ``tasks/get``, or in place of a tool's."""

    task_id: str
    status: TaskStatus
    created_at: str
    last_updated_at: str
    ttl_ms: int | None = field(name="ttlMs")
    status_message: str | UnsetType = UNSET
    poll_interval_ms: int | UnsetType = UNSET
    input_requests: dict[str, InputRequest] | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: TaskError | UnsetType = UNSET


class StatefulTaskResult(Result, frozen=True, kw_only=True):
    """A task of 2025-11-25 as a result."""

    task_id: str
    status: TaskStatus
    created_at: str
    last_updated_at: str
    ttl: int | None = field(name="ttl")
    status_message: str | UnsetType = UNSET
    poll_interval: int | UnsetType = UNSET


class CreatedTaskResult(Result, frozen=True, kw_only=True):
    """What a call of 2025-11-25 is answered with that became a task."""

    task: dict[str, Any]


class TasksResult(Result, frozen=True, kw_only=True):
    """One page of tasks, in 2025-11-25."""

    tasks: list[dict[str, Any]]
    next_cursor: str | UnsetType = UNSET


def created(record: TaskRecord, data: TaskData) -> TaskResult:
    """What a call is answered with that became a task: nothing of what it is to come to."""
    return TaskResult(
        result_type=names.RESULT_TASK, **_common(record, data), ttl_ms=_ttl(record), **_poll(data)
    )


def detailed(record: TaskRecord, data: TaskData) -> TaskResult:
    """What ``tasks/get`` answers: the task, and what its status brings."""
    more: dict[str, Any] = {}
    match record.status:
        case "input_required":
            more["input_requests"] = {
                key: question.request for key, question in data.questions.items() if key not in data.responses
            }
        case "completed":
            more["result"] = data.result
        case "failed":
            more["error"] = data.error
        case _:
            pass
    return TaskResult(**_common(record, data), ttl_ms=_ttl(record), **_poll(data), **more)


def notified(record: TaskRecord, data: TaskData) -> dict[str, Any]:
    """The parameters of ``notifications/tasks``: the same, as plain values."""
    return detailed(record, data).to_wire()


def stateful(record: TaskRecord, data: TaskData) -> StatefulTaskResult:
    """What ``tasks/get`` and ``tasks/cancel`` answer in 2025-11-25."""
    common = _common(record, data)
    if record.status == "completed" and data.is_error:
        common["status"], common["status_message"] = "failed", _words(data.result)
    poll: dict[str, Any] = {} if record.ended else {"poll_interval": _milliseconds(data.poll)}
    return StatefulTaskResult(**common, ttl=_ttl(record), **poll)


def _words(result: Raw) -> str:
    """What a tool says of its error, for who looks at the status and not at the result."""
    try:
        said = " ".join(each.text for each in _said.read(result).content if each.text)
    except DECODE_ERRORS:
        said = ""
    return said[:_MOST_SAID] or _FAILED


def created_stateful(record: TaskRecord, data: TaskData, immediate: str | None) -> CreatedTaskResult:
    """What a call of 2025-11-25 is answered with that became a task. ``immediate``: what a model is told at once."""
    meta = related(record) if immediate is None else {**related(record), names.META_IMMEDIATE: immediate}
    return CreatedTaskResult(task=stateful(record, data).to_wire(), meta=meta)


def related(record: TaskRecord) -> dict[str, Any]:
    """What messages of 2025-11-25 that belong to the task say in their ``_meta``."""
    return {names.META_RELATED: {names.TASK_ID: record.id}}


def error_of(problem: RPCError, code: int) -> TaskError:
    """An error of the protocol as a task keeps it."""
    return TaskError(code, problem.message, UNSET if problem.data is None else problem.data)


def raised(error: TaskError) -> RPCError:
    """The error that a task failed with, to be raised."""
    return RPCError(error.message, code=error.code, data=None if error.data is UNSET else error.data)


def _common(record: TaskRecord, data: TaskData) -> dict[str, Any]:
    return {
        "task_id": record.id,
        "status": status_of(record),
        "created_at": timestamp(record.created),
        "last_updated_at": timestamp(record.updated),
        "status_message": data.message or UNSET,
    }


def _ttl(record: TaskRecord) -> int | None:
    return None if record.expires is None else _milliseconds(record.expires - record.created)


def _poll(data: TaskData) -> dict[str, Any]:
    return {"poll_interval_ms": _milliseconds(data.poll)}


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def complete(result: Result) -> Result:
    """A result that says what it is, as every one since 2026-07-28."""
    return result if result.result_type is not None else replace(result, result_type=names.RESULT_COMPLETE)
