"""What a caller is told of an upstream that gave no answer: which upstream, why, and what to do.

Theory of operation. The caller reads words of ours, since what a client says may quote what is the operator's alone:
the last lines of a server process, or the start of a page. That stands in the log. Only of a connection that could not
be made is it told what was tried; a client names a server there without its secrets.

Specification: basic/index, "Error Codes".
"""

from typing import Final

from msgspec import MsgspecError

from ..errors import (
    ConnectFailed,
    ConnectionLost,
    DovetailError,
    HTTPStatusError,
    InternalError,
    LocalProtocolError,
    LoginRequired,
    MessageTooLarge,
    RemoteProtocolError,
    RequestTimeout,
    ServerExited,
    SessionEnded,
)
from ..protocol.safe_text import one_line

_LONGEST: Final = 500


class UpstreamFailed(InternalError):
    """The upstream of a proxy gave no answer. The text names it and the reason; ``retry_safe`` says whether the call
    may be made again without doing its work twice.
    """


_AGAIN: Final = "nothing was done there, so try again"
_UNKNOWN: Final = "part of the work may be done, so look before you call again"


def failure_of(label: str, problem: DovetailError) -> UpstreamFailed:
    """What the caller is told of a problem with the upstream called ``label``."""
    if isinstance(problem, UpstreamFailed):  # one of ours, which does not know the name
        told = problem.message
    else:
        told = f"{_reason(problem)}; {_AGAIN if problem.retry_safe else _UNKNOWN}"
    failure = UpstreamFailed(f"{label}: {told}")
    failure.retry_safe = problem.retry_safe
    return failure


def unanswered(text: str, *, retry_safe: bool = False) -> UpstreamFailed:
    """A failure that nobody has named the upstream of yet: the text goes on after its name."""
    failure = UpstreamFailed(text)
    failure.retry_safe = retry_safe
    return failure


def unreadable(method: str, problem: MsgspecError) -> RemoteProtocolError:
    """What the upstream answered to a method is not what it should be."""
    return RemoteProtocolError(f"what answers {method} can't be read: {str(problem)[:200]}")


def _reason(problem: DovetailError) -> str:
    match problem:
        case ConnectFailed():
            return f"it can't be reached: {_text(problem)}"
        case ServerExited():
            return f"its process has ended (exit status {problem.status})"
        case ConnectionLost():
            return "the connection was lost before it answered"
        case RequestTimeout():
            return "it did not answer in time"
        case LoginRequired():
            return f"it refused the credentials of the proxy (HTTP {problem.status})"
        case HTTPStatusError():
            return f"it answered HTTP {problem.status}"
        case SessionEnded():
            return "it has lost the session"
        case MessageTooLarge() | LocalProtocolError():
            return _text(problem)
        case RemoteProtocolError():
            return "it broke the protocol"
        case _:
            return f"it gave no answer ({type(problem).__name__})"


def _text(problem: DovetailError) -> str:
    """The problem's own words, without the call that it was of."""
    return one_line(Exception.__str__(problem))[:_LONGEST]


__all__ = ["UpstreamFailed", "failure_of", "unanswered", "unreadable"]
