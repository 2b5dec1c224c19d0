"""What a client can be told, and the capabilities that follow from it.

A capability is declared exactly when something is there to serve it.
Specification: basic/lifecycle "Capability Negotiation", basic/versioning "Capabilities".
"""

import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from functools import partial
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, Final, Literal, TypedDict, cast

from msgspec import Struct

import dovetail

from .. import capture
from ..protocol.errors import LocalProtocolError
from ..protocol.revisions import REVISIONS, STATEFUL, STATELESS
from ..protocol.types import (
    LOG_LEVELS,
    ClientCapabilities,
    ElicitationCapability,
    Implementation,
    LogLevel,
    RootsCapability,
    SamplingCapability,
)
from ..runtime.extension import NO_EXTENSIONS, Extension, Extensions
from ..runtime.observer import NO_OBSERVER, Observer, ObserverGroup, observer_of
from ..security.client_auth import AuthSetting, ClientAuth
from ..stores.contracts import Store
from .answers import (
    ApproveHandler,
    ChangeHandler,
    ElicitationHandler,
    LogHandler,
    NotificationHandler,
    ProgressHandler,
    RootsSource,
    RoundsMode,
    SamplingHandler,
    StderrHandler,
    WarningHandler,
)
from .calling import takes_call
from .states import StateHandler
from .store_option import ClientStore

AUTO: Final = "auto"
HeadersSource = Mapping[str, str] | Callable[[], Any]


class ClientOptions(TypedDict, total=False):
    """Keyword options of `Client`. All are optional.

    * ``info``: how the client describes itself, an `Implementation`; default: "dovetail" and its version.
    * ``revision``: "auto" finds out what the server speaks; a revision such as "2025-06-18" is used without asking, or
      not at all; of several, such as ("2025-06-18", "2025-11-25"), the newest that the server speaks too.
    * ``elicitation``: asked to fill in forms. ``approve``: asked before an address may be visited; without it, such
      requests are refused. ``sampling``: asked to run the model; with ``sampling_tools`` it may be offered tools.
      ``roots``: the folders to show, as paths, URIs or `Root`, or a function giving them. Plain functions among these
      run in a thread, so they may block.
    * ``logging``, ``progress``, ``on_change``, ``on_notification``, ``on_state``, ``on_warning``: told of log messages,
      of progress (unless the call has its own), of changes, of notifications that no revision knows, of what becomes
      of the connection (a `StateChange`), of what a server got wrong and the client put up with (a `ServerWarning`).
      Plain functions are called at once and must not block.
    * A handler that takes a second argument is told which call it is asked or told something for: a `CallInfo`, or
      None (not those whose names begin with ``on_``; ``roots`` is told by its first argument). Handlers see the context
      variables of that call, else those that were set when the client was opened.
    * ``timeout``: seconds without an answer or progress until a request ends (60; None: no limit). ``max_timeout``:
      seconds after which it ends in any case (600). ``probe_timeout``: seconds to wait for a first sign of the era
      (5). ``visit_timeout``: seconds that a call waits for the end of a visit to an address (300), unless the server or
      the host tells it sooner; see `Client.visit_done`. ``question_rate``: questions per second that a server may ask
      in the long run, on one connection (100; None: no limit); 256 may come at once.
    * ``log_level``: least severe log messages wanted. ``rounds``: "auto" answers input-required results by the
      handlers; "manual" gives them to the caller. ``restart``: start a server anew that has exited (processes only).
    * ``cache``: keep results as long as the server allows. ``extensions``: `Extension` values, or identifiers with
      settings to declare; ``experimental``: declared as it is. What ``auth`` needs is declared by itself.
    * ``headers``: sent with every HTTP request, or a function giving them. ``auth``: what gets the credentials for a
      server over HTTP: "oauth", something from `dovetail.auth.login`, or any `ClientAuth`, which then stays the
      caller's to close. The time a person takes to log in is no part of ``timeout`` or ``max_timeout``.
    * ``store``: a `Store`, or a `ClientStore`, in which eras, tokens, results and sessions outlive the client; it stays
      the caller's to close. Default None: nothing outlives the process, but the tokens of a setting that says so.
    * ``env``, ``cwd``: of a server that is started. ``on_stderr``: told of each line that such a server writes to
      standard error, as text without control characters (at most 8 KiB; longer lines come in pieces); a plain function
      that must not block. By default the lines go to `sys.stderr`; with None nobody is told, and only a
      `ServerExited` says what came last.
    * ``record``: the path of a file, made anew, that gets a line for each message, without its secrets; or a
      `dovetail.recording.CaptureWriter`, which stays the caller's to close.
    * ``telemetry``: who watches what goes on, from `dovetail.telemetry`; by default what was switched on for the whole
      program, and () for nobody.
    """

    info: Implementation
    revision: str | Collection[str]
    elicitation: ElicitationHandler | None
    sampling: SamplingHandler | None
    sampling_tools: bool
    roots: RootsSource | None
    approve: ApproveHandler | None
    logging: LogHandler | None
    progress: ProgressHandler | None
    on_change: ChangeHandler | None
    on_notification: NotificationHandler | None
    on_state: StateHandler | None
    on_warning: WarningHandler | None
    timeout: float | None
    max_timeout: float | None
    probe_timeout: float
    visit_timeout: float
    question_rate: float | None
    log_level: LogLevel | None
    rounds: RoundsMode
    restart: bool
    cache: bool
    extensions: Iterable[Extension] | Mapping[str, Mapping[str, Any]]
    experimental: Mapping[str, Mapping[str, Any]]
    headers: HeadersSource | None
    auth: Literal["oauth"] | AuthSetting | ClientAuth | None
    store: Store | ClientStore | None
    env: Mapping[str, str] | None
    cwd: str | Path | None
    on_stderr: StderrHandler | None
    record: "str | os.PathLike[str] | capture.CaptureWriter | None"
    telemetry: Observer | Iterable[Observer] | None


def to_stderr(line: str) -> None:
    """Write a line to this program's own standard error, if it has one."""
    stream = sys.stderr
    if stream is not None:  # programs without a console have none
        with suppress(OSError, ValueError):
            stream.write(f"{line}\n")
            stream.flush()


class Options(Struct, frozen=True, kw_only=True):
    """The options with their defaults. ``additions``: what came of the extensions; ``observer``: of ``telemetry``."""

    info: Any = None
    revision: Any = AUTO
    elicitation: Any = None
    sampling: Any = None
    sampling_tools: bool = False
    roots: Any = None
    approve: Any = None
    logging: Any = None
    progress: Any = None
    on_change: Any = None
    on_notification: Any = None
    on_state: Any = None
    on_warning: Any = None
    timeout: float | None = 60.0
    max_timeout: float | None = 600.0
    probe_timeout: float = 5.0
    visit_timeout: float = 300.0
    question_rate: float | None = 100.0
    log_level: LogLevel | None = None
    rounds: RoundsMode = "auto"
    restart: bool = False
    cache: bool = True
    extensions: Any = None
    experimental: Any = None
    headers: Any = None
    auth: Any = None
    store: ClientStore | None = None
    env: Any = None
    cwd: Any = None
    on_stderr: Any = to_stderr
    record: Any = None
    telemetry: Any = None
    additions: Extensions = NO_EXTENSIONS
    observer: ObserverGroup = NO_OBSERVER

    @property
    def automatic(self) -> bool:
        """Whether the client finds out what the server speaks."""
        wanted = self.revision
        return wanted == AUTO

    @property
    def offered(self) -> tuple[str, ...]:
        """The revisions that may be spoken, oldest first."""
        if self.automatic:
            return REVISIONS
        wanted: Any = (self.revision,) if isinstance(self.revision, str) else self.revision
        return tuple(revision for revision in REVISIONS if revision in wanted)

    @property
    def stateful(self) -> tuple[str, ...]:
        """Those of the stateful era, oldest first."""
        return tuple(revision for revision in STATEFUL if revision in self.offered)

    @property
    def stateless(self) -> tuple[str, ...]:
        """Those of the stateless era, oldest first."""
        return tuple(revision for revision in STATELESS if revision in self.offered)

    @property
    def approve_login(self) -> Any:
        """The ``approve`` handler for logins, which belong to no call: with the visit as its only argument."""
        approve = self.approve
        if approve is None or not takes_call(approve):
            return approve
        return partial(_without_call, approve)


def _without_call(approve: Any, visit: Any) -> Any:
    return approve(visit, None)


def settle(given: ClientOptions) -> Options:
    """The options with defaults. Raises `LocalProtocolError` for one that can't be."""
    check_names("a client", given, ClientOptions.__annotations__)
    extensions = given.get("extensions")
    own: dict[str, Any] = {"additions": Extensions(extensions)} if extensions else {}
    if (store := given.get("store")) is not None:
        from .client_records import client_store  # whoever keeps nothing imports nothing

        own["store"] = client_store(store)
    if (record := given.get("record")) is not None:
        from .recorded import recorder_of  # whoever records nothing imports nothing

        own["record"] = recorder_of(record)
    try:
        own["observer"] = observer_of(given.get("telemetry"))
    except TypeError as problem:
        raise LocalProtocolError(str(problem)) from None
    whole: dict[str, Any] = {**given, **own}
    options = Options(**whole)
    _check_revisions(options.revision)
    if options.log_level is not None and options.log_level not in LOG_LEVELS:
        raise LocalProtocolError(f"log_level is one of {', '.join(LOG_LEVELS)}, not {options.log_level!r}")
    if options.rounds not in ("auto", "manual"):
        raise LocalProtocolError(f'rounds is "auto" or "manual", not {options.rounds!r}')
    if isinstance(options.roots, (str, bytes)):
        raise LocalProtocolError(f"roots is a list of folders: write roots=[{options.roots!r}]")
    for name in ("timeout", "max_timeout"):
        check_seconds(name, getattr(options, name))
    for name in ("probe_timeout", "visit_timeout"):
        check_seconds(name, getattr(options, name), unlimited=False)
    rate: Any = options.question_rate
    if rate is not None and (not isinstance(rate, (int, float)) or isinstance(rate, bool) or not rate > 0):
        raise LocalProtocolError(
            f"question_rate is a number of questions per second above zero, or None for no limit, not {rate!r}"
        )
    if options.on_stderr is not None and (
        not callable(options.on_stderr) or iscoroutinefunction(options.on_stderr)
    ):
        raise LocalProtocolError(
            f"on_stderr is a plain function that takes a line, or None, not {options.on_stderr!r}; it is called for "
            "each line at once"
        )
    return options


def check_names(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise `LocalProtocolError`, which names the nearest, for an option that ``what`` does not have."""
    for name in given:
        if name not in known:
            from difflib import get_close_matches  # only ever needed for what is wrong

            from .other_names import MEANT_OF_CLIENT_OPTIONS

            near = get_close_matches(name, known := list(known), n=1)
            hint = MEANT_OF_CLIENT_OPTIONS.get(name) or (
                f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
            )
            raise LocalProtocolError(f"{what} has no option {name!r}; {hint}")


def _check_revisions(wanted: Any) -> None:
    if wanted == AUTO:
        return
    offered: Any = (wanted,) if isinstance(wanted, str) else wanted
    if not isinstance(offered, Collection) or not offered:
        raise LocalProtocolError(f"revision is {AUTO!r}, a revision, or a sequence of them, not {wanted!r}")
    for each in cast("Collection[Any]", offered):
        if each not in REVISIONS:
            raise LocalProtocolError(
                f"there is no revision {each!r}; use {AUTO!r}, or of these: {', '.join(REVISIONS)}"
            )


def check_seconds(name: str, seconds: Any, *, unlimited: bool = True) -> None:
    """Raise `LocalProtocolError` unless this is a time to wait; ``unlimited``: None is one."""
    if seconds is None and unlimited:
        return
    if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and seconds > 0:
        return
    none = f", or {name}=None for no limit" if unlimited else ""
    raise LocalProtocolError(f"{name} is a number of seconds above zero{none}, not {seconds!r}")


def own_info() -> Implementation:
    """What a client calls itself unless told otherwise."""
    return Implementation(name="dovetail", version=dovetail.__version__)


def capabilities_of(options: Options) -> ClientCapabilities:
    """What the client can do, by the handlers that it was given."""
    forms, visits = options.elicitation is not None, options.approve is not None
    capabilities = ClientCapabilities(
        experimental=_settings(options.experimental),
        roots=RootsCapability(list_changed=True) if options.roots is not None else None,
        sampling=(
            SamplingCapability(tools={} if options.sampling_tools else None)
            if options.sampling is not None
            else None
        ),
        elicitation=(
            ElicitationCapability(form={} if forms else None, url={} if visits else None)
            if forms or visits
            else None
        ),
        extensions=_settings(
            {**(getattr(options.auth, "extensions", None) or {}), **options.additions.declared}
        ),
    )
    return options.additions.announced(capabilities)


def _settings(given: Mapping[str, Mapping[str, Any]] | None) -> dict[str, dict[str, Any]] | None:
    return {name: dict(settings) for name, settings in given.items()} if given else None
