"""What a person agreed to, remembered by content: a command that became another one is not approved any more.

Theory of operation. An approval is the digest of an entry (`ServerDefinition.digest`: command, arguments, environment,
folder, URL, headers) under its name, in a file of the person's own. It is looked up before anything is started, so an
entry that another program changed, or added, asks again. Several commands may approve at once: each change is made
under a lock, on what the file says then. Whoever can write that file as the person can do what they
like anyway.

Specification: "Security Best Practices", "Local MCP Server Compromise".
"""

import json
import os
import re
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

from ...security import locked
from .definitions import ServerDefinition
from .errors import ConfigurationError, ConfigurationUnreadable, NotApproved
from .writing import read_whole, replace_whole

__all__ = ["Approvals"]

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class Approvals:
    """The approvals of this person. ``path``: the file (default: in the state folder of the user)."""

    def __init__(self, path: Path | str | None = None) -> None:
        self.path = Path(path) if path is not None else _default()

    def has(self, definition: ServerDefinition) -> bool:
        """Whether this entry was approved as it stands. Raises `ConfigurationUnreadable` for a file that is none."""
        return self._read()[1].get(definition.name) == definition.digest

    def add(self, definition: ServerDefinition) -> None:
        """Remember that the person agreed to this entry, in the place of what was approved under its name. Raises
        `ConfigurationError`.
        """
        with self._locked():
            data, known = self._read()
            self._write(data, known | {definition.name: definition.digest})

    def remove(self, name: str) -> None:
        """Forget what was approved under a name. Raises `ConfigurationError`."""
        with self._locked():
            data, known = self._read()
            if known.pop(name, None) is not None:
                self._write(data, known)

    def check(self, definition: ServerDefinition) -> None:
        """Nothing, for an entry that was approved as it stands. Raises `NotApproved` for any other."""
        known = self._read()[1].get(definition.name)
        if known == definition.digest:
            return
        what = "was not approved" if known is None else "was changed since it was approved"
        raise NotApproved(
            f"the server {definition.name!r} {what}, so it is not used; look at it and agree with: dovetail servers "
            f"approve {definition.name}"
        )

    @contextmanager
    def _locked(self) -> Generator[None]:
        """While the file is changed: no other process does. Raises `ConfigurationError`."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with locked(self.path):
                yield
        except (OSError, TimeoutError) as problem:
            why = getattr(problem, "strerror", None) or problem
            raise ConfigurationError(f"{str(self.path)!r} can't be written: {why}; nothing changed") from None

    def _read(self) -> tuple[bytes | None, dict[str, str]]:
        data = read_whole(self.path)
        if data is None:
            return None, {}
        try:
            found: Any = json.loads(data)
        except ValueError:
            found = None
        if not isinstance(found, dict) or not all(
            isinstance(each, str) and _DIGEST.fullmatch(each)
            for each in cast("dict[str, Any]", found).values()
        ):
            raise ConfigurationUnreadable(
                f"{str(self.path)!r} holds no approvals; delete it, and approve anew"
            )
        return data, cast("dict[str, str]", found)

    def _write(self, before: bytes | None, known: dict[str, str]) -> None:
        after = (json.dumps(known, indent=2, sort_keys=True) + "\n").encode()
        replace_whole(self.path, before, after, within=None, mode=0o600)


def _default() -> Path:
    home = Path.home()
    if sys.platform == "win32":
        folder = _given("LOCALAPPDATA", home / "AppData" / "Local")
    elif sys.platform == "darwin":
        folder = home / "Library" / "Application Support"
    else:
        folder = _given("XDG_STATE_HOME", home / ".local" / "state")
    return folder / "dovetail" / "approvals.json"


def _given(variable: str, otherwise: Path) -> Path:
    found = Path(os.environ.get(variable, ""))
    return found if found.is_absolute() else otherwise
