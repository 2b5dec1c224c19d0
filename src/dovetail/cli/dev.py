"""``dovetail dev FILE[:app]``: serve a file while it is written.

Over HTTP on this machine alone, or on stdio under a host that starts its servers itself. See `dovetail.devserver` for
how a version replaces another; this is the command line. Needs no package of the command line's, and over HTTP those
of ``dovetail[server]``.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
from collections.abc import Sequence
from typing import Any, NoReturn

from ..loading import split_place
from .exits import INTERRUPTED, NO_SERVER, OK, UsageError, tell
from .run import address_of

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Serve until told to stop, and give the exit code. ``arguments``: the words after ``dev``."""
    words, rest = list(arguments), list[str]()
    if "--" in words:
        at = words.index("--")
        words, rest = words[:at], words[at + 1 :]
    try:
        options = DevParser().parse_args(words)
        how = _plan(options)
    except UsageError as problem:
        return tell(problem)
    except SystemExit:  # --help was printed
        return OK
    from ..last_resort import install

    install()
    try:
        from ..devserver.server import serve

        serve(options.file, rest, **how)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as problem:  # noqa: BLE001 - what can't be served is told in one line; -v shows where
        return tell(problem, verbose=options.verbose) and NO_SERVER
    return OK


class DevParser(argparse.ArgumentParser):
    """The options; a mistake raises `UsageError` instead of ending the process."""

    def __init__(self) -> None:
        super().__init__(
            prog="dovetail dev",
            description="Serve the App in a Python file while it is written: each save replaces it, and clients keep "
            "their sessions. The replay check is on, and each round is printed.",
            epilog="Words after -- are the file's own (sys.argv). "
            "Exit codes: 0 stopped, 2 usage, 3 cannot start, 130 interrupted.",
            allow_abbrev=False,
        )
        add = self.add_argument
        add(
            "file",
            metavar="FILE[:app]",
            help="the file; without a name: app, server, mcp, or the only App in it",
        )
        add("--http", metavar="[HOST:]PORT", help="serve over HTTP at this address (default: 127.0.0.1:8000)")
        add("--stdio", action="store_true", help="serve on standard input and output")
        add("--path", metavar="PATH", help="where the HTTP endpoint is (default: /mcp)")
        add(
            "--without-auth",
            action="store_true",
            help="serve an app that asks who is calling to anybody on this machine",
        )
        add("-v", "--verbose", action="store_true", help="show tracebacks")

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see dovetail dev --help)")


def _plan(options: argparse.Namespace) -> dict[str, Any]:
    """How to serve. Raises `UsageError`."""
    path = split_place(options.file)[0]
    if not path.is_file():
        raise UsageError(
            f"{str(path)!r} {'is a folder' if path.is_dir() else 'does not exist'}; name a Python file"
        )
    if os.name != "posix":
        raise UsageError("dovetail dev needs a POSIX system; use dovetail run")
    if options.stdio:
        if options.http or options.path:
            raise UsageError(f"--stdio and {'--http' if options.http else '--path'} exclude each other")
        return {"transport": "stdio"}  # where nothing is asked of callers, by dovetail run neither
    how: dict[str, Any] = {
        "transport": "http",
        "path": options.path or "/mcp",
        "guarded": not options.without_auth,
        **address_of(options.http),
    }
    host = how.get("host", "127.0.0.1")
    try:
        near = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        near = False
    if not near:
        raise UsageError(
            f"dovetail dev serves this machine alone, not {host}; use dovetail run --allow-remote"
        )
    return how
