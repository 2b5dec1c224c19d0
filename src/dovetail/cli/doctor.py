"""``dovetail doctor``: what a connection to a server needs, step by step, and what to do where it is missing."""

from collections.abc import Mapping
from typing import Annotated, Final

try:
    from cyclopts import Parameter
except ImportError as missing:
    raise ImportError(
        "this command needs the command line's own packages: pip install 'dovetail[cli]'"
    ) from missing

from ..doctor.examining import PATIENCE, examine
from ..doctor.findings import Cause, Diagnosis, Step, StepStatus
from ..protocol.safe_text import one_line
from .connecting import CommandSession, CommonOptions
from .exits import LOGIN, NO_SERVER, OK, REFUSED, TIMED_OUT, UsageError
from .screen import Screen

__all__ = ["doctor"]

_LOOKS: Final[Mapping[StepStatus, tuple[str, str]]] = {
    "ok": ("ok", "green"),
    "warning": ("warning", "yellow"),
    "failed": ("FAILED", "bold red"),
}
_CODES: Final[dict[Cause, int]] = {
    "": REFUSED,
    "unreachable": NO_SERVER,
    "login": LOGIN,
    "timeout": TIMED_OUT,
    "protocol": REFUSED,
}


async def doctor(
    target: str,
    /,
    *,
    patience: Annotated[float, Parameter(help="Seconds that each step of the network may take.")] = PATIENCE,
    common: CommonOptions = CommonOptions(),
    words: Annotated[list[str] | None, Parameter(parse=False)] = None,
) -> int:
    """Look into what a connection needs: name, address, encryption, HTTP, login, protocol, and what is listed.

    No tool is called, and credentials go to the target alone. Ends with 0 if nothing failed, else with the code that
    other commands would end with.
    """
    if not 0 < patience < float("inf"):
        raise UsageError("--patience is a number of seconds above zero")
    if common.record or common.store:
        option = "--record" if common.record else "--store"
        raise UsageError(
            f"{option} is for one conversation, and the doctor has many: use it with dovetail list"
        )
    session = CommandSession(target, words, common)
    place, options = await session.settled()
    options["on_stderr"] = None if common.json or not common.verbose else session.screen.said
    steps: list[Step] = []
    async for step in examine(place, patience=patience, **options):
        steps.append(step)
        if not common.json and step.status != "not reached":
            _show(session.screen, step, notes=common.verbose)
    missed = [each.name for each in steps if each.status == "not reached"]
    if missed and not common.json:
        session.screen.line(f"{'-':8} {'not reached':14} {', '.join(missed)}", "dim")
    whole = Diagnosis(target=session.shown, steps=tuple(steps))
    if common.json:
        session.screen.json(whole.to_wire())
    failed = next((each for each in steps if each.status == "failed"), None)
    return OK if failed is None else _CODES[failed.cause]


def _show(screen: Screen, step: Step, *, notes: bool) -> None:
    word, style = _LOOKS[step.status]
    screen.line(f"{word:8} {step.name:14} {one_line(step.what)}", style)
    for each in step.advice if step.status != "ok" or notes else ():
        screen.line(f"{'':8} {'':14} > {one_line(each)}")
