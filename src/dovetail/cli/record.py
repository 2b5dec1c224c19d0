"""``dovetail record``: stand between a host and its server, and record what the two say.

``dovetail record -o talk.jsonl -- COMMAND ...`` is what a host starts in the place of COMMAND; ``dovetail record -o
talk.jsonl URL`` listens on this machine and passes on to URL. Neither needs a package of the command line's; the relay
needs those of ``dovetail[server,client]``.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from .exits import INTERRUPTED, OK, UsageError, tell
from .sources import from_environment

__all__ = ["RecordCommand", "main", "redaction_of"]

_DEFAULT = "talk.jsonl"


def main(arguments: Sequence[str]) -> int:
    """Record until the server ends, or until told to stop, and give the exit code. ``arguments``: the words after
    ``record``.
    """
    words, command = list(arguments), None
    if "--" in words:
        at = words.index("--")
        words, command = words[:at], words[at + 1 :]
    parser = RecordCommand()
    try:
        options = parser.parse_args(words)
        parser.check(options, command)
    except UsageError as problem:
        return tell(problem)
    except SystemExit:  # --help was printed
        return OK
    from ..last_resort import install

    install()
    try:
        return _recorded(options, command)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as problem:  # noqa: BLE001 - whatever keeps it from recording; -v shows where
        return tell(problem, verbose=options.verbose)


class RecordCommand(argparse.ArgumentParser):
    """The options of the command. A mistake in them raises `UsageError` instead of ending the process."""

    def __init__(self) -> None:
        super().__init__(
            prog="dovetail record",
            usage="dovetail record [options] -- COMMAND ...\n       dovetail record [options] URL",
            description="Stand between a host and its server, pass everything on, and record it.",
            epilog="With a COMMAND, the exit code is the command's; else 0 stopped, 2 usage, 3 cannot start, 130 "
            "interrupted.",
            allow_abbrev=False,
        )
        add = self.add_argument
        add("url", metavar="URL", nargs="?", help="the server to pass on to, where there is no COMMAND")
        add("-o", "--output", metavar="FILE", default=_DEFAULT, help=f"the recording (default: {_DEFAULT})")
        add("--http", metavar="[HOST:]PORT", help="where to listen for a URL (default: 127.0.0.1:8001)")
        add(
            "--header",
            action="append",
            metavar="'NAME: VALUE'",
            help="sent to the URL with each request; 'NAME: env:VARIABLE' for a secret",
        )
        add("--max-bytes", type=int, metavar="N", help="how long the recording may get (default: 256 MiB)")
        add_redaction(self)
        add("-v", "--verbose", action="store_true", help="show tracebacks")

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError`."""
        raise UsageError(f"{message} (see {self.prog} --help)")

    def check(self, options: argparse.Namespace, command: Sequence[str] | None) -> None:
        """Raise `UsageError` for what does not go together."""
        if bool(command) == bool(options.url):
            self.error("name a URL, or a COMMAND after --")
        if command and (options.http or options.header):
            self.error(f"{'--http' if options.http else '--header'} is for a URL")


def add_redaction(parser: argparse.ArgumentParser) -> None:
    """The options that say what is secret."""
    add = parser.add_argument
    add("--redact", action="append", metavar="NAME", help="what stands under this name is secret, too")
    add("--redact-pointer", action="append", metavar="POINTER", help="what stands there in a message")
    add("--redact-pattern", action="append", metavar="REGEX", help="what this finds in any text")
    add("--keep", action="append", metavar="NAME", help="what stands under this name is no secret")
    add("--no-redaction", action="store_true", help="leave secrets in the recording")


def redaction_of(options: argparse.Namespace) -> Any:
    """The rules that the options say. Raises `UsageError`."""
    from ..recording import Redaction

    try:
        return Redaction(
            names=tuple(options.redact or ()),
            pointers=tuple(options.redact_pointer or ()),
            patterns=tuple(options.redact_pattern or ()),
            keep=tuple(options.keep or ()),
            defaults=not options.no_redaction,
        )
    except ValueError as problem:
        raise UsageError(str(problem)) from None


def _recorded(options: argparse.Namespace, command: Sequence[str] | None) -> int:
    from ..capture.writing import MAX_BYTES, CaptureWriter

    try:
        writer = CaptureWriter(
            options.output,
            redaction=redaction_of(options),
            max_bytes=MAX_BYTES if options.max_bytes is None else options.max_bytes,
            place="pipe" if command else "relay",
        )
    except ValueError as problem:
        raise UsageError(str(problem)) from None
    except OSError as problem:
        raise UsageError(
            f"--output {options.output!r} can't be written: {problem.strerror or problem}"
        ) from None
    try:
        return _between(command, writer) if command else _relayed(options, writer)
    finally:
        writer.close()


def _between(command: Sequence[str], writer: Any) -> int:
    from ..recording.pipes import PipeRelay

    code = PipeRelay(command, writer).run()
    if code >= 0:
        return code
    writer.close()
    if os.name == "posix":  # ended by a signal: so does this one, for whoever started it to see
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return 128 - code


def _relayed(options: argparse.Namespace, writer: Any) -> int:
    from ..recording.relay import HTTPRelay
    from .run import address_of

    relay = HTTPRelay(options.url, writer, headers=dict(map(_header, options.header or ())))
    try:
        relay.run(**address_of(options.http))
    except (ValueError, OSError) as problem:
        raise UsageError(f"--http: {problem}") from None
    return OK


def _header(word: str) -> tuple[str, str]:
    name, colon, value = word.partition(":")
    if not colon or not name.strip():
        raise UsageError(f"--header {word!r} is written as 'Name: value'")
    value = from_environment(value.strip(), f"--header {name.strip()}")
    return name.strip(), value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
