"""What is in results and questions: content, bytes, media types, addresses, forms.

Specification: server/tools "Tool Result", server/resources, server/prompts, client/elicitation, client/sampling,
client/roots, server/utilities/completion.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime
from typing import Any, Final, cast
from urllib.parse import urlsplit

from ..protocol import codec, names
from ..protocol.tool_balance import imbalance
from ..protocol.types import CreateMessageParams
from ..schemas import SchemaError, compile_schema
from ..types import explain
from .heard import Heard, items, member, objects, pointer, shown

__all__ = ["answer", "call"]

_MEDIA: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}(?:\s*;.*)?", re.DOTALL)
_BYTES: Final = {"image": "image/", "audio": "audio/"}
#: How files of well-known types begin.
_BEGINNINGS: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
)
_SAME: Final = {
    "image/jpg": "image/jpeg",
    "audio/mp3": "audio/mpeg",
    "application/ogg": "audio/ogg",
    "video/ogg": "audio/ogg",
}
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.")
_HERE: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_BLOCKS: Final = 1_000
"""Pieces of content of one message that are looked at."""
_COMPLETIONS: Final = 100


def call(heard: Heard) -> None:
    """A question to the client, where it is a request of its own."""
    if heard.is_request and heard.sender == "server":
        _question(heard, heard.method, heard.params, "/params")
    elif heard.is_request and "inputResponses" in heard.params:
        for key, value in list(objects(heard.params["inputResponses"]).items())[:100]:
            _roots(heard, objects(value), "/params/inputResponses" + pointer(key))


def answer(heard: Heard) -> None:
    """A result."""
    asked, result = heard.asked, heard.result
    if asked is None or result is None:
        return
    if heard.sender == "client":
        _of_client(heard, result)
        return
    for key, question in list(objects(result.get("inputRequests")).items())[:100]:
        where = "/result/inputRequests" + pointer(key)
        method = objects(question).get("method")
        if isinstance(method, str):
            _question(heard, method, objects(objects(question).get("params")), f"{where}/params")
    if asked.method == names.TOOLS_CALL:
        _blocks(heard, result.get("content"), "/result/content")
        if result.get("resultType", names.RESULT_COMPLETE) == names.RESULT_COMPLETE and "task" not in result:
            _structured(heard, result)
    elif asked.method == names.PROMPTS_GET:
        _messages(heard, result.get("messages"), "/result/messages")
    elif asked.method == names.RESOURCES_READ:
        contents = result.get("contents")
        for at, each in enumerate(_list(contents)):
            _resource(heard, objects(each), "/result" + pointer("contents", at))
        if contents == []:
            heard.say(
                "resource-empty",
                f"{shown(asked.subject)} is read, and there are no contents",
                "/result/contents",
            )
    elif asked.method == names.COMPLETION_COMPLETE:
        values = member(result, "completion", "values")
        if isinstance(values, list) and len(cast("list[Any]", values)) > _COMPLETIONS:
            said = f"there are {len(cast('list[Any]', values))} completions, and at most {_COMPLETIONS} are given"
            heard.say("completion-too-many", said, "/result/completion/values")


def _list(value: Any) -> list[Any]:
    return items(value)[:_BLOCKS]


def _messages(heard: Heard, messages: Any, where: str) -> None:
    for at, message in enumerate(_list(messages)):
        content = objects(message).get("content")
        inside = where + pointer(at, "content")
        if isinstance(content, list):
            _blocks(heard, content, inside)
        else:
            _block(heard, objects(content), inside)


def _blocks(heard: Heard, content: Any, where: str) -> None:
    for at, block in enumerate(_list(content)):
        _block(heard, objects(block), where + pointer(at))


def _block(heard: Heard, block: dict[str, Any], where: str) -> None:
    kind = block.get("type")
    if kind == "text" or not isinstance(kind, str):
        return _annotated(heard, block, where)
    if heard.profile is not None and kind not in heard.profile.content:
        heard.say(
            "content-unknown", f"{heard.line.revision} has no content of type {shown(kind)}", f"{where}/type"
        )
        return None
    if kind in _BYTES:
        media = block.get("mimeType")
        if isinstance(media, str) and not media.lower().startswith(_BYTES[kind]):
            said = f"{kind} content is said to be {shown(media)}"
            heard.say("mime-type-mismatch", said, f"{where}/mimeType")
            media = None
        _bytes(heard, block, "data", media, where)
    elif kind == "resource":
        _resource(heard, objects(block.get("resource")), f"{where}/resource")
    elif kind == "resource_link":
        _uri(heard, block, where)
        _media(heard, block, where)
    elif kind == "tool_result":
        _blocks(heard, block.get("content"), f"{where}/content")
    return _annotated(heard, block, where)


def _annotated(heard: Heard, block: dict[str, Any], where: str) -> None:
    changed = member(block, "annotations", "lastModified")
    if isinstance(changed, str):
        try:
            datetime.fromisoformat(changed)
        except ValueError:
            heard.say(
                "last-modified",
                f"{shown(changed)} is no time as ISO 8601 has it",
                f"{where}/annotations/lastModified",
            )


def _resource(heard: Heard, resource: dict[str, Any], where: str) -> None:
    if "text" in resource and "blob" in resource:
        heard.say("resource-text-and-blob", "the contents are both text and bytes", where)
    _uri(heard, resource, where)
    _media(heard, resource, where)
    if "blob" in resource:
        _bytes(heard, resource, "blob", resource.get("mimeType"), where)


def _uri(heard: Heard, value: dict[str, Any], where: str) -> None:
    uri = value.get("uri")
    if isinstance(uri, str) and not _SCHEME.match(uri):
        heard.say("uri-invalid", f"{shown(uri)} has no scheme, as in file:///a.txt", f"{where}/uri")


def _media(heard: Heard, value: dict[str, Any], where: str) -> None:
    media = value.get("mimeType")
    if isinstance(media, str) and not _MEDIA.fullmatch(media):
        heard.say("mime-type", f"{shown(media)} is no media type, as in text/plain", f"{where}/mimeType")


def _bytes(heard: Heard, value: dict[str, Any], name: str, media: Any, where: str) -> None:
    text = value.get(name)
    if not isinstance(text, str):
        return
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        heard.say("base64-invalid", f"its {name} is no Base64 (RFC 4648, section 4)", f"{where}/{name}")
        return
    if not isinstance(media, str):
        return
    plain = media.partition(";")[0].strip().lower()
    plain = _SAME.get(plain, plain)
    real = next((kind for start, kind in _BEGINNINGS if data.startswith(start)), "")
    known = {kind for _, kind in _BEGINNINGS}
    if (real and plain in known and real != plain) or (
        data and not real and plain in ("image/png", "image/jpeg")
    ):
        said = f"it is said to be {shown(media)}, and begins like {real or 'no such file'}"
        heard.say("mime-type-mismatch", said, f"{where}/mimeType")


def _structured(heard: Heard, result: dict[str, Any]) -> None:
    asked = heard.asked
    if asked is None or asked.versioned or result.get("isError") is True:
        return
    tool = heard.memory.tools.get((heard.talk.number, asked.subject[:200]))
    if "structuredContent" not in result:
        if tool is not None and tool.output is not None:
            said = f"{shown(asked.subject)} has an output schema, and gave no structuredContent"
            heard.say("structured-content-missing", said, "/result/structuredContent", tool.line)
        return
    value = result["structuredContent"]
    if tool is not None and tool.output is not None and (wrong := tool.output.check(value)):
        said = f"what {shown(asked.subject)} gave does not fit its output schema: {explain(wrong[:2])}"
        heard.say("structured-content-invalid", said, "/result/structuredContent", tool.line)
    if not any(member(each, "type") == "text" for each in _list(result.get("content"))) and heard.talk.once(
        f"structured-content-alone {asked.subject[:100]}"
    ):
        said = f"what {shown(asked.subject)} gave has no text for clients that read only that"
        heard.say("structured-content-alone", said, "/result/content")


def _question(heard: Heard, method: str, params: dict[str, Any], where: str) -> None:
    if method == names.ELICITATION_CREATE and params.get("mode") == "url":
        _address(heard, params.get("url"), f"{where}/url")
    elif method == names.SAMPLING_CREATE_MESSAGE:
        _messages(heard, params.get("messages"), f"{where}/messages")
        try:
            read = codec.reader(CreateMessageParams).keep(codec.encode(params))
        except (*codec.DECODE_ERRORS, TypeError, OverflowError, RecursionError):
            return  # the schema says why
        if (wrong := imbalance(read.messages)) is not None:
            heard.say("sampling-tool-results", wrong, f"{where}/messages")


def _address(heard: Heard, url: Any, where: str) -> None:
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        host = parts.hostname if parts is not None else None
    except ValueError:
        parts = host = None
    if parts is None or not parts.scheme or not host or any(each in str(url) for each in " \t\r\n"):
        heard.say("elicitation-url", f"{shown(url)} is no address that can be opened", where)
    elif parts.scheme != "https" and host not in _HERE:
        heard.say("elicitation-url-insecure", f"{shown(url)} is not HTTPS", where)


def _of_client(heard: Heard, result: dict[str, Any]) -> None:
    """What a client answers to a question that was a request of its own."""
    asked = heard.asked
    if asked is None:
        return
    if asked.method == names.ROOTS_LIST:
        _roots(heard, result, "/result")
    elif asked.method == names.SAMPLING_CREATE_MESSAGE:
        content = result.get("content")
        _blocks(heard, content if isinstance(content, list) else [content], "/result/content")
    elif asked.method == names.ELICITATION_CREATE:
        _filled_in(heard, result, asked.form)


def _roots(heard: Heard, result: dict[str, Any], where: str) -> None:
    for at, root in enumerate(_list(result.get("roots"))):
        uri = member(root, "uri")
        if isinstance(uri, str) and not uri.lower().startswith("file://"):
            heard.say(
                "root-uri", f"the root {shown(uri)} is no file: URI", where + pointer("roots", at, "uri")
            )


def _filled_in(heard: Heard, result: dict[str, Any], form: Any) -> None:
    content, action = result.get("content"), result.get("action")
    if action in ("decline", "cancel") and content:
        heard.say(
            "elicitation-content-declined", f"the action is {action}, and there is content", "/result/content"
        )
    elif action == "accept" and isinstance(form, dict):
        try:
            wrong = compile_schema(cast("dict[str, Any]", form)).check({} if content is None else content)
        except (SchemaError, ValueError, RecursionError):
            return  # the form is none, and the schema says so
        if wrong:
            heard.say(
                "elicitation-content", f"it does not fit the form: {explain(wrong[:2])}", "/result/content"
            )
