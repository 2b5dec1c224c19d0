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
from typing import Any

from ..loading import split_place
from .exits import UsageError
from .file_command import FileCommand, record_at
from .run import address_of

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Serve until told to stop, and give the exit code. ``arguments``: the words after ``dev``."""
    return DevCommand().main(arguments)


class DevCommand(FileCommand):
    """See `FileCommand`."""

    def __init__(self) -> None:
        super().__init__(
            "dev",
            "Serve the App in a Python file while it is written: each save replaces it, and clients keep "
            "their sessions. The replay check is on, and each round is printed.",
        )
        add = self.add_argument
        add("--http", metavar="[HOST:]PORT", help="serve over HTTP at this address (default: 127.0.0.1:8000)")
        add("--stdio", action="store_true", help="serve on standard input and output")
        add("--path", metavar="PATH", help="where the HTTP endpoint is (default: /mcp)")
        add(
            "--without-auth",
            action="store_true",
            help="serve an app that asks who is calling to anybody on this machine",
        )
        self.add_record()
        self.add_verbose()

    def check(self, options: argparse.Namespace) -> dict[str, Any]:
        """How to serve. Raises `UsageError`."""
        return _plan(options)

    def act(self, options: argparse.Namespace, checked: dict[str, Any], words: Sequence[str]) -> None:
        """See `FileCommand`."""
        from ..devserver.server import serve

        record_at(options.record)
        serve(options.file, list(words), **checked)


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
