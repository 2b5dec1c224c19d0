"""Paths from outside, kept inside a directory.

Theory of operation
-------------------
Two checks, neither of which trusts the other. First the text: each part of a path must be a plain file name
on every system, so that a server is as safe on Windows as where its author tested it. Parent references,
absolute paths, drives, alternate streams, network paths, device names, NUL and other controls are refused,
not repaired. Then the file system: `safe_join` compares resolved paths by their parts (``/allowed_evil`` is
not in ``/allowed``), and `open_within` walks down from the open root, one directory at a time, following no
symbolic link, so that nothing changes under its feet between the check and the use.

Paths come decoded: whoever reads a URI decodes it once, before it comes here.

Specification: server/resources, "Security Considerations"; client/roots, "Security Considerations".
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from ..protocol.errors import DovetailError

__all__ = ["PathRefused", "directory_within", "is_plain_name", "open_within", "safe_join"]

_MAX_PART: Final = 255
_MAX_PATH: Final = 4096
_SHOWN: Final = 120
_FORBIDDEN: Final = re.compile('[\x00-\x1f\x7f\\\\:*?"<>|]')
_DEVICE: Final = re.compile(
    "(?:con|prn|aux|nul|conin\\$|conout\\$|clock\\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])[ ]*(?:\\..*)?",
    re.IGNORECASE | re.DOTALL,
)
_CAN_WALK: Final = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
# Without O_NONBLOCK, opening a named pipe would wait for its writer for ever.
_FILE: Final = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOCTTY", 0)
)


class PathRefused(DovetailError):
    """A path that leaves its directory, or that some system takes for something else than a file's name: ask
    for one below the directory.
    """

    retry_safe = True

    def __init__(self, path: str, reason: str) -> None:
        shown = path if len(path) <= _SHOWN else path[:_SHOWN] + "..."
        super().__init__(f"the path {shown!r} is refused: {reason}")
        self.reason = reason


def safe_join(root: str | os.PathLike[str], *parts: str) -> Path:
    """The resolved path of ``parts`` below ``root``; each may have several components, separated by ``/``.

    Symbolic links are followed as long as they stay inside. The file need not exist. Whoever opens it should
    prefer `open_within`, since a link may be put there in between. Raises `PathRefused`.
    """
    shown = "/".join(parts)
    names = [name for part in parts for name in _names(part)]
    if len(shown) > _MAX_PATH:
        raise PathRefused(shown, f"it has more than {_MAX_PATH} characters")
    base = Path(root).resolve()
    try:
        joined = base.joinpath(*names).resolve()
    except (OSError, RuntimeError):  # RuntimeError: a loop of links, before Python 3.13
        raise PathRefused(shown, "it cannot be resolved") from None
    if not joined.is_relative_to(base):
        raise PathRefused(shown, "it leaves its directory through a link")
    return joined


def open_within(root: str | os.PathLike[str], relative: str) -> BinaryIO:
    """Open the regular file ``relative`` below ``root`` for reading.

    No symbolic link below ``root`` is followed, not even one that stays inside; ``root`` itself may be one.
    Raises `PathRefused`, or `OSError` (such as FileNotFoundError) that names ``relative`` only.
    """
    names = list(_names(relative))
    if not names:
        raise PathRefused(relative, "it names no file")
    try:
        descriptor = _walk(root, names, _FILE) if _CAN_WALK else _open_checked(root, names)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
            raise PathRefused(relative, "a part of it is a link or not a directory") from None
        raise type(error)(error.errno, os.strerror(error.errno or 0), relative) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise PathRefused(relative, "it is not a regular file")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


@contextmanager
def directory_within(root: str | os.PathLike[str], relative: str) -> Generator[int | Path]:
    """The directory ``relative`` ("" for the root) below ``root``, opened as `open_within` opens a file: something for
    `os.scandir`, and where it is a descriptor for ``dir_fd=``, as long as this lasts.

    Raises `PathRefused`, or `OSError`, which in the body is one of the body's.
    """
    names = list(_names(relative)) if relative else []
    if not _CAN_WALK:
        path = Path(root).resolve().joinpath(*names)
        _refuse_links(Path(root).resolve(), names)
        yield path
        _refuse_links(Path(root).resolve(), names)
        return
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        descriptor = _walk(root, names, flags | os.O_NOFOLLOW) if names else os.open(root, flags)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
            raise PathRefused(relative, "a part of it is a link or not a directory") from None
        raise
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_plain_name(name: str) -> bool:
    """Whether a text is the name of a file or directory, and nothing else, on every system."""
    return not _objection(name)


def _names(path: str) -> Iterator[str]:
    """The components of a path, each a plain name on every system."""
    if len(path) > _MAX_PATH:
        raise PathRefused(path, f"it has more than {_MAX_PATH} characters")
    if not path:
        raise PathRefused(path, "it is empty")
    for name in path.split("/"):
        reason = _objection(name)
        if reason:
            raise PathRefused(path, reason)
        yield name


def _objection(name: str) -> str:
    """Why ``name`` is not a plain file name on every system, or nothing."""
    if not name:
        return "it is absolute or has an empty component"
    if name.strip(". ") == "" or name[-1] in ". ":
        return "a component is a directory reference or ends in a dot or a space"
    if _FORBIDDEN.search(name):
        return "it has a control character or one that separates paths, drives or streams on some system"
    if _DEVICE.fullmatch(name):
        return "a component is the name of a device on some system"
    try:
        if len(name.encode()) > _MAX_PART:
            return f"a component has more than {_MAX_PART} bytes"
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    return ""


def _walk(root: str | os.PathLike[str], names: list[str], flags: int) -> int:
    """Open the last of ``names`` with these flags, going down from the root by open directories only."""
    directory_flags = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
    here = os.open(root, directory_flags)
    try:
        for name in names[:-1]:
            below = os.open(name, directory_flags | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = below
        return os.open(names[-1], flags, dir_fd=here)
    finally:
        os.close(here)


def _open_checked(root: str | os.PathLike[str], names: list[str]) -> int:
    """Where directories cannot be held open (Windows): refuse links before, compare the file after opening
    it.
    """
    base = Path(root).resolve()
    path = _refuse_links(base, names)
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0))
    try:
        resolved = path.resolve(strict=True)
        inside = resolved.is_relative_to(base)  # what a directory became meanwhile may lead anywhere
        if not inside or not os.path.samestat(os.fstat(descriptor), os.stat(resolved)):
            raise OSError(errno.ELOOP, "changed while it was opened")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _refuse_links(base: Path, names: list[str]) -> Path:
    """The path of these names; raises `OSError` where one of them is a link."""
    path = base
    for name in names:
        path /= name
        if path.is_symlink() or _is_junction(path):
            raise OSError(errno.ELOOP, "a link")
    return path


def _is_junction(path: Path) -> bool:
    try:
        attributes: int = getattr(os.lstat(path), "st_file_attributes", 0)
    except OSError:
        return False
    return bool(attributes & getattr(stat, "FILE_ATTRIBUTE_REPARSE_POINT", 0x400))
