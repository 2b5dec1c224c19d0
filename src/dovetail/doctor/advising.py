"""What to do: about an error that ended a step, and about what a process writes that is no message.

Specification: basic/transports, "stdio" ("Messages are delimited by newlines, and MUST NOT contain embedded newlines";
"JSON-RPC messages MUST be UTF-8 encoded"), "Streamable HTTP"; basic/authorization, "Error Handling".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from ..protocol.errors import (
    ConnectFailed,
    FeatureUnavailable,
    HTTPStatusError,
    LoginRequired,
    RemoteProtocolError,
    RequestTimeout,
    RPCError,
    ServerExited,
)
from .findings import Cause, Step

__all__ = ["ON_LINES", "advice_on_output", "failure"]

LOG_IN: Final = "log in (--auth), or give a token: the variable DOVETAIL_TOKEN, or --header"
_STATUSES: Final[dict[int, tuple[str, ...]]] = {
    403: (
        "if it has no login, look for what refuses: its list of hosts or origins, or a firewall in front of it",
    ),
    404: ("check the path, and that all requests of a session reach the process, or the store, that has it",),
    406: (
        "look for what does not take Accept: application/json, text/event-stream, which clients have to send",
    ),
    415: ("look for what does not take Content-Type: application/json, which clients have to send",),
    421: (
        "have it take the host of this URL: it refuses names that are not on its list (dovetail run --allow-host NAME)",
        "or use the name that it is meant to be reached by",
    ),
    429: ("wait as long as it says; where that is often so, look for what counts all callers as one",),
}
_KIND: Final = ("check the path: something answers there, and not as a server of the protocol does",)
_REPR: Final = re.compile(r"\{\s*'")
_BROKEN: Final = re.compile(r"[{}\[\]]|\s*\"[^\"]*\": ")
_ADDRESS: Final = re.compile(r"https?://[^\s'\"]+")
ON_LINES: Final = (
    "write each message as one line of JSON, end it with a newline, and flush standard output after it",
    "see that it is a server for standard streams: many want an option for that, and serve HTTP without it",
)


def failure(name: str, problem: BaseException, *, advice: Sequence[str] = ()) -> Step:
    """The step that ended with an error: why, and what to do about it. ``advice``: what else, which comes first."""
    cause, told = _judged(problem)
    notes = getattr(problem, "__notes__", ())
    what = str(problem) or type(problem).__name__
    return Step(name=name, status="failed", what=what, advice=(*advice, *told, *notes), cause=cause)


def _judged(problem: BaseException) -> tuple[Cause, tuple[str, ...]]:
    """Why, as far as it matters to a program, and what to do."""
    if isinstance(problem, HTTPStatusError):
        return _of_status(problem)
    if isinstance(problem, RequestTimeout):
        return "timeout", ("look into what the server does meanwhile, or wait longer (--timeout)",)
    if isinstance(problem, ServerExited):
        return "unreachable", (
            "start it by hand, in this folder and with this environment, and read what it says",
        )
    if isinstance(problem, ConnectFailed):
        return "unreachable", ("see that it runs, and that this is where it listens",)
    if isinstance(problem, FeatureUnavailable):
        return "protocol", ("the two sides speak no revision in common: update the older one",)
    if isinstance(problem, RPCError):
        return "protocol", ("look for this error in the server's log",)
    if isinstance(problem, RemoteProtocolError) and "UTF-8" in str(problem):
        return "protocol", (
            "write UTF-8, whatever the system's own encoding is: in Python, start it with the variable PYTHONUTF8=1",
        )
    if isinstance(problem, RemoteProtocolError):
        return "protocol", (
            "mend that message; the schema of the revision says what has to be in it",
            "dovetail list TARGET --record FILE keeps what was said",
        )
    return "protocol", ("-v shows more; dovetail list TARGET --record FILE keeps what was said",)


def _of_status(problem: HTTPStatusError) -> tuple[Cause, tuple[str, ...]]:
    status = problem.status
    if isinstance(problem, LoginRequired) or status in (401, 403):
        return "login", (LOG_IN, *_STATUSES.get(status, ()))
    if status >= 500:
        return "protocol", ("look into the server's log, and that of a proxy in front of it",)
    return "protocol", _STATUSES.get(status, _KIND)


def advice_on_output(noise: Sequence[str], errors: Sequence[str]) -> tuple[str, ...]:
    """What to do about what a process writes, where that looks like a mistake that is known. ``noise``: lines of its
    standard output that were no messages; ``errors``: of its standard error.
    """
    first = next((each for each in noise if each.strip()), "")
    if any(each.lower().startswith("content-length:") for each in noise):
        return (
            "write each message as one line of JSON: it puts Content-Length before them, as language servers do",
        )
    if any("\ufffd" in each and "jsonrpc" in each.replace("\0", "") for each in noise):
        return ("write UTF-8 without a mark at the beginning: what it writes looks like UTF-16",)
    if _REPR.match(first):
        return ("write JSON (in Python: json.dumps): what it writes is how Python shows a dict",)
    if sum(1 for each in noise if _BROKEN.match(each)) > 1:
        return ("write each message as one line: it spreads a message over several (indent=)",)
    url = next((found[0] for each in errors if (found := _ADDRESS.search(each))), "")
    if url:
        return (f"it speaks of {url}: if it serves HTTP, name its URL, or start it for standard streams",)
    return ()
