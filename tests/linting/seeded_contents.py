"""Faults that models and hosts stumble over, each under its rule."""

from __future__ import annotations

import base64
from typing import Any

from seeding import Seeds
from talking import LAST_STATEFUL, MODERN, THIRD, TOOL, Said

SEEDS = seed = Seeds()
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 16).decode()


def tool(**members: Any) -> Said:
    return Said().hello().tools(TOOL | members)


def resources(*entries: dict[str, Any]) -> Said:
    return Said().hello().ask("resources/list", result={"resources": list(entries)})


def content(*blocks: dict[str, Any], revision: str = LAST_STATEFUL) -> Said:
    return Said(revision).hello().call({"content": list(blocks)})


def read(**members: Any) -> Said:
    contents = [{"uri": "a://b", **members}]
    return Said().hello().ask("resources/read", {"uri": "a://b"}, result={"contents": contents})


@seed("tool-name")
def a_name_with_a_space() -> Said:
    return tool(name="measure bed")


@seed("tool-name-for-models")
def a_name_with_a_dot() -> Said:
    return tool(name="bed.measure")


@seed("listed-twice")
def twice_on_a_page() -> Said:
    return Said().hello().tools(TOOL, TOOL)


@seed("listed-twice")
def twice_on_two_pages() -> Said:
    said = Said().hello().tools(nextCursor="2")
    return said.ask("tools/list", {"cursor": "2"}, result={"tools": [TOOL]})


@seed("tool-description-missing")
def no_description() -> Said:
    return tool(description=" ")


@seed("description-long")
def a_long_description() -> Said:
    return tool(description="Measure a bed. " * 400)


@seed("arguments-undescribed")
def bare_arguments() -> Said:
    return tool(inputSchema={"type": "object", "properties": {"bed": {"type": "string"}}})


@seed("tools-many")
def too_many() -> Said:
    return Said().hello().tools(*(TOOL | {"name": f"measure_{n}"} for n in range(150)))


@seed("annotations-contradict")
def it_only_reads_and_destroys() -> Said:
    return tool(annotations={"readOnlyHint": True, "destructiveHint": True})


@seed("prompt-description-missing")
def a_prompt_without_a_word() -> Said:
    return Said().hello().ask("prompts/list", result={"prompts": [{"name": "p"}]})


@seed("prompt-argument-repeated")
def two_arguments_of_one_name() -> Said:
    prompt = {"name": "p", "description": "d", "arguments": [{"name": "a"}, {"name": "a"}]}
    return Said().hello().ask("prompts/list", result={"prompts": [prompt]})


@seed("schema-dialect")
def a_dialect_of_nobody() -> Said:
    return tool(inputSchema={"$schema": "https://example.com/dialect", "type": "object"})


@seed("schema-broken")
def a_type_of_nobody() -> Said:
    return tool(inputSchema={"type": "object", "properties": {"bed": {"type": "strange"}}})


@seed("schema-broken")
def an_output_schema_that_is_none() -> Said:
    return tool(outputSchema={"type": "object", "required": "bed"})


@seed("schema-reference-away")
def a_schema_elsewhere() -> Said:
    reference = {"$ref": "https://example.com/bed.json", "description": "d"}
    return tool(inputSchema={"type": "object", "properties": {"bed": reference}})


@seed("schema-not-object")
def arguments_as_a_list() -> Said:
    return tool(inputSchema={"type": "array"})


@seed("header-annotation")
def a_header_with_a_space() -> Said:
    bed = {"type": "string", "description": "d", "x-mcp-header": "two words"}
    return tool(inputSchema={"type": "object", "properties": {"bed": bed}})


@seed("hidden-characters")
def what_nobody_sees() -> Said:
    return tool(description="Measure a bed.\u202e\U000e0041")


@seed("uri-invalid")
def no_scheme() -> Said:
    return resources({"uri": "beds/north", "name": "north"})


@seed("uri-template-invalid")
def a_brace_too_many() -> Said:
    templates = [{"uriTemplate": "bed://{name", "name": "bed"}]
    return Said().hello().ask("resources/templates/list", result={"resourceTemplates": templates})


@seed("icon-scheme")
def an_icon_that_runs() -> Said:
    return tool(icons=[{"src": "javascript:alert(1)"}])


PROMISING = TOOL | {
    "outputSchema": {"type": "object", "properties": {"m": {"type": "number"}}, "required": ["m"]}
}


@seed("structured-content-missing")
def nothing_of_what_was_promised() -> Said:
    return Said().hello().tools(PROMISING).call()


@seed("structured-content-invalid")
def something_else_than_was_promised() -> Said:
    given = {"content": [{"type": "text", "text": "{}"}], "structuredContent": {"m": "much"}}
    return Said(THIRD).hello().tools(PROMISING).call(given)


@seed("structured-content-alone")
def no_text_beside_it() -> Said:
    return Said().hello().tools(PROMISING).call({"content": [], "structuredContent": {"m": 1}})


@seed("content-unknown")
def a_video() -> Said:
    said = Said(MODERN).hello()
    said.client(said.request("prompts/get", {"name": "p"}))
    return content({"type": "video", "data": PNG, "mimeType": "video/mp4"})


@seed("base64-invalid")
def bytes_for_a_web_address() -> Said:
    return content({"type": "image", "data": "_-_-", "mimeType": "image/png"})


@seed("base64-invalid")
def a_blob_with_a_line_break() -> Said:
    return read(blob="AAAA\nAAAA")


@seed("mime-type")
def a_type_of_one_word() -> Said:
    return read(text="x", mimeType="markdown")


@seed("mime-type-mismatch")
def a_picture_of_another_kind() -> Said:
    return content({"type": "image", "data": PNG, "mimeType": "image/jpeg"})


@seed("mime-type-mismatch")
def a_picture_that_is_text() -> Said:
    return content({"type": "image", "data": PNG, "mimeType": "text/plain"})


@seed("resource-text-and-blob")
def both_text_and_bytes() -> Said:
    return read(text="x", blob="AAAA")


@seed("resource-empty")
def nothing_to_read() -> Said:
    return Said().hello().ask("resources/read", {"uri": "a://b"}, result={"contents": []})


@seed("last-modified")
def the_day_before() -> Said:
    return content({"type": "text", "text": "x", "annotations": {"lastModified": "yesterday"}})


@seed("cursor-empty")
def an_empty_cursor() -> Said:
    return Said().hello().tools(nextCursor="")


@seed("cursor-unknown")
def a_cursor_of_the_clients_own() -> Said:
    said = Said().hello()
    said.client(said.request("tools/list", {"cursor": "3"}))
    return said


@seed("cursor-loop")
def round_and_round() -> Said:
    said = Said().hello().tools(nextCursor="2")
    return said.ask("tools/list", {"cursor": "2"}, result={"tools": [], "nextCursor": "2"})


@seed("completion-too-many")
def a_long_list_of_completions() -> Said:
    reference = {"type": "ref/prompt", "name": "p"}
    params = {"ref": reference, "argument": {"name": "a", "value": ""}}
    values = [str(n) for n in range(101)]
    return Said().hello().ask("completion/complete", params, result={"completion": {"values": values}})


def elicited(params: dict[str, Any], answer: dict[str, Any] | None = None) -> Said:
    said = Said().hello()
    said.server({"jsonrpc": "2.0", "id": 1, "method": "elicitation/create", "params": params})
    if answer is not None:
        said.client({"jsonrpc": "2.0", "id": 1, "result": answer})
    return said


def address(url: str) -> Said:
    return elicited({"mode": "url", "message": "Pay", "url": url, "elicitationId": "e"})


@seed("elicitation-url")
def no_address() -> Said:
    return address("javascript:alert(1)")


@seed("elicitation-url-insecure")
def an_address_in_the_clear() -> Said:
    return address("http://example.com/pay")


FORM = {
    "message": "How old?",
    "requestedSchema": {
        "type": "object",
        "properties": {"age": {"type": "integer", "minimum": 0}},
        "required": ["age"],
    },
}


@seed("elicitation-content")
def an_age_in_words() -> Said:
    return elicited(FORM, {"action": "accept", "content": {"age": "old"}})


@seed("elicitation-content-declined")
def declined_and_filled_in() -> Said:
    return elicited(FORM, {"action": "decline", "content": {"age": 3}})


@seed("root-uri")
def a_root_on_the_web() -> Said:
    said = Said().hello(client={"roots": {}})
    said.server({"jsonrpc": "2.0", "id": 1, "method": "roots/list"})
    said.client({"jsonrpc": "2.0", "id": 1, "result": {"roots": [{"uri": "https://example.com"}]}})
    return said


@seed("sampling-tool-results")
def a_result_without_a_use() -> Said:
    said = Said().hello()
    result = {"type": "tool_result", "toolUseId": "u", "content": []}
    params = {"messages": [{"role": "user", "content": [result]}], "maxTokens": 5}
    said.server({"jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage", "params": params})
    return said
