"""``dovetail worker FILE[:app]``: work off the tasks of an app without serving it.

It runs the same file as ``dovetail run`` does, over the same store. As there, only the standard library is imported
before the author's file.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from ..loading import load_app
from .exits import UsageError
from .file_command import FileCommand, be_program, lend_store_at

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Work until told to stop, and give the exit code. ``arguments``: the words after ``worker``."""
    return WorkerCommand().main(arguments)


class WorkerCommand(FileCommand):
    """See `FileCommand`."""

    def __init__(self) -> None:
        super().__init__("worker", "Work off the tasks of the App in a Python file, without serving it.")
        add = self.add_argument
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
        self.add_logging(json="")
        self.add_verbose()

    def check(self, options: argparse.Namespace) -> None:
        """Raises `UsageError` for numbers that can't be."""
        if options.at_once is not None and options.at_once < 1:
            raise UsageError("--at-once is at least 1")
        if not 0 < options.drain < float("inf"):
            raise UsageError("--drain is above 0 seconds, and not without end")

    def act(self, options: argparse.Namespace, checked: None, words: Sequence[str]) -> None:
        """See `FileCommand`."""
        be_program(options.file, words)
        if options.store is not None:
            lend_store_at(options.store)
        _work(load_app(options.file), options.at_once, options.drain)


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
