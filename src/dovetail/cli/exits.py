"""How a command ends: its exit code, and one line on standard error that says why.

====  =======================================================================
0     done
1     the tool said that it failed (``isError``); two surfaces differ; a measurement or a suite had failures
2     the command line makes no sense
3     the server can't be reached, can't be started, or went away
4     the server answered with an error, has nothing of that name, or broke the protocol
5     no answer in time
6     a login is needed, or was not granted
70    a fault of Dovetail itself, or of an application, which is then named
130   interrupted (Ctrl-C)
====  =======================================================================

Only the standard library is imported at the top: ``dovetail run`` uses this too.
"""

from typing import Final

__all__ = [
    "FAILED",
    "FAULT",
    "INTERRUPTED",
    "LOGIN",
    "NO_SERVER",
    "OK",
    "REFUSED",
    "TIMED_OUT",
    "USAGE",
    "OutputClosed",
    "UnknownName",
    "UsageError",
    "code_of",
    "tell",
]

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NO_SERVER: Final = 3
REFUSED: Final = 4
TIMED_OUT: Final = 5
LOGIN: Final = 6
FAULT: Final = 70
INTERRUPTED: Final = 130


class UsageError(Exception):
    """The command line makes no sense; the text says what to write instead."""


class UnknownName(Exception):
    """The server has nothing of that name, however it said so: as an error (our servers, and the specification) or as
    a tool that failed (several other implementations).
    """


class OutputClosed(Exception):
    """Whoever read our results went away, as ``| head`` does. It is no failure."""


def code_of(problem: BaseException) -> int:
    """The exit code for what ended a command."""
    from ..auth.login.problems import AuthorizationError
    from ..protocol.errors import (
        LocalProtocolError,
        LoginRequired,
        RemoteProtocolError,
        RequestCancelled,
        RequestTimeout,
        RPCError,
    )

    if isinstance(problem, UsageError):
        return USAGE
    if isinstance(problem, UnknownName):
        return REFUSED
    if isinstance(problem, (AuthorizationError, LoginRequired)):
        return LOGIN
    if isinstance(problem, RequestTimeout):
        return TIMED_OUT
    if isinstance(problem, (RPCError, RemoteProtocolError, LocalProtocolError, RequestCancelled)):
        return REFUSED
    if isinstance(problem, KeyboardInterrupt):
        return INTERRUPTED
    return NO_SERVER


def tell(problem: BaseException, *, verbose: bool = False) -> int:
    """Say on standard error what went wrong, in one line, or with the traceback if ``verbose``. Notes of the exception
    say what to do; they follow. Gives the exit code.
    """
    from ..last_resort import say
    from ..protocol.safe_text import one_line

    said = [one_line(str(problem)) or type(problem).__name__]
    said += map(one_line, getattr(problem, "__notes__", ()))
    say(f"dovetail: {'; '.join(said)}", before=_details(problem) if verbose else "")
    return code_of(problem)


def _details(problem: BaseException) -> str:
    """The traceback, safe to show: the text of an exception may be a server's. ``data`` of a JSON-RPC error is part of
    the details.
    """
    from ..logs import traceback_text
    from ..protocol.safe_text import one_line

    data: object = getattr(problem, "data", None) or getattr(problem.__cause__, "data", None)
    return traceback_text(problem) + ("" if data is None else one_line(f"data: {data!r}") + "\n")
