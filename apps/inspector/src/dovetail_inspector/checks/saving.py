"""A call of a capture as a check, and a check added to a file that people keep.

Theory of operation. A check is appended as text, so whatever stands in the file, comments too, stays as it is. What is
written is read again before it is given out: a file that can't take it (its checks are written as one list) is refused.

Specification: TOML 1.0.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from typing import Any, Final, cast

from dovetail.recording import CaptureLine
from dovetail.security import in_place

from ..messages import SaidMessage, key_of, messages_of, plain
from .expecting import text_of

__all__ = ["CheckNotSaved", "add_check", "check_of_call", "toml_of", "toml_string"]

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
_SHORT: Final = 200
_MOST_PLACES: Final = 8
_KEYS: Final = {
    "tools/call": ("tool", "arguments"),
    "resources/read": ("read", ""),
    "prompts/get": ("prompt", "arguments"),
    "tools/list": ("list", "tools"),
    "resources/list": ("list", "resources"),
    "resources/templates/list": ("list", "templates"),
    "prompts/list": ("list", "prompts"),
}
_OWN_META: Final = "io.modelcontextprotocol/"


class CheckNotSaved(ValueError):
    """A call that can't be kept as a check, or a file that can't take one; the text says why."""


def check_of_call(
    lines: Iterable[CaptureLine], record: int, *, server: str, name: str = ""
) -> dict[str, Any]:
    """The check that expects what a call of a capture gave. ``record``: the number of its request (of its first round);
    ``server``: a target, or a name of the file or of the configuration; ``name``: by default what was called. Raises
    `CheckNotSaved` for a line that is no request of a client, or one that can't be kept.
    """
    call = _Retraced(record)
    for line in lines:
        for message in messages_of(line):
            call.take(line, message)
        if call.over:
            break
    if call.method == "":
        raise CheckNotSaved(f"line {record} of the capture is no request of a client")
    found: dict[str, Any] = {"name": name or f"{call.method} {call.subject}".strip(), "server": server}
    try:
        found["call"] = call.call()
    except RecursionError:
        raise CheckNotSaved(
            f"the parameters in line {record} are so deep that nobody could edit them"
        ) from None
    if call.answers:
        found["answers"] = call.answers
    expected = call.expected()
    if expected:
        found["expect"] = expected
    return found


def add_check(text: str, check: dict[str, Any]) -> str:
    """The text of a file with one more check at its end. Where another one has its name, it gets a number. Raises
    `CheckNotSaved` for a text that is no TOML or has no place for it, and for values that TOML has not (null).
    """
    try:
        before = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise CheckNotSaved(f"the file is no TOML: {problem}") from None
    listed: Any = before.get("check", [])
    checks = cast("list[Any]", listed) if isinstance(listed, list) else []
    names = {cast("dict[str, Any]", each).get("name") for each in checks if isinstance(each, dict)}
    name, count = check["name"], 1
    while check["name"] in names:
        count += 1
        check = {**check, "name": f"{name} ({count})"}
    gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
    try:
        whole = f"{text}{gap}{toml_of(check)}"
        after = tomllib.loads(whole)
    except RecursionError:
        raise CheckNotSaved("the check is so deep that TOML can't be read with it") from None
    except tomllib.TOMLDecodeError as problem:
        raise CheckNotSaved(
            f"the file has no place for another [[check]], which would be at its end: {problem}"
        ) from None
    if after.get("check") != [*checks, check]:
        raise CheckNotSaved("the check can't be written as it is")
    return whole


def toml_of(check: dict[str, Any]) -> str:
    """A check as a table of the file. Raises `CheckNotSaved` for what TOML has not."""
    lines = ["[[check]]"]
    lines += [f"{_key(name)} = {_value(value)}" for name, value in check.items()]
    return "\n".join([*lines, ""])


class _Retraced:
    """A call of a capture, with what was asked meanwhile and what came of it."""

    def __init__(self, record: int) -> None:
        self.method = self.subject = ""
        self.over = False
        self.answers: dict[str, Any] = {}
        self._record = record
        self._params: dict[str, Any] = {}
        self._result: dict[str, Any] | None = None
        self._error: dict[str, Any] | None = None
        self._waiting: tuple[int, Any] | None = None
        self._link = 0
        self._asked: dict[Any, str] = {}

    def take(self, line: CaptureLine, message: SaidMessage) -> None:
        """Note what belongs to the call."""
        if not self.method:
            if line.n == self._record and line.sender == "client" and message.is_request:
                self.method, self._link = message.name, line.link
                self._params = _members(plain(message.params))
                self.subject = str(self._params.get("name") or self._params.get("uri") or "")
                self._waiting = (line.link, key_of(message.id))
            return
        if line.link != self._link:
            return
        if line.sender == "server" and message.is_request:
            self._asked[key_of(message.id)] = message.name
        elif (
            line.sender == "server"
            and message.is_response
            and (line.link, key_of(message.id)) == self._waiting
        ):
            self._ended(message)
        elif line.sender == "client" and message.is_response:
            self._answered(self._asked.pop(key_of(message.id), ""), _members(plain(message.result)))
        elif line.sender == "client" and message.is_request and message.name == self.method:
            self._continued(line, message)

    def call(self) -> dict[str, Any]:
        """What was asked."""
        kind, member = _KEYS.get(self.method, ("request", "params"))
        if kind == "list":
            return {"list": member}
        params = {name: value for name, value in self._params.items() if name != "_meta"}
        found: dict[str, Any] = {kind: self.method if kind == "request" else self.subject}
        given = params if kind == "request" else _members(params.get(member))
        if given:
            found[member] = _without_null(given)
        meta = _members(self._params.get("_meta"))
        own = {key: value for key, value in meta.items() if not key.startswith(_OWN_META) and "/" in key}
        if own and kind not in ("request", "list"):
            found["meta"] = _without_null(own)
        return found

    def expected(self) -> dict[str, Any]:
        """What came back, as far as it is likely to come back again."""
        if self._error is not None:
            return (
                {"error": self._error["code"]}
                if isinstance(self._error.get("code"), int)
                else {"error": True}
            )
        result = self._result or {}
        found: dict[str, Any] = {"is_error": True} if result.get("isError") is True else {}
        content = result.get("structuredContent")
        if isinstance(content, dict):
            places = {
                f"/{name.replace('~', '~0').replace('/', '~1')}": value
                for name, value in cast("dict[str, Any]", content).items()
                if isinstance(value, (str, int, float, bool)) and len(str(value)) <= _SHORT
            }
            if places:
                found["structured"] = dict(list(places.items())[:_MOST_PLACES])
        elif text := text_of(result):
            found["text"] = text if len(text) <= _SHORT else {"contains": text[:_SHORT]}
        if self.method in _KEYS and _KEYS[self.method][0] == "list":
            lists = [cast("list[Any]", each) for each in result.values() if isinstance(each, list)]
            names = [_members(each).get("name") for entries in lists for each in entries]
            found["listed"] = [each for each in names if isinstance(each, str)]
        return found

    def _ended(self, message: SaidMessage) -> None:
        result = _members(plain(message.result))
        if result.get("resultType") == "input_required":
            self._waiting = None
            questions = _members(result.get("inputRequests"))
            self._asked = {key: str(_members(each).get("method", "")) for key, each in questions.items()}
            return
        self._result, self.over = result, True
        if isinstance(message.error, dict):
            self._error = cast("dict[str, Any]", message.error)

    def _continued(self, line: CaptureLine, message: SaidMessage) -> None:
        """The next round of the call."""
        params = _members(plain(message.params))
        answers = params.get("inputResponses")
        if self._waiting is not None or (not isinstance(answers, dict) and "requestState" not in params):
            return
        for key, answer in _members(answers).items():
            self._answered(self._asked.get(key, ""), _members(answer))
        self._waiting = (line.link, key_of(message.id))

    def _answered(self, method: str, answer: dict[str, Any]) -> None:
        if method == "elicitation/create" and "action" in answer:
            accepted = answer["action"] == "accept"
            content = _without_null(_members(answer.get("content")))
            self.answers.setdefault("form", []).append(content if accepted else answer["action"])
        elif method == "sampling/createMessage":
            text = _members(answer.get("content")).get("text")
            self.answers.setdefault("sampling", []).append(text if isinstance(text, str) else "")
        elif method == "roots/list":
            roots: Any = answer.get("roots")
            listed = cast("list[Any]", roots) if isinstance(roots, list) else []
            self.answers["roots"] = [str(_members(each).get("uri", "")) for each in listed]


def _members(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _without_null(value: dict[str, Any]) -> dict[str, Any]:
    """Members without those that are null, which TOML has not; a member that is left out means the same to most."""
    return {
        name: _without_null(cast("dict[str, Any]", item)) if isinstance(item, dict) else item
        for name, item in value.items()
        if item is not None
    }


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else toml_string(name)


def toml_string(text: str) -> str:
    """A text as a basic string; what acts on a terminal, or is not seen, is an escape in it."""
    return f'"{"".join(_ESCAPES.get(each) or _shown(each) for each in text)}"'


def _shown(character: str) -> str:
    if in_place(character) == character:
        return character
    number = ord(character)
    return f"\\u{number:04X}" if number < 0x10000 else f"\\U{number:08X}"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return toml_string(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(_value(each) for each in cast('list[Any]', value))}]"
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value).items()
        return (
            f"{{ {', '.join(f'{_key(name)} = {_value(each)}' for name, each in members)} }}"
            if members
            else "{}"
        )
    raise CheckNotSaved(f"TOML has no {'null' if value is None else type(value).__name__}")
