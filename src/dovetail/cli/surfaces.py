"""``dovetail snapshot`` and ``dovetail diff``: a server's surface as a file, and what a change of it does to callers.

A word of ``diff`` is a file that ``snapshot`` wrote, or a target like those of other commands. Both end with 1 where
something is different that matters: ``snapshot --check`` where the file is not what the server shows now, ``diff``
where callers break, or may.
"""

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from msgspec import UNSET

try:
    from cyclopts import Parameter
    from rich.text import Text
except ImportError as missing:
    raise ImportError(
        "this command needs the command line's own packages: pip install 'dovetail[cli]'"
    ) from missing

from ..protocol.safe_text import in_place, one_line, safe
from ..surface.changes import SEVERITIES, Severity, SurfaceChange
from ..surface.comparing import compare
from ..surface.misfits import shown
from ..surface.snapshot import Surface, SurfaceUnreadable
from ..surface.taking import take_surface
from .connecting import CommandSession, CommonOptions
from .exits import FAILED, OK, UsageError
from .screen import Screen
from .sources import STANDARD_INPUT

__all__ = ["diff", "snapshot"]

Words = Annotated[list[str] | None, Parameter(parse=False)]
Least = Literal["breaking", "possible", "warning", "compatible", "cosmetic"]
_LOOKS: Final[dict[Severity, tuple[str, str]]] = {
    "breaking": ("breaks", "bold red"),
    "possible": ("may break", "yellow"),
    "warning": ("reworded", "magenta"),
    "compatible": ("compatible", "green"),
    "cosmetic": ("cosmetic", "dim"),
}
_COUNTED: Final = {"possible": "that may break", "warning": "in what models read"}
_WIDEST: Final = 10


async def snapshot(
    target: str,
    /,
    *,
    output: Annotated[
        str,
        Parameter(
            ("--output", "-o"), allow_leading_hyphen=True, help="Write it to this file; - is standard output."
        ),
    ] = STANDARD_INPUT,
    check: Annotated[
        str, Parameter(help="Write nothing: compare with this file, and end with 1 where it is out of date.")
    ] = "",
    common: CommonOptions = CommonOptions(),
    words: Words = None,
) -> int:
    """Write down what a server shows to its clients: a file to commit, and to review when it changes.

    The version of the server does not count for --check.
    """
    if check and output != STANDARD_INPUT:
        raise UsageError("--check writes nothing, so it takes no --output")
    before = _file(check) if check else None
    session = CommandSession(target, words, common)
    surface = await _taken(session)
    if before is not None:
        return _checked(session.screen, check, before, surface, json=common.json)
    if output == STANDARD_INPUT:
        session.screen.write(safe(surface.to_text()))
    else:
        _write(Path(output), surface.to_text())
        session.screen.note(f"{output}: {_counted(surface)}")
    return OK


async def diff(
    old: str,
    new: str,
    /,
    *,
    fail_on: Annotated[
        Least,
        Parameter(help="End with 1 from this severity on: breaking, possible (it may break), warning, ..."),
    ] = "possible",
    common: CommonOptions = CommonOptions(),
    words: Words = None,
) -> int:
    """Say what is different between two surfaces, and what it does to callers. OLD, NEW: files or targets."""
    screen = Screen(quiet=common.quiet)
    before, after = await _either(old, None, common), await _either(new, words, common)
    changes = compare(before, after)
    if common.json:
        screen.json({"changes": [each.to_wire() for each in changes]})
    else:
        _show(screen, changes)
    worst = SEVERITIES.index(fail_on)
    return FAILED if any(SEVERITIES.index(each.severity) <= worst for each in changes) else OK


async def _either(word: str, words: Sequence[str] | None, common: CommonOptions) -> Surface:
    """A surface from a file, or from a server."""
    path = Path(word)
    if words is None and path.suffix == ".json":
        return _file(word)
    return await _taken(CommandSession(word, words, common))


async def _taken(session: CommandSession) -> Surface:
    async with session.connected() as client:
        surface = await take_surface(client)
        for each in client.warnings:
            session.screen.note(each.message, "yellow")
    return surface


def _file(path: str) -> Surface:
    try:
        return Surface.load(path)
    except SurfaceUnreadable as problem:
        raise UsageError(str(problem)) from None


def _write(path: Path, text: str) -> None:
    """Write a file whole, or not at all."""
    try:
        descriptor, place = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
            mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
            Path(place).chmod(mode)
            Path(place).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(place).unlink()
            raise
    except OSError as problem:
        raise UsageError(f"the file {str(path)!r} can't be written: {problem.strerror}") from None


def _checked(screen: Screen, path: str, before: Surface, after: Surface, *, json: bool) -> int:
    changes = [each for each in compare(before, after) if each.where != "/server/version"]
    if json:
        screen.json({"changes": [each.to_wire() for each in changes]})
    elif changes:
        _show(screen, changes)
    if changes:
        screen.note(f"{path} is out of date; if this is meant: dovetail snapshot ... -o {path}", "yellow")
    else:
        screen.note(f"{path} is what the server shows")
    return FAILED if changes else OK


def _show(screen: Screen, changes: Sequence[SurfaceChange]) -> None:
    """Changes by what they are of, the worst first, and a last line that counts them."""
    if not changes:
        screen.note("no difference")
        return
    groups: dict[tuple[str, str], list[SurfaceChange]] = {}
    for each in changes:
        groups.setdefault((each.kind, each.name), []).append(each)
    for (kind, name), group in groups.items():
        screen.line(f"{kind} {in_place(name)}".strip(), "bold")
        for each in group:
            _line(screen, each)
    counts = [(sum(1 for each in changes if each.severity == which), which) for which in SEVERITIES]
    told = ", ".join(f"{count} {_COUNTED.get(which, which)}" for count, which in counts if count)
    screen.line()
    screen.line(told, "bold")


def _line(screen: Screen, change: SurfaceChange) -> None:
    word, style = _LOOKS[change.severity]
    said: list[Any] = [one_line(change.what)]
    if change.breaks or change.severity == "warning":
        said += [one_line(change.why)] if change.why else []
    if change.example is not UNSET:
        said.append(f"such as {one_line(shown(change.example))}")
    if screen.at_terminal:
        line = Text(safe(f"  {word:{_WIDEST}}  "), style=style).append(safe("; ".join(said)), style="default")
        screen.show(line, soft_wrap=True)
    else:
        screen.line(f"  {word:{_WIDEST}}  {'; '.join(said)}")


def _counted(surface: Surface) -> str:
    counts = {
        "tool": len(surface.tools),
        "resource": len(surface.resources),
        "template": len(surface.resource_templates),
        "prompt": len(surface.prompts),
    }
    return ", ".join(f"{count} {each}{'s' if count != 1 else ''}" for each, count in counts.items())
