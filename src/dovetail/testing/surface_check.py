"""A server's surface, held against the file that was reviewed: what the fixture ``surface_snapshot`` gives.

Theory of operation. The first run, or one that was told to, writes the file; any other compares with it, and fails with
what is different and what that does to callers. The server's version does not count, or each release would fail.

Specification: none.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

from ..client import Client
from ..surface.changes import SurfaceChange
from ..surface.comparing import compare
from ..surface.misfits import shown
from ..surface.snapshot import Surface
from ..surface.taking import take_surface

__all__ = ["SurfaceCheck", "updating"]

_VARIABLE: Final = "DOVETAIL_UPDATE_SURFACES"
_WORDS: Final = {"breaking": "BREAKS", "possible": "may break", "warning": "reworded"}


def updating() -> bool:
    """Whether the environment says that files are to be written anew."""
    return os.environ.get(_VARIABLE, "") not in ("", "0")


class SurfaceCheck:
    """Called with an app, a client or a `Surface`, it fails where that is not what the file in ``folder`` says."""

    def __init__(self, folder: Path, *, update: bool) -> None:
        self._folder = folder
        self._update = update

    async def __call__(self, subject: Any, *, name: str = "") -> Surface:
        """Compare with the file, or write it; gives the surface. ``name``: of the file, instead of the server's.

        Raises `AssertionError` for a difference, and where ``CI`` is set for a file that is not there.
        """
        surface = await _surface_of(subject)
        path = self._folder / f"{_file_name(name or surface.name)}.json"
        if self._update or not (path.exists() or os.environ.get("CI")):
            path.parent.mkdir(parents=True, exist_ok=True)
            surface.save(path)
            return surface
        if not path.exists():
            raise AssertionError(
                f"there is no {path}; write it with: pytest --update-surfaces, and commit it"
            )
        changes = [each for each in compare(Surface.load(path), surface) if each.where != "/server/version"]
        if changes:
            lines = "\n".join(map(_line, changes))
            raise AssertionError(
                f"the surface of {surface.name or 'the server'} is not what {path} says:\n{lines}\n"
                "if this is meant: pytest --update-surfaces"
            )
        return surface


async def _surface_of(subject: Any) -> Surface:
    if isinstance(subject, Surface):
        return subject
    if isinstance(subject, Client):
        return await take_surface(subject)
    async with Client(subject) as client:
        return await take_surface(client)


def _file_name(name: str) -> str:
    """A name that a file can have."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:100] or "server"


def _line(change: SurfaceChange) -> str:
    subject = f"{change.kind} {change.name}".strip()
    said = [change.what, *([change.why] if change.why else [])]
    said += [f"such as {shown(change.example)}"] if "example" in change.to_wire() else []
    return f"  {_WORDS.get(change.severity, change.severity):10}  {subject}: {'; '.join(said)}"
