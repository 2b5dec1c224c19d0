"""The files below a directory that a pattern chooses: listed in a stable order, opened safely, compared over time.

Theory of operation. Nothing is kept of a list: a page walks the tree from the name that the last one ended with, and
leaves out directories that lie before it. Names are ordered part by part. Symbolic links are neither listed nor
followed; neither is what is hidden (a part that begins with a dot), what is no regular file, and what is no plain file
name on every system (`dovetail.security`). All of this blocks, and belongs into a thread.

Specification: server/resources, "Security Considerations".
"""

import os
import re
import stat
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from ...security.safe_paths import PathRefused, directory_within, is_plain_name, open_within

MAX_WATCHED: Final = 100_000
"""Files that are compared over time; of directories with more, changes are not seen."""
MAX_DEPTH: Final = 64
"""Parts of a path; what lies deeper is not shown."""
_BESIDE_PATTERN: Final = re.compile(r"\*\*|\*|\?|[^*?]+")


class FoundFile(NamedTuple):
    """A file below the directory: its path with ``/`` between the parts, its size in bytes, when it was changed."""

    path: str
    size: int
    modified: float


class FileTree:
    """What is below ``root`` and fits ``pattern``: in it ``*`` and ``?`` stand for characters of one part, ``**`` for
    any number of parts. Raises ValueError for a root that is no directory.
    """

    def __init__(self, root: str | os.PathLike[str], pattern: str) -> None:
        self.root = Path(root).resolve()
        if not self.root.is_dir():
            raise ValueError(f"{str(root)!r} is no directory")
        self._fits = _compiled(pattern)
        self._folds = _folds_case(self.root)

    def page(self, after: str | None, count: int) -> tuple[list[FoundFile], str | None]:
        """At most ``count`` files after a path, and the path to go on after, None at the end."""
        found: list[FoundFile] = []
        with closing(self._walk("", tuple(after.split("/")) if after else ())) as paths:
            for path in paths:
                if len(found) == count:
                    return found, found[-1].path
                if (file := self._look(path)) is not None:
                    found.append(file)
        return found, None

    def find(self, path: str) -> FoundFile | None:
        """The file of a path; None for one that is not there or is not shown."""
        if not self._is_shown(path) or not self._fits.fullmatch(path):
            return None
        try:
            with open_within(self.root, path) as file:
                status = os.fstat(file.fileno())
        except (OSError, PathRefused):
            return None
        return FoundFile(path, status.st_size, status.st_mtime)

    def read(self, path: str, offset: int, limit: int) -> tuple[bytes, int] | None:
        """At most ``limit`` bytes of a file from ``offset`` on, and its size; None where there is no such file."""
        if not self._is_shown(path) or not self._fits.fullmatch(path):
            return None
        try:
            with open_within(self.root, path) as file:
                file.seek(offset)
                data = file.read(limit)
                size = os.fstat(file.fileno()).st_size  # afterwards: it may be growing, or shrinking
                return data, max(size, offset + len(data)) if data else size
        except (OSError, PathRefused):
            return None

    def is_directory(self, path: str) -> bool:
        """Whether a path, "" for the root, is a directory that is shown."""
        if path and not self._is_shown(path):
            return False
        try:
            with directory_within(self.root, path):
                return True
        except (OSError, PathRefused):
            return False

    def listing(self, path: str) -> bytes | None:
        """The names of what is shown in a directory, a line each; None where there is no such directory."""
        if not self.is_directory(path):
            return None
        return "".join(f"{each}\n" for each in self.names(path, MAX_WATCHED)).encode()

    def names(self, directory: str, count: int) -> list[str]:
        """At most ``count`` names of what is shown in a directory, with a slash after those of directories."""
        found: list[str] = []
        for name, is_directory in self._entries(directory) if self.is_directory(directory) else ():
            path = f"{directory}/{name}" if directory else name
            if is_directory or self._fits.fullmatch(path):
                found.append(f"{name}/" if is_directory else name)
                if len(found) == count:
                    break
        return found

    def snapshot(self) -> dict[str, int] | None:
        """What all files look like from outside, by path; None for more than `MAX_WATCHED`."""
        found: dict[str, int] = {}
        waiting = [""]
        while waiting:
            directory = waiting.pop()
            try:
                with directory_within(self.root, directory) as opened:
                    for name, is_directory in _scanned(opened):
                        path = f"{directory}/{name}" if directory else name
                        if is_directory:
                            if path.count("/") + 1 < MAX_DEPTH:
                                waiting.append(path)
                        elif self._fits.fullmatch(path) and (status := _status(opened, name)) is not None:
                            found[path] = hash((status.st_mtime_ns, status.st_size, status.st_ino))
                            if len(found) > MAX_WATCHED:
                                return None
            except (OSError, PathRefused):
                continue  # it went while we looked
        return found

    def _walk(self, directory: str, after: tuple[str, ...]) -> Generator[str]:
        """Paths that fit, in order, after one that is given by its parts."""
        if directory.count("/") + 1 >= MAX_DEPTH:
            return
        for name, is_directory in self._entries(directory, after[0] if after else ""):
            path = f"{directory}/{name}" if directory else name
            at_place = bool(after) and name == after[0]
            if is_directory:
                yield from self._walk(path, after[1:] if at_place else ())
            elif not (at_place and len(after) == 1) and self._fits.fullmatch(path):
                yield path

    def _entries(self, directory: str, first: str = "") -> list[tuple[str, bool]]:
        """The names in a directory that may be shown, in order from ``first`` on, and whether they are directories."""
        try:
            with directory_within(self.root, directory) as opened:
                return sorted(_scanned(opened, first))
        except (OSError, PathRefused):
            return []  # it went while we looked

    def _look(self, path: str) -> FoundFile | None:
        directory, _, name = path.rpartition("/")
        try:
            with directory_within(self.root, directory) as opened:
                status = _status(opened, name)
        except (OSError, PathRefused):
            return None
        return None if status is None else FoundFile(path, status.st_size, status.st_mtime)

    def _is_shown(self, path: str) -> bool:
        """Whether a path has no hidden part, and is written as its names are."""
        parts = path.split("/")
        if len(parts) > MAX_DEPTH or any(part.startswith(".") or not part for part in parts):
            return False
        if not self._folds:
            return True
        try:
            return all(
                name in os.listdir(self.root.joinpath(*parts[:depth])) for depth, name in enumerate(parts)
            )
        except (OSError, ValueError):
            return False


def _scanned(opened: int | Path, first: str = "") -> Iterator[tuple[str, bool]]:
    """The names in a directory that may be shown, from ``first`` on, and whether they are directories."""
    with os.scandir(opened) as entries:
        for each in entries:
            name = each.name
            if name >= first and name[0] != "." and is_plain_name(name):
                if each.is_file(follow_symlinks=False):
                    yield name, False
                elif each.is_dir(follow_symlinks=False):
                    yield name, True


def _status(opened: int | Path, name: str) -> os.stat_result | None:
    """What a regular file in a directory looks like; None for what is none."""
    try:
        if isinstance(opened, Path):
            status = os.lstat(opened / name)
        else:
            status = os.stat(name, dir_fd=opened, follow_symlinks=False)
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _compiled(pattern: str) -> re.Pattern[str]:
    """Raises ValueError for a pattern that is none."""
    parts = pattern.split("/")
    if (
        not pattern
        or "" in parts
        or ".." in parts
        or "." in parts
        or any("**" in part and part != "**" for part in parts)
    ):
        raise ValueError(
            f"the pattern {pattern!r:.100} is none: write '*.md' for the files of the directory, '**/*.md' for those"
            " below it, too"
        )
    text = ""
    for place, part in enumerate(parts):
        last = place == len(parts) - 1
        if part == "**":
            text += ".+" if last else "(?:[^/]+/)*"
        else:
            pieces: list[str] = _BESIDE_PATTERN.findall(part)
            text += "".join({"*": "[^/]*", "?": "[^/]"}.get(each, re.escape(each)) for each in pieces)
            text += "" if last else "/"
    return re.compile(text, re.DOTALL)


def _folds_case(root: Path) -> bool:
    """Whether the file system takes other letters for the same name."""
    other = root.with_name(root.name.swapcase())
    try:
        return other.name != root.name and other.samefile(root)
    except OSError:
        return False


__all__ = ["MAX_DEPTH", "MAX_WATCHED", "FileTree", "FoundFile"]
