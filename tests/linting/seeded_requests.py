"""Faults of what each request and result says of itself, of rounds, subscriptions and tasks, each under its rule."""

from __future__ import annotations

from typing import Any

from seeding import Seeds
from talking import CACHED, CLIENT, META, MODERN, TOOL, Said

SEEDS = seed = Seeds()
TASKS = "io.modelcontextprotocol/tasks"
FORM: dict[str, Any] = {"type": "object", "properties": {"name": {"type": "string"}}}
QUESTION = {"method": "elicitation/create", "params": {"message": "Who?", "requestedSchema": FORM}}
ANSWER = {"action": "accept", "content": {"name": "Ada"}}


@seed("request-meta-missing")
def a_request_that_says_nothing_of_itself() -> Said:
    said = Said(MODERN, http=True).hello()
    request = said.request("tools/list")
    del request["params"]["_meta"][f"{META}clientCapabilities"]
    said.client(request)
    return said


@seed("client-info-missing")
def a_client_that_says_no_name() -> Said:
    said = Said(MODERN)
    request = said.request("tools/list")
    del request["params"]["_meta"][f"{META}clientInfo"]
    said.client(request)
    return said


@seed("server-info-missing")
def a_server_that_says_no_name() -> Said:
    return Said(MODERN).ask("tools/list", result={"tools": [TOOL], "_meta": {}, **CACHED})


@seed("meta-key")
def a_key_with_a_space() -> Said:
    said = Said().hello()
    said.client(said.request("tools/list", None, **{"two words": 1}))
    return said


@seed("trace-context")
def a_trace_of_zeros() -> Said:
    said = Said(MODERN).hello()
    said.client(said.request("tools/list", traceparent="00-0-0-00"))
    return said


@seed("result-type-missing")
def a_result_of_no_type() -> Said:
    said = Said(MODERN).hello()
    said.client(said.request("tools/call", {"name": "measure"}))
    said.server({"jsonrpc": "2.0", "id": said.id, "result": {"content": []}})
    return said


@seed("result-type-unknown")
def a_result_of_an_unknown_type() -> Said:
    return Said(MODERN).hello().call({"content": [], "resultType": "partial"})


@seed("cache-hints-missing")
def a_list_without_a_time() -> Said:
    return Said(MODERN).hello().ask("tools/list", result={"tools": [TOOL], "cacheScope": "public"})


@seed("cache-ttl")
def a_negative_time() -> Said:
    return Said(MODERN).hello().tools(ttlMs=-1)


@seed("cache-scope")
def kept_by_some() -> Said:
    return Said(MODERN).hello().tools(cacheScope="shared")


@seed("cache-scope-differs")
def pages_for_different_circles() -> Said:
    said = Said(MODERN).hello().tools(nextCursor="2")
    page = {"tools": [TOOL | {"name": "other"}], **CACHED, "cacheScope": "public"}
    return said.ask("tools/list", {"cursor": "2"}, result=page)


def asked_back(result: dict[str, Any] | None = None, method: str = "tools/call") -> Said:
    said = Said(MODERN).hello()
    params = {"name": "measure", "arguments": {"bed": "north"}} if method == "tools/call" else {}
    asks = {"resultType": "input_required", "inputRequests": {"who": QUESTION}, "requestState": "s-1"}
    return said.ask(method, params, result=asks if result is None else result)


@seed("input-required-elsewhere")
def a_list_that_asks_back() -> Said:
    return asked_back(method="tools/list")


@seed("input-required-empty")
def nothing_is_asked() -> Said:
    return asked_back({"resultType": "input_required"})


@seed("input-request-method")
def a_client_is_asked_for_tools() -> Said:
    questions = {"who": {"method": "tools/list", "params": {}}}
    return asked_back({"resultType": "input_required", "inputRequests": questions})


@seed("input-request-envelope")
def a_question_as_a_message() -> Said:
    questions = {"who": {"jsonrpc": "2.0", "id": 1, **QUESTION}}
    return asked_back({"resultType": "input_required", "inputRequests": questions})


def retried(**changes: Any) -> Said:
    said = asked_back()
    params = {"name": "measure", "arguments": {"bed": "north"}, "requestState": "s-1"}
    params |= {"inputResponses": {"who": ANSWER}} | changes
    said.client(
        said.request("tools/call", {name: value for name, value in params.items() if value is not None})
    )
    return said


@seed("request-state-missing")
def the_state_is_left_out() -> Said:
    return retried(requestState=None)


@seed("request-state-changed")
def the_state_is_changed() -> Said:
    return retried(requestState="s-2")


@seed("request-state-unknown")
def a_state_of_nobody() -> Said:
    said = Said(MODERN).hello()
    said.client(said.request("tools/call", {"name": "measure", "requestState": "s-9"}))
    return said


@seed("retry-id-reused")
def the_same_id_again() -> Said:
    said = retried()
    said.lines.pop()
    said.id = 1
    params = {"name": "measure", "arguments": {"bed": "north"}, "requestState": "s-1"}
    said.client(said.request("tools/call", params | {"inputResponses": {"who": ANSWER}}))
    return said


@seed("retry-changed")
def other_arguments() -> Said:
    return retried(arguments={"bed": "south"})


@seed("input-response-unknown")
def an_answer_to_nothing() -> Said:
    return retried(inputResponses={"who": ANSWER, "where": ANSWER})


@seed("input-response-missing")
def a_question_unanswered() -> Said:
    return retried(inputResponses={})


def listening(wanted: dict[str, Any] | None = None, *, acknowledged: bool = True) -> Said:
    said = Said(MODERN).hello()
    asked = {"toolsListChanged": True} if wanted is None else wanted
    said.client(said.request("subscriptions/listen", {"notifications": asked}))
    if acknowledged:
        said.server(told(said, "notifications/subscriptions/acknowledged", {"notifications": asked}))
    return said


def told(said: Said, method: str, params: dict[str, Any] | None = None, *, id: Any = None) -> dict[str, Any]:
    own = {"_meta": {f"{META}subscriptionId": said.id if id is None else id}}
    return said.notice(method, own | (params or {}))


@seed("before-acknowledged")
def a_change_at_once() -> Said:
    said = listening(acknowledged=False)
    said.server(told(said, "notifications/tools/list_changed"))
    return said


@seed("acknowledged-more")
def more_than_was_asked() -> Said:
    said = listening(acknowledged=False)
    granted = {"toolsListChanged": True, "promptsListChanged": True}
    said.server(told(said, "notifications/subscriptions/acknowledged", {"notifications": granted}))
    return said


@seed("subscription-id-missing")
def a_change_of_no_subscription() -> Said:
    said = listening()
    said.server(said.notice("notifications/tools/list_changed", {}))
    return said


@seed("subscription-id-unknown")
def a_text_for_a_number() -> Said:
    said = listening()
    said.server(told(said, "notifications/tools/list_changed", id=str(said.id)))
    return said


@seed("unrequested-change")
def a_change_nobody_wants() -> Said:
    said = listening()
    said.server(told(said, "notifications/prompts/list_changed"))
    return said


@seed("unrequested-change")
def another_resource() -> Said:
    said = listening({"resourceSubscriptions": ["a://b"]})
    said.server(told(said, "notifications/resources/updated", {"uri": "c://d"}))
    return said


@seed("change-outside-subscription")
def a_change_in_answer_to_a_call() -> Said:
    said = Said(MODERN, http=True).hello()
    said.post(said.request("tools/call", {"name": "measure"}))
    said.stream(said.notice("notifications/tools/list_changed", {}), said.result({"content": []}))
    return said


@seed("not-on-subscription")
def logs_on_a_subscription() -> Said:
    said = Said(MODERN, http=True).hello()
    asked = {"notifications": {"toolsListChanged": True}}
    said.post(said.request("subscriptions/listen", asked))
    said.stream(
        told(said, "notifications/subscriptions/acknowledged", asked),
        said.notice("notifications/message", {"level": "info", "data": "x"}),
        end=False,
    )
    return said


WITH_TASKS = {"tools": {}, "tasks": {"requests": {"tools": {"call": {}}}}}


def task(status: str = "working", **members: Any) -> dict[str, Any]:
    at = "2026-01-01T00:00:00Z"
    return {"taskId": "t", "status": status, "createdAt": at, "lastUpdatedAt": at, "ttl": None} | members


def as_task(server: dict[str, Any] | None = None, support: str = "optional", **params: Any) -> Said:
    said = Said().hello(WITH_TASKS if server is None else server)
    said.tools(TOOL | {"execution": {"taskSupport": support}})
    said.client(said.request("tools/call", {"name": "measure"} | params))
    return said


@seed("task-undeclared")
def a_task_of_who_has_none() -> Said:
    return as_task({"tools": {}}, task={})


@seed("task-not-requested")
def a_task_nobody_wanted() -> Said:
    said = Said(MODERN).hello()
    made = {"resultType": "task", **task(ttlMs=None)}
    del made["ttl"]
    return said.ask("tools/call", {"name": "measure"}, result=made)


def extended(method: str, params: dict[str, Any], said: Said | None = None) -> Said:
    said = said or Said(MODERN).hello()
    said.client(said.request(method, params, __clientCapabilities=CLIENT | {"extensions": {TASKS: {}}}))
    return said


def made_task(status: str = "working", *, kind: str = "complete", **members: Any) -> dict[str, Any]:
    found = task(status, ttlMs=None, resultType=kind, **members)
    del found["ttl"]
    return found


@seed("task-elsewhere")
def a_prompt_as_a_task() -> Said:
    said = extended("prompts/get", {"name": "p"})
    said.server(said.result(made_task(kind="task")))
    return said


@seed("task-forbidden")
def a_tool_that_runs_as_none() -> Said:
    return as_task(support="forbidden", task={})


@seed("task-required")
def a_tool_that_runs_as_one_alone() -> Said:
    return as_task(support="required")


@seed("task-status-initial")
def done_from_the_start() -> Said:
    said = as_task(task={})
    said.server(said.result({"task": task("completed")}))
    return said


@seed("task-status-changed")
def alive_again() -> Said:
    said = as_task(task={})
    said.server(said.result({"task": task()}))
    said.ask("tasks/get", {"taskId": "t"}, result=task("completed"))
    return said.ask("tasks/get", {"taskId": "t"}, result=task("working"))


@seed("task-id-repeated")
def two_tasks_of_one_id() -> Said:
    said = as_task(task={})
    said.server(said.result({"task": task()}))
    return said.ask("tools/call", {"name": "measure", "task": {}}, result={"task": task()})


@seed("task-key-reused")
def asked_again_under_its_key() -> Said:
    said = extended("tools/call", {"name": "measure"})
    said.server(said.result(made_task(kind="task")))
    for _ in range(2):
        extended("tasks/get", {"taskId": "t"}, said)
        said.server(said.result(made_task("input_required", inputRequests={"who": QUESTION})))
        extended("tasks/update", {"taskId": "t", "inputResponses": {"who": ANSWER}}, said)
        said.server(said.result({}))
    return said


@seed("task-polled-early")
def asked_at_once() -> Said:
    said = as_task(task={})
    said.server(said.result({"task": task(pollInterval=60_000)}))
    said.ask("tasks/get", {"taskId": "t"}, result=task(pollInterval=60_000))
    return said.ask("tasks/get", {"taskId": "t"}, result=task(pollInterval=60_000))


@seed("related-task-missing")
def a_result_of_no_task() -> Said:
    said = as_task(task={})
    said.server(said.result({"task": task()}))
    return said.ask("tasks/result", {"taskId": "t"}, result={"content": []})


@seed("task-undeclared")
def asked_about_without_the_extension() -> Said:
    said = Said(MODERN).hello()
    said.client(said.request("tasks/get", {"taskId": "t"}))
    said.server(said.error(-32021, "no", {"requiredCapabilities": {"extensions": {TASKS: {}}}}))
    return said


@seed("task-not-requested")
def a_task_in_the_place_of_a_result() -> Said:
    said = as_task()
    said.server(said.result({"content": [], "task": task()}))
    return said
