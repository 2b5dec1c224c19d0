"""Decisions that were made, and what was decided on: remembered for a session, or kept in a file.

Theory of operation. A decision holds for a server as it was: its name in the host and an identity, which is a digest
of where it leads (the command with its environment and folder, the URL with its headers). A server of the same name
that leads elsewhere is a stranger. A decision on a tool holds for the definition that was shown; the definitions are
kept, so that a change can be shown. A refusal goes before an approval.

The file is JSON, written whole into a new file that then takes its place, for nobody else to read.

Specification: server/tools, "Security Considerations".
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, cast

import msgspec
from msgspec import Struct

from ..errors import DovetailError
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


class RememberedDecision(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``allowed`` or not: what of kind ``kind`` has to do with ``server``, as long as that has this ``identity``.

    ``tool``: the tool, prompt or resource; empty for any. ``fingerprint``: of the tool as it was shown; for any tool,
    of those that were listed then. ``arguments``: the very arguments as JSON; ``matching``: patterns of some of them.
    ``kept``: in the file, beyond the session.
    """

    server: str
    identity: str
    kind: ConsentKind
    allowed: bool
    tool: str = ""
    fingerprint: str = ""
    arguments: str | None = None
    matching: dict[str, str] | None = None
    kept: bool = False


class _Kept(Struct, kw_only=True):
    """The file. ``shown``: by server and identity, the definitions of tools that were agreed to."""

    format: Literal[1] = 1
    decisions: list[RememberedDecision] = []
    shown: dict[str, dict[str, dict[str, Any]]] = {}


class DecisionsUnreadable(DovetailError):
    """A file of decisions is not one that was written here: look at it, or move it away, and decide again."""


class Decisions:
    """Decisions of a session, and with ``path`` those that are kept. Raises `DecisionsUnreadable`, OSError."""

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._path = None if path is None else Path(path)
        self._kept = _Kept()
        self._session: list[RememberedDecision] = []
        self._version: tuple[int, ...] | None = None
        self._read_again()

    def __iter__(self) -> Iterator[RememberedDecision]:
        self._read_again()
        return iter([*self._session, *self._kept.decisions])

    def _read_again(self) -> None:
        """Take in what another process wrote, or took back."""
        if self._path is None:
            return
        version = _version_of(self._path)
        if version != self._version:
            self._kept = _Kept() if version is None else _read(self._path)
            self._version = version

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
        """Note a decision; one that is ``kept`` is written. Raises OSError."""
        if decision.kept and self._path is not None:
            self._read_again()
            self._kept.decisions.append(decision)
            self._write()
        else:
            self._session.append(decision)

    def shown(self, server: str, identity: str, tool: str) -> Mapping[str, Any] | None:
        """The definition of a tool that was agreed to last, if any was."""
        self._read_again()
        return self._kept.shown.get(f"{server} {identity}", {}).get(tool)

    def show(self, server: str, identity: str, tool: Tool) -> None:
        """This definition was agreed to, by whom or what ever. Raises OSError."""
        definition = definition_of(tool)
        if self.shown(server, identity, tool.name) != definition:
            self._kept.shown.setdefault(f"{server} {identity}", {})[tool.name] = definition
            self._write()

    def forget(self, server: str | None = None) -> None:
        """Take back all decisions; of one server only, where it is named. Raises OSError."""
        self._read_again()
        self._session = [each for each in self._session if server not in (None, each.server)]
        self._kept.decisions = [each for each in self._kept.decisions if server not in (None, each.server)]
        for place in [each for each in self._kept.shown if server is None or each.split(" ")[0] == server]:
            del self._kept.shown[place]
        self._write()

    def new_session(self) -> None:
        """What was decided for the session holds no more."""
        self._session.clear()

    def _write(self) -> None:
        path = self._path
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # for its owner alone
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(self._kept), indent=1))
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
        self._version = _version_of(path)


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
