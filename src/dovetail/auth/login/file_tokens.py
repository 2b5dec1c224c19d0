"""Tokens in files that only their owner can read.

Theory of operation. Each record is a file of its own, mode 0600, in a folder of mode 0700. It is written to a new file
beside it and moved into place, so that a reader sees the old or the new one, whole. A folder or file that others could
read or replace is refused instead of repaired: who knows what they did already. Links are never followed, neither to
the file nor through the folder itself. Locks are files beside the records, held by the operating system, so that a
process that dies lets go of them.

Specification: OAuth 2.1 section 7.1; "Token Theft" in basic/authorization/security-considerations.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import stat
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from .problems import StorageUnsafe

__all__ = ["FileTokens", "default_folder", "locked_file"]

_MAX_RECORD: Final = 256 * 1024
_LOCK_TIME: Final = 60.0
_POLL_FROM: Final = 0.01
_POLL_TO: Final = 0.1
_POSIX: Final = os.name == "posix"
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def default_folder() -> Path:
    """Where tokens are kept unless told otherwise: the state folder of this user."""
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "dovetail" / "logins"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "dovetail" / "logins"
    return Path(os.environ.get("XDG_STATE_HOME") or home / ".local" / "state") / "dovetail" / "logins"


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
        """Keep a record, in one step."""
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
    descriptor = await asyncio.to_thread(_open_lock, folder, f"{_checked(key)}.lock")
    try:
        pause = _POLL_FROM
        async with asyncio.timeout(_LOCK_TIME):
            while not _try_lock(descriptor):  # nothing tells when another process lets go
                await asyncio.sleep(pause)
                pause = min(2 * pause, _POLL_TO)
        yield
    finally:
        os.close(descriptor)


def _checked(key: str) -> str:
    if not key or not key.replace("-", "").replace("_", "").isalnum() or not key.isascii() or len(key) > 120:
        raise ValueError("a key of a record has letters, digits and hyphens only")
    return key


def _prepare(folder: Path) -> None:
    """Make the folder if need be, and make sure of it."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        state = folder.lstat()
    except OSError as problem:
        raise StorageUnsafe(f"tokens can't be kept in {folder}: {problem.strerror}") from None
    if not stat.S_ISDIR(state.st_mode):
        raise StorageUnsafe(f"tokens are not kept in {folder}: it is a link or no folder")
    _own(state, folder, "chmod 700")


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
    try:
        folder.lstat()
    except FileNotFoundError:
        return None
    _prepare(folder)
    try:
        descriptor = os.open(path, os.O_RDONLY | _NO_LINK)
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
    _prepare(folder)
    temporary = folder / f".{name}.{secrets.token_hex(8)}"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o600)
        try:
            with open(descriptor, "wb", closefd=False) as file:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(folder / name)
        _sync(folder)
    except OSError as problem:
        with suppress(OSError):
            temporary.unlink()
        raise StorageUnsafe(f"tokens can't be written to {folder}: {problem.strerror}") from None


def _remove(folder: Path, name: str) -> None:
    try:
        (folder / name).unlink(missing_ok=True)
    except OSError as problem:
        raise StorageUnsafe(f"the record {folder / name} can't be removed: {problem.strerror}") from None


def _sync(folder: Path) -> None:
    """See to it that the move itself is on the disk, where the system can do that."""
    if not _POSIX:
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open_lock(folder: Path, name: str) -> int:
    _prepare(folder)
    try:
        return os.open(folder / name, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o600)
    except OSError as problem:
        raise StorageUnsafe(f"the lock {folder / name} can't be opened: {problem.strerror}") from None


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            os.lseek(descriptor, 0, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
