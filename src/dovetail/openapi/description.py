"""An OpenAPI document of what a server offers: how plain HTTP clients call its tools, read its resources, get its
prompts.

Theory of operation. It describes what `dovetail.openapi.rest` serves, from what a server lists, so a document can be
made of any server. A schema goes into the components whole, and its references, which begin at its own root, are led
there.

Specification: OpenAPI 3.1.1; server/tools, server/resources, server/prompts; RFC 9457.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

from dovetail.types import Implementation, Prompt, Resource, ResourceTemplate, Tool

from .keywords import MANY, NAMED, ONE
from .plain import is_mapping, items, mapping

__all__ = ["describe"]

_OTHER: Final = re.compile(r"[^A-Za-z0-9._-]+")
# A tool's schema may be of an older draft, with keywords that 2020-12 has no longer.
_ONE: Final = ONE | {"additionalItems"}
_MANY: Final = MANY | {"items"}
_NAMED: Final = NAMED | {"$defs", "definitions", "dependencies"}
_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {
            "type": "integer",
            "description": "The code of the Model Context Protocol, where it has one.",
        },
    },
    "required": ["type", "title", "status"],
}
_CONTENT: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"content": {"type": "array", "items": {"type": "object"}}},
    "required": ["content"],
}
_PROBLEMS: Final = {
    "400": "The arguments do not fit.",
    "404": "There is nothing of this name.",
    "422": "It was carried out, and failed; or it has a question, which plain HTTP can't carry.",
    "429": "Too many calls.",
    "500": "It failed, for a reason of the server's.",
}


def describe(
    info: Implementation,
    *,
    tools: Iterable[Tool] = (),
    resources: Iterable[Resource] = (),
    templates: Iterable[ResourceTemplate] = (),
    prompts: Iterable[Prompt] = (),
    server: str = ".",
    instructions: str | None = None,
    protected: bool = False,
) -> dict[str, Any]:
    """The document, OpenAPI 3.1, of a server that offers these.

    ``server``: the URL of the service, by default where the document is. ``protected``: callers show a bearer token.
    """
    schemas: dict[str, Any] = {"Problem": _PROBLEM, "Content": _CONTENT}
    paths: dict[str, Any] = {}
    ids: set[str] = set()
    for tool in tools:
        paths[f"/tools/{quote(tool.name, safe='')}"] = {"post": _of_tool(tool, schemas, ids)}
    for prompt in prompts:
        paths[f"/prompts/{quote(prompt.name, safe='')}"] = {"post": _of_prompt(prompt, ids)}
    readable = [*resources, *templates]
    if readable:
        paths["/resources"] = {"get": _of_resources(readable, ids)}
    about: dict[str, Any] = {"title": info.title or info.name, "version": info.version}
    if said := instructions or info.description:
        about["description"] = said
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": about,
        "servers": [{"url": server}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {status: _problem(text) for status, text in _PROBLEMS.items()},
        },
    }
    if protected:
        found["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        found["components"]["responses"]["401"] = _problem("A token is needed, or another one.")
        found["components"]["responses"]["403"] = _problem("The token does not allow it.")
        found["security"] = [{"bearer": []}]
    return found


def _of_tool(tool: Tool, schemas: dict[str, Any], ids: set[str]) -> dict[str, Any]:
    given = _component(f"{tool.name}.input", tool.input_schema, schemas)
    annotations = tool.annotations
    operation: dict[str, Any] = {
        "operationId": _free(tool.name, ids),
        "tags": ["tools"],
        "requestBody": {
            "required": bool(mapping(tool.input_schema).get("required")),
            "content": {"application/json": {"schema": given}},
        },
        "responses": {"200": _good(tool, schemas), **_errors()},
    }
    title = tool.title or (annotations.title if annotations is not None else None)
    if title:
        operation["summary"] = title
    if tool.description:
        operation["description"] = tool.description
    hints = {} if annotations is None else mapping(annotations.to_wire())
    if hints:
        operation["x-mcp-annotations"] = hints
    return operation


def _good(tool: Tool, schemas: dict[str, Any]) -> dict[str, Any]:
    if tool.output_schema is not None:
        schema = _component(f"{tool.name}.output", tool.output_schema, schemas)
        return {"description": "What it gave.", "content": {"application/json": {"schema": schema}}}
    content: dict[str, Any] = {
        "application/json": {"schema": {}},
        "text/plain": {"schema": {"type": "string"}},
        "*/*": {},
    }
    return {
        "description": "What it gave: text or bytes as they are, several things as JSON.",
        "content": content,
    }


def _of_prompt(prompt: Prompt, ids: set[str]) -> dict[str, Any]:
    arguments = prompt.arguments or []
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            each.name: {"type": "string", **({"description": each.description} if each.description else {})}
            for each in arguments
        },
        "additionalProperties": False,
    }
    required = [each.name for each in arguments if each.required]
    if required:
        schema["required"] = required
    messages = {"type": "object", "properties": {"messages": {"type": "array"}}, "required": ["messages"]}
    operation: dict[str, Any] = {
        "operationId": _free(f"prompt.{prompt.name}", ids),
        "tags": ["prompts"],
        "requestBody": {"required": bool(required), "content": {"application/json": {"schema": schema}}},
        "responses": {
            "200": {"description": "Its messages.", "content": {"application/json": {"schema": messages}}},
            **_errors(),
        },
    }
    if prompt.title:
        operation["summary"] = prompt.title
    if prompt.description:
        operation["description"] = prompt.description
    return operation


def _of_resources(readable: Iterable[Resource | ResourceTemplate], ids: set[str]) -> dict[str, Any]:
    lines: list[str] = []
    for each in readable:
        uri = each.uri if isinstance(each, Resource) else each.uri_template
        said = " ".join((each.description or each.title or each.name).split())
        lines.append(f"- `{uri}`: {said}")
    return {
        "operationId": _free("resources.read", ids),
        "tags": ["resources"],
        "summary": "Read a resource",
        "description": "\n".join(["The resources, and URI templates of resources:", "", *lines]),
        "parameters": [
            {
                "name": "uri",
                "in": "query",
                "required": True,
                "schema": {"type": "string"},
                "description": "Its URI.",
            }
        ],
        "responses": {"200": {"description": "What it holds.", "content": {"*/*": {}}}, **_errors()},
    }


def _errors() -> dict[str, Any]:
    return {
        **{status: {"$ref": f"#/components/responses/{status}"} for status in _PROBLEMS},
        "default": {"$ref": "#/components/responses/500"},
    }


def _problem(text: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": text, "content": {"application/problem+json": {"schema": schema}}}


def _component(name: str, schema: Mapping[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """A reference to a schema that is a component from now on."""
    plain = _OTHER.sub("_", name)
    found, number = plain, 1
    while found in schemas:
        number += 1
        found = f"{plain}_{number}"
    place = f"#/components/schemas/{found}"
    schemas[found] = schema if "$id" in schema else _led(schema, place)
    return {"$ref": place}


def _led(schema: Any, place: str) -> Any:
    """A schema whose references begin where it stands in the document."""
    if not is_mapping(schema):
        return schema
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if (
            key in ("$ref", "$dynamicRef")
            and isinstance(value, str)
            and (value == "#" or value.startswith("#/"))
        ):
            found[key] = place + value[1:]
        elif key in _NAMED:
            found[key] = {name: _led(each, place) for name, each in mapping(value).items()}
        elif key in _MANY and (branches := items(value)):
            found[key] = [_led(each, place) for each in branches]
        elif key in _ONE:
            found[key] = _led(value, place)
        else:
            found[key] = value
    return found


def _free(name: str, taken: set[str]) -> str:
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    taken.add(found)
    return found
