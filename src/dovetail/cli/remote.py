"""``dovetail remote URL``: a server that is somewhere else, as one on stdio, for hosts that start servers.

Where it asks for a login, the login is the one of ``dovetail auth``, and made in a browser if there is none yet; the
address is shown on standard error, too. What the host asks meanwhile waits for that, or is told that the server is
away. Specification: basic/authorization.
"""

import argparse
import asyncio
import os
from collections.abc import Sequence
from typing import Any, Final

from .exits import UsageError
from .file_command import FileCommand, record_at
from .run import run_app
from .sources import header_of
from .targets import CommandTarget, place_of

__all__ = ["RemoteCommand", "main"]

_TOKEN: Final = "DOVETAIL_TOKEN"  # noqa: S105 - the name of the variable that holds it


def main(arguments: Sequence[str]) -> int:
    """Serve until told to stop, and give the exit code. ``arguments``: the words after ``remote``."""
    return RemoteCommand().main(arguments)


class RemoteCommand(FileCommand):
    """See `FileCommand`."""

    words = f"{_TOKEN} is sent as its token, in place of a login."

    def __init__(self) -> None:
        super().__init__("remote", "Serve what a server at a URL offers, on standard input and output.")
        self.add_record()
        self.add_logging(json="")
        self.add_verbose()

    def add_place(self) -> None:
        """See `FileCommand`."""
        add = self.add_argument
        add("file", metavar="URL", help="where the server is, or its name in `dovetail servers`")
        add("-r", "--revision", default="auto", help="speak this revision with it (default: what it speaks)")
        add(
            "-H",
            "--header",
            action="append",
            default=[],
            help='sent to it: "Name: value" or "Name: env:NAME"',
        )
        add("--name", default="remote", help="what the server calls itself (default: remote)")
        add("--tasks", action="store_true", help="let what it runs as tasks be tasks here, too")
        add("--no-login", action="store_true", help="log nobody in; use what -H and the environment give")

    def check(self, options: argparse.Namespace) -> CommandTarget:
        """See `FileCommand`. Raises `UsageError` for what is no URL."""
        place = place_of(options.file)
        if place.kind != "http":
            raise UsageError(
                f"{options.file!r} is no URL; a server that is started needs `dovetail proxy`, or nothing"
            )
        return place

    def act(self, options: argparse.Namespace, checked: CommandTarget, words: Sequence[str]) -> None:
        """See `FileCommand`."""
        if words:
            raise UsageError("remote takes no command; it is given a URL")
        client: dict[str, Any] = {**checked.options, "revision": options.revision}
        given = dict(map(header_of, options.header))
        headers = {**checked.headers, **given}
        if headers:
            client["headers"] = headers
        if not any(name.lower() == "authorization" for name in headers):
            auth = _auth(checked.url, login=not options.no_login)
            if auth is not None:
                client["auth"] = auth
        record_at(options.record)
        from ..proxy import proxy_app

        app = proxy_app(checked.target, name=options.name, tasks=options.tasks, share="caller", **client)
        run_app(app, "stdio", {})


def _auth(url: str, *, login: bool) -> Any:
    """What shows who we are: a token of the environment, or a login. Raises `UsageError`."""
    token = os.environ.get(_TOKEN, "").strip()
    if token:
        from ..auth.login import Bearer

        return Bearer(token)
    if not login:
        return None
    from .authorizing import stored_login

    return asyncio.run(stored_login(url, piped=True))
