"""The options that all client commands share, and the client that follows from them.

A target is a URL, a .py file, or a command: quoted as one word, or after ``--`` (`dovetail.cli.targets`). Options that
a target has no use for are refused. Secrets come from the environment, since other users can see command lines:
``--header 'X: env:NAME'``, ``--env NAME``, and ``DOVETAIL_TOKEN``, a bearer token for the server at the URL. It goes to
that one origin and nowhere else, and not over plain http to another machine. What ends in a 401 says how to log in.
"""

import os
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, cast
from urllib.parse import urlsplit

try:
    from cyclopts import Parameter
except ImportError as missing:
    raise ImportError(
        "this command needs the command line's own packages: pip install 'dovetail[cli]'"
    ) from missing

from ..client import Client, ClientOptions
from ..client.options import AUTO
from ..protocol.errors import HTTPStatusError, LocalProtocolError, TransportError
from ..protocol.types import LogLevel
from .answering import TerminalHandlers
from .coercion import pairs
from .exits import UsageError
from .screen import ProgressBar, Screen
from .sources import Sources, header_of, variable_of
from .targets import place_of

__all__ = ["CommonOptions", "CommandSession"]

_PATIENCE = 5.0
_LIMIT = 600.0
_TOKEN = "DOVETAIL_TOKEN"  # noqa: S105 - the name of the variable that holds it
_STORE = "DOVETAIL_CLIENT_STORE"


@Parameter(name="*")
@dataclass(frozen=True)
class CommonOptions:
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
        Parameter(
            ("--header", "-H"),
            negative="",
            help='An HTTP header, as "Name: value", or "Name: env:VARIABLE" for a secret; may be repeated.',
        ),
    ] = field(default_factory=list[str])
    auth: Annotated[
        bool,
        Parameter(negative="", help="Use the login kept for the server, or log in; see `dovetail auth`."),
    ] = False
    store: Annotated[
        str,
        Parameter(
            help="Keep there, for the next command, what is known of the server: its era, its results, the session. "
            "The URL of a store or the path of a SQLite file (default: DOVETAIL_CLIENT_STORE in the environment)."
        ),
    ] = ""
    env: Annotated[
        list[str],
        Parameter(
            ("--env", "-e"),
            negative="",
            help="KEY=VALUE for a server that is started, or KEY to hand on ours; may be repeated.",
        ),
    ] = field(default_factory=list[str])
    record: Annotated[
        str, Parameter(help="Record what is said in this file, made anew, without what is secret.")
    ] = ""
    timeout: Annotated[float, Parameter(help="Seconds to wait for an answer or for progress.")] = 60.0
    log: Annotated[
        LogLevel | None,
        Parameter(help="Show the server's log messages from this level on, on standard error."),
    ] = None
    answer: Annotated[
        list[str],
        Parameter(
            negative="",
            help="KEY=VALUE (or KEY@=FILE): answers that field when the server asks; may be repeated.",
        ),
    ] = field(default_factory=list[str])
    yes: Annotated[
        bool,
        Parameter(
            ("--yes", "-y"), negative="", help="Agree to what the server asks, with the values it suggests."
        ),
    ] = False
    quiet: Annotated[
        bool, Parameter(("--quiet", "-q"), negative="", help="Show results and errors, and nothing else.")
    ] = False
    verbose: Annotated[
        bool, Parameter(("--verbose", "-v"), negative="", help="Show tracebacks and details.")
    ] = False


class CommandSession:
    """One command's screen, sources, answers and client. ``tasks``: the client knows what tasks are."""

    def __init__(
        self, target: str, words: Sequence[str] | None, common: CommonOptions, *, tasks: bool = False
    ) -> None:
        self.screen = Screen(quiet=common.quiet)
        self.common = common
        self.sources = Sources()
        self.bar = ProgressBar(self.screen, target)
        self.answers = TerminalHandlers(
            pairs(common.answer, self.sources), yes=common.yes, apart=self.bar.hidden
        )
        self._place = place_of(target, words)
        self._word = "" if words else target
        self._options = self._settled()
        if tasks:
            from ..extensions.tasks import tasks as what_knows_tasks  # no other command pays for it

            self._options["extensions"] = [what_knows_tasks()]

    def _settled(self) -> ClientOptions:
        common = self.common
        if not 0 < common.timeout < float("inf"):
            raise UsageError("--timeout is a number of seconds above zero")
        if common.quiet and common.verbose:
            raise UsageError("--quiet and --verbose exclude each other")
        given = dict(map(header_of, common.header))
        known = {name.lower() for name in given}
        configured = {name: each for name, each in self._place.headers.items() if name.lower() not in known}
        self._headers = {**configured, **given}
        self._place.refuse(
            http_only=[*(["--header"] if common.header else ()), *(["--auth"] if common.auth else ())],
            process_only=["--env"] if common.env else (),
        )
        options: ClientOptions = {
            "revision": common.revision,
            "timeout": common.timeout,
            "max_timeout": max(common.timeout, _LIMIT),
            "probe_timeout": min(common.timeout, _PATIENCE),
            "visit_timeout": common.timeout,
            "elicitation": self.answers.form,
            "approve": self.answers.visit,
            "logging": self.screen.logged,
            "on_stderr": self.screen.said,
        }
        options |= self._place.options
        if common.log is not None:
            options["log_level"] = common.log
        if self._headers:
            options["headers"] = self._headers
        if common.record:
            options["record"] = common.record
        if common.env:
            options["env"] = {**self._place.env, **dict(map(variable_of, common.env))}
        return options

    def saw(self, items: Iterable[Any]) -> None:
        """Keep the names of what the server listed, for completion. Where that can't be, the command goes on."""
        from .seen import keep_seen, names_seen, seen_target

        try:
            keep_seen(seen_target(self._word, self._place.kind), names_seen(items))
        except OSError as problem:
            if self.common.verbose:
                self.screen.note(f"names are not kept for completion: {problem}")

    async def _authorize(self) -> str:
        """Settle what shows who we are; gives its name for the error that says it did not do."""
        if self.common.auth:
            from .authorizing import stored_login

            self._options["auth"] = await stored_login(self._place.url)
            return "--auth"
        if any(name.lower() == "authorization" for name in self._headers):
            return "--header"
        token = os.environ.get(_TOKEN, "").strip()
        if not token or self._place.kind != "http":
            return ""
        from ..auth.login import Bearer

        try:
            self._options["auth"] = Bearer(token)
        except LocalProtocolError as problem:
            raise UsageError(f"{_TOKEN}: {problem}") from None
        return _TOKEN

    @property
    def shown(self) -> str:
        """The target, as it was written."""
        return self._place.shown

    async def settled(self) -> tuple[Any, ClientOptions]:
        """What a client is made of: its target, and its options with what shows who we are."""
        await self._authorize()
        return self._place.target, self._options

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[Client]:
        """The open client. What was wrong with ``--answer`` is raised at the end, as `UsageError`."""
        shown = await self._authorize()
        async with self._keeping():
            try:
                client = Client(self._place.target, **self._options)
            except LocalProtocolError as problem:
                raise UsageError(f"{_TOKEN}: {problem}" if shown == _TOKEN else str(problem)) from None
            async with self._opened(client, shown):
                yield client
        if self.answers.problem is not None:
            raise self.answers.problem

    async def reach(self) -> tuple[Any, ClientOptions]:
        """Where the server is, and the options that say how to reach it, for what is no client."""
        await self._authorize()
        known = cast("dict[str, Any]", self._options)
        names = ("headers", "auth", "env", "record", "on_stderr")
        given = cast("ClientOptions", {name: known[name] for name in names if name in known})
        return self._place.target, given

    @asynccontextmanager
    async def _keeping(self) -> AsyncGenerator[None]:
        """Have the client keep what it knows, where a store is named."""
        url, name = self.common.store, "--store"
        if not url:
            url, name = os.environ.get(_STORE, "").strip(), _STORE
        if not url:
            yield
            return
        from .keeping import client_store

        self._options["store"] = setting = client_store(url, name)
        try:
            yield
        finally:
            await setting.store.aclose()

    @asynccontextmanager
    async def _opened(self, client: Client, shown: str) -> AsyncGenerator[None]:
        try:
            async with client:
                if self.common.verbose:
                    self._introduce(client, shown)
                yield
        except TransportError as problem:
            self._advise(problem, shown)
            raise
        finally:
            self.bar.hide()

    def _introduce(self, client: Client, shown: str) -> None:
        info = client.server_info
        name = f"{info.name} {info.version}" if info is not None else "a server without a name"
        self.screen.note(
            f"connected to {name}, revision {client.revision}{f', with {shown}' if shown else ''}"
        )

    def _advise(self, problem: TransportError, shown: str) -> None:
        """Add what to do about an answer that is none."""
        place = self._place
        status = problem.status if isinstance(problem, HTTPStatusError) else 0
        if status == 401 and shown in ("", "--header"):
            done = "the Authorization header did not do; " if shown else ""
            problem.add_note(f"{done}log in with --auth, or put a token into the variable {_TOKEN}")
        elif status == 401:
            problem.add_note(f"what {shown} gave did not do")
        elif status in (404, 405) and not urlsplit(place.url).path.strip("/"):
            problem.add_note(f"most servers are at {place.url.rstrip('/')}/mcp")
        elif place.guessed:
            problem.add_note(
                f"{place.shown} was taken as {place.url}; write the URL with its scheme if that is not it"
            )
