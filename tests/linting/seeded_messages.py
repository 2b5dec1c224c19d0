"""Faults of envelopes, of the beginning, of capabilities, of progress and cancelling, each under its rule."""

from __future__ import annotations

from seeding import Seeds
from talking import BATCHING, LAST_STATEFUL, MODERN, SERVER, THIRD, TOOL, Said

from dovetail.recording import HTTPPart

SEEDS = seed = Seeds()
PING = {"jsonrpc": "2.0", "id": 9, "method": "ping"}


@seed("not-json")
def text_on_standard_output() -> Said:
    said = Said().hello()
    said.line("server", text="Server listening on port 3000")
    return said


@seed("not-json")
def a_body_that_is_no_json() -> Said:
    said = Said(http=True).hello()
    said.post(said.request("ping"))
    head = {"content-type": "application/json"}
    part = HTTPPart(exchange=said.exchange, status=200, headers=head, end="complete")
    said.line("server", http=part, text="{oops")
    return said


@seed("not-a-message")
def neither_method_nor_result() -> Said:
    said = Said().hello()
    said.server({"jsonrpc": "2.0", "id": 1})
    return said


@seed("not-a-message")
def a_number_for_a_method() -> Said:
    said = Said().hello()
    said.client({"jsonrpc": "2.0", "id": 5, "method": 7})
    return said


@seed("jsonrpc-version")
def no_version_of_jsonrpc() -> Said:
    said = Said().hello()
    said.client(said.request("ping"))
    said.server({"id": said.id, "result": {}})
    return said


@seed("result-and-error")
def both_at_once() -> Said:
    said = Said().hello()
    said.client(said.request("ping"))
    said.server(said.result() | {"error": {"code": -32603, "message": "but"}})
    return said


@seed("error-object")
def a_code_in_words() -> Said:
    said = Said().hello()
    said.client(said.request("tools/list"))
    said.server(said.error(0) | {"error": {"code": "E_FAIL", "message": "no"}})
    return said


@seed("error-code")
def a_code_that_was_taken_away() -> Said:
    said = Said(MODERN).hello()
    said.client(said.request("resources/read", {"uri": "a://b"}))
    said.server(said.error(-32002, "not found"))
    return said


@seed("error-code")
def a_code_kept_for_the_specification() -> Said:
    said = Said(MODERN).hello()
    said.client(said.request("tools/list"))
    said.server(said.error(-32050, "mine"))
    return said


@seed("id-null")
def null_for_an_id() -> Said:
    said = Said().hello()
    said.client({"jsonrpc": "2.0", "id": None, "method": "ping"})
    return said


@seed("id-type")
def a_fraction_for_an_id() -> Said:
    said = Said().hello()
    said.client({"jsonrpc": "2.0", "id": 1.5, "method": "ping"})
    return said


@seed("id-reused")
def the_id_of_an_answered_request() -> Said:
    said = Said().hello()
    said.client(PING)
    said.server({"jsonrpc": "2.0", "id": 9, "result": {}})
    said.client(PING)
    return said


@seed("id-reused")
def the_id_of_an_open_request() -> Said:
    said = Said(MODERN).hello()
    said.client(said.request("tools/list"))
    said.id -= 1
    said.client(said.request("prompts/list"))
    return said


@seed("response-unknown-id")
def an_answer_to_nothing() -> Said:
    said = Said().hello()
    said.server({"jsonrpc": "2.0", "id": 77, "result": {}})
    return said


@seed("response-unknown-id")
def a_text_for_a_number() -> Said:
    said = Said().hello()
    said.client(PING)
    said.server({"jsonrpc": "2.0", "id": "9", "result": {}})
    return said


@seed("response-repeated")
def two_answers() -> Said:
    said = Said().hello()
    said.ask("ping", result={})
    said.server(said.result())
    return said


@seed("response-without-id")
def a_result_of_nothing() -> Said:
    said = Said().hello()
    said.server({"jsonrpc": "2.0", "result": {}})
    return said


@seed("response-after-cancel")
def answered_all_the_same() -> Said:
    said = Said().hello()
    said.client(said.request("tools/call", {"name": "measure"}))
    said.client(said.notice("notifications/cancelled", {"requestId": said.id}))
    said.server(said.result({"content": []}))
    return said


@seed("unanswered")
def no_answer() -> Said:
    said = Said().hello()
    said.client(said.request("ping"))
    return said


@seed("batch-not-allowed")
def an_array_where_there_are_none() -> Said:
    said = Said().hello()
    said.client([said.request("ping"), said.request("ping")])
    said.server(said.result(id=2))
    said.server(said.result(id=3))
    return said


@seed("batch-invalid")
def an_empty_array() -> Said:
    said = Said(BATCHING).hello()
    said.client([])
    return said


@seed("batch-invalid")
def an_array_of_both() -> Said:
    said = Said(BATCHING).hello()
    said.server({"jsonrpc": "2.0", "id": 1, "method": "ping"})
    said.client([said.request("ping"), {"jsonrpc": "2.0", "id": 1, "result": {}}])
    return said


@seed("notification-with-id")
def a_notification_with_an_id() -> Said:
    said = Said().hello()
    said.server({"jsonrpc": "2.0", "id": 4, "method": "notifications/tools/list_changed"})
    return said


@seed("request-without-id")
def a_request_without_an_id() -> Said:
    said = Said().hello()
    said.client({"jsonrpc": "2.0", "method": "tools/list"})
    return said


@seed("schema")
def a_tool_without_a_schema() -> Said:
    return Said().hello().tools({"name": "measure", "description": "Measure."})


@seed("schema")
def a_call_without_a_name() -> Said:
    said = Said(MODERN).hello()
    said.client(said.request("tools/call", {"arguments": {}}))
    return said


@seed("schema")
def text_in_the_place_of_content() -> Said:
    return Said().hello().call({"content": "done"})


@seed("schema")
def a_result_without_its_list() -> Said:
    return Said(THIRD).hello().ask("prompts/list", result={"items": []})


@seed("schema")
def an_unsupported_version_without_the_supported_ones() -> Said:
    said = Said(MODERN).hello()
    said.client(said.request("tools/list"))
    said.server(said.error(-32022, "no", {"requested": "x"}))
    return said


@seed("unknown-method")
def a_method_of_nobody() -> Said:
    said = Said().hello()
    said.client(said.request("tools/guess"))
    return said


@seed("method-of-other-revision")
def a_method_that_is_gone() -> Said:
    said = Said(MODERN).hello()
    said.client(said.request("ping"))
    return said


@seed("method-of-other-revision")
def a_method_that_is_to_come() -> Said:
    said = Said("2024-11-05").hello()
    said.server({"jsonrpc": "2.0", "id": 1, "method": "elicitation/create", "params": {"message": "?"}})
    return said


@seed("method-wrong-sender")
def a_client_that_is_asked_for_tools() -> Said:
    said = Said().hello()
    said.server({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    return said


@seed("request-from-server")
def a_server_that_asks() -> Said:
    said = Said(MODERN).hello()
    said.server({"jsonrpc": "2.0", "id": 1, "method": "roots/list"})
    return said


@seed("response-from-client")
def a_client_that_answers() -> Said:
    said = Said(MODERN).hello()
    said.client({"jsonrpc": "2.0", "id": 1, "result": {}})
    return said


@seed("before-initialize")
def tools_before_all() -> Said:
    said = Said()
    said.line("client", said.request("tools/list"))
    return said


@seed("initialize-repeated")
def initialized_twice() -> Said:
    said = Said().hello()
    said.client(
        said.request(
            "initialize", {"protocolVersion": LAST_STATEFUL, "capabilities": {}, "clientInfo": SERVER}
        )
    )
    return said


@seed("initialize-cancelled")
def initialize_is_cancelled() -> Said:
    said = Said()
    said.client(
        said.request(
            "initialize", {"protocolVersion": LAST_STATEFUL, "capabilities": {}, "clientInfo": SERVER}
        )
    )
    said.client(said.notice("notifications/cancelled", {"requestId": said.id}))
    return said


@seed("early-request")
def too_early() -> Said:
    said = Said()
    said.client(
        said.request(
            "initialize", {"protocolVersion": LAST_STATEFUL, "capabilities": {}, "clientInfo": SERVER}
        )
    )
    said.client(said.request("tools/list"))
    return said


@seed("initialized-early")
def initialized_before_the_answer() -> Said:
    said = Said()
    said.client(
        said.request(
            "initialize", {"protocolVersion": LAST_STATEFUL, "capabilities": {}, "clientInfo": SERVER}
        )
    )
    said.client(said.notice("notifications/initialized"))
    return said


@seed("initialized-missing")
def never_initialized() -> Said:
    return Said().hello(done=False).tools()


@seed("early-server-request")
def asked_too_early() -> Said:
    said = Said().hello(client={"roots": {}}, done=False)
    said.server({"jsonrpc": "2.0", "id": 1, "method": "roots/list"})
    return said


@seed("revision-unknown")
def a_revision_of_nobody() -> Said:
    said = Said()
    offered = {"protocolVersion": LAST_STATEFUL, "capabilities": {}, "clientInfo": SERVER}
    said.client(said.request("initialize", offered))
    # The answer is in the revision that it names; what is asked next shows that it is not known.
    said.server(said.result({"protocolVersion": "2031-01-01", "capabilities": {}, "serverInfo": SERVER}))
    return said


@seed("capability-not-offered")
def prompts_of_who_has_none() -> Said:
    said = Said().hello({"tools": {}})
    said.client(said.request("prompts/list"))
    said.server(said.error(-32601))
    return said


@seed("capability-undeclared")
def prompts_nobody_was_told_of() -> Said:
    return Said().hello({"tools": {}}).ask("prompts/list", result={"prompts": []})


@seed("client-capability-missing")
def roots_of_who_has_none() -> Said:
    said = Said().hello(client={})
    said.server({"jsonrpc": "2.0", "id": 1, "method": "roots/list"})
    return said


@seed("client-capability-missing")
def an_address_for_who_fills_in_forms() -> Said:
    said = Said().hello(client={"elicitation": {}})
    params = {"mode": "url", "message": "Pay", "url": "https://example.com/pay", "elicitationId": "e"}
    said.server({"jsonrpc": "2.0", "id": 1, "method": "elicitation/create", "params": params})
    return said


@seed("client-capability-missing")
def a_question_in_a_result_that_the_client_can_not_answer() -> Said:
    said = Said(MODERN).hello()
    said.client(said.request("tools/call", {"name": "measure"}, __clientCapabilities={}))
    questions = {"a": {"method": "roots/list"}}
    said.server(said.result({"resultType": "input_required", "inputRequests": questions}))
    return said


@seed("sampling-context-undeclared")
def a_context_nobody_offered() -> Said:
    said = Said().hello(client={"sampling": {}})
    params = {"messages": [], "maxTokens": 5, "includeContext": "allServers"}
    said.server({"jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage", "params": params})
    return said


@seed("list-changed-undeclared")
def a_change_nobody_was_told_of() -> Said:
    said = Said().hello({"tools": {}})
    said.server(said.notice("notifications/tools/list_changed"))
    return said


@seed("updates-undeclared")
def an_update_nobody_was_told_of() -> Said:
    said = Said().hello({"resources": {}})
    said.server(said.notice("notifications/resources/updated", {"uri": "a://b"}))
    return said


@seed("not-subscribed")
def an_update_of_something_else() -> Said:
    said = Said().hello()
    said.ask("resources/subscribe", {"uri": "a://b"}, result={})
    said.server(said.notice("notifications/resources/updated", {"uri": "c://d"}))
    return said


@seed("logging-undeclared")
def logs_nobody_was_told_of() -> Said:
    said = Said().hello({"tools": {}})
    said.server(said.notice("notifications/message", {"level": "info", "data": "hello"}))
    return said


@seed("log-not-requested")
def logs_nobody_asked_for() -> Said:
    said = Said(MODERN).hello()
    said.client(said.request("tools/call", {"name": "measure"}))
    said.server(said.notice("notifications/message", {"level": "info", "data": "hello"}))
    return said


@seed("log-below-level")
def logs_of_no_weight() -> Said:
    said = Said().hello()
    said.ask("logging/setLevel", {"level": "error"}, result={})
    said.server(said.notice("notifications/message", {"level": "debug", "data": "x"}))
    return said


@seed("extension-identifier")
def an_extension_without_a_prefix() -> Said:
    said = Said(MODERN)
    said.client(said.request("tools/list", __clientCapabilities={"extensions": {"mine": {}}}))
    return said


@seed("deprecated")
def logging_is_deprecated() -> Said:
    return Said(MODERN).hello({"logging": {}})


@seed("progress-token-unknown")
def a_token_of_nobody() -> Said:
    said = Said().hello()
    said.server(said.notice("notifications/progress", {"progressToken": "t", "progress": 1}))
    return said


def _with_progress(*amounts: float, end: int | None = None) -> Said:
    said = Said().hello()
    said.client(said.request("tools/call", {"name": "measure"}, progressToken="t"))
    for at, amount in enumerate(amounts):
        if at == end:
            said.server(said.result({"content": []}))
        said.server(said.notice("notifications/progress", {"progressToken": "t", "progress": amount}))
    return said


@seed("progress-after-end")
def progress_too_late() -> Said:
    return _with_progress(1, 2, end=1)


@seed("progress-not-increasing")
def progress_back_again() -> Said:
    return _with_progress(2, 2)


@seed("progress-token-reused")
def one_token_for_two() -> Said:
    said = _with_progress(1)
    said.client(said.request("tools/call", {"name": "measure"}, progressToken="t"))
    return said


@seed("cancelled-unknown")
def nothing_to_cancel() -> Said:
    said = Said().hello()
    said.client(said.notice("notifications/cancelled", {"requestId": 99}))
    return said


@seed("cancelled-ended")
def cancelled_too_late() -> Said:
    said = Said().hello().tools()
    said.client(said.notice("notifications/cancelled", {"requestId": said.id}))
    return said


@seed("cancelled-by-server")
def a_server_that_cancels_a_call() -> Said:
    said = Said(MODERN).hello()
    said.client(said.request("tools/call", {"name": "measure"}))
    said.server(said.notice("notifications/cancelled", {"requestId": said.id}))
    return said


@seed("cancelled-task")
def a_task_cancelled_by_notification() -> Said:
    server = {"tools": {}, "tasks": {"requests": {"tools": {"call": {}}}}}
    said = Said().hello(server).tools(TOOL | {"execution": {"taskSupport": "optional"}})
    said.client(said.request("tools/call", {"name": "measure", "task": {}}))
    said.client(said.notice("notifications/cancelled", {"requestId": said.id}))
    return said
