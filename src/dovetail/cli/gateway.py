"""``dovetail gateway FILE``: serve all servers of a configuration as one, on stdio unless told otherwise.

FILE is in the form of one of the hosts, most of which write ``{"mcpServers": {...}}``. To name it is to agree to what
it starts, as to name a file to ``dovetail run`` is. Without FILE it is our own configuration, of which only what the
person approved is used. Specification: none.
"""

import argparse
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ..last_resort import say
from ..protocol.safe_text import one_line
from .exits import UsageError
from .file_command import lend_store_at
from .run import RunCommand, run_app

__all__ = ["GatewayCommand", "main"]

_OURS: Final = "dovetail"


def main(arguments: Sequence[str]) -> int:
    """Serve until told to stop, and give the exit code. ``arguments``: the words after ``gateway``."""
    return GatewayCommand().main(arguments)


class GatewayCommand(RunCommand):
    """See `RunCommand`."""

    words = "No words are taken after --."

    def __init__(self) -> None:
        super().__init__("gateway", "Serve the servers of a configuration as one.")

    def add_place(self) -> None:
        """See `FileCommand`."""
        add = self.add_argument
        add(
            "file",
            metavar="FILE",
            nargs="?",
            help='a configuration: {"mcpServers": {...}} (default: the servers of `dovetail servers`)',
        )
        add(
            "--format", default=_OURS, metavar="HOST", help="the host whose form FILE has (default: dovetail)"
        )
        add("--only", action="append", default=[], metavar="NAME", help="serve this server; may be repeated")
        add(
            "-r",
            "--revision",
            default="auto",
            help="speak this revision with them (default: what each speaks)",
        )
        add("--name", default="gateway", help="what the server calls itself (default: gateway)")
        add("--bare-names", action="store_true", help="call things what their servers call them")
        add("--tasks", action="store_true", help="let what they run as tasks be tasks here, too")
        add(
            "--share",
            choices=("caller", "all"),
            default="caller",
            help="whether callers share a stateful connection",
        )
        add(
            "--patience",
            type=float,
            default=10.0,
            metavar="SECONDS",
            help="how long a list waits for a server that is slow, or just starting (default: 10)",
        )
        add(
            "--park",
            type=float,
            default=300.0,
            metavar="SECONDS",
            help="how long a call waits for a caller that comes back with answers (default: 300)",
        )
        add(
            "--max-connections",
            type=int,
            default=64,
            metavar="N",
            help="connections to each server, processes for those that are started (default: 64)",
        )
        self._add_door()

    def _add_door(self) -> None:
        add = self.add_argument
        add("--policy", metavar="FILE", help="a TOML file with rules: what may be called (default: anything)")
        add("--audit", metavar="FILE", help="append a line of JSON there for each decision and each call")
        add("--audit-arguments", action="store_true", help="with what calls were made with")
        add("--audit-identities", action="store_true", help="with the names of callers, not digests of them")
        add("--rate-limit", type=float, metavar="N", help="calls a second of each caller (default: 50)")
        add("--burst", type=int, metavar="N", help="calls at once of each caller (default: 200)")
        add("--auth-issuer", metavar="URL", help="who issues the tokens that callers have to show (JWTs)")
        add(
            "--auth-resource",
            metavar="URL",
            help="the URL by which callers reach it: tokens have to be for it",
        )
        add(
            "--auth-scope",
            action="append",
            default=[],
            metavar="SCOPE",
            help="a scope that every call needs; may be repeated",
        )

    def act(
        self, options: argparse.Namespace, checked: tuple[str, dict[str, Any]], words: Sequence[str]
    ) -> None:
        """See `FileCommand`."""
        if words:
            raise UsageError("gateway takes no command; write the servers into a configuration")
        if not options.patience > 0:
            raise UsageError("--patience is a number of seconds above 0")
        if not 0 < options.park < math.inf:
            raise UsageError("--park is a number of seconds above 0")
        if options.max_connections < 1:
            raise UsageError("--max-connections is a number above 0")
        transport, how = checked
        settings = _app_options(options, transport)
        if "store" in how:
            how["store"] = lend_store_at(how["store"])
        from ..gateway import Gateway

        servers, limits = _servers(options)
        gateway = Gateway(
            servers,
            rate_limits=limits,
            name=options.name,
            bare_names=options.bare_names,
            policy=_policy(options.policy),
            audit=options.audit,
            audit_arguments=options.audit_arguments,
            audit_identities=options.audit_identities,
            tasks=options.tasks,
            share=options.share,
            patience=options.patience,
            park=options.park,
            max_connections=options.max_connections,
            **settings,
        )
        run_app(gateway.app, transport, how)


def _app_options(options: argparse.Namespace, transport: str) -> dict[str, Any]:
    """The options of the app. Raises `UsageError` for what does not go together."""
    found: dict[str, Any] = {
        name: value for name in ("rate_limit", "burst") if (value := getattr(options, name)) is not None
    }
    issuer, resource = options.auth_issuer, options.auth_resource
    if (issuer is None) is not (resource is None):
        raise UsageError("--auth-issuer and --auth-resource go together: who issues tokens, and for what")
    if options.auth_scope and issuer is None:
        raise UsageError("--auth-scope needs --auth-issuer and --auth-resource")
    if issuer is not None:
        if transport != "http":
            raise UsageError("--auth-issuer is for HTTP; add --http PORT")
        from ..auth import Protected, jwt

        try:
            found["auth"] = Protected(resource, jwt(issuer), scopes=options.auth_scope)
        except ValueError as problem:
            raise UsageError(str(problem)) from None
    return found


def _policy(path: str | None) -> Any:
    """The policy in a file. Raises `UsageError` where it can't be read: nothing is served without it."""
    if path is None:
        return None
    from ..host import HostPolicy, PolicyInvalid

    try:
        return HostPolicy.load(path)
    except OSError as problem:
        raise UsageError(f"--policy {path!r} can't be read: {problem.strerror or problem}") from None
    except PolicyInvalid as problem:
        raise UsageError(str(problem)) from None


def _other_forms(tried: str, path: Path | None) -> str:
    """What to do where a file has servers in the form of other hosts."""
    from ..host.configuration import HOSTS, ConfigurationFile
    from ..host.configuration.errors import ConfigurationError

    found: list[str] = []
    for name in HOSTS:
        with suppress(ConfigurationError, ImportError):
            if path is not None and name != tried and ConfigurationFile(name, path=path).servers:
                found.append(name)
    return f"; in the form of {' or '.join(found[:3])} it has: give --format {found[0]}" if found else ""


def _rate_limit(name: str, extra: Mapping[str, Any]) -> tuple[float, int] | None:
    """How often a caller may use a server, as its entry says it: ``rate_limit``, calls a second, and ``burst``, calls
    at once (default: those of four seconds). Raises `UsageError`.
    """
    rate, burst = extra.get("rate_limit"), extra.get("burst")
    if rate is None and burst is None:
        return None
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 < rate < math.inf:
        raise UsageError(f"'rate_limit' of the server {name!r} is a number of calls a second above 0")
    if burst is None:
        return rate, max(1, math.ceil(4 * rate))
    if isinstance(burst, bool) or not isinstance(burst, int) or burst < 1:
        raise UsageError(f"'burst' of the server {name!r} is a number of calls at once, 1 at least")
    return rate, burst


def _servers(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, tuple[float, int]]]:
    """Clients of the servers that are to be served, and their rate limits, by their names. Raises `UsageError`, and
    `NotApproved`.
    """
    from ..client import Client
    from ..host import server_name
    from ..host.configuration import (
        HOSTS,
        Approvals,
        ConfigurationFile,
        resolve,
    )
    from ..host.configuration.errors import ConfigurationError

    if options.format not in HOSTS:
        raise UsageError(f"--format {options.format!r}: the forms are those of {', '.join(HOSTS)}")
    path = None if options.file is None else Path(options.file)
    if path is None and options.format != _OURS:
        raise UsageError("--format says what form FILE has; name a FILE")
    if path is not None and not path.is_file():
        raise UsageError(f"there is no file {os.fspath(path)!r}")
    try:
        file = ConfigurationFile(options.format, path=path)
        entries, wrong = file.servers, file.unreadable
        wanted = options.only or [*(name for name, each in entries.items() if each.enabled), *wrong]
        if not wanted:
            raise UsageError(f"{os.fspath(file.path)!r} has no servers{_other_forms(options.format, path)}")
        found: dict[str, Any] = {}
        limits: dict[str, tuple[float, int]] = {}
        for name in wanted:
            if name in wrong:
                raise UsageError(f"the server {name!r} of {os.fspath(file.path)!r}: {wrong[name]}")
            if name not in entries:
                raise UsageError(
                    f"{os.fspath(file.path)!r} has no server {name!r}; it has: {', '.join(entries)}"
                )
            if path is None:
                Approvals().check(entries[name])
            target, client = resolve(entries[name])
            client["revision"] = options.revision
            called = server_name(name)
            if called != name:
                say(f"dovetail: the server {one_line(name)!r} is called {one_line(called)} here")
            found[called] = Client(target, **client)
            if (limit := _rate_limit(name, entries[name].extra)) is not None:
                limits[called] = limit
    except ConfigurationError as problem:
        raise UsageError(str(problem)) from None
    return found, limits
