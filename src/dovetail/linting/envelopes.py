"""Envelopes: JSON-RPC, batches, ids, and whether the revision has such a message from this side.

Specification: basic/index, "Messages", "Responses"; 2025-03-26 basic/index, "Batching".
"""

from __future__ import annotations

from functools import cache
from itertools import islice
from typing import Any, Final, cast

from ..capture.lines import CaptureLine
from ..protocol import names
from ..protocol.bindings.media import is_json_content_type
from ..protocol.meta_keys import is_extension_identifier
from ..protocol.revisions import PROFILES, Profile
from ..specification import MethodShapes, method_shapes
from .heard import Heard, LineReport, member, objects, shown
from .memory import HTTPExchange

__all__ = [
    "MAX_BATCH",
    "batch",
    "is_message",
    "judged",
    "message",
    "method",
    "shapes_of",
    "should_be_json",
]

MAX_BATCH: Final = 1_000
"""Messages of one batch that are looked at."""

_CARRY_NOTHING_ELSE: Final = frozenset({"stdio", "unix", "memory"})
_TAKEN_AWAY: Final = frozenset({-32002, -32042})
_DEFINED: Final = frozenset({-32020, -32021, -32022})
_RESERVED: Final = range(-32099, -32019)
_MOST_EXTENSIONS: Final = 200
_ELSEWHERE: Final = {"resources/directory/read": f"{names.META_PREFIX}skills"}
"""Methods of an extension whose names do not begin with its own."""


def should_be_json(line: CaptureLine, exchange: HTTPExchange | None) -> bool:
    """Whether what a line carries, and is no JSON, has to be a message."""
    if exchange is None:
        return line.transport in _CARRY_NOTHING_ELSE or not line.transport
    http = line.http
    if line.sender == "client":
        return exchange.method == "POST"
    if http is None or http.event not in ("", "message"):
        return False
    if exchange.stream:
        return True
    return exchange.status < 300 and is_json_content_type(exchange.headers.get("content-type", ""))


def is_message(value: object) -> bool:
    """Whether a value looks like a message of JSON-RPC."""
    return isinstance(value, dict) and "jsonrpc" in value


def batch(items: list[Any], say: LineReport, *, allowed: bool, revision: str) -> None:
    """What is wrong with a batch as such."""
    if not allowed:
        say("batch-not-allowed", f"{len(items)} messages come as one array, and {revision} has no batches")
        return
    calls = {"method" in objects(each) for each in items}
    if not items:
        say("batch-invalid", "the batch is empty")
    elif len(calls) > 1:
        say("batch-invalid", "the batch mixes calls with responses")
    elif any(objects(each).get("method") == names.INITIALIZE for each in items):
        say("batch-invalid", f"{names.INITIALIZE} stands in a batch, and nothing is agreed on before it")


def message(heard: Heard) -> bool:
    """What is wrong with the envelope of a message; gives whether more can be said of it."""
    found, say = heard.message, heard.say
    if found.get("jsonrpc") != names.JSONRPC_VERSION:
        say(
            "jsonrpc-version",
            f'its jsonrpc is {shown(found.get("jsonrpc"))}, and has to be "2.0"',
            "/jsonrpc",
        )
    if heard.is_call:
        if not isinstance(found["method"], str):
            say("not-a-message", f"its method is {shown(found['method'])}, and has to be a string", "/method")
            return False
        if heard.is_request:
            return _id(heard)
        return True
    if "result" in found and "error" in found:
        say("result-and-error", "it has both a result and an error", "/error")
        return True
    if "error" in found:
        _error(heard)
    elif "result" not in found:
        say("not-a-message", "it has no method, no result and no error")
        return False
    elif "id" not in found or found["id"] is None:
        say("response-without-id", "it is a result, and does not say of which request", "/id")
        return False
    return found.get("id") is None or _id(heard)


def _id(heard: Heard) -> bool:
    if heard.id is None:
        heard.say("id-null", "its id is null: leave it out for a notification, or number the request", "/id")
        return False
    if isinstance(heard.id, bool) or not isinstance(heard.id, (str, int)):
        heard.say("id-type", f"its id is {shown(heard.id)}, and has to be a string or an integer", "/id")
        return False
    return True


def _error(heard: Heard) -> None:
    error = heard.message["error"]
    if not isinstance(error, dict):
        heard.say("error-object", "its error is no object with a code and a message", "/error")
        return
    found = cast("dict[str, Any]", error)
    code = found.get("code")
    if not isinstance(code, int) or isinstance(code, bool):
        heard.say(
            "error-object", f"the code of its error is {shown(code)}, and has to be an integer", "/error/code"
        )
    if not isinstance(found.get("message"), str):
        heard.say("error-object", "its error has no message", "/error/message")


def error_code(heard: Heard) -> None:
    """What is wrong with the code of an error in a stateless revision."""
    code = _code(heard)
    if not isinstance(code, int):
        return
    if code in _TAKEN_AWAY:
        heard.say("error-code", f"{heard.line.revision} took the code {code} away", "/error/code")
    elif code in _RESERVED and code not in _DEFINED:
        heard.say(
            "error-code", f"the code {code} is kept for the specification, which has none such", "/error/code"
        )


def judged(heard: Heard) -> bool:
    """Whether an answer is to be judged by the rules of its revision: of a stateless one only when the server is known
    to speak it.
    """
    if not heard.stateless or heard.sender == "client":
        return heard.profile is not None
    code = _code(heard)
    result = heard.result
    if code in _DEFINED or (result is not None and "resultType" in result):
        heard.talk.speaks_stateless = True
    if "error" in heard.message and not heard.talk.speaks_stateless:
        return False
    error_code(heard)
    return True


@cache
def shapes_of(revision: str) -> dict[str, MethodShapes]:
    """The methods of a revision, each with its definitions."""
    return method_shapes(revision)


@cache
def _known_anywhere() -> frozenset[str]:
    return frozenset(name for revision in PROFILES for name in method_shapes(revision))


def method(heard: Heard) -> bool:
    """Whether the revision has such a message from this side, in this form; says so where it has not."""
    profile, say, name = heard.profile, heard.say, heard.method
    if name.startswith(names.NOTIFICATIONS) and heard.is_request:
        say("notification-with-id", f"{shown(name)} is a notification, and has an id", "/id")
        return False
    if profile is None:
        return False
    if profile.stateless and heard.sender == "server" and heard.is_request:
        say(
            "request-from-server", f"the server sends {shown(name)}; in {profile.revision} it asks in results"
        )
        return False
    shapes = shapes_of(profile.revision).get(name)
    if shapes is None or not shapes.senders:
        _foreign(heard, profile)
        return False
    if heard.sender not in shapes.senders:
        say("method-wrong-sender", f"a {heard.sender} does not send {shown(name)}", "/method")
        return False
    if shapes.result and not heard.is_request:
        say("request-without-id", f"{shown(name)} is a request, and has no id", "/id")
        return False
    return True


def _foreign(heard: Heard, profile: Profile) -> None:
    name = heard.method
    if name not in _known_anywhere():
        if not _of_extension(heard) and heard.talk.once(f"unknown-method {name[:100]}"):
            said = f"no revision has {shown(name)}, and neither side declared an extension of that name"
            heard.say("unknown-method", said, "/method")
        return
    said = f"{profile.revision} has no {shown(name)}"
    having = [each for each in PROFILES if name in shapes_of(each) and shapes_of(each)[name].senders]
    if having:
        said += f"; {having[0]} has" if len(having) == 1 else f"; {having[0]} to {having[-1]} have"
    heard.say("method-of-other-revision", said, "/method")


def _of_extension(heard: Heard) -> bool:
    """Whether a side declared an extension that has such a method, by the names: ``com.example/prices`` has
    ``com.example/prices/get`` and ``prices/get``, and notifications of these names.
    """
    talk, name = heard.talk, heard.method.removeprefix(names.NOTIFICATIONS)
    elsewhere = _ELSEWHERE.get(name)
    for side in (talk.server, talk.client, heard.meta.get(names.META_CLIENT_CAPABILITIES)):
        for each in islice(objects(member(side, "extensions")), _MOST_EXTENSIONS):
            own = each.partition("/")[2]
            named = each == elsewhere or name.startswith((f"{each}/", f"{own}/"))
            if named and is_extension_identifier(each):
                return True
    return False


def _code(heard: Heard) -> int | None:
    """The code of an error; None where it has none that is a number."""
    code = objects(heard.message.get("error")).get("code")
    return code if isinstance(code, int) else None
