"""Who else can read or write the file of a SQLite store.

Theory of operation
-------------------
The file holds who a session belongs to, what was said in it, and keys. Whoever can write it can be anybody; whoever
can read it knows the keys. So before each connection the file, what SQLite keeps beside it and their folder are looked
at, by name, for opening a file and closing it again would drop SQLite's locks:

* the folder must belong to this user or to root, and must not be writable by others: they could put another file, or a
  journal that SQLite would believe, into its place. A sticky folder (as /tmp is) will do, since there the files are
  safe once they are ours. So will one that is writable by a group in which there is nobody else;
* a link is followed, and both folders are judged; the link itself must be this user's or root's;
* the files must be plain files of this user. What others can write is refused. What others can only read is narrowed to
  its owner, with a warning: keys may have been read.

Root may use the folder of anybody, and what the owner of that folder put there: in a container it often has to. Access
control lists show as bits of the group. Other systems than POSIX are taken as they are.

Specification: none; "Security Best Practices" ask for secrets that stay secret.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress

from dovetail.logs import get_logger
from dovetail.stores.errors import StoreUnavailable

__all__ = ["check_access"]

_log = get_logger("dovetail.stores")
_BESIDE = ("-wal", "-shm", "-journal")
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def check_access(path: str) -> None:
    """Raise `StoreUnavailable` if others can write to the store at `path`, or put something into its place. Raises
    `OSError` where there is no folder.
    """
    if os.name != "posix":
        return
    place = os.path.abspath(path)
    real = os.path.realpath(place)
    folders = [_check_folder(path, folder) for folder in dict.fromkeys(map(os.path.dirname, (place, real)))]
    if place != real and os.path.islink(place):
        _check_owner(path, "the link to it", os.lstat(place), folders[0])
    for file in (real, *(real + end for end in _BESIDE)):
        with suppress(FileNotFoundError):  # or gone meanwhile: SQLite takes away what it no longer needs
            _check_file(path, file, folders[-1])


def _check_folder(path: str, folder: str) -> int:
    """Judge a folder, and give who owns it."""
    state = os.stat(folder)
    _check_owner(path, f"its folder {folder!r}", state, state.st_uid)
    if state.st_mode & stat.S_ISVTX:
        return state.st_uid
    if state.st_mode & stat.S_IWOTH or (state.st_mode & stat.S_IWGRP and _company(state)):
        raise _refused(
            path,
            f"others can write to its folder {folder!r} (mode {stat.S_IMODE(state.st_mode):o})",
            "Put it into a folder of its own, with mode 700.",
        )
    return state.st_uid


def _check_file(path: str, file: str, root_may_use: int) -> None:
    state = os.lstat(file)
    if not stat.S_ISREG(state.st_mode):
        raise _refused(path, f"{file!r} is no plain file", "Use another path.")
    _check_owner(path, repr(file), state, root_may_use)
    mode = stat.S_IMODE(state.st_mode)
    if mode & _OTHERS_WRITE:
        raise _refused(
            path,
            f"others can write to {file!r} (mode {mode:o})",
            "What it holds can't be trusted: see who has, then use a new file.",
        )
    if mode & _OTHERS:
        os.chmod(file, mode & ~_OTHERS)
        _log.warning(
            "others could read %r (mode %o), so they may know the keys and sessions in it; now only its owner can",
            file,
            mode,
        )


def _check_owner(path: str, what: str, state: os.stat_result, root_may_use: int) -> None:
    allowed = (0, root_may_use if os.geteuid() == 0 else os.geteuid())
    if state.st_uid not in allowed:
        raise _refused(
            path, f"{what} belongs to another user ({state.st_uid})", "Use a path that is this user's alone."
        )


def _company(state: os.stat_result) -> bool:
    """Whether somebody else is in the group of a folder."""
    import grp
    import pwd

    known = {0, os.geteuid(), state.st_uid}

    def others() -> Iterator[bool]:
        with suppress(KeyError):  # a number without a name: a container gave it to this process
            for name in grp.getgrgid(state.st_gid).gr_mem:
                with suppress(KeyError):
                    yield pwd.getpwnam(name).pw_uid not in known
        for each in pwd.getpwall():
            yield each.pw_gid == state.st_gid and each.pw_uid not in known

    return any(others())


def _refused(path: str, reason: str, remedy: str) -> StoreUnavailable:
    return StoreUnavailable(f"The SQLite store {path!r} is not used: {reason}. {remedy}")
