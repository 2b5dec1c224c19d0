"""Tasks, in the vocabulary of 2025-11-25 and in that of the extension: asked for rightly, and going on rightly.

Specification: 2025-11-25 basic/utilities/tasks; the extension io.modelcontextprotocol/tasks.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from ..extensions.tasks import names as tasks
from ..protocol import names
from ..protocol.revisions import Feature
from .heard import Heard, member, objects, shown
from .memory import Key, TaskState, key_of, size_of

__all__ = ["answer", "call"]

_ENDED: Final = frozenset({"completed", "failed", "cancelled"})
_WAYS: Final = {
    names.TOOLS_CALL: ("tools", "call"),
    names.SAMPLING_CREATE_MESSAGE: ("sampling", "createMessage"),
    names.ELICITATION_CREATE: ("elicitation", "create"),
}
_ABOUT: Final = frozenset({tasks.GET, tasks.CANCEL, tasks.UPDATE, tasks.RESULT, tasks.LIST})
_EARLY: Final = 0.5
"""The part of the time that a server wants between two polls that has to have passed; less is said to be early."""
_KEYS: Final = 1_000


def call(heard: Heard) -> None:
    """A request that asks for a task, or about one, or a notification of one."""
    if heard.profile is None:
        return
    params = heard.params
    if heard.is_request:
        if heard.profile.has(Feature.TASKS):
            _augmented(heard, params)
        elif (
            heard.method in _ABOUT
            and heard.stateless
            and not _extension(heard.meta)
            and heard.talk.once("task-undeclared")
        ):
            heard.say(
                "task-undeclared",
                "the client asks about a task, and did not declare the extension",
                "/params",
            )
        if heard.method == tasks.GET:
            _polled(heard, params)
        elif heard.method == tasks.UPDATE:
            _answers(heard, params)
    elif heard.method in (tasks.NOTIFY, tasks.NOTIFY_STATUS):
        _status(heard, params, "/params")


def _extension(meta: dict[str, Any]) -> bool:
    return member(meta, names.META_CLIENT_CAPABILITIES, "extensions", tasks.EXTENSION) is not None


def _augmented(heard: Heard, params: dict[str, Any]) -> None:
    asks, way = "task" in params, _WAYS.get(heard.method)
    declared = heard.talk.server if heard.sender == "client" else heard.talk.client
    offered = way is not None and member(declared, "tasks", "requests", *way) is not None
    if asks and declared is not None and not offered:
        said = f"a task is asked for, and the other side did not declare tasks of {heard.method}"
        heard.say("task-undeclared", said, "/params/task", heard.talk.initialize_answered)
        return
    if heard.method != names.TOOLS_CALL or not offered:
        return
    tool = heard.memory.tools.get((heard.talk.number, str(params.get("name"))[:200]))
    if tool is None:
        return
    if asks and tool.task_support in ("", "forbidden"):
        heard.say(
            "task-forbidden", f"{shown(params.get('name'))} does not run as a task", "/params/task", tool.line
        )
    elif not asks and tool.task_support == "required":
        said = f"{shown(params.get('name'))} runs as a task alone, and is called without"
        heard.say("task-required", said, "/params", tool.line)


def answer(heard: Heard) -> None:
    """A result that is a task, or tells of one."""
    asked, result, profile = heard.asked, heard.result, heard.profile
    if asked is None or result is None or profile is None:
        return
    if profile.has(Feature.TASKS):
        _result_2025(heard, result)
    elif profile.stateless:
        _result_of_extension(heard, result)


def _result_2025(heard: Heard, result: dict[str, Any]) -> None:
    asked = heard.asked
    if asked is None:
        return
    task = objects(result.get("task"))
    if asked.method in _WAYS and task:
        if asked.task:
            _new(heard, task, "/result/task")
        else:
            heard.say(
                "task-not-requested", "it is a task, and none was asked for", "/result/task", asked.line
            )
    elif asked.method in (tasks.GET, tasks.CANCEL):
        _status(heard, result, "/result")
    elif asked.method == tasks.RESULT and tasks.META_RELATED not in objects(result.get(names.META)):
        said = "the result of a task does not say in _meta of which task it is"
        heard.say("related-task-missing", said, "/result/_meta", asked.line)


def _result_of_extension(heard: Heard, result: dict[str, Any]) -> None:
    asked = heard.asked
    if asked is None:
        return
    is_task = result.get("resultType") == tasks.RESULT_TASK
    declared = member(asked.capabilities, "extensions", tasks.EXTENSION) is not None
    if is_task and asked.method != names.TOOLS_CALL:
        said = f"the result of {shown(asked.method)} says that it is a task"
        heard.say("task-elsewhere", said, "/result/resultType", asked.line)
    elif is_task and not declared:
        said = "it is a task, and the request did not declare the extension"
        heard.say("task-not-requested", said, "/result/resultType", asked.line)
    elif is_task:
        _new(heard, result, "/result", working=False)
    elif asked.method == tasks.GET:
        _status(heard, result, "/result")
        _asks(heard, result)
    elif asked.method == tasks.UPDATE:
        _taken(heard)


def _key(heard: Heard, id: Any) -> Key:
    return (heard.talk.number, key_of(id))


def _new(heard: Heard, task: dict[str, Any], where: str, *, working: bool = True) -> None:
    id, status = task.get("taskId"), task.get("status")
    if not isinstance(id, str):
        return
    known = heard.memory.tasks.get(_key(heard, id))
    if known is not None:
        heard.say("task-id-repeated", f"there is a task {shown(id)} already", f"{where}/taskId", known.line)
    if working and isinstance(status, str) and status != "working":
        heard.say("task-status-initial", f"a new task is {shown(status)}", f"{where}/status")
    state = TaskState(heard.line.n, str(status)[:50], str(task.get("lastUpdatedAt"))[:50], _interval(task))
    heard.memory.tasks.put(_key(heard, id), state, size_of(id))


def _interval(task: dict[str, Any]) -> float:
    """The seconds that a server wants between two polls."""
    wanted = task.get("pollInterval", task.get("pollIntervalMs"))
    return wanted / 1000 if isinstance(wanted, (int, float)) and not isinstance(wanted, bool) else 0.0


def _status(heard: Heard, task: dict[str, Any], where: str) -> None:
    state = heard.memory.tasks.get(_key(heard, task.get("taskId")))
    status, updated = task.get("status"), str(task.get("lastUpdatedAt"))[:50]
    if state is None or not isinstance(status, str) or _is_earlier(updated, state.updated):
        return
    if state.status in _ENDED and status != state.status:
        said = f"the task was {shown(state.status)}, and is {shown(status)}"
        heard.say("task-status-changed", said, f"{where}/status", state.line)
    state.status, state.updated, state.line = status[:50], updated, heard.line.n
    state.poll = _interval(task) or state.poll


def _is_earlier(told: str, known: str) -> bool:
    """Whether news of a task are older than what is known: they may overtake each other."""
    try:
        return datetime.fromisoformat(told) < datetime.fromisoformat(known)
    except (ValueError, TypeError):
        return False


def _polled(heard: Heard, params: dict[str, Any]) -> None:
    state = heard.memory.tasks.get(_key(heard, params.get("taskId")))
    if state is None:
        return
    now = heard.line.seconds
    if state.asked >= 0 and now - state.asked < state.poll * _EARLY and state.status not in _ENDED:
        said = f"the task is asked about after {now - state.asked:.2f} s, and its server wants {state.poll:g} s between"
        if heard.talk.once("task-polled-early"):
            heard.say("task-polled-early", said, "", state.line)
    state.asked = now


def _answers(heard: Heard, params: dict[str, Any]) -> None:
    """Answers on their way: they count when they were taken."""
    record = heard.memory.asked.get(heard.request_key(heard.sender, heard.id))
    if record is not None:
        given = [each[:200] for each in list(objects(params.get("inputResponses")))[:_KEYS]]
        record.wanted = {"id": params.get("taskId"), "keys": given}


def _taken(heard: Heard) -> None:
    sent = heard.asked.wanted if heard.asked is not None else None
    state = None if sent is None else heard.memory.tasks.get(_key(heard, sent["id"]))
    if sent is not None and state is not None and len(state.keys) < _KEYS:
        state.keys += tuple(sent["keys"])
        state.taken = heard.line.n


def _asks(heard: Heard, task: dict[str, Any]) -> None:
    state = heard.memory.tasks.get(_key(heard, task.get("taskId")))
    if state is None or heard.asked is None or heard.asked.line < state.taken:
        return
    again = next((each for each in objects(task.get("inputRequests")) if each[:200] in state.keys), None)
    if again is not None:
        said = f"{shown(again)} was answered, and is asked again"
        heard.say("task-key-reused", said, "/result/inputRequests", state.taken)
