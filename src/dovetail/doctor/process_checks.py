"""A server that is started as a process: whether it can be, what it prints where, and whether it ends.

Theory of operation. The client's own transport starts it, with the same small environment as everywhere; what it writes
to standard output and is no message, and its standard error, are kept to be shown.

Specification: basic/transports, "stdio": "The server MUST NOT write anything to its stdout that is not a valid MCP
message"; basic/lifecycle, "Shutdown".
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ..client import Client
from ..protocol.errors import ConnectFailed
from ..transports.stdio.client import StdioTransport
from ..transports.stdio.launching import child_environment, resolve_command
from .advising import advice_on_output
from .findings import Step

__all__ = ["ProcessExamination", "check_program"]

_KEPT: Final = 20
_GRACE: Final = 2.0


def check_program(command: Sequence[str], env: Mapping[str, str] | None) -> Step:
    """Whether the program is there."""
    program = command[0]
    try:
        found = resolve_command(command, child_environment(env))[0]
    except ConnectFailed as problem:
        return Step(
            name="program", status="failed", what=str(problem), advice=_advice(program), cause="unreachable"
        )
    place = shutil.which(found) or (found if Path(found).is_file() else "")
    facts = {"program": program, "place": place}
    if not place:
        what = f"there is no program {program!r} on the PATH"
        advice = _advice(program)
        return Step(
            name="program", status="failed", what=what, advice=advice, facts=facts, cause="unreachable"
        )
    return Step(name="program", status="ok", what=place, facts=facts)


def _advice(program: str) -> tuple[str, ...]:
    return (
        f"install what brings {program!r}, or give its whole path",
        "hosts that are started from a desktop have a shorter PATH than a shell: a whole path works in both",
    )


class ProcessExamination:
    """One server process: what it prints while it is spoken to, and how it ends."""

    def __init__(
        self, command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: str | Path | None = None
    ) -> None:
        self._noise: list[str] = []
        self._stderr: list[str] = []
        self._noises = self._lines = 0
        self.transport = StdioTransport(
            command, env=env, cwd=cwd, on_stderr=self._said, on_noise=self._printed, grace=_GRACE
        )

    def _printed(self, line: str) -> None:
        self._noises += 1
        if len(self._noise) < _KEPT:
            self._noise.append(line[:300])

    def _said(self, line: str) -> None:
        self._lines += 1
        self._stderr = [*self._stderr[-_KEPT + 1 :], line[:300]]

    def advice(self) -> tuple[str, ...]:
        """What to do about what it wrote, as far as that can be told; nothing otherwise."""
        return advice_on_output(self._noise, self._stderr)

    def check_output(self) -> Step:
        """What it wrote that was no message."""
        facts = {
            "noise": self._noise,
            "noiseLines": self._noises,
            "stderr": self._stderr,
            "stderrLines": self._lines,
        }
        said = f"{self._lines} line{'s' if self._lines != 1 else ''} on standard error"
        if self._lines:
            said += f", the last: {self._stderr[-1]}"
        if self._noises:
            advice = self.advice() or (
                "write logs to standard error: standard output is for messages alone, and some clients give up there",
                "in Python, print(..., file=sys.stderr), and a logging handler that writes there, too",
            )
            what = f"{self._noises} line{'s' if self._noises > 1 else ''} on standard output that are no messages: "
            what += f"{self._noise[0]}; {said}"
            return Step(name="output", status="warning", what=what, advice=advice, facts=facts)
        return Step(name="output", status="ok", what=f"only messages on standard output; {said}", facts=facts)

    async def check_end(self, client: Client) -> Step:
        """Close its input, and see that it ends."""
        status = self.transport.exit_status
        if status is not None:
            await client.close()
            what = f"it had ended by itself before its input did, with status {status}"
            advice = ("have it go on until its input ends, whatever it is asked",)
            return Step(
                name="end",
                status="failed",
                what=what,
                advice=advice,
                facts={"status": status},
                cause="protocol",
            )
        began = time.perf_counter()
        await client.close()
        await self.transport.close()
        seconds = time.perf_counter() - began
        status = self.transport.exit_status
        facts = {"status": status, "seconds": round(seconds, 3)}
        if status is None or status == -9:
            advice = (
                "end when standard input ends: a host that is closed leaves the process behind otherwise",
                "have a handler of SIGTERM end the process, within two seconds",
            )
            what = f"it ended neither at the end of its input nor at SIGTERM, and was killed after {seconds:.1f} s"
            return Step(name="end", status="failed", what=what, advice=advice, facts=facts, cause="protocol")
        if seconds > _GRACE or status == -15:
            advice = ("end when standard input ends: not every host sends SIGTERM",)
            what = f"it went on after the end of its input, and ended at SIGTERM, after {seconds:.1f} s"
            return Step(name="end", status="warning", what=what, advice=advice, facts=facts)
        if status:
            advice = ("end with status 0: hosts tell a crash by the status",)
            what = f"it ended with status {status} at the end of its input"
            return Step(name="end", status="warning", what=what, advice=advice, facts=facts)
        what = f"it ended by itself at the end of its input, after {seconds * 1000:.0f} ms"
        return Step(name="end", status="ok", what=what, facts=facts)
