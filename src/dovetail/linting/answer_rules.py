"""Which answer belongs to which request; progress and cancelling in between.

Specification: basic/index "Responses"; 2025-11-25 basic/utilities/progress and cancellation; 2026-07-28
basic/patterns/progress and cancellation.
"""

from __future__ import annotations

from typing import Any, Final, cast

from ..capture.lines import CaptureLine
from ..protocol import codec, names
from ..protocol.revisions import Feature
from .findings import Finding
from .heard import Heard, LineReport, other, pointer, shown
from .memory import Key, Memory, RequestRecord, TokenState, key_of, size_of

__all__ = ["answer", "call", "ended", "unanswered", "unreadable"]

_LARGE: Final = 64 * 1024
#: What a further round adds to its request, and what differs from request to request.
_OF_ROUNDS: Final = frozenset({names.META, "inputResponses", "requestState"})
_TOKEN: Final = pointer("params", names.META, names.META_PROGRESS_TOKEN)
_SUBJECTS: Final = {
    names.TOOLS_CALL: "name",
    names.PROMPTS_GET: "name",
    names.RESOURCES_READ: "uri",
}


def call(heard: Heard) -> None:
    """A request is remembered; a notification may be about one."""
    if heard.is_request:
        _asked(heard)
    elif heard.method == names.NOTIFY_PROGRESS:
        _progress(heard)
    elif heard.method == names.NOTIFY_CANCELLED:
        _cancelled(heard)


def _asked(heard: Heard) -> None:
    memory, talk = heard.memory, heard.talk
    key = heard.request_key(heard.sender, heard.id)
    earlier = memory.asked.get(key)
    if earlier is None and not heard.stateless:
        earlier = memory.ended.get(key)
    on_tap = heard.exchange is None and heard.line.transport == "http" and heard.stateless
    if earlier is not None and not on_tap:
        state = "is not answered yet" if earlier.result_line == 0 else "was answered"
        heard.say(
            "id-reused", f"its id {shown(heard.id)} is that of a request that {state}", "/id", earlier.line
        )
    record = _record(heard)
    if record.token is not None:
        _token(heard, record, record.token)
    memory.ask(key, record, size_of(record.method, record.subject, record.cursor) + _kept(heard, record))
    if record.log_level is not None and len(talk.logging) < 1_000:
        talk.logging[key] = record.log_level
    if heard.exchange is not None and len(heard.exchange.calls) < 100:
        heard.exchange.calls = (*heard.exchange.calls, key)
        if heard.method == names.SUBSCRIPTIONS_LISTEN:
            heard.exchange.listen = heard.id


def _record(heard: Heard) -> RequestRecord:
    params, meta, name = heard.params, heard.meta, heard.method
    subject: Any = params.get(_SUBJECTS.get(name, ""))
    token: Any = meta.get(names.META_PROGRESS_TOKEN)
    cursor: Any = params.get("cursor")
    level: Any = meta.get(names.META_LOG_LEVEL)
    record = RequestRecord(
        line=heard.line.n,
        sender=heard.sender,
        method=name[:200],
        id=key_of(heard.id),
        subject=subject[:1_000] if isinstance(subject, str) else "",
        revision=heard.line.revision,
        log_level=level if isinstance(level, str) else None,
        token=None if token is None else (*heard.place, heard.sender, type(token) is str, key_of(token)),
        task="task" in params,
        versioned=names.META_VERSION in meta,
        cursor=cursor[:1_000] if isinstance(cursor, str) else None,
        exchange=0 if heard.exchange is None else heard.exchange.number,
    )
    capabilities: Any = meta.get(names.META_CLIENT_CAPABILITIES)
    if isinstance(capabilities, dict) and heard.size < _LARGE:
        talk = heard.talk
        if talk.client != capabilities:
            talk.client = cast("dict[str, Any]", capabilities)
        record.capabilities = talk.client  # the same object for all requests that say the same
    if heard.profile is not None and heard.profile.has(Feature.ROUNDS) and name in _SUBJECTS:
        record.params_hash = params_hash(params)
    if name == names.ELICITATION_CREATE and heard.size < _LARGE:
        record.form = params.get("requestedSchema")
    return record


def params_hash(params: dict[str, Any]) -> int:
    """What a further round has to repeat, as a number; -1 where it can't be told."""
    try:
        return hash(codec.encode({name: value for name, value in params.items() if name not in _OF_ROUNDS}))
    except (ValueError, TypeError, RecursionError, OverflowError):
        return -1


def _kept(heard: Heard, record: RequestRecord) -> int:
    """Bytes of what is kept of a request besides its names."""
    return heard.size if record.form is not None else 0


def _token(heard: Heard, record: RequestRecord, key: Key) -> None:
    state = heard.memory.tokens.get(key)
    if state is not None and not state.ended and not state.task:
        said = "its progress token is that of a request that is not answered"
        heard.say("progress-token-reused", said, _TOKEN, state.line)
    new = TokenState(heard.line.n, record.exchange, task=record.task)
    heard.memory.tokens.put(key, new, size_of())


def _progress(heard: Heard) -> None:
    token, amount = heard.params.get(names.META_PROGRESS_TOKEN), heard.params.get("progress")
    if not isinstance(token, (str, int)):
        return
    key = (*heard.place, other(heard.sender), type(token) is str, key_of(token))
    state = heard.memory.tokens.get(key)
    where = pointer("params", names.META_PROGRESS_TOKEN)
    if state is None:
        if heard.talk.begun and not heard.memory.forgot:
            heard.say("progress-token-unknown", f"no request gave the token {shown(token)}", where)
        return
    same_way = heard.exchange is None or heard.exchange.number == state.exchange
    if state.ended and not state.task and same_way:
        said = f"the request of the token {shown(token)} is answered"
        heard.say("progress-after-end", said, where, state.ended)
    if isinstance(amount, (int, float)) and not isinstance(amount, bool):
        if state.progress is not None and amount <= state.progress:
            said = f"progress is {shown(amount)} after {shown(state.progress)}"
            heard.say("progress-not-increasing", said, "/params/progress", state.told)
        state.progress, state.told = amount, heard.line.n


def _cancelled(heard: Heard) -> None:
    id, where = heard.params.get("requestId"), "/params/requestId"
    if id is None:
        return
    if heard.stateless and heard.exchange is not None:
        return  # where each request has an exchange of its own, its end is what cancels
    if heard.stateless and heard.sender == "server":
        asked = heard.memory.asked.get(heard.request_key("client", id))
        if asked is None:
            asked = heard.memory.ended.get(heard.request_key("client", id))
        if asked is not None and asked.method != names.SUBSCRIPTIONS_LISTEN:
            said = f"the server cancels {shown(asked.method)}, and may cancel subscriptions alone"
            heard.say("cancelled-by-server", said, where, asked.line)
        elif asked is None and not heard.memory.forgot:
            heard.say("cancelled-by-server", f"there is no subscription {shown(id)}", where)
        return
    key = heard.request_key(heard.sender, id)
    asked = heard.memory.asked.get(key)
    if asked is None:
        ended = heard.memory.ended.get(key)
        if ended is not None:
            heard.say("cancelled-ended", f"request {shown(id)} was answered before", where, ended.result_line)
        elif heard.talk.begun and not heard.memory.forgot:
            heard.say(
                "cancelled-unknown", f"a {heard.sender} cancels {shown(id)}, which it never asked", where
            )
        return
    if asked.method == names.INITIALIZE:
        heard.say("initialize-cancelled", "initialize can't be cancelled", where, asked.line)
    if asked.task:
        heard.say("cancelled-task", "it runs as a task: cancel that by its own request", where, asked.line)
    asked.cancelled = heard.line.n


def answer(heard: Heard) -> bool:
    """Find what an answer belongs to; gives whether there is something to judge."""
    if heard.stateless and heard.sender == "client":
        heard.say("response-from-client", "a client sends a response, and nothing asks it in this revision")
        return False
    asker = other(heard.sender)
    id = heard.message.get("id")
    if id is None:
        return False
    key = heard.request_key(asker, id)
    heard.asked = heard.memory.asked.get(key)
    if heard.asked is not None:
        if heard.asked.cancelled:
            said = f"{shown(heard.asked.method)} is answered, and was cancelled"
            heard.say("response-after-cancel", said, "/id", heard.asked.cancelled)
        return True
    earlier = heard.memory.ended.get(key)
    replayed = heard.exchange is not None and heard.exchange.resumes
    if earlier is not None:
        if not replayed:
            heard.say(
                "response-repeated", f"request {shown(id)} was answered before", "/id", earlier.result_line
            )
    elif _all_seen(heard) and not heard.memory.forgot and not replayed:
        heard.say("response-unknown-id", f"nobody asked {shown(id)}", "/id")
    return False


def _all_seen(heard: Heard) -> bool:
    """Whether a request would have been heard that this answers."""
    return heard.talk.begun or (heard.exchange is not None and heard.exchange.method == "POST")


def unreadable(heard: Heard) -> None:
    """A request that can't be read may still be answered under its id."""
    if heard.is_call and heard.id is not None and isinstance(heard.id, (str, int)):
        record = RequestRecord(line=heard.line.n, sender=heard.sender, method="", id=key_of(heard.id))
        heard.memory.ask(heard.request_key(heard.sender, heard.id), record, size_of())


def ended(heard: Heard) -> None:
    """The request is answered."""
    asked = heard.asked
    if asked is None:
        return
    key = heard.request_key(asked.sender, heard.message.get("id"))
    asked.result_line = heard.line.n
    if asked.token is not None:
        state = heard.memory.tokens.get(asked.token)
        if state is not None:
            state.ended = heard.line.n
            state.task = state.task or bool(heard.result and heard.result.get("resultType") == "task")
    heard.talk.logging.pop(key, None)
    heard.memory.end(key, asked)


def unanswered(memory: Memory) -> list[Finding]:
    """A hint for each request that was not answered, at most 200."""
    found: list[Finding] = []
    for key in list(memory.asked)[:200]:
        record = memory.asked.get(key)
        if record is None or record.cancelled or record.method == names.SUBSCRIPTIONS_LISTEN:
            continue
        line = CaptureLine(
            n=record.line, seconds=0.0, time="", sender=record.sender, revision=record.revision
        )
        say = LineReport(line)
        say("unanswered", f"{shown(record.method)} was never answered", sender=other(record.sender))
        found += say.found
    return found
