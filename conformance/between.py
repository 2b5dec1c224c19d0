"""What may stand between a suite and the everything server, and what can't pass through it, with the reason.

Theory of operation: ``dovetail proxy`` or ``dovetail gateway`` starts the server, on standard input and output, and is
held to one revision there, so that what is called in one revision is answered in another. Most passes all the same.
What does not has a reason here, which is the specification's: what a revision does not have can't be made of what it
has. A scenario that passes in spite of its reason has to leave the list.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ALL", "COMMANDS", "Between", "in_words", "ways"]

COMMANDS = ("proxy", "gateway")
#: What "all" stands for: the revisions that the suites know.
ALL = ("2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28")
_STATELESS = "2026-07-28"
# By scenario: whatever the server behind speaks.
_ALWAYS = {
    "server-sse-polling": "the tool ends the stream of its answer, and the proxy's own stream stays open",
    "tasks-required-task-error": "no tool of a proxy has to be a task: who knows none waits for the answer",
}
_ELICITATION = "2025-06-18"
_BY_KEY = "requests of the stateful era have no keys, so the keys of the questions are the proxy's"
# By scenario: where it speaks a stateful revision.
_STATEFUL = {
    "input-required-result-basic-elicitation": _BY_KEY,
    "tasks-mrtr-composition": "in the stateful era a task begins before its first question",
}
# By scenario: the first revision behind in which it can pass, and what came with that.
_SINCE = {
    **dict.fromkeys(
        (
            "tools-call-elicitation",
            "input-required-result-request-state",
            "input-required-result-multiple-input-requests",
            "input-required-result-multi-round",
            "input-required-result-missing-input-response",
            "input-required-result-non-tool-request",
            "input-required-result-result-type",
            "input-required-result-tampered-state",
            "input-required-result-validate-input",
        ),
        (_ELICITATION, "elicitation"),
    ),
    "elicitation-sep1034-defaults": ("2025-11-25", "defaults of texts, numbers and choices"),
    "elicitation-sep1330-enums": ("2025-11-25", "choices of several, and with titles"),
    **dict.fromkeys(
        (
            "tasks-lifecycle",
            "tasks-capability-negotiation",
            "tasks-wire-fields",
            "tasks-request-state-removal",
            "tasks-mrtr-input",
            "tasks-request-headers",
            "tasks-dispatch-and-envelope",
        ),
        ("2025-11-25", "tasks"),
    ),
}


@dataclass(frozen=True)
class Between:
    """``command``: "proxy" or "gateway". ``revision``: what it speaks with the server; "auto" is what that speaks."""

    command: str
    revision: str

    def words(self, server: Sequence[str], port: int, folder: Path) -> list[str]:
        """The command that serves the server at a port."""
        own = ["--http", str(port), "--revision", self.revision, "--tasks"]
        start = [sys.executable, "-m", "dovetail", self.command, *own]
        if self.command == "proxy":
            return [*start, "--", *server]
        path = folder / "servers.json"
        path.write_text(
            json.dumps({"mcpServers": {"everything": {"command": server[0], "args": list(server[1:])}}})
        )
        return [*start, "--bare-names", str(path)]

    def reasons(self) -> dict[str, str]:
        """Why scenarios can't pass, by their names."""
        if self.revision in ("auto", _STATELESS):
            return _ALWAYS
        lacking = {
            name: f"{what} came with {since}"
            for name, (since, what) in _SINCE.items()
            if self.revision < since
        }
        # Where nothing can be asked, the answers that it sends too many of are ignored with all others.
        extra = {} if self.revision < _ELICITATION else {"input-required-result-ignore-extra-params": _BY_KEY}
        return _ALWAYS | _STATEFUL | extra | lacking

    def expected(self, expected: dict[str, set[str]]) -> dict[str, set[str]]:
        """The scenarios that may fail, by role, given those that may without it."""
        return {**expected, "server": expected["server"] | set(self.reasons())}


def ways(command: str, revision: str | None) -> list[Between]:
    """What an option of the runner asks for: nothing, one revision, or "all"."""
    if revision is None:
        return []
    return [Between(command, each) for each in (ALL if revision == "all" else (revision,))]


def in_words(between: Between | None) -> str:
    """What it is called in the report."""
    return "" if between is None else f"{between.command}, {between.revision} behind"
