"""Decisions that were made, and what was decided on: remembered for a session, or kept in a file.

Theory of operation. A decision holds for a server as it was: its name in the host and an identity, which is a digest
of where it leads (the command with its environment and folder, the URL with its headers). A server of the same name
that leads elsewhere is a stranger. A decision on a tool holds for the definition that was shown; the definitions are
kept, so that a change can be shown. A refusal goes before an approval.

The file is JSON, written whole into a new file that then takes its place, for nobody else to read. Several processes
may write it: each change is made under a lock (`security.file_lock`), on what the file says then, so none takes back
what another one noted. What a process leaves that dies while it writes is taken away by the next one.

Specification: server/tools, "Security Considerations".
"""

import glob
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal, cast

import msgspec
from msgspec import Struct

from ..errors import DovetailError
from ..security import locked
from ..types import Tool
from .consent import ConsentKind
from .patterns import arguments_fit
from .tool_definitions import definition_of, fingerprint_of

__all__ = [
    "Decisions",
    "DecisionsUnreadable",
    "RememberedDecision",
    "canonical",
    "fingerprint_of_tools",
    "identity_of",
]

MAX_FILE: Final = 64 * 1024 * 1024
"""Bytes of a file of decisions."""
_PART: Final = ".part"


class RememberedDecision(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``allowed`` or not: what of kind ``kind`` has to do with ``server``, as long as that has this ``identity``.

    ``tool``: the tool, prompt or resource; empty for any. ``fingerprint``: of the tool as it was shown; for any tool,
    of those that were listed then. ``arguments``: the very arguments as JSON; ``matching``: patterns of some of them.
    ``reason``: of a refusal. ``kept``: in the file, beyond the session.
    """

    server: str
    identity: str
    kind: ConsentKind
    allowed: bool
    tool: str = ""
    fingerprint: str = ""
    arguments: str | None = None
    matching: dict[str, str] | None = None
    reason: str = ""
    kept: bool = False


class _Kept(Struct, kw_only=True):
    """The file. ``shown``: by server and identity, the definitions of tools that were agreed to."""

    format: Literal[1] = 1
    decisions: list[RememberedDecision] = []
    shown: dict[str, dict[str, dict[str, Any]]] = {}


class DecisionsUnreadable(DovetailError):
    """A file of decisions is not one that was written here: look at it, or move it away, and decide again."""


class Decisions:
    """Decisions of a session, and with ``path`` those that are kept, in a file that several hosts may use at once.
    Beside it lies the lock file that they share (``NAME.lock``). Raises `DecisionsUnreadable`, OSError.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._path = None if path is None else Path(path)
        self._read_last: tuple[tuple[int, ...] | None, _Kept] = (None, _Kept())  # a version and what it says
        self._session: list[RememberedDecision] = []
        self._kept()

    def __iter__(self) -> Iterator[RememberedDecision]:
        return iter([*self._session, *self._kept().decisions])

    def _kept(self) -> _Kept:
        """What the file says now, whoever wrote it."""
        known, kept = self._read_last
        if self._path is None:
            return kept
        version = _version_of(self._path)
        if version != known:
            kept = _Kept() if version is None else _read(self._path)
            self._read_last = (version, kept)
        return kept

    def find(
        self, server: str, identity: str, kind: ConsentKind, tool: str, arguments: Mapping[str, Any] | None
    ) -> list[RememberedDecision]:
        """The decisions that this falls under, whatever has become of the tool; refusals first."""
        own = canonical(arguments)
        found = [
            each
            for each in self
            if each.server == server
            and each.identity == identity
            and each.kind == kind
            and each.tool in ("", tool)
            and each.arguments in (None, own)
            and (each.matching is None or arguments_fit(each.matching, arguments, in_doubt=not each.allowed))
        ]
        return sorted(found, key=lambda each: each.allowed)

    def remember(self, decision: RememberedDecision) -> None:
        """Note a decision; one that is ``kept`` is written, which may wait for another process. Raises OSError, also
        (TimeoutError) where that one does not let go of the file in 10 seconds.
        """
        if not decision.kept or self._path is None:
            self._session.append(decision)
            return

        def noted(kept: _Kept) -> None:
            if decision not in kept.decisions:
                kept.decisions.append(decision)

        self._change(noted)

    def shown(self, server: str, identity: str, tool: str) -> Mapping[str, Any] | None:
        """The definition of a tool that was agreed to last, if any was."""
        return self._kept().shown.get(f"{server} {identity}", {}).get(tool)

    def show(self, server: str, identity: str, tool: Tool) -> None:
        """This definition was agreed to, by whom or what ever. Raises OSError, as `remember`."""
        definition = definition_of(tool)

        def noted(kept: _Kept) -> None:
            kept.shown.setdefault(f"{server} {identity}", {})[tool.name] = definition

        if self.shown(server, identity, tool.name) != definition:
            self._change(noted)

    def forget(self, server: str | None = None) -> None:
        """Take back all decisions; of one server only, where it is named. Raises OSError, as `remember`."""
        self._session = [each for each in self._session if server not in (None, each.server)]

        def without(kept: _Kept) -> None:
            kept.decisions = [each for each in kept.decisions if server not in (None, each.server)]
            kept.shown = {
                place: tools
                for place, tools in kept.shown.items()
                if server not in (None, place.split(" ")[0])
            }

        self._change(without)

    def new_session(self) -> None:
        """What was decided for the session holds no more."""
        self._session.clear()

    def _change(self, change: Callable[[_Kept], None]) -> None:
        """Change what is kept, on top of what others wrote. Readers see it before or after, never between."""
        path = self._path
        if path is None:
            change(self._kept())
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path):
            kept = _Kept() if _version_of(path) is None else _read(path)
            change(kept)
            _write(path, kept)
            self._read_last = (_version_of(path), kept)


def _write(path: Path, kept: _Kept) -> None:
    """Put it into the place of what there is. Whoever has the lock is the only one to write here."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.????????{_PART}"):
        with suppress(OSError):  # it costs no more than its room
            left.unlink()
    handle, name = tempfile.mkstemp(_PART, f".{path.name}.", path.parent)  # for its owner alone
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(kept), indent=1))
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def _version_of(path: Path) -> tuple[int, ...] | None:
    """Which file this is now, and which version of it; None if there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _read(path: Path) -> _Kept:
    with path.open("rb") as file:
        text = file.read(MAX_FILE + 1)
    if len(text) > MAX_FILE:
        raise DecisionsUnreadable(f"the file of decisions {str(path)!r} is larger than {MAX_FILE} bytes")
    try:
        return msgspec.json.decode(text, type=_Kept)
    except (msgspec.MsgspecError, RecursionError) as problem:
        raise DecisionsUnreadable(f"the file of decisions {str(path)!r} can't be read: {problem}") from None


def identity_of(target: Any, options: Mapping[str, Any]) -> str:
    """A digest of where a server leads, as the program says it. Of an object in this process it is the type."""
    if isinstance(target, (list, tuple)):
        where: Any = [str(each) for each in cast("list[Any]", target)]
    elif isinstance(target, (str, Path)):
        where = str(target)
    else:
        where = f"{type(target).__module__}.{type(target).__qualname__}"
    headers, auth = options.get("headers"), options.get("auth")
    told = {
        "target": where,
        "env": sorted(cast("dict[str, str]", options.get("env") or {}).items()),
        "cwd": str(options.get("cwd") or ""),
        "headers": sorted(cast("dict[str, str]", headers).items())
        if isinstance(headers, Mapping)
        else headers is not None,
        "auth": auth if isinstance(auth, str) else "" if auth is None else type(auth).__qualname__,
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def fingerprint_of_tools(tools: Mapping[str, Tool]) -> str:
    """A digest of the definitions of several tools."""
    return fingerprint_of({name: definition_of(tool) for name, tool in tools.items()})


def canonical(arguments: Mapping[str, Any] | None) -> str:
    """Arguments as one text, whatever their order."""
    return json.dumps(arguments or {}, sort_keys=True, separators=(",", ":"), default=str)
