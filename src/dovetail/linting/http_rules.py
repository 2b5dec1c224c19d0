"""What HTTP adds: headers that repeat the body, sessions, what is accepted, statuses, streams.

Theory of operation. An exchange is of the protocol when it carries a message, or goes where messages go; what a login
does over the same connection is none of ours. Where a capture has no headers (a server that records itself), nothing is
said of them. A placeholder in the place of a secret is not compared with anything.

Specification: 2026-07-28 basic/transports/streamable-http; 2025-11-25 basic/transports; 2024-11-05 basic/transports.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import UNSET

from ..capture.lines import CaptureLine
from ..protocol import codec, names
from ..protocol.bindings.headers import (
    InvalidHeaderValue,
    accepts,
    check_parameters,
    decode_value,
    is_json_content_type,
    is_session_id,
)
from ..protocol.errors import HeaderMismatch
from ..protocol.revisions import PROFILES, Feature
from .envelopes import is_message
from .heard import Heard, LineReport, objects, shown
from .memory import HeardConversation, HTTPExchange, Memory

__all__ = ["after", "answer", "begin", "call", "initializes", "line"]

_ENDPOINT: Final = "endpoint"
_PLACEHOLDER: Final = "[redacted-"
_NAMED: Final = {
    names.TOOLS_CALL: "name",
    names.PROMPTS_GET: "name",
    names.RESOURCES_READ: "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
_STATUSES: Final = {-32601: 404, -32020: 400, -32021: 400, -32022: 400}
_TOKENS: Final = ("access_token=", "id_token=")


def initializes(line: CaptureLine) -> bool:
    """Whether a line is the request that begins a session."""
    quoted = b'"' + names.INITIALIZE.encode() + b'"'
    return line.body is not UNSET and line.sender == "client" and quoted in bytes(line.body)[:4096]


def begin(line: CaptureLine, exchange: HTTPExchange) -> None:
    """A request: is it of the protocol?"""
    http, talk = line.http, exchange.talk
    if http is None:
        return
    exchange.headers = http.headers
    path = http.target.partition("?")[0]
    carries = line.sender == "client" and line.body is not UNSET and _carries_message(line)
    if carries and not talk.endpoint and http.method == "POST":
        talk.endpoint = path[:1_000]
    listens = http.method == "GET" and names.MEDIA_SSE in http.headers.get("accept", "")
    declared = http.method == "POST" and is_json_content_type(http.headers.get("content-type", ""))
    ends = http.method == "DELETE" and names.HEADER_SESSION in http.headers
    exchange.ours = carries or listens or ends or (declared and path == talk.endpoint) or not http.method
    exchange.resumes = names.HEADER_LAST_EVENT_ID in http.headers


def _carries_message(line: CaptureLine) -> bool:
    if line.body is UNSET:
        return False
    try:
        value: Any = codec.decode(bytes(line.body))
    except (*codec.DECODE_ERRORS, OverflowError, RecursionError):
        return False
    return isinstance(value, list) or is_message(value) or (isinstance(value, dict) and "method" in value)


def line(line: CaptureLine, exchange: HTTPExchange, memory: Memory, say: LineReport) -> None:
    """What is wrong with the part of HTTP that a line has."""
    http = line.http
    if http is None:
        return
    if http.method:
        _request(line, exchange, say)
        return
    if http.event == _ENDPOINT:
        exchange.talk.sse = True
        for key in list(memory.talks):
            talk = memory.talks.get(key)
            if key[0] == line.link and talk is not None:
                talk.sse = True
    if http.id:
        _event(line, exchange, memory, say)
    if http.status:
        exchange.status = http.status
        exchange.headers = http.headers
        media = http.headers.get("content-type", "").partition(";")[0].strip().lower()
        exchange.stream = media == names.MEDIA_SSE
        _response(line, exchange, say, media)


def _request(line: CaptureLine, exchange: HTTPExchange, say: LineReport) -> None:
    http, headers, talk = line.http, exchange.headers, exchange.talk
    if http is None:
        return
    if any(each in http.target for each in _TOKENS):
        say("token-in-query", "a token is in the query of the address, where logs and proxies keep it")
    old = talk.sse or line.transport == "sse"
    accept = headers.get("accept")
    if http.method == "POST" and not old:
        missing = [
            each
            for each in (names.MEDIA_JSON, names.MEDIA_SSE)
            if accept is None or not accepts(accept, each)
        ]
        if missing:
            say("accept-header", f"the request does not accept {missing[0]}", "accept")
        if not is_json_content_type(headers.get("content-type", "")):
            said = f"a message is sent as {shown(headers.get('content-type', 'nothing in particular'))}"
            say("content-type-of-request", said, "content-type")
    within = talk.session and line.era == "stateful" and not exchange.initializes and not old
    if within and names.HEADER_SESSION not in headers:
        say(
            "session-header-missing",
            "the server named a session, and the request does not",
            names.HEADER_SESSION,
        )


def _response(line: CaptureLine, exchange: HTTPExchange, say: LineReport, media: str) -> None:
    headers, status = exchange.headers, exchange.status
    session = headers.get(names.HEADER_SESSION)
    if (
        session is not None
        and not session.startswith(_PLACEHOLDER)
        and not is_session_id(session)
        and not (len(session) > 128 and session.isascii() and session.isprintable() and " " not in session)
    ):
        say("session-id", "the session id has other characters than visible ASCII", names.HEADER_SESSION)
    if status == 401 and "www-authenticate" not in headers:
        say(
            "challenge-missing",
            "the status is 401, and WWW-Authenticate does not say how to log in",
            "www-authenticate",
        )
    if exchange.method == "GET" and 200 <= status < 300 and not exchange.stream:
        say(
            "get-response",
            f"GET is answered with {shown(media)}, and an event stream or 405 was due",
            "content-type",
        )
    if exchange.method != "POST" or exchange.talk.sse or line.transport == "sse":
        return
    if exchange.calls and 200 <= status < 300:
        if status in {202, 204}:
            say("request-status", f"a request is answered with {status}, and with nothing else")
        elif not exchange.stream and not is_json_content_type(media):
            said = f"a request is answered with {shown(media or 'nothing in particular')}"
            say("content-type-of-response", said, "content-type")
    if exchange.notices and not exchange.calls and 200 <= status < 300 and status != 202:
        say(
            "notification-status",
            f"a notification is taken with {status}, and has to be with 202",
            about=exchange.line,
        )
    stateless = line.era == "stateless"
    if (
        exchange.stream
        and stateless
        and headers.get("x-accel-buffering", "").lower() != "no"
        and exchange.talk.once("buffering-header")
    ):
        say(
            "buffering-header",
            "no X-Accel-Buffering: no tells proxies to let the stream through",
            "x-accel-buffering",
        )


def _event(line: CaptureLine, exchange: HTTPExchange, memory: Memory, say: LineReport) -> None:
    http = line.http
    if http is None:
        return
    content = hash(line.text) if line.body is UNSET else hash(bytes(line.body))
    key = (exchange.talk.number, http.id if len(http.id) <= 128 else hash(http.id))
    known = memory.events.get(key)
    if known is not None and (known[1] != content or not exchange.resumes) and known[0] != line.n:
        say("event-id-repeated", f"the id {shown(http.id)} is that of another event, too", about=known[0])
    memory.events.put(key, (line.n, content), 200)


def after(line: CaptureLine, exchange: HTTPExchange, memory: Memory, say: LineReport) -> None:
    """When a line was read: did the exchange end with what it owes?"""
    http = line.http
    if http is None:
        return
    if http.method:
        exchange.notices = line.body is not UNSET and not exchange.calls
        return
    waiting = {key: record for key in exchange.calls if (record := memory.asked.get(key)) is not None}
    if not http.end or not waiting or exchange.talk.sse:
        return
    alone = line.era == "stateless"
    if exchange.status >= 300 or (alone and http.end == "broken"):
        for key, record in waiting.items():  # refused or cut off: it may be sent again as it is
            memory.asked.pop(key)
            exchange.talk.logging.pop(key, None)
            if record.token is not None:
                memory.tokens.pop(record.token)
    elif http.end == "complete" and exchange.stream and exchange.method == "POST" and exchange.listen is None:
        first = next(iter(waiting.values()))
        if (alone or not _polls(line)) and not first.cancelled:
            said = f"the stream ends, and {shown(first.method)} is not answered"
            say("stream-without-response", said, about=first.line)


def _polls(line: CaptureLine) -> bool:
    profile = PROFILES.get(line.revision)
    return profile is None or profile.has(Feature.POLLING) or profile.has(Feature.RESUMABLE)


def call(heard: Heard) -> None:
    """Whether the headers of a request say what its body says."""
    exchange = heard.exchange
    if exchange is None or heard.sender != "client" or exchange.method != "POST" or not exchange.headers:
        return
    if heard.stateless and heard.profile is not None and heard.profile.has(Feature.REQUEST_HEADERS):
        _mirrored(heard, exchange.headers)
    elif heard.method != names.INITIALIZE and heard.talk.initialize_answered and not heard.talk.sse:
        _version(heard, exchange.headers, heard.talk)


def _version(heard: Heard, headers: dict[str, str], talk: HeardConversation) -> None:
    """The revision that a session agreed on."""
    profile = heard.profile
    if profile is None or not profile.has(Feature.VERSION_HEADER):
        return
    stated = headers.get(names.HEADER_PROTOCOL_VERSION)
    if stated is None:
        said = f"the request does not say {names.HEADER_PROTOCOL_VERSION}"
        heard.say("version-header-missing", said, names.HEADER_PROTOCOL_VERSION)
    elif talk.agreed and stated != talk.agreed:
        said = f"the header says {shown(stated)}, and {talk.agreed} was agreed on"
        heard.say("version-header-other", said, names.HEADER_PROTOCOL_VERSION, talk.initialize_answered)


def _mirrored(heard: Heard, headers: dict[str, str]) -> None:
    stated, spoken = headers.get(names.HEADER_PROTOCOL_VERSION), heard.meta.get(names.META_PROTOCOL_VERSION)
    where = names.HEADER_PROTOCOL_VERSION
    if stated is None:
        heard.say("version-header-missing", f"the request does not say {where}", where)
    elif isinstance(spoken, str) and stated != spoken:
        heard.say(
            "version-header-mismatch", f"the header says {shown(stated)}, the body {shown(spoken)}", where
        )
    if not heard.is_request:
        return
    _same(heard, headers, "method-header", names.HEADER_METHOD, heard.method)
    name = heard.params.get(_NAMED.get(heard.method, ""))
    if isinstance(name, str):
        _same(heard, headers, "name-header", names.HEADER_NAME, name)
    if heard.method == names.TOOLS_CALL:
        _parameters(heard, headers)


def _same(heard: Heard, headers: dict[str, str], rule: str, header: str, expected: str) -> None:
    value = headers.get(header)
    if value is None:
        heard.say(rule, f"{header} is missing; the body says {shown(expected)}", header)
        return
    if _PLACEHOLDER in value or value == expected:
        return
    try:
        told = decode_value(value)
    except InvalidHeaderValue as problem:
        heard.say(rule, f"{header}: {problem}", header)
        return
    if told != expected:
        heard.say(rule, f"{header} says {shown(told)}, the body {shown(expected)}", header)


def _parameters(heard: Heard, headers: dict[str, str]) -> None:
    tool = heard.memory.tools.get((heard.talk.number, str(heard.params.get("name"))[:200]))
    if tool is None or not tool.mirrored:
        return
    routing = {name: value.encode("latin-1", "replace") for name, value in headers.items()}
    known = [each for each in tool.mirrored if _PLACEHOLDER not in headers.get(each.header, "")]
    try:
        check_parameters(routing, objects(heard.params.get("arguments")), known)
    except HeaderMismatch as problem:
        heard.say(
            "param-header",
            str(problem).removeprefix("Header mismatch: "),
            names.HEADER_PARAM_PREFIX,
            tool.line,
        )


def answer(heard: Heard) -> None:
    """Where an answer comes, and with what status."""
    exchange = heard.exchange
    if exchange is None or heard.sender != "server":
        return
    exchange.answered = heard.line.n
    old = exchange.talk.sse or heard.line.transport == "sse"
    if exchange.method == "GET" and not exchange.resumes and not old:
        heard.say(
            "response-on-get-stream", "a response comes on a stream that a GET opened", "", exchange.line
        )
    code = objects(heard.message.get("error")).get("code")
    due = _STATUSES.get(code) if isinstance(code, int) else None
    if (
        heard.stateless
        and due is not None
        and not exchange.stream
        and exchange.status
        and exchange.status != due
    ):
        said = f"the error {code} comes with status {exchange.status}, and has to come with {due}"
        heard.say("error-status", said, "/error/code")
