"""The options that all client commands share, and the client that follows from them.

A target is a URL, a .py file, or a command: quoted as one word, or after ``--``.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

try:
    from cyclopts import Parameter
except ImportError as missing:
    raise ImportError(
        "this command needs the command line's own packages: pip install 'dovetail[cli]'"
    ) from missing

from ..client import Client, ClientOptions
from ..client.options import AUTO
from ..protocol.errors import LocalProtocolError
from ..protocol.types import LogLevel
from .answering import Answers
from .coercion import texts
from .exits import Usage
from .screen import ProgressBar, Screen

__all__ = ["Common", "Session"]

_PATIENCE = 5.0
_LIMIT = 600.0


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """Options of every command that talks to a server."""

    json: Annotated[
        bool, Parameter(negative="", help="Print the protocol's result as JSON, and nothing else.")
    ] = False
    revision: Annotated[
        str,
        Parameter(
            ("--revision", "-r"), help="Speak this revision; by default, find out what the server speaks."
        ),
    ] = AUTO
    header: Annotated[
        list[str],
        Parameter(("--header", "-H"), negative="", help='An HTTP header, as "Name: value"; may be repeated.'),
    ] = field(default_factory=list[str])
    auth: Annotated[
        bool,
        Parameter(negative="", help="Use the login kept for the server, or log in; see `dovetail auth`."),
    ] = False
    env: Annotated[
        list[str],
        Parameter(
            ("--env", "-e"), negative="", help="KEY=VALUE for a server that is started; may be repeated."
        ),
    ] = field(default_factory=list[str])
    timeout: Annotated[float, Parameter(help="Seconds to wait for an answer or for progress.")] = 60.0
    log: Annotated[
        LogLevel | None,
        Parameter(help="Show the server's log messages from this level on, on standard error."),
    ] = None
    answer: Annotated[
        list[str],
        Parameter(negative="", help="KEY=VALUE: answers that field when the server asks; may be repeated."),
    ] = field(default_factory=list[str])
    yes: Annotated[
        bool,
        Parameter(
            ("--yes", "-y"), negative="", help="Agree to what the server asks, with the values it suggests."
        ),
    ] = False
    verbose: Annotated[
        bool, Parameter(("--verbose", "-v"), negative="", help="Show tracebacks and details.")
    ] = False


class Session:
    """One command's screen, answers and client."""

    def __init__(self, target: str, words: Sequence[str] | None, common: Common) -> None:
        self.screen = Screen()
        self.common = common
        self.bar = ProgressBar(self.screen, target)
        self.answers = Answers(common.answer, yes=common.yes, pause=self.bar.hide)
        self._target: Any = list(words) if words else target
        self._options = self._settled()

    def _settled(self) -> ClientOptions:
        common = self.common
        if not common.timeout > 0:
            raise Usage("--timeout is a number of seconds above zero")
        options: ClientOptions = {
            "revision": common.revision,
            "timeout": common.timeout,
            "max_timeout": max(common.timeout, _LIMIT),
            "probe_timeout": min(common.timeout, _PATIENCE),
            "elicitation": self.answers.form,
            "approve": self.answers.visit,
            "logging": self.screen.logged,
        }
        if common.log is not None:
            options["log_level"] = common.log
        if common.header:
            options["headers"] = dict(map(_header, common.header))
        if common.env:
            options["env"] = texts(common.env)
        return options

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[Client]:
        """The open client. What was wrong with ``--answer`` is raised at the end, as `Usage`."""
        if self.common.auth:
            from .authorizing import stored_login

            self._options["auth"] = await stored_login(self._target)
        try:
            client = Client(self._target, **self._options)
        except LocalProtocolError as problem:
            raise Usage(str(problem)) from None
        try:
            async with client:
                if self.common.verbose:
                    info = client.server_info
                    name = f"{info.name} {info.version}" if info is not None else "a server without a name"
                    self.screen.note(f"connected to {name}, revision {client.revision}")
                yield client
        finally:
            self.bar.hide()
        if self.answers.problem is not None:
            raise self.answers.problem


def _header(word: str) -> tuple[str, str]:
    name, colon, value = word.partition(":")
    if not colon or not name.strip() or "\n" in word or "\r" in word:
        raise Usage("a header is written as 'Name: value'")
    return name.strip(), value.strip()
