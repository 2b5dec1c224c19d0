"""How a command ends: its exit code, and one line on standard error that says why.

====  =======================================================================
0     done
1     the tool said that it failed (``isError``)
2     the command line makes no sense
3     the server can't be reached, can't be started, or went away
4     the server answered with an error, or broke the protocol
5     no answer in time
6     a login is needed, or was not granted
130   interrupted (Ctrl-C)
====  =======================================================================

Only the standard library is imported at the top: ``dovetail run`` uses this too.
"""

import sys
import traceback
from typing import Final

__all__ = [
    "FAILED",
    "INTERRUPTED",
    "LOGIN",
    "NO_SERVER",
    "OK",
    "REFUSED",
    "TIMED_OUT",
    "USAGE",
    "Usage",
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
INTERRUPTED: Final = 130


class Usage(Exception):
    """The command line makes no sense; the text says what to write instead."""


def code_of(problem: BaseException) -> int:
    """The exit code for what ended a command."""
    from ..auth.login.problems import AuthorizationError
    from ..protocol.errors import (
        LocalProtocolError,
        LoginRequired,
        RemoteProtocolError,
        RequestTimeout,
        RPCError,
    )

    if isinstance(problem, Usage):
        return USAGE
    if isinstance(problem, (AuthorizationError, LoginRequired)):
        return LOGIN
    if isinstance(problem, RequestTimeout):
        return TIMED_OUT
    if isinstance(problem, (RPCError, RemoteProtocolError, LocalProtocolError)):
        return REFUSED
    if isinstance(problem, KeyboardInterrupt):
        return INTERRUPTED
    return NO_SERVER


def tell(problem: BaseException, *, verbose: bool = False) -> int:
    """Say on standard error what went wrong, in one line, or with the traceback if ``verbose``. Gives the
    exit code.
    """
    from .safe_text import one_line

    if verbose:
        traceback.print_exception(problem)
    text = one_line(str(problem)) or type(problem).__name__
    print(f"dovetail: {text}", file=sys.stderr)
    return code_of(problem)
