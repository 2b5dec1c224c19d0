"""What an API answered, as the result of a tool or the contents of a resource.

Theory of operation. JSON becomes structured content and text, images and sounds become what they are, other bytes an
embedded resource, all other text text. What the document promises for a good answer is the tool's output schema; an
answer that does not keep it is told as an error, for a client may refuse it otherwise, in words that say that the call
was carried out all the same.

An answer that is no success is an error of the tool, which the model reads: the status, what a problem document says of
it, the beginning of the body, and when to come back. It is made safe to show, since somebody else wrote it.

Specification: server/tools, "Tool Result", "Output Schema" and "Error Handling"; RFC 9110, section 15; RFC 9457.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec

from dovetail.security import Fetched, one_line
from dovetail.types import (
    AudioContent,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceContents,
    TextContent,
    Validator,
    explain,
)

from .operations import APIOperation, MediaType
from .plain import is_mapping, mapping, text
from .plans import is_json
from .schemas import Schemas

__all__ = ["WRAPPED", "contents_of", "failure", "media_of", "output_of", "result_of"]

WRAPPED: Final = "result"
"""The member that holds a value whose schema is none of an object's."""
_BODY: Final = 2000
"""Characters of a body that an error repeats."""
_TEXTS: Final = (
    "application/xml",
    "application/yaml",
    "application/x-yaml",
    "application/javascript",
    "application/graphql",
)


class Output(msgspec.Struct, frozen=True):
    """What good answers are: the ``schema``, and whether the value is put inside of an object."""

    schema: dict[str, Any]
    wraps: bool
    left_open: tuple[str, ...] = ()


def output_of(operation: APIOperation, schemas: Schemas, limit: int) -> Output | None:
    """What the document promises for good answers, as an output schema; None where that is nothing, or may be none.

    ``limit``: bytes that the schema may have, about. Raises `DocumentInvalid`.
    """
    good = _good(operation)
    if not good or not all(good.values()):
        return None
    found: list[Any] = []
    for media in good.values():
        if not all(is_json(each.type) for each in media):
            return None
        found += [schemas.translated(_first(media).schema)]
    distinct = [each for index, each in enumerate(found) if each not in found[:index]]
    if any(each is True or each == {} for each in distinct):
        return None
    promised = distinct[0] if len(distinct) == 1 else {"anyOf": distinct}
    root = mapping(schemas.unfolded(promised))
    wraps = root.get("type") != "object"
    if wraps:
        promised = {"type": "object", "properties": {WRAPPED: promised}, "required": [WRAPPED]}
    elif "$ref" in mapping(promised):
        promised = root
    schema, left = schemas.complete(promised, limit)
    return Output(schema, wraps, tuple(left))


def media_of(operation: APIOperation) -> str | None:
    """The media type of good answers; None where the document has none, several, or a range of them."""
    types = {
        each.type.partition(";")[0].strip().lower() for media in _good(operation).values() for each in media
    }
    return types.pop() if len(types) == 1 and "*" not in "".join(types) else None


def _good(operation: APIOperation) -> dict[str, tuple[MediaType, ...]]:
    """The good answers of an operation, by their status."""
    good = {status: media for status, media in operation.responses.items() if status[:1] == "2"}
    if not good and "DEFAULT" in operation.responses:
        return {"DEFAULT": operation.responses["DEFAULT"]}
    return good


def _first(media: tuple[MediaType, ...]) -> MediaType:
    return media[0]


def result_of(
    operation: APIOperation, answer: Fetched, output: Output | None, check: Validator | None
) -> CallToolResult:
    """The result of a call that was answered so. ``check``: what judges the structured content, if something can."""
    if not 200 <= answer.status < 300:
        return failure(operation, answer)
    kind = _kind(answer.headers)
    value: Any = None
    read = False
    if is_json(kind) and answer.body.strip():
        try:
            value, read = msgspec.json.decode(answer.body), True
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            read = False
    if output is None:
        if read and is_mapping(value):
            return CallToolResult(content=_blocks(operation, answer, kind), structured_content=value)
        return CallToolResult(content=_blocks(operation, answer, kind))
    if not read:
        return _broken(operation, answer, kind, "it is no JSON")
    structured: Any = {WRAPPED: value} if output.wraps else value
    wrong = [] if check is None else check.check(structured, size=len(answer.body) + 16)
    if wrong:
        return _broken(operation, answer, kind, one_line(explain(wrong))[:500])
    return CallToolResult(content=_blocks(operation, answer, kind), structured_content=structured)


def contents_of(answer: Fetched, uri: str) -> ResourceContents:
    """The contents of a resource that was answered so."""
    kind = _kind(answer.headers)
    if _is_text(kind):
        return ResourceContents(uri=uri, mime_type=kind or "text/plain", text=_decoded(answer))
    return ResourceContents(uri=uri, mime_type=kind, blob=base64.b64encode(answer.body).decode())


def failure(operation: APIOperation, answer: Fetched) -> CallToolResult:
    """An answer that is no success, for the model."""
    return CallToolResult(content=[TextContent(text=failure_text(operation, answer))], is_error=True)


def failure_text(operation: APIOperation, answer: Fetched) -> str:
    """An answer that is no success, in words."""
    lines = [f"{operation.label} was answered with {_status(answer.status)}."]
    if 300 <= answer.status < 400:
        target = one_line(answer.headers.get("location", ""))[:300]
        lines.append(f"It redirects to {target or 'nowhere'}, which is not followed.")
    if answer.status in (401, 403):
        lines.append("The credentials that this server has for the API are missing, or don't allow it.")
    if after := one_line(answer.headers.get("retry-after", ""))[:60]:
        lines.append(f"It may be called again after {after}{' seconds' if after.isdigit() else ''}.")
    kind = _kind(answer.headers)
    if answer.body:
        lines += (
            _told(answer, kind) if _is_text(kind) else [f"Its body is {len(answer.body)} bytes of {kind}."]
        )
    return "\n".join(lines)


def _told(answer: Fetched, kind: str) -> list[str]:
    """What the body of an error says, in short."""
    if is_json(kind):
        try:
            problem = mapping(msgspec.json.decode(answer.body))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            problem = {}
        said = [one_line(text(problem.get(key)))[:500] for key in ("title", "detail")]
        more = {
            key: value for key, value in problem.items() if key not in ("title", "detail", "type", "status")
        }
        if any(said):
            found = [each for each in said if each]
            return found + ([_cut(msgspec.json.encode(more).decode())] if more else [])
    return [_cut(_decoded(answer))]


def _cut(body: str) -> str:
    shown = "\n".join(one_line(line) for line in body[: 2 * _BODY].splitlines() if line.strip())
    return shown if len(shown) <= _BODY else f"{shown[:_BODY]}... (cut; the body has {len(body)} characters)"


def _broken(operation: APIOperation, answer: Fetched, kind: str, why: str) -> CallToolResult:
    """A good answer that is not what the document promised."""
    said = TextContent(
        text=f"{operation.label} was carried out ({_status(answer.status)}): don't call it again for this. Its answer"
        f" is only not what the API's document promises: {why}. What it answered:"
    )
    return CallToolResult(content=[said, *_blocks(operation, answer, kind)], is_error=True)


def _blocks(operation: APIOperation, answer: Fetched, kind: str) -> list[ContentBlock]:
    if not answer.body:
        return [TextContent(text=_empty(operation, answer))]
    if kind.startswith("image/") and kind != "image/svg+xml":
        return [ImageContent.of(answer.body, kind)]
    if kind.startswith("audio/"):
        return [AudioContent.of(answer.body, kind)]
    if _is_text(kind):
        return [TextContent(text=_decoded(answer))]
    blob = base64.b64encode(answer.body).decode()
    uri = answer.url.partition("?")[0]
    return [EmbeddedResource(resource=ResourceContents(uri=uri, mime_type=kind, blob=blob))]


def _empty(operation: APIOperation, answer: Fetched) -> str:
    """What to say of an answer without a body."""
    said = f"{operation.label} was answered with {_status(answer.status)}, without a body."
    if operation.method == "HEAD":
        shown = {
            key: answer.headers[key]
            for key in ("content-type", "content-length", "etag", "last-modified")
            if key in answer.headers
        }
        said += "".join(f"\n{key}: {one_line(value)[:200]}" for key, value in shown.items())
    elif target := one_line(answer.headers.get("location", ""))[:300]:
        said += f"\nlocation: {target}"
    return said


def _status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _kind(headers: Mapping[str, str]) -> str:
    """The media type of an answer, or what is taken for one without."""
    said = headers.get("content-type", "").partition(";")[0].strip().lower()
    return said if "/" in said and said.isascii() and said.isprintable() else "application/octet-stream"


def _is_text(kind: str) -> bool:
    return (
        kind.startswith("text/")
        or is_json(kind)
        or kind in _TEXTS
        or kind.endswith(("+xml", "+yaml", "x-www-form-urlencoded"))
    )


def _decoded(answer: Fetched) -> str:
    """The text of a body, in its own encoding as far as that is known."""
    said = (
        answer.headers.get("content-type", "")
        .lower()
        .partition("charset=")[2]
        .partition(";")[0]
        .strip(" \"'")
    )
    try:
        return answer.body.decode(
            said if said in ("utf-16", "iso-8859-1", "latin-1", "windows-1252", "us-ascii") else "utf-8",
            "replace",
        )
    except (LookupError, UnicodeError):
        return answer.body.decode("latin-1")
