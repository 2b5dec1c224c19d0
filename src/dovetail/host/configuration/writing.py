"""A file, replaced whole or not at all.

Theory of operation. The new text is written to a file beside the old one, brought to the disk, given the old one's mode
and then its name; the folder is brought to the disk, too. What was there before lies beside it as ``NAME.backup``.
Whether the file is still what was read is looked at last, so that what another program wrote meanwhile is not lost; no
host takes a lock, so a moment remains. A link to the file is followed, since people keep such files elsewhere and link
them; in the folder of a project, which somebody else may have written, it has to stay within that folder.

Specification: none.
"""

import os
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from .errors import ConfigurationChanged, ConfigurationError, ConfigurationUnreadable

__all__ = ["BACKUP", "LARGEST", "read_whole", "replace_whole"]

BACKUP: Final = ".backup"
LARGEST: Final = 32 * 2**20


def read_whole(path: Path) -> bytes | None:
    """What is in a file, None where there is none. Raises `ConfigurationUnreadable`, also for more than 32 MiB."""
    try:
        with open(path, "rb", opener=_opened_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigurationUnreadable(f"{str(path)!r} is no file")
            data = file.read(LARGEST + 1)
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise ConfigurationUnreadable(f"{str(path)!r} can't be read: {problem.strerror}") from None
    if len(data) > LARGEST:
        raise ConfigurationUnreadable(
            f"{str(path)!r} is larger than {LARGEST >> 20} MiB; no configuration is"
        )
    return data


def _opened_at_once(path: str, flags: int) -> int:
    """Open without waiting for whoever is at the other end of a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def replace_whole(
    path: Path, before: bytes | None, after: bytes, *, within: Path | None, mode: int
) -> Path | None:
    """Replace what was read, ``before`` (None: there was no file). ``within``: the folder that links have to stay in;
    ``mode``: of a file that is new. Gives the backup, None where there was nothing.

    Raises `ConfigurationChanged` where the file is another one by now, `ConfigurationError` where it can't be written.
    """
    place = _followed(path, within)
    backup = place.with_name(place.name + BACKUP) if before is not None else None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if before is not None:
            mode = stat.S_IMODE(place.stat().st_mode)
        unchanged = _Unchanged(path, place, before)
        unchanged()
        if before is not None and backup is not None:
            _put(backup, before, mode)
        _put(place, after, mode, last=unchanged)
    except OSError as problem:
        raise ConfigurationError(
            f"{str(path)!r} can't be written: {problem.strerror}; nothing changed"
        ) from None
    return backup


class _Unchanged:
    """Raises `ConfigurationChanged` where a file is not what was read."""

    def __init__(self, path: Path, place: Path, before: bytes | None) -> None:
        self._path = path
        self._place = place
        self._before = before

    def __call__(self) -> None:
        if read_whole(self._place) != self._before:
            raise ConfigurationChanged(
                f"{str(self._path)!r} was changed by somebody else since it was read; look at it again"
            )


def _put(place: Path, data: bytes, mode: int, *, last: Callable[[], None] | None = None) -> None:
    """Write a file beside, and give it the name. ``last``: what is asked just before that."""
    descriptor, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        if last is not None:
            last()
        os.replace(name, place)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
    if os.name == "posix":
        folder = os.open(place.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _followed(path: Path, within: Path | None) -> Path:
    try:
        place = path.resolve()
        if within is not None and not place.is_relative_to(within.resolve()):
            raise ConfigurationError(
                f"{str(path)!r} is a link out of the project, to {str(place)!r}; what a project brings is not written "
                "elsewhere"
            )
    except (OSError, RuntimeError) as problem:
        raise ConfigurationError(f"{str(path)!r} can't be followed: {problem}") from None
    return place
