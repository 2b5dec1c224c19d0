"""``dovetail run FILE[:app]``: serve the app in a file, or a recording (``.jsonl``), on stdio unless told otherwise.

Only the standard library is imported before the author's file, and then the transport. Also ``python -m
dovetail.cli.run FILE``, which is how a client runs a file with an app in it.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any, Final

from ..loading import CannotLoad, load_app
from .exits import UsageError
from .file_command import FileCommand, be_program, lend_store_at, record_at

__all__ = ["RunCommand", "address_of", "main", "run_app"]

TRANSPORTS: Final = ("stdio", "http", "unix")
_HTTP: Final = {
    "path": "--path",
    "workers": "--workers",
    "store": "--store",
    "allowed_hosts": "--allow-host",
    "allowed_origins": "--allow-origin",
    "allow_remote": "--allow-remote",
    "forwarded_allow_ips": "--forwarded-allow-ips",
    "http_sse": "--http-sse",
    "sessions": "--no-sessions",
    "health": "--health",
    "metrics": "--metrics",
}
"""The options that only HTTP takes, and how they are spelled."""


def main(arguments: Sequence[str]) -> int:
    """Serve until told to stop, and give the exit code. ``arguments``: the words after ``run``."""
    return RunCommand().main(arguments)


class RunCommand(FileCommand):
    """See `FileCommand`."""

    def __init__(
        self,
        name: str = "run",
        description: str = "Serve the App in a Python file, or what a recording (.jsonl) has.",
    ) -> None:
        super().__init__(name, description)
        add = self.add_argument
        add("--transport", choices=TRANSPORTS, help="default: stdio")
        add("--http", metavar="[HOST:]PORT", help="serve over HTTP at this address (port 0: any free one)")
        add("--uds", metavar="PATH", help="a unix socket: for HTTP, or for lines with --transport unix")
        self._add_http()
        self.add_record()
        self.add_logging(json=", one for each call as well")
        self.add_verbose()

    def _add_http(self) -> None:
        add = self.add_argument
        add("--path", metavar="PATH", help="where the HTTP endpoint is (default: /mcp)")
        add(
            "--workers",
            type=int,
            metavar="N",
            help="HTTP server processes (default: 1); with several, SIGHUP loads the file anew and replaces them",
        )
        add(
            "--store",
            metavar="URL",
            help="keep what outlives a request there, which workers share: postgresql://user@host/database, "
            "redis://host, rediss://host, unix://path, or the path of a SQLite file. Passwords: PGPASSWORD, ~/.pgpass, "
            "REDISCLI_AUTH (default: DOVETAIL_STORE in the environment)",
        )
        add(
            "--allow-host",
            dest="allowed_hosts",
            action="append",
            metavar="NAME",
            help="a name it is reached by",
        )
        add(
            "--allow-origin",
            dest="allowed_origins",
            action="append",
            metavar="URL",
            help="a site whose pages may call",
        )
        once = "store_const"  # so that what was not given is None
        add("--allow-remote", action=once, const=True, help="allow an address that other machines can reach")
        add(
            "--forwarded-allow-ips",
            action="append",
            metavar="ADDRESS",
            help="a proxy, or a network of them, whose X-Forwarded-For is believed",
        )
        add("--http-sse", action=once, const=True, help="also serve the deprecated transport of 2024-11-05")
        add("--health", metavar="PATH", help="say at this path whether the server is ready, such as /health")
        add("--metrics", metavar="PATH", help="show metrics for Prometheus at this path, such as /metrics")
        add(
            "--no-sessions",
            dest="sessions",
            action=once,
            const=False,
            help="serve the stateful era without sessions",
        )

    def check(self, options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
        """The transport and its options. Raises `UsageError` for options that do not go together."""
        return _plan(options)

    def act(
        self, options: argparse.Namespace, checked: tuple[str, dict[str, Any]], words: Sequence[str]
    ) -> None:
        """See `FileCommand`."""
        be_program(options.file, words)
        transport, how = checked
        if "store" in how:
            how["store"] = lend_store_at(how["store"])
        app = _load(options.file, transport)
        record_at(options.record)
        run_app(app, transport, how)

    def log_json(self, level: str) -> None:
        """See `FileCommand`. Each call has a line of its own."""
        from ..telemetry import CallLog, instrument

        super().log_json(level)
        instrument(CallLog)


def _plan(options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """The transport and its options. Raises `UsageError` for options that do not go together."""
    transport: str = options.transport or ("http" if options.http or options.uds else "stdio")
    if options.http and (options.uds or transport != "http"):
        raise UsageError(
            f"--http and {'--uds' if options.uds else f'--transport {transport}'} exclude each other"
        )
    if options.uds and transport == "stdio":
        raise UsageError("--uds and --transport stdio exclude each other")
    if options.record and (options.workers or 1) > 1:
        raise UsageError("--record takes one worker: several processes can't write one file")
    if transport == "unix" and not options.uds:
        raise UsageError("--transport unix needs --uds PATH")
    how: dict[str, Any] = {name: value for name in _HTTP if (value := getattr(options, name)) is not None}
    if how and transport != "http":
        raise UsageError(f"{_HTTP[next(iter(how))]} is for HTTP; add --http PORT")
    if transport == "http":
        how.update({"uds": options.uds} if options.uds else address_of(options.http))
    elif transport == "unix":
        how["path"] = options.uds
    return transport, how


def address_of(text: str | None) -> dict[str, Any]:
    """Host and port of ``[HOST:]PORT``, as far as they are given. Raises `UsageError`."""
    if text is None:
        return {}
    host, colon, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535 or (colon and ":" in host.strip("[]") and host[:1] != "["):
        raise UsageError(f"--http {text!r} is no address; write PORT, HOST:PORT or [IPV6]:PORT")
    host = host.strip("[]")
    return {"port": int(port), **({"host": host} if host else {})}


def _load(place: str, transport: str) -> Any:
    """The app. On stdio what the file prints while it is imported goes to standard error: the output is the
    wire.
    """
    if place.endswith(".jsonl"):
        return _recorded(place)
    if transport != "stdio":
        return load_app(place)
    with redirect_stdout(sys.stderr):
        return load_app(place)


def _recorded(path: str) -> Any:
    """An app that answers as a recording did. Raises `CannotLoad`."""
    from ..recording import Capture, replay_app

    try:
        return replay_app(Capture.read(path))
    except OSError as problem:
        raise CannotLoad(f"{path!r} can't be read: {problem.strerror or problem}") from None
    except ValueError as problem:  # a `CaptureInvalid`, or a recording without answers
        raise CannotLoad(str(problem)) from None


def run_app(app: Any, transport: str, how: dict[str, Any]) -> None:
    """Serve. Raises `UsageError` where workers would share nothing, and what `App.run` raises."""
    if how.get("workers", 1) < 2:
        app.run(transport, **how)
        return
    from ..server.keys_and_store import NotShared

    try:
        app.run(transport, **how)
    except NotShared as problem:
        raise UsageError(f"--workers need --store URL, or --no-sessions: {problem}") from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
