"""Where in the author's own files something happened, and which files those are.

Theory of operation. The author's files are those below the folder of the file that is served (of its outermost
package): code below `site-packages` or a hidden folder there is somebody else's. An error is placed at the innermost
frame that is the author's, which is the line to look at.

Specification: none.
"""

from __future__ import annotations

import sys
import traceback
import types
from pathlib import Path
from typing import Final, cast

_FOREIGN: Final = frozenset({"site-packages", "dist-packages", "node_modules", "__pycache__"})
MAX_FILES: Final = 5000


class AuthorsFiles:
    """The files of one author. ``path`` is the file that is served."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        folder = self.path.parent
        while (folder / "__init__.py").is_file():
            folder = folder.parent
        self.folder = folder

    def owns(self, filename: str) -> bool:
        """Whether a file is the author's."""
        try:
            inside = Path(filename).resolve().relative_to(self.folder)
        except (ValueError, OSError):
            return False
        return not any(part in _FOREIGN or part.startswith(".") for part in inside.parts[:-1])

    def imported(self) -> list[str]:
        """The author's files that are imported now, and the one that is served."""
        found = {str(self.path)}
        for module in tuple(sys.modules.values()):
            name = getattr(module, "__file__", None)
            if isinstance(name, str) and name.endswith(".py") and self.owns(name):
                found.add(str(Path(name).resolve()))
        return sorted(found)

    def all(self) -> list[str]:
        """All Python files of the author, imported or not; at most `MAX_FILES`."""
        found: list[str] = []
        waiting = [self.folder]
        while waiting and len(found) < MAX_FILES:
            try:
                entries = sorted(waiting.pop().iterdir())
            except OSError:
                continue
            for entry in entries:
                if entry.name.startswith(".") or entry.name in _FOREIGN:
                    continue
                if entry.is_dir():
                    if not (entry / "pyvenv.cfg").exists():
                        waiting.append(entry)
                elif entry.suffix == ".py":
                    found.append(str(entry))
        return found[:MAX_FILES]

    def shown(self, filename: str) -> str:
        """A file of the author's as people call it."""
        try:
            return str(Path(filename).resolve().relative_to(self.folder))
        except (ValueError, OSError):
            return filename

    def place(self, problem: BaseException) -> str:
        """``file:line`` of a problem, or "" if none of it is the author's."""
        if isinstance(problem, BaseExceptionGroup):
            group = cast("BaseExceptionGroup[BaseException]", problem)
            return self.place(group.exceptions[0]) or self._innermost(group)
        if isinstance(problem, SyntaxError) and problem.filename and self.owns(problem.filename):
            return f"{self.shown(problem.filename)}:{problem.lineno}"
        return self._innermost(problem)

    def _innermost(self, problem: BaseException) -> str:
        for frame, line in reversed(list(traceback.walk_tb(problem.__traceback__))):
            if self.owns(frame.f_code.co_filename):
                return f"{self.shown(frame.f_code.co_filename)}:{line}"
        return ""

    def definition(self, name: str) -> str:
        """``file:line`` of the function of this name, or "" if there is none in the author's modules."""
        for module in tuple(sys.modules.values()):
            if not self.owns(str(getattr(module, "__file__", None) or "/")):
                continue
            found = vars(module).get(name)
            if isinstance(found, types.FunctionType) and self.owns(found.__code__.co_filename):
                return f"{self.shown(found.__code__.co_filename)}:{found.__code__.co_firstlineno}"
        return ""
