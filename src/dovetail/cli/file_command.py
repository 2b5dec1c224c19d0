"""What ``dovetail run``, ``worker`` and ``dev`` have in common: each is given a file with an app, and lives with it.

Hosts start stdio servers again and again, so this path is short: the standard library, then the author's
file, which imports what it needs of Dovetail. Nothing else of the command line is loaded.
"""

import argparse
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NoReturn

from ..loading import CannotLoad, split_place
from .exits import INTERRUPTED, NO_SERVER, OK, UsageError, tell

__all__ = ["FileCommand", "be_program", "lend_store_at", "record_at"]


class FileCommand(argparse.ArgumentParser, ABC):
    """The options of a command, and what it does with them. ``name``: its word after ``dovetail``.

    A mistake in the options raises `UsageError` instead of ending the process.
    """

    words = "Words after -- are the file's own (sys.argv)."

    def __init__(self, name: str, description: str) -> None:
        super().__init__(
            prog=f"dovetail {name}",
            description=description,
            epilog=f"{self.words} Exit codes: 0 stopped, 2 usage, 3 cannot start, 130 interrupted.",
            allow_abbrev=False,
        )
        self.add_place()
        self.set_defaults(log_level=None, log_format=None)

    def add_place(self) -> None:
        """The argument that says what it lives with."""
        self.add_argument(
            "file",
            metavar="FILE[:app]",
            help="the file; without a name: app, server, mcp, or the only App in it",
        )

    def add_logging(self, json: str) -> None:
        """The options of commands that log; ``json``: what lines of JSON are there for."""
        add = self.add_argument
        add("--log-level", choices=("debug", "info", "warning", "error"), help="log to standard error")
        add("--log-format", choices=("text", "json"), help=f"json: lines of JSON{json} (from info on)")

    def add_record(self) -> None:
        """The option of commands that serve."""
        self.add_argument("--record", metavar="FILE", help="record there what clients and the server say")

    def add_verbose(self) -> None:
        """The last option of each."""
        self.add_argument("-v", "--verbose", action="store_true", help="show tracebacks")

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError`."""
        raise UsageError(f"{message} (see {self.prog} --help)")

    @abstractmethod
    def check(self, options: argparse.Namespace) -> Any:
        """What `act` needs of the options. Raises `UsageError` for what can't be, or does not go together."""

    @abstractmethod
    def act(self, options: argparse.Namespace, checked: Any, words: Sequence[str]) -> None:
        """Live with the app in the file, whose own ``words`` these are. Raises what the author's code raises, and
        `UsageError`.
        """

    def log_json(self, level: str) -> None:
        """Log lines of JSON, from a level on."""
        from ..logs import log_json

        log_json(level)

    def main(self, arguments: Sequence[str]) -> int:
        """Live until told to stop, and give the exit code. ``arguments``: the words after the command's own."""
        words, rest = _divide(list(arguments))
        try:
            options = self.parse_args(words)
            checked = self.check(options)
        except UsageError as problem:
            return tell(problem)
        except SystemExit:  # --help was printed
            return OK
        from ..last_resort import install

        as_json = options.log_format == "json"
        install(None if as_json else options.log_level)
        if as_json:
            self.log_json(options.log_level or "info")
        try:
            self.act(options, checked, rest)
        except KeyboardInterrupt:
            return INTERRUPTED
        except (CannotLoad, UsageError) as problem:
            return tell(problem, verbose=options.verbose)
        except SystemExit as ended:
            return ended.code if isinstance(ended.code, int) else NO_SERVER
        except Exception as problem:  # noqa: BLE001 - whatever the author's own code raises; -v shows where
            return tell(problem, verbose=options.verbose) and NO_SERVER
        return OK


def be_program(file: str, words: Sequence[str]) -> None:
    """Have the file find its own words where a program does."""
    sys.argv = [str(split_place(file)[0]), *words]


def lend_store_at(url: str) -> Any:
    """The store, which every app of the file that has none of its own has as well. Raises `UsageError`."""
    from ..server.keys_and_store import lend_store
    from ..stores.urls import open_store

    try:
        store = open_store(url)
    except ValueError as problem:
        raise UsageError(f"--store: {problem}") from None
    lend_store(store)
    return store


def record_at(path: str | None) -> None:
    """Record what the servers of this process say and hear. Raises `UsageError`."""
    if path is None:
        return
    from ..capture.writing import CaptureWriter
    from ..recording.tapping import record_servers

    try:
        record_servers(CaptureWriter(path, place="server"))
    except (OSError, ValueError) as problem:
        raise UsageError(f"--record {path!r}: {getattr(problem, 'strerror', None) or problem}") from None


def _divide(words: list[str]) -> tuple[list[str], list[str]]:
    """What is ours, and what comes after ``--``."""
    if "--" not in words:
        return words, []
    at = words.index("--")
    return words[:at], words[at + 1 :]
