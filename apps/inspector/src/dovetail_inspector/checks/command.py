"""``dovetail inspect --run checks.toml``: run a file of checks, say what came of it, end as builds understand.

Specification: docs/inspect-checks.md.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from msgspec import Struct, field

from dovetail.security import one_line, passage

from .reading import CheckFile, CheckFileInvalid, read_checks
from .reporting import INTERRUPTED, USAGE, exit_code, junit, line_of, summary_of
from .running import CheckResult, CheckSettings, cells_of, run_checks
from .variables import EnvironmentMissing

__all__ = ["RunOptions", "run"]


class RunOptions(Struct, kw_only=True):
    """How a file is run. ``settings``: which of it, and what is kept; ``junit``: where to write a report for builds;
    ``quiet``: say nothing of what passed; ``stream``: where results are told, by default standard output.
    """

    settings: CheckSettings = field(default_factory=CheckSettings)
    junit: Path | None = None
    quiet: bool = False
    stream: TextIO | None = None


def run(path: Path, options: RunOptions | None = None) -> int:
    """Run the checks of a file; gives the exit code (see `reporting`). Raises nothing for what is wrong with the file
    or the servers: it is told.
    """
    options = options or RunOptions()
    told = _ToldResults(options.stream or sys.stdout)
    try:
        file = read_checks(path.read_bytes(), name=str(path), folder=path.parent)
        _asked_for(file, options.settings)
    except OSError as problem:
        return _refused(told, f"{path} can't be read: {problem.strerror or problem}")
    except CheckFileInvalid as problem:
        return _refused(told, str(problem))
    began = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    results: list[CheckResult] = []
    try:
        asyncio.run(_run(file, options, told, results))
    except EnvironmentMissing as problem:
        return _refused(told, str(problem))
    except KeyboardInterrupt:
        told.write("interrupted")
        code = INTERRUPTED
    else:
        code = exit_code(results)
    told.write(summary_of(results))
    if options.junit is not None:
        try:
            options.junit.write_bytes(junit(results, began=began, name=path.name))
        except OSError as problem:
            return _refused(told, f"{options.junit} can't be written: {problem.strerror or problem}")
    return code


class _ToldResults:
    """Where results are told. Whoever reads them may go away, as ``| head`` does; the run goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream

    def write(self, text: str) -> None:
        """Tell it at once, in lines of its own, as long as anybody reads."""
        if self._stream is None:
            return
        try:
            self._stream.write(f"{passage(text)}\n")
            self._stream.flush()
        except BrokenPipeError:
            self._stream = None


async def _run(file: CheckFile, options: RunOptions, told: _ToldResults, results: list[CheckResult]) -> None:
    async for each in run_checks(file, options.settings):
        results.append(each)
        if not (options.quiet and each.passed):
            told.write(line_of(each))


def _asked_for(file: CheckFile, settings: CheckSettings) -> None:
    """Refuse what would run nothing, or leave something out unseen. Raises `CheckFileInvalid`."""
    names = {each.name for each in file.check}
    for each in settings.names:
        if each not in names:
            raise CheckFileInvalid(f"there is no check {each!r}; there are {', '.join(sorted(names))[:500]}")
    if not cells_of(file, settings):
        raise CheckFileInvalid(f"no check runs in {', '.join(settings.revisions)}")
    if settings.judge is None and any(each.expect.lint for each in file.check):
        raise CheckFileInvalid("lint = true needs something that judges messages, and nothing was given")


def _refused(told: _ToldResults, text: str) -> int:
    told.write(f"dovetail: {one_line(text)}")
    return USAGE
