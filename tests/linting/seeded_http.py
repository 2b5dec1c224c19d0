"""Faults that HTTP shows, each under its rule."""

from __future__ import annotations

from typing import Any

from seeding import Seeds
from talking import MODERN, TOOL, Said

from dovetail.recording import HTTPPart

SEEDS = seed = Seeds()


def asked(revision: str = MODERN, method: str = "tools/call", **headers: Any) -> Said:
    said = Said(revision, http=True).hello() if revision == MODERN else Said(http=True).hello()
    params = {"name": "measure", "arguments": {"bed": "x"}} if method == "tools/call" else None
    said.post(said.request(method, params), **headers)
    return said


def stateful(method: str = "tools/list", **headers: Any) -> Said:
    said = Said(http=True).hello()
    said.post(said.request(method), **headers)
    return said


@seed("version-header-missing")
def no_revision_in_the_header() -> Said:
    return stateful(mcp_protocol_version=None)


@seed("version-header-missing")
def no_revision_in_the_header_of_a_stateless_request() -> Said:
    return asked(mcp_protocol_version=None)


@seed("version-header-mismatch")
def another_revision_in_the_header() -> Said:
    return asked(mcp_protocol_version="2025-11-25")


@seed("version-header-other")
def not_the_revision_of_the_session() -> Said:
    return stateful(mcp_protocol_version="2025-06-18")


@seed("method-header")
def another_method_in_the_header() -> Said:
    return asked(mcp_method="tools/list")


@seed("name-header")
def no_name_in_the_header() -> Said:
    return asked(mcp_name=None)


@seed("name-header")
def a_name_that_is_no_base64() -> Said:
    return asked(mcp_name="=?base64?!?=")


MIRRORED = TOOL | {
    "inputSchema": {
        "type": "object",
        "properties": {"bed": {"type": "string", "description": "Which.", "x-mcp-header": "Bed"}},
    }
}


@seed("param-header")
def an_argument_that_is_not_repeated() -> Said:
    said = Said(MODERN, http=True).hello().tools(MIRRORED)
    said.post(said.request("tools/call", {"name": "measure", "arguments": {"bed": "north"}}))
    return said


@seed("param-header")
def an_argument_that_is_repeated_otherwise() -> Said:
    said = Said(MODERN, http=True).hello().tools(MIRRORED)
    call = said.request("tools/call", {"name": "measure", "arguments": {"bed": "north"}})
    said.post(call, mcp_param_bed="south")
    return said


@seed("session-header-missing")
def no_session() -> Said:
    return stateful(mcp_session_id=None)


@seed("session-id")
def a_session_with_a_space() -> Said:
    said = Said(http=True)
    said.client(said.request("initialize", said.with_meta(OFFERED)))
    said.reply(said.result({**OFFERED_BACK}), mcp_session_id="two words")
    return said


OFFERED = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
OFFERED_BACK = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "serverInfo": {"name": "s", "version": "1"},
}


@seed("accept-header")
def json_alone() -> Said:
    return asked(accept="application/json")


@seed("content-type-of-request")
def a_message_as_text() -> Said:
    return asked(content_type="text/plain")


@seed("content-type-of-response")
def an_answer_as_a_page() -> Said:
    said = asked()
    part = HTTPPart(exchange=said.exchange, status=200, headers={"content-type": "text/html"}, end="complete")
    said.line("server", text="<html>", http=part)
    return said


@seed("notification-status")
def a_notification_taken_with_200() -> Said:
    said = Said(http=True).hello(done=False)
    said.post(said.notice("notifications/initialized"))
    said.reply(status=200)
    return said


@seed("request-status")
def a_request_taken_with_202() -> Said:
    said = asked()
    said.reply(status=202)
    return said


@seed("error-status")
def an_unknown_method_with_200() -> Said:
    said = asked()
    said.reply(said.error(-32601), status=200)
    return said


@seed("error-status")
def a_mismatch_with_500() -> Said:
    said = asked()
    said.reply(said.error(-32020), status=500)
    return said


@seed("get-response")
def a_page_for_a_stream() -> Said:
    said = Said(http=True).hello()
    said.get()
    said.reply(content_type="text/html")
    return said


@seed("response-on-get-stream")
def an_answer_on_the_wrong_stream() -> Said:
    said = Said(http=True).hello()
    said.get()
    stream = said.exchange
    said.stream(end=False)
    said.post(said.request("ping"))
    said.event(said.result(), exchange=stream)
    return said


@seed("event-id-repeated")
def one_id_for_two_events() -> Said:
    said = Said(http=True).hello()
    said.get()
    change = said.notice("notifications/tools/list_changed")
    other = said.notice("notifications/prompts/list_changed")
    said.stream(change, other, ids=("1", "1"), end=False)
    return said


@seed("stream-without-response")
def a_stream_that_ends_early() -> Said:
    said = asked()
    said.stream()
    return said


@seed("buffering-header")
def a_stream_that_proxies_keep() -> Said:
    said = asked()
    head = HTTPPart(exchange=said.exchange, status=200, headers={"content-type": "text/event-stream"})
    said.line("server", http=head)
    said.event(said.result({"content": []}))
    return said


@seed("challenge-missing")
def refused_without_a_word() -> Said:
    said = asked()
    said.reply(status=401)
    return said


@seed("token-in-query")
def a_token_in_the_address() -> Said:
    said = Said(http=True).hello()
    said.post(said.request("ping"), target="/mcp?access_token=abc")
    return said
