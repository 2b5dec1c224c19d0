"""``dovetail worker FILE[:app]``: work off the tasks of an app without serving it.

It runs the same file as ``dovetail run`` does, over the same store. As there, only the standard library is imported
before the author's file.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from ..loading import CannotLoad, load_app, split_place
from .exits import INTERRUPTED, NO_SERVER, OK, UsageError, tell
from .run import divide, lend_store_at

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Work until told to stop, and give the exit code. ``arguments``: the words after ``worker``."""
    words, rest = divide(list(arguments))
    try:
        options = WorkerParser().parse_args(words)
        _check(options)
    except UsageError as problem:
        return tell(problem)
    except SystemExit:  # --help was printed
        return OK
    from ..last_resort import install

    install(None if options.log_format == "json" else options.log_level)
    if options.log_format == "json":
        from ..logs import log_json

        log_json(options.log_level or "info")
    sys.argv = [str(split_place(options.file)[0]), *rest]
    try:
        if options.store is not None:
            lend_store_at(options.store)
        _work(load_app(options.file), options.at_once, options.drain)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (CannotLoad, UsageError) as problem:
        return tell(problem, verbose=options.verbose)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else NO_SERVER
    except Exception as problem:  # noqa: BLE001 - whatever the author's own code raises; -v shows where
        return tell(problem, verbose=options.verbose) and NO_SERVER
    return OK


class WorkerParser(argparse.ArgumentParser):
    """The options; a mistake raises `UsageError` instead of ending the process."""

    def __init__(self) -> None:
        super().__init__(
            prog="dovetail worker",
            description="Work off the tasks of the App in a Python file, without serving it.",
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
        add(
            "--store",
            metavar="URL",
            help="where the tasks are, as for dovetail run (default: DOVETAIL_STORE in the environment, or the app's)",
        )
        add(
            "--at-once",
            type=int,
            metavar="N",
            help="how many tasks run at a time (default: what tasks(room=...) says, or 100)",
        )
        add(
            "--drain",
            type=float,
            default=10.0,
            metavar="SECONDS",
            help="how long the end may take, in which what runs is let go of (default: 10)",
        )
        add("--log-level", choices=("debug", "info", "warning", "error"), help="log to standard error")
        add("--log-format", choices=("text", "json"), help="json: lines of JSON (from info on)")
        add("-v", "--verbose", action="store_true", help="show tracebacks")

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see dovetail worker --help)")


def _check(options: argparse.Namespace) -> None:
    """Raises `UsageError` for numbers that can't be."""
    if options.at_once is not None and options.at_once < 1:
        raise UsageError("--at-once is at least 1")
    if not 0 < options.drain < float("inf"):
        raise UsageError("--drain is above 0 seconds, and not without end")


def _work(app: Any, at_once: int | None, drain: float) -> None:
    """Work. Raises `UsageError` for an app that has no tasks, or none that are here, and what `App.work` raises."""
    from ..extensions.tasks.names import EXTENSION
    from ..extensions.tasks.working_off import NothingShared, work_off, worked_on
    from ..last_resort import say
    from ..protocol.safe_text import one_line
    from ..runtime.service import LifespanFailed

    if EXTENSION not in app.service.extensions.declared:
        raise UsageError(f"{app.name!r} runs nothing as a task: give it App(extensions=[tasks()])")
    work_off(at_once)

    def began() -> None:
        tools = ", ".join(worked_on()) or "no tool has any"
        say(f"dovetail: {one_line(f'working on the tasks of {app.name!r}: {tools}')}")

    try:
        app.work(drain=drain, ready=began)
    except LifespanFailed as problem:
        if isinstance(problem.__cause__, NothingShared):
            raise UsageError(f"there is nothing to work on for {app.name!r}: {problem.__cause__}") from None
        raise


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
