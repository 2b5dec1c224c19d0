"""The checks of one Inspector: the text of a file of them, kept where it was named, else for as long as it runs.

Specification: none; docs/inspect-checks.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import msgspec

from dovetail.linting import Linter

from ..transcript.transcript import Transcript
from ..views import ServerTarget
from .reading import read_checks
from .running import CheckResult, CheckSettings, run_checks
from .saving import add_check, check_of_call

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
        self.path: Final = path
        self._text = ""

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
        text = self.text
        if not text.strip():
            return []
        file = read_checks(text, folder=self._folder)
        settings = CheckSettings(names=names, judge=Linter)
        return [_shown(each) async for each in run_checks(file, settings)]

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
    place = target.url or [target.command, *target.args]
    lines = [f"[servers.{json.dumps(name)}]", f"target = {json.dumps(place)}"]
    if target.cwd:
        lines.append(f"cwd = {json.dumps(target.cwd)}")
    return "\n".join([*lines, ""])
