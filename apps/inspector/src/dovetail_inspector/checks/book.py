"""The checks of one Inspector: the text of a file of them, kept where it was named, else for as long as it runs.

Specification: none; docs/inspect-checks.md.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from ..transcript.transcript import Transcript
from ..views import ServerTarget
from .reading import CheckFile, read_checks
from .running import CheckResult, CheckSettings, run_checks
from .saving import add_check, check_of_call, toml_string

__all__ = ["CheckBook", "CheckResultView"]


class CheckResultView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What came of a check, as it is shown."""

    name: str
    cell: str
    state: str
    passed: bool
    seconds: float
    failures: list[str]
    call: str | None = None


class CheckBook:
    """Checks as text. ``path``: their file, which is made when something is kept; None to keep them here alone."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._text = ""

    @property
    def path(self) -> Path | None:
        """Their file."""
        return self._path

    def open(self, path: Path) -> None:
        """Take the checks of another file from here on. Raises `CheckFileInvalid`, and OSError for one that can't be
        read.
        """
        read_checks(path.read_bytes(), name=str(path), folder=path.parent)
        self._path = path

    @property
    def text(self) -> str:
        """The file. Raises OSError, and ValueError for one that is no text."""
        if self.path is None:
            return self._text
        return self.path.read_text("utf-8") if self.path.exists() else ""

    def keep(self, text: str) -> None:
        """Another text in its place. Raises `CheckFileInvalid`, and OSError."""
        if text.strip():
            read_checks(text, folder=self._folder)
        if self.path is None:
            self._text = text
        else:
            self.path.write_text(text, "utf-8")

    def save(self, transcript: Transcript, record: int, target: ServerTarget, name: str) -> None:
        """Keep the call of a record as a check of the server at ``target``, which is given a table under ``name`` where
        the file has none. Raises `CheckNotSaved`, `CheckFileInvalid`, OSError.
        """
        check = check_of_call(transcript.lines(), record, server=name)
        text = self.text
        known = read_checks(text, folder=self._folder).servers if text.strip() else {}
        if name not in known:
            text = f"{_table(name, target)}\n{text}"
        self.keep(add_check(text, check))

    async def run(self, names: tuple[str, ...] = ()) -> list[CheckResultView]:
        """Run them, or those of these names. Raises `CheckFileInvalid`, `EnvironmentMissing`, OSError."""
        return [each async for each in self.results(names)]

    async def results(self, names: tuple[str, ...] = ()) -> AsyncIterator[CheckResultView]:
        """What comes of each, as it comes. Raises as `run`."""
        if self.text.strip():
            from dovetail.linting import Linter

            settings = CheckSettings(names=names, judge=Linter)
            async for each in run_checks(self.file(), settings):
                yield _shown(each)

    def file(self) -> CheckFile:
        """All of them, read. Raises `CheckFileInvalid`, OSError."""
        return read_checks(self.text, folder=self._folder)

    @property
    def _folder(self) -> Path:
        return self.path.parent if self.path is not None else Path.cwd()


def _shown(result: CheckResult) -> CheckResultView:
    problem = [str(result.problem)] if result.problem is not None and not result.failures else []
    return CheckResultView(
        name=result.name,
        cell=str(result.cell),
        state=result.state,
        passed=result.passed,
        seconds=result.seconds,
        failures=[*result.failures, *problem],
    )


def _table(name: str, target: ServerTarget) -> str:
    """A server as a table of TOML, without what may be a secret: headers and variables are added by hand."""
    words = ", ".join(toml_string(each) for each in (target.command, *target.args))
    place = toml_string(target.url) if target.url else f"[{words}]"
    lines = [f"[servers.{toml_string(name)}]", f"target = {place}"]
    if target.cwd:
        lines.append(f"cwd = {toml_string(target.cwd)}")
    return "\n".join([*lines, ""])
