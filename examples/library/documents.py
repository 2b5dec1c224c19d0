"""A folder of documents: which files count, reading one, and setting one aside.

A path that a caller names is never joined by hand: `open_within` and `safe_join` refuse whatever would leave
the folder, on every system, links included.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dovetail import ToolError
from dovetail.security import PathRefused, open_within, safe_join

TYPES = {".md": "text/markdown", ".txt": "text/plain"}
MAX_BYTES = 2 * 1024 * 1024
MAX_DOCUMENTS = 10_000
TRASH = ".trash"


class NoDocument(ToolError):
    """There is no such document. As a `ToolError`, its text reaches the model, which can act on it."""


@dataclass(frozen=True)
class Stamp:
    """Differs whenever a file's content does."""

    modified: int
    size: int


class Folder:
    """The documents below one folder. Hidden files and folders, the trash among them, do not count."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise NotADirectoryError(f"{root} is not a folder of documents")
        self.root = root.resolve()

    def stamps(self) -> dict[str, Stamp]:
        """Every document's path, with forward slashes, and its stamp."""
        found: dict[str, Stamp] = {}
        for path in sorted(self._files()):
            try:
                about = path.stat()
            except FileNotFoundError:  # gone since it was listed
                continue
            if about.st_size <= MAX_BYTES and len(found) < MAX_DOCUMENTS:
                name = path.relative_to(self.root).as_posix()
                found[name] = Stamp(about.st_mtime_ns, about.st_size)
        return found

    def read(self, path: str) -> str:
        """The text of a document. Raises `NoDocument`."""
        self._check_kind(path)
        try:
            with open_within(self.root, path) as file:
                return file.read(MAX_BYTES).decode("utf-8", "replace")
        except (OSError, PathRefused) as problem:
            raise NoDocument(f"there is no document {path!r}: {_reason(problem)}") from None

    def mime_type(self, path: str) -> str:
        """What kind of text a document is."""
        return TYPES.get(Path(path).suffix.lower(), "text/plain")

    def discard(self, path: str) -> str:
        """Move a document to the trash and give its new path. Raises `NoDocument`."""
        self.read(path)
        trash = self.root / TRASH
        trash.mkdir(exist_ok=True)
        target = trash / path.replace("/", "-")
        number = 1
        while target.exists():
            number += 1
            target = trash / f"{number}-{path.replace('/', '-')}"
        os.rename(safe_join(self.root, path), target)
        return target.relative_to(self.root).as_posix()

    def _files(self) -> Iterator[Path]:
        for folder, folders, names in os.walk(self.root):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                path = Path(folder, name)
                if not name.startswith(".") and path.suffix.lower() in TYPES and not path.is_symlink():
                    yield path

    def _check_kind(self, path: str) -> None:
        hidden = any(part.startswith(".") and part.strip(".") for part in path.split("/"))
        if hidden or Path(path).suffix.lower() not in TYPES:
            raise NoDocument(f"there is no document {path!r}: only {' and '.join(TYPES)} files count")


def _reason(problem: OSError | PathRefused) -> str:
    return (
        problem.reason
        if isinstance(problem, PathRefused)
        else (problem.strerror or "it can't be read").lower()
    )
