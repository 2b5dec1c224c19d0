"""Tokens in files that only their owner can read.

Theory of operation. Each record is a file of its own, mode 0600, in a folder of mode 0700. It is written to a new file
beside it and moved into place, so that a reader sees the old or the new one, whole. A folder or file that others could
read or replace is refused instead of repaired: who knows what they did already. Links are never followed, neither to
the file nor through the folder itself; the folder is held open from the check to the end, so that what is moved into
its place between changes nothing. Locks are files beside the records, held by the operating system, so that a
process that dies lets go of them.

Specification: OAuth 2.1 section 7.1; "Token Theft" in basic/authorization/security-considerations.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

from ...security.file_lock import open_lock, take_lock
from .problems import StorageUnsafe

__all__ = ["FileTokens", "default_folder", "locked_file"]

_MAX_RECORD: Final = 256 * 1024
_LOCK_TIME: Final = 60.0
_POSIX: Final = os.name == "posix"
_LEFT: Final = 5.0  # seconds after which an unfinished file is nobody's any more
_TRIES: Final = 3
_REPARSE_POINT: Final = getattr(stat, "FILE_ATTRIBUTE_REPARSE_POINT", 0x400)
_DEVICE: Final = re.compile("(?:con|prn|aux|nul|(?:com|lpt)[0-9])", re.IGNORECASE)
_FOLDER: Final = getattr(os, "O_DIRECTORY", 0)
_NO_WAIT: Final = getattr(os, "O_NONBLOCK", 0)
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def default_folder() -> Path:
    """Where tokens are kept unless told otherwise: the state folder of this user."""
    home = Path.home()
    if sys.platform == "win32":
        return _given("LOCALAPPDATA", home / "AppData" / "Local") / "dovetail" / "logins"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "dovetail" / "logins"
    return _given("XDG_STATE_HOME", home / ".local" / "state") / "dovetail" / "logins"


def _given(variable: str, otherwise: Path) -> Path:
    """A folder that the environment names. One that depends on where a program was started is none (XDG Base Directory
    Specification): tokens would lie in whatever folder that is.
    """
    found = Path(os.environ.get(variable, ""))
    return found if found.is_absolute() else otherwise


class FileTokens:
    """Tokens in a folder (default: the state folder of this user), shared by all processes that use it.

    Raises `StorageUnsafe` when others could read or replace what stands there, or it can't be written.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = Path(folder) if folder is not None else default_folder()

    async def read(self, key: str) -> bytes | None:
        """The record, or None."""
        return await asyncio.to_thread(_read, self.folder, f"{_checked(key)}.json")

    async def write(self, key: str, data: bytes) -> None:
        """Keep a record, in one step. Raises `StorageUnsafe`, also for one of more than 256 KiB."""
        if len(data) > _MAX_RECORD:
            raise StorageUnsafe(f"a record of {len(data)} bytes is too large to keep")
        await asyncio.to_thread(_write, self.folder, f"{_checked(key)}.json", data)

    async def remove(self, key: str) -> None:
        """Forget a record."""
        await asyncio.to_thread(_remove, self.folder, f"{_checked(key)}.json")

    @asynccontextmanager
    async def lock(self, key: str) -> AsyncGenerator[None]:
        """Hold the lock of a key, against all processes. Raises TimeoutError after a minute."""
        async with locked_file(self.folder, key):
            yield

    def __repr__(self) -> str:
        return f"<FileTokens in {str(self.folder)!r}>"


@asynccontextmanager
async def locked_file(folder: Path, key: str) -> AsyncGenerator[None]:
    """Hold the lock file of a key. The operating system lets go of it when the process ends."""
    name = f"{_checked(key)}.lock"
    descriptor = await asyncio.to_thread(_open_lock, folder, name)
    try:
        try:
            await take_lock(descriptor, folder / name, _LOCK_TIME)
        except TimeoutError:
            raise
        except OSError as problem:
            raise StorageUnsafe(f"{folder / name} can't be locked: {problem.strerror}") from None
        yield
    finally:
        os.close(descriptor)


def _checked(key: str) -> str:
    if not key or not key.replace("-", "").replace("_", "").isalnum() or not key.isascii() or len(key) > 120:
        raise ValueError("a key of a record has letters, digits and hyphens only")
    if _DEVICE.fullmatch(key):
        raise ValueError(f"{key!r} is no key of a record: Windows has a device of that name")
    return key


@contextmanager
def _inside(folder: Path) -> Generator[int | None]:
    """The folder, made if need be, found to be ours alone, and held: what comes into its place later is not it. None
    where the system can't hold folders; then they are found by name.
    """
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        descriptor = os.open(folder, os.O_RDONLY | _FOLDER | _NO_LINK) if _POSIX else None
        state = folder.lstat() if descriptor is None else os.fstat(descriptor)
    except NotADirectoryError:
        raise StorageUnsafe(f"tokens are not kept in {folder}: it is a link or no folder") from None
    except OSError as problem:
        if problem.errno == errno.ELOOP:
            raise StorageUnsafe(f"tokens are not kept in {folder}: it is a link or no folder") from None
        raise StorageUnsafe(f"tokens can't be kept in {folder}: {problem.strerror}") from None
    try:
        if not stat.S_ISDIR(state.st_mode) or _is_junction(state):
            raise StorageUnsafe(f"tokens are not kept in {folder}: it is a link or no folder")
        _own(state, folder, "chmod 700")
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _place(folder: Path, held: int | None, name: str) -> str:
    return name if held is not None else str(folder / name)


def _is_junction(state: os.stat_result) -> bool:
    """Whether this is one of the links of Windows that look like folders."""
    return bool(getattr(state, "st_file_attributes", 0) & _REPARSE_POINT)


def _own(state: os.stat_result, path: Path, remedy: str) -> None:
    if not _POSIX:
        return
    if state.st_uid != os.getuid():
        raise StorageUnsafe(f"tokens are not kept in {path}: it belongs to another user")
    if state.st_mode & 0o077:
        raise StorageUnsafe(
            f"tokens are not kept in {path}: others have access to it (mode {stat.S_IMODE(state.st_mode):o});"
            f" see who did, then: {remedy} {path}"
        )


def _read(folder: Path, name: str) -> bytes | None:
    path = folder / name
    if not os.path.lexists(folder):
        return None
    with _inside(folder) as held:
        try:
            descriptor = os.open(_place(folder, held, name), os.O_RDONLY | _NO_WAIT | _NO_LINK, dir_fd=held)
        except FileNotFoundError:
            return None
        except OSError as problem:
            raise StorageUnsafe(
                f"the record {path} can't be read: {problem.strerror}; it must be a plain file"
            ) from None
    try:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_size > _MAX_RECORD:
            raise StorageUnsafe(f"{path} is no record of tokens; move it away")
        _own(state, path, "chmod 600")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(_MAX_RECORD)
    finally:
        os.close(descriptor)


def _write(folder: Path, name: str, data: bytes) -> None:
    with _inside(folder) as held:
        for tries_left in reversed(range(_TRIES)):
            temporary = _place(folder, held, f".{name}.{secrets.token_hex(8)}")
            try:
                _sweep(folder, held, name)
                _fill(temporary, held, data)
                os.replace(temporary, _place(folder, held, name), src_dir_fd=held, dst_dir_fd=held)
                if held is not None:
                    os.fsync(held)  # the move itself is on the disk too
            except OSError as problem:
                if isinstance(problem, FileNotFoundError) and tries_left:
                    continue  # somebody took it for what a dead process left: this one stood still for a while
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=held)
                raise StorageUnsafe(f"tokens can't be written to {folder}: {problem.strerror}") from None
            return


def _fill(place: str, held: int | None, data: bytes) -> None:
    """A new file, all of it on the disk. Raises OSError."""
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o600, dir_fd=held)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(folder: Path, name: str) -> None:
    if not os.path.lexists(folder):
        return
    with _inside(folder) as held:
        try:
            _sweep(folder, held, name)
            with suppress(FileNotFoundError):
                os.unlink(_place(folder, held, name), dir_fd=held)
        except OSError as problem:
            raise StorageUnsafe(f"the record {folder / name} can't be removed: {problem.strerror}") from None


def _sweep(folder: Path, held: int | None, name: str) -> None:
    """Remove what processes left that died while they wrote this record: tokens stand in it."""
    for each in os.listdir(folder if held is None else held):
        place = _place(folder, held, each)
        with suppress(OSError):  # somebody else was first
            if (
                each.startswith(f".{name}.")
                and os.stat(place, dir_fd=held, follow_symlinks=False).st_mtime < time.time() - _LEFT
            ):
                os.unlink(place, dir_fd=held)


def _open_lock(folder: Path, name: str) -> int:
    with _inside(folder) as held:
        try:
            return open_lock(_place(folder, held, name), held)
        except OSError as problem:
            raise StorageUnsafe(f"the lock {folder / name} can't be opened: {problem.strerror}") from None
