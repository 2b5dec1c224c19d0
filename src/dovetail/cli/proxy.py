"""``dovetail proxy TARGET``: serve what another server offers, on stdio unless told otherwise.

So a server that only speaks stdio can be reached over HTTP, one that is somewhere else can be started by a host, and
one of an old revision speaks the new ones, and the other way round. Specification: none.
"""

import argparse
import os
from collections.abc import Sequence
from typing import Any

from .exits import UsageError
from .file_command import lend_store_at
from .run import RunCommand, run_app
from .sources import header_of, variable_of
from .targets import CommandTarget, place_of

__all__ = ["ProxyCommand", "main"]

_TOKEN = "DOVETAIL_TOKEN"  # noqa: S105 - the name of the variable that holds it


def main(arguments: Sequence[str]) -> int:
    """Serve until told to stop, and give the exit code. ``arguments``: the words after ``proxy``."""
    return ProxyCommand().main(arguments)


class ProxyCommand(RunCommand):
    """See `RunCommand`."""

    words = "Words after -- are a command that starts the server, in place of TARGET. DOVETAIL_TOKEN is sent to a URL."

    def __init__(self) -> None:
        super().__init__("proxy", "Serve what another server offers.")

    def add_place(self) -> None:
        """See `FileCommand`."""
        add = self.add_argument
        add(
            "file",
            metavar="TARGET",
            nargs="?",
            help="a URL, a command as one word, or a .py file with an App",
        )
        add("-r", "--revision", default="auto", help="speak this revision with it (default: what it speaks)")
        add(
            "-H",
            "--header",
            action="append",
            default=[],
            help='sent to its URL: "Name: value" or "Name: env:NAME"',
        )
        add(
            "-e",
            "--env",
            action="append",
            default=[],
            metavar="KEY[=VALUE]",
            help="for a server that is started",
        )
        add("--name", default="proxy", help="what the server calls itself (default: proxy)")
        add(
            "--share",
            choices=("caller", "all"),
            default="caller",
            help="whether callers share a stateful connection",
        )

        add("--tasks", action="store_true", help="let what it runs as tasks be tasks here, too")

    def act(
        self, options: argparse.Namespace, checked: tuple[str, dict[str, Any]], words: Sequence[str]
    ) -> None:
        """See `FileCommand`."""
        if bool(options.file) is bool(words):
            raise UsageError("say what to serve: a TARGET, or a command after --, and not both")
        place = place_of(options.file or "", words)
        place.refuse(
            http_only=["--header"] if options.header else (), process_only=["--env"] if options.env else ()
        )
        transport, how = checked
        if "store" in how:
            how["store"] = lend_store_at(how["store"])
        from ..proxy import proxy_app

        app = proxy_app(
            place.target,
            name=options.name,
            tasks=options.tasks,
            share=options.share,
            **_client(place, options),
        )
        run_app(app, transport, how)


def _client(place: CommandTarget, options: argparse.Namespace) -> dict[str, Any]:
    """The options of the client of the server."""
    found: dict[str, Any] = {"revision": options.revision}
    headers = dict(map(header_of, options.header))
    if headers:
        found["headers"] = headers
    if options.env:
        found["env"] = dict(map(variable_of, options.env))
    token = os.environ.get(_TOKEN, "").strip()
    if token and place.kind == "http" and not any(name.lower() == "authorization" for name in headers):
        from ..auth.login import Bearer

        found["auth"] = Bearer(token)
    return found
